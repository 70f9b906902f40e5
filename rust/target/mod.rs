// SPDX-License-Identifier: GPL-2.0

//! What is done to the process: its threads held, its registers and memory read.

pub(crate) mod hold;
pub(crate) mod image;
pub(crate) mod lifecycle;
pub(crate) mod memory;
pub(crate) mod snapshot;
mod stacks;
mod thread;
mod thread_notes;
