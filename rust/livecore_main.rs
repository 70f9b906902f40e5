// SPDX-License-Identifier: GPL-2.0

//! livecore: `/proc/<pid>/core`, a core of a running process.
//!
//! What is built is dropped in the order of the fields: first the ways in (the entry, the
//! sysctls), then the probes, the watchdog and the notifier of OOM, and last the workqueue on which
//! dumps end.

use kernel::prelude::*;

#[forbid(unsafe_code)]
mod access;
#[forbid(unsafe_code)]
mod attach;
#[forbid(unsafe_code)]
mod btf;
#[forbid(unsafe_code)]
mod elf;
#[forbid(unsafe_code)]
mod file;
#[forbid(unsafe_code)]
mod listing;
#[forbid(unsafe_code)]
mod params;
#[forbid(unsafe_code)]
mod registry;
#[forbid(unsafe_code)]
mod session;
mod sys;
#[forbid(unsafe_code)]
mod target;

module! {
    type: LivecoreModule,
    name: "livecore",
    authors: ["The livecore developers"],
    description: "Core dumps of running processes: /proc/<pid>/core",
    license: "GPL",
}

/// The loaded module.
struct LivecoreModule {
    _listing: listing::Listing,
    _attachment: attach::Attachment,
    _sysctls: registry::Sysctls,
    _probes: registry::Probes,
    _watchdog: registry::Watchdog,
    _oom_notifier: registry::OomNotifier,
    _registry: registry::Registry,
    _workqueue: sys::workqueue::Registration,
}

impl kernel::Module for LivecoreModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let workqueue = sys::workqueue::Registration::new()?;
        let storage = registry::Registry;
        let watchdog = registry::Watchdog::new();
        let oom_notifier = registry::OomNotifier::new()?;
        let probes = registry::Probes::new()?;
        let attachment = attach::Attachment::new()?;
        let listing = listing::Listing::new()?;
        // Last, since the gate is closed until then: nothing is open should loading fail.
        let sysctls = params::register()?;
        Ok(Self {
            _listing: listing,
            _attachment: attachment,
            _sysctls: sysctls,
            _probes: probes,
            _watchdog: watchdog,
            _oom_notifier: oom_notifier,
            _registry: storage,
            _workqueue: workqueue,
        })
    }
}
