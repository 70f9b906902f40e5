// SPDX-License-Identifier: GPL-2.0

//! Register sets of the calling thread, and of threads that are asleep
//! (`helpers/registers.c`).

use super::{bytes::Bytes, errno, ffi, symbols, task::MmId};
use crate::elf::Class;
use kernel::{
    alloc::{flags::GFP_KERNEL_ACCOUNT, Flags},
    mm::Mm,
    prelude::*,
    str::CStr,
    task::Task,
};

/// More register sets than any view has.
const MAX_SETS: usize = 16;

/// The I/O permission bitmap. It is 8 KiB, and hardly any thread has one: only those that do
/// get room for it.
const NT_386_IOPERM: u32 = 0x201;

/// Finds the kernel's views of registers. At load.
pub(crate) fn bind_views() -> Result {
    let view_64 = symbols::resolve(c"user_x86_64_view")?;
    let view_ia32 = if cfg!(CONFIG_IA32_EMULATION) {
        symbols::resolve(c"user_x86_32_view")?
    } else {
        0
    };
    // SAFETY: The addresses are those of the kernel's views, of the type that
    // `linux/regset.h` declares; they are constant, and never freed.
    if !unsafe { ffi::livecore_set_views(view_64, view_ia32) } {
        pr_err!("this kernel's views of registers are not what we expect\n");
        return Err(EINVAL);
    }
    Ok(())
}

/// One register set, as the kernel's dumper names it.
#[derive(Clone, Copy)]
pub(crate) struct SetLayout {
    index: u32,
    /// `NT_*`, and whose it is.
    pub(crate) note_type: u32,
    pub(crate) note_name: &'static CStr,
    /// Where its note is in the thread's room, in bytes, and how long that is.
    note_at: usize,
    note_size: usize,
    /// Where in the room the set itself is, and its size.
    offset: usize,
    size: usize,
}

impl SetLayout {
    /// The registers in their note.
    pub(crate) fn data_of<'a>(&self, note: &'a [u8]) -> &'a [u8] {
        let start = self.offset.saturating_sub(self.note_at);
        note.get(start..start.saturating_add(self.size))
            .unwrap_or(&[])
    }
}

/// The register sets that make notes, general registers first.
///
/// Each set is read to where it is going to be in the notes of its thread.
///
/// # Invariants
///
/// `view` is one of the kernel's constant views; the notes do not overlap, and end at `size`.
pub(crate) struct RegisterLayout {
    view: *const ffi::livecore_view,
    class: Class,
    sets: KVec<SetLayout>,
    size: usize,
    io_bitmap_size: usize,
}

// SAFETY: The view is constant.
unsafe impl Send for RegisterLayout {}
// SAFETY: As above.
unsafe impl Sync for RegisterLayout {}

impl RegisterLayout {
    /// The sets of the threads of a process; `EOPNOTSUPP` for x32. `around` tells how many
    /// bytes of a note come before the set, and how many after it, by its class, type, owner,
    /// and the set's size.
    pub(crate) fn of(
        mm: &Mm,
        around: impl Fn(Class, u32, &[u8], usize) -> (usize, usize),
    ) -> Result<Self> {
        // SAFETY: The mm is referenced, and was made by an execve() that is over.
        let abi = unsafe { ffi::livecore_mm_abi(mm.as_raw()) };
        // SAFETY: `bind_views()` ran at load.
        let view = unsafe { ffi::livecore_view(abi) };
        if view.is_null() {
            return Err(errno::eopnotsupp());
        }
        let class = if abi == ffi::LIVECORE_ABI_IA32 {
            Class::Elf32
        } else {
            Class::Elf64
        };
        // INVARIANT: Views are constant.
        let mut layout = Self {
            view,
            class,
            sets: KVec::new(),
            size: 0,
            io_bitmap_size: 0,
        };
        // SAFETY: By the type invariant.
        for index in 0..unsafe { ffi::livecore_view_count(view) } {
            let mut set = ffi::livecore_regset::default();
            // SAFETY: `index` is below the count; `set` is valid for the write.
            unsafe { ffi::livecore_view_describe(view, index, &mut set) };
            if set.note_type == 0 || layout.sets.len() == MAX_SETS {
                continue;
            }
            // SAFETY: The name is a literal in the kernel's view.
            let note_name = unsafe { CStr::from_char_ptr(set.note_name) };
            let size = set.size as usize;
            let (before, after) = around(class, set.note_type, note_name.to_bytes(), size);
            let set = SetLayout {
                index,
                note_type: set.note_type,
                note_name,
                note_at: layout.size,
                note_size: before.saturating_add(size).saturating_add(after),
                offset: layout.size.saturating_add(before),
                size,
            };
            if set.note_type == NT_386_IOPERM {
                layout.io_bitmap_size = set.size;
            } else {
                layout.size = layout.size.saturating_add(set.note_size);
            }
            layout.sets.push(set, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(layout)
    }

    /// What the core of such a process is.
    pub(crate) fn class(&self) -> Class {
        self.class
    }

    /// The room that a thread's notes need, but for the I/O permission bitmap, in bytes.
    pub(crate) fn room(&self) -> usize {
        self.size
    }

    /// The size of a thread's first note, that of the general registers, in bytes.
    pub(crate) fn first_note_size(&self) -> usize {
        self.sets.first().map_or(0, |set| set.note_size)
    }
}

/// Has this thread an I/O permission bitmap at the moment?
fn has_io_bitmap(task: &Task) -> bool {
    // SAFETY: The task is referenced; the pointer is only compared.
    unsafe { ffi::livecore_has_io_bitmap(task.as_ptr()) }
}

/// The registers of one thread.
pub(crate) struct Registers {
    /// The room for its notes. Between the registers, nothing is written yet.
    data: Bytes,
    /// Empty, or as large as the bitmap.
    io_bitmap: KVVec<u8>,
    /// How many bytes of each set are known.
    known: [u32; MAX_SETS],
    /// What the floating point unit has is a guest's: a vCPU thread in KVM_RUN.
    guest_fpu: bool,
}

impl Registers {
    /// The registers of one thread, none of which are known; `room` is as large as the layout
    /// says, and all zero.
    pub(crate) fn new(
        task: &Task,
        layout: &RegisterLayout,
        room: Bytes,
        flags: Flags,
    ) -> Result<Self> {
        let mut registers = Self {
            data: room,
            io_bitmap: KVVec::new(),
            known: [0; MAX_SETS],
            guest_fpu: false,
        };
        registers.make_room(task, layout, flags)?;
        Ok(registers)
    }

    /// Makes room for the I/O permission bitmap, if the thread has one at the moment.
    pub(crate) fn make_room(
        &mut self,
        task: &Task,
        layout: &RegisterLayout,
        flags: Flags,
    ) -> Result {
        if self.io_bitmap.is_empty() && has_io_bitmap(task) {
            self.io_bitmap = KVVec::from_elem(0, layout.io_bitmap_size, flags)?;
        }
        Ok(())
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
                let (data, offset) = if set.note_type == NT_386_IOPERM {
                    (self.io_bitmap.as_slice(), 0)
                } else {
                    (&*self.data, set.offset)
                };
                let end = offset.checked_add(known as usize)?;
                (known > 0).then_some((set, data.get(offset..end)?))
            })
    }

    /// Are the notes of all sets that are known in their room?
    pub(crate) fn are_in_place(&self, layout: &RegisterLayout) -> bool {
        layout.sets.iter().zip(self.known).all(|(set, known)| {
            known == 0 || (known as usize == set.size && set.note_type != NT_386_IOPERM)
        })
    }

    /// Turns the room into the notes, one behind the other, where they are in place; the first
    /// is one of them in any case. `write` fills in what is around the registers.
    pub(crate) fn into_notes(
        self,
        layout: &RegisterLayout,
        mut write: impl FnMut(&SetLayout, &mut [u8]) -> Result,
    ) -> Result<Bytes> {
        let Self {
            mut data, known, ..
        } = self;
        let mut end = 0usize;
        for (index, (set, known)) in layout.sets.iter().zip(known).enumerate() {
            if known == 0 && index > 0 {
                continue;
            }
            let behind = set.note_at.saturating_add(set.note_size);
            let notes = data.get_mut(end..behind).ok_or(EINVAL)?;
            if end < set.note_at {
                // Moves up to the note before.
                notes.copy_within(notes.len().saturating_sub(set.note_size).., 0);
            }
            let note = notes.get_mut(..set.note_size).ok_or(EINVAL)?;
            write(set, note)?;
            end = end.saturating_add(set.note_size);
        }
        data.truncate(end);
        Ok(data)
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
            let (data, offset) = if set.note_type == NT_386_IOPERM {
                (self.io_bitmap.as_mut_slice(), 0)
            } else {
                (&mut *self.data, set.offset)
            };
            let end = offset.saturating_add(set.size);
            let Some(place) = data.get_mut(offset..end) else {
                *known = 0;
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

    /// Takes the registers of the calling thread, on its way into or out of the kernel. Fails
    /// with `ENOMEM`, if it has called `ioperm()` since there was made room.
    pub(crate) fn capture_current(&mut self, layout: &RegisterLayout, flags: Flags) -> Result {
        let task = kernel::current!();
        self.make_room(task, layout, flags)?;
        // SAFETY: The thread is current, for as long as it runs this.
        unsafe { self.capture(task, layout) };
        Ok(())
    }

    /// Takes the registers of a thread that is asleep in the kernel, and of this address
    /// space, without waking it. False if it is not, or if there is not room for all.
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
        let fits = !self.io_bitmap.is_empty() || !has_io_bitmap(task);
        if ours && fits {
            // SAFETY: The thread is blocked, and waking it takes the lock that we hold.
            unsafe { self.capture(task, layout) };
        }
        // SAFETY: The lock was taken above.
        unsafe { ffi::livecore_unlock_blocked(task.as_ptr(), flags) };
        ours && fits
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
        let end = set.offset.saturating_add(set.size);
        let Some(place) = self.data.get_mut(set.offset..end) else {
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
