// SPDX-License-Identifier: GPL-2.0

//! Who may dump whom: the gate, and then the kernel's own decision on `mem`.

use crate::{
    params::Config,
    sys::{
        core_file::Entry,
        errno,
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
    if entry.for_writing() {
        return Err(errno::eopnotsupp());
    }
    let (task, mm) = memory(entry, leader)?;
    // A process that shares the caller's memory is the caller, as far as this goes.
    if !admits(Some(MmId::of(&mm)) == MmId::of_current()) {
        return Err(EPERM);
    }
    Ok(Target {
        task,
        mm,
        privileged,
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
