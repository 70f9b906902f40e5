// SPDX-License-Identifier: GPL-2.0

//! Makes the image of a held process: its notes, in the order of the kernel's dumper, and the
//! list of its mappings.

use super::{
    hold::Hold,
    lifecycle::EndReason,
    memory,
    stacks::Stacks,
    thread::{Capture, HeldThread},
    thread_notes,
};
use crate::{
    elf::{
        filter::{DumpSize, Filter},
        header::{PF_R, PF_W, PF_X},
        layout::{Image, Pieces, Segment},
        live_note,
        notes::{self, FileMapping, ProcessStatus},
        Class, Writer,
    },
    params::{Config, Contents, Mode},
    sys::{
        bytes::Bytes,
        clock, errno,
        memory::{self as sys_memory, Mapping, Mappings, UsedMm},
        registers::{self, RegisterLayout, Registers},
        task::{self, ProcessInfo, ThreadInfo},
        uapi,
    },
};
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT, mm::Mm, prelude::*, sync::Arc, task::Task, transmute::AsBytes,
};

/// The longest path that `file_path()` makes, in bytes.
const PATH_MAX: usize = 4096;

/// Whose image it is.
pub(crate) struct Process<'a> {
    pub(crate) mm: &'a Mm,
    /// A thread of it.
    pub(crate) task: &'a Task,
    /// The path of its root, as the caller sees it; empty if not known.
    pub(crate) root: &'a [u8],
}

/// What can be read of a process before it is held, when `mmap_lock` may still be waited for.
pub(crate) struct Preparation {
    psargs: KVec<u8>,
    /// The mappings that start with an ELF header, of those that have to be looked at; in the
    /// order of their addresses.
    elf_mappings: KVVec<(u64, u64, usize)>,
    /// Where not all is dumped.
    stacks: Option<Stacks>,
    /// The note `NT_FILE`, for as long as the mappings are the same.
    files: Option<KVVec<u8>>,
}

impl Preparation {
    /// `mappings` are those of the process at the moment. Process context; may wait for I/O.
    pub(crate) fn new(
        hold: &Hold,
        process: &Process<'_>,
        mappings: &Mappings,
        config: &Config,
    ) -> Result<Self> {
        let mm = process.mm;
        let used = UsedMm::get(mm)?;
        let (start, end) = sys_memory::args(mm);
        let size = usize::try_from(end.saturating_sub(start))?.min(notes::PSARGS_SIZE - 1);
        let mut psargs = KVec::from_elem(0, size, GFP_KERNEL_ACCOUNT)?;
        let read = memory::read_small(&used, start, &mut psargs)?;
        psargs.truncate(read);
        notes::psargs(&mut psargs);

        let filter = config.filter(sys_memory::dump_filter(mm));
        let mut elf_mappings = KVVec::new();
        for mapping in mappings.iter() {
            if filter.dump_size(&mapping.traits()) == DumpSize::FirstPageIfElf {
                hold.check().map_err(EndReason::errno)?;
                let mut magic = [0; 4];
                memory::read_small(&used, mapping.start(), &mut magic)?;
                if magic == *b"\x7fELF" {
                    elf_mappings.push(mapping.id(), GFP_KERNEL_ACCOUNT)?;
                }
            }
        }
        let stacks = if config.contents == Contents::Stacks {
            Some(Stacks::new(hold, mm, &used, mappings)?)
        } else {
            None
        };
        Ok(Self {
            psargs,
            elf_mappings,
            stacks,
            files: Some(files_note(hold, process, mappings)?),
        })
    }

    /// The mappings are others than those that this was made for.
    pub(crate) fn mappings_changed(&mut self) {
        self.files = None;
    }

    fn is_elf(&self, mapping: &Mapping<'_>) -> bool {
        self.elf_mappings.binary_search(&mapping.id()).is_ok()
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

fn process_status(info: &ProcessInfo, captured: Capture, psargs: KVec<u8>) -> ProcessStatus {
    ProcessStatus {
        ids: thread_notes::ids(&info.ids),
        state: state_index(captured, info.state),
        nice: info.nice as i8,
        flags: info.flags as u64,
        uid: info.uid,
        gid: info.gid,
        comm: info.comm,
        psargs,
    }
}

/// What is left of a path below `root`: a process sees its files from its own root, while
/// `file_path()` tells what the caller sees. A file elsewhere keeps its path.
fn below<'a>(root: &[u8], path: &'a [u8]) -> &'a [u8] {
    match path.strip_prefix(root) {
        Some(rest) if !root.ends_with(b"/") && rest.first() == Some(&b'/') => rest,
        _ => path,
    }
}

/// Appends the path of a mapping's file, as the kernel's dumper has it: `buffer` grows for one
/// that does not fit. False where there is none, or it is not to be had; `ENAMETOOLONG` where
/// the note would be too big for it.
fn push_path(
    paths: &mut KVVec<u8>,
    mapping: &Mapping<'_>,
    root: &[u8],
    buffer: &mut KVVec<u8>,
) -> Result<bool> {
    loop {
        let room = buffer.len();
        match mapping.path(buffer) {
            Some(Ok(path)) => {
                paths.extend_from_slice(below(root, path), GFP_KERNEL_ACCOUNT)?;
                return Ok(true);
            }
            Some(Err(error)) if error == errno::enametoolong() => {
                if room >= notes::FILE_NOTE_LIMIT {
                    return Err(error);
                }
                buffer.resize(room.saturating_mul(2), 0, GFP_KERNEL_ACCOUNT)?;
            }
            _ => return Ok(false),
        }
    }
}

/// The note `NT_FILE`; nothing, as the kernel has it, where it would be too big.
fn files_note(hold: &Hold, process: &Process<'_>, mappings: &Mappings) -> Result<KVVec<u8>> {
    let mut w = Writer::new(hold.layout().class());
    let mut files = KVVec::new();
    let mut paths = KVVec::new();
    let mut buffer = KVVec::from_elem(0, PATH_MAX, GFP_KERNEL_ACCOUNT)?;
    for mapping in mappings.iter() {
        // The process makes the paths as long as it likes, and may be held.
        hold.check().map_err(EndReason::errno)?;
        if task::fatal_signal_pending() {
            return Err(EINTR);
        }
        let start = paths.len();
        let found = match push_path(&mut paths, &mapping, process.root, &mut buffer) {
            Err(error) if error == errno::enametoolong() => return Ok(w.into_bytes()),
            found => found?,
        };
        if paths.len() >= notes::FILE_NOTE_LIMIT {
            return Ok(w.into_bytes());
        }
        if found {
            let file = FileMapping {
                start: mapping.start(),
                end: mapping.end(),
                pgoff: mapping.pgoff(),
                path: start..paths.len(),
            };
            files.push(file, GFP_KERNEL_ACCOUNT)?;
        }
    }
    notes::write_files(&mut w, &files, &paths)?;
    Ok(w.into_bytes())
}

/// The notes of the process that come before `NT_FILE`.
fn process_notes(class: Class, status: &ProcessStatus, mm: &Mm) -> Result<Bytes> {
    let mut w = Writer::new(class);
    notes::write_prpsinfo(&mut w, status)?;
    notes::write_siginfo(&mut w)?;
    notes::write_auxv(&mut w, sys_memory::auxv(mm).as_bytes())?;
    Bytes::from_vec(w.into_bytes())
}

fn segment(
    mapping: &Mapping<'_>,
    contents: Contents,
    filter: Filter,
    preparation: &Preparation,
) -> Segment {
    let flag = |set, flag| if set { flag } else { 0 };
    let memsz = mapping.end().saturating_sub(mapping.start());
    let dump_size = match contents {
        Contents::Registers => DumpSize::Nothing,
        Contents::Stacks | Contents::Full => filter.dump_size(&mapping.traits()),
    };
    Segment {
        flags: flag(mapping.readable(), PF_R)
            | flag(mapping.writable(), PF_W)
            | flag(mapping.executable(), PF_X),
        vaddr: mapping.start(),
        memsz,
        filesz: dump_size.bytes(memsz, preparation.is_elf(mapping)),
    }
}

/// What the note `LIVECORE` says of each thread, in the order of their notes.
struct Records(KVVec<(Arc<HeldThread>, uapi::NoteThread)>);

impl Records {
    fn push(
        &mut self,
        thread: &Arc<HeldThread>,
        captured: Capture,
        info: &ThreadInfo,
        registers: &Registers,
        layout: &RegisterLayout,
    ) -> Result {
        // At the boundary a system call is over; but in KVM_RUN that to the guest is one, too.
        let in_kernel = matches!(
            captured,
            Capture::InPlace | Capture::Running | Capture::Caller
        ) || registers.guest_fpu();
        let general = registers.sets(layout).next();
        let call = general
            .filter(|_| in_kernel)
            .and_then(|(_, data)| live_note::syscall(data));
        let (syscall, args) = call.unwrap_or((-1, [0; 6]));
        let flags = if registers.guest_fpu() {
            uapi::LIVECORE_THREAD_GUEST_FPU
        } else {
            0
        };
        let record = uapi::NoteThread {
            tid: info.ids.pid as u32,
            how: how(captured) as u16,
            flags: flags as u16,
            syscall,
            args,
        };
        Ok(self.0.push((thread.clone(), record), GFP_KERNEL_ACCOUNT)?)
    }

    /// Marks those that have left the place where they were read.
    fn update(&mut self) {
        for (thread, record) in self.0.iter_mut() {
            if thread.how() == Capture::Moved {
                record.how = how(Capture::Moved) as u16;
            }
        }
    }

    fn count(&self, how: u32) -> u32 {
        let records = self.0.iter();
        records
            .filter(|(_, record)| u32::from(record.how) == how)
            .count() as u32
    }

    /// Are all registers those of one moment, and complete?
    fn are_exact(&self) -> bool {
        self.0.iter().all(|(_, record)| {
            matches!(
                record.how.into(),
                uapi::LIVECORE_THREAD_PARKED
                    | uapi::LIVECORE_THREAD_IN_PLACE
                    | uapi::LIVECORE_THREAD_CALLER
            ) && record.flags == 0
        })
    }
}

/// `LIVECORE_THREAD_*`.
fn how(captured: Capture) -> u32 {
    match captured {
        Capture::Parked => uapi::LIVECORE_THREAD_PARKED,
        Capture::InPlace => uapi::LIVECORE_THREAD_IN_PLACE,
        Capture::Moved => uapi::LIVECORE_THREAD_MOVED,
        Capture::Running => uapi::LIVECORE_THREAD_RUNNING,
        Capture::Caller => uapi::LIVECORE_THREAD_CALLER,
        Capture::Waiting | Capture::Gone => uapi::LIVECORE_THREAD_ZEROED,
    }
}

/// A thread at the instant that the image is of.
struct SealedThread {
    thread: Arc<HeldThread>,
    how: Capture,
    info: ThreadInfo,
}

/// What is known of a held process, and of nobody any more once it runs.
pub(crate) struct Moment {
    /// In the order of their notes.
    threads: KVVec<SealedThread>,
    leader: ProcessInfo,
    filter: Filter,
    /// `LIVECORE_INEXACT_*`
    inexact: u32,
    /// When all were held, and how long that took, in nanoseconds.
    time_ns: u64,
    hold_ns: u64,
}

impl Moment {
    /// Fixes the registers: the hold is [`State::Held`] afterwards.
    ///
    /// [`State::Held`]: super::lifecycle::State::Held
    pub(crate) fn seal(hold: &Hold, process: &Process<'_>, config: &Config) -> Result<Self> {
        let mut sealed = hold.seal()?;
        let (time_ns, hold_ns) = (clock::real_time_ns(), hold.held_ns());
        let mut threads = KVVec::with_capacity(sealed.len(), GFP_KERNEL_ACCOUNT)?;
        for (thread, how) in sealed.drain_all() {
            let info = task::thread_info(thread.task());
            let sealed = SealedThread { thread, how, info };
            threads.push(sealed, GFP_KERNEL_ACCOUNT)?;
        }
        // If there is none, nobody is left.
        let first: &SealedThread = threads.first().ok_or(ESRCH)?;
        let short_ids = hold.layout().class() == Class::Elf32;
        let leader = task::process_info(first.thread.task(), short_ids);
        let mut inexact = 0;
        if task::mm_is_shared(process.mm, process.task) {
            inexact |= uapi::LIVECORE_INEXACT_SHARED_MM;
        }
        if hold.has_workers() {
            inexact |= uapi::LIVECORE_INEXACT_WORKERS;
        }
        Ok(Self {
            threads,
            leader,
            // Somebody may set it meanwhile: the note tells what the segments go by.
            filter: config.filter(sys_memory::dump_filter(process.mm)),
            inexact,
            time_ns,
            hold_ns,
        })
    }

    /// What of the memory is dumped.
    pub(crate) fn filter(&self) -> Filter {
        self.filter
    }
}

/// Where the memory of an image is read.
pub(crate) struct Memory<'a> {
    pub(crate) mm: &'a Mm,
    pub(crate) mode: Mode,
    /// `LIVECORE_FALLBACK_*`
    pub(crate) fallback: u32,
}

/// Writes the note `LIVECORE`, and tells what `LIVECORE_IOC_INFO` will of the threads.
fn write_live_note(
    w: &mut Writer,
    config: &Config,
    moment: &Moment,
    memory: &Memory<'_>,
    shares: bool,
    mut records: Records,
) -> Result<uapi::Info> {
    records.update();
    let mut inexact = moment.inexact;
    if !records.are_exact() {
        inexact |= uapi::LIVECORE_INEXACT_REGISTERS;
    }
    if memory.mode == Mode::Snapshot && shares {
        inexact |= uapi::LIVECORE_INEXACT_SHARED_MEMORY;
    }
    let note = uapi::Note {
        thread_count: records.0.len() as u32,
        inexact,
        mode: memory.mode.to_u32(),
        contents: config.contents.to_u32(),
        filter: moment.filter.bits(),
        fallback: memory.fallback,
        time_ns: moment.time_ns,
        hold_ns: moment.hold_ns,
        ..Default::default()
    };
    live_note::write(w, &note, records.0.iter().map(|(_, record)| record))?;
    Ok(uapi::Info {
        mode: note.mode,
        contents: note.contents,
        fallback: note.fallback,
        threads: note.thread_count,
        parked: records.count(uapi::LIVECORE_THREAD_PARKED),
        in_place: records
            .count(uapi::LIVECORE_THREAD_IN_PLACE)
            .saturating_add(records.count(uapi::LIVECORE_THREAD_MOVED)),
        running: records.count(uapi::LIVECORE_THREAD_RUNNING),
        zeroed: records.count(uapi::LIVECORE_THREAD_ZEROED),
        caller: records.count(uapi::LIVECORE_THREAD_CALLER),
        hold_ns: note.hold_ns,
        ..Default::default()
    })
}

/// Makes the image of a process as it was at a moment. With it comes what can be told of the
/// threads.
pub(crate) fn make(
    hold: &Hold,
    process: &Process<'_>,
    mut preparation: Preparation,
    mappings: &Mappings,
    config: &Config,
    mut moment: Moment,
    memory: &Memory<'_>,
) -> Result<(Image, uapi::Info)> {
    let layout = hold.layout();
    let class = layout.class();
    let mut w = Writer::new(class);
    let mut pieces = Pieces::new();
    let threads = core::mem::take(&mut moment.threads);
    let mut records = Records(KVVec::with_capacity(threads.len(), GFP_KERNEL_ACCOUNT)?);
    let mut stacks = preparation.stacks.take();
    for SealedThread { thread, how, info } in threads {
        let registers = thread.take_registers().ok_or(EINVAL)?;
        if let Some(stacks) = &mut stacks {
            let mm = UsedMm::get(memory.mm).or_else(|error| {
                // A copy that was given back had its reason.
                hold.check().map_err(EndReason::errno)?;
                Err(error)
            })?;
            stacks.add_thread(layout, thread.task(), &registers, &mm)?;
        }
        let is_first = records.0.is_empty();
        records.push(&thread, how, &info, &registers, layout)?;
        let mut notes = thread_notes::make(&mut w, layout, &info, registers)?;
        if is_first {
            // The notes of the process come with the first thread, between its own.
            pieces.push(notes.split_to(layout.first_note_size()))?;
            let psargs = core::mem::take(&mut preparation.psargs);
            let status = process_status(&moment.leader, how, psargs);
            pieces.push(process_notes(class, &status, process.mm)?)?;
            let files = match preparation.files.take() {
                Some(files) => files,
                None => files_note(hold, process, mappings)?,
            };
            pieces.push(Bytes::from_vec(files)?)?;
        }
        pieces.push(notes)?;
    }
    let mut features = KVec::new();
    for feature in registers::xsave_features() {
        features.push(
            [feature.number, feature.size, feature.offset],
            GFP_KERNEL_ACCOUNT,
        )?;
    }
    w.clear();
    notes::write_xsave_layout(&mut w, &features)?;
    let filter = moment.filter;
    let shares = mappings.iter().any(|mapping| {
        mapping.traits().shared && filter.dump_size(&mapping.traits()) != DumpSize::Nothing
    });
    let info = write_live_note(&mut w, config, &moment, memory, shares, records)?;
    pieces.push(Bytes::from_vec(w.into_bytes())?)?;
    let mut segments = KVVec::with_capacity(mappings.len(), GFP_KERNEL_ACCOUNT)?;
    let parts = stacks.map(|stacks| stacks.finish(mappings)).transpose()?;
    for mapping in mappings.iter() {
        let whole = segment(&mapping, config.contents, filter, &preparation);
        let mut push = |segment| Ok(segments.push(segment, GFP_KERNEL_ACCOUNT)?);
        match &parts {
            Some(parts) => parts.cut(whole, push)?,
            None => push(whole)?,
        }
    }
    let image = Image::new(class, pieces, &segments)?;
    Ok((image, info))
}

#[kernel::prelude::kunit_tests(livecore_image)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_from_the_process_root() {
        assert!(below(b"/", b"/bin/a") == b"/bin/a");
        assert!(below(b"", b"/bin/a") == b"/bin/a");
        assert!(below(b"/srv/jail", b"/srv/jail/bin/a") == b"/bin/a");
        assert!(below(b"/srv/jail", b"/srv/jailed/a") == b"/srv/jailed/a");
        assert!(below(b"/srv/jail", b"/bin/a") == b"/bin/a");
    }
}
