// SPDX-License-Identifier: GPL-2.0

//! The mappings of a process, and what its mm says of it (`helpers/memory.c`).

use super::ffi;
use crate::elf::filter::Traits;
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    bindings,
    iov::IovIterDest,
    mm::{Mm, MmWithUser, MmWithUserAsync},
    prelude::*,
    sync::aref::ARef,
    transmute::AsBytes,
};

/// Memory in use: `mm_users` is held, for one round of reading. Giving it back never tears
/// the address space down here, however long that takes.
pub(crate) struct UsedMm(ARef<MmWithUserAsync>);

impl UsedMm {
    /// `ESRCH` when the last thread has left the address space.
    pub(crate) fn get(mm: &Mm) -> Result<Self> {
        let user = mm.mmget_not_zero().ok_or(ESRCH)?;
        Ok(Self(MmWithUser::into_mmput_async(user)))
    }

    /// Copies memory into a buffer, but for the pages that are not there, or all of it where
    /// `mmap_lock` is taken: nothing is waited for, and nothing faulted in.
    pub(crate) fn peek(&self, address: u64, to: &mut [u8]) {
        let (to, len) = (to.as_mut_ptr().cast(), to.len());
        // SAFETY: The mm is in use; `to` has room for `len` bytes.
        unsafe { ffi::livecore_peek(self.as_raw(), address as usize, to, len) };
    }

    pub(super) fn as_raw(&self) -> *mut bindings::mm_struct {
        let mm: &MmWithUser = &self.0;
        mm.as_raw()
    }
}

/// The bits of `/proc/<pid>/coredump_filter`.
pub(crate) fn dump_filter(mm: &Mm) -> u32 {
    // SAFETY: The mm is referenced.
    unsafe { ffi::livecore_mm_dump_filter(mm.as_raw()) as u32 }
}

/// Room for any auxiliary vector, in words; it has less than 64 in 7.3.
const AUXV_WORDS: usize = 128;

/// The auxiliary vector, in words of the process's own size, with zeros behind it; as bytes.
pub(crate) fn auxv(mm: &Mm) -> impl AsBytes {
    let mut auxv = [0u64; AUXV_WORDS];
    // SAFETY: The mm is referenced; the array has that many words.
    unsafe { ffi::livecore_mm_auxv(mm.as_raw(), auxv.as_mut_ptr().cast(), AUXV_WORDS as u32) };
    auxv
}

/// Where the arguments are: start and end.
pub(crate) fn args(mm: &Mm) -> (u64, u64) {
    let (mut start, mut end) = (0, 0);
    // SAFETY: The mm is referenced; both are valid for the write.
    unsafe { ffi::livecore_mm_args(mm.as_raw(), &mut start, &mut end) };
    (start as u64, end as u64)
}

/// The mappings of a process as they were at one moment, each file with a reference.
///
/// # Invariants
///
/// Every `file` that is not NULL owns a reference.
pub(crate) struct Mappings(KVVec<ffi::livecore_mapping>);

/// A moment at which nobody changed the mappings: what the sequence of `mmap_lock` was.
pub(crate) struct Undisturbed(c_uint);

impl Undisturbed {
    /// Has one writer changed them since, and nobody else?
    pub(crate) fn but_for_one(&self, mm: &Mm) -> bool {
        // SAFETY: The mm is referenced.
        unsafe { ffi::livecore_mm_was_written_once(mm.as_raw(), self.0) }
    }
}

/// One of them.
pub(crate) struct Mapping<'a>(&'a ffi::livecore_mapping);

impl Mappings {
    /// Lists them; `EAGAIN` where `mmap_lock` is taken: it is never waited for.
    pub(crate) fn list(mm: &UsedMm) -> Result<Self> {
        // SAFETY: The mm is referenced.
        let mut room = unsafe { ffi::livecore_mm_map_count(mm.as_raw()) };
        loop {
            room = room.saturating_add(16);
            let list =
                KVVec::from_elem(ffi::livecore_mapping::default(), room, GFP_KERNEL_ACCOUNT)?;
            // INVARIANT: All files are NULL.
            let mut list = Self(list);
            // SAFETY: The mm is in use; the list has room for `room` mappings.
            let count = unsafe { ffi::livecore_mappings(mm.as_raw(), list.0.as_mut_ptr(), room) };
            if count < 0 {
                return Err(EAGAIN);
            }
            let count = count as usize;
            if count <= room {
                list.0.truncate(count);
                return Ok(list);
            }
            room = count;
        }
    }

    /// Are they still the same, flags included? `EAGAIN` as above.
    pub(crate) fn are_those_of(&self, mm: &UsedMm) -> Result<bool> {
        self.compare(mm, None)
    }

    /// The same; and has nobody any of the locks that a copy takes, or waits for `mmap_lock`?
    /// Else `EAGAIN`.
    pub(crate) fn are_left_alone(&self, mm: &UsedMm) -> Result<Option<Undisturbed>> {
        let mut seq = 0;
        let same = self.compare(mm, Some(&mut seq))?;
        Ok(same.then_some(Undisturbed(seq)))
    }

    fn compare(&self, mm: &UsedMm, seq: Option<&mut c_uint>) -> Result<bool> {
        let seq = seq.map_or(core::ptr::null_mut(), core::ptr::from_mut);
        // SAFETY: The mm is in use; the list is as long as stated, its files are referenced; `seq`
        // is NULL or valid for the write.
        match unsafe {
            ffi::livecore_mappings_same(mm.as_raw(), self.0.as_ptr(), self.0.len(), seq)
        } {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(EAGAIN),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Mapping<'_>> {
        self.0.iter().map(Mapping)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The mapping that an address is in, or else the next one.
    pub(crate) fn at_or_above(&self, address: u64) -> Option<Mapping<'_>> {
        let index = self.0.partition_point(|m| m.end as u64 <= address);
        self.0.get(index).map(Mapping)
    }
}

impl Drop for Mappings {
    fn drop(&mut self) {
        for mapping in self.0.iter().filter(|mapping| !mapping.file.is_null()) {
            // SAFETY: By the type invariant.
            unsafe { bindings::fput(mapping.file) };
        }
    }
}

impl Mapping<'_> {
    pub(crate) fn start(&self) -> u64 {
        self.0.start as u64
    }

    pub(crate) fn end(&self) -> u64 {
        self.0.end as u64
    }

    /// Where in the file it starts, in pages.
    pub(crate) fn pgoff(&self) -> u64 {
        self.0.pgoff as u64
    }

    fn has(&self, bit: u32) -> bool {
        self.0.traits & bit != 0
    }

    pub(crate) fn readable(&self) -> bool {
        self.has(ffi::LIVECORE_MAP_READ)
    }

    pub(crate) fn writable(&self) -> bool {
        self.has(ffi::LIVECORE_MAP_WRITE)
    }

    pub(crate) fn executable(&self) -> bool {
        self.has(ffi::LIVECORE_MAP_EXEC)
    }

    /// Does a userfaultfd watch it?
    pub(crate) fn has_userfaultfd(&self) -> bool {
        self.has(ffi::LIVECORE_MAP_USERFAULTFD)
    }

    /// Is it a System V segment?
    pub(crate) fn is_sysv(&self) -> bool {
        self.has(ffi::LIVECORE_MAP_SYSV)
    }

    /// Are others told who maps it, or wait until nobody does?
    pub(crate) fn is_counted(&self) -> bool {
        self.has(ffi::LIVECORE_MAP_COUNTED)
    }

    /// Which file it is of, if of any: to compare.
    pub(crate) fn file_id(&self) -> usize {
        self.0.file as usize
    }

    /// Is its file locked until nobody has it open as it was opened? Maybe, if there are many
    /// locks on it.
    pub(crate) fn is_locked(&self) -> bool {
        // SAFETY: The file is referenced, or NULL.
        !self.0.file.is_null() && unsafe { ffi::livecore_file_is_locked(self.0.file) }
    }

    /// Does fork() leave it out, or give the child zeros?
    pub(crate) fn is_not_copied(&self) -> bool {
        self.has(ffi::LIVECORE_MAP_DONTCOPY)
    }

    pub(crate) fn is_wiped(&self) -> bool {
        self.has(ffi::LIVECORE_MAP_WIPEONFORK)
    }

    /// Tells this mapping from another that takes its place.
    pub(crate) fn id(&self) -> (u64, u64, usize) {
        (self.start(), self.pgoff(), self.file_id())
    }

    /// What the filter looks at.
    pub(crate) fn traits(&self) -> Traits {
        Traits {
            readable: self.readable(),
            shared: self.has(ffi::LIVECORE_MAP_SHARED),
            anonymous: self.has(ffi::LIVECORE_MAP_ANON),
            file: self.has(ffi::LIVECORE_MAP_FILE),
            unlinked: self.has(ffi::LIVECORE_MAP_UNLINKED),
            executable_file: self.has(ffi::LIVECORE_MAP_EXEC_FILE),
            at_file_start: self.0.pgoff == 0,
            dont_dump: self.has(ffi::LIVECORE_MAP_DONTDUMP),
            io: self.has(ffi::LIVECORE_MAP_IO),
            hugetlb: self.has(ffi::LIVECORE_MAP_HUGETLB),
            dax: self.has(ffi::LIVECORE_MAP_DAX),
            special: self.has(ffi::LIVECORE_MAP_SPECIAL),
        }
    }

    /// The path of the mapped file, in `buffer`; `None` without a file, `ENAMETOOLONG` if it
    /// does not fit. May sleep.
    pub(crate) fn path<'b>(&self, buffer: &'b mut [u8]) -> Option<Result<&'b [u8]>> {
        if self.0.file.is_null() {
            return None;
        }
        // SAFETY: The file is referenced; the buffer is as long as stated.
        let path = unsafe {
            bindings::file_path(
                self.0.file,
                buffer.as_mut_ptr().cast(),
                buffer.len() as c_int,
            )
        };
        let path = match kernel::error::from_err_ptr(path) {
            Ok(path) => path,
            Err(error) => return Some(Err(error)),
        };
        // SAFETY: It points into the buffer, at a string that ends with it.
        let path = unsafe { CStr::from_char_ptr(path) };
        Some(Ok(path.to_bytes_with_nul()))
    }
}

/// Writes `len` zero bytes; as many as fit.
pub(crate) fn zero_iter(len: usize, to: &mut IovIterDest<'_>) -> usize {
    // SAFETY: `to` is a valid iterator.
    unsafe { bindings::iov_iter_zero(len, to.as_raw()) }
}

/// What was read before is not newer than what is read after: `smp_rmb()`, which 7.2 and 7.3
/// spell differently in Rust.
pub(crate) fn read_barrier() {
    // SAFETY: No preconditions.
    unsafe { ffi::livecore_read_barrier() };
}
