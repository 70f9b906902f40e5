// SPDX-License-Identifier: GPL-2.0

//! The file `/proc/livecore` (`helpers/listing.c`).

use super::ffi;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{bindings, prelude::*, seq_file::SeqFile, task::Task};

/// What it shows.
pub(crate) trait Listing: 'static {
    /// Writes all of it. Process context; `EACCES` and the like end the read.
    fn show(reading: &Reading<'_>) -> Result;
}

/// One reading of the file.
///
/// # Invariants
///
/// `file` is that of the reading, which nobody else uses meanwhile.
pub(crate) struct Reading<'a> {
    file: *mut bindings::seq_file,
    seq: &'a SeqFile,
}

impl<'a> Reading<'a> {
    /// Where to write to.
    pub(crate) fn seq(&self) -> &'a SeqFile {
        self.seq
    }

    /// Is the caller who has opened the file, with the credentials of that time?
    pub(crate) fn is_openers(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { ffi::livecore_listing_is_callers(self.file) }
    }

    /// The pid of a thread's process in the namespace of the mount that is read; `None` where
    /// it has none there, or is gone.
    pub(crate) fn pid_of(&self, task: &Task) -> Option<i32> {
        // SAFETY: By the type invariant; `task` is referenced.
        let pid = unsafe { ffi::livecore_listing_pid(self.file, task.as_ptr()) };
        (pid != 0).then_some(pid)
    }
}

/// The file, while it is there.
///
/// # Invariants
///
/// `entry` was made by `livecore_listing_create()`, and is removed by `Drop` alone.
pub(crate) struct Registration<L: Listing> {
    entry: NonNull<bindings::proc_dir_entry>,
    _listing: PhantomData<L>,
}

// SAFETY: The entry is used by `Drop` alone, from whatever thread.
unsafe impl<L: Listing> Send for Registration<L> {}
// SAFETY: As above.
unsafe impl<L: Listing> Sync for Registration<L> {}

impl<L: Listing> Registration<L> {
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: `show` is called until the entry is removed, which is before it goes.
        let entry = unsafe { ffi::livecore_listing_create(Some(show::<L>)) };
        Ok(Self {
            entry: NonNull::new(entry).ok_or(ENOMEM)?,
            _listing: PhantomData,
        })
    }
}

impl<L: Listing> Drop for Registration<L> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. Waits until nobody is in `show`.
        unsafe { ffi::livecore_listing_remove(self.entry.as_ptr()) };
    }
}

/// # Safety
///
/// Called by the reading of a seq file alone.
unsafe extern "C" fn show<L: Listing>(file: *mut bindings::seq_file, _data: *mut c_void) -> c_int {
    // INVARIANT: The caller has the file to itself: its lock is held.
    let reading = Reading {
        file,
        // SAFETY: As above.
        seq: unsafe { SeqFile::from_raw(file) },
    };
    match L::show(&reading) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}
