// SPDX-License-Identifier: GPL-2.0

//! The notes: `fill_note_info()` and `write_note_info()`, `fs/binfmt_elf.c`.

use super::{Class, Writer, PAGE_SIZE};
use kernel::prelude::*;

/// General registers, with a thread's status around them.
pub(crate) const NT_PRSTATUS: u32 = 1;
/// Floating point registers.
pub(crate) const NT_PRFPREG: u32 = 2;
const NT_PRPSINFO: u32 = 3;
const NT_AUXV: u32 = 6;
const NT_SIGINFO: u32 = 0x5349_4749;
const NT_FILE: u32 = 0x4649_4c45;
const NT_X86_XSAVE_LAYOUT: u32 = 0x205;

/// The owner of the notes that every Unix has, and of those of Linux.
const CORE: &[u8] = b"CORE";
const LINUX: &[u8] = b"LINUX";

/// Size of a `siginfo_t`, in bytes; of a `compat_siginfo_t`, too.
const SIGINFO_SIZE: usize = 128;
/// `ELF_PRARGSZ`: what of the arguments is kept, in bytes.
pub(crate) const PSARGS_SIZE: usize = 80;
/// What `NT_FILE` may grow to, in bytes: `core_file_note_size_limit`'s default.
pub(crate) const FILE_NOTE_LIMIT: usize = 4 << 20;

/// Writes one note; `desc` writes what it holds.
///
/// ```text
/// u32 namesz | u32 descsz | u32 type | name, NUL, pad to 4 | desc, pad to 4
/// ```
pub(crate) fn write_note(
    w: &mut Writer,
    owner: &[u8],
    kind: u32,
    desc: impl FnOnce(&mut Writer) -> Result,
) -> Result {
    let size_at = w.len().saturating_add(4);
    write_note_header(w, owner, kind, 0)?;
    let start = w.len();
    desc(w)?;
    w.patch_u32(size_at, u32::try_from(w.len().saturating_sub(start))?);
    w.align(4)
}

/// Writes what comes before the `size` bytes that a note holds.
pub(crate) fn write_note_header(w: &mut Writer, owner: &[u8], kind: u32, size: usize) -> Result {
    let name_size = owner.len().saturating_add(1);
    w.u32(u32::try_from(name_size)?)?;
    w.u32(u32::try_from(size)?)?;
    w.u32(kind)?;
    w.fixed(owner, name_size)?;
    w.align(4)
}

/// How many bytes of its note come before a set of registers of `size` bytes, and how many
/// after it.
pub(crate) fn around_registers(
    class: Class,
    kind: u32,
    owner: &[u8],
    size: usize,
) -> (usize, usize) {
    // The header, and the name with its NUL.
    let desc_at = owner
        .len()
        .saturating_add(1)
        .next_multiple_of(4)
        .saturating_add(12);
    match (kind, class) {
        (NT_PRSTATUS, Class::Elf32) => (desc_at.saturating_add(72), 4),
        (NT_PRSTATUS, Class::Elf64) => (desc_at.saturating_add(112), 8),
        _ => (desc_at, size.wrapping_neg() & 3),
    }
}

/// A thread or process in its ids, as its own pid namespace knows them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ids {
    pub(crate) pid: i32,
    pub(crate) ppid: i32,
    pub(crate) pgrp: i32,
    pub(crate) sid: i32,
}

impl Ids {
    fn write(&self, w: &mut Writer) -> Result {
        for id in [self.pid, self.ppid, self.pgrp, self.sid] {
            w.i32(id)?;
        }
        Ok(())
    }
}

/// `struct elf_prstatus`, `include/linux/elfcore.h`, and `struct i386_elf_prstatus`,
/// `arch/x86/include/asm/elfcore-compat.h`; times in nanoseconds.
#[derive(Default)]
pub(crate) struct ThreadStatus {
    pub(crate) ids: Ids,
    /// Signals pending and blocked.
    pub(crate) sigpend: u64,
    pub(crate) sighold: u64,
    pub(crate) utime: u64,
    pub(crate) stime: u64,
    pub(crate) cutime: u64,
    pub(crate) cstime: u64,
    /// Floating point registers follow in a note of their own.
    pub(crate) fpvalid: bool,
}

/// A `struct __kernel_old_timeval`, or a `struct old_timeval32`.
fn write_timeval(w: &mut Writer, nanoseconds: u64) -> Result {
    w.word(nanoseconds / 1_000_000_000)?;
    w.word(nanoseconds % 1_000_000_000 / 1_000)
}

/// `NT_PRSTATUS`; `gregs` are zero where the registers are not known.
///
/// ```text
///  0 i32 si_signo, si_code, si_errno    48 utime: u64 s, us
/// 12 i16 cursig, pad to 4               64 stime   80 cutime   96 cstime
/// 16 u64 sigpend, sighold              112 u64 gregs[27]
/// 32 i32 pid, ppid, pgrp, sid          328 i32 fpvalid, pad to 8
///
/// 32-bit:
///  0 as above                           40 utime: u32 s, us
/// 16 u32 sigpend, sighold               48 stime   56 cutime   64 cstime
/// 24 i32 pid, ppid, pgrp, sid           72 u32 gregs[17]      140 i32 fpvalid
/// ```
pub(crate) fn write_prstatus(w: &mut Writer, status: &ThreadStatus, gregs: &[u8]) -> Result {
    write_note(w, CORE, NT_PRSTATUS, |w| {
        w.zeros(16)?; // No signal: nothing has happened to it.
        w.word(status.sigpend)?;
        w.word(status.sighold)?;
        status.ids.write(w)?;
        for time in [status.utime, status.stime, status.cutime, status.cstime] {
            write_timeval(w, time)?;
        }
        w.fixed(gregs, w.class().gregs_size())?;
        w.i32(status.fpvalid.into())?;
        w.zeros(if w.class() == Class::Elf64 { 4 } else { 0 })
    })
}

/// `struct elf_prpsinfo`, `include/linux/elfcore.h`, and `struct compat_elf_prpsinfo`,
/// `include/linux/elfcore-compat.h`.
#[derive(Default)]
pub(crate) struct ProcessStatus {
    pub(crate) ids: Ids,
    /// Index into `RSDTZW`.
    pub(crate) state: u8,
    pub(crate) nice: i8,
    pub(crate) flags: u64,
    /// A 32-bit core has the lower 16 bits of both.
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) comm: [u8; 16],
    /// The arguments, separated by spaces.
    pub(crate) psargs: KVec<u8>,
}

/// `NT_PRPSINFO`.
///
/// ```text
///  0 u8 state, sname, zomb, nice    24 i32 pid, ppid, pgrp, sid
///  8 u64 flag                       40 fname[16]
/// 16 u32 uid, gid                   56 psargs[80]
///
/// 32-bit:
///  0 as above                       12 i32 pid, ppid, pgrp, sid
///  4 u32 flag                       28 fname[16]
///  8 u16 uid, gid                   44 psargs[80]
/// ```
pub(crate) fn write_prpsinfo(w: &mut Writer, status: &ProcessStatus) -> Result {
    write_note(w, CORE, NT_PRPSINFO, |w| {
        let name = b"RSDTZW".get(usize::from(status.state)).unwrap_or(&b'.');
        w.bytes(&[
            status.state,
            *name,
            u8::from(*name == b'Z'),
            status.nice as u8,
        ])?;
        match w.class() {
            Class::Elf32 => {
                w.word(status.flags)?;
                w.u16(status.uid as u16)?;
                w.u16(status.gid as u16)?;
            }
            Class::Elf64 => {
                w.zeros(4)?;
                w.word(status.flags)?;
                w.u32(status.uid)?;
                w.u32(status.gid)?;
            }
        }
        status.ids.write(w)?;
        w.bytes(&status.comm)?;
        w.fixed(&status.psargs, PSARGS_SIZE)
    })
}

/// What the arguments area of a process becomes in `pr_psargs`; at most 79 bytes, with a NUL
/// after each argument turned into a space.
pub(crate) fn psargs(area: &mut [u8]) {
    for byte in area.iter_mut().filter(|byte| **byte == 0) {
        *byte = b' ';
    }
}

/// `NT_SIGINFO`: zeros, since no signal has happened.
pub(crate) fn write_siginfo(w: &mut Writer) -> Result {
    write_note(w, CORE, NT_SIGINFO, |w| w.zeros(SIGINFO_SIZE))
}

/// `NT_AUXV`: the vector, two words an entry, up to and including `AT_NULL`.
pub(crate) fn write_auxv(w: &mut Writer, auxv: &[u8]) -> Result {
    let word_size = w.class().word_size();
    write_note(w, CORE, NT_AUXV, |w| {
        let mut rest = auxv;
        while let Some((entry, behind)) = rest.split_at_checked(word_size.saturating_mul(2)) {
            w.bytes(entry)?;
            if entry.iter().take(word_size).all(|byte| *byte == 0) {
                break;
            }
            rest = behind;
        }
        Ok(())
    })
}

/// `NT_X86_XSAVE_LAYOUT`: for each feature its number, size and offset in bytes; left out
/// where there is none.
///
/// ```text
/// { u32 type, size, offset, flags }*
/// ```
pub(crate) fn write_xsave_layout(w: &mut Writer, features: &[[u32; 3]]) -> Result {
    if features.is_empty() {
        return Ok(());
    }
    write_note(w, LINUX, NT_X86_XSAVE_LAYOUT, |w| {
        for feature in features {
            for word in feature {
                w.u32(*word)?;
            }
            w.u32(0)?;
        }
        Ok(())
    })
}

/// A mapping of a file.
pub(crate) struct FileMapping {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Where in the file it starts, in pages.
    pub(crate) pgoff: u64,
    /// Where its path is in the block of paths, NUL included.
    pub(crate) path: core::ops::Range<usize>,
}

/// `NT_FILE`; left out, as by the kernel, where it would be too big.
///
/// ```text
/// word count | word page_size | { word start, end, file_ofs }* | { path, NUL }*
/// ```
pub(crate) fn write_files(w: &mut Writer, files: &[FileMapping], paths: &[u8]) -> Result {
    let words = files.len().saturating_mul(3).saturating_add(2);
    let size = words
        .saturating_mul(w.class().word_size())
        .saturating_add(paths.len());
    if size >= FILE_NOTE_LIMIT {
        return Ok(());
    }
    write_note(w, CORE, NT_FILE, |w| {
        w.word(files.len() as u64)?;
        w.word(PAGE_SIZE)?;
        for file in files {
            w.word(file.start)?;
            w.word(file.end)?;
            w.word(file.pgoff)?;
        }
        for file in files {
            w.bytes(paths.get(file.path.clone()).unwrap_or(b"\0"))?;
        }
        Ok(())
    })
}

#[kernel::prelude::kunit_tests(livecore_elf_notes)]
mod tests {
    use super::*;

    const GREGS_SIZE: usize = 27 * 8;

    fn half(bytes: &[u8], offset: usize) -> u16 {
        u16::from_le_bytes([bytes[offset], bytes[offset + 1]])
    }

    fn word(bytes: &[u8], offset: usize) -> u32 {
        let mut value = [0; 4];
        value.copy_from_slice(&bytes[offset..offset + 4]);
        u32::from_le_bytes(value)
    }

    /// The description of the only note in `w`, whose owner is four letters long.
    fn desc(w: Writer, kind: u32) -> Result<KVVec<u8>> {
        let bytes = w.into_bytes();
        if word(&bytes, 0) != 5 || word(&bytes, 8) != kind || bytes[12..20] != *b"CORE\0\0\0\0" {
            return Err(EINVAL);
        }
        let size = word(&bytes, 4) as usize;
        if bytes.len() != 20 + size.next_multiple_of(4) {
            return Err(ERANGE);
        }
        let mut desc = KVVec::new();
        desc.extend_from_slice(&bytes[20..20 + size], GFP_KERNEL)?;
        Ok(desc)
    }

    #[test]
    fn notes_are_aligned_to_four() -> Result {
        let mut w = Writer::new(Class::Elf64);
        write_note(&mut w, b"LINUX", 0x202, |w| w.bytes(&[1, 2, 3]))?;
        let bytes = w.into_bytes();
        assert_eq!(word(&bytes, 0), 6);
        assert_eq!(word(&bytes, 4), 3);
        assert_eq!(word(&bytes, 8), 0x202);
        assert!(bytes[12..] == *b"LINUX\0\0\0\x01\x02\x03\0");
        Ok(())
    }

    #[test]
    fn prstatus_has_the_kernels_offsets() -> Result {
        let mut gregs = [0; GREGS_SIZE];
        gregs[0] = 0x15;
        gregs[GREGS_SIZE - 1] = 0x77;
        let status = ThreadStatus {
            ids: Ids {
                pid: 101,
                ppid: 102,
                pgrp: 103,
                sid: 104,
            },
            sigpend: 0x11,
            sighold: 0x22,
            utime: 3_000_004_999,
            cstime: 7_000_008_000,
            fpvalid: true,
            ..Default::default()
        };
        let mut w = Writer::new(Class::Elf64);
        write_prstatus(&mut w, &status, &gregs)?;
        let d = desc(w, 1)?;
        assert_eq!(d.len(), 336);
        assert!(d[..16].iter().all(|b| *b == 0));
        assert_eq!(word(&d, 16), 0x11);
        assert_eq!(word(&d, 24), 0x22);
        assert_eq!(word(&d, 32), 101);
        assert_eq!(word(&d, 36), 102);
        assert_eq!(word(&d, 40), 103);
        assert_eq!(word(&d, 44), 104);
        assert_eq!(word(&d, 48), 3);
        assert_eq!(word(&d, 56), 4);
        assert_eq!(word(&d, 96), 7);
        assert_eq!(word(&d, 104), 8);
        assert_eq!(word(&d, 112), 0x15);
        assert_eq!(d[112 + GREGS_SIZE - 1], 0x77);
        assert_eq!(word(&d, 328), 1);
        Ok(())
    }

    #[test]
    fn registers_are_where_their_notes_have_them() -> Result {
        for class in [Class::Elf32, Class::Elf64] {
            let gregs = [0x5a; GREGS_SIZE];
            let gregs = &gregs[..class.gregs_size()];
            let mut w = Writer::new(class);
            write_prstatus(&mut w, &ThreadStatus::default(), gregs)?;
            let (before, after) = around_registers(class, NT_PRSTATUS, CORE, gregs.len());
            assert_eq!(w.len(), before + gregs.len() + after);
            assert!(w.as_slice()[before..][..gregs.len()] == *gregs);
            assert!(!w.as_slice()[..before].contains(&0x5a));

            let mut w = Writer::new(class);
            write_note(&mut w, LINUX, 0x202, |w| w.bytes(&[0x5a; 6]))?;
            let (before, after) = around_registers(class, 0x202, LINUX, 6);
            assert_eq!(w.len(), before + 6 + after);
            assert!(w.as_slice()[before..][..6] == [0x5a; 6]);
            let mut header = Writer::new(class);
            write_note_header(&mut header, LINUX, 0x202, 6)?;
            assert!(*header.as_slice() == w.as_slice()[..before]);
        }
        Ok(())
    }

    #[test]
    fn prstatus_without_registers_is_zeroed_but_whole() -> Result {
        let mut w = Writer::new(Class::Elf64);
        write_prstatus(&mut w, &ThreadStatus::default(), &[])?;
        let d = desc(w, 1)?;
        assert_eq!(d.len(), 336);
        assert!(d.iter().all(|b| *b == 0));
        Ok(())
    }

    #[test]
    fn prpsinfo_has_the_kernels_offsets() -> Result {
        let mut psargs = KVec::new();
        psargs.extend_from_slice(&[b'x'; 200], GFP_KERNEL)?;
        let status = ProcessStatus {
            ids: Ids {
                pid: 9,
                ..Default::default()
            },
            state: 1,
            nice: -5,
            flags: 0x40_0000,
            uid: 1000,
            gid: 1001,
            comm: *b"redis-server\0\0\0\0",
            psargs,
        };
        let mut w = Writer::new(Class::Elf64);
        write_prpsinfo(&mut w, &status)?;
        let d = desc(w, 3)?;
        assert_eq!(d.len(), 136);
        assert!(d[..4] == [1, b'S', 0, 0xfb]);
        assert_eq!(word(&d, 8), 0x40_0000);
        assert_eq!(word(&d, 16), 1000);
        assert_eq!(word(&d, 20), 1001);
        assert_eq!(word(&d, 24), 9);
        assert!(d[40..52] == *b"redis-server");
        assert!(d[56..136].iter().all(|b| *b == b'x'));
        Ok(())
    }

    #[test]
    fn arguments_are_separated_by_spaces() {
        let mut area = *b"cat\0-n\0";
        psargs(&mut area);
        assert!(area == *b"cat -n ");
    }

    #[test]
    fn auxv_ends_with_its_null_entry() -> Result {
        let mut w = Writer::new(Class::Elf64);
        let mut auxv = [0; 64];
        for (index, word) in [33, 0x1000, 16, 5, 0, 0, 99, 99u64].iter().enumerate() {
            auxv[index * 8..][..8].copy_from_slice(&word.to_le_bytes());
        }
        write_auxv(&mut w, &auxv)?;
        let d = desc(w, 6)?;
        assert_eq!(d.len(), 48);
        assert_eq!(word(&d, 0), 33);
        assert_eq!(word(&d, 24), 5);
        assert_eq!(word(&d, 32), 0);
        Ok(())
    }

    #[test]
    fn files_are_a_table_and_then_the_paths() -> Result {
        let paths = b"/bin/a\0/lib/b\0";
        let files = [
            FileMapping {
                start: 0x1000,
                end: 0x3000,
                pgoff: 0,
                path: 0..7,
            },
            FileMapping {
                start: 0x5000,
                end: 0x6000,
                pgoff: 2,
                path: 7..14,
            },
        ];
        let mut w = Writer::new(Class::Elf64);
        write_files(&mut w, &files, paths)?;
        let d = desc(w, 0x4649_4c45)?;
        assert_eq!(d.len(), 16 + 2 * 24 + paths.len());
        assert_eq!(word(&d, 0), 2);
        assert_eq!(word(&d, 8), 4096);
        assert_eq!(word(&d, 16), 0x1000);
        assert_eq!(word(&d, 24), 0x3000);
        assert_eq!(word(&d, 56), 2);
        assert!(d[64..] == *paths);
        Ok(())
    }

    #[test]
    fn a_files_note_that_is_too_big_is_left_out() -> Result {
        let paths = KVVec::from_elem(b'x', FILE_NOTE_LIMIT, GFP_KERNEL)?;
        let mut w = Writer::new(Class::Elf64);
        write_files(&mut w, &[], &paths)?;
        assert_eq!(w.len(), 0);
        Ok(())
    }

    #[test]
    fn xsave_layout_is_left_out_where_there_is_none() -> Result {
        let mut w = Writer::new(Class::Elf64);
        write_xsave_layout(&mut w, &[])?;
        assert_eq!(w.len(), 0);
        write_xsave_layout(&mut w, &[[2, 256, 576], [9, 8, 2688]])?;
        let bytes = w.into_bytes();
        assert_eq!(word(&bytes, 4), 32);
        assert_eq!(word(&bytes, 8), 0x205);
        assert_eq!(word(&bytes, 20), 2);
        assert_eq!(word(&bytes, 24), 256);
        assert_eq!(word(&bytes, 28), 576);
        assert_eq!(word(&bytes, 32), 0);
        assert_eq!(word(&bytes, 36), 9);
        Ok(())
    }

    #[test]
    fn siginfo_says_that_no_signal_happened() -> Result {
        let mut w = Writer::new(Class::Elf64);
        write_siginfo(&mut w)?;
        let d = desc(w, 0x5349_4749)?;
        assert_eq!(d.len(), 128);
        assert!(d.iter().all(|b| *b == 0));
        Ok(())
    }

    #[test]
    fn prstatus_of_32_bits_has_the_kernels_offsets() -> Result {
        let mut gregs = [0; 17 * 4];
        gregs[0] = 0x15;
        gregs[17 * 4 - 1] = 0x77;
        let status = ThreadStatus {
            ids: Ids {
                pid: 101,
                ppid: 102,
                pgrp: 103,
                sid: 104,
            },
            sigpend: 0xffff_ffff_0000_0011,
            sighold: 0x22,
            utime: 3_000_004_999,
            stime: 4_000_005_000,
            cutime: 5_000_006_000,
            cstime: 7_000_008_000,
            fpvalid: true,
        };
        let mut w = Writer::new(Class::Elf32);
        write_prstatus(&mut w, &status, &gregs)?;
        let d = desc(w, 1)?;
        assert_eq!(d.len(), 144);
        assert!(d[..16].iter().all(|b| *b == 0));
        let fields = [0x11, 0x22, 101, 102, 103, 104, 3, 4, 4, 5, 5, 6, 7, 8, 0x15];
        for (index, field) in fields.into_iter().enumerate() {
            assert_eq!(word(&d, 16 + index * 4), field);
        }
        assert_eq!(d[139], 0x77);
        assert_eq!(word(&d, 140), 1);
        Ok(())
    }

    #[test]
    fn prpsinfo_of_32_bits_has_the_kernels_offsets() -> Result {
        let mut psargs = KVec::new();
        psargs.extend_from_slice(&[b'x'; 200], GFP_KERNEL)?;
        let status = ProcessStatus {
            ids: Ids {
                pid: 9,
                ppid: 10,
                pgrp: 11,
                sid: 12,
            },
            state: 1,
            nice: -5,
            flags: 0x40_0000,
            uid: 1000,
            gid: 0xfffe,
            comm: *b"redis-server\0\0\0\0",
            psargs,
        };
        let mut w = Writer::new(Class::Elf32);
        write_prpsinfo(&mut w, &status)?;
        let d = desc(w, 3)?;
        assert_eq!(d.len(), 124);
        assert!(d[..4] == [1, b'S', 0, 0xfb]);
        assert_eq!(word(&d, 4), 0x40_0000);
        assert_eq!(half(&d, 8), 1000);
        assert_eq!(half(&d, 10), 0xfffe);
        for (index, id) in (9..13).enumerate() {
            assert_eq!(word(&d, 12 + index * 4), id);
        }
        assert!(d[28..40] == *b"redis-server");
        assert!(d[44..124].iter().all(|b| *b == b'x'));
        Ok(())
    }

    #[test]
    fn auxv_of_32_bits_has_pairs_of_four_bytes() -> Result {
        let mut auxv = [0; 32];
        for (index, word) in [33, 0x1000, 16, 5, 0, 0, 99, 99u32].iter().enumerate() {
            auxv[index * 4..][..4].copy_from_slice(&word.to_le_bytes());
        }
        let mut w = Writer::new(Class::Elf32);
        write_auxv(&mut w, &auxv)?;
        let d = desc(w, 6)?;
        assert!(d[..] == auxv[..24]);
        Ok(())
    }

    #[test]
    fn files_of_32_bits_are_a_table_of_longs() -> Result {
        let paths = b"/bin/a\0";
        let files = [FileMapping {
            start: 0x1000,
            end: 0xffff_3000,
            pgoff: 2,
            path: 0..7,
        }];
        let mut w = Writer::new(Class::Elf32);
        write_files(&mut w, &files, paths)?;
        let d = desc(w, 0x4649_4c45)?;
        assert_eq!(d.len(), 5 * 4 + paths.len());
        for (index, field) in [1, 4096, 0x1000, 0xffff_3000, 2].into_iter().enumerate() {
            assert_eq!(word(&d, index * 4), field);
        }
        assert!(d[20..] == *paths);
        Ok(())
    }

    #[test]
    fn siginfo_of_32_bits_is_as_long() -> Result {
        let mut w = Writer::new(Class::Elf32);
        write_siginfo(&mut w)?;
        let d = desc(w, 0x5349_4749)?;
        assert_eq!(d.len(), 128);
        assert!(d.iter().all(|b| *b == 0));
        Ok(())
    }
}
