// SPDX-License-Identifier: GPL-2.0

//! The pages of a process: what is at an address, and references on it (`helpers/pages.c`).

use super::{ffi, memory::UsedMm};
use core::{marker::PhantomData, ptr};
use kernel::{bindings, iov::IovIterDest, prelude::*, types::NotThreadSafe};

/// How many pages are taken under one hold of `mmap_lock`.
pub(crate) const BATCH: usize = 64;

/// What the page tables have for an address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Nothing, or no more than that something was there.
    None,
    /// In a plain mapping: a page of zeros that is nobody's own, or a guard.
    Special,
    /// A page that has to be brought, or waited for.
    Swapped,
    Mapped,
}

impl Entry {
    fn from_raw(raw: ffi::livecore_entry) -> Self {
        match raw {
            ffi::livecore_entry_LIVECORE_ENTRY_SPECIAL => Self::Special,
            ffi::livecore_entry_LIVECORE_ENTRY_SWAP => Self::Swapped,
            ffi::livecore_entry_LIVECORE_ENTRY_MAPPED => Self::Mapped,
            _ => Self::None,
        }
    }

    fn as_raw(self) -> ffi::livecore_entry {
        match self {
            Self::None => ffi::livecore_entry_LIVECORE_ENTRY_NONE,
            Self::Special => ffi::livecore_entry_LIVECORE_ENTRY_SPECIAL,
            Self::Swapped => ffi::livecore_entry_LIVECORE_ENTRY_SWAP,
            Self::Mapped => ffi::livecore_entry_LIVECORE_ENTRY_MAPPED,
        }
    }
}

/// `mmap_lock` of a process, for read. Not to be held for long: nothing here takes more than
/// some thousand steps.
pub(crate) struct LockedMm<'a> {
    mm: &'a UsedMm,
    /// Whoever takes it drops it.
    _not_send: NotThreadSafe,
}

impl<'a> LockedMm<'a> {
    /// Waits for the lock; `EINTR` if the caller is being killed.
    pub(crate) fn lock(mm: &'a UsedMm) -> Result<Self> {
        // SAFETY: The mm is in use.
        kernel::error::to_result(unsafe { ffi::livecore_lock_mm(mm.as_raw()) })?;
        Ok(Self {
            mm,
            _not_send: NotThreadSafe,
        })
    }

    /// The mapping that `address` is in; or where the next one starts.
    pub(crate) fn mapping(&self, address: u64) -> Result<LockedMapping<'_>, u64> {
        let mut vma = ffi::livecore_vma::default();
        // SAFETY: The mm is locked; `vma` is valid for the write.
        let found = unsafe { ffi::livecore_find_vma(self.mm.as_raw(), address as usize, &mut vma) };
        if found {
            // INVARIANT: It was found under the lock.
            Ok(LockedMapping { vma, lock: self })
        } else {
            Err(vma.end as u64)
        }
    }

    /// Takes references on at most `wanted` pages from the one with `address` in it, and
    /// brings those that are not there, if it `may_fault`. One at least, or an error: `EINTR`
    /// if the caller is being killed, `EHWPOISON` if the first is broken.
    pub(crate) fn fault(self, address: u64, wanted: usize, may_fault: bool) -> Result<PageBatch> {
        // What follows drops the lock.
        let this = core::mem::ManuallyDrop::new(self);
        PageBatch::fill(wanted, |pages, wanted| {
            // SAFETY: The mm is locked; there is room for `wanted` pages.
            unsafe {
                ffi::livecore_fault_pages(
                    this.mm.as_raw(),
                    address as usize,
                    wanted,
                    may_fault,
                    pages,
                )
            }
        })
    }
}

impl Drop for LockedMm<'_> {
    fn drop(&mut self) {
        // SAFETY: The lock was taken by this task, and is held until now.
        unsafe { ffi::livecore_unlock_mm(self.mm.as_raw()) };
    }
}

/// One mapping, while its mm is locked.
///
/// # Invariants
///
/// `vma.vma` is a mapping of the mm that `lock` has locked.
pub(crate) struct LockedMapping<'a> {
    vma: ffi::livecore_vma,
    lock: &'a LockedMm<'a>,
}

impl LockedMapping<'_> {
    /// Where it ends.
    pub(crate) fn end(&self) -> u64 {
        self.vma.end as u64
    }

    fn has(&self, trait_: u32) -> bool {
        self.vma.traits & trait_ != 0
    }

    /// Not memory, but a device, or pages of the kernel.
    pub(crate) fn is_device(&self) -> bool {
        self.has(ffi::LIVECORE_VMA_DEVICE)
    }

    pub(crate) fn is_hugetlb(&self) -> bool {
        self.has(ffi::LIVECORE_VMA_HUGETLB)
    }

    /// Whatever is mapped may be taken as it is.
    pub(crate) fn is_plain(&self) -> bool {
        self.has(ffi::LIVECORE_VMA_PLAIN)
    }

    /// What is not mapped is in a file.
    pub(crate) fn is_of_file(&self) -> bool {
        self.has(ffi::LIVECORE_VMA_FILE)
    }

    /// What is not mapped only a fault can find: DAX, for one.
    pub(crate) fn must_fault(&self) -> bool {
        self.has(ffi::LIVECORE_VMA_FAULTS)
    }

    /// Faults are told to a userfaultfd.
    pub(crate) fn is_watched(&self) -> bool {
        self.has(ffi::LIVECORE_VMA_WATCHED)
    }

    /// Is its monitor told of reads, too, of what was swapped out among the rest?
    pub(crate) fn is_watched_for_reads(&self) -> bool {
        self.has(ffi::LIVECORE_VMA_WATCHED_READS)
    }

    /// How many bytes there are of the huge page that `address` is in, from its small page on;
    /// of the mapping, if that is not hugetlb.
    pub(crate) fn huge_page_left(&self, address: u64) -> u64 {
        if !self.is_hugetlb() {
            return self.end().saturating_sub(address);
        }
        // SAFETY: By the type invariant; it is hugetlb.
        unsafe { ffi::livecore_huge_page_left(self.vma.vma, address as usize) as u64 }
    }

    /// What the page tables have for `address`; those of hugetlb are not looked at.
    pub(crate) fn entry(&self, address: u64) -> Entry {
        if self.is_hugetlb() {
            return Entry::None;
        }
        // SAFETY: The mm is locked, and the tables are not hugetlb's.
        Entry::from_raw(unsafe { ffi::livecore_entry_at(self.lock.mm.as_raw(), address as usize) })
    }

    /// How far the page tables go on like that, up to `end`; at least a page from `address`,
    /// and short of the truth where that would take long.
    pub(crate) fn entry_end(&self, address: u64, end: u64, entry: Entry) -> u64 {
        if self.is_hugetlb() {
            return end;
        }
        // SAFETY: The mm is locked, and the tables are not hugetlb's.
        unsafe {
            ffi::livecore_entry_end(
                self.lock.mm.as_raw(),
                address as usize,
                end as usize,
                entry.as_raw(),
            ) as u64
        }
    }

    /// Takes references on what the page tables have, from `address`; maybe none. Only for
    /// plain mappings.
    pub(crate) fn take(&self, address: u64, wanted: usize) -> PageBatch {
        let wanted = if self.is_plain() { wanted } else { 0 };
        PageBatch::fill(wanted, |pages, wanted| {
            // SAFETY: The mm is locked, the mapping is plain; there is room for `wanted` pages.
            unsafe {
                ffi::livecore_take_pages(self.lock.mm.as_raw(), address as usize, wanted, pages)
                    as isize
            }
        })
        .unwrap_or(PageBatch::EMPTY)
    }

    /// Takes the vdso's page at `address`, if this is the vdso.
    pub(crate) fn take_vdso(&self, address: u64) -> PageBatch {
        // SAFETY: By the type invariant.
        let page = unsafe { ffi::livecore_vdso_page(self.vma.vma, address as usize) };
        let mut batch = PageBatch::EMPTY;
        if !page.is_null() {
            // INVARIANT: The reference is ours.
            batch.pages[0] = page;
            batch.count = 1;
        }
        batch
    }

    /// From `address` up to `end`, where is the first page that the file has, or may have?
    /// `end` if there is none.
    pub(crate) fn file_data(&self, address: u64, end: u64) -> u64 {
        if !self.is_of_file() || address >= end {
            return end;
        }
        // SAFETY: By the type invariant; it is of a file, and `end` is further.
        unsafe { ffi::livecore_file_data(self.vma.vma, address as usize, end as usize) as u64 }
    }

    /// From `address`, which is no hole, up to `end`, where is the first hole of the file, at
    /// least a page further? Short of the truth where that would take long.
    pub(crate) fn file_hole(&self, address: u64, end: u64) -> u64 {
        if !self.is_of_file() || address >= end {
            return end;
        }
        // SAFETY: By the type invariant; it is of a file, and `end` is further.
        unsafe { ffi::livecore_file_hole(self.vma.vma, address as usize, end as usize) as u64 }
    }

    /// The file, and which of its pages is at `address`; `None` if it is not of a file.
    pub(crate) fn file(&self, address: u64) -> Option<MappedFile> {
        if !self.is_of_file() {
            return None;
        }
        let mut index = 0;
        // SAFETY: By the type invariant; it has a file; `index` is valid for the write.
        let file = unsafe { ffi::livecore_vma_file(self.vma.vma, address as usize, &mut index) };
        // INVARIANT: The reference is ours, and the mapping is of the file's pages.
        Some(MappedFile { file, index })
    }
}

/// The file of a mapping, from some page on. Needs no lock.
///
/// # Invariants
///
/// `file` owns a reference, and a mapping of it is `LIVECORE_VMA_FILE`.
pub(crate) struct MappedFile {
    file: *mut bindings::file,
    index: usize,
}

impl MappedFile {
    /// Takes references on at most `wanted` pages; none, if the file does not have the first.
    /// May wait for them to be read; no lock may be held. Fails with `EINTR` if the caller is
    /// being killed, with `EHWPOISON` if the first is broken, or with what reading says.
    pub(crate) fn take(&self, wanted: usize) -> Result<PageBatch> {
        PageBatch::fill(wanted, |pages, wanted| {
            // SAFETY: By the type invariant; there is room for `wanted` pages.
            unsafe { ffi::livecore_file_pages(self.file, self.index, wanted, pages) }
        })
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::fput(self.file) };
    }
}

/// Pages of a process, one after the other.
///
/// # Invariants
///
/// The first `count` pointers own a reference each.
pub(crate) struct PageBatch {
    pages: [*mut bindings::page; BATCH],
    count: usize,
    _not_send: PhantomData<*mut bindings::page>,
}

impl PageBatch {
    const EMPTY: Self = Self {
        pages: [ptr::null_mut(); BATCH],
        count: 0,
        _not_send: PhantomData,
    };

    /// `take` puts at most so many pages, with a reference each, and returns how many, or a
    /// negative errno.
    fn fill(
        wanted: usize,
        take: impl FnOnce(*mut *mut bindings::page, u32) -> isize,
    ) -> Result<Self> {
        let mut batch = Self::EMPTY;
        let wanted = wanted.min(BATCH);
        let taken = take(batch.pages.as_mut_ptr(), wanted as u32);
        kernel::error::to_result(taken.min(0) as c_int)?;
        // INVARIANT: Each caller's function took that many, which are no more than `wanted`.
        batch.count = (taken as usize).min(wanted);
        Ok(batch)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    fn page(&self, index: usize) -> Option<*mut bindings::page> {
        self.pages.iter().take(self.count).nth(index).copied()
    }

    /// Copies `len` bytes from `offset` of a page, zeros where the memory is broken; as many
    /// as `to` takes. No lock may be held.
    pub(crate) fn copy_to_iter(
        &self,
        index: usize,
        offset: usize,
        len: usize,
        to: &mut IovIterDest<'_>,
    ) -> usize {
        let Some(page) = self.page(index) else {
            return 0;
        };
        // SAFETY: The page is referenced by the type invariant, and `to` is a valid iterator.
        unsafe { ffi::livecore_copy_page_to_iter(page, offset, len, to.as_raw()) }
    }

    /// Copies into a buffer, from `offset` of a page, up to its end; returns how many bytes.
    pub(crate) fn copy(&self, index: usize, offset: usize, to: &mut [u8]) -> usize {
        let len = to
            .len()
            .min((crate::elf::PAGE_SIZE as usize).saturating_sub(offset));
        let Some(page) = self.page(index) else {
            return 0;
        };
        // SAFETY: The page is referenced; `offset + len` is at most a page.
        unsafe { ffi::livecore_copy_from_page(page, offset, to.as_mut_ptr().cast(), len) };
        len
    }
}

impl Drop for PageBatch {
    fn drop(&mut self) {
        for page in self.pages.iter().take(self.count) {
            // SAFETY: By the type invariant.
            unsafe { ffi::livecore_put_page(*page) };
        }
    }
}
