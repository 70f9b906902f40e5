// SPDX-License-Identifier: GPL-2.0

//! What the running kernel really is: addresses of symbols, its BTF, our layouts.

use super::ffi;
use core::slice;
use kernel::{bindings, prelude::*, str::CStr};

/// The address of a kernel symbol, exported or not. Process context.
pub(super) fn find(name: &CStr) -> Option<usize> {
    // SAFETY: `name` is NUL-terminated and outlives the call.
    let address = unsafe { ffi::livecore_resolve(name.as_char_ptr()) };
    (address != 0).then_some(address)
}

/// The same of one that must be there; says so in the log if it is not.
pub(crate) fn resolve(name: &CStr) -> Result<usize> {
    find(name).ok_or_else(|| {
        pr_err!("this kernel has no symbol {}\n", name);
        ENOENT
    })
}

/// The running kernel's BTF, as it lies in its read-only data.
pub(crate) fn kernel_btf() -> Result<&'static [u8]> {
    let start = resolve(c"__start_BTF")?;
    let stop = resolve(c"__stop_BTF")?;
    let size = stop.checked_sub(start).ok_or(EINVAL)?;
    // SAFETY: The linker script puts vmlinux's BTF between the two symbols
    // (`include/asm-generic/vmlinux.lds.h`), in memory that is read-only and never freed.
    Ok(unsafe { slice::from_raw_parts(start as *const u8, size) })
}

/// What was compiled into this module of a structure.
pub(crate) struct Layout {
    pub(crate) kind: &'static CStr,
    /// Of this member, the offset; of none, the structure's size.
    pub(crate) member: Option<&'static CStr>,
    pub(crate) bytes: u32,
}

/// All of them.
pub(crate) fn layouts() -> impl Iterator<Item = Layout> {
    let mut count = 0;
    // SAFETY: `count` is valid for the write.
    let table = unsafe { ffi::livecore_layouts(&mut count) };
    // SAFETY: The function returns a static table of `count` entries.
    let table = unsafe { slice::from_raw_parts(table, count as usize) };
    // A literal in the module's C code, or NULL.
    let string = |literal: *const c_char| {
        // SAFETY: The strings of the table are literals.
        (!literal.is_null()).then(|| unsafe { CStr::from_char_ptr(literal) })
    };
    table.iter().map(move |entry| Layout {
        kind: string(entry.type_).unwrap_or(c""),
        member: string(entry.member),
        bytes: entry.bytes,
    })
}

/// Makes [`super::task_work`] able to queue works, and to take them back.
pub(crate) fn bind_task_work() -> Result {
    let (add, cancel) = (resolve(c"task_work_add")?, resolve(c"task_work_cancel")?);
    // SAFETY: The addresses are those functions', whose types the C side takes from the
    // kernel's own prototypes; they become the targets of direct calls.
    unsafe { ffi::livecore_set_task_work(add, cancel) };
    Ok(())
}

/// Makes [`super::task::may_read`] able to ask.
pub(crate) fn bind_ptrace_may_access() -> Result {
    let address = resolve(c"ptrace_may_access")?;
    // SAFETY: As above.
    unsafe { ffi::livecore_set_ptrace_may_access(address) };
    Ok(())
}

/// Waits until no task is, preempted, in code that it entered before this call.
pub(crate) fn synchronize_rcu_tasks() {
    // SAFETY: Called from process context, with nothing held.
    unsafe { bindings::synchronize_rcu_tasks() };
}
