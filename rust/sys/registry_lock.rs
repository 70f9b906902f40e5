// SPDX-License-Identifier: GPL-2.0

//! Data under the one lock that the `signal_generate` probe takes (`helpers/registry.c`).

use super::ffi;
use core::{
    cell::UnsafeCell,
    ops::{Deref, DerefMut},
};
use kernel::types::NotThreadSafe;

/// A value that only the holder of the registry lock sees.
pub(crate) struct RegistryLocked<T>(UnsafeCell<T>);

// SAFETY: The value is reached through `lock()` alone, by one at a time.
unsafe impl<T: Send> Sync for RegistryLocked<T> {}

impl<T> RegistryLocked<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Takes the lock: interrupts are off until the guard is dropped. Does not nest, with any
    /// other value under it neither.
    pub(crate) fn lock(&self) -> RegistryGuard<'_, T> {
        // SAFETY: Any context; the lock is a `spinlock_t` with interrupts off.
        let flags = unsafe { ffi::livecore_registry_lock() };
        RegistryGuard {
            value: &self.0,
            flags,
            _not_send: NotThreadSafe,
        }
    }
}

/// The lock, held.
pub(crate) struct RegistryGuard<'a, T> {
    value: &'a UnsafeCell<T>,
    flags: usize,
    _not_send: NotThreadSafe,
}

impl<T> Deref for RegistryGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The lock is held, so nobody else has a reference to the value.
        unsafe { &*self.value.get() }
    }
}

impl<T> DerefMut for RegistryGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: As above, and `self` is borrowed exclusively.
        unsafe { &mut *self.value.get() }
    }
}

impl<T> Drop for RegistryGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The lock was taken by `lock()`, with these flags, on this CPU.
        unsafe { ffi::livecore_registry_unlock(self.flags) };
    }
}
