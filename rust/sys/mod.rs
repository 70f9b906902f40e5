// SPDX-License-Identifier: GPL-2.0

//! The only room with `unsafe` code: the kernel's C functions behind safe types.
//!
//! A type here owns what it takes (a reference, a lock, a registration) and gives it back in
//! `Drop`. Nothing here decides anything; the policy is in the modules above, which are all
//! `#[forbid(unsafe_code)]`, and which this module does not know; `crate::elf`, which is below
//! all, it does.

pub(crate) mod announcement;
pub(crate) mod bytes;
pub(crate) mod clock;
pub(crate) mod core_file;
pub(crate) mod errno;
pub(crate) mod listing;
pub(crate) mod memory;
pub(crate) mod module;
pub(crate) mod pages;
pub(crate) mod park;
pub(crate) mod pident;
pub(crate) mod registers;
pub(crate) mod registry_lock;
pub(crate) mod snapshot;
pub(crate) mod symbols;
pub(crate) mod sysctl;
pub(crate) mod task;
pub(crate) mod task_work;
pub(crate) mod tracepoints;
pub(crate) mod uapi;
pub(crate) mod watchdog;
pub(crate) mod workqueue;

/// The C shims of `rust/helpers/`, by bindgen.
#[allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    unreachable_pub,
    unused_imports
)]
mod ffi {
    include!(env!("LIVECORE_BINDINGS"));
}
