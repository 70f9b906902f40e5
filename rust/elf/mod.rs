// SPDX-License-Identifier: GPL-2.0

//! The core file's format, apart from any process: what `fs/binfmt_elf.c` knows.
//!
//! Nothing here touches the kernel but to allocate; all of it is tested by KUnit.

mod class;
pub(crate) mod filter;
pub(crate) mod header;
pub(crate) mod layout;
pub(crate) mod live_note;
pub(crate) mod notes;
pub(crate) mod stretches;
mod writer;

pub(crate) use class::Class;
pub(crate) use writer::Writer;

/// What mappings, segments and the file are aligned to, in bytes.
pub(crate) const PAGE_SIZE: u64 = 4096;
