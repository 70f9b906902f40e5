// SPDX-License-Identifier: GPL-2.0

//! The sysctls `kernel.livecore_*`, and the one value that a dump takes from them.

use crate::{
    elf::filter::Filter,
    sys::{
        errno, snapshot,
        sysctl::{Knob, Registration, Watcher},
        task, uapi,
    },
};
use core::{num::NonZeroU32, ptr};
use kernel::prelude::*;

static ENABLE: Knob = Knob::new(c"livecore_enable", 0, 0, 3);
static MODE: Knob = Knob::new(c"livecore_mode", 0, 0, 1);
static CONTENTS: Knob = Knob::new(c"livecore_contents", 2, 0, 2);
static BLOCKED: Knob = Knob::new(c"livecore_blocked", 1, 0, 1);
static FILTER_MASK: Knob = Knob::new(c"livecore_filter_mask", Filter::ALL, 0, Filter::ALL);
static TIMEOUT_MS: Knob = Knob::new(c"livecore_timeout_ms", 1_000, 0, 60_000);
static STALL_MS: Knob = Knob::new(c"livecore_stall_ms", 30_000, 1_000, 3_600_000);
static HOLD_MAX_MS: Knob = Knob::new(c"livecore_hold_max_ms", 0, 0, 3_600_000);
static ABORT: Knob = Knob::new(c"livecore_abort", 1, 0, 2);
static MAX_DUMPS: Knob = Knob::new(c"livecore_max_dumps", 16, 1, 65_536);

static KNOBS: [&Knob; 10] = [
    &ENABLE,
    &MODE,
    &CONTENTS,
    &BLOCKED,
    &FILTER_MASK,
    &TIMEOUT_MS,
    &STALL_MS,
    &HOLD_MAX_MS,
    &ABORT,
    &MAX_DUMPS,
];

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

/// For how long the process is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Until close.
    Hold,
    /// Until its memory is copied, copy-on-write.
    Snapshot,
}

impl Mode {
    fn from_u32(value: u32) -> Self {
        match value {
            uapi::LIVECORE_MODE_SNAPSHOT => Self::Snapshot,
            _ => Self::Hold,
        }
    }

    /// `LIVECORE_MODE_*`.
    pub(crate) fn to_u32(self) -> u32 {
        match self {
            Self::Hold => uapi::LIVECORE_MODE_HOLD,
            Self::Snapshot => uapi::LIVECORE_MODE_SNAPSHOT,
        }
    }

    /// `EOPNOTSUPP` for a snapshot where there are none.
    fn check(self, snapshots: bool) -> Result<Self> {
        if self == Self::Snapshot && !snapshots {
            return Err(errno::eopnotsupp());
        }
        Ok(self)
    }
}

/// `EPERM` for a writer without CAP_SYS_PTRACE in the initial user namespace, as Yama has it: to
/// be root is not enough. `EOPNOTSUPP` for what this kernel cannot do.
pub(crate) fn check(knob: &Knob, value: u32) -> Result {
    if !task::capable_sys_ptrace() {
        return Err(EPERM);
    }
    if ptr::eq(knob, &MODE) {
        Mode::from_u32(value).check(snapshot::is_available())?;
    }
    Ok(())
}

/// What of the process is in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contents {
    /// Notes alone.
    Registers,
    /// What backtraces of all threads need.
    Stacks,
    /// What the filter says.
    Full,
}

impl Contents {
    fn from_u32(value: u32) -> Self {
        match value {
            uapi::LIVECORE_CONTENTS_REGISTERS => Self::Registers,
            uapi::LIVECORE_CONTENTS_STACKS => Self::Stacks,
            _ => Self::Full,
        }
    }

    /// `LIVECORE_CONTENTS_*`.
    pub(crate) fn to_u32(self) -> u32 {
        match self {
            Self::Registers => uapi::LIVECORE_CONTENTS_REGISTERS,
            Self::Stacks => uapi::LIVECORE_CONTENTS_STACKS,
            Self::Full => uapi::LIVECORE_CONTENTS_FULL,
        }
    }
}

/// Which signals to a held process end the hold, besides those that end the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Abort {
    /// None.
    Fatal,
    /// Those by which somebody else wants to stop it, to end it, or to have it go on.
    Outside,
    /// Any.
    Any,
}

impl Abort {
    fn from_u32(value: u32) -> Self {
        match value {
            uapi::LIVECORE_ABORT_FATAL => Self::Fatal,
            uapi::LIVECORE_ABORT_ANY => Self::Any,
            _ => Self::Outside,
        }
    }
}

/// What one dump was asked for: copied from the sysctls when it is opened, its own since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub(crate) gate: Gate,
    pub(crate) mode: Mode,
    pub(crate) contents: Contents,
    /// Are threads that sleep in the kernel read in place, or waited for?
    pub(crate) in_place: bool,
    /// Which bits of the process's filter count; and those that the sysctl lets count, for
    /// those who may only ask for less.
    filter_mask: u32,
    filter_limit: u32,
    /// How long open waits for threads to reach the user boundary, in milliseconds.
    pub(crate) timeout_ms: u32,
    /// After how long without progress the hold ends, in milliseconds.
    pub(crate) stall_ms: u32,
    /// After how long the hold ends in any case, in milliseconds.
    pub(crate) hold_max_ms: Option<NonZeroU32>,
    pub(crate) abort: Abort,
    /// How many dumps may be open at a time in the whole system.
    pub(crate) max_dumps: u32,
}

impl Config {
    /// As the sysctls are now.
    pub(crate) fn current() -> Self {
        let filter_mask = FILTER_MASK.get();
        Self {
            gate: Gate::from_sysctl(ENABLE.get()),
            mode: Mode::from_u32(MODE.get()),
            contents: Contents::from_u32(CONTENTS.get()),
            in_place: BLOCKED.get() != uapi::LIVECORE_BLOCKED_WAIT,
            filter_mask,
            filter_limit: filter_mask,
            timeout_ms: TIMEOUT_MS.get(),
            stall_ms: STALL_MS.get(),
            hold_max_ms: NonZeroU32::new(HOLD_MAX_MS.get()),
            abort: Abort::from_u32(ABORT.get()),
            max_dumps: MAX_DUMPS.get(),
        }
    }

    /// As the sysctls are, but for what `asked` sets: `EINVAL` for what no dump can be,
    /// `EOPNOTSUPP` for what is not there, and `EPERM` for what only a privileged caller may
    /// have: more than the sysctls say.
    pub(crate) fn from_user(asked: &uapi::Config, privileged: bool) -> Result<Self> {
        const KNOWN: u32 = uapi::LIVECORE_SET_MODE
            | uapi::LIVECORE_SET_CONTENTS
            | uapi::LIVECORE_SET_BLOCKED
            | uapi::LIVECORE_SET_TIMEOUT_MS
            | uapi::LIVECORE_SET_STALL_MS
            | uapi::LIVECORE_SET_FILTER_MASK
            | uapi::LIVECORE_SET_ABORT
            | uapi::LIVECORE_SET_HOLD_MAX_MS;

        if asked.set & !KNOWN != 0 {
            return Err(EINVAL);
        }
        let value = |bit: u32, value: u32, knob: &Knob| -> Result<Option<u32>> {
            if asked.set & bit == 0 {
                return Ok(None);
            }
            if !knob.accepts(value) {
                return Err(EINVAL);
            }
            Ok(Some(value))
        };
        let at_most = |bit: u32, asked: u32, knob: &Knob| -> Result<u32> {
            let limit = knob.get();
            match value(bit, asked, knob)? {
                Some(value) if value > limit && !privileged => Err(EPERM),
                Some(value) => Ok(value),
                None => Ok(limit),
            }
        };
        let mode = match value(uapi::LIVECORE_SET_MODE, asked.mode, &MODE)?.map(Mode::from_u32) {
            // For longer than the sysctl says.
            Some(Mode::Hold) if Mode::from_u32(MODE.get()) != Mode::Hold && !privileged => {
                return Err(EPERM)
            }
            mode => mode,
        };
        let contents = at_most(uapi::LIVECORE_SET_CONTENTS, asked.contents, &CONTENTS)?;
        // In place, open returns sooner; the process stands still no longer for it.
        let blocked = value(uapi::LIVECORE_SET_BLOCKED, asked.blocked, &BLOCKED)?;
        let current = Self::current();
        let abort = match value(uapi::LIVECORE_SET_ABORT, asked.abort, &ABORT)? {
            Some(abort) if Abort::from_u32(abort) < current.abort && !privileged => {
                return Err(EPERM)
            }
            abort => abort.map_or(current.abort, Abort::from_u32),
        };
        let hold_max_ms = value(
            uapi::LIVECORE_SET_HOLD_MAX_MS,
            asked.hold_max_ms,
            &HOLD_MAX_MS,
        )?;
        let hold_max_ms = match hold_max_ms.map(NonZeroU32::new) {
            Some(asked) if is_longer(asked, current.hold_max_ms) && !privileged => {
                return Err(EPERM)
            }
            asked => asked.unwrap_or(current.hold_max_ms),
        };
        let mask = value(
            uapi::LIVECORE_SET_FILTER_MASK,
            asked.filter_mask,
            &FILTER_MASK,
        )?;
        let filter_mask = mask.unwrap_or(current.filter_mask);
        Ok(Self {
            mode: mode
                .unwrap_or(current.mode)
                .check(snapshot::is_available())?,
            contents: Contents::from_u32(contents),
            in_place: blocked.map_or(current.in_place, |blocked| {
                blocked != uapi::LIVECORE_BLOCKED_WAIT
            }),
            filter_mask,
            filter_limit: if privileged {
                filter_mask
            } else {
                current.filter_limit
            },
            timeout_ms: at_most(uapi::LIVECORE_SET_TIMEOUT_MS, asked.timeout_ms, &TIMEOUT_MS)?,
            stall_ms: at_most(uapi::LIVECORE_SET_STALL_MS, asked.stall_ms, &STALL_MS)?,
            hold_max_ms,
            abort,
            ..current
        })
    }

    /// The filter of a dump of a process whose own is `bits`: what is not honoured of it is
    /// taken from the kernel's default.
    pub(crate) fn filter(&self, bits: u32) -> Filter {
        let honoured = |mask: u32| (bits & mask) | (Filter::KERNEL_DEFAULT & !mask);
        Filter::new(honoured(self.filter_mask) & honoured(self.filter_limit))
    }
}

/// Is the first time longer than the second, of which none is for ever?
fn is_longer(one: Option<NonZeroU32>, other: Option<NonZeroU32>) -> bool {
    match (one, other) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(one), Some(other)) => one > other,
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
    fn snapshots_are_refused_where_there_are_none() {
        assert!(Mode::Hold.check(false).is_ok());
        assert!(Mode::Hold.check(true).is_ok());
        assert!(Mode::Snapshot.check(true).is_ok());
        assert!(Mode::Snapshot
            .check(false)
            .is_err_and(|error| error == errno::eopnotsupp()));
    }

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

    fn asked(set: u32) -> uapi::Config {
        uapi::Config {
            size: size_of::<uapi::Config>() as u32,
            set,
            ..Default::default()
        }
    }

    #[test]
    fn what_is_not_set_is_as_in_the_sysctls() -> Result {
        let config = Config::from_user(&asked(0), false)?;
        assert_eq!(config.timeout_ms, Config::current().timeout_ms);
        assert_eq!(config.stall_ms, Config::current().stall_ms);
        assert!(config.contents == Config::current().contents);
        Ok(())
    }

    #[test]
    fn more_than_the_sysctls_takes_privilege() -> Result {
        let limit = Config::current().stall_ms;
        let mut more = asked(uapi::LIVECORE_SET_STALL_MS);
        more.stall_ms = limit + 1;
        assert!(Config::from_user(&more, false).is_err_and(|error| error == EPERM));
        assert_eq!(Config::from_user(&more, true)?.stall_ms, limit + 1);
        more.stall_ms = limit - 1;
        assert_eq!(Config::from_user(&more, false)?.stall_ms, limit - 1);
        more.stall_ms = 0;
        assert!(Config::from_user(&more, true).is_err_and(|error| error == EINVAL));
        Ok(())
    }

    #[test]
    fn no_limit_is_the_longest() {
        let ms = NonZeroU32::new;
        assert!(!is_longer(None, None));
        assert!(!is_longer(ms(5), None));
        assert!(is_longer(None, ms(5)));
        assert!(is_longer(ms(6), ms(5)));
        assert!(!is_longer(ms(5), ms(5)));
    }

    #[test]
    fn sooner_aborted_takes_no_privilege() -> Result {
        let mut sooner = asked(uapi::LIVECORE_SET_ABORT);
        assert!(Config::current().abort == Abort::Outside);
        sooner.abort = uapi::LIVECORE_ABORT_ANY;
        assert!(Config::from_user(&sooner, false)?.abort == Abort::Any);
        sooner.abort = uapi::LIVECORE_ABORT_FATAL;
        assert!(Config::from_user(&sooner, false).is_err_and(|error| error == EPERM));
        assert!(Config::from_user(&sooner, true)?.abort == Abort::Fatal);
        sooner.abort = 3;
        assert!(Config::from_user(&sooner, true).is_err_and(|error| error == EINVAL));
        Ok(())
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let unknown = asked(1 << 31);
        assert!(Config::from_user(&unknown, true).is_err_and(|error| error == EINVAL));
        let mut mode = asked(uapi::LIVECORE_SET_MODE);
        mode.mode = 2;
        assert!(Config::from_user(&mode, true).is_err_and(|error| error == EINVAL));
    }

    #[test]
    fn the_filter_is_the_defaults_where_it_is_not_honoured() {
        let mut config = Config::current();
        (config.filter_mask, config.filter_limit) = (0x00f, 0x1ff);
        assert_eq!(config.filter(0x1ff).bits(), 0x03f);
        assert_eq!(config.filter(0x000).bits(), 0x000);
        (config.filter_mask, config.filter_limit) = (0x000, 0x000);
        assert_eq!(config.filter(0x1ff).bits(), 0x033);
        // Another mask cannot add what the sysctl's does not let through.
        (config.filter_mask, config.filter_limit) = (0x1ff, 0x033);
        assert_eq!(config.filter(0x1ff).bits(), 0x033);
    }
}
