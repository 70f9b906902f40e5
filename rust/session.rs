// SPDX-License-Identifier: GPL-2.0

//! One dump: from a process that may be dumped to an image that can be read.

use crate::{
    access::Target,
    elf::{
        filter::Filter,
        layout::{Image, Region},
    },
    params::{Config, Contents, Mode},
    registry::{self, Dump, Registered},
    sys::{
        memory::{self as sys_memory, Mappings, Undisturbed, UsedMm},
        module::ModuleRef,
        park::Pollers,
        snapshot as sys_snapshot, task, uapi,
    },
    target::{
        hold::Hold,
        image::{self, Memory, Moment, Preparation, Process},
        lifecycle::EndReason,
        memory::{self, Kind},
        snapshot::{self, Fallback, Snapshot},
    },
};
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    iov::IovIterDest,
    mm::Mm,
    prelude::*,
    sync::{aref::ARef, Arc},
    time::{delay::fsleep, Delta, Instant, Monotonic},
};

/// Between two tries of `mmap_lock`.
const RETRY: Delta = Delta::from_millis(1);

/// How long a held process stands still, at least, for `mmap_lock` to be free; and at most, for
/// the chance of a snapshot.
const FREE_WITHIN: Delta = Delta::from_millis(100);

/// One dump, open.
pub(crate) struct Session {
    /// Dropped first: what the others are of is still held until then.
    registered: Registered,
    image: Image,
    mm: ARef<Mm>,
}

impl Session {
    /// Holds the process and fixes the image. Process context; may take `timeout_ms`, and a
    /// little.
    pub(crate) fn start(
        target: &Target,
        config: Config,
        pollers: &Arc<Pollers>,
        module: &ModuleRef,
    ) -> Result<Self> {
        let Target { task, mm, root, .. } = target;
        target.check(config.gate)?;
        let hold = Hold::new(mm, task, config.in_place, pollers, module)?;
        let dump = Arc::new(Dump::new(hold.clone(), task, config), GFP_KERNEL_ACCOUNT)?;
        let registered = Registered::new(dump, target.privileged)?;
        // The audit may have to be waited for.
        registered.announce();

        // Nothing is held yet: the last that may wait for `mmap_lock`.
        let mut mappings = try_for(&registered, None, || Mappings::list(&UsedMm::get(mm)?))?;
        let process = Process {
            mm,
            task,
            root: root.as_ref().map_or(&[], |root| root),
        };
        let mut preparation = Preparation::new(&hold, &process, &mappings, &config)?;
        let room = match config.mode {
            Mode::Snapshot => Some(snapshot::Room::new()?),
            Mode::Hold => None,
        };
        let threads = hold.prepare(task)?;
        // What came before has kept nobody.
        registered.progress();
        let since = Instant::now();
        hold.take(&threads, since, config.timeout_ms)?;
        let moment = Moment::seal(&hold, &process, &config)?;
        if update_mappings(&registered, mm, &mut mappings, since)? {
            preparation.mappings_changed();
        }
        let memory = match room {
            Some(room) => copy(&registered, room, &process, &mappings, moment.filter())?,
            None => Memory {
                mm,
                mode: Mode::Hold,
                fallback: 0,
            },
        };
        let (image, info) = image::make(
            &hold,
            &process,
            preparation,
            &mappings,
            &config,
            moment,
            &memory,
        )?;
        registered.complete(uapi::Info {
            image_size: image.size(),
            ..info
        });
        Ok(Self {
            registered,
            image,
            mm: mm.clone(),
        })
    }

    /// The image's size, in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.image.size()
    }

    /// Reads the image from `position`, as much as `to` takes; 0 at the end.
    ///
    /// Fails with the errno of whatever ended the dump, `EFAULT`, or `EINTR` if the caller is
    /// being killed. Any number of readers at a time.
    pub(crate) fn read(&self, position: u64, to: &mut IovIterDest<'_>) -> Result<usize> {
        let mut done = 0usize;
        while !to.is_empty() {
            match self.read_some(position.saturating_add(done as u64), to) {
                Ok(0) => break,
                Ok(read) => done = done.saturating_add(read),
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// What every round of reading or seeking begins with: the memory, if the hold stands.
    fn memory(&self) -> Result<UsedMm> {
        let hold = &self.registered.hold;
        hold.check().map_err(EndReason::errno)?;
        if task::fatal_signal_pending() {
            return Err(EINTR);
        }
        let snapshot = self.registered.snapshot();
        let mm = snapshot.map_or::<&Mm, _>(&self.mm, Snapshot::mm);
        UsedMm::get(mm).or_else(|_| {
            // Nobody may be parked who would notice that the process is gone, or another.
            hold.end(EndReason::TargetGone);
            hold.check().map_err(EndReason::errno)?;
            Err(ESRCH)
        })
    }

    fn read_some(&self, position: u64, to: &mut IovIterDest<'_>) -> Result<usize> {
        let dump = &self.registered;
        let mm = self.memory()?;
        let read = match self.image.at(position) {
            Region::End => return Ok(0),
            Region::Bytes(bytes) => to.copy_to_iter(bytes),
            Region::Memory { vaddr, size } => {
                memory::read_round(&mm, &dump.counters, vaddr, size, to)?
            }
        };
        // Was it the image's until the last byte was copied? Pairs with the full barrier of
        // the exchange in `Lifecycle::end()`, which comes before any thread is let go.
        sys_memory::read_barrier();
        dump.hold.check().map_err(EndReason::errno)?;
        if read == 0 {
            return Err(EFAULT);
        }
        dump.counters.add_read(read);
        dump.progress();
        Ok(read)
    }

    /// The first position from `position` on where the image has data, or a hole, of which
    /// the end of the file is one; `ENXIO` at the end. What was never written is a hole, if
    /// it is memory.
    ///
    /// Fails as [`Self::read()`].
    pub(crate) fn seek(&self, position: u64, wanted: Kind) -> Result<u64> {
        let dump = &self.registered;
        let mut at = position;
        loop {
            let mm = self.memory()?;
            let (kind, size) = match self.image.at(at) {
                Region::End if wanted == Kind::Hole && position < self.size() => return Ok(at),
                Region::End => return Err(ENXIO),
                Region::Bytes(bytes) => (Kind::Data, bytes.len() as u64),
                Region::Memory { vaddr, size } => {
                    let (kind, end) = memory::stretch(&mm, vaddr, vaddr.saturating_add(size))?;
                    (kind, end.saturating_sub(vaddr))
                }
            };
            // As for a read: what a released thread has changed is not told.
            sys_memory::read_barrier();
            dump.hold.check().map_err(EndReason::errno)?;
            dump.progress();
            if kind == wanted {
                return Ok(at);
            }
            at = at.saturating_add(size.max(1));
        }
    }

    /// Tells `show` what size the entry has: that of the dump of this memory that lasts.
    pub(crate) fn show_size(&self, show: impl FnOnce(u64)) {
        registry::show_size(self.registered.hold.mm_id(), show);
    }

    /// Lets the threads go, and reads on: the errno of whatever ended the dump before.
    pub(crate) fn let_go(&self) -> Result {
        self.registered.hold.release()
    }

    /// What has happened so far.
    pub(crate) fn info(&self) -> uapi::Info {
        self.registered.info()
    }

    /// Can it be read? Of threads that were let go nobody hears when they end.
    pub(crate) fn lasts(&self) -> bool {
        let has_memory = self.registered.snapshot().is_some() || sys_snapshot::has_users(&self.mm);
        self.registered.lasts() && has_memory
    }

    /// Lets the threads go, for good.
    pub(crate) fn close(&self) {
        self.registered.hold.end_now(EndReason::Closed);
    }
}

/// Copies the memory, if that does no harm, and lets the threads go; else they stay held, and
/// it is told why.
fn copy<'a>(
    dump: &'a Dump,
    room: snapshot::Room,
    process: &Process<'a>,
    mappings: &Mappings,
    filter: Filter,
) -> Result<Memory<'a>> {
    let Process { mm, task, .. } = *process;
    let contents = dump.config.contents;
    // Last, so that what is true here is true when the memory is copied.
    let free = undisturbed(dump, mm, mappings)?;
    let mut copied = room.copy(mm, task, mappings, filter, contents, free.is_some())?;
    let has_memory = copied.is_ok() && contents != Contents::Registers;
    // A thread that runs in the kernel, or another process, may have been in between.
    if has_memory && !free.is_some_and(|before| before.but_for_one(mm)) {
        // Of a hold that is over nothing is told.
        dump.hold.check().map_err(EndReason::errno)?;
        copied = Err(Fallback(uapi::LIVECORE_FALLBACK_BUSY));
    }
    match copied {
        Ok(snapshot) => {
            // It may have taken longer than the threads were held.
            let snapshot = dump.copied(snapshot)?;
            Ok(Memory {
                mm: snapshot.mm(),
                mode: Mode::Snapshot,
                fallback: 0,
            })
        }
        Err(Fallback(fallback)) => Ok(Memory {
            mm,
            mode: Mode::Hold,
            fallback,
        }),
    }
}

/// Tries what wants `mmap_lock`, and fails with `EAGAIN` where it is taken. It is not waited
/// for, since a sleeper may hold it that waits for a parked thread: `ETIMEDOUT` where it stays
/// taken for so long since then. Before anything is held the watchdog alone ends the tries.
fn try_for<T>(
    dump: &Dump,
    limit: Option<(Delta, Instant<Monotonic>)>,
    mut attempt: impl FnMut() -> Result<T>,
) -> Result<T> {
    loop {
        match attempt() {
            Err(error) if error == EAGAIN => (),
            result => return result,
        }
        dump.hold.check().map_err(EndReason::errno)?;
        if kernel::current!().signal_pending() {
            return Err(ERESTARTSYS);
        }
        if limit.is_some_and(|(limit, since)| since.elapsed() >= limit) {
            return Err(ETIMEDOUT);
        }
        fsleep(RETRY);
    }
}

/// Makes them those that the process, which is held since then, has now. Has anything changed?
fn update_mappings(
    dump: &Dump,
    mm: &Mm,
    mappings: &mut Mappings,
    since: Instant<Monotonic>,
) -> Result<bool> {
    let left = i64::from(dump.config.timeout_ms).saturating_sub(since.elapsed().as_millis());
    // There may be a thread for which all of it has passed.
    let limit = Delta::from_millis(left).max(FREE_WITHIN);
    try_for(dump, Some((limit, Instant::now())), || {
        let mm = UsedMm::get(mm)?;
        let same = mappings.are_those_of(&mm)?;
        if !same {
            *mappings = Mappings::list(&mm)?;
        }
        Ok(!same)
    })
}

/// Are they still, and has nobody locked any of them, or waits to?
fn undisturbed(dump: &Dump, mm: &Mm, mappings: &Mappings) -> Result<Option<Undisturbed>> {
    let moment = try_for(dump, Some((FREE_WITHIN, Instant::now())), || {
        mappings.are_left_alone(&UsedMm::get(mm)?)
    });
    match moment {
        Err(error) if error == ETIMEDOUT => Ok(None),
        // Where the process is gone, the hold knows why.
        Err(error) => dump.hold.check().map_err(EndReason::errno).and(Err(error)),
        moment => moment,
    }
}
