// SPDX-License-Identifier: GPL-2.0

//! `/proc/livecore`: the dumps that are open, those that have ended too; for each reader those
//! of processes that it may look into.

use crate::{
    params::Mode,
    registry::{self, Dump},
    sys::{
        listing::{self, Reading},
        task,
    },
    target::lifecycle::State,
};
use kernel::{prelude::*, seq_print};

/// The file, while it is there.
pub(crate) type Listing = listing::Registration<OpenDumps>;

/// What is in it.
pub(crate) struct OpenDumps;

impl listing::Listing for OpenDumps {
    fn show(reading: &Reading<'_>) -> Result {
        // What one may see, another who has given it away for reading may not.
        if !reading.is_openers() {
            return Err(EACCES);
        }
        seq_print!(
            reading.seq(),
            "TARGET READER UID MODE STATE SINCE PARKED IN_PLACE RUNNING ZEROED CALLER MOVED READ\n"
        );
        for dump in registry::list()? {
            if task::may_read(&dump.target) {
                show(reading, &dump);
            }
        }
        Ok(())
    }
}

/// One line; nothing of a process that is not in the mount's namespace, or gone.
fn show(reading: &Reading<'_>, dump: &Dump) {
    let Some(target) = reading.pid_of(&dump.target) else {
        return;
    };
    let info = dump.info();
    let mode = match dump.config.mode {
        Mode::Hold => "hold",
        Mode::Snapshot => "snapshot",
    };
    let state = match dump.hold.state() {
        State::Holding => "holding",
        State::Held => "held",
        State::Released => "released",
        State::Snapshot => "snapshot",
        State::Ended(_) => "ended",
    };
    seq_print!(
        reading.seq(),
        "{} {} {} {} {} {}.{:03} {} {} {} {} {} {} {}\n",
        target,
        // A reader that is gone, or of another namespace, is nobody: 0.
        reading.pid_of(&dump.opener).unwrap_or(0),
        dump.uid.into_uid_in_current_ns(),
        mode,
        state,
        dump.since_ns / 1_000_000_000,
        dump.since_ns / 1_000_000 % 1_000,
        info.parked,
        info.in_place,
        info.running,
        info.zeroed,
        info.caller,
        info.moved,
        info.read_bytes,
    );
}
