// SPDX-License-Identifier: GPL-2.0

//! The class of a core, 32-bit or 64-bit: all that `fs/compat_binfmt_elf.c` makes different.

/// `ELFCLASS32`, which is i386, or `ELFCLASS64`, which is x86-64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Elf32,
    Elf64,
}

impl Class {
    fn of<T>(self, elf32: T, elf64: T) -> T {
        match self {
            Self::Elf32 => elf32,
            Self::Elf64 => elf64,
        }
    }

    /// `EI_CLASS`.
    pub(super) fn ident(self) -> u8 {
        self.of(1, 2)
    }

    /// `EM_386` or `EM_X86_64`.
    pub(super) fn machine(self) -> u16 {
        self.of(3, 62)
    }

    /// Size of a `long` or an address, in bytes.
    pub(super) fn word_size(self) -> usize {
        self.of(4, 8)
    }

    /// The largest file position that the headers can tell.
    pub(super) fn max_offset(self) -> u64 {
        self.of(u32::MAX.into(), i64::MAX as u64)
    }

    /// Size of an `ElfN_Ehdr`, in bytes.
    pub(super) fn ehdr_size(self) -> u64 {
        self.of(52, 64)
    }

    /// Size of an `ElfN_Phdr`, in bytes.
    pub(super) fn phdr_size(self) -> u64 {
        self.of(32, 56)
    }

    /// Size of an `ElfN_Shdr`, in bytes.
    pub(super) fn shdr_size(self) -> u64 {
        self.of(40, 64)
    }

    /// Size of the general registers in `NT_PRSTATUS`, in bytes: `struct user_regs_struct32`,
    /// `struct user_regs_struct`.
    pub(super) fn gregs_size(self) -> usize {
        self.of(17 * 4, 27 * 8)
    }
}
