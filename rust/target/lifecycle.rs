// SPDX-License-Identifier: GPL-2.0

//! The states of a hold, and who may change them:
//!
//! ```text
//! Holding ──► Held ──► Released | Snapshot
//!    └──────────┴─────────────┴──► Ended(reason)
//! ```
//!
//! The first reason stays. One word, changed by compare-and-exchange: the probe of
//! `signal_generate` ends a hold with interrupts off.

use crate::sys::errno;
use kernel::{
    error::Error,
    prelude::*,
    sync::atomic::{ordering, Atomic},
};

/// Why a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// The last descriptor was closed, or open failed.
    Closed,
    /// A signal that ends the process, or, by `kernel.livecore_abort`, another one.
    Signal,
    /// `kernel.livecore_enable` was set to 0.
    GateClosed,
    /// No progress for `stall_ms`.
    Stalled,
    /// Held for `hold_max_ms`.
    HeldLong,
    /// The process exited, or executes another program.
    TargetGone,
    /// A new thread could not be held.
    NoMemory,
}

impl EndReason {
    const ALL: [Self; 7] = [
        Self::Closed,
        Self::Signal,
        Self::GateClosed,
        Self::Stalled,
        Self::HeldLong,
        Self::TargetGone,
        Self::NoMemory,
    ];

    /// What open and read return afterwards.
    pub(crate) fn errno(self) -> Error {
        match self {
            Self::Closed => EBADF,
            Self::Signal | Self::GateClosed => errno::ecanceled(),
            Self::Stalled | Self::HeldLong => ETIMEDOUT,
            Self::TargetGone => ESRCH,
            Self::NoMemory => ENOMEM,
        }
    }
}

/// The states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Works are being queued, threads arrive; open has not returned.
    Holding,
    /// All registers are fixed.
    Held,
    /// The threads are free, as was asked for; the image can be read.
    Released,
    /// The threads are free; what is read is a copy of their memory.
    Snapshot,
    /// The threads are free, and nothing can be read.
    Ended(EndReason),
}

impl State {
    /// What comes next when all are held.
    fn held(self) -> Option<Self> {
        (self == Self::Holding).then_some(Self::Held)
    }

    /// What comes next when the threads are let go while the image is read.
    fn released(self) -> Option<Self> {
        (self == Self::Held).then_some(Self::Released)
    }

    /// What comes next when the memory is copied.
    fn copied(self) -> Option<Self> {
        (self == Self::Held).then_some(Self::Snapshot)
    }

    /// What comes next when something happens to a process that is held.
    fn end_hold(self, reason: EndReason) -> Option<Self> {
        matches!(self, Self::Holding | Self::Held).then_some(Self::Ended(reason))
    }

    /// What comes next when something ends the dump, held or not.
    fn end(self, reason: EndReason) -> Option<Self> {
        (!matches!(self, Self::Ended(_))).then_some(Self::Ended(reason))
    }

    const FIRST_REASON: u32 = 4;

    fn encode(self) -> u32 {
        match self {
            Self::Holding => 0,
            Self::Held => 1,
            Self::Released => 2,
            Self::Snapshot => 3,
            Self::Ended(reason) => Self::FIRST_REASON + reason as u32,
        }
    }

    fn decode(word: u32) -> Self {
        match word {
            0 => Self::Holding,
            1 => Self::Held,
            2 => Self::Released,
            3 => Self::Snapshot,
            word => {
                let index = word.saturating_sub(Self::FIRST_REASON) as usize;
                let reason = EndReason::ALL.get(index).copied();
                Self::Ended(reason.unwrap_or(EndReason::Closed))
            }
        }
    }
}

/// The state of one hold.
pub(crate) struct Lifecycle(Atomic<u32>);

impl Lifecycle {
    pub(crate) fn new() -> Self {
        Self(Atomic::new(State::Holding.encode()))
    }

    pub(crate) fn state(&self) -> State {
        State::decode(self.0.load(ordering::Acquire))
    }

    /// `Ok` while the image can be made and read, else why not.
    pub(crate) fn check(&self) -> Result<(), EndReason> {
        match self.state() {
            State::Ended(reason) => Err(reason),
            State::Holding | State::Held | State::Released | State::Snapshot => Ok(()),
        }
    }

    /// Are the threads held?
    pub(crate) fn holds(&self) -> bool {
        matches!(self.state(), State::Holding | State::Held)
    }

    fn change(&self, next: impl Fn(State) -> Option<State>) -> bool {
        let mut word = self.0.load(ordering::Relaxed);
        loop {
            let Some(state) = next(State::decode(word)) else {
                return false;
            };
            match self.0.cmpxchg(word, state.encode(), ordering::Full) {
                Ok(_) => return true,
                Err(found) => word = found,
            }
        }
    }

    /// All are held. False if the hold has ended meanwhile.
    pub(crate) fn held(&self) -> bool {
        self.change(State::held)
    }

    /// The threads are let go. False if they were not held, all of them.
    pub(crate) fn released(&self) -> bool {
        self.change(State::released)
    }

    /// The memory is copied, and the threads are let go. False if the hold has not stood
    /// until now.
    pub(crate) fn copied(&self) -> bool {
        self.change(State::copied)
    }

    /// Ends it if the threads are held. True for the first who does. Any context.
    pub(crate) fn end_hold(&self, reason: EndReason) -> bool {
        self.change(|state| state.end_hold(reason))
    }

    /// Ends it. True for the first who does. Any context.
    pub(crate) fn end(&self, reason: EndReason) -> bool {
        self.change(|state| state.end(reason))
    }
}

#[kernel::prelude::kunit_tests(livecore_lifecycle)]
mod tests {
    use super::*;

    #[test]
    fn it_is_held_once() {
        let life = Lifecycle::new();
        assert!(life.state() == State::Holding);
        assert!(life.check().is_ok());
        assert!(life.held());
        assert!(!life.held());
        assert!(life.state() == State::Held);
        assert!(life.check().is_ok());
    }

    #[test]
    fn it_is_released_once_and_can_be_read_on() {
        let life = Lifecycle::new();
        assert!(!life.released());
        assert!(life.held());
        assert!(life.holds());
        assert!(life.released());
        assert!(!life.holds());
        assert!(life.check().is_ok());
        assert!(!life.released());
        assert!(!life.held());
        assert!(life.end(EndReason::GateClosed));
        assert!(life.check() == Err(EndReason::GateClosed));
    }

    #[test]
    fn a_copy_counts_if_the_hold_stood() {
        let life = Lifecycle::new();
        assert!(!life.copied());
        assert!(life.held());
        assert!(life.copied());
        assert!(!life.holds());
        assert!(life.check().is_ok());
        // A signal that comes now is no business of the copy's.
        assert!(!life.end_hold(EndReason::Signal));
        assert!(life.check().is_ok());
        assert!(life.end(EndReason::NoMemory));
        let ended = Lifecycle::new();
        assert!(ended.held());
        assert!(ended.end(EndReason::Signal));
        assert!(!ended.copied());
    }

    #[test]
    fn the_first_reason_stays() {
        for first in EndReason::ALL {
            for held in [false, true] {
                let life = Lifecycle::new();
                if held {
                    assert!(life.held());
                }
                assert!(if held {
                    life.end(first)
                } else {
                    life.end_hold(first)
                });
                for second in EndReason::ALL {
                    assert!(!life.end(second));
                }
                assert!(!life.held());
                assert!(life.state() == State::Ended(first));
                assert!(life.check() == Err(first));
            }
        }
    }

    #[test]
    fn every_state_survives_its_encoding() {
        for state in [
            State::Holding,
            State::Held,
            State::Released,
            State::Snapshot,
        ] {
            assert!(State::decode(state.encode()) == state);
        }
        for reason in EndReason::ALL {
            let state = State::Ended(reason);
            assert!(State::decode(state.encode()) == state);
        }
    }

    #[test]
    fn reasons_have_their_errnos() {
        assert_eq!(EndReason::Signal.errno().to_errno(), -125);
        assert_eq!(EndReason::GateClosed.errno().to_errno(), -125);
        assert_eq!(EndReason::Stalled.errno().to_errno(), -110);
        assert_eq!(EndReason::HeldLong.errno().to_errno(), -110);
        assert_eq!(EndReason::TargetGone.errno().to_errno(), -3);
        assert_eq!(EndReason::NoMemory.errno().to_errno(), -12);
    }
}
