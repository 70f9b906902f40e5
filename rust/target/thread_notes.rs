// SPDX-License-Identifier: GPL-2.0

//! Makes the notes of one thread around its registers, where they are.

use crate::{
    elf::{
        notes::{self, Ids, ThreadStatus},
        Writer,
    },
    sys::{
        bytes::Bytes,
        registers::{RegisterLayout, Registers},
        task::{self, ThreadInfo},
    },
};
use kernel::prelude::*;

pub(super) fn ids(ids: &task::Ids) -> Ids {
    Ids {
        pid: ids.pid,
        ppid: ids.ppid,
        pgrp: ids.pgrp,
        sid: ids.sid,
    }
}

fn thread_status(info: &ThreadInfo, fpvalid: bool) -> ThreadStatus {
    ThreadStatus {
        ids: ids(&info.ids),
        sigpend: info.sigpend as u64,
        sighold: info.sighold as u64,
        utime: info.utime,
        stime: info.stime,
        cutime: info.cutime,
        cstime: info.cstime,
        fpvalid,
    }
}

/// Writes the notes somewhere else, with a note that has no place in the room.
fn write_all(
    w: &mut Writer,
    layout: &RegisterLayout,
    status: &ThreadStatus,
    registers: &Registers,
) -> Result {
    let is_general = |kind| kind == notes::NT_PRSTATUS;
    let mut sets = registers.sets(layout);
    let general = sets.find(|(set, _)| is_general(set.note_type));
    notes::write_prstatus(w, status, general.map_or(&[], |(_, data)| data))?;
    for (set, data) in registers.sets(layout) {
        if !is_general(set.note_type) {
            notes::write_note(w, set.note_name.to_bytes(), set.note_type, |w| {
                w.bytes(data)
            })?;
        }
    }
    Ok(())
}

/// Makes the notes of one thread, its status first. `scratch` is written over.
pub(super) fn make(
    scratch: &mut Writer,
    layout: &RegisterLayout,
    info: &ThreadInfo,
    registers: Registers,
) -> Result<Bytes> {
    let fpvalid = registers
        .sets(layout)
        .any(|(set, _)| set.note_type == notes::NT_PRFPREG);
    let status = thread_status(info, fpvalid);
    if !registers.are_in_place(layout) {
        let mut w = Writer::new(layout.class());
        write_all(&mut w, layout, &status, &registers)?;
        return Bytes::from_vec(w.into_bytes());
    }
    registers.into_notes(layout, |set, note| {
        scratch.clear();
        if set.note_type == notes::NT_PRSTATUS {
            notes::write_prstatus(scratch, &status, set.data_of(note))?;
        } else {
            let data = set.data_of(note);
            notes::write_note_header(scratch, set.note_name.to_bytes(), set.note_type, data.len())?;
        }
        let around = scratch.as_slice();
        note.get_mut(..around.len())
            .ok_or(EINVAL)?
            .copy_from_slice(around);
        Ok(())
    })
}
