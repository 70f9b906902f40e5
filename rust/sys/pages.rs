// SPDX-License-Identifier: GPL-2.0

//! The pages of a process: what is at an address, and references on it (`helpers/pages.c`,
//! `helpers/file_pages.c`).

use super::{ffi, memory::UsedMm};
use crate::elf::PAGE_SIZE;
use core::{marker::PhantomData, mem::MaybeUninit};
use kernel::{bindings, iov::IovIterDest, prelude::*, types::NotThreadSafe};

/// How many pages are taken under one hold of `mmap_lock`.
pub(crate) const ROUND: u64 = ffi::LIVECORE_ROUND_PAGES as u64;

/// How many runs they may be. Runs are on the stack: a kilobyte.
const RUNS: usize = 128;

/// How many pages are brought, one after the other, before anybody hears of it.
pub(crate) const BROUGHT: u64 = 64;

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

    /// Takes references on at most `pages` pages from the one with `address` in it, and
    /// brings those that are not there, if it `may_fault`. One at least, or an error: `EINTR`
    /// if the caller is being killed, `EHWPOISON` if the first is broken.
    pub(crate) fn fault(
        self,
        address: u64,
        pages: u64,
        may_fault: bool,
        runs: &mut Runs,
    ) -> Result {
        // What follows drops the lock.
        let this = core::mem::ManuallyDrop::new(self);
        let (mm, address) = (this.mm.as_raw(), address as usize);
        runs.fill(|runs, max| {
            // SAFETY: The mm is locked; there is room for `max` runs.
            unsafe {
                ffi::livecore_fault_runs(
                    mm,
                    address,
                    pages.min(BROUGHT) as usize,
                    may_fault,
                    runs,
                    max,
                )
            }
        })
    }

    /// The same for at most `pages` small pages of one huge page of hugetlb.
    pub(crate) fn fault_huge(
        self,
        address: u64,
        pages: u64,
        may_fault: bool,
        runs: &mut Runs,
    ) -> Result {
        // What follows drops the lock.
        let this = core::mem::ManuallyDrop::new(self);
        let (mm, address) = (this.mm.as_raw(), address as usize);
        runs.fill(|runs, _| {
            // SAFETY: The mm is locked; there is room for a run.
            unsafe {
                ffi::livecore_fault_huge(mm, address, pages.min(ROUND) as usize, may_fault, runs)
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

    /// What is not mapped is nowhere: nobody has written it.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.has(ffi::LIVECORE_VMA_ANON)
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

    /// Takes references on what the page tables have, on at most `pages` pages from `address`;
    /// maybe on none. Where they have nothing is a hole, or else the end. Only for plain
    /// mappings.
    pub(crate) fn take(&self, address: u64, pages: u64, none_is_hole: bool, runs: &mut Runs) {
        runs.clear();
        if !self.is_plain() {
            return;
        }
        // It cannot fail.
        let _ = runs.fill(|runs, max| {
            // SAFETY: The mm is locked, the mapping is plain; there is room for `max` runs.
            let taken = unsafe {
                ffi::livecore_take_runs(
                    self.lock.mm.as_raw(),
                    address as usize,
                    pages.min(ROUND) as usize,
                    none_is_hole,
                    runs,
                    max,
                )
            };
            taken as isize
        });
    }

    /// Does the vdso have a page for `address`, mapped or not?
    pub(crate) fn is_vdso(&self, address: u64) -> bool {
        // SAFETY: By the type invariant.
        unsafe { ffi::livecore_is_vdso(self.vma.vma, address as usize) }
    }

    /// Takes the vdso's page at `address`; none if this is not the vdso.
    pub(crate) fn take_vdso(&self, address: u64, runs: &mut Runs) {
        // It cannot fail.
        let _ = runs.fill(|runs, _| {
            // SAFETY: By the type invariant; there is room for a run.
            unsafe { ffi::livecore_take_vdso(self.vma.vma, address as usize, runs) as isize }
        });
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
    /// Takes references on at most `pages` pages; none, if the file does not have the first.
    /// May wait for them to be read; no lock may be held. Fails with `EINTR` if the caller is
    /// being killed, with `EHWPOISON` if the first is broken, or with what reading says.
    pub(crate) fn take(&self, pages: u64, runs: &mut Runs) -> Result {
        runs.fill(|runs, max| {
            // SAFETY: By the type invariant; there is room for `max` runs.
            unsafe {
                ffi::livecore_file_runs(
                    self.file,
                    self.index,
                    pages.min(BROUGHT) as usize,
                    runs,
                    max,
                )
            }
        })
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::fput(self.file) };
    }
}

/// Pages of a process, one after the other, in runs.
///
/// # Invariants
///
/// The first `count` runs were made by `helpers/pages.c` or `helpers/file_pages.c`. Those that
/// are no holes own a reference on their folio each.
pub(crate) struct Runs {
    runs: [MaybeUninit<u64>; RUNS],
    count: usize,
    _not_send: PhantomData<*mut bindings::page>,
}

impl Runs {
    /// None. Costs nothing.
    pub(crate) fn new() -> Self {
        Self {
            runs: [const { MaybeUninit::uninit() }; RUNS],
            count: 0,
            _not_send: PhantomData,
        }
    }

    fn clear(&mut self) {
        for run in self.iter().filter(|run| !run.is_hole()) {
            // SAFETY: The reference is the run's, by the type invariant, and given up below.
            unsafe { ffi::livecore_put_run(run.raw) };
        }
        self.count = 0;
    }

    /// `take` puts at most so many runs, and returns how many, or a negative errno.
    fn fill(&mut self, take: impl FnOnce(*mut u64, u32) -> isize) -> Result {
        self.clear();
        let taken = take(self.runs.as_mut_ptr().cast(), RUNS as u32);
        kernel::error::to_result(taken.min(0) as c_int)?;
        // INVARIANT: Each caller's function made that many, which are no more than fit.
        self.count = (taken as usize).min(RUNS);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Run<'_>> {
        self.runs.iter().take(self.count).map(|run| Run {
            // SAFETY: By the type invariant, it was made.
            raw: unsafe { run.assume_init() },
            _runs: PhantomData,
        })
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Some pages in a row that lie so in memory, too, or a hole.
///
/// # Invariants
///
/// `raw` is one of the runs of a [`Runs`] that is not changed for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    raw: u64,
    _runs: PhantomData<&'a Runs>,
}

impl Run<'_> {
    /// Its size, in bytes.
    pub(crate) fn size(self) -> u64 {
        (self.raw % PAGE_SIZE).saturating_mul(PAGE_SIZE)
    }

    /// Zeros that nobody has ever written.
    pub(crate) fn is_hole(self) -> bool {
        self.raw < PAGE_SIZE
    }

    /// What of `wanted` bytes from `offset` on there is, in bytes.
    fn within(self, offset: u64, wanted: u64) -> usize {
        wanted.min(self.size().saturating_sub(offset)) as usize
    }

    /// Copies at most `len` bytes from `offset` on, zeros where the memory is broken; as many
    /// as `to` takes. No lock may be held.
    pub(crate) fn copy_to_iter(self, offset: u64, len: u64, to: &mut IovIterDest<'_>) -> usize {
        let len = self.within(offset, len);
        if self.is_hole() || len == 0 {
            return super::memory::zero_iter(len, to);
        }
        // SAFETY: The pages are referenced by the type invariant, `len` bytes from `offset` on
        // are theirs, and `to` is a valid iterator.
        unsafe { ffi::livecore_copy_run_to_iter(self.raw, offset as usize, len, to.as_raw()) }
    }

    /// Copies into a buffer, from `offset` on; returns how many bytes: fewer than fit where
    /// the run ends, none of a hole.
    pub(crate) fn copy(self, offset: u64, to: &mut [u8]) -> usize {
        let len = self.within(offset, to.len() as u64);
        if self.is_hole() {
            return 0;
        }
        // SAFETY: The pages are referenced by the type invariant, `len` bytes from `offset` on
        // are theirs, and `to` has room for them.
        unsafe { ffi::livecore_copy_run(self.raw, offset as usize, to.as_mut_ptr().cast(), len) };
        len
    }
}

#[kernel::prelude::kunit_tests(livecore_pages)]
mod tests {
    use super::*;

    fn run(raw: u64) -> Run<'static> {
        // Not for copying: the pages are not ours.
        Run {
            raw,
            _runs: PhantomData,
        }
    }

    #[test]
    fn a_run_is_an_address_and_a_number_of_pages() {
        assert!(!run(0x12345001).is_hole());
        assert_eq!(run(0x12345001).size(), 0x1000);
        assert_eq!(run(0x12345200).size(), 0x20_0000);
        assert!(run(ROUND).is_hole());
        assert_eq!(run(ROUND).size(), 0x20_0000);
    }

    #[test]
    fn nothing_beyond_a_run_is_copied() {
        assert_eq!(run(0x12345002).within(0, 0x3000), 0x2000);
        assert_eq!(run(0x12345002).within(0x1fff, 5), 1);
        assert_eq!(run(0x12345002).within(0x1000, 5), 5);
        assert_eq!(run(0x12345002).within(0x2000, 5), 0);
        assert_eq!(run(0x12345002).within(u64::MAX, 5), 0);
        assert_eq!(run(2).copy(0, &mut [1, 1]), 0);
    }
}
