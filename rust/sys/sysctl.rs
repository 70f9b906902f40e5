// SPDX-License-Identifier: GPL-2.0

//! `kernel.livecore_*`: unsigned integers with bounds.

use core::{
    ffi::c_void,
    marker::PhantomData,
    mem::offset_of,
    ptr::{self, NonNull},
};
use kernel::{
    alloc::flags::GFP_KERNEL,
    bindings,
    prelude::*,
    str::CStr,
    sync::atomic::{ordering, Atomic},
};

/// One of them.
pub(crate) struct Knob {
    name: &'static CStr,
    value: Atomic<u32>,
    min: u32,
    max: u32,
}

impl Knob {
    pub(crate) const fn new(name: &'static CStr, default: u32, min: u32, max: u32) -> Self {
        Self {
            name,
            value: Atomic::new(default),
            min,
            max,
        }
    }

    pub(crate) fn get(&self) -> u32 {
        self.value.load(ordering::Relaxed)
    }

    /// Is this a value that it may have?
    pub(crate) fn accepts(&self, value: u32) -> bool {
        (self.min..=self.max).contains(&value)
    }
}

/// Who is told.
pub(crate) trait Watcher: 'static {
    /// May this one have a value that is in its range? Process context.
    fn allows(knob: &Knob, value: u32) -> Result;

    /// One of the values was written. Process context.
    fn written();
}

/// The knobs, while they are in `/proc/sys/kernel`.
///
/// # Invariants
///
/// `header` was returned by `register_sysctl_sz()` for `table`, which does not move.
pub(crate) struct Registration<W: Watcher> {
    header: NonNull<bindings::ctl_table_header>,
    _table: KVec<bindings::ctl_table>,
    _watcher: PhantomData<W>,
}

// SAFETY: The table is constant, and the header is used by `Drop` alone.
unsafe impl<W: Watcher> Send for Registration<W> {}
// SAFETY: As above.
unsafe impl<W: Watcher> Sync for Registration<W> {}

impl<W: Watcher> Registration<W> {
    pub(crate) fn new(knobs: &'static [&'static Knob]) -> Result<Self> {
        let mut table = KVec::with_capacity(knobs.len(), GFP_KERNEL)?;
        for knob in knobs {
            let entry = bindings::ctl_table {
                procname: knob.name.as_char_ptr(),
                data: knob.value.as_ptr().cast(),
                maxlen: size_of::<u32>() as c_int,
                mode: 0o644,
                proc_handler: Some(write::<W>),
                extra1: (&raw const knob.min).cast_mut().cast(),
                extra2: (&raw const knob.max).cast_mut().cast(),
                ..Default::default()
            };
            table.push(entry, GFP_KERNEL)?;
        }
        // SAFETY: The table and all that it points to live until it is unregistered: the
        // knobs are static, and the vector's buffer is owned by what is returned.
        let header = unsafe {
            bindings::register_sysctl_sz(c"kernel".as_char_ptr(), table.as_ptr(), table.len())
        };
        Ok(Self {
            header: NonNull::new(header).ok_or(ENOMEM)?,
            _table: table,
            _watcher: PhantomData,
        })
    }
}

impl<W: Watcher> Drop for Registration<W> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. Waits for handlers in flight.
        unsafe { bindings::unregister_sysctl_table(self.header.as_ptr()) };
    }
}

/// # Safety
///
/// Called by the sysctl code alone, with an entry of our table.
unsafe extern "C" fn write<W: Watcher>(
    table: *const bindings::ctl_table,
    write: c_int,
    buffer: *mut c_void,
    lenp: *mut usize,
    ppos: *mut bindings::loff_t,
) -> c_int {
    // SAFETY: The entry is one of ours: its data is the value of a knob, which is static.
    let knob = unsafe {
        let value = (*table).data.cast::<u8>();
        &*value.sub(offset_of!(Knob, value)).cast::<Knob>()
    };
    // To a copy first: nobody is to see a value that is refused.
    let former = knob.get();
    let mut value = former;
    // SAFETY: The entry is valid, and of plain values.
    let mut entry = unsafe { ptr::read(table) };
    entry.data = (&raw mut value).cast();
    // SAFETY: The arguments are passed through; the entry has a u32 and two bounds.
    let result = unsafe { bindings::proc_douintvec_minmax(&entry, write, buffer, lenp, ppos) };
    if write == 0 || result != 0 {
        return result;
    }
    if let Err(error) = W::allows(knob, value) {
        return error.to_errno();
    }
    // What is written further on is taken, and says nothing.
    if value != former {
        knob.value.store(value, ordering::Relaxed);
    }
    W::written();
    0
}
