// SPDX-License-Identifier: GPL-2.0

//! Which pages are dumped of mappings that are dumped in part.

use super::{layout::Segment, PAGE_SIZE};
use kernel::{alloc::flags::GFP_KERNEL_ACCOUNT, prelude::*, rbtree::RBTree};

/// Stretches of pages, which may overlap: start and end.
pub(crate) struct Stretches(RBTree<u64, u64>);

/// The same, merged, in order.
pub(crate) struct Merged(KVVec<(u64, u64)>);

impl Stretches {
    pub(crate) fn new() -> Self {
        Self(RBTree::new())
    }

    /// Adds the pages that `size` bytes from `start` on touch.
    pub(crate) fn add(&mut self, start: u64, size: u64) -> Result {
        let end = start
            .saturating_add(size)
            .checked_next_multiple_of(PAGE_SIZE)
            .unwrap_or(u64::MAX);
        let start = start.saturating_sub(start % PAGE_SIZE);
        if let Some(known) = self.0.get_mut(&start) {
            *known = end.max(*known);
        } else if start < end {
            self.0
                .try_create_and_insert(start, end, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(())
    }

    pub(crate) fn merge(&self) -> Result<Merged> {
        let mut merged = KVVec::<(u64, u64)>::new();
        for (&start, &end) in self.0.iter() {
            match merged.last_mut() {
                Some(last) if start <= last.1 => last.1 = end.max(last.1),
                _ => merged.push((start, end), GFP_KERNEL_ACCOUNT)?,
            }
        }
        Ok(Merged(merged))
    }
}

impl Merged {
    /// Cuts a segment into some of which the first part is dumped, or nothing: of its first
    /// `filesz` bytes what is in a stretch.
    pub(crate) fn cut(&self, segment: Segment, mut visit: impl FnMut(Segment) -> Result) -> Result {
        let limit = segment.vaddr.saturating_add(segment.filesz);
        let first = self.0.partition_point(|&(_, end)| end <= segment.vaddr);
        let mut piece = Segment {
            filesz: 0,
            ..segment
        };
        for &(start, end) in self.0.iter().skip(first) {
            let (start, end) = (start.max(segment.vaddr), end.min(limit));
            if start >= end {
                break;
            }
            let before = start.saturating_sub(piece.vaddr);
            if before > 0 {
                visit(Segment {
                    memsz: before,
                    ..piece
                })?;
            }
            piece.vaddr = start;
            piece.memsz = piece.memsz.saturating_sub(before);
            piece.filesz = end.saturating_sub(start);
        }
        visit(piece)
    }
}

#[kernel::prelude::kunit_tests(livecore_elf_stretches)]
mod tests {
    use super::*;

    fn pieces(
        stretches: &[(u64, u64)],
        (vaddr, memsz, filesz): (u64, u64, u64),
    ) -> Result<KVVec<(u64, u64, u64)>> {
        let mut all = Stretches::new();
        for &(start, size) in stretches {
            all.add(start, size)?;
        }
        let mut pieces = KVVec::new();
        let mapping = Segment {
            flags: 4,
            vaddr,
            memsz,
            filesz,
        };
        all.merge()?.cut(mapping, |p| {
            assert_eq!(p.flags, 4);
            Ok(pieces.push((p.vaddr, p.memsz, p.filesz), GFP_KERNEL)?)
        })?;
        Ok(pieces)
    }

    #[test]
    fn a_mapping_without_stretches_is_one_empty_piece() -> Result {
        let whole = (0x10000, 0x5000, 0x5000);
        assert!(pieces(&[], whole)?[..] == [(0x10000, 0x5000, 0)]);
        // Neighbours do not count, nor do stretches of nothing.
        let around = [(0xf000, 0x1000), (0x15000, 0x1000), (0x12000, 0)];
        assert!(pieces(&around, whole)?[..] == [(0x10000, 0x5000, 0)]);
        Ok(())
    }

    #[test]
    fn stretches_are_whole_pages() -> Result {
        let whole = (0x10000, 0x5000, 0x5000);
        assert!(
            pieces(&[(0x11fff, 2)], whole)?[..]
                == [(0x10000, 0x1000, 0), (0x11000, 0x4000, 0x2000)]
        );
        Ok(())
    }

    #[test]
    fn stretches_are_merged() -> Result {
        let whole = (0x10000, 0x8000, 0x8000);
        let all = [
            (0x13000, 0x1000),
            (0x11000, 0x1000),
            (0x12000, 0x1000),
            (0x11000, 0x10),
            (0x16000, 0x1000),
        ];
        assert!(
            pieces(&all, whole)?[..]
                == [
                    (0x10000, 0x1000, 0),
                    (0x11000, 0x5000, 0x3000),
                    (0x16000, 0x2000, 0x1000)
                ]
        );
        Ok(())
    }

    #[test]
    fn a_stretch_ends_with_the_mapping_and_with_what_the_filter_allows() -> Result {
        let over = [(0xf000, 0x10000)];
        assert!(pieces(&over, (0x10000, 0x5000, 0x5000))?[..] == [(0x10000, 0x5000, 0x5000)]);
        assert!(pieces(&over, (0x10000, 0x5000, 0x1000))?[..] == [(0x10000, 0x5000, 0x1000)]);
        assert!(pieces(&over, (0x10000, 0x5000, 0))?[..] == [(0x10000, 0x5000, 0)]);
        let second = [(0x12000, 0x1000)];
        assert!(pieces(&second, (0x10000, 0x5000, 0x1000))?[..] == [(0x10000, 0x5000, 0)]);
        Ok(())
    }

    #[test]
    fn the_end_of_the_address_space_does_not_wrap() -> Result {
        let mut all = Stretches::new();
        all.add(u64::MAX - 10, 100)?;
        assert!(all.merge()?.0[..] == [(u64::MAX - 0xfff, u64::MAX)]);
        Ok(())
    }
}
