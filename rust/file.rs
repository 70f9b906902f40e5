// SPDX-License-Identifier: GPL-2.0

//! One open of `/proc/<pid>/core`: what open, read, ioctl and close mean for a dump.

use crate::{
    access::{self, Target},
    params::Config,
    session::Session,
    sys::{
        core_file::{CoreFile, Entry, OpenedFor, Readiness, Seek},
        module::ModuleRef,
        park::Pollers,
        uapi,
    },
    target::memory::Kind,
};
use kernel::{
    iov::IovIterDest,
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex, SetOnce},
};

/// What is configured before it starts.
struct Pending {
    target: Target,
    /// What it is to be; the sysctls, which are its limits, are asked when it starts.
    asked: uapi::Config,
    module: ModuleRef,
}

/// What an open file stands for.
#[pin_data]
pub(crate) struct Core {
    /// Taken while it is being started, and put back if that fails.
    #[pin]
    pending: Mutex<Option<Pending>>,
    pollers: Arc<Pollers>,
    session: SetOnce<Session>,
}

impl Core {
    /// The dump, once it was started; `EINVAL` before.
    fn session(&self) -> Result<&Session> {
        self.session.as_ref().ok_or(EINVAL)
    }
}

impl CoreFile for Core {
    fn open(entry: &Entry<'_>, module: &ModuleRef) -> Result<Arc<Self>> {
        let opened_for = entry.opened_for()?;
        let target = access::check(entry, &Config::current())?;
        let pending = Pending {
            target,
            asked: uapi::Config::default(),
            module: module.another(),
        };
        let core = Arc::pin_init(
            pin_init!(Self {
                pending <- new_mutex!(Some(pending)),
                pollers: Arc::pin_init(Pollers::new(), GFP_KERNEL_ACCOUNT)?,
                session: SetOnce::new(),
            }? Error),
            GFP_KERNEL_ACCOUNT,
        )?;
        if opened_for == OpenedFor::Reading {
            core.start()?;
        }
        Ok(core)
    }

    fn configure(&self, asked: uapi::Config) -> Result {
        let mut guard = self.pending.lock();
        let pending: &mut Option<Pending> = &mut guard;
        let pending = pending.as_mut().ok_or(EBUSY)?;
        Config::from_user(&asked, pending.target.privileged)?;
        pending.asked = asked;
        Ok(())
    }

    fn start(&self) -> Result {
        let pending = self.pending.lock().take().ok_or(EBUSY)?;
        let started =
            Config::from_user(&pending.asked, pending.target.privileged).and_then(|config| {
                Session::start(&pending.target, config, &self.pollers, &pending.module)
            });
        match started {
            Ok(session) => {
                self.session.populate(session);
                self.pollers.wake();
                Ok(())
            }
            Err(error) => {
                *self.pending.lock() = Some(pending);
                Err(error)
            }
        }
    }

    fn let_go(&self) -> Result {
        self.session()?.let_go()
    }

    fn info(&self) -> uapi::Info {
        match self.session() {
            Ok(session) => session.info(),
            Err(_) => uapi::Info {
                state: uapi::LIVECORE_STATE_IDLE,
                ..Default::default()
            },
        }
    }

    fn size(&self) -> u64 {
        self.session().map_or(0, Session::size)
    }

    fn read(&self, position: u64, to: &mut IovIterDest<'_>) -> Result<usize> {
        self.session()?.read(position, to)
    }

    fn seek(&self, position: u64, to: Seek) -> Result<u64> {
        let kind = match to {
            Seek::Data => Kind::Data,
            Seek::Hole => Kind::Hole,
        };
        self.session()?.seek(position, kind)
    }

    fn pollers(&self) -> &Pollers {
        &self.pollers
    }

    fn readiness(&self) -> Readiness {
        match self.session() {
            Err(_) => Readiness::Waiting,
            Ok(session) if session.lasts() => Readiness::Readable,
            Ok(_) => Readiness::Ended,
        }
    }

    fn show_size(&self, show: impl FnOnce(u64)) {
        if let Ok(session) = self.session() {
            session.show_size(show);
        }
    }

    fn release(&self) {
        if let Ok(session) = self.session() {
            session.close();
        }
    }
}
