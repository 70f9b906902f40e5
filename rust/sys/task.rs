// SPDX-License-Identifier: GPL-2.0

//! What [`Task`] of the kernel crate does not tell of threads.

use super::{errno, ffi};
use core::ptr::{self, NonNull};
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT, bindings, error::from_err_ptr, mm::Mm, prelude::*, str::CStr,
    sync::aref::ARef, task::Task,
};

/// Takes over a reference on a task; `None` for NULL.
///
/// # Safety
///
/// If it is not NULL, `task` comes with a reference, which the caller gives away.
pub(super) unsafe fn from_owned(task: *mut bindings::task_struct) -> Option<ARef<Task>> {
    let task = NonNull::new(task.cast::<Task>())?;
    // SAFETY: `Task` is a transparent wrapper; the caller gives the reference away.
    Some(unsafe { ARef::from_raw(task) })
}

/// A task, borrowed from C code that has it.
///
/// # Safety
///
/// `task` is valid for `'a`.
pub(super) unsafe fn borrow<'a>(task: *mut bindings::task_struct) -> &'a Task {
    // SAFETY: `Task` is a transparent wrapper; the caller vouches for the lifetime.
    unsafe { &*task.cast() }
}

/// The calling thread, with a reference.
pub(crate) fn current() -> ARef<Task> {
    ARef::from(&**kernel::current!())
}

/// Is `task` the calling thread?
pub(crate) fn is_current(task: &Task) -> bool {
    ptr::eq(task.as_ptr(), Task::current_raw())
}

/// The threads of the process that `any` belongs to, each with a reference.
pub(crate) fn threads(any: &Task) -> Result<KVVec<ARef<Task>>> {
    let mut room = 64u32;
    loop {
        let mut raw = KVVec::from_elem(ptr::null_mut(), room as usize, GFP_KERNEL_ACCOUNT)?;
        let mut threads = KVVec::with_capacity(room as usize, GFP_KERNEL_ACCOUNT)?;
        // SAFETY: `any` is referenced; `raw` has room for `room` pointers.
        let count = unsafe { ffi::livecore_threads(any.as_ptr(), raw.as_mut_ptr(), room) };
        for task in raw.iter().take(count as usize) {
            // SAFETY: The function took a reference on each for us.
            if let Some(task) = unsafe { from_owned(*task) } {
                threads.push_within_capacity(task).map_err(|_| ENOMEM)?;
            }
        }
        if count <= room {
            return Ok(threads);
        }
        room = count.saturating_add(count / 8);
    }
}

/// The longest path of a root, in bytes.
const PATH_MAX: usize = 4096;

/// The path of the root of `task`, as the caller sees it; `None` where that is too long; `ESRCH`
/// where the thread has other memory than `mm` by now, or none; `ENOMEM`. May sleep.
///
/// The caller may read `mm`.
pub(crate) fn root(task: &Task, mm: &Mm) -> Result<Option<KVec<u8>>> {
    let mut buffer = KVec::from_elem(0u8, PATH_MAX, GFP_KERNEL_ACCOUNT)?;
    // SAFETY: `task` is referenced; `mm` is compared alone; the buffer is as long as stated.
    let path = from_err_ptr(unsafe {
        ffi::livecore_task_root(
            task.as_ptr(),
            mm.as_raw(),
            buffer.as_mut_ptr().cast(),
            PATH_MAX as c_int,
        )
    });
    let path = match path {
        Ok(path) => path,
        Err(error) if error == errno::enametoolong() => return Ok(None),
        Err(error) => return Err(error),
    };
    // SAFETY: It points into the buffer, at a string that ends within it.
    let path = unsafe { CStr::from_char_ptr(path) }.to_bytes();
    let mut root = KVec::with_capacity(path.len(), GFP_KERNEL_ACCOUNT)?;
    root.extend_from_slice(path, GFP_KERNEL_ACCOUNT)?;
    Ok(Some(root))
}

/// An address space as a name: to compare, not to look into.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct MmId(*const bindings::mm_struct);

// SAFETY: The pointer is never dereferenced.
unsafe impl Send for MmId {}
// SAFETY: As above.
unsafe impl Sync for MmId {}

impl MmId {
    pub(crate) fn of(mm: &Mm) -> Self {
        Self(mm.as_raw())
    }

    /// The address space of a task, as it is at the moment; `None` where it has none (any
    /// more).
    pub(crate) fn of_task(task: &Task) -> Option<Self> {
        // SAFETY: The task is referenced; the pointer is only compared.
        let mm = unsafe { ffi::livecore_task_mm(task.as_ptr()) };
        (!mm.is_null()).then_some(Self(mm))
    }

    /// The address space of the calling thread.
    pub(crate) fn of_current() -> Option<Self> {
        Self::of_task(kernel::current!())
    }
}

/// May the caller look into the process, as `/proc/<pid>/` has it for those who may only read?
/// Process context.
pub(crate) fn may_read(task: &Task) -> bool {
    // SAFETY: `task` is referenced; process context.
    unsafe { ffi::livecore_may_read(task.as_ptr()) }
}

/// Is this memory, that of the process of `any`, also used by another, or looked into?
pub(crate) fn mm_is_shared(mm: &Mm, any: &Task) -> bool {
    // SAFETY: Both are referenced.
    unsafe { ffi::livecore_mm_is_shared(mm.as_raw(), any.as_ptr()) }
}

/// Is the calling thread where it must not be kept: on its way out, or in execve?
pub(crate) fn current_unparkable() -> bool {
    // SAFETY: Any process context.
    unsafe { ffi::livecore_current_unparkable() }
}

/// Does the calling thread execute another program? In a task work: then nothing is left to
/// stop it.
pub(crate) fn current_in_execve() -> bool {
    // SAFETY: Any process context.
    unsafe { ffi::livecore_current_in_execve() }
}

/// Is this a worker of io_uring or vhost? They have no user mode to be kept from.
pub(crate) fn is_user_worker(task: &Task) -> bool {
    // SAFETY: The task is referenced.
    unsafe { ffi::livecore_task_is_user_worker(task.as_ptr()) }
}

/// Does this thread run, or wait for a CPU, at the moment?
pub(crate) fn is_running(task: &Task) -> bool {
    // SAFETY: The task is referenced; the state changes at any time.
    unsafe { (&raw const (*task.as_ptr()).__state).read_volatile() == bindings::TASK_RUNNING }
}

/// A process as a name: to compare, not to look into. It stays its own for as long as one of
/// its threads is referenced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessId(*const bindings::signal_struct);

// SAFETY: The pointer is never dereferenced.
unsafe impl Send for ProcessId {}
// SAFETY: As above.
unsafe impl Sync for ProcessId {}

impl ProcessId {
    /// The process that a thread is of.
    pub(crate) fn of(task: &Task) -> Self {
        // SAFETY: The task is referenced; `signal` never changes while it is.
        Self(unsafe { (*task.as_ptr()).signal })
    }
}

/// Is this thread the leader of its process?
pub(crate) fn is_leader(task: &Task) -> bool {
    // SAFETY: The task is referenced; the pointers are only compared.
    unsafe { ptr::eq((*task.as_ptr()).group_leader, task.as_ptr()) }
}

/// Is a signal pending for the calling thread that will end the process? In a task work.
pub(crate) fn fatal_signal_queued() -> bool {
    // SAFETY: Process context, interrupts on; a thread that runs this has its sighand.
    unsafe { ffi::livecore_fatal_signal_queued() }
}

/// The calling thread is being killed: by a signal to the process?
pub(crate) fn signal_ends_current() -> bool {
    // SAFETY: No preconditions.
    unsafe { ffi::livecore_signal_ends_current() }
}

/// Is the caller being killed?
pub(crate) fn fatal_signal_pending() -> bool {
    // SAFETY: Asks of the calling thread alone.
    unsafe { ffi::livecore_fatal_signal_pending() }
}

/// Has the caller CAP_SYS_PTRACE in the initial user namespace?
pub(crate) fn capable_sys_ptrace() -> bool {
    // SAFETY: Process context; the initial user namespace is static. Without an audit record:
    // who lacks the capability is asked for other rights instead.
    unsafe {
        bindings::ns_capable_noaudit(
            &raw mut bindings::init_user_ns,
            bindings::CAP_SYS_PTRACE as c_int,
        )
    }
}

/// The alternate signal stack of a thread: its start and its size, 0 where it has none.
pub(crate) fn alternate_stack(task: &Task) -> (u64, u64) {
    // SAFETY: The task is referenced. It may be changing both if it is not held.
    unsafe {
        let task = task.as_ptr();
        let start = (&raw const (*task).sas_ss_sp).read_volatile();
        let size = (&raw const (*task).sas_ss_size).read_volatile();
        (start as u64, size as u64)
    }
}

/// A thread's ids, in its own pid namespace.
pub(crate) use ffi::livecore_ids as Ids;

/// What the notes say of a thread; times in nanoseconds.
pub(crate) use ffi::livecore_thread_info as ThreadInfo;

/// What the notes say of a process.
pub(crate) use ffi::livecore_process_info as ProcessInfo;

/// Asks for the former. Process context.
pub(crate) fn thread_info(task: &Task) -> ThreadInfo {
    let mut info = ThreadInfo::default();
    // SAFETY: The task is referenced; `info` is valid for the write.
    unsafe { ffi::livecore_thread_info(task.as_ptr(), &mut info) };
    info
}

/// Asks for the latter, of the process that `task` is a thread of; uid and gid have 16 bits
/// where `short_ids` says so. Process context.
pub(crate) fn process_info(task: &Task, short_ids: bool) -> ProcessInfo {
    let mut info = ProcessInfo::default();
    // SAFETY: The task is referenced; `info` is valid for the write.
    unsafe { ffi::livecore_process_info(task.as_ptr(), short_ids, &mut info) };
    info
}
