// SPDX-License-Identifier: GPL-2.0

//! Telling the log, and the audit, who has dumped whom (`helpers/announcement.c`).

use super::ffi;
use kernel::task::Task;

/// The caller has dumped the process of `target`. Says so if that is another user's. Process
/// context.
pub(crate) fn announce(target: &Task) {
    // SAFETY: `target` is referenced; process context.
    unsafe { ffi::livecore_announce(target.as_ptr()) };
}
