// SPDX-License-Identifier: GPL-2.0

//! Reads the memory of a process, a batch of pages at a time.

use crate::{
    elf::PAGE_SIZE,
    sys::memory::{self, PageBatch, UsedMm, BATCH},
};
use kernel::{iov::IovIterDest, prelude::*};

/// How many pages a stretch touches.
fn pages(address: u64, size: u64) -> usize {
    let within = address % PAGE_SIZE;
    usize::try_from(size.saturating_add(within).div_ceil(PAGE_SIZE)).unwrap_or(BATCH)
}

/// What of a stretch lies in the page that it starts in: the offset there, and the length.
fn first_page(address: u64, size: u64) -> (usize, usize) {
    let within = address % PAGE_SIZE;
    (
        within as usize,
        size.min(PAGE_SIZE.saturating_sub(within)) as usize,
    )
}

/// Copies one batch of a process's memory, from `address`; at most `size` bytes. What is not
/// there is zeros.
///
/// Returns how many bytes were copied: fewer than asked for where the batch, or what `to` can
/// take, ends. Fails with `EINTR` if the caller is being killed, and with
/// `ENOMEM`.
pub(crate) fn read_batch(
    mm: &UsedMm,
    address: u64,
    size: u64,
    to: &mut IovIterDest<'_>,
) -> Result<usize> {
    let size = size.min(to.len() as u64);
    let batch = PageBatch::pin(mm, address, pages(address, size))?;
    if batch.count() == 0 {
        let missing = batch.missing().saturating_sub(address % PAGE_SIZE);
        let len = usize::try_from(missing.min(size)).unwrap_or(usize::MAX);
        return Ok(memory::zero_iter(len, to));
    }
    let mut copied = 0usize;
    for index in 0..batch.count() {
        let done = copied as u64;
        let (offset, len) = first_page(address.saturating_add(done), size.saturating_sub(done));
        let step = batch.copy_to_iter(index, offset, len, to);
        copied = copied.saturating_add(step);
        if step < len {
            break;
        }
    }
    Ok(copied)
}

/// Copies a process's memory into a buffer, up to the first page that is not there; returns
/// how many bytes. For what is small.
pub(crate) fn read_small(mm: &UsedMm, address: u64, to: &mut [u8]) -> Result<usize> {
    let batch = PageBatch::pin(mm, address, pages(address, to.len() as u64))?;
    let mut copied = 0usize;
    for index in 0..batch.count() {
        let offset = (address.saturating_add(copied as u64) % PAGE_SIZE) as usize;
        let rest = to.get_mut(copied..).unwrap_or(&mut []);
        copied = copied.saturating_add(batch.copy(index, offset, rest));
    }
    Ok(copied)
}

#[kernel::prelude::kunit_tests(livecore_memory)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_touches_the_pages_that_it_overlaps() {
        assert_eq!(pages(0x1000, 0), 0);
        assert_eq!(pages(0x1000, 1), 1);
        assert_eq!(pages(0x1000, 0x1000), 1);
        assert_eq!(pages(0x1fff, 2), 2);
        assert_eq!(pages(0x1fff, 0x1001), 2);
        assert_eq!(pages(0x1fff, 0x1002), 3);
    }

    #[test]
    fn the_first_page_ends_the_first_step() {
        assert!(first_page(0x1000, 0x5000) == (0, 0x1000));
        assert!(first_page(0x1ff0, 0x5000) == (0xff0, 0x10));
        assert!(first_page(0x1ff0, 4) == (0xff0, 4));
    }
}
