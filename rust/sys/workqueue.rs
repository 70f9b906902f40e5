// SPDX-License-Identifier: GPL-2.0

//! The module's own workqueue, so that unloading can wait for all that was queued.

use super::ffi;
use core::ptr;
use kernel::{
    bindings,
    prelude::*,
    sync::atomic::{ordering, Atomic},
    workqueue::Queue,
};

static QUEUE: Atomic<*mut bindings::workqueue_struct> = Atomic::new(ptr::null_mut());

/// The workqueue, while it exists.
pub(crate) struct Registration(());

impl Registration {
    /// Creates it; once, before anything can use [`queue`].
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: Process context.
        let queue = unsafe { ffi::livecore_alloc_workqueue() };
        if queue.is_null() {
            return Err(ENOMEM);
        }
        QUEUE.store(queue, ordering::Release);
        Ok(Self(()))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: It was created, and no dump is left that could queue more; what is queued
        // runs before this returns.
        unsafe { bindings::destroy_workqueue(QUEUE.load(ordering::Acquire)) };
    }
}

/// The workqueue. Only what exists while the module is referenced or registered may ask.
pub(crate) fn queue() -> &'static Queue {
    // SAFETY: It exists from before the first probe, sysctl and entry are registered until
    // after the last of them is unregistered (the field order of `LivecoreModule`).
    unsafe { Queue::from_raw(QUEUE.load(ordering::Acquire)) }
}
