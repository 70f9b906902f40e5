// SPDX-License-Identifier: GPL-2.0

//! Makes the image of a held process: its notes, in the order of the kernel's dumper, and the
//! list of its mappings.

use super::{
    hold::{Capture, Hold},
    memory,
    thread::Thread,
};
use crate::{
    elf::{
        filter::{DumpSize, Filter},
        header::{PF_R, PF_W, PF_X},
        layout::{Image, Segment},
        notes::{self, FileMapping, Ids, ProcessStatus, ThreadStatus},
        Writer,
    },
    sys::{
        memory::{self as sys_memory, Mapping, Mappings, UsedMm},
        registers::{self, RegisterLayout, Registers},
        task::{self, ThreadInfo},
    },
};
use kernel::{
    alloc::flags::{GFP_KERNEL, GFP_KERNEL_ACCOUNT},
    mm::Mm,
    prelude::*,
    task::Task,
};

/// The longest path that `file_path()` makes, in bytes.
const PATH_MAX: usize = 4096;

/// What can be read of a process before it is held, when `mmap_lock` may still be waited for.
pub(crate) struct Preparation {
    psargs: KVec<u8>,
}

impl Preparation {
    pub(crate) fn new(mm: &Mm) -> Result<Self> {
        let (start, end) = sys_memory::args(mm);
        let size = usize::try_from(end.saturating_sub(start))?.min(notes::PSARGS_SIZE - 1);
        let mut psargs = KVec::from_elem(0, size, GFP_KERNEL)?;
        let read = memory::read_small(&UsedMm::get(mm)?, start, &mut psargs)?;
        psargs.truncate(read);
        notes::psargs(&mut psargs);
        Ok(Self { psargs })
    }
}

fn thread_status(info: &ThreadInfo, fpvalid: bool) -> ThreadStatus {
    ThreadStatus {
        ids: Ids {
            pid: info.pid,
            ppid: info.ppid,
            pgrp: info.pgrp,
            sid: info.sid,
        },
        sigpend: info.sigpend as u64,
        sighold: info.sighold as u64,
        utime: info.utime,
        stime: info.stime,
        cutime: info.cutime,
        cstime: info.cstime,
        fpvalid,
    }
}

/// The state's index into `RSDTZW`, as `fill_psinfo()` has it for a process that runs: a
/// parked leader is running as far as anybody outside can tell.
fn state_index(captured: Capture, state: u32) -> u8 {
    match captured {
        Capture::InPlace if state != 0 => state.trailing_zeros().saturating_add(1) as u8,
        _ => 0,
    }
}

fn process_status(task: &Task, captured: Capture, preparation: Preparation) -> ProcessStatus {
    let info = task::process_info(task);
    ProcessStatus {
        ids: Ids {
            pid: info.pid,
            ppid: info.ppid,
            pgrp: info.pgrp,
            sid: info.sid,
        },
        state: state_index(captured, info.state),
        nice: info.nice as i8,
        flags: info.flags as u64,
        uid: info.uid,
        gid: info.gid,
        comm: info.comm,
        psargs: preparation.psargs,
    }
}

/// Writes the notes of one thread; between its status and its other registers, `between`.
fn write_thread(
    w: &mut Writer,
    layout: &RegisterLayout,
    thread: &Thread,
    registers: &Registers,
    between: impl FnOnce(&mut Writer) -> Result,
) -> Result {
    let info = task::thread_info(thread.task());
    let mut general: &[u8] = &[];
    let mut fpvalid = false;
    for (set, data) in registers.sets(layout) {
        match set.note_type {
            notes::NT_PRSTATUS => general = data,
            notes::NT_PRFPREG => fpvalid = true,
            _ => (),
        }
    }
    notes::write_prstatus(w, &thread_status(&info, fpvalid), general)?;
    between(w)?;
    for (set, data) in registers.sets(layout) {
        if set.note_type != notes::NT_PRSTATUS {
            notes::write_note(w, set.note_name.to_bytes(), set.note_type, |w| {
                w.bytes(data)
            })?;
        }
    }
    Ok(())
}

/// Writes `NT_FILE`.
fn write_files(w: &mut Writer, mappings: &Mappings) -> Result {
    let mut files = KVVec::new();
    let mut paths = KVVec::new();
    let mut buffer = KVec::from_elem(0, PATH_MAX, GFP_KERNEL)?;
    for mapping in mappings.iter() {
        let Some(path) = mapping.path(&mut buffer) else {
            continue;
        };
        let start = paths.len();
        // A path that is too long is left empty; the kernel's dumper gives the note up.
        paths.extend_from_slice(path.unwrap_or(b"\0"), GFP_KERNEL)?;
        let file = FileMapping {
            start: mapping.start(),
            end: mapping.end(),
            pgoff: mapping.pgoff(),
            path: start..paths.len(),
        };
        files.push(file, GFP_KERNEL)?;
    }
    notes::write_files(w, &files, &paths)
}

fn segment(mm: &UsedMm, mapping: &Mapping<'_>, filter: Filter) -> Result<Segment> {
    let dump_size = filter.dump_size(&mapping.traits());
    let is_elf = dump_size == DumpSize::FirstPageIfElf && {
        let mut magic = [0; 4];
        memory::read_small(mm, mapping.start(), &mut magic)?;
        magic == *b"\x7fELF"
    };
    let flag = |set, flag| if set { flag } else { 0 };
    let memsz = mapping.end().saturating_sub(mapping.start());
    Ok(Segment {
        flags: flag(mapping.readable(), PF_R)
            | flag(mapping.writable(), PF_W)
            | flag(mapping.executable(), PF_X),
        vaddr: mapping.start(),
        memsz,
        filesz: dump_size.bytes(memsz, is_elf),
    })
}

/// Makes the image, and fixes the registers: the hold is [`State::Held`] afterwards.
///
/// [`State::Held`]: super::lifecycle::State::Held
pub(crate) fn make(
    hold: &Hold,
    mm: &Mm,
    preparation: Preparation,
    mappings: &Mappings,
) -> Result<Image> {
    let layout = hold.layout();
    let mut w = Writer::new();
    let mut preparation = Some(preparation);
    hold.seal(|thread, captured, registers| {
        write_thread(&mut w, layout, thread, &registers, |w| {
            // The notes of the process come with the first thread.
            let Some(preparation) = preparation.take() else {
                return Ok(());
            };
            notes::write_prpsinfo(w, &process_status(thread.task(), captured, preparation))?;
            notes::write_siginfo(w)?;
            notes::write_auxv(w, sys_memory::auxv(mm))?;
            write_files(w, mappings)
        })
    })?;
    if preparation.is_some() {
        // Nobody is left.
        return Err(ESRCH);
    }
    let mut features = KVec::new();
    for feature in registers::xsave_features() {
        features.push([feature.number, feature.size, feature.offset], GFP_KERNEL)?;
    }
    notes::write_xsave_layout(&mut w, &features)?;

    let used = UsedMm::get(mm)?;
    let filter = Filter::new(sys_memory::dump_filter(mm));
    let mut segments = KVVec::with_capacity(mappings.len(), GFP_KERNEL_ACCOUNT)?;
    for mapping in mappings.iter() {
        segments.push(segment(&used, &mapping, filter)?, GFP_KERNEL_ACCOUNT)?;
    }
    Image::new(
        layout.machine() as u16,
        w.into_bytes().as_slice(),
        &segments,
    )
}
