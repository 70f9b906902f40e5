// SPDX-License-Identifier: GPL-2.0

//! All dumps that are open: at most one of each address space, found by whatever may end one,
//! and walked by the watchdog.
//!
//! Its lock is taken under siglock with interrupts off; under it, dumps are looked at and
//! ended, nothing is allocated, freed or waited for.

use crate::{
    params::{self, Abort, Config, Gate},
    sys::{
        announcement, clock, errno,
        registry_lock::RegistryLocked,
        snapshot as sys_snapshot,
        sysctl::{self, Knob},
        task::{self, MmId, ProcessId},
        tracepoints::{self, Signal},
        uapi, watchdog,
    },
    target::{
        hold::Hold,
        lifecycle::{EndReason, State},
        memory::Counters,
        snapshot::Snapshot,
    },
};
use core::ops::Deref;
use kernel::{
    alloc::flags::{GFP_KERNEL, GFP_KERNEL_ACCOUNT},
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{ordering, Atomic},
        Arc, SetOnce,
    },
    task::{Kuid, Task},
    time::{Instant, Monotonic},
};

/// What the registry knows of a dump.
pub(crate) struct Dump {
    pub(crate) hold: Arc<Hold>,
    /// Who opened it: its address space, for rings of dumps, and its real user, for the quota.
    /// Should the former be gone and its address in use again, a ring may be seen where there
    /// is none; the opener's descriptor was passed on then.
    reader: Option<MmId>,
    pub(crate) uid: Kuid,
    /// The thread that opened it, and one of the process, to tell who they are; the latter
    /// keeps the process's identity its own, too ([`ProcessId`]).
    pub(crate) opener: ARef<Task>,
    pub(crate) target: ARef<Task>,
    pub(crate) config: Config,
    started: Instant<Monotonic>,
    /// The same by `CLOCK_REALTIME`, in nanoseconds.
    pub(crate) since_ns: u64,
    /// When there was progress last, in milliseconds since `started`.
    progress_ms: Atomic<u64>,
    pub(crate) counters: Counters,
    /// What is known of the image, once there is one.
    made: SetOnce<uapi::Info>,
    /// The copy of the memory, once there is one.
    snapshot: SetOnce<Snapshot>,
}

impl Dump {
    /// A dump by the caller, from now on.
    pub(crate) fn new(hold: Arc<Hold>, target: &Task, config: Config) -> Self {
        Self {
            hold,
            opener: task::current(),
            target: target.into(),
            reader: MmId::of_current(),
            uid: kernel::current!().uid(),
            config,
            started: Instant::now(),
            since_ns: clock::real_time_ns(),
            progress_ms: Atomic::new(0),
            counters: Counters::new(),
            made: SetOnce::new(),
            snapshot: SetOnce::new(),
        }
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(0)
    }

    /// There was progress: the watchdog counts from now.
    pub(crate) fn progress(&self) {
        let now = self.age_ms();
        let mut last = self.progress_ms.load(ordering::Relaxed);
        // Who was kept from the CPU since does not take back what others have done.
        while last < now {
            match self.progress_ms.cmpxchg(last, now, ordering::Relaxed) {
                Ok(_) => break,
                Err(other) => last = other,
            }
        }
    }

    /// There is an image.
    pub(crate) fn complete(&self, made: uapi::Info) {
        self.made.populate(made);
        self.progress();
    }

    /// Tells the log who dumps whom; by the opener, while nobody is held. May sleep.
    pub(crate) fn announce(&self) {
        announcement::announce(&self.target);
    }

    /// What has happened so far.
    pub(crate) fn info(&self) -> uapi::Info {
        let hold = &self.hold;
        let nothing = uapi::Info::default();
        let made = self.made.as_ref().unwrap_or(&nothing);
        let moved = hold.moved();
        let (state, error) = match hold.state() {
            State::Holding | State::Held => (uapi::LIVECORE_STATE_HELD, 0),
            State::Snapshot => (uapi::LIVECORE_STATE_SNAPSHOT, 0),
            State::Released => (uapi::LIVECORE_STATE_RELEASED, 0),
            State::Ended(reason) => (uapi::LIVECORE_STATE_ENDED, reason.errno().to_errno()),
        };
        uapi::Info {
            state,
            error: error.unsigned_abs(),
            in_place: made.in_place.saturating_sub(moved),
            moved,
            held_ns: hold.held_ns(),
            read_bytes: self.counters.read_bytes(),
            hole_bytes: self.counters.hole_bytes(),
            unreadable_pages: self.counters.unreadable_pages(),
            ..*made
        }
    }

    /// The size of the image, in bytes; 0 while there is none.
    fn size(&self) -> u64 {
        self.made.as_ref().map_or(0, |made| made.image_size)
    }

    fn is_stalled(&self) -> bool {
        let progress = self.progress_ms.load(ordering::Relaxed);
        // Both are rounded down: `>=` could be a millisecond early.
        self.age_ms().saturating_sub(progress) > u64::from(self.config.stall_ms)
    }

    fn is_held_long(&self) -> bool {
        self.config
            .hold_max_ms
            .is_some_and(|limit_ms| self.hold.held_ns() / 1_000_000 >= u64::from(limit_ms.get()))
    }

    /// The memory is copied: lets the threads go, if they were held until now; else the
    /// reason's errno.
    pub(crate) fn copied(&self, snapshot: Snapshot) -> Result<&Snapshot> {
        self.snapshot.populate(snapshot);
        self.hold.copied()?;
        self.snapshot.as_ref().ok_or(EINVAL)
    }

    /// The copy, unless there is none, or none any more.
    fn lasting_snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref().filter(|snapshot| snapshot.lasts())
    }

    /// Ends what has to end by now. Is there still something to watch?
    fn tick(&self) -> bool {
        if self.is_stalled() {
            self.hold.end_hold(EndReason::Stalled);
        }
        if self.is_held_long() {
            self.hold.end_hold(EndReason::HeldLong);
        }
        if let Some(snapshot) = self.lasting_snapshot() {
            if snapshot.is_in_the_way() {
                self.end(EndReason::NoMemory);
            } else if snapshot.is_orphan() && self.is_stalled() {
                self.end(EndReason::TargetGone);
            }
        }
        self.hold.holds() || self.lasting_snapshot().is_some()
    }

    /// Ends it; what was copied goes. Returns about how many pages. Any context.
    fn end(&self, reason: EndReason) -> usize {
        self.hold.end(reason);
        // Afterwards, so that readers find the reason first.
        self.snapshot.as_ref().map_or(0, Snapshot::give_back)
    }

    /// Can it be read, or will it be?
    pub(crate) fn lasts(&self) -> bool {
        self.hold.check().is_ok()
    }

    /// The copy that is to be read instead of the process.
    pub(crate) fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }
}

/// All dumps that are open, those that have ended too.
static DUMPS: RegistryLocked<KVec<Arc<Dump>>> = RegistryLocked::new(KVec::new());

/// How many there are, for those who ask of every signal and every new thread.
static OPEN: Atomic<u32> = Atomic::new(0);

/// The dump for which this address space is held.
fn find(dumps: &[Arc<Dump>], mm: MmId) -> Option<&Arc<Dump>> {
    dumps
        .iter()
        .find(|dump| dump.hold.holds() && dump.hold.mm_id() == mm)
}

/// The longest ring of dumps that is found; the watchdog ends what is longer.
const MAX_RING: usize = 16;

/// Would `reader`, reading `target`, wait for itself? It would if `target` dumps `reader`, or
/// dumps who dumps it, and so on: each is dumped by one at most, so this is a walk.
fn closes_a_ring(dumps: &[Arc<Dump>], target: MmId, reader: Option<MmId>) -> bool {
    let mut held = reader;
    for _ in 0..MAX_RING {
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

/// May there be one more? A quarter of all for each user, one at least. Those that have ended
/// count until they are closed.
fn within_limits(dumps: &[Arc<Dump>], uid: Kuid, max_dumps: u32) -> bool {
    let quota = (max_dumps / 4).max(1);
    dumps.len() < max_dumps as usize
        && dumps.iter().filter(|dump| dump.uid == uid).count() < quota as usize
}

/// A dump's place in the registry. Dropping it lets all threads go.
pub(crate) struct Registered(Arc<Dump>);

impl Registered {
    /// `EBUSY`, `EDEADLK`, `EAGAIN`: checking and registering are one critical section.
    /// `EPERM` if the gate was closed meanwhile, by somebody who did not see this dump.
    pub(crate) fn new(dump: Arc<Dump>, privileged: bool) -> Result<Self> {
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
            if !privileged && !within_limits(&dumps, dump.uid, dump.config.max_dumps) {
                return Err(EAGAIN);
            }
            dumps
                .push_within_capacity(dump.clone())
                .map_err(|_| ENOMEM)?;
            OPEN.fetch_add(1, ordering::Full);
            break;
        }
        let this = Self(dump);
        if Config::current().gate == Gate::Closed {
            return Err(EPERM);
        }
        watchdog::kick();
        Ok(this)
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

impl Deref for Registered {
    type Target = Dump;

    fn deref(&self) -> &Dump {
        &self.0
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

/// Tells `show` the size of the image of this address space, in bytes: of the dump that holds
/// it, or else of the last that can be read, 0 if there is none. Under the lock, so that whoever
/// comes last tells what is true.
pub(crate) fn show_size(mm: MmId, show: impl FnOnce(u64)) {
    let dumps = DUMPS.lock();
    let readable = |dump: &&Arc<Dump>| dump.lasts() && dump.hold.mm_id() == mm;
    let dump = find(&dumps, mm).or_else(|| dumps.iter().rfind(readable));
    show(dump.map_or(0, |dump| dump.size()));
}

/// All of them, in the order of their registration. Process context.
pub(crate) fn list() -> Result<KVVec<Arc<Dump>>> {
    let mut list = KVVec::new();
    loop {
        let dumps = DUMPS.lock();
        let room = dumps.len();
        if room <= list.capacity() {
            for dump in dumps.iter() {
                list.push_within_capacity(dump.clone())
                    .map_err(|_| ENOMEM)?;
            }
            return Ok(list);
        }
        drop(dumps);
        list.reserve(room, GFP_KERNEL_ACCOUNT)?;
    }
}

/// What the kernel tells the dumps.
pub(crate) struct Observer;

impl Observer {
    /// The hold on the process that this thread is of, if there is one, and what ends it: by
    /// the process, since a leader that has exited before the others has no memory any more,
    /// but gets their signals; and by the memory where there is one, since a hold on what the
    /// process was before execve() may not have ended yet.
    fn hold_on(task: &Task) -> Option<(Arc<Hold>, Abort)> {
        if OPEN.load(ordering::Relaxed) == 0 {
            return None;
        }
        let (process, mm) = (ProcessId::of(task), MmId::of_task(task));
        let dumps = DUMPS.lock();
        let dump = dumps
            .iter()
            .filter(|dump| dump.hold.holds() && dump.hold.process() == process)
            .find(|dump| mm.is_none_or(|mm| dump.hold.mm_id() == mm))?;
        Some((dump.hold.clone(), dump.config.abort))
    }
}

impl tracepoints::Probes for Observer {
    fn signal_generated(task: &Task, signal: &Signal<'_>) {
        if let Some((hold, abort)) = Self::hold_on(task) {
            let ends = match abort {
                Abort::Fatal => signal.is_fatal(),
                Abort::Outside => signal.is_fatal() || signal.is_job_control_from_outside(),
                Abort::Any => signal.was_sent(),
            };
            if ends {
                hold.end_hold(EndReason::Signal);
            }
        }
    }

    fn task_created(task: &Task) {
        if let Some((hold, _)) = Self::hold_on(task) {
            hold.add_newborn(task);
        }
    }
}

impl watchdog::Watched for Observer {
    fn tick() -> bool {
        let dumps = DUMPS.lock();
        // All of them, whatever the first says.
        dumps
            .iter()
            .fold(false, |watched, dump| dump.tick() || watched)
    }
}

impl sys_snapshot::Shrinks for Observer {
    fn out_of_memory() -> usize {
        let dumps = DUMPS.lock();
        let snapshots = dumps
            .iter()
            .filter(|dump| dump.lasting_snapshot().is_some());
        snapshots.fold(0, |pages, dump| {
            pages.saturating_add(dump.end(EndReason::NoMemory))
        })
    }
}

impl sysctl::Watcher for Observer {
    fn allows(knob: &Knob, value: u32) -> Result {
        params::check(knob, value)
    }

    fn written() {
        if Config::current().gate == Gate::Closed {
            for dump in DUMPS.lock().iter() {
                dump.end(EndReason::GateClosed);
            }
        }
    }
}

/// The sysctls, while they are there.
pub(crate) type Sysctls = sysctl::Registration<Observer>;

/// The probes, while they are registered.
pub(crate) type Probes = tracepoints::Registration<Observer>;

/// The notifier of system OOM, while it is registered.
pub(crate) type OomNotifier = sys_snapshot::OomNotifier<Observer>;

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
