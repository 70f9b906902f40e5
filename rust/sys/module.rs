// SPDX-License-Identifier: GPL-2.0

//! References to this module, which keep it from being unloaded.

use super::ffi;
use core::mem;

/// A reference to this module.
///
/// # Invariants
///
/// Owns one reference, taken by `try_module_get()` or `__module_get()`.
pub(crate) struct ModuleRef(());

impl ModuleRef {
    /// A reference, unless the module is going.
    #[inline]
    pub(crate) fn try_get() -> Option<Self> {
        // SAFETY: No preconditions; callable from any context.
        // INVARIANT: `true` means that a reference was taken.
        unsafe { ffi::livecore_module_tryget() }.then(|| Self(()))
    }

    /// One more reference, where the caller has one already.
    pub(crate) fn another(&self) -> Self {
        // SAFETY: `self` owns a reference, as `__module_get()` demands.
        unsafe { ffi::livecore_module_get() };
        // INVARIANT: Just taken.
        Self(())
    }

    /// Leaves the reference to whoever calls [`Self::adopt`].
    pub(super) fn leave(self) {
        mem::forget(self);
    }

    /// Takes over a reference.
    ///
    /// # Safety
    ///
    /// One was left by [`Self::leave`] and is adopted here alone.
    pub(super) unsafe fn adopt() -> Self {
        // INVARIANT: The caller hands it over.
        Self(())
    }
}

impl Drop for ModuleRef {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the invariant a reference is ours to give back. What runs of this module
        // afterwards is a return path, which `synchronize_rcu_tasks()` at unload waits for.
        unsafe { ffi::livecore_module_put() };
    }
}
