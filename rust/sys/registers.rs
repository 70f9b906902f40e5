// SPDX-License-Identifier: GPL-2.0

//! Register sets of the calling thread, and of threads that are asleep
//! (`helpers/registers.c`).

use super::{ffi, task::MmId};
use kernel::{
    alloc::{flags::GFP_KERNEL_ACCOUNT, Flags},
    bindings,
    prelude::*,
    str::CStr,
    task::Task,
};

/// More register sets than any view has.
const MAX_SETS: usize = 16;

/// The I/O permission bitmap. It is 8 KiB, and hardly any thread has one: room for it is not
/// kept for each, and its note is not made yet.
const NT_386_IOPERM: u32 = 0x201;

/// One register set, as the kernel's dumper names it.
#[derive(Clone, Copy)]
pub(crate) struct SetLayout {
    index: u32,
    /// `NT_*`, and whose it is.
    pub(crate) note_type: u32,
    pub(crate) note_name: &'static CStr,
    offset: usize,
    size: usize,
}

/// The register sets that make notes, general registers first.
///
/// # Invariants
///
/// `view` is one of the kernel's constant views; the sets do not overlap, and end at `size`.
pub(crate) struct RegisterLayout {
    view: *const ffi::livecore_view,
    is_32bit: bool,
    sets: KVec<SetLayout>,
    size: usize,
}

// SAFETY: The view is constant.
unsafe impl Send for RegisterLayout {}
// SAFETY: As above.
unsafe impl Sync for RegisterLayout {}

impl RegisterLayout {
    /// The sets of a thread, which stand for those of all threads of the process; `ESRCH` if
    /// it is dead.
    pub(crate) fn of(task: &Task) -> Result<Self> {
        let mut is_32bit = false;
        // SAFETY: `task` is referenced, and whether its stack is there too, the function finds
        // out; `is_32bit` is valid for the write.
        let view = unsafe { ffi::livecore_view(task.as_ptr(), &mut is_32bit) };
        if view.is_null() {
            return Err(ESRCH);
        }
        // INVARIANT: Views are constant.
        let mut layout = Self {
            view,
            is_32bit,
            sets: KVec::new(),
            size: 0,
        };
        // SAFETY: By the type invariant.
        for index in 0..unsafe { ffi::livecore_view_count(view) } {
            let mut set = ffi::livecore_regset::default();
            // SAFETY: `index` is below the count; `set` is valid for the write.
            unsafe { ffi::livecore_view_describe(view, index, &mut set) };
            if matches!(set.note_type, 0 | NT_386_IOPERM) || layout.sets.len() == MAX_SETS {
                continue;
            }
            let set = SetLayout {
                index,
                note_type: set.note_type,
                // SAFETY: The name is a literal in the kernel's view.
                note_name: unsafe { CStr::from_char_ptr(set.note_name) },
                offset: layout.size,
                size: set.size as usize,
            };
            // Each set starts at a multiple of eight.
            layout.size = layout.size.saturating_add(set.size.next_multiple_of(8));
            layout.sets.push(set, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(layout)
    }

    /// Is this a 64-bit process, neither compat nor x32?
    pub(crate) fn is_64bit(&self) -> bool {
        !self.is_32bit && self.machine() == bindings::EM_X86_64
    }

    /// `EM_*`.
    pub(crate) fn machine(&self) -> u32 {
        // SAFETY: By the type invariant.
        unsafe { ffi::livecore_view_machine(self.view) }
    }
}

/// The registers of one thread.
pub(crate) struct Registers {
    data: KVec<u8>,
    /// How many bytes of each set are known.
    known: [u32; MAX_SETS],
    /// What the floating point unit has is a guest's: a vCPU thread in KVM_RUN.
    guest_fpu: bool,
}

impl Registers {
    /// Room for the registers of one thread, none of which are known.
    pub(crate) fn new(layout: &RegisterLayout, flags: Flags) -> Result<Self> {
        Ok(Self {
            data: KVec::from_elem(0, layout.size, flags)?,
            known: [0; MAX_SETS],
            guest_fpu: false,
        })
    }

    /// The sets that are known, in the order of their notes.
    pub(crate) fn sets<'a>(
        &'a self,
        layout: &'a RegisterLayout,
    ) -> impl Iterator<Item = (&'a SetLayout, &'a [u8])> {
        layout
            .sets
            .iter()
            .zip(self.known)
            .filter_map(|(set, known)| {
                let end = set.offset.checked_add(known as usize)?;
                (known > 0).then_some((set, self.data.get(set.offset..end)?))
            })
    }

    /// Are the floating point registers left out, being those of a guest?
    pub(crate) fn guest_fpu(&self) -> bool {
        self.guest_fpu
    }

    /// # Safety
    ///
    /// `task` is current, or cannot run while this does.
    unsafe fn capture(&mut self, task: &Task, layout: &RegisterLayout) {
        // SAFETY: The caller vouches for `task`.
        self.guest_fpu = unsafe { ffi::livecore_fpu_is_guests(task.as_ptr()) };
        for (set, known) in layout.sets.iter().zip(&mut self.known) {
            let end = set.offset.saturating_add(set.size);
            let Some(place) = self.data.get_mut(set.offset..end) else {
                continue;
            };
            // SAFETY: The set is one of the view's; `place` is as large as it; the caller
            // vouches for `task`.
            let read = unsafe {
                ffi::livecore_regset_get(
                    layout.view,
                    set.index,
                    task.as_ptr(),
                    place.as_mut_ptr().cast(),
                    set.size as u32,
                )
            };
            // A set that cannot be read is skipped, as by the kernel.
            *known = u32::try_from(read).unwrap_or(0).min(set.size as u32);
        }
    }

    /// Takes the registers of the calling thread, on its way into or out of the kernel.
    pub(crate) fn capture_current(&mut self, layout: &RegisterLayout) {
        // SAFETY: The thread is current, for as long as it runs this.
        unsafe { self.capture(kernel::current!(), layout) }
    }

    /// Takes the registers of a thread that is asleep in the kernel, and of this address
    /// space, without waking it. False if it is not.
    pub(crate) fn capture_blocked(
        &mut self,
        task: &Task,
        mm: MmId,
        layout: &RegisterLayout,
    ) -> bool {
        let mut flags = 0;
        // SAFETY: `task` is referenced; `flags` is valid for the write.
        if !unsafe { ffi::livecore_lock_blocked(task.as_ptr(), &mut flags) } {
            return false;
        }
        let ours = MmId::of_task(task) == Some(mm);
        if ours {
            // SAFETY: The thread is blocked, and waking it takes the lock that we hold.
            unsafe { self.capture(task, layout) };
        }
        // SAFETY: The lock was taken above.
        unsafe { ffi::livecore_unlock_blocked(task.as_ptr(), flags) };
        ours
    }

    /// Takes the general registers with which a thread of this address space entered the
    /// kernel, where it runs, or waits for a CPU. False if it does not stay there for long
    /// enough, or is of another address space.
    ///
    /// The thread must not get to user mode, nor to its end, while this runs: its work is
    /// queued, and somebody keeps it from passing that.
    pub(crate) fn capture_running(
        &mut self,
        task: &Task,
        mm: MmId,
        layout: &RegisterLayout,
    ) -> bool {
        let Some(set) = layout.sets.first() else {
            return false;
        };
        let Some(place) = self.data.get_mut(..set.size) else {
            return false;
        };
        if MmId::of_task(task) != Some(mm) {
            return false;
        }
        // SAFETY: The set is one of the view's, `place` is as large as it, and `task` is
        // referenced; its stack is there, since it does not get to its end.
        let read = unsafe {
            ffi::livecore_regset_get_running(
                layout.view,
                set.index,
                task.as_ptr(),
                place.as_mut_ptr().cast(),
                set.size as u32,
            )
        };
        // An execve meanwhile has changed the registers, and the memory before them.
        super::memory::read_barrier();
        let known = u32::try_from(read).unwrap_or(0).min(set.size as u32);
        if known == 0 || MmId::of_task(task) != Some(mm) {
            place.fill(0);
            return false;
        }
        if let Some(first) = self.known.first_mut() {
            *first = known;
        }
        true
    }
}

/// A part of `NT_X86_XSTATE`.
pub(crate) struct XsaveFeature {
    /// Its number in XCR0.
    pub(crate) number: u32,
    /// In bytes.
    pub(crate) size: u32,
    /// In bytes, in the uncompacted format.
    pub(crate) offset: u32,
}

/// The features that user mode has, but for the two of the legacy area.
pub(crate) fn xsave_features() -> impl Iterator<Item = XsaveFeature> {
    (2..63).filter_map(|number| {
        let (mut size, mut offset) = (0, 0);
        // SAFETY: Both are valid for the write.
        unsafe { ffi::livecore_xsave_layout(number, &mut size, &mut offset) }.then_some(
            XsaveFeature {
                number,
                size,
                offset,
            },
        )
    })
}
