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
    let is_dumped = filter
        .dump_size(&mapping.traits())
        .bytes(mapping.end().saturating_sub(mapping.start()), false)
        > 0;
    let mut reasons = 0;
    let mut if_so = |condition: bool, reason: u32| {
        if condition {
            reasons |= reason;
        }
    };
    let traits = mapping.traits();
    // Without a reservation of its own, the process's next write may be a SIGBUS.
    if_so(
        traits.hugetlb && !traits.shared,
        uapi::LIVECORE_FALLBACK_HUGETLB,
    );
    // Its monitor would be told of a fork, and waited for.
    if_so(
        mapping.has_userfaultfd(),
        uapi::LIVECORE_FALLBACK_USERFAULTFD,
    );
    // It would count as attached, by which some tell whether it is in use.
    if_so(mapping.is_sysv(), uapi::LIVECORE_FALLBACK_SYSV);
    // It would be mapped for longer than its driver is told, or refuse what is refused then.
    if_so(
        mapping.is_counted() && !mapping.is_sysv(),
        uapi::LIVECORE_FALLBACK_DEVICE,
    );
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

/// So many pages may be written while a snapshot is open, each of them twice in memory then;
/// an eighth more may be something else.
fn may_be_written(pages: usize, margin: usize) -> bool {
    margin == usize::MAX || pages.saturating_add(pages / 8) <= margin
}

/// So many page tables, at most, and what describes so many mappings is the caller's.
fn tables_fit(pages: usize, mappings: usize, margin: usize) -> bool {
    let tables = pages.saturating_add(mappings.saturating_mul(2));
    let descriptions = mappings / 8;
    margin == usize::MAX || (tables / 256).saturating_add(descriptions) <= margin
}

/// What could be made before the process is held.
pub(crate) struct Preparation(EmptyMm);

impl Preparation {
    /// `EOPNOTSUPP`, `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        EmptyMm::new().map(Self)
    }

    /// Copies the memory of a process whose threads are held; nothing of it if `contents` have
    /// none. Waits for `mmap_lock`, killable.
    ///
    /// `EINTR` if the caller is being killed.
    pub(crate) fn copy(
        self,
        mm: &Mm,
        task: &Task,
        mappings: &Mappings,
        filter: Filter,
        contents: Contents,
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
        let pages = snapshot::anon_pages(mm);
        if !may_be_written(pages, snapshot::memcg_margin(task))
            || !tables_fit(
                pages,
                mappings.len(),
                snapshot::memcg_margin(kernel::current!()),
            )
        {
            reasons |= uapi::LIVECORE_FALLBACK_MEMORY;
        }
        if reasons != 0 {
            return Ok(Err(Fallback(reasons)));
        }
        match self.0.copy(&UsedMm::get(mm)?) {
            Ok(copy) => snapshot(copy),
            Err(error) if error == ENOMEM => Ok(Err(Fallback(uapi::LIVECORE_FALLBACK_MEMORY))),
            Err(error) => Err(error),
        }
    }
}

impl Snapshot {
    /// The copied memory.
    pub(crate) fn mm(&self) -> &Mm {
        self.copy.mm()
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
        let margin = snapshot::memcg_margin(&self.task);
        margin < snapshot::anon_pages(self.copy.mm()) / 16
    }
}

#[kernel::prelude::kunit_tests(livecore_snapshot)]
mod tests {
    use super::*;

    #[test]
    fn all_pages_may_be_written() {
        assert!(may_be_written(1000, usize::MAX));
        assert!(may_be_written(0, 0));
        assert!(may_be_written(800, 900));
        assert!(!may_be_written(1000, 1000));
        assert!(!may_be_written(usize::MAX, usize::MAX - 1));
    }

    #[test]
    fn tables_are_a_part_of_what_they_map() {
        assert!(tables_fit(1 << 20, 100, usize::MAX));
        assert!(tables_fit(1 << 18, 16, 1026));
        assert!(!tables_fit(1 << 18, 16, 1024));
        assert!(!tables_fit(0, 1 << 16, 1 << 13));
    }
}
