// SPDX-License-Identifier: GPL-2.0

//! Whether the memory of a process can be copied copy-on-write without harm to it, and the
//! copy.

use crate::{
    elf::filter::Filter,
    params::Contents,
    sys::{
        memory::{Mapping, Mappings, UsedMm},
        snapshot::{self, EmptyMm, MmCopy},
        uapi,
    },
};
use kernel::{mm::Mm, prelude::*, sync::aref::ARef, task::Task};

/// A copy, and whose it is.
pub(crate) struct Snapshot {
    copy: MmCopy,
    original: ARef<Mm>,
    task: ARef<Task>,
}

/// Why there is none: `LIVECORE_FALLBACK_*`; the process stays held instead.
pub(crate) struct Fallback(pub(crate) u32);

/// What speaks against copying a mapping: what fork() leaves out or clears, and what a copy
/// would take from the process, or from others.
fn obstacle(mapping: &Mapping<'_>, filter: Filter) -> u32 {
    let traits = mapping.traits();
    // Of what is no memory nothing is read.
    let is_dumped = !traits.io
        && filter
            .dump_size(&traits)
            .bytes(mapping.end().saturating_sub(mapping.start()), false)
            > 0;
    let mut reasons = 0;
    let mut if_so = |condition: bool, reason: u32| {
        if condition {
            reasons |= reason;
        }
    };
    // Without a reservation of its own, the process's next write may be a SIGBUS; what is
    // shared would be missed in the pool when the process is gone.
    if_so(traits.hugetlb, uapi::LIVECORE_FALLBACK_HUGETLB);
    // Its monitor would be told of a fork, and waited for.
    if_so(
        mapping.has_userfaultfd(),
        uapi::LIVECORE_FALLBACK_USERFAULTFD,
    );
    // It would count as attached, by which some tell whether it is in use.
    if_so(mapping.is_sysv(), uapi::LIVECORE_FALLBACK_SYSV);
    // It would refuse what is refused then, or keep something open for longer than expected.
    if_so(mapping.is_counted(), uapi::LIVECORE_FALLBACK_IN_USE);
    if_so(
        is_dumped && mapping.is_not_copied(),
        uapi::LIVECORE_FALLBACK_DONTFORK,
    );
    if_so(
        is_dumped && mapping.is_wiped(),
        uapi::LIVECORE_FALLBACK_WIPEONFORK,
    );
    reasons
}

/// Is a mapped file locked, until nobody has it open? It would stay so when the process is gone.
fn is_any_locked(mappings: &Mappings) -> bool {
    let mut last = None;
    mappings.iter().any(|mapping| {
        // Most often the mappings of a file are next to each other.
        let is_another = last != Some(mapping.file_id());
        last = Some(mapping.file_id());
        is_another && mapping.is_locked()
    })
}

/// How many pages a snapshot may cost: each that is written is in memory twice then; an eighth
/// more for whatever else the process does.
fn pages_at_most(anon: usize, tables: usize) -> usize {
    anon.saturating_add(anon / 8).saturating_add(tables)
}

/// What could be made before the process is held.
pub(crate) struct Room(EmptyMm);

impl Room {
    /// `EOPNOTSUPP`, `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        EmptyMm::new().map(Self)
    }

    /// Copies the memory of a process whose threads are held; nothing of it if `contents` have
    /// none. Waits for `mmap_lock`, killable; that it `is_free` the caller has seen.
    ///
    /// `EINTR` if the caller is being killed.
    pub(crate) fn copy(
        self,
        mm: &Mm,
        task: &Task,
        mappings: &Mappings,
        filter: Filter,
        contents: Contents,
        is_free: bool,
    ) -> Result<Result<Snapshot, Fallback>> {
        let snapshot = |copy| {
            Ok(Ok(Snapshot {
                copy,
                original: mm.into(),
                task: task.into(),
            }))
        };
        if contents == Contents::Registers {
            return snapshot(self.0.copy_nothing());
        }
        let mut reasons = mappings
            .iter()
            .fold(0, |reasons, mapping| reasons | obstacle(&mapping, filter));
        if !is_free {
            reasons |= uapi::LIVECORE_FALLBACK_BUSY;
        }
        if is_any_locked(mappings) {
            reasons |= uapi::LIVECORE_FALLBACK_LOCKED;
        }
        // The caller pays for the page tables, the process for what it writes; they may share
        // a cgroup.
        let tables = snapshot::table_pages(mm).saturating_add(mappings.len() / 8);
        let pages = pages_at_most(snapshot::anon_pages(mm), tables);
        if pages > snapshot::memcg_margin(task, true)
            || tables > snapshot::memcg_margin(kernel::current!(), true)
        {
            reasons |= uapi::LIVECORE_FALLBACK_MEMORY;
        }
        if reasons != 0 {
            return Ok(Err(Fallback(reasons)));
        }
        match self.0.copy(&UsedMm::get(mm)?) {
            Ok(copy) => snapshot(copy),
            Err(error) if error == EINTR => Err(error),
            Err(error) if error == ENOMEM => Ok(Err(Fallback(uapi::LIVECORE_FALLBACK_MEMORY))),
            Err(_) => Ok(Err(Fallback(uapi::LIVECORE_FALLBACK_FAILED))),
        }
    }
}

impl Snapshot {
    /// The copied memory.
    pub(crate) fn mm(&self) -> &Mm {
        self.copy.mm()
    }

    /// Is there still a copy?
    pub(crate) fn lasts(&self) -> bool {
        self.copy.lasts()
    }

    /// Gives the copy back; returns about how many pages. Any context.
    pub(crate) fn give_back(&self) -> usize {
        self.copy.give_back()
    }

    /// Is the process gone whose memory this keeps?
    pub(crate) fn is_orphan(&self) -> bool {
        !snapshot::has_users(&self.original)
    }

    /// Have the process's memory cgroups hardly anything left?
    pub(crate) fn is_in_the_way(&self) -> bool {
        let margin = snapshot::memcg_margin(&self.task, false);
        margin != usize::MAX && margin < snapshot::anon_pages(self.copy.mm()) / 16
    }
}

#[kernel::prelude::kunit_tests(livecore_snapshot)]
mod tests {
    use super::*;

    #[test]
    fn all_pages_may_be_written() {
        assert_eq!(pages_at_most(0, 0), 0);
        assert_eq!(pages_at_most(800, 7), 907);
        assert_eq!(pages_at_most(usize::MAX, 1), usize::MAX);
    }
}
