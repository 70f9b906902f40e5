// SPDX-License-Identifier: GPL-2.0

//! The sysctls `kernel.livecore_*`, and the one value that a dump takes from them.

use crate::sys::sysctl::{Knob, Registration, Watcher};
use kernel::prelude::*;

static ENABLE: Knob = Knob::new(c"livecore_enable", 0, 0, 3);
static TIMEOUT_MS: Knob = Knob::new(c"livecore_timeout_ms", 1_000, 0, 60_000);
static STALL_MS: Knob = Knob::new(c"livecore_stall_ms", 30_000, 1_000, 3_600_000);
static MAX_DUMPS: Knob = Knob::new(c"livecore_max_dumps", 16, 1, 65_536);

static KNOBS: [&Knob; 4] = [&ENABLE, &TIMEOUT_MS, &STALL_MS, &MAX_DUMPS];

/// Who may dump whom at all; access to `mem` is asked for on top.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gate {
    /// Nobody.
    Closed,
    /// CAP_SYS_PTRACE in the initial user namespace.
    Privileged,
    /// Also whoever may open the `mem` of another process.
    Others,
    /// Also a process itself.
    Itself,
}

impl Gate {
    fn from_sysctl(value: u32) -> Self {
        match value {
            1 => Self::Privileged,
            2 => Self::Others,
            3 => Self::Itself,
            _ => Self::Closed,
        }
    }

    /// Does it let a caller through?
    pub(crate) fn admits(self, privileged: bool, itself: bool) -> bool {
        match self {
            Self::Closed => false,
            Self::Privileged => privileged && !itself,
            Self::Others => !itself,
            Self::Itself => true,
        }
    }
}

/// What one dump was asked for: copied from the sysctls when it is opened, its own since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub(crate) gate: Gate,
    /// How long open waits for threads to reach the user boundary, in milliseconds.
    pub(crate) timeout_ms: u32,
    /// After how long without progress the hold ends, in milliseconds.
    pub(crate) stall_ms: u32,
    /// How many dumps may be open at a time in the whole system.
    pub(crate) max_dumps: u32,
}

impl Config {
    /// As the sysctls are now.
    pub(crate) fn current() -> Self {
        Self {
            gate: Gate::from_sysctl(ENABLE.get()),
            timeout_ms: TIMEOUT_MS.get(),
            stall_ms: STALL_MS.get(),
            max_dumps: MAX_DUMPS.get(),
        }
    }
}

/// Adds the sysctls to `/proc/sys/kernel`; `W` is told of every write.
pub(crate) fn register<W: Watcher>() -> Result<Registration<W>> {
    Registration::new(&KNOBS)
}

#[kernel::prelude::kunit_tests(livecore_params)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_opens_by_degrees() {
        let admits = |gate: Gate| {
            [
                gate.admits(false, false),
                gate.admits(true, false),
                gate.admits(false, true),
                gate.admits(true, true),
            ]
        };
        assert!(admits(Gate::Closed) == [false, false, false, false]);
        assert!(admits(Gate::Privileged) == [false, true, false, false]);
        assert!(admits(Gate::Others) == [true, true, false, false]);
        assert!(admits(Gate::Itself) == [true, true, true, true]);
    }

    #[test]
    fn sysctl_values_name_the_levels() {
        assert!(Gate::from_sysctl(0) == Gate::Closed);
        assert!(Gate::from_sysctl(1) == Gate::Privileged);
        assert!(Gate::from_sysctl(2) == Gate::Others);
        assert!(Gate::from_sysctl(3) == Gate::Itself);
        // What the sysctl does not accept, closes.
        assert!(Gate::from_sysctl(4) == Gate::Closed);
    }

    #[test]
    fn a_config_is_within_the_bounds_that_are_documented() {
        let config = Config::current();
        assert!((0..=60_000).contains(&config.timeout_ms));
        assert!((1_000..=3_600_000).contains(&config.stall_ms));
        assert!((1..=65_536).contains(&config.max_dumps));
    }
}
