// SPDX-License-Identifier: GPL-2.0

//! Makes `core` appear in `/proc/<pid>/`, on a kernel that is what we take it for, and
//! disappear safely.

use crate::{
    btf::Btf,
    file::Core,
    sys::{
        core_file,
        pident::{self, Pident, PidentHook, Procfs},
        registers, snapshot, symbols,
    },
};
use kernel::prelude::*;

/// `core` in `/proc/<pid>/`, while this exists.
pub(crate) struct Attachment {
    entry: Option<Pident>,
}

impl Attachment {
    /// Checks the kernel, adds the entry, and looks whether it is there. Says in the log what
    /// is wrong, where something is.
    pub(crate) fn new() -> Result<Self> {
        check_layouts()?;
        symbols::bind_task_work()?;
        symbols::bind_ptrace_may_access()?;
        registers::bind_views()?;
        // Without them the rest does.
        let _ = snapshot::bind();
        let procfs = Procfs {
            table: symbols::resolve(c"tgid_base_stuff")?,
            lookup: symbols::resolve(c"proc_pident_lookup")?,
            readdir: symbols::resolve(c"proc_pident_readdir")?,
        };
        let hook = PidentHook::register(&procfs).inspect_err(|error| {
            pr_err!("cannot hook the lookup of /proc/<pid>/: {:?}\n", error);
        })?;
        // Left over from a lookup that was in flight when a previous load went.
        pident::drop_cached_entries();
        let entry = hook
            .publish(&core_file::operations::<Core>())
            .inspect_err(|error| {
                pr_err!("/proc/<pid>/ is not looked up as we expect: {:?}\n", error);
            })?;
        let this = Self { entry: Some(entry) };
        if let Some(entry) = &this.entry {
            entry.selftest().inspect_err(|error| {
                pr_err!("`core` did not appear in /proc/<pid>/: {:?}\n", error);
            })?;
        }
        Ok(this)
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        // First unhook, so that the walk meets no new ones but those in flight.
        self.entry = None;
        pident::drop_cached_entries();
    }
}

/// Is every structure that we reach into laid out as it was when we were compiled?
fn check_layouts() -> Result {
    let btf = Btf::parse(symbols::kernel_btf()?).inspect_err(|error| {
        pr_err!("this kernel's BTF cannot be read: {:?}\n", error);
    })?;
    let mut current = None;
    for layout in symbols::layouts() {
        // They come structure by structure.
        let structure = match current {
            Some((kind, structure)) if kind == layout.kind => structure,
            _ => btf.structure(layout.kind.to_bytes()),
        };
        current = Some((layout.kind, structure));
        let found = structure.and_then(|structure| match layout.member {
            Some(member) => btf.offset_of(structure, member.to_bytes()),
            None => Some(structure.size()),
        });
        if found != Some(layout.bytes) {
            pr_err!(
                "built for another kernel: {}.{} is at {}, here at {:?}\n",
                layout.kind,
                layout.member.unwrap_or(c"size"),
                layout.bytes,
                found,
            );
            return Err(EINVAL);
        }
    }
    Ok(())
}
