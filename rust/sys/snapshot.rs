// SPDX-License-Identifier: GPL-2.0

//! A copy-on-write copy of an address space (`helpers/snapshot.c`).

use super::{ffi, memory::UsedMm, symbols};
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{
    bindings,
    error::to_result,
    mm::Mm,
    prelude::*,
    str::CStr,
    sync::{
        aref::ARef,
        atomic::{ordering, Atomic},
    },
    task::Task,
};

/// 1 once the kernel's functions are bound.
static AVAILABLE: Atomic<u32> = Atomic::new(0);

/// Finds the kernel's functions; at load, once. Without them there are no copies.
pub(crate) fn bind() -> Result {
    const NAMES: [&CStr; 4] = [
        c"mm_alloc",
        c"dup_mmap",
        c"uprobe_start_dup_mmap",
        c"uprobe_end_dup_mmap",
    ];
    // Without uprobes there is nothing to keep out.
    let needed = if cfg!(CONFIG_UPROBES) { 4 } else { 2 };
    let mut addresses = [0usize; NAMES.len()];
    for (name, address) in NAMES.into_iter().zip(&mut addresses).take(needed) {
        *address = symbols::find(name).ok_or_else(|| {
            pr_warn!("this kernel has no symbol {}: no snapshots\n", name);
            ENOENT
        })?;
    }
    // SAFETY: The addresses are those of the named functions, or 0 for the last two, whose types
    // the C side takes from the kernel's own prototypes, but for that of `dup_mmap()`, which is in
    // `mm/`.
    unsafe { ffi::livecore_set_mm_copy(addresses.as_ptr()) };
    AVAILABLE.store(1, ordering::Release);
    Ok(())
}

/// Can this kernel copy address spaces?
pub(crate) fn is_available() -> bool {
    AVAILABLE.load(ordering::Acquire) != 0
}

/// An address space with nothing in it: room for a copy.
///
/// # Invariants
///
/// Nothing was ever mapped in it.
pub(crate) struct EmptyMm(MmCopy);

impl EmptyMm {
    /// Fails with `ENOMEM`, and with `EOPNOTSUPP` on a kernel that does not have the functions.
    pub(crate) fn new() -> Result<Self> {
        if !is_available() {
            return Err(super::errno::eopnotsupp());
        }
        // SAFETY: The functions are bound.
        let mm = unsafe { ffi::livecore_mm_alloc() };
        let mm = NonNull::new(mm.cast::<Mm>()).ok_or(ENOMEM)?;
        // SAFETY: The user that we own keeps a reference on the structure, which is another
        // one's from here on.
        let mm = unsafe { ARef::from(mm.as_ref()) };
        // INVARIANT: It is new, and comes with one user.
        Ok(Self(MmCopy {
            mm,
            has_user: Atomic::new(1),
        }))
    }

    /// Copies an address space, copy-on-write. Waits for `mmap_lock`, killable, and for page
    /// faults under way. Fails with `ENOMEM`, and with `EINTR` if the caller is being killed.
    pub(crate) fn copy(self, of: &UsedMm) -> Result<MmCopy> {
        // SAFETY: Both are in use; this one is empty by the type invariant, and gone where it
        // fails.
        to_result(unsafe { ffi::livecore_mm_copy(self.0.mm.as_raw(), of.as_raw()) })?;
        Ok(self.0)
    }

    /// A copy of nothing.
    pub(crate) fn copy_nothing(self) -> MmCopy {
        self.0
    }
}

/// A copy of an address space, which no task runs in.
///
/// # Invariants
///
/// `has_user` is 1 while one reference on `mm_users` is ours; whoever makes it 0 gives it
/// back.
pub(crate) struct MmCopy {
    mm: ARef<Mm>,
    has_user: Atomic<u32>,
}

impl MmCopy {
    /// The memory, to be read as any other.
    pub(crate) fn mm(&self) -> &ARef<Mm> {
        &self.mm
    }

    /// Was it not given back?
    pub(crate) fn lasts(&self) -> bool {
        self.has_user.load(ordering::Acquire) != 0
    }

    /// Gives the memory back, as soon as nobody reads it; returns about how many pages. Any
    /// context.
    pub(crate) fn give_back(&self) -> usize {
        if self.has_user.xchg(0, ordering::Full) == 0 {
            return 0;
        }
        let pages = anon_pages(&self.mm);
        // SAFETY: By the type invariant the reference is ours, and given back here alone.
        unsafe { ffi::livecore_mm_copy_put(self.mm.as_raw()) };
        pages
    }
}

impl Drop for MmCopy {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// How many pages of its own an address space has, about: in memory, or swapped out.
pub(crate) fn anon_pages(mm: &Mm) -> usize {
    // SAFETY: The mm is referenced.
    unsafe { ffi::livecore_mm_anon_pages(mm.as_raw()) }
}

/// How many pages the page tables of an address space take.
pub(crate) fn table_pages(mm: &Mm) -> usize {
    // SAFETY: The mm is referenced.
    unsafe { ffi::livecore_mm_table_pages(mm.as_raw()) }
}

/// Has this address space a user left?
pub(crate) fn has_users(mm: &Mm) -> bool {
    // SAFETY: The mm is referenced.
    unsafe { ffi::livecore_mm_has_users(mm.as_raw()) }
}

/// How many pages more the memory cgroups of a task allow; `unslowed`, without slowing it down.
pub(crate) fn memcg_margin(task: &Task, unslowed: bool) -> usize {
    // SAFETY: The task is referenced.
    unsafe { ffi::livecore_memcg_margin(task.as_ptr(), unslowed) }
}

/// Who is told that the system has run out of memory.
pub(crate) trait Shrinks: 'static {
    /// Gives back what can be missed; returns how many pages. May sleep, but waits for no
    /// memory.
    fn out_of_memory() -> usize;
}

/// The notifier, while it is registered.
pub(crate) struct OomNotifier<T: Shrinks>(PhantomData<T>);

impl<T: Shrinks> OomNotifier<T> {
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: `out_of_memory` has the type of a notifier, and lives as long as the module.
        to_result(unsafe { ffi::livecore_oom_register(Some(out_of_memory::<T>)) })?;
        Ok(Self(PhantomData))
    }
}

impl<T: Shrinks> Drop for OomNotifier<T> {
    fn drop(&mut self) {
        // SAFETY: It was registered by `new()`; process context.
        unsafe { ffi::livecore_oom_unregister() };
    }
}

/// # Safety
///
/// Called by `out_of_memory()` of the kernel alone.
unsafe extern "C" fn out_of_memory<T: Shrinks>(
    _block: *mut bindings::notifier_block,
    _action: c_ulong,
    freed: *mut c_void,
) -> c_int {
    let pages = T::out_of_memory();
    // SAFETY: The chain passes a count of pages, which is ours for the call.
    let freed = unsafe { &mut *freed.cast::<c_ulong>() };
    *freed = freed.saturating_add(pages);
    0 // NOTIFY_DONE
}
