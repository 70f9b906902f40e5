// SPDX-License-Identifier: GPL-2.0

//! Work that a thread does before it returns to user mode: `kernel/task_work.c`.
//!
//! Always `TWA_RESUME`: a thread in user mode is kicked to the boundary, one that sleeps in
//! the kernel is not woken, and no system call returns early.

use super::{ffi, module::ModuleRef};
use core::ops::Deref;
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    sync::{
        atomic::{ordering, Atomic},
        Arc,
    },
    task::Task,
    types::Opaque,
};

/// How often a work lets others go first. Each time it meets one that was queued before it
/// and after the batch was taken, so a handful is already rare. After that it parks with
/// others behind it, and the watchdog is what ends a wait for one of them.
const MAX_REQUEUES: u32 = 16;

/// What is done at the boundary to user mode.
pub(crate) trait AtBoundary: Send + Sync + 'static {
    /// Runs in the thread's own context, where it may sleep; possibly on its way out, after
    /// `exit_mm()`.
    fn at_boundary(&self);
}

/// An item, and the work that brings a thread to it.
///
/// # Invariants
///
/// While `head` is on a task's list, the list owns a reference on the item, and one on the
/// module.
#[pin_data]
#[repr(C)]
pub(crate) struct TaskWork<T> {
    head: Opaque<bindings::callback_head>,
    requeues: Atomic<u32>,
    #[pin]
    item: T,
}

// SAFETY: `head` is touched by the thread whose list it is on, and before and after that.
unsafe impl<T: Send> Send for TaskWork<T> {}
// SAFETY: As above.
unsafe impl<T: Sync> Sync for TaskWork<T> {}

impl<T: AtBoundary> TaskWork<T> {
    pub(crate) fn new<E>(item: impl PinInit<T, E>) -> impl PinInit<Self, E>
    where
        E: From<core::convert::Infallible>,
    {
        pin_init!(Self {
            head: Opaque::zeroed(),
            requeues: Atomic::new(0),
            item <- item,
        }? E)
    }

    /// Queues the work, which was not queued before; `ESRCH` if the thread has gone too far
    /// on its way out. Any context.
    pub(crate) fn queue(this: &Arc<Self>, task: &Task, module: &ModuleRef) -> Result {
        let head = this.head.get();
        // SAFETY: `head` is on no list yet, so this is the only access.
        unsafe { (*head).func = Some(run::<T>) };
        // INVARIANT: What the list owns, should the work get there.
        let queued = (Arc::into_raw(this.clone()), module.another());
        // SAFETY: `task` is referenced; `head` lives until it has run or was cancelled, since
        // the list owns a reference on the item.
        let result = to_result(unsafe { ffi::livecore_task_work_add(task.as_ptr(), head) });
        match result {
            Ok(()) => queued.1.leave(),
            // SAFETY: The work is on no list: the reference is ours again.
            Err(_) => drop(unsafe { Arc::from_raw(queued.0) }),
        }
        result
    }

    /// Takes the work back, if it has not begun to run. Any context.
    pub(crate) fn cancel(this: &Arc<Self>, task: &Task) -> bool {
        // SAFETY: `task` is referenced; a work that is not on its list is not found.
        let cancelled = unsafe { ffi::livecore_task_work_cancel(task.as_ptr(), this.head.get()) };
        if cancelled {
            // SAFETY: It was on the list, whose references are now ours, by the invariant.
            drop(unsafe { Arc::from_raw(Arc::as_ptr(this)) });
            // SAFETY: As above.
            drop(unsafe { ModuleRef::adopt() });
        }
        cancelled
    }
}

impl<T> Deref for TaskWork<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.item
    }
}

/// Has the batch, of which this work is one, others behind it? Works run last in, first out,
/// and whoever waits in a work keeps the older ones from running: delayed closes, for one.
///
/// # Safety
///
/// `head` is being run by `task_work_run()`.
unsafe fn others_wait(head: *mut bindings::callback_head) -> bool {
    // SAFETY: `task_work_run()` has taken the whole batch off the list, and reads `next` before
    // it calls the work, so nobody writes it.
    !unsafe { (*head).next }.is_null()
}

/// # Safety
///
/// Called by `task_work_run()` alone, for a work that [`TaskWork::queue`] queued.
unsafe extern "C" fn run<T: AtBoundary>(head: *mut bindings::callback_head) {
    let work = head.cast::<TaskWork<T>>();
    // SAFETY: `head` is the first field, and the list's reference keeps the item.
    let requeues = unsafe { &(*work).requeues };
    // SAFETY: Being run.
    if unsafe { others_wait(head) }
        && requeues.fetch_add(1, ordering::Relaxed) < MAX_REQUEUES
        // SAFETY: `head` has left the list, and goes back with what the list owned; it fails
        // where the thread has gone too far, and then there is nobody to wait for.
        && unsafe { ffi::livecore_task_work_add(Task::current_raw(), head) } == 0
    {
        return;
    }
    // SAFETY: The work has left the list, and what the list owned is ours.
    let (this, module) = unsafe { (Arc::from_raw(work), ModuleRef::adopt()) };
    this.item.at_boundary();
    drop(this);
    drop(module);
}
