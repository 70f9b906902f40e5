// SPDX-License-Identifier: GPL-2.0

//! The ELF header, program headers, and the section header that carries their count where
//! it does not fit. `elf_core_dump()` and `fill_elf_header()`, `fs/binfmt_elf.c`.

use super::{Class, Writer, PAGE_SIZE};
use kernel::prelude::*;

/// `e_phnum` where the count does not fit: it is in `sh_info` of section header 0.
pub(crate) const PN_XNUM: u64 = 0xffff;

const ET_CORE: u16 = 4;
const EV_CURRENT: u32 = 1;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;

/// `p_flags`: the segment may be executed, written, read.
pub(crate) const PF_X: u32 = 1;
pub(crate) const PF_W: u32 = 2;
pub(crate) const PF_R: u32 = 4;

/// What the ELF header says of the file.
pub(crate) struct Header {
    /// Program headers, `PT_NOTE` included.
    pub(crate) segments: u64,
    /// Where the section header is, in bytes from the start, if there is one.
    pub(crate) section_header: Option<u64>,
}

impl Header {
    pub(crate) fn write(&self, w: &mut Writer) -> Result {
        let class = w.class();
        w.bytes(b"\x7fELF")?;
        w.u8(class.ident())?;
        w.u8(1)?; // ELFDATA2LSB
        w.u8(1)?; // EV_CURRENT
        w.u8(0)?; // ELFOSABI_NONE
        w.zeros(8)?;
        w.u16(ET_CORE)?;
        w.u16(class.machine())?;
        w.u32(EV_CURRENT)?;
        w.word(0)?; // e_entry
        w.word(class.ehdr_size())?; // e_phoff
        w.word(self.section_header.unwrap_or(0))?;
        w.u32(0)?; // e_flags
        w.u16(class.ehdr_size() as u16)?;
        w.u16(class.phdr_size() as u16)?;
        w.u16(self.segments.min(PN_XNUM) as u16)?;
        if self.section_header.is_some() {
            w.u16(class.shdr_size() as u16)?;
            w.u16(1)?; // e_shnum
        } else {
            w.u32(0)?;
        }
        w.u16(0) // e_shstrndx
    }
}

/// A program header.
#[derive(Clone, Copy)]
pub(crate) struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: u64,
    vaddr: u64,
    filesz: u64,
    memsz: u64,
    align: u64,
}

impl ProgramHeader {
    /// The notes: `size` bytes at `offset`.
    pub(crate) fn note(offset: u64, size: u64) -> Self {
        Self {
            kind: PT_NOTE,
            flags: 0,
            offset,
            vaddr: 0,
            filesz: size,
            memsz: 0,
            align: 4,
        }
    }

    /// A mapping of `memsz` bytes at `vaddr`, of which the first `filesz` are at `offset`.
    pub(crate) fn load(flags: u32, vaddr: u64, memsz: u64, offset: u64, filesz: u64) -> Self {
        Self {
            kind: PT_LOAD,
            flags,
            offset,
            vaddr,
            filesz,
            memsz,
            align: PAGE_SIZE,
        }
    }

    pub(crate) fn write(&self, w: &mut Writer) -> Result {
        let class = w.class();
        w.u32(self.kind)?;
        if class == Class::Elf64 {
            w.u32(self.flags)?;
        }
        w.word(self.offset)?;
        w.word(self.vaddr)?;
        w.word(0)?; // p_paddr
        w.word(self.filesz)?;
        w.word(self.memsz)?;
        if class == Class::Elf32 {
            w.u32(self.flags)?;
        }
        w.word(self.align)
    }
}

/// Section header 0 of a core with more segments than `e_phnum` can tell.
/// `fill_extnum_info()`, `fs/binfmt_elf.c`.
pub(crate) fn write_extended_numbering(w: &mut Writer, segments: u64) -> Result {
    w.u32(0)?; // sh_name
    w.u32(0)?; // SHT_NULL
    w.word(0)?; // sh_flags
    w.word(0)?; // sh_addr
    w.word(0)?; // sh_offset
    w.word(1)?; // sh_size: e_shnum
    w.u32(0)?; // sh_link: e_shstrndx
    w.u32(u32::try_from(segments).map_err(|_| EOVERFLOW)?)?;
    w.word(0)?; // sh_addralign
    w.word(0) // sh_entsize
}

#[kernel::prelude::kunit_tests(livecore_elf_header)]
mod tests {
    use super::*;

    const EHDR_SIZE: u64 = 64;
    const PHDR_SIZE: u64 = 56;
    const SHDR_SIZE: u64 = 64;

    fn u16_at(bytes: &[u8], offset: usize) -> u16 {
        u16::from_le_bytes([bytes[offset], bytes[offset + 1]])
    }

    fn u32_at(bytes: &[u8], offset: usize) -> u32 {
        let mut value = [0; 4];
        value.copy_from_slice(&bytes[offset..offset + 4]);
        u32::from_le_bytes(value)
    }

    fn u64_at(bytes: &[u8], offset: usize) -> u64 {
        let mut value = [0; 8];
        value.copy_from_slice(&bytes[offset..offset + 8]);
        u64::from_le_bytes(value)
    }

    #[test]
    fn header_has_the_size_it_states() -> Result {
        let mut w = Writer::new(Class::Elf64);
        let header = Header {
            segments: 3,
            section_header: None,
        };
        header.write(&mut w)?;
        let bytes = w.into_bytes();
        assert_eq!(bytes.len() as u64, EHDR_SIZE);
        assert!(bytes[..7] == [0x7f, b'E', b'L', b'F', 2, 1, 1]);
        assert_eq!(u16_at(&bytes, 16), ET_CORE);
        assert_eq!(u16_at(&bytes, 18), 62);
        assert_eq!(u64_at(&bytes, 32), EHDR_SIZE);
        assert_eq!(u64_at(&bytes, 40), 0);
        assert_eq!(u16_at(&bytes, 52), EHDR_SIZE as u16);
        assert_eq!(u16_at(&bytes, 54), PHDR_SIZE as u16);
        assert_eq!(u16_at(&bytes, 56), 3);
        assert_eq!(u16_at(&bytes, 58), 0);
        assert_eq!(u16_at(&bytes, 60), 0);
        Ok(())
    }

    #[test]
    fn many_segments_are_counted_in_the_section_header() -> Result {
        let mut w = Writer::new(Class::Elf64);
        let header = Header {
            segments: 70_001,
            section_header: Some(0x1234_5000),
        };
        header.write(&mut w)?;
        write_extended_numbering(&mut w, 70_001)?;
        let bytes = w.into_bytes();
        assert_eq!(bytes.len() as u64, EHDR_SIZE + SHDR_SIZE);
        assert_eq!(u16_at(&bytes, 56), 0xffff);
        assert_eq!(u64_at(&bytes, 40), 0x1234_5000);
        assert_eq!(u16_at(&bytes, 58), SHDR_SIZE as u16);
        assert_eq!(u16_at(&bytes, 60), 1);
        // sh_size and sh_info.
        assert_eq!(u64_at(&bytes, 64 + 32), 1);
        assert_eq!(u64_at(&bytes, 64 + 40) >> 32, 70_001);
        Ok(())
    }

    #[test]
    fn program_headers_have_the_kernels_fields() -> Result {
        let mut w = Writer::new(Class::Elf64);
        ProgramHeader::note(0x120, 0x500).write(&mut w)?;
        ProgramHeader::load(PF_R | PF_W, 0x7000, 0x3000, 0x2000, 0x1000).write(&mut w)?;
        let bytes = w.into_bytes();
        assert_eq!(bytes.len() as u64, 2 * PHDR_SIZE);
        assert_eq!(u64_at(&bytes, 0), u64::from(PT_NOTE));
        assert_eq!(u64_at(&bytes, 8), 0x120);
        assert_eq!(u64_at(&bytes, 32), 0x500);
        assert_eq!(u64_at(&bytes, 40), 0);
        assert_eq!(u64_at(&bytes, 48), 4);
        let load = &bytes[PHDR_SIZE as usize..];
        assert_eq!(u64_at(load, 0), 6 << 32 | u64::from(PT_LOAD));
        assert_eq!(u64_at(load, 8), 0x2000);
        assert_eq!(u64_at(load, 16), 0x7000);
        assert_eq!(u64_at(load, 24), 0);
        assert_eq!(u64_at(load, 32), 0x1000);
        assert_eq!(u64_at(load, 40), 0x3000);
        assert_eq!(u64_at(load, 48), PAGE_SIZE);
        Ok(())
    }

    #[test]
    fn a_32_bit_header_is_as_long_as_it_states() -> Result {
        let mut w = Writer::new(Class::Elf32);
        let header = Header {
            segments: 70_001,
            section_header: Some(0x1234_5000),
        };
        header.write(&mut w)?;
        write_extended_numbering(&mut w, 70_001)?;
        let bytes = w.into_bytes();
        assert_eq!(bytes.len(), 52 + 40);
        assert!(bytes[..7] == [0x7f, b'E', b'L', b'F', 1, 1, 1]);
        assert_eq!(u16_at(&bytes, 16), ET_CORE);
        assert_eq!(u16_at(&bytes, 18), 3);
        assert_eq!(u32_at(&bytes, 20), 1);
        assert_eq!(u32_at(&bytes, 28), 52);
        assert_eq!(u32_at(&bytes, 32), 0x1234_5000);
        assert_eq!(u16_at(&bytes, 40), 52);
        assert_eq!(u16_at(&bytes, 42), 32);
        assert_eq!(u16_at(&bytes, 44), 0xffff);
        assert_eq!(u16_at(&bytes, 46), 40);
        assert_eq!(u16_at(&bytes, 48), 1);
        assert_eq!(u16_at(&bytes, 50), 0);
        // sh_size and sh_info.
        assert_eq!(u32_at(&bytes, 52 + 20), 1);
        assert_eq!(u32_at(&bytes, 52 + 28), 70_001);
        Ok(())
    }

    #[test]
    fn a_32_bit_program_header_has_its_flags_behind_the_sizes() -> Result {
        let mut w = Writer::new(Class::Elf32);
        ProgramHeader::load(PF_R | PF_W, 0x7000, 0x3000, 0x2000, 0x1000).write(&mut w)?;
        let bytes = w.into_bytes();
        assert_eq!(bytes.len(), 32);
        let fields = [PT_LOAD, 0x2000, 0x7000, 0, 0x1000, 0x3000, 6, 4096];
        for (index, field) in fields.into_iter().enumerate() {
            assert_eq!(u32_at(&bytes, index * 4), field);
        }
        Ok(())
    }
}
