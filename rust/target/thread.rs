// SPDX-License-Identifier: GPL-2.0

//! One thread of a held process, and how its registers were come by.

use super::{hold::Hold, lifecycle::EndReason};
use crate::sys::{
    bytes::Bytes,
    park::Parked,
    registers::Registers,
    task::{self, MmId},
    task_work::{AtBoundary, TaskWork},
};
use kernel::{
    alloc::flags::{GFP_KERNEL_ACCOUNT, GFP_NOWAIT, __GFP_NOWARN},
    new_mutex,
    prelude::*,
    sync::{aref::ARef, Arc, Mutex},
    task::Task,
};

/// A thread with its work, as the hold keeps it.
pub(super) type HeldThread = TaskWork<Thread>;

/// How a thread was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capture {
    /// Not yet; its note is zeroed if open returns so.
    Waiting,
    /// By itself, at the boundary to user mode, where it is parked.
    Parked,
    /// Asleep in the kernel, without being woken.
    InPlace,
    /// In place, and it arrived when its note had been made.
    Moved,
    /// Running in the kernel: the general registers that it entered it with.
    Running,
    /// The caller of open itself, in its system call.
    Caller,
    /// Not to be captured: it exits, or executes another program.
    Gone,
}

struct Captured {
    how: Capture,
    /// By [`Thread::seal`]: the registers stay as they are.
    sealed: bool,
    /// Until they are taken for the notes.
    registers: Option<Registers>,
}

impl Captured {
    /// The registers, if they may still change.
    fn unsealed(&mut self) -> Option<&mut Registers> {
        self.registers.as_mut().filter(|_| !self.sealed)
    }
}

/// One thread of a held process.
///
/// Nobody gets past its work, and no work is taken back, without `captured`: whoever has it
/// and finds the thread held may rely on its not reaching user mode, nor its end, meanwhile.
/// It may lose its memory (exit), or get another (execve), before it comes to its work.
#[pin_data]
pub(crate) struct Thread {
    hold: Arc<Hold>,
    task: ARef<Task>,
    /// Lock order: before the task's `pi_lock`, after nothing.
    #[pin]
    captured: Mutex<Captured>,
}

impl Thread {
    /// Allocates what a thread needs, but for the room for its registers.
    pub(super) fn new(
        hold: Arc<Hold>,
        task: ARef<Task>,
        room: Bytes,
        flags: kernel::alloc::Flags,
    ) -> Result<Arc<HeldThread>> {
        let captured = Captured {
            how: Capture::Waiting,
            sealed: false,
            registers: Some(Registers::new(&task, hold.layout(), room, flags)?),
        };
        Arc::pin_init(
            TaskWork::new(pin_init!(Thread {
                hold,
                task,
                captured <- new_mutex!(captured),
            }? Error)),
            flags,
        )
    }

    pub(crate) fn task(&self) -> &Task {
        &self.task
    }

    /// Takes the registers of the calling thread, which is this one.
    pub(super) fn capture_caller(&self) -> Result {
        let mut captured = self.captured.lock();
        if let Some(registers) = captured.unsealed() {
            registers.capture_current(self.hold.layout(), GFP_KERNEL_ACCOUNT)?;
            captured.how = Capture::Caller;
        }
        Ok(())
    }

    /// Reads the registers where the thread sleeps. True if it needs no more waiting for.
    pub(super) fn capture_in_place(&self) -> bool {
        let mut captured = self.captured.lock();
        let captured = &mut *captured;
        if captured.how != Capture::Waiting {
            return true;
        }
        let (mm, layout) = (self.hold.mm_id(), self.hold.layout());
        let Some(registers) = captured.unsealed() else {
            return true;
        };
        // Without room the next look fares better, if it has called ioperm() since the last.
        let _ = registers.make_room(&self.task, layout, GFP_NOWAIT | __GFP_NOWARN);
        if !registers.capture_blocked(&self.task, mm, layout) {
            return false;
        }
        captured.how = Capture::InPlace;
        self.hold.arrived();
        true
    }

    /// Takes the general registers of a thread that neither arrives nor sleeps: in a long
    /// system call, or kept from the CPU by its cgroup. Its work is queued and has not run.
    pub(super) fn capture_running(&self) {
        let mut captured = self.captured.lock();
        let captured = &mut *captured;
        let (mm, layout) = (self.hold.mm_id(), self.hold.layout());
        if captured.how != Capture::Waiting || !self.hold.holds() {
            return;
        }
        let Some(registers) = captured.unsealed() else {
            return;
        };
        if registers.capture_running(&self.task, mm, layout) {
            captured.how = Capture::Running;
            self.hold.arrived();
        }
    }

    /// How it was captured, so far.
    pub(super) fn how(&self) -> Capture {
        self.captured.lock().how
    }

    /// Takes its work back.
    pub(super) fn let_go(this: &Arc<HeldThread>) {
        let _captured = this.captured.lock();
        HeldThread::cancel(this, this.task());
    }

    /// It has left, or was never ours to hold.
    pub(super) fn leave(&self) {
        let mut captured = self.captured.lock();
        if captured.how == Capture::Waiting {
            self.hold.arrived();
        }
        if !captured.sealed {
            captured.how = Capture::Gone;
        }
    }

    /// Fixes the capture as it is now; `None` if it was before.
    pub(super) fn seal(&self) -> Option<Capture> {
        let mut captured = self.captured.lock();
        (!core::mem::replace(&mut captured.sealed, true)).then_some(captured.how)
    }

    /// Hands out the registers, once.
    pub(super) fn take_registers(&self) -> Option<Registers> {
        self.captured.lock().registers.take()
    }

    /// Takes the thread's own registers, unless the capture is sealed.
    fn arrive(&self) -> Result {
        let mut captured = self.captured.lock();
        let captured = &mut *captured;
        if let Some(registers) = captured.unsealed() {
            // Under the lock: a thread that has not arrived must not go on before the end.
            registers
                .capture_current(self.hold.layout(), GFP_NOWAIT | __GFP_NOWARN)
                .inspect_err(|_| self.hold.end_hold(EndReason::NoMemory))?;
            if captured.how == Capture::Waiting {
                self.hold.arrived();
            }
            captured.how = Capture::Parked;
        } else if captured.how == Capture::InPlace {
            captured.how = Capture::Moved;
            self.hold.has_moved();
        }
        Ok(())
    }

    /// Ends the hold: the calling thread, which is this one, is about to die.
    fn end_killed(&self) {
        self.hold.end_hold(if task::signal_ends_current() {
            EndReason::Signal
        } else {
            EndReason::TargetGone
        });
    }
}

impl AtBoundary for Thread {
    fn at_boundary(&self) {
        // First of all: a queued work survives execve, and the image may be another user's.
        let mm = MmId::of_current();
        let ours = mm == Some(self.hold.mm_id());
        if !ours || task::current_unparkable() {
            self.leave();
            if (!ours && mm.is_some()) || task::current_in_execve() {
                // Nobody may be parked who would notice that the process is another.
                self.hold.end_hold(EndReason::TargetGone);
            }
            return;
        }
        // Works run before signals are delivered. One that came before anybody watched is found
        // here. Whoever has sent one since tells of it before he gives up siglock, which this
        // takes: a hold that the signal ends has ended before the thread is counted.
        if task::fatal_signal_queued() {
            self.end_killed();
        }
        if !self.hold.holds() {
            // Somebody may be reading its registers still.
            drop(self.captured.lock());
            return;
        }
        if self.arrive().is_err() {
            return;
        }
        if self.hold.park() == Parked::Killed {
            // It was woken before the probe of the signal was told.
            self.end_killed();
        }
    }
}
