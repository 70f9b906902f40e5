// SPDX-License-Identifier: GPL-2.0

//! The time of day, which [`kernel::time::Instant`] does not give away.

use kernel::bindings;

/// `CLOCK_REALTIME`, in nanoseconds since 1970.
pub(crate) fn real_time_ns() -> u64 {
    // SAFETY: No preconditions.
    u64::try_from(unsafe { bindings::ktime_get_real() }).unwrap_or(0)
}
