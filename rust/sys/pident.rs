// SPDX-License-Identifier: GPL-2.0

//! The hook that enlarges procfs's table of `/proc/<pid>/` entries (`helpers/pident.c`).

use super::{ffi, symbols};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::{from_err_ptr, to_result},
    prelude::*,
};

/// Where procfs keeps the table, and the two functions that are given it.
pub(crate) struct Procfs {
    pub(crate) table: usize,
    pub(crate) lookup: usize,
    pub(crate) readdir: usize,
}

/// The hook, while it is registered: callbacks run, and replace nothing unless told to.
pub(crate) struct PidentHook(());

impl PidentHook {
    /// Registers both callbacks.
    pub(crate) fn register(procfs: &Procfs) -> Result<Self> {
        // SAFETY: The addresses are those of the named symbols; a wrong one is refused by
        // ftrace, which knows the entry of every traceable function.
        to_result(unsafe {
            ffi::livecore_pident_hook(procfs.table, procfs.lookup, procfs.readdir)
        })?;
        Ok(Self(()))
    }

    /// Puts `core`, with these operations, behind all other entries of `/proc/<pid>/`.
    pub(crate) fn publish(self, operations: &bindings::file_operations) -> Result<Pident> {
        // SAFETY: The hook is registered, so the lookup passes through it.
        to_result(unsafe { ffi::livecore_pident_learn() })?;
        // SAFETY: `operations` is valid for the copy that is made of it.
        let table = from_err_ptr(unsafe { ffi::livecore_pident_create(operations) })?;
        let table = NonNull::new(table).ok_or(ENOMEM)?;
        // SAFETY: `table` is complete, and never freed.
        unsafe { ffi::livecore_pident_publish(table.as_ptr()) };
        Ok(Pident {
            table,
            hook: Some(self),
        })
    }
}

impl Drop for PidentHook {
    fn drop(&mut self) {
        // SAFETY: It was registered, and is unregistered here alone.
        unsafe { ffi::livecore_pident_unhook() };
    }
}

/// The entry `core`, while it is there.
///
/// # Invariants
///
/// `table` was made by `livecore_pident_create()`; it is never freed.
pub(crate) struct Pident {
    table: NonNull<ffi::livecore_pident>,
    hook: Option<PidentHook>,
}

// SAFETY: The table is constant but for the operations, which `Drop` alone writes.
unsafe impl Send for Pident {}
// SAFETY: As above; `&Pident` gives no way to write.
unsafe impl Sync for Pident {}

impl Pident {
    /// Is `core` found by lookup and by readdir, and is it ours?
    pub(crate) fn selftest(&self) -> Result {
        // SAFETY: By the type invariant.
        to_result(unsafe { ffi::livecore_pident_selftest(self.table.as_ptr()) })
    }
}

impl Drop for Pident {
    fn drop(&mut self) {
        // From here on nobody is given the table.
        self.hook = None;
        // SAFETY: By the type invariant. An open that read the operations before this either
        // fails in `try_module_get()`, since the module is going, or, where loading failed,
        // finds the gate closed, which only the sysctls open, the last thing that is
        // registered; the wait below is for its way through either.
        unsafe { ffi::livecore_pident_retire(self.table.as_ptr()) };
        symbols::synchronize_rcu_tasks();
    }
}

/// Forgets every `/proc/<pid>/core` that a lookup has left in the dentry cache. May sleep.
pub(crate) fn drop_cached_entries() {
    // SAFETY: Called from process context, with nothing held.
    unsafe { ffi::livecore_drop_core_dentries() };
}
