// SPDX-License-Identifier: GPL-2.0

//! A tick from process context, kicked when there is something to watch.

use super::ffi;
use core::marker::PhantomData;
use kernel::bindings;

/// How often to look, in milliseconds; `stall_ms` is 1000 or more.
const TICK_MS: u32 = 100;

/// What is watched.
pub(crate) trait Watched: 'static {
    /// Looks once. Is there still something to watch?
    fn tick() -> bool;
}

/// The watchdog, ready to be kicked.
pub(crate) struct Registration<W: Watched>(PhantomData<W>);

impl<W: Watched> Registration<W> {
    /// Makes it ready; once, before the first [`kick`].
    pub(crate) fn new() -> Self {
        // SAFETY: `run` has the type of a work function and lives as long as the module.
        unsafe { ffi::livecore_watchdog_init(Some(run::<W>)) };
        Self(PhantomData)
    }
}

impl<W: Watched> Drop for Registration<W> {
    fn drop(&mut self) {
        // SAFETY: It was initialised by `new()`; process context.
        unsafe { ffi::livecore_watchdog_stop() };
    }
}

/// Starts the ticks, if they are not under way. Any context.
pub(crate) fn kick() {
    // SAFETY: The registration comes before anything that is watched.
    unsafe { ffi::livecore_watchdog_kick(TICK_MS) };
}

/// # Safety
///
/// Called by the workqueue alone.
unsafe extern "C" fn run<W: Watched>(_work: *mut bindings::work_struct) {
    if W::tick() {
        kick();
    }
}
