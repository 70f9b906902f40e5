// SPDX-License-Identifier: GPL-2.0

//! Error codes that the kernel crate of 7.2 does not name yet.

use kernel::{bindings, error::Error, prelude::*};

/// The operation was cancelled.
pub(crate) fn ecanceled() -> Error {
    Error::from_errno(-(bindings::ECANCELED as c_int))
}

/// Two would wait for each other.
pub(crate) fn edeadlk() -> Error {
    Error::from_errno(-(bindings::EDEADLK as c_int))
}

/// This kernel or process does not allow it.
pub(crate) fn eopnotsupp() -> Error {
    Error::from_errno(-(bindings::EOPNOTSUPP as c_int))
}

/// A path does not fit.
pub(crate) fn enametoolong() -> Error {
    Error::from_errno(-(bindings::ENAMETOOLONG as c_int))
}

/// The memory is broken.
pub(crate) fn ehwpoison() -> Error {
    Error::from_errno(-(bindings::EHWPOISON as c_int))
}
