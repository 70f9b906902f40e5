// SPDX-License-Identifier: GPL-2.0

//! Where everything is in the file, and what is at a file position.
//!
//! ```text
//! Ehdr | PT_NOTE | PT_LOAD … | notes | pad | data … | (Shdr)
//! ```
//!
//! The notes are in pieces, where their threads have made them. The data is never copied, but
//! read from the process by address.

use super::{
    header::{write_extended_numbering, Header, ProgramHeader, PN_XNUM},
    Class, Writer, PAGE_SIZE,
};
use crate::sys::bytes::Bytes;
use kernel::{alloc::flags::GFP_KERNEL_ACCOUNT, prelude::*};

/// Bytes of the file that are not in one piece.
pub(crate) struct Pieces {
    /// Each with the offset of its end.
    pieces: KVVec<(Bytes, u64)>,
}

impl Pieces {
    pub(crate) fn new() -> Self {
        Self {
            pieces: KVVec::new(),
        }
    }

    /// How many bytes there are.
    pub(crate) fn size(&self) -> u64 {
        self.pieces.last().map_or(0, |(_, end)| *end)
    }

    /// Appends `bytes`.
    pub(crate) fn push(&mut self, bytes: Bytes) -> Result {
        let end = self.size().saturating_add(bytes.len() as u64);
        let apart = match self.pieces.as_mut_slice().last_mut() {
            Some((last, last_end)) => match last.join(bytes) {
                Ok(()) => {
                    *last_end = end;
                    return Ok(());
                }
                Err(bytes) => bytes,
            },
            None => bytes,
        };
        Ok(self.pieces.push((apart, end), GFP_KERNEL_ACCOUNT)?)
    }

    /// What is at `offset`, up to the end of that piece.
    fn at(&self, offset: u64) -> Option<&[u8]> {
        let index = self.pieces.partition_point(|(_, end)| *end <= offset);
        let (bytes, end) = self.pieces.get(index)?;
        let left = usize::try_from(end.checked_sub(offset)?).ok()?;
        bytes.get(bytes.len().checked_sub(left)?..)
    }
}

/// A mapping, as the file has it.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    /// `PF_*`.
    pub(crate) flags: u32,
    /// Its address, and its size in the process, in bytes.
    pub(crate) vaddr: u64,
    pub(crate) memsz: u64,
    /// How much of it is in the file, from its start, in bytes; a multiple of the page size.
    pub(crate) filesz: u64,
}

/// A stretch of data in the file.
struct Stretch {
    offset: u64,
    vaddr: u64,
    size: u64,
}

/// What is at a file position.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Region<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// `size` bytes of the process, from `vaddr`.
    Memory { vaddr: u64, size: u64 },
    /// Nothing: the file ends.
    End,
}

/// A whole core file, but for the memory.
pub(crate) struct Image {
    /// The headers.
    head: KVVec<u8>,
    /// The notes, and the padding behind them.
    notes: Pieces,
    stretches: KVVec<Stretch>,
    tail: KVVec<u8>,
    tail_offset: u64,
}

impl Image {
    /// Lays out a core: `notes` are complete, `segments` in the order of their addresses.
    ///
    /// Fails with `ENOMEM`, or `EOVERFLOW` where the sizes do not add up to a file of that
    /// class: of 32 bits, to less than 4 GiB.
    pub(crate) fn new(class: Class, mut notes: Pieces, segments: &[Segment]) -> Result<Self> {
        let count = (segments.len() as u64).saturating_add(1);
        let notes_offset = class
            .phdr_size()
            .saturating_mul(count)
            .saturating_add(class.ehdr_size());
        let notes_size = notes.size();
        let notes_end = notes_offset.saturating_add(notes_size);
        let data_offset = notes_end
            .checked_next_multiple_of(PAGE_SIZE)
            .ok_or(EOVERFLOW)?;
        let padding = usize::try_from(data_offset.saturating_sub(notes_end))?;
        if padding > 0 {
            notes.push(Bytes::zeroed(padding, GFP_KERNEL_ACCOUNT)?)?;
        }

        let mut head = Writer::new(class);
        head.reserve(usize::try_from(notes_offset)?)?;

        let mut end = data_offset;
        for segment in segments {
            end = end.checked_add(segment.filesz).ok_or(EOVERFLOW)?;
        }
        if end.saturating_add(class.shdr_size()) > class.max_offset() {
            return Err(EOVERFLOW);
        }
        let extended = count >= PN_XNUM;
        Header {
            segments: count,
            section_header: extended.then_some(end),
        }
        .write(&mut head)?;

        ProgramHeader::note(notes_offset, notes_size).write(&mut head)?;
        let mut stretches = KVVec::with_capacity(segments.len(), GFP_KERNEL_ACCOUNT)?;
        let mut offset = data_offset;
        for s in segments {
            ProgramHeader::load(s.flags, s.vaddr, s.memsz, offset, s.filesz).write(&mut head)?;
            if s.filesz > 0 {
                let stretch = Stretch {
                    offset,
                    vaddr: s.vaddr,
                    size: s.filesz,
                };
                stretches.push(stretch, GFP_KERNEL_ACCOUNT)?;
            }
            offset = offset.saturating_add(s.filesz);
        }

        let mut tail = Writer::new(class);
        if extended {
            write_extended_numbering(&mut tail, count)?;
        }
        Ok(Self {
            head: head.into_bytes(),
            notes,
            stretches,
            tail: tail.into_bytes(),
            tail_offset: end,
        })
    }

    /// The file's size, in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.tail_offset.saturating_add(self.tail.len() as u64)
    }

    /// What is at `position`, up to the end of that region.
    pub(crate) fn at(&self, position: u64) -> Region<'_> {
        let after = |bytes: &'_ [u8], start: u64| -> Option<usize> {
            let skip = usize::try_from(position.checked_sub(start)?).ok()?;
            (skip < bytes.len()).then_some(skip)
        };

        if let Some(skip) = after(&self.head, 0) {
            return Region::Bytes(self.head.get(skip..).unwrap_or(&[]));
        }
        let in_notes = position.saturating_sub(self.head.len() as u64);
        if let Some(bytes) = self.notes.at(in_notes) {
            return Region::Bytes(bytes);
        }
        if let Some(skip) = after(&self.tail, self.tail_offset) {
            return Region::Bytes(self.tail.get(skip..).unwrap_or(&[]));
        }
        let index = self
            .stretches
            .partition_point(|s| s.offset.saturating_add(s.size) <= position);
        let inside = |s: &Stretch| {
            let skip = position.checked_sub(s.offset)?;
            Some(Region::Memory {
                vaddr: s.vaddr.checked_add(skip)?,
                size: s.size.checked_sub(skip)?,
            })
        };
        let stretch = self.stretches.get(index);
        stretch.and_then(inside).unwrap_or(Region::End)
    }
}

#[kernel::prelude::kunit_tests(livecore_elf_layout)]
mod tests {
    use super::*;

    fn segment(vaddr: u64, memsz: u64, filesz: u64) -> Segment {
        Segment {
            flags: 4,
            vaddr,
            memsz,
            filesz,
        }
    }

    /// So many bytes of 0xab.
    fn notes(size: usize) -> Result<Pieces> {
        let mut notes = Pieces::new();
        if size > 0 {
            notes.push(Bytes::from_vec(KVVec::from_elem(0xab, size, GFP_KERNEL)?)?)?;
        }
        Ok(notes)
    }

    /// `size` bytes at `position`.
    fn bytes(image: &Image, position: usize, size: usize) -> Result<KVVec<u8>> {
        let mut bytes = KVVec::new();
        while bytes.len() < size {
            let Region::Bytes(piece) = image.at((position + bytes.len()) as u64) else {
                return Err(EINVAL);
            };
            let piece = &piece[..piece.len().min(size - bytes.len())];
            bytes.extend_from_slice(piece, GFP_KERNEL)?;
        }
        Ok(bytes)
    }

    fn three() -> Result<Image> {
        Image::new(
            Class::Elf64,
            notes(100)?,
            &[
                segment(0x10000, 0x3000, 0x3000),
                segment(0x20000, 0x5000, 0),
                segment(0x30000, 0x4000, 0x1000),
            ],
        )
    }

    #[test]
    fn head_is_padded_to_a_page() -> Result {
        let image = three()?;
        let notes = 64 + 4 * 56;
        assert_eq!(image.head.len(), notes);
        assert!(bytes(&image, notes, 100)?.iter().all(|b| *b == 0xab));
        let padding = bytes(&image, notes + 100, 4096 - notes - 100)?;
        assert!(padding.iter().all(|b| *b == 0));
        assert!(matches!(image.at(4096), Region::Memory { .. }));
        assert_eq!(image.size(), 4096 + 0x4000);
        Ok(())
    }

    #[test]
    fn positions_map_to_addresses() -> Result {
        let image = three()?;
        let memory = |vaddr, size| Region::Memory { vaddr, size };
        assert!(image.at(4096) == memory(0x10000, 0x3000));
        assert!(image.at(4096 + 0x2fff) == memory(0x12fff, 1));
        // The second has nothing in the file: the third follows the first.
        assert!(image.at(4096 + 0x3000) == memory(0x30000, 0x1000));
        assert!(image.at(4096 + 0x3fff) == memory(0x30fff, 1));
        assert!(image.at(4096 + 0x4000) == Region::End);
        assert!(image.at(u64::MAX) == Region::End);
        Ok(())
    }

    #[test]
    fn head_is_read_from_any_position() -> Result {
        let image = three()?;
        assert!(matches!(image.at(0), Region::Bytes(b) if b.len() == 288));
        assert!(matches!(image.at(287), Region::Bytes(b) if b.len() == 1));
        assert!(matches!(image.at(288), Region::Bytes(b) if b.len() == 100));
        assert!(matches!(image.at(387), Region::Bytes(b) if b.len() == 1));
        assert!(matches!(image.at(4095), Region::Bytes(b) if b.len() == 1));
        Ok(())
    }

    #[test]
    fn pieces_are_read_in_their_order() -> Result {
        let mut block = Bytes::zeroed(12, GFP_KERNEL)?;
        for (index, byte) in block.iter_mut().enumerate() {
            *byte = index as u8;
        }
        let (one, two) = (block.split_to(4), block.split_to(4));
        let mut pieces = Pieces::new();
        pieces.push(one)?;
        pieces.push(two)?;
        assert_eq!(pieces.pieces.len(), 1);
        pieces.push(Bytes::from_vec(KVVec::from_elem(0xff, 3, GFP_KERNEL)?)?)?;
        pieces.push(block)?;
        assert_eq!(pieces.pieces.len(), 3);
        assert_eq!(pieces.size(), 15);
        assert!(pieces.at(0) == Some(&[0, 1, 2, 3, 4, 5, 6, 7]));
        assert!(pieces.at(7) == Some(&[7]));
        assert!(pieces.at(9) == Some(&[0xff, 0xff]));
        assert!(pieces.at(11) == Some(&[8, 9, 10, 11]));
        assert!(pieces.at(15).is_none());
        Ok(())
    }

    #[test]
    fn a_process_without_mappings_has_notes_alone() -> Result {
        let image = Image::new(Class::Elf64, notes(8)?, &[])?;
        assert_eq!(image.size(), 4096);
        assert!(image.at(4096) == Region::End);
        Ok(())
    }

    #[test]
    fn extended_numbering_starts_where_e_phnum_ends() -> Result {
        let build = |count: usize| -> Result<Image> {
            let segments = KVVec::from_elem(segment(0x1000, 0x1000, 0x1000), count, GFP_KERNEL)?;
            Image::new(Class::Elf64, Pieces::new(), &segments)
        };
        // PT_NOTE counts too.
        let most = build(0xfffd)?;
        assert!(most.tail.is_empty());
        assert!(most.head[56..58] == [0xfe, 0xff]);
        let more = build(0xfffe)?;
        assert_eq!(more.tail.len(), 64);
        assert!(more.head[56..58] == [0xff, 0xff]);
        assert!(matches!(more.at(more.size() - 1), Region::Bytes(b) if b.len() == 1));
        assert!(more.at(more.size()) == Region::End);
        Ok(())
    }

    #[test]
    fn sizes_that_do_not_fit_into_a_file_are_refused() {
        let huge = segment(0, u64::MAX, u64::MAX - 0x2000);
        assert!(Image::new(Class::Elf64, Pieces::new(), &[huge]).is_err());
        assert!(Image::new(Class::Elf64, Pieces::new(), &[huge, huge]).is_err());
    }

    #[test]
    fn a_32_bit_core_has_32_bit_headers_and_less_than_4_gib() -> Result {
        let build = |filesz| {
            Image::new(
                Class::Elf32,
                notes(100)?,
                &[segment(0x1000, 0xffff_d000, filesz)],
            )
        };
        let image = build(0x1000)?;
        let notes = 52 + 2 * 32;
        assert!(bytes(&image, notes, 100)?.iter().all(|b| *b == 0xab));
        assert!(bytes(&image, notes + 100, 4)?.iter().all(|b| *b == 0));
        assert_eq!(image.size(), 0x2000);
        assert_eq!(build(0xffff_d000)?.size(), 0xffff_e000);
        assert!(matches!(build(0xffff_f000), Err(error) if error == EOVERFLOW));
        Ok(())
    }
}
