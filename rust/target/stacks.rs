// SPDX-License-Identifier: GPL-2.0

//! The memory that the backtraces of all threads need: `kernel.livecore_contents` 1.
//!
//! It is what gdb reads of a whole core for `thread apply all bt`: the stacks; for each thread
//! the `struct pthread` at its thread pointer; the vdso; the first page of each ELF file, for
//! its build id; the dynamic linker's list of what is loaded; the lists of threads in the data
//! of the dynamic linker and of libc, or of a static program; and, for the name and arguments
//! of the program, the end of the stack that it began on.
//!
//! The list of what is loaded is read before the process is held, when that may wait. After it
//! nothing is read but the frames of signal handlers, and those only if they are there.
//! All that is read is the process's to forge. It chooses what is dumped of its own memory,
//! within the bounds below, and of what a full dump would have.

use crate::{
    elf::{
        notes::NT_PRSTATUS,
        stretches::{Merged, Stretches},
        Class, PAGE_SIZE,
    },
    sys::{
        memory::{self as sys_memory, Mapping, Mappings, UsedMm},
        registers::{RegisterLayout, Registers},
        task,
    },
    target::{hold::Hold, lifecycle::EndReason, memory},
};
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT, mm::Mm, prelude::*, task::Task, transmute::AsBytes,
};

/// What of a stack is dumped in any case, from its stack pointer on, in bytes: a thousand
/// frames.
const ONE_STACK: u64 = 128 << 10;
/// Deeper ones are dumped deeper while all together are not more than this: with what else
/// there is, a process of 20 threads stays below 4 MiB.
const ALL_STACKS: u64 = 20 * ONE_STACK;
/// What a function may use below its stack pointer.
const RED_ZONE: u64 = 128;
/// Of the stack that the program began on: its arguments, environment and auxiliary vector.
const PROGRAM_STACK: u64 = 64 << 10;
/// Of a mapping of the data of the dynamic linker, libc, or a static program, at both ends:
/// what is libc's own comes last in a static program.
const DATA: u64 = 256 << 10;
/// Where in an alternate stack the outermost signal frame is, from its end: it starts with
/// the extended registers, of 11 KiB at most.
const SIGNAL_FRAME: u64 = 16 << 10;
/// The code around a program counter that may be no file's.
const CODE: u64 = 64;

/// More than any program has: of program headers, entries of its dynamic section, namespaces
/// of its dynamic linker, shared objects, and shared objects that are libc.
const MAX_HEADERS: u64 = 64;
const MAX_DYNAMIC: u64 = 512;
const MAX_NAMESPACES: usize = 64;
const MAX_LOADED: usize = 4096;
const MAX_DATA: usize = 32;
const PATH_MAX: usize = 4096;

const NT_386_TLS: u32 = 0x200;
const AT_PHDR: u64 = 3;
const AT_PHNUM: u64 = 5;
const AT_BASE: u64 = 7;
const AT_EXECFN: u64 = 31;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_PHDR: u32 = 6;
const DT_DEBUG: u64 = 21;

/// How long a word of the process is, in bytes.
#[derive(Clone, Copy)]
struct Word(usize);

impl Word {
    fn of(layout: &RegisterLayout) -> Self {
        Self(match layout.class() {
            Class::Elf32 => 4,
            Class::Elf64 => 8,
        })
    }

    fn is_64bit(self) -> bool {
        self.0 == 8
    }

    /// The word with this index of `bytes`.
    fn at(self, bytes: &[u8], index: usize) -> Option<u64> {
        let start = index.checked_mul(self.0)?;
        let word = bytes.get(start..start.checked_add(self.0)?)?;
        let value = |value, byte: &u8| (value << 8) | u64::from(*byte);
        Some(word.iter().rev().fold(0, value))
    }

    /// An address, which wraps where the process's own arithmetic does.
    fn address(self, address: u64) -> u64 {
        if self.is_64bit() {
            address
        } else {
            address & u64::from(u32::MAX)
        }
    }
}

/// Where a thread is.
struct Pointers {
    stack: u64,
    /// Of the code that a signal handler has interrupted, where that ran on another stack.
    interrupted: Option<u64>,
    code: u64,
    thread: u64,
}

/// The memory that backtraces need, as it is found.
pub(crate) struct Stacks {
    word: Word,
    stretches: Stretches,
    threads: KVVec<Pointers>,
    /// The path by which the program was executed, at the end of its first stack.
    execfn: u64,
}

impl Stacks {
    /// Reads what is loaded. Process context, before anything is held; may wait for I/O.
    pub(crate) fn new(hold: &Hold, mm: &Mm, used: &UsedMm, mappings: &Mappings) -> Result<Self> {
        let word = Word::of(hold.layout());
        let auxv = sys_memory::auxv(mm);
        let auxv = |tag| auxv_value(auxv.as_bytes(), word, tag);
        let mut linker = Linker {
            hold,
            mm: used,
            mappings,
            word,
            stretches: Stretches::new(),
            path: KVec::from_elem(0, PATH_MAX, GFP_KERNEL_ACCOUNT)?,
            loaded_left: MAX_LOADED,
            data_left: MAX_DATA,
        };
        let program = auxv(AT_PHDR);
        match auxv(AT_BASE) {
            0 => linker.add_data_of(program)?,
            interpreter => linker.add_data_of(interpreter)?,
        }
        if let Some(debug) = linker.add_program(program, auxv(AT_PHNUM).min(MAX_HEADERS))? {
            linker.add_namespaces(debug)?;
        }
        Ok(Self {
            word,
            stretches: linker.stretches,
            threads: KVVec::new(),
            execfn: auxv(AT_EXECFN),
        })
    }

    /// Adds a thread, by its registers; `used` is the memory of the process, held.
    pub(crate) fn add_thread(
        &mut self,
        layout: &RegisterLayout,
        task: &Task,
        registers: &Registers,
        used: &UsedMm,
    ) -> Result {
        if let Some(mut pointers) = pointers(self.word, layout, registers) {
            pointers.interrupted = interrupted(self.word, used, task, pointers.stack)?;
            self.threads.push(pointers, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(())
    }

    /// Everything; `mappings` are those of the process, held.
    pub(crate) fn finish(mut self, mappings: &Mappings) -> Result<Merged> {
        let mut stacks = KVVec::new();
        for thread in self.threads.iter() {
            for pointer in [Some(thread.stack), thread.interrupted] {
                let stack = pointer.and_then(|pointer| stack(mappings, pointer, thread.thread));
                if let Some(stack) = stack {
                    stacks.push(stack, GFP_KERNEL_ACCOUNT)?;
                }
            }
        }
        let depth = depth(stacks.iter().map(|&(_, size)| size));
        for &(start, size) in stacks.iter() {
            self.stretches.add(start, size.min(depth))?;
        }
        for thread in self.threads.iter() {
            // Thread-local variables are below the thread pointer, the structure above.
            for (pointer, around) in [(thread.thread, PAGE_SIZE), (thread.code, CODE)] {
                let start = pointer.saturating_sub(around);
                self.stretches.add(start, around.saturating_mul(2))?;
            }
        }
        for mapping in mappings.iter() {
            let traits = mapping.traits();
            let length = length(&mapping);
            if traits.special && mapping.executable() {
                self.stretches.add(mapping.start(), length)?;
            } else if traits.file && traits.at_file_start && traits.readable {
                self.stretches.add(mapping.start(), PAGE_SIZE)?;
            }
            if (mapping.start()..mapping.end()).contains(&self.execfn) {
                let size = length.min(PROGRAM_STACK);
                let start = mapping.end().saturating_sub(size);
                self.stretches.add(start, size)?;
            }
        }
        self.stretches.merge()
    }
}

fn length(mapping: &Mapping<'_>) -> u64 {
    mapping.end().saturating_sub(mapping.start())
}

/// A value of the auxiliary vector; 0 where there is none.
fn auxv_value(auxv: &[u8], word: Word, tag: u64) -> u64 {
    let mut entries = auxv.chunks_exact(word.0.saturating_mul(2));
    entries
        .find(|entry| word.at(entry, 0) == Some(tag))
        .and_then(|entry| word.at(entry, 1))
        .unwrap_or(0)
}

/// Where a thread is, by its registers (`struct user_regs_struct`); `None` if they are not
/// known.
fn pointers(word: Word, layout: &RegisterLayout, registers: &Registers) -> Option<Pointers> {
    let mut general: &[u8] = &[];
    let mut tls: &[u8] = &[];
    for (set, data) in registers.sets(layout) {
        match set.note_type {
            NT_PRSTATUS => general = data,
            NT_386_TLS => tls = data,
            _ => (),
        }
    }
    let at = |index| word.at(general, index);
    let (stack, code, thread) = if word.is_64bit() {
        (at(19)?, at(16)?, at(21)?)
    } else {
        // gs selects one of the descriptors: entry number, base, limit, flags.
        let entry = at(10)? >> 3;
        let base = tls.chunks_exact(16).find_map(|descriptor| {
            (word.at(descriptor, 0)? == entry).then_some(word.at(descriptor, 1)?)
        });
        (at(15)?, at(12)?, base.unwrap_or(0))
    };
    Some(Pointers {
        stack,
        interrupted: None,
        code,
        thread,
    })
}

/// The stack pointer of the code that was interrupted by the first signal handler on the
/// alternate stack, if `stack` is there.
///
/// Its frame is known by what `save_altstack_ex()` has put into `uc_stack`: the alternate stack
/// itself. In `struct rt_sigframe` the registers follow: 16 words on there is `rsp`; in that of
/// 32-bit processes, 8 words on, `esp`.
fn interrupted(word: Word, used: &UsedMm, task: &Task, stack: u64) -> Result<Option<u64>> {
    let (start, size) = task::alternate_stack(task);
    if stack <= start || stack.saturating_sub(start) > size {
        return Ok(None);
    }
    let len = size.min(SIGNAL_FRAME);
    let mut top = KVec::from_elem(0u8, usize::try_from(len)?, GFP_KERNEL_ACCOUNT)?;
    let from = start.saturating_add(size).saturating_sub(len);
    used.peek(from, top.as_mut_slice());
    let saved = if word.is_64bit() { 18 } else { 10 };
    // Further up is further out.
    let words = top.len().checked_div(word.0).unwrap_or(0);
    let found = (0..words).rev().find(|&index| {
        let at = |offset| word.at(&top, index.saturating_add(offset));
        at(0) == Some(start) && at(2) == Some(size)
    });
    Ok(found.and_then(|index| word.at(&top, index.saturating_add(saved))))
}

/// The stack that `pointer` points into: its start and its size. It ends with its mapping, or,
/// as that may be one with what was mapped behind it, with the `struct pthread` of its thread.
fn stack(mappings: &Mappings, pointer: u64, thread: u64) -> Option<(u64, u64)> {
    let mut mapping = mappings.at_or_above(pointer)?;
    if !mapping.readable() {
        // It has run into its guard.
        mapping = mappings.at_or_above(mapping.end())?;
    }
    let start = pointer.saturating_sub(RED_ZONE).max(mapping.start());
    let mut end = mapping.end();
    if thread > pointer {
        end = end.min(thread.saturating_add(PAGE_SIZE));
    }
    Some((start, end.checked_sub(start)?))
}

/// How deep stacks of these sizes are dumped.
fn depth(sizes: impl Iterator<Item = u64> + Clone) -> u64 {
    let all = |depth: u64| {
        sizes
            .clone()
            .fold(0u64, |sum, size| sum.saturating_add(size.min(depth)))
    };
    let mut depth = ONE_STACK;
    while depth < ALL_STACKS && all(depth.saturating_mul(2)) <= ALL_STACKS {
        depth = depth.saturating_mul(2);
    }
    depth
}

/// Reads what is loaded into a process.
struct Linker<'a> {
    /// Of the dump, which may end meanwhile.
    hold: &'a Hold,
    mm: &'a UsedMm,
    mappings: &'a Mappings,
    word: Word,
    stretches: Stretches,
    /// Room for one.
    path: KVec<u8>,
    loaded_left: usize,
    data_left: usize,
}

impl Linker<'_> {
    /// Some words of the process; `None` if they are not there.
    fn words<const COUNT: usize>(&self, address: u64) -> Result<Option<[u64; COUNT]>> {
        let mut bytes = [0u8; 64];
        let size = self.word.0.saturating_mul(COUNT);
        let Some(bytes) = bytes.get_mut(..size) else {
            return Ok(None);
        };
        if memory::read_small(self.mm, address, bytes)? < size {
            return Ok(None);
        }
        let bytes = &*bytes;
        Ok(Some(core::array::from_fn(|index| {
            self.word.at(bytes, index).unwrap_or(0)
        })))
    }

    /// How long so many words are, in bytes.
    fn words_size(&self, count: u64) -> u64 {
        count.saturating_mul(self.word.0 as u64)
    }

    /// Where the word with this index is, from `address`.
    fn word_at(&self, address: u64, index: u64) -> u64 {
        self.word
            .address(address.wrapping_add(self.words_size(index)))
    }

    /// Adds the program headers and the dynamic section of the program; returns where its
    /// `struct r_debug` is.
    fn add_program(&mut self, headers: u64, count: u64) -> Result<Option<u64>> {
        // `Elf64_Phdr` is of 7 words, of which the first holds two members; `Elf32_Phdr` of 8.
        let header_words = if self.word.is_64bit() { 7 } else { 8 };
        let (mut bias, mut dynamic) = (None, None);
        for index in 0..count {
            let address = self.word_at(headers, index.saturating_mul(header_words));
            let Some([kind, offset, vaddr, _, _, memsz]) = self.words(address)? else {
                break;
            };
            self.stretches.add(address, self.words_size(header_words))?;
            match kind as u32 {
                PT_PHDR => bias = Some(headers.wrapping_sub(vaddr)),
                // Without the former: they are in the first page of the file, as a rule.
                PT_LOAD if offset == 0 => {
                    let page = |address: u64| address.saturating_sub(address % PAGE_SIZE);
                    bias = bias.or(Some(page(headers).wrapping_sub(page(vaddr))));
                }
                PT_DYNAMIC => dynamic = Some((vaddr, memsz)),
                _ => (),
            }
        }
        let (Some(bias), Some((vaddr, memsz))) = (bias, dynamic) else {
            return Ok(None);
        };
        let dynamic = self.word.address(bias.wrapping_add(vaddr));
        let entry_size = self.words_size(2);
        let count = memsz.checked_div(entry_size).unwrap_or(0);
        for index in 0..count.min(MAX_DYNAMIC) {
            let address = self.word_at(dynamic, index.saturating_mul(2));
            let Some([tag, value]) = self.words(address)? else {
                break;
            };
            self.stretches.add(address, entry_size)?;
            match tag {
                0 => break,
                DT_DEBUG => return Ok(Some(value)),
                _ => (),
            }
        }
        Ok(None)
    }

    /// Adds the lists of all namespaces: `struct r_debug_extended`, of which only those from
    /// version 2 on have a next one.
    fn add_namespaces(&mut self, mut debug: u64) -> Result {
        for _ in 0..MAX_NAMESPACES {
            let Some([version, map, _, _, _, next]) = self.words(debug)? else {
                break;
            };
            self.stretches.add(debug, self.words_size(6))?;
            self.add_loaded(map)?;
            if (version as u32) < 2 {
                break;
            }
            debug = next;
        }
        Ok(())
    }

    /// Adds one list of shared objects: `struct link_map`, and their names.
    fn add_loaded(&mut self, mut map: u64) -> Result {
        while map != 0 && self.loaded_left > 0 {
            self.loaded_left = self.loaded_left.saturating_sub(1);
            self.hold.check().map_err(EndReason::errno)?;
            let Some([_, name, dynamic, next, _]) = self.words(map)? else {
                break;
            };
            self.stretches.add(map, self.words_size(5))?;
            let read = memory::read_small(self.mm, name, &mut self.path)?;
            let known = self.path.get(..read).unwrap_or(&[]);
            let path = known.split(|byte| *byte == 0).next().unwrap_or(known);
            self.stretches
                .add(name, (path.len() as u64).saturating_add(1))?;
            if is_libc(path) {
                self.add_data_of(dynamic)?;
            }
            map = next;
        }
        Ok(())
    }

    /// Adds the data of the file that is mapped at `address`, and what is behind it.
    fn add_data_of(&mut self, address: u64) -> Result {
        let file = match self.mappings.at_or_above(address) {
            Some(mapping) if mapping.start() <= address => mapping.id().2,
            _ => 0,
        };
        if file == 0 || self.data_left == 0 {
            return Ok(());
        }
        self.data_left = self.data_left.saturating_sub(1);
        let mut data_end = 0;
        for mapping in self.mappings.iter() {
            let is_file = mapping.id().2 == file;
            let is_behind = !mapping.traits().file && mapping.start() == data_end;
            data_end = 0;
            if mapping.writable() && (is_file || is_behind) {
                let size = length(&mapping).min(DATA);
                self.stretches.add(mapping.start(), size)?;
                let end = mapping.end().saturating_sub(size);
                self.stretches.add(end, size)?;
                if is_file {
                    data_end = mapping.end();
                }
            }
        }
        Ok(())
    }
}

/// Is this a libc, or the library of threads that older ones have?
fn is_libc(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    [&b"libc."[..], b"libc-", b"libpthread"]
        .iter()
        .any(|start| name.starts_with(start))
}

#[kernel::prelude::kunit_tests(livecore_stacks)]
mod tests {
    use super::*;

    #[test]
    fn words_are_of_the_process() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 0, 0, 0, 0, 0x80];
        assert!(Word(8).at(&bytes, 0) == Some(0x0807_0605_0403_0201));
        assert!(Word(8).at(&bytes, 1) == Some(0x8000_0000_0000_0009));
        assert!(Word(8).at(&bytes, 2).is_none());
        assert!(Word(4).at(&bytes, 1) == Some(0x0807_0605));
        assert!(Word(4).at(&bytes, 3) == Some(0x8000_0000));
        assert_eq!(Word(4).address(0x1_0000_0010), 0x10);
        assert_eq!(Word(8).address(0x1_0000_0010), 0x1_0000_0010);
    }

    #[test]
    fn the_auxiliary_vector_has_words_of_the_process() {
        let mut bytes = [0u8; 48];
        bytes[0] = 7;
        bytes[8..12].copy_from_slice(&[1, 2, 3, 4]);
        bytes[16] = 3;
        bytes[24] = 0x40;
        assert_eq!(auxv_value(&bytes, Word(8), AT_BASE), 0x0403_0201);
        assert_eq!(auxv_value(&bytes, Word(8), AT_PHDR), 0x40);
        assert_eq!(auxv_value(&bytes, Word(8), AT_EXECFN), 0);
        // As words of half the size: 7 0, 0x04030201 0, 3 0, 0x40 0.
        bytes[4] = 0x11;
        bytes[20] = 0x22;
        assert_eq!(auxv_value(&bytes, Word(4), AT_BASE), 0x11);
        assert_eq!(auxv_value(&bytes, Word(4), AT_PHDR), 0x22);
    }

    #[test]
    fn deep_stacks_take_what_the_others_leave() {
        let depth = |sizes: &[u64]| super::depth(sizes.iter().copied());
        assert_eq!(depth(&[]), 32 * ONE_STACK);
        assert_eq!(depth(&[8 << 20]), 16 * ONE_STACK);
        assert_eq!(depth(&[8 << 20, 8192, 8192]), 16 * ONE_STACK);
        assert_eq!(depth(&[8 << 20, 8 << 20]), 8 * ONE_STACK);
        assert_eq!(depth(&[8 << 20; 20]), ONE_STACK);
        assert_eq!(depth(&[8 << 20; 100]), ONE_STACK);
    }

    #[test]
    fn libc_is_known_by_its_name() {
        assert!(is_libc(b"/lib/x86_64-linux-gnu/libc.so.6"));
        assert!(is_libc(b"/lib/libc-2.28.so"));
        assert!(is_libc(b"libpthread.so.0"));
        assert!(!is_libc(b"/lib/libc++.so.1"));
        assert!(!is_libc(b"/usr/lib/libcrypto.so.3"));
        assert!(!is_libc(b"/libc.so/libm.so"));
        assert!(!is_libc(b""));
    }
}
