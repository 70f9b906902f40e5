// SPDX-License-Identifier: GPL-2.0

//! The note that only a live dump has, owner `LIVECORE`: `include/uapi/linux/livecore.h`.

use super::{notes::write_note, Writer};
use crate::sys::uapi;
use kernel::prelude::*;

const OWNER: &[u8] = b"LIVECORE";

/// Size of `struct user_regs_struct32`, in bytes.
const GREGS32_SIZE: usize = 17 * 4;

/// The system call of a thread with these general registers, by number, and its arguments;
/// `None` where it came into the kernel otherwise.
///
/// `elf_gregset_t` of 64 and of 32 bits, `arch/x86/include/uapi/asm/ptrace-abi.h`.
pub(crate) fn syscall(gregs: &[u8]) -> Option<(i64, [u64; 6])> {
    let word = |index: usize| -> Option<u64> {
        let at = index.checked_mul(8)?;
        let bytes = gregs.get(at..at.checked_add(8)?)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    let word32 = |index: usize| -> Option<u32> {
        let at = index.checked_mul(4)?;
        let bytes = gregs.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let mut args = [0; 6];
    let number = if gregs.len() == GREGS32_SIZE {
        // bx, cx, dx, si, di, bp come first.
        for (index, arg) in args.iter_mut().enumerate() {
            *arg = word32(index)?.into();
        }
        i64::from(word32(11)? as i32)
    } else {
        // di, si, dx, r10, r8, r9
        for (index, arg) in [14, 13, 12, 7, 9, 8].into_iter().zip(&mut args) {
            *arg = word(index)?;
        }
        word(15)? as i64
    };
    (number >= 0).then_some((number, args))
}

/// Writes it.
pub(crate) fn write<'a>(
    w: &mut Writer,
    note: &uapi::Note,
    threads: impl Iterator<Item = &'a uapi::NoteThread>,
) -> Result {
    write_note(w, OWNER, uapi::NT_LIVECORE_DUMP, |w| {
        w.u32(size_of::<uapi::Note>() as u32)?;
        w.u32(size_of::<uapi::NoteThread>() as u32)?;
        for word in [
            note.thread_count,
            note.inexact,
            note.mode,
            note.contents,
            note.filter,
            note.fallback,
        ] {
            w.u32(word)?;
        }
        w.u64(note.time_ns)?;
        w.u64(note.hold_ns)?;
        for thread in threads {
            w.u32(thread.tid)?;
            w.u16(thread.how)?;
            w.u16(thread.flags)?;
            w.u64(thread.syscall as u64)?;
            for arg in thread.args {
                w.u64(arg)?;
            }
        }
        Ok(())
    })
}

#[kernel::prelude::kunit_tests(livecore_elf_live_note)]
mod tests {
    use super::*;
    use crate::elf::Class;

    #[test]
    fn its_size_is_that_of_the_structures() -> Result {
        let mut w = Writer::new(Class::Elf64);
        let threads: [uapi::NoteThread; 3] = Default::default();
        write(&mut w, &uapi::Note::default(), threads.iter())?;
        // namesz, descsz, type, and the owner's nine letters, padded.
        let desc = size_of::<uapi::Note>() + 3 * size_of::<uapi::NoteThread>();
        assert_eq!(w.len(), 12 + 12 + desc);
        Ok(())
    }

    #[test]
    fn a_system_call_has_six_arguments() {
        let mut gregs = [0u8; 27 * 8];
        for (index, place) in gregs.chunks_exact_mut(8).enumerate() {
            place.copy_from_slice(&(100 + index as u64).to_le_bytes());
        }
        let call = syscall(&gregs);
        assert!(call == Some((115, [114, 113, 112, 107, 109, 108])));

        let mut gregs = [0u8; GREGS32_SIZE];
        for (index, place) in gregs.chunks_exact_mut(4).enumerate() {
            place.copy_from_slice(&(100 + index as u32).to_le_bytes());
        }
        let call = syscall(&gregs);
        assert!(call == Some((111, [100, 101, 102, 103, 104, 105])));
    }

    #[test]
    fn an_interrupt_is_no_system_call() {
        let gregs = [0xff; 27 * 8];
        assert!(syscall(&gregs).is_none());
        assert!(syscall(&[]).is_none());
    }
}
