// SPDX-License-Identifier: GPL-2.0

//! Telling the log, and the audit, who dumps whom (`helpers/announcement.c`).

use super::ffi;
use kernel::task::Task;

/// The caller dumps the process of `target`. Says so if that is another user's. Process context;
/// may sleep for as long as the audit makes its callers wait.
pub(crate) fn announce(target: &Task) {
    // SAFETY: `target` is referenced; process context.
    unsafe { ffi::livecore_announce(target.as_ptr()) };
}
