// SPDX-License-Identifier: GPL-2.0

//! Probes on the kernel's tracepoints: the one room for them.
//!
//! A new one is a method of [`Probes`], a probe function with the tracepoint's prototype,
//! and a line in [`Registration::new`].

use super::{ffi, task};
use core::{ffi::c_void, marker::PhantomData, ptr};
use kernel::{bindings, error::to_result, prelude::*, str::CStr, task::Task};

/// What is done when a tracepoint is hit.
pub(crate) trait Probes: 'static {
    /// `signal:signal_generate`. Under the siglock of `task`, with interrupts off.
    fn signal_generated(task: &Task, signal: &Signal<'_>);

    /// `task:task_newtask`: `task` was created by the calling thread, and has not run.
    fn task_created(task: &Task);
}

/// A signal on its way to a task, whose siglock is held.
///
/// # Invariants
///
/// All members are as the tracepoint `signal:signal_generate` was given them: `info` is valid or
/// one of the kernel's special values, `task` is valid, and its siglock is held, for `'a`.
pub(crate) struct Signal<'a> {
    number: c_int,
    info: *const bindings::kernel_siginfo,
    task: *mut bindings::task_struct,
    group: bool,
    result: c_int,
    _task: PhantomData<&'a Task>,
}

impl Signal<'_> {
    /// Is, or was, it made pending: neither ignored nor refused?
    pub(crate) fn was_sent(&self) -> bool {
        // SAFETY: No preconditions.
        unsafe { ffi::livecore_signal_was_sent(self.result) }
    }

    /// Is it going to end the process?
    pub(crate) fn is_fatal(&self) -> bool {
        // SAFETY: By the type invariant the task is valid, and its siglock held.
        let fatal = || unsafe { ffi::livecore_signal_is_fatal(self.number, self.task, self.group) };
        self.was_sent() && fatal()
    }

    /// Does somebody else want the process to stop, to end, or to go on?
    pub(crate) fn is_job_control_from_outside(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe {
            ffi::livecore_signal_is_job_control(self.number, self.was_sent())
                && ffi::livecore_signal_is_from_outside(self.info, self.task)
        }
    }
}

/// One probe, registered.
struct Probe {
    tracepoint: *mut bindings::tracepoint,
    probe: *mut c_void,
}

impl Probe {
    fn register(name: &'static CStr, probe: *mut c_void) -> Result<Self> {
        let mut search = Search {
            name,
            found: ptr::null_mut(),
        };
        // SAFETY: `visit` is called with each tracepoint and `search`, before this returns.
        unsafe {
            bindings::for_each_kernel_tracepoint(Some(visit), (&raw mut search).cast());
        }
        if search.found.is_null() {
            pr_err!("this kernel has no tracepoint {}\n", name);
            return Err(ENOENT);
        }
        // SAFETY: The tracepoint is vmlinux's, and never goes; `probe` has its prototype.
        to_result(unsafe {
            bindings::tracepoint_probe_register(search.found, probe, ptr::null_mut())
        })?;
        Ok(Self {
            tracepoint: search.found,
            probe,
        })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // SAFETY: It was registered with the same arguments.
        unsafe {
            bindings::tracepoint_probe_unregister(self.tracepoint, self.probe, ptr::null_mut());
        }
    }
}

struct Search {
    name: &'static CStr,
    found: *mut bindings::tracepoint,
}

/// # Safety
///
/// `search` is a [`Search`] that nobody else uses; the tracepoint is valid.
unsafe extern "C" fn visit(tracepoint: *mut bindings::tracepoint, search: *mut c_void) {
    // SAFETY: The caller passes what `register()` gave it.
    let search = unsafe { &mut *search.cast::<Search>() };
    // SAFETY: A tracepoint's name is a constant string.
    if unsafe { CStr::from_char_ptr((*tracepoint).name) } == search.name {
        search.found = tracepoint;
    }
}

/// All probes, while they are registered.
pub(crate) struct Registration<P: Probes> {
    probes: [Option<Probe>; 2],
    _probes: PhantomData<P>,
}

// SAFETY: What a `Probe` points to is never freed while it is registered, and constant.
unsafe impl<P: Probes> Send for Registration<P> {}
// SAFETY: As above.
unsafe impl<P: Probes> Sync for Registration<P> {}

impl<P: Probes> Registration<P> {
    pub(crate) fn new() -> Result<Self> {
        let mut this = Self {
            probes: [None, None],
            _probes: PhantomData,
        };
        let signal: unsafe extern "C" fn(_, _, _, _, _, _) = signal_generate::<P>;
        let newtask: unsafe extern "C" fn(_, _, _) = task_newtask::<P>;
        this.probes = [
            Some(Probe::register(c"signal_generate", signal as *mut c_void)?),
            Some(Probe::register(c"task_newtask", newtask as *mut c_void)?),
        ];
        Ok(this)
    }
}

impl<P: Probes> Drop for Registration<P> {
    fn drop(&mut self) {
        self.probes = [None, None];
        // SAFETY: Process context; waits until no probe runs any more.
        unsafe { ffi::livecore_tracepoint_synchronize() };
    }
}

/// # Safety
///
/// Called by the tracepoint alone, with its arguments.
unsafe extern "C" fn signal_generate<P: Probes>(
    _data: *mut c_void,
    sig: c_int,
    info: *mut bindings::kernel_siginfo,
    task: *mut bindings::task_struct,
    group: c_int,
    result: c_int,
) {
    // INVARIANT: From the tracepoint.
    let signal = Signal {
        number: sig,
        info,
        task,
        group: group != 0,
        result,
        _task: PhantomData,
    };
    // SAFETY: The task is valid: its siglock is held.
    P::signal_generated(unsafe { task::borrow(task) }, &signal);
}

/// # Safety
///
/// Called by the tracepoint alone, with its arguments.
unsafe extern "C" fn task_newtask<P: Probes>(
    _data: *mut c_void,
    task: *mut bindings::task_struct,
    _clone_flags: u64,
) {
    // SAFETY: The task has not run yet, so it is valid.
    P::task_created(unsafe { task::borrow(task) });
}
