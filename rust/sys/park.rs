// SPDX-License-Identifier: GPL-2.0

//! Where held threads wait, and where the opener waits for them (`helpers/park.c`).

use super::ffi;
use kernel::{
    bindings,
    prelude::*,
    sync::atomic::{ordering, Atomic},
    types::Opaque,
};

/// A wait queue head, initialised.
fn wait_queue() -> impl PinInit<Opaque<bindings::wait_queue_head>> {
    // SAFETY: The slot is valid and pinned; the function initialises it.
    Opaque::ffi_init(|slot| unsafe { ffi::livecore_init_waitqueue(slot) })
}

/// How parking ended.
#[derive(PartialEq, Eq)]
pub(crate) enum Parked {
    /// The turnstile was opened.
    Released,
    /// The thread is being killed.
    Killed,
}

/// What stands before user mode, closed until it is opened for good.
#[pin_data]
pub(crate) struct Turnstile {
    #[pin]
    queue: Opaque<bindings::swait_queue_head>,
    open: Atomic<bool>,
}

// SAFETY: A simple wait queue has its own lock.
unsafe impl Send for Turnstile {}
// SAFETY: As above.
unsafe impl Sync for Turnstile {}

impl Turnstile {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: The slot is valid and pinned; the function initialises it.
            queue <- Opaque::ffi_init(|slot| unsafe { ffi::livecore_init_swait_queue(slot) }),
            open: Atomic::new(false),
        })
    }

    /// Keeps the calling thread until it opens or the thread is killed.
    pub(crate) fn park(&self) -> Parked {
        // SAFETY: Both pointers are into `self`, which outlives the call; process context.
        match unsafe { ffi::livecore_park(self.queue.get(), self.open.as_ptr()) } {
            0 => Parked::Released,
            _ => Parked::Killed,
        }
    }

    /// Lets nobody wait any more, without waking who does. Any context.
    pub(crate) fn unlock(&self) {
        self.open.store(true, ordering::Release);
    }

    /// Opens it and wakes whoever waits. Process context.
    pub(crate) fn open(&self) {
        self.unlock();
        // SAFETY: The queue is initialised and lives as long as `self`.
        unsafe { ffi::livecore_unpark_all(self.queue.get()) };
    }
}

/// Where poll(2) waits for one file to change.
///
/// Lives for as long as the file is open: whoever polls it has it open, and is taken off the
/// queue before its last close.
#[pin_data]
pub(crate) struct Pollers {
    #[pin]
    queue: Opaque<bindings::wait_queue_head>,
}

// SAFETY: A wait queue head has its own lock.
unsafe impl Send for Pollers {}
// SAFETY: As above.
unsafe impl Sync for Pollers {}

impl Pollers {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            queue <- wait_queue(),
        })
    }

    /// Makes a poll of `file` wait here, if `table` says that it waits.
    ///
    /// # Safety
    ///
    /// Both are as the VFS has passed them to the file's `poll`, and the file keeps `self`.
    pub(super) unsafe fn wait(
        &self,
        file: *mut bindings::file,
        table: *mut bindings::poll_table_struct,
    ) {
        // SAFETY: As the caller says; the queue is initialised, and outlives the file.
        unsafe { ffi::livecore_poll_wait(file, self.queue.get(), table) };
    }

    /// Makes who waits look again. Process context.
    pub(crate) fn wake(&self) {
        // SAFETY: The queue is initialised and lives as long as `self`.
        unsafe { ffi::livecore_wake_pollers(self.queue.get()) };
    }
}

/// Why waiting for a [`Countdown`] ended.
#[derive(PartialEq, Eq)]
pub(crate) enum Waited {
    Reached,
    TimedOut,
    /// A signal to the waiter.
    Interrupted,
}

/// A count of what is still to come, with one waiter.
#[pin_data]
pub(crate) struct Countdown {
    #[pin]
    queue: Opaque<bindings::wait_queue_head>,
    count: Atomic<i32>,
}

// SAFETY: A wait queue head has its own lock.
unsafe impl Send for Countdown {}
// SAFETY: As above.
unsafe impl Sync for Countdown {}

impl Countdown {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            queue <- wait_queue(),
            count: Atomic::new(0),
        })
    }

    /// One more is to come.
    pub(crate) fn one_more(&self) {
        self.count.fetch_add(1, ordering::Relaxed);
    }

    /// One came; the last one wakes the waiter.
    pub(crate) fn arrived(&self) {
        if self.count.fetch_sub(1, ordering::Full) == 1 {
            self.wake();
        }
    }

    /// Makes the waiter look up.
    pub(crate) fn wake(&self) {
        // SAFETY: The queue is initialised and lives as long as `self`.
        unsafe { ffi::livecore_wake_all(self.queue.get()) };
    }

    /// How many are to come.
    pub(crate) fn left(&self) -> i32 {
        self.count.load(ordering::Acquire)
    }

    /// Waits for all, at most `timeout_ms` milliseconds. Process context.
    pub(crate) fn wait(&self, timeout_ms: u32) -> Waited {
        // SAFETY: Both pointers are into `self`, which outlives the call.
        let left = unsafe {
            ffi::livecore_wait_for_zero(self.queue.get(), self.count.as_ptr(), timeout_ms)
        };
        match left {
            0 => Waited::TimedOut,
            1.. => Waited::Reached,
            _ => Waited::Interrupted,
        }
    }
}
