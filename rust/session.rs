// SPDX-License-Identifier: GPL-2.0

//! One dump: from a process that may be dumped to an image that can be read, and the registry
//! of all that are open.
//!
//! A dump belongs to one address space, found once. The registry has at most one for each,
//! is looked up by whatever may end a dump, and is what the watchdog walks.

use crate::{
    access::Target,
    elf::layout::{Image, Region},
    params::Config,
    sys::{
        errno,
        memory::{self as sys_memory, Mappings, UsedMm},
        module::ModuleRef,
        registry_lock::RegistryLocked,
        task::{self, MmId},
        tracepoints, watchdog,
    },
    target::{
        hold::Hold,
        image::{self, Preparation},
        lifecycle::EndReason,
        memory,
    },
};
use kernel::{
    alloc::flags::GFP_KERNEL,
    iov::IovIterDest,
    mm::Mm,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{ordering, Atomic},
        Arc,
    },
    task::{Kuid, Task},
    time::{delay::fsleep, Delta, Instant, Monotonic},
};

/// Between two tries of `mmap_lock`.
const RETRY: Delta = Delta::from_millis(1);

/// What the registry knows of a dump.
struct Dump {
    hold: Arc<Hold>,
    /// Who reads: its address space, for rings of dumps, and its user, for the quota.
    reader: Option<MmId>,
    uid: Kuid,
    started: Instant<Monotonic>,
    stall_ms: u32,
    /// When there was progress last, in milliseconds since `started`.
    progress_ms: Atomic<u32>,
    /// The image's size, in bytes, once there is an image.
    size: Atomic<u64>,
}

impl Dump {
    fn age_ms(&self) -> u32 {
        u32::try_from(self.started.elapsed().as_millis()).unwrap_or(u32::MAX)
    }

    fn progress(&self) {
        self.progress_ms.store(self.age_ms(), ordering::Relaxed);
    }

    fn is_stalled(&self) -> bool {
        let progress = self.progress_ms.load(ordering::Relaxed);
        self.age_ms().saturating_sub(progress) >= self.stall_ms
    }

    fn lasts(&self) -> bool {
        self.hold.check().is_ok()
    }
}

/// All dumps that are open, those that have ended too.
static DUMPS: RegistryLocked<KVec<Arc<Dump>>> = RegistryLocked::new(KVec::new());

/// How many there are, for those who ask of every signal and every new thread.
static OPEN: Atomic<u32> = Atomic::new(0);

/// The dump of this address space, while it lasts.
fn find(dumps: &[Arc<Dump>], mm: MmId) -> Option<&Arc<Dump>> {
    dumps
        .iter()
        .find(|dump| dump.lasts() && dump.hold.mm_id() == mm)
}

/// Would `reader`, reading `target`, wait for itself? It would if `target` dumps `reader`, or
/// dumps who dumps it, and so on: each is dumped by one at most, so this is a walk.
fn closes_a_ring(dumps: &[Arc<Dump>], target: MmId, reader: Option<MmId>) -> bool {
    let mut held = reader;
    for _ in 0..dumps.len() {
        let Some(dump) = held.and_then(|held| find(dumps, held)) else {
            return false;
        };
        if dump.reader == Some(target) {
            return true;
        }
        held = dump.reader;
    }
    false
}

/// May there be one more? A quarter of all for each user, one at least.
fn within_limits(dumps: &[Arc<Dump>], uid: Kuid, max_dumps: u32) -> bool {
    let lasting = || dumps.iter().filter(|dump| dump.lasts());
    let quota = (max_dumps / 4).max(1);
    lasting().count() < max_dumps as usize
        && lasting().filter(|dump| dump.uid == uid).count() < quota as usize
}

/// A dump's place in the registry. Dropping it lets all threads go.
struct Registered(Arc<Dump>);

impl Registered {
    /// `EBUSY`, `EDEADLK`, `EAGAIN`: checking and registering are one critical section.
    fn new(dump: Arc<Dump>, limit: Option<u32>) -> Result<Self> {
        let target = dump.hold.mm_id();
        loop {
            let mut dumps = DUMPS.lock();
            if dumps.len() == dumps.capacity() {
                let room = dumps.len().saturating_mul(2).saturating_add(16);
                drop(dumps);
                Self::grow(room)?;
                continue;
            }
            if find(&dumps, target).is_some() {
                return Err(EBUSY);
            }
            if closes_a_ring(&dumps, target, dump.reader) {
                return Err(errno::edeadlk());
            }
            if limit.is_some_and(|max| !within_limits(&dumps, dump.uid, max)) {
                return Err(EAGAIN);
            }
            dumps
                .push_within_capacity(dump.clone())
                .map_err(|_| ENOMEM)?;
            OPEN.fetch_add(1, ordering::Full);
            break;
        }
        watchdog::kick();
        Ok(Self(dump))
    }

    /// Makes room in the registry, without allocating or freeing under its lock.
    fn grow(room: usize) -> Result {
        let mut larger = KVec::with_capacity(room, GFP_KERNEL)?;
        let mut dumps = DUMPS.lock();
        if larger.capacity() > dumps.capacity() {
            for dump in dumps.drain_all() {
                larger.push_within_capacity(dump).map_err(|_| ENOMEM)?;
            }
            core::mem::swap(&mut *dumps, &mut larger);
        }
        Ok(())
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.0.hold.end_now(EndReason::Closed);
        let removed = {
            let mut dumps = DUMPS.lock();
            let index = dumps.iter().position(|dump| Arc::ptr_eq(dump, &self.0));
            index.and_then(|index| dumps.remove(index).ok())
        };
        if removed.is_some() {
            OPEN.fetch_sub(1, ordering::Full);
        }
    }
}

/// Ends every dump: the gate was closed.
pub(crate) fn end_all() {
    for dump in DUMPS.lock().iter() {
        dump.hold.end(EndReason::GateClosed);
    }
}

/// What the tracepoints tell the dumps.
pub(crate) struct Observer;

impl Observer {
    /// The hold that has to do with this thread, if there is one.
    fn hold_on(task: &Task) -> Option<Arc<Hold>> {
        if OPEN.load(ordering::Relaxed) == 0 {
            return None;
        }
        let mm = MmId::of_task(task)?;
        let dumps = DUMPS.lock();
        let hold = &find(&dumps, mm)?.hold;
        hold.concerns(task).then(|| hold.clone())
    }
}

impl tracepoints::Probes for Observer {
    fn signal_generated(task: &Task, fatal: impl FnOnce() -> bool) {
        if let Some(hold) = Self::hold_on(task) {
            if fatal() {
                hold.end(EndReason::Signal);
            }
        }
    }

    fn task_created(task: &Task) {
        if let Some(hold) = Self::hold_on(task) {
            hold.add_newborn(task);
        }
    }
}

impl watchdog::Watched for Observer {
    fn tick() -> bool {
        let dumps = DUMPS.lock();
        for dump in dumps.iter().filter(|dump| dump.is_stalled()) {
            dump.hold.end(EndReason::Stalled);
        }
        dumps.iter().any(|dump| dump.lasts())
    }
}

/// The probes, while they are registered.
pub(crate) type Probes = tracepoints::Registration<Observer>;

/// The watchdog, while it can be kicked.
pub(crate) type Watchdog = watchdog::Registration<Observer>;

/// The registry's own memory, given back when this is dropped.
pub(crate) struct Registry;

impl Drop for Registry {
    fn drop(&mut self) {
        let dumps = core::mem::replace(&mut *DUMPS.lock(), KVec::new());
        drop(dumps);
    }
}

/// One dump, open.
pub(crate) struct Session {
    /// Dropped first: what the others are of is still held until then.
    registered: Registered,
    image: Image,
    mm: ARef<Mm>,
    /// Keeps the process's identity its own ([`task::ProcessId`]).
    _task: ARef<Task>,
}

impl Session {
    /// Holds the process and fixes the image. Process context; may take `timeout_ms`, and a
    /// little.
    pub(crate) fn start(target: Target, config: Config, module: &ModuleRef) -> Result<Self> {
        let Target {
            task,
            mm,
            privileged,
        } = target;
        let hold = Hold::new(MmId::of(&mm), &task, module)?;
        if !hold.layout().is_64bit() {
            return Err(errno::eopnotsupp());
        }
        let dump = Dump {
            hold: hold.clone(),
            reader: MmId::of_current(),
            uid: Kuid::current_euid(),
            started: Instant::now(),
            stall_ms: config.stall_ms,
            progress_ms: Atomic::new(0),
            size: Atomic::new(0),
        };
        let dump = Arc::new(dump, GFP_KERNEL)?;
        let registered = Registered::new(dump, (!privileged).then_some(config.max_dumps))?;

        // The last that may wait for `mmap_lock`: nothing is held yet.
        let preparation = Preparation::new(&mm)?;
        hold.take(&task, config.timeout_ms)?;
        let mappings = list_mappings(&registered.0, &mm, config.timeout_ms)?;
        let image = image::make(&hold, &mm, preparation, &mappings)?;
        registered.0.size.store(image.size(), ordering::Relaxed);
        registered.0.progress();
        Ok(Self {
            registered,
            image,
            mm,
            _task: task,
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

    fn read_some(&self, position: u64, to: &mut IovIterDest<'_>) -> Result<usize> {
        let dump = &self.registered.0;
        dump.hold.check().map_err(EndReason::errno)?;
        if task::fatal_signal_pending() {
            return Err(EINTR);
        }
        // Nobody may be parked who would notice that the process is gone, or another.
        let mm = UsedMm::get(&self.mm).inspect_err(|_| {
            dump.hold.end(EndReason::TargetGone);
        })?;
        let read = match self.image.at(position) {
            Region::End => return Ok(0),
            Region::Bytes(bytes) => to.copy_to_iter(bytes),
            Region::Memory { vaddr, size } => memory::read_batch(&mm, vaddr, size, to)?,
        };
        // Was it the image's until the last byte was copied? Pairs with the full barrier of
        // the exchange in `Lifecycle::end()`, which comes before any thread is let go.
        sys_memory::read_barrier();
        dump.hold.check().map_err(EndReason::errno)?;
        if read == 0 {
            return Err(EFAULT);
        }
        dump.progress();
        Ok(read)
    }

    /// Lets the threads go. Returns what size the entry has from now on: that of another dump
    /// of the same memory, if this one had ended before.
    pub(crate) fn release(&self) -> u64 {
        let hold = &self.registered.0.hold;
        hold.end_now(EndReason::Closed);
        let dumps = DUMPS.lock();
        find(&dumps, hold.mm_id()).map_or(0, |dump| dump.size.load(ordering::Relaxed))
    }
}

/// Lists the mappings of a held process. `mmap_lock` is never waited for, since a sleeper may
/// hold it that waits for a parked thread: `ETIMEDOUT` where it stays taken.
fn list_mappings(dump: &Dump, mm: &Mm, timeout_ms: u32) -> Result<Mappings> {
    let since = Instant::<Monotonic>::now();
    loop {
        match Mappings::list(&UsedMm::get(mm)?) {
            Err(error) if error == EAGAIN => (),
            result => return result,
        }
        dump.hold.check().map_err(EndReason::errno)?;
        if kernel::current!().signal_pending() {
            return Err(ERESTARTSYS);
        }
        if since.elapsed() >= Delta::from_millis(i64::from(timeout_ms)) {
            return Err(ETIMEDOUT);
        }
        fsleep(RETRY);
    }
}
