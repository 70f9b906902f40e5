// SPDX-License-Identifier: GPL-2.0

//! One open of `/proc/<pid>/core`: what open, read and close mean for a dump.

use crate::{
    access,
    params::Config,
    session::Session,
    sys::{
        core_file::{CoreFile, Entry},
        module::ModuleRef,
    },
};
use kernel::{iov::IovIterDest, prelude::*, sync::Arc};

/// What an open file stands for.
pub(crate) struct Core {
    session: Session,
}

impl CoreFile for Core {
    fn open(entry: &Entry<'_>, module: &ModuleRef) -> Result<Arc<Self>> {
        let config = Config::current();
        let target = access::check(entry, &config)?;
        let session = Session::start(target, config, module)?;
        Ok(Arc::new(Self { session }, GFP_KERNEL)?)
    }

    fn size(&self) -> u64 {
        self.session.size()
    }

    fn read(&self, position: u64, to: &mut IovIterDest<'_>) -> Result<usize> {
        self.session.read(position, to)
    }

    fn show_size(&self, show: impl FnOnce(u64)) {
        self.session.show_size(show);
    }

    fn release(&self) {
        self.session.release();
    }
}
