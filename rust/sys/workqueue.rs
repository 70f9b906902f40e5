// SPDX-License-Identifier: GPL-2.0

//! The module's own workqueue, so that unloading can wait for all that was queued.

use super::ffi;
use kernel::{error::to_result, prelude::*, workqueue::Queue};

/// The workqueue, while it exists.
pub(crate) struct Registration(());

impl Registration {
    /// Creates it; once, before anything can use [`queue`].
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: Process context; once.
        to_result(unsafe { ffi::livecore_create_workqueue() })?;
        Ok(Self(()))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: It was created, and no dump is left that could queue more.
        unsafe { ffi::livecore_destroy_workqueue() };
    }
}

/// The workqueue. Only what exists while the module is referenced or registered may ask.
pub(crate) fn queue() -> &'static Queue {
    // SAFETY: It exists from before the first probe, sysctl and entry are registered until
    // after the last of them is unregistered (the field order of `LivecoreModule`).
    unsafe { Queue::from_raw(ffi::livecore_workqueue()) }
}
