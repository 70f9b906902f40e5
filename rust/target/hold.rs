// SPDX-License-Identifier: GPL-2.0

//! Keeps the threads of a process from user mode, and lets them go.
//!
//! Every thread gets a work, first; then those that sleep in the kernel are read in place.
//! A sleeper that wakes meets its work before user mode, so nobody escapes and nobody is
//! woken. New threads meet a work of their own before they ever run.
//!
//! Lock order: `Hold::threads` and the lock of the registry are never held together; nothing
//! is taken under the former, and under the latter only what queueing the end of a hold takes.

use super::{
    lifecycle::{EndReason, Lifecycle, State},
    thread::{Capture, HeldThread, Thread},
};
use crate::{
    elf::notes,
    sys::{
        bytes::Bytes,
        module::ModuleRef,
        park::{Countdown, Parked, Pollers, Turnstile, Waited},
        registers::RegisterLayout,
        task::{self, MmId, ProcessId},
        workqueue,
    },
};
use kernel::{
    alloc::{
        flags::{GFP_KERNEL_ACCOUNT, GFP_NOWAIT, __GFP_NOWARN},
        Flags,
    },
    impl_has_work,
    mm::Mm,
    new_spinlock, new_work,
    prelude::*,
    rbtree::{RBTree, RBTreeNode},
    sync::{
        aref::ARef,
        atomic::{ordering, Atomic},
        Arc, SetOnce, SpinLock,
    },
    task::Task,
    time::{Instant, Monotonic},
    workqueue::{Work, WorkItem},
};

/// The longest pause between two looks at those that have not arrived, in milliseconds.
const MAX_PAUSE_MS: u32 = 16;

/// A thread's place in the table: by id, which is about the order of creation, and by
/// address, since an id may come again while the table still holds its former owner.
type Key = (i32, usize);

fn key_of(task: &Task) -> Key {
    (task.pid(), task.as_ptr() as usize)
}

/// The threads that were found so far.
struct Table {
    threads: RBTree<Key, Arc<HeldThread>>,
    count: usize,
    /// Nobody is added any more.
    closed: bool,
}

/// The threads of one process, held.
#[pin_data]
pub(crate) struct Hold {
    mm: MmId,
    process: ProcessId,
    layout: RegisterLayout,
    /// Are sleepers read in place?
    in_place: bool,
    lifecycle: Lifecycle,
    module: ModuleRef,
    /// 1 once new threads are held: before, they are found with the others.
    armed: Atomic<u32>,
    /// When the first work was queued, and for how long the threads were held since, in
    /// nanoseconds, once they are free.
    since: SetOnce<Instant<Monotonic>>,
    held_ns: Atomic<u64>,
    /// How many arrived with their notes already made from where they slept.
    moved: Atomic<u32>,
    /// How many were passed over, having no user mode: workers of io_uring and vhost.
    workers: Atomic<u32>,
    #[pin]
    turnstile: Turnstile,
    /// Those that have neither arrived nor been read in place.
    #[pin]
    missing: Countdown,
    #[pin]
    threads: SpinLock<Table>,
    /// Who waits for what becomes of the dump.
    pollers: Arc<Pollers>,
    #[pin]
    ending: Work<Hold>,
}

impl_has_work! {
    impl HasWork<Self> for Hold { self.ending }
}

impl WorkItem for Hold {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.let_go();
    }
}

impl Hold {
    /// A hold on nobody yet.
    pub(crate) fn new(
        mm: &Mm,
        task: &Task,
        in_place: bool,
        pollers: &Arc<Pollers>,
        module: &ModuleRef,
    ) -> Result<Arc<Self>> {
        let layout = RegisterLayout::of(mm, notes::around_registers)?;
        let module = module.another();
        Arc::pin_init(
            pin_init!(Self {
                mm: MmId::of(mm),
                process: ProcessId::of(task),
                layout,
                in_place,
                lifecycle: Lifecycle::new(),
                module,
                armed: Atomic::new(0),
                since: SetOnce::new(),
                held_ns: Atomic::new(0),
                moved: Atomic::new(0),
                workers: Atomic::new(0),
                turnstile <- Turnstile::new(),
                missing <- Countdown::new(),
                threads <- new_spinlock!(Table {
                    threads: RBTree::new(),
                    count: 0,
                    closed: false,
                }),
                pollers: pollers.clone(),
                ending <- new_work!("Hold::ending"),
            }? Error),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Whose threads are held. Compared with the thread's own everywhere: exec.
    pub(crate) fn mm_id(&self) -> MmId {
        self.mm
    }

    /// The process whose threads are held.
    pub(crate) fn process(&self) -> ProcessId {
        self.process
    }

    /// Is this one of the threads that are, or should be, held?
    fn concerns(&self, task: &Task) -> bool {
        ProcessId::of(task) == self.process && MmId::of_task(task) == Some(self.mm)
    }

    pub(crate) fn layout(&self) -> &RegisterLayout {
        &self.layout
    }

    /// `Ok` while the image can be made and read.
    pub(crate) fn check(&self) -> Result<(), EndReason> {
        self.lifecycle.check()
    }

    pub(crate) fn state(&self) -> State {
        self.lifecycle.state()
    }

    /// Are the threads held?
    pub(crate) fn holds(&self) -> bool {
        self.lifecycle.holds()
    }

    /// For how long the threads have been, or were, held, in nanoseconds.
    pub(crate) fn held_ns(&self) -> u64 {
        match self.held_ns.load(ordering::Relaxed) {
            0 => self.since.as_ref().map_or(0, elapsed_ns),
            ended => ended,
        }
    }

    /// How many threads have arrived whose notes were made from where they slept.
    pub(crate) fn moved(&self) -> u32 {
        self.moved.load(ordering::Relaxed)
    }

    /// Has the process workers that cannot be held?
    pub(super) fn has_workers(&self) -> bool {
        self.workers.load(ordering::Relaxed) > 0
    }

    /// One of the missing is accounted for.
    pub(super) fn arrived(&self) {
        self.missing.arrived();
    }

    /// One has left the place where it was read.
    pub(super) fn has_moved(&self) {
        self.moved.fetch_add(1, ordering::Relaxed);
    }

    /// Keeps the calling thread.
    pub(super) fn park(&self) -> Parked {
        self.turnstile.park()
    }

    /// Is this one of those that are held? Counts the workers that are not.
    fn wants(&self, task: &Task) -> bool {
        let ours = self.concerns(task);
        let is_worker = ours && task::is_user_worker(task);
        if is_worker {
            self.workers.fetch_add(1, ordering::Relaxed);
        }
        ours && !is_worker
    }

    /// Enters a thread into the table, with `room` for its registers; `None` if it is there
    /// already, or if nobody is added any more.
    fn enter(
        self: &Arc<Self>,
        task: ARef<Task>,
        room: Bytes,
        flags: Flags,
    ) -> Result<Option<Arc<HeldThread>>> {
        let key = key_of(&task);
        let is_caller = task::is_current(&task);
        let thread = Thread::new(self.clone(), task, room, flags)?;
        let node = RBTreeNode::new(key, thread.clone(), flags)?;

        if !is_caller {
            self.missing.one_more();
        }
        let refused = {
            let mut table = self.threads.lock();
            if table.closed {
                Some(node)
            } else {
                let former = table.threads.insert(node);
                match former {
                    // The same thread: found by the scan and by its creator. The first stays.
                    Some(former) => table.threads.insert(former),
                    None => {
                        table.count = table.count.saturating_add(1);
                        None
                    }
                }
            }
        };
        if refused.is_some() {
            if !is_caller {
                thread.leave();
            }
            self.check().map_err(EndReason::errno)?;
            return Ok(None);
        }
        Ok(Some(thread))
    }

    /// Holds a thread that was entered: its work first, then a look whether it sleeps.
    fn keep(&self, thread: &Arc<HeldThread>) -> Result {
        if task::is_current(thread.task()) {
            return thread.capture_caller();
        }
        // It may have got another memory since it was entered.
        if !self.concerns(thread.task())
            || HeldThread::queue(thread, thread.task(), &self.module).is_err()
        {
            thread.leave();
        } else if !self.holds() {
            // `let_go()` may have looked before the work was there.
            Thread::let_go(thread);
        } else if self.in_place {
            thread.capture_in_place();
        }
        Ok(())
    }

    fn add_created(self: &Arc<Self>, task: &Task, flags: Flags) -> Result {
        if self.wants(task) {
            let room = Bytes::zeroed(self.layout.room(), flags)?;
            if let Some(thread) = self.enter(task.into(), room, flags)? {
                self.keep(&thread)?;
            }
        }
        Ok(())
    }

    /// A thread was created by one of the process, and has not run. Ends the hold if it cannot
    /// be held: silently leaky is worse.
    pub(crate) fn add_newborn(self: &Arc<Self>, task: &Task) {
        let armed = self.armed.fetch_add(0, ordering::Full) != 0;
        if armed && self.holds() && self.add_created(task, GFP_NOWAIT | __GFP_NOWARN).is_err() {
            self.end_hold(EndReason::NoMemory);
        }
    }

    /// The threads so far, in the order of their ids, but for the first: the caller, if it is
    /// one of them, else the leader.
    fn list(&self) -> Result<KVVec<Arc<HeldThread>>> {
        let mut list = KVVec::new();
        loop {
            let table = self.threads.lock();
            if table.count <= list.capacity() {
                for thread in table.threads.values() {
                    list.push_within_capacity(thread.clone())
                        .map_err(|_| ENOMEM)?;
                }
                break;
            }
            let room = table.count;
            drop(table);
            list.reserve(room.saturating_add(room / 8), GFP_KERNEL_ACCOUNT)?;
        }
        let place = |wanted: fn(&Task) -> bool| list.iter().position(|t| wanted(t.task()));
        let first = place(task::is_current).or_else(|| place(task::is_leader));
        if let Some(front) = first.and_then(|first| list.as_mut_slice().get_mut(..=first)) {
            front.rotate_right(1);
        }
        Ok(list)
    }

    /// Finds the threads of the process that `any` belongs to, and allocates whatever holding
    /// them takes. From the registration of the dump on, those that are created are added by
    /// their creators (`add_newborn()`), so that this finds the others.
    pub(crate) fn prepare(self: &Arc<Self>, any: &Task) -> Result<KVVec<Arc<HeldThread>>> {
        // A full barrier, as in `add_newborn()`: who finds this unset was linked to the others
        // before they are walked below.
        self.armed.xchg(1, ordering::Full);
        let mut found = task::threads(any)?;
        let room = self.layout.room();
        let mut rooms = Bytes::zeroed_pages(room.saturating_mul(found.len()))?;
        let mut threads = KVVec::with_capacity(found.len(), GFP_KERNEL_ACCOUNT)?;
        let mut running = KVVec::with_capacity(found.len(), GFP_KERNEL_ACCOUNT)?;
        for task in found.drain_all() {
            self.check().map_err(EndReason::errno)?;
            if self.wants(&task) {
                let runs = task::is_running(&task);
                let room = rooms.split_to(room);
                if let Some(thread) = self.enter(task, room, GFP_KERNEL_ACCOUNT)? {
                    let list = if runs { &mut running } else { &mut threads };
                    list.push_within_capacity(thread).map_err(|_| ENOMEM)?;
                }
            }
        }
        // A sleeper stands still anyway. Who runs does so from its turn on: last.
        for thread in running.drain_all() {
            threads.push_within_capacity(thread).map_err(|_| ENOMEM)?;
        }
        Ok(threads)
    }

    /// Holds `threads`, as `prepare()` has found them.
    ///
    /// Returns when all are accounted for or `timeout_ms` have passed since `since`:
    /// `ERESTARTSYS` on a signal to the caller, the reason's errno if the hold has ended.
    pub(crate) fn take(
        &self,
        threads: &[Arc<HeldThread>],
        since: Instant<Monotonic>,
        timeout_ms: u32,
    ) -> Result {
        self.since.populate(since);
        for thread in threads {
            self.keep(thread)?;
        }
        let mut pause_ms = 1;
        loop {
            self.check().map_err(EndReason::errno)?;
            let passed = u32::try_from(since.elapsed().as_millis()).unwrap_or(u32::MAX);
            let left_ms = timeout_ms.saturating_sub(passed);
            if left_ms == 0 || self.missing.left() <= 0 {
                return Ok(());
            }
            match self.missing.wait(left_ms.min(pause_ms)) {
                Waited::Reached => (),
                Waited::Interrupted => return Err(ERESTARTSYS),
                Waited::TimedOut if !self.in_place => (),
                Waited::TimedOut => {
                    // Some may have gone to sleep on their way.
                    for thread in self.list()? {
                        thread.capture_in_place();
                    }
                    pause_ms = pause_ms.saturating_mul(2).min(MAX_PAUSE_MS);
                }
            }
        }
    }

    /// Fixes the registers as they are: who has notes, and how each was captured, in the order
    /// of the notes.
    pub(super) fn seal(&self) -> Result<KVVec<(Arc<HeldThread>, Capture)>> {
        let mut sealed = KVVec::new();
        // Again, while there are new ones: a thread that is held has its note.
        loop {
            let threads = self.list()?;
            let visited = threads.len();
            sealed.reserve(visited, GFP_KERNEL_ACCOUNT)?;
            for thread in threads {
                if self.in_place && !thread.capture_in_place() {
                    thread.capture_running();
                }
                match thread.seal() {
                    Some(Capture::Gone) | None => (),
                    Some(how) => sealed.push((thread, how), GFP_KERNEL_ACCOUNT)?,
                }
            }
            self.check().map_err(EndReason::errno)?;
            let table = self.threads.lock();
            if table.count == visited && self.lifecycle.held() {
                return Ok(sealed);
            }
        }
    }

    /// Ends the hold, if the threads are held: nobody parks from here on; those who do are
    /// woken soon. Any context, under siglock with interrupts off too.
    pub(crate) fn end_hold(self: &Arc<Self>, reason: EndReason) {
        if self.lifecycle.end_hold(reason) {
            self.ended();
            self.turnstile.unlock();
            self.queue_ending();
        }
    }

    fn queue_ending(self: &Arc<Self>) {
        // Cannot be queued already: only the first end gets here.
        let _ = workqueue::queue().enqueue(self.clone());
    }

    /// Ends the dump, held or not. Any context.
    pub(crate) fn end(self: &Arc<Self>, reason: EndReason) {
        self.end_hold(reason);
        // If it was not held, it is not any more, and none but the readers have to be told.
        if self.lifecycle.end(reason) {
            self.queue_ending();
        }
    }

    /// Ends the hold, and tells all threads, unless the workqueue is about to: then some may be
    /// told a little later. Process context.
    pub(crate) fn end_now(&self, reason: EndReason) {
        if self.lifecycle.end(reason) {
            self.ended();
        }
        self.let_go();
    }

    /// Lets the threads go, and the image be read on. The reason's errno if that has ended.
    pub(crate) fn release(&self) -> Result {
        if self.lifecycle.released() {
            self.ended();
            self.let_go();
        }
        self.check().map_err(EndReason::errno)
    }

    /// The memory is copied: lets the threads go, if they were held until now; else the
    /// reason's errno.
    pub(crate) fn copied(&self) -> Result {
        if self.lifecycle.copied() {
            self.ended();
            self.let_go();
        }
        self.check().map_err(EndReason::errno)
    }

    /// Takes the time, once.
    fn ended(&self) {
        if let Some(since) = self.since.as_ref() {
            let _ = self
                .held_ns
                .cmpxchg(0, elapsed_ns(since).max(1), ordering::Relaxed);
        }
    }

    /// Wakes the parked, takes back the works that have not run, and tells the readers.
    fn let_go(&self) {
        self.turnstile.open();
        let threads = {
            let mut table = self.threads.lock();
            table.closed = true;
            table.count = 0;
            core::mem::replace(&mut table.threads, RBTree::new())
        };
        for thread in threads.values() {
            Thread::let_go(thread);
        }
        self.pollers.wake();
    }
}

fn elapsed_ns(since: &Instant<Monotonic>) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(0)
}
