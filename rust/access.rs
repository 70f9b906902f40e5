// SPDX-License-Identifier: GPL-2.0

//! Who may dump whom: the gate, and then the kernel's own decision on `mem`.

use crate::{
    params::{Config, Gate},
    sys::{
        core_file::Entry,
        task::{self, MmId, ProcessId},
    },
};
use kernel::{mm::Mm, prelude::*, sync::aref::ARef, task::Task};

/// A process that the caller may dump.
pub(crate) struct Target {
    /// A thread of it that was alive.
    pub(crate) task: ARef<Task>,
    /// Its memory, found once.
    pub(crate) mm: ARef<Mm>,
    /// Is the caller exempt from limits?
    pub(crate) privileged: bool,
    /// Is it the caller's own?
    itself: bool,
    /// Where its root is, as the caller sees it; `None` where that is too long a path.
    pub(crate) root: Option<KVec<u8>>,
}

impl Target {
    /// Asks the gate again, and whether the process is still what it was: `EPERM`, `ESRCH`.
    pub(crate) fn check(&self, gate: Gate) -> Result {
        if !gate.admits(self.privileged, self.itself) {
            return Err(EPERM);
        }
        // Any thread of it: the one that it was found by may have exited since.
        let mm = Some(MmId::of(&self.mm));
        if !task::threads(&self.task)?
            .iter()
            .any(|task| MmId::of_task(task) == mm)
        {
            return Err(ESRCH);
        }
        Ok(())
    }
}

/// Asks the gate (`EPERM`), and then for the process's memory (`EACCES`, `ESRCH`), with the
/// caller's credentials.
pub(crate) fn check(entry: &Entry<'_>, config: &Config) -> Result<Target> {
    let leader = entry.task()?;
    let caller = task::current();
    let privileged = task::capable_sys_ptrace();
    let admits = |itself| config.gate.admits(privileged, itself);
    if !admits(ProcessId::of(&leader) == ProcessId::of(&caller)) {
        return Err(EPERM);
    }
    let (task, mm) = memory(entry, leader)?;
    // A process that shares the caller's memory is the caller, as far as this goes.
    let itself = Some(MmId::of(&mm)) == MmId::of_current();
    if !admits(itself) {
        return Err(EPERM);
    }
    let root = root(&task, &mm)?;
    Ok(Target {
        task,
        mm,
        root,
        privileged,
        itself,
    })
}

/// The memory of the process; by way of another thread where the leader has exited before it.
fn memory(entry: &Entry<'_>, leader: ARef<Task>) -> Result<(ARef<Task>, ARef<Mm>)> {
    match entry.mm(&leader) {
        Err(error) if error == ESRCH => (),
        result => return result.map(|mm| (leader, mm)),
    }
    for task in task::threads(&leader)? {
        if MmId::of_task(&task).is_none() {
            continue;
        }
        match entry.mm(&task) {
            // This one has exited meanwhile.
            Err(error) if error == ESRCH => (),
            result => return result.map(|mm| (task, mm)),
        }
    }
    Err(ESRCH)
}

/// Where the root of the process is, by way of any thread that has not exited; `None` where
/// its path is too long; `ESRCH`, `ENOMEM`.
fn root(task: &Task, mm: &Mm) -> Result<Option<KVec<u8>>> {
    match task::root(task, mm) {
        Err(error) if error == ESRCH => (),
        result => return result,
    }
    for task in task::threads(task)? {
        match task::root(&task, mm) {
            Err(error) if error == ESRCH => (),
            result => return result,
        }
    }
    Err(ESRCH)
}
