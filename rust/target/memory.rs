// SPDX-License-Identifier: GPL-2.0

//! Reads the memory of a process, a round of pages at a time, and tells where it has some.
//!
//! Where a page is to be had from is decided here, by [`Source::of()`], for reading and for
//! seeking alike: what is a hole for the one is zeros for the other.

use crate::{
    elf::PAGE_SIZE,
    sys::{
        errno,
        memory::{self, UsedMm},
        pages::{Entry, LockedMapping, LockedMm, Runs, BROUGHT, ROUND},
    },
};
use kernel::{
    error::Error,
    iov::IovIterDest,
    prelude::*,
    sync::atomic::{ordering::Relaxed, Atomic},
};

/// How often a page is tried that is mapped, but goes or moves whenever it is taken.
const TRIES: usize = 64;

/// What has been read, by all readers together.
pub(crate) struct Counters {
    read_bytes: Atomic<u64>,
    hole_bytes: Atomic<u64>,
    unreadable_pages: Atomic<u64>,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            read_bytes: Atomic::new(0),
            hole_bytes: Atomic::new(0),
            unreadable_pages: Atomic::new(0),
        }
    }

    /// Bytes that were returned to readers, notes and holes included, as often as they were.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Relaxed)
    }

    /// Of these: zeros for memory that nobody has ever written.
    pub(crate) fn hole_bytes(&self) -> u64 {
        self.hole_bytes.load(Relaxed)
    }

    /// Pages that should have been there, and were zeros: broken, unmapped meanwhile, or not
    /// to be had from their file. Counted by their first byte.
    pub(crate) fn unreadable_pages(&self) -> u64 {
        self.unreadable_pages.load(Relaxed)
    }

    /// So many bytes were returned.
    pub(crate) fn add_read(&self, bytes: usize) {
        self.read_bytes.fetch_add(bytes as u64, Relaxed);
    }

    fn add_hole(&self, bytes: usize) {
        self.hole_bytes.fetch_add(bytes as u64, Relaxed);
    }

    fn add_unreadable(&self, address: u64, bytes: usize) {
        self.unreadable_pages
            .fetch_add(pages_begun(address, bytes as u64), Relaxed);
    }
}

/// Whether there is something, as lseek(2) has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Data,
    /// Reads as zeros.
    Hole,
}

/// How many pages a stretch touches.
fn pages(address: u64, size: u64) -> u64 {
    let within = address % PAGE_SIZE;
    size.saturating_add(within).div_ceil(PAGE_SIZE)
}

/// Of how many pages the first byte is in a stretch.
fn pages_begun(address: u64, size: u64) -> u64 {
    let end = address.saturating_add(size).div_ceil(PAGE_SIZE);
    end.saturating_sub(address.div_ceil(PAGE_SIZE))
}

/// Where a page of a process is to be had from.
enum Source {
    /// From nowhere: nobody has written it, or it is no memory.
    Hole,
    /// The page tables have it.
    Mapped,
    /// Only a fault finds it.
    Fault,
    /// The page cache of the file, which may have a hole there, too.
    File,
    /// The vdso's image.
    Vdso,
}

impl Source {
    /// That of the page at `address`, what the page tables have for it being `entry`.
    fn of(mapping: &LockedMapping<'_>, address: u64, entry: Entry) -> Self {
        match entry {
            _ if mapping.is_device() => Self::Hole,
            _ if mapping.is_hugetlb() => Self::Fault,
            Entry::Mapped if mapping.is_plain() => Self::Mapped,
            Entry::Special if mapping.is_plain() => Self::Hole,
            Entry::None if mapping.is_of_file() => Self::File,
            Entry::None if none_is_hole(mapping) => Self::Hole,
            Entry::None if !mapping.must_fault() => {
                if mapping.is_vdso(address) {
                    Self::Vdso
                } else {
                    Self::Hole
                }
            }
            _ => Self::Fault,
        }
    }
}

/// Is whatever the page tables of a plain mapping do not have a hole?
fn none_is_hole(mapping: &LockedMapping<'_>) -> bool {
    mapping.is_anonymous()
}

/// What is at an address.
enum Found {
    /// What the runs are.
    Pages,
    /// So many bytes that nobody has ever written.
    Hole(u64),
    /// So many bytes that should be there.
    Unreadable(u64),
}

impl Found {
    /// From an attempt at pages that should be there; where it fails, `size` bytes are missing.
    fn from_attempt(attempt: Result, runs: &Runs, size: u64) -> Result<Self> {
        match attempt {
            // They went just now.
            Ok(()) if runs.is_empty() => Ok(Self::Hole(size)),
            Ok(()) => Ok(Self::Pages),
            Err(error) if is_readers(error) => Err(error),
            Err(_) => Ok(Self::Unreadable(size)),
        }
    }
}

/// Will a later try, or another reader, find a page where this one did not?
fn is_readers(error: Error) -> bool {
    error == EINTR || error == ENOMEM || error == EAGAIN
}

/// Finds the pages from the one with `address` in it up to `end`, or how far there are none.
///
/// Takes `mmap_lock` for read and drops it. May wait for pages to be read in.
fn find(mm: &UsedMm, address: u64, end: u64, runs: &mut Runs) -> Result<Found> {
    let start = address & !(PAGE_SIZE.wrapping_sub(1));
    let size_to = |end: u64| end.saturating_sub(start);
    let lock = LockedMm::lock(mm)?;
    let mapping = match lock.mapping(start) {
        Ok(mapping) => mapping,
        Err(next) => return Ok(Found::Unreadable(size_to(next.min(end)))),
    };
    let end = end.min(mapping.end());
    let mut entry = Entry::Mapped;
    let mut source = Source::Mapped;
    for _ in 0..TRIES {
        // As `Source::of()` has it: those of `Mapped`, and holes among them.
        mapping.take(
            start,
            pages(start, size_to(end)),
            none_is_hole(&mapping),
            runs,
        );
        if !runs.is_empty() {
            return Ok(Found::Pages);
        }
        entry = mapping.entry(start);
        source = Source::of(&mapping, start, entry);
        let Source::Mapped = source else {
            break;
        };
    }
    match source {
        Source::Hole if mapping.is_device() => return Ok(Found::Hole(size_to(end))),
        Source::Hole => {
            let end = mapping.entry_end(start, end, entry);
            return Ok(Found::Hole(size_to(end)));
        }
        Source::Vdso => {
            mapping.take_vdso(start, runs);
            return Ok(Found::Pages);
        }
        Source::Mapped | Source::File | Source::Fault => (),
    }

    // No more than that is looked for: what is mapped may not be asked of others.
    let brought_end = start.saturating_add(BROUGHT.saturating_mul(PAGE_SIZE));
    let huge = mapping.is_hugetlb();
    let end = if huge {
        end
    } else {
        mapping.entry_end(start, end.min(brought_end), entry)
    };
    if let Source::File = source {
        let data = mapping.file_data(start, end);
        if data > start {
            return Ok(Found::Hole(size_to(data)));
        }
        let file = mapping.file(start).ok_or(EFAULT)?;
        drop(lock);
        return match file.take(pages(start, size_to(end)), runs) {
            // It is the file system that says so, perhaps for ever.
            Err(error) if error == EAGAIN => Ok(Found::Unreadable(PAGE_SIZE)),
            attempt => Found::from_attempt(attempt, runs, PAGE_SIZE),
        };
    }
    let left = mapping.huge_page_left(start);
    // Who watches may be parked; of what was swapped out it is not told, as a rule.
    let watched = mapping.is_watched();
    let may_fault = !watched || (entry == Entry::Swapped && !mapping.is_watched_for_reads());
    let attempt = if huge {
        let pages = pages(start, size_to(end).min(left));
        lock.fault_huge(start, pages, may_fault, runs)
    } else {
        lock.fault(start, pages(start, size_to(end)), may_fault, runs)
    };
    match attempt {
        // Nobody has asked for it yet, in all likelihood.
        Err(error) if huge && !watched && !is_readers(error) && error != errno::ehwpoison() => {
            Ok(Found::Hole(left))
        }
        attempt => Found::from_attempt(attempt, runs, if huge { left } else { PAGE_SIZE }),
    }
}

/// Copies one round of a process's memory, from `address`; at most `size` bytes. What is not
/// there is zeros.
///
/// Returns how many bytes were copied: fewer than asked for where the round, or what `to` can
/// take, ends. Fails with `EINTR` if the caller is being killed, and with
/// `ENOMEM`.
pub(crate) fn read_round(
    mm: &UsedMm,
    counters: &Counters,
    address: u64,
    size: u64,
    to: &mut IovIterDest<'_>,
) -> Result<usize> {
    let within = address % PAGE_SIZE;
    let round = ROUND.saturating_mul(PAGE_SIZE).saturating_sub(within);
    let size = size.min(to.len() as u64).min(round);
    let zeros = |missing: u64, to: &mut IovIterDest<'_>| {
        let len = missing.saturating_sub(within).min(size) as usize;
        memory::zero_iter(len, to)
    };
    let mut runs = Runs::new();
    match find(mm, address, address.saturating_add(size), &mut runs)? {
        Found::Pages => (),
        Found::Hole(missing) => {
            let copied = zeros(missing, to);
            counters.add_hole(copied);
            return Ok(copied);
        }
        Found::Unreadable(missing) => {
            let copied = zeros(missing, to);
            counters.add_unreadable(address, copied);
            return Ok(copied);
        }
    };
    let mut copied = 0usize;
    let mut offset = within;
    for run in runs.iter() {
        let len = run
            .size()
            .saturating_sub(offset)
            .min(size.saturating_sub(copied as u64));
        let step = run.copy_to_iter(offset, len, to);
        if run.is_hole() {
            counters.add_hole(step);
        }
        copied = copied.saturating_add(step);
        offset = 0;
        if (step as u64) < len {
            break;
        }
    }
    Ok(copied)
}

/// Copies a process's memory into a buffer, up to the first page that is not there; returns
/// how many bytes. For what is small.
pub(crate) fn read_small(mm: &UsedMm, address: u64, to: &mut [u8]) -> Result<usize> {
    let end = address.saturating_add(to.len() as u64);
    let mut runs = Runs::new();
    let mut copied = 0usize;
    while copied < to.len() {
        let at = address.saturating_add(copied as u64);
        let Found::Pages = find(mm, at, end, &mut runs)? else {
            break;
        };
        let mut offset = at % PAGE_SIZE;
        for run in runs.iter() {
            let rest = to.get_mut(copied..).unwrap_or(&mut []);
            if run.is_hole() {
                return Ok(copied);
            }
            copied = copied.saturating_add(run.copy(offset, rest));
            offset = 0;
        }
    }
    Ok(copied)
}

/// What a process has at `address`, and up to which address it goes on like that, at most up
/// to `end`, which is further; short of the truth where finding that would take long. Fails
/// with `EINTR` if the caller is being killed.
///
/// Takes `mmap_lock` for read and drops it. Waits for nothing else.
pub(crate) fn stretch(mm: &UsedMm, address: u64, end: u64) -> Result<(Kind, u64)> {
    let start = address & !(PAGE_SIZE.wrapping_sub(1));
    let lock = LockedMm::lock(mm)?;
    let mapping = match lock.mapping(start) {
        Ok(mapping) => mapping,
        // Unmapped since open. It is read as zeros, but there was something, maybe.
        Err(next) => return Ok((Kind::Data, next.min(end))),
    };
    let end = end.min(mapping.end());
    let entry = mapping.entry(start);
    match Source::of(&mapping, start, entry) {
        Source::Hole if mapping.is_device() => Ok((Kind::Hole, end)),
        Source::Hole => Ok((Kind::Hole, mapping.entry_end(start, end, entry))),
        Source::File => {
            // The file first: its stretches may be short, where the page tables are empty.
            let data = mapping.file_data(start, end);
            let (kind, end) = if data > start {
                (Kind::Hole, data)
            } else {
                (Kind::Data, mapping.file_hole(start, end))
            };
            Ok((kind, mapping.entry_end(start, end, entry)))
        }
        Source::Vdso => Ok((Kind::Data, start.saturating_add(PAGE_SIZE).min(end))),
        Source::Mapped | Source::Fault => Ok((Kind::Data, mapping.entry_end(start, end, entry))),
    }
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
    fn a_page_is_counted_by_its_first_byte() {
        assert_eq!(pages_begun(0x1000, 0), 0);
        assert_eq!(pages_begun(0x1000, 1), 1);
        assert_eq!(pages_begun(0x1001, 0xfff), 0);
        assert_eq!(pages_begun(0x1001, 0x1000), 1);
        assert_eq!(pages_begun(0x1000, 0x3000), 3);
        assert_eq!(pages_begun(u64::MAX, 1), 0);
    }
}
