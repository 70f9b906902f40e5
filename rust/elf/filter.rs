// SPDX-License-Identifier: GPL-2.0

//! How much of a mapping is dumped: `vma_dump_size()`, `fs/coredump.c`, rule for rule.

use super::PAGE_SIZE;

/// What of a mapping the rules look at.
#[derive(Clone, Copy, Default)]
pub(crate) struct Traits {
    pub(crate) readable: bool,
    pub(crate) shared: bool,
    /// Has private pages of its own (`anon_vma`).
    pub(crate) anonymous: bool,
    pub(crate) file: bool,
    /// The file has no name any more: shared anonymous memory, memfd, deleted.
    pub(crate) unlinked: bool,
    /// The file's mode has an execute bit.
    pub(crate) executable_file: bool,
    /// Starts at the beginning of its file.
    pub(crate) at_file_start: bool,
    pub(crate) dont_dump: bool,
    pub(crate) io: bool,
    pub(crate) hugetlb: bool,
    pub(crate) dax: bool,
    /// vdso and the like.
    pub(crate) special: bool,
}

/// How much of a mapping is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DumpSize {
    Nothing,
    Everything,
    /// The first page, since it is an ELF header.
    FirstPage,
    /// The first page, if it turns out to start with an ELF header.
    FirstPageIfElf,
}

impl DumpSize {
    /// How many bytes of a mapping of `length` are in the file, if the last case is decided
    /// as `is_elf`.
    pub(crate) fn bytes(self, length: u64, is_elf: bool) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Everything => length,
            Self::FirstPage => PAGE_SIZE.min(length),
            Self::FirstPageIfElf if is_elf => PAGE_SIZE.min(length),
            Self::FirstPageIfElf => 0,
        }
    }
}

/// The bits of `/proc/<pid>/coredump_filter`; `Documentation/filesystems/proc.rst` 3.4.
#[derive(Clone, Copy)]
pub(crate) struct Filter(u32);

impl Filter {
    const ANON_PRIVATE: u32 = 1 << 0;
    const ANON_SHARED: u32 = 1 << 1;
    const MAPPED_PRIVATE: u32 = 1 << 2;
    const MAPPED_SHARED: u32 = 1 << 3;
    const ELF_HEADERS: u32 = 1 << 4;
    const HUGETLB_PRIVATE: u32 = 1 << 5;
    const HUGETLB_SHARED: u32 = 1 << 6;
    const DAX_PRIVATE: u32 = 1 << 7;
    const DAX_SHARED: u32 = 1 << 8;

    /// All bits that there are.
    pub(crate) const ALL: u32 = 0x1ff;
    /// `MMF_DUMP_FILTER_DEFAULT`, `include/linux/mm_types.h`.
    pub(crate) const KERNEL_DEFAULT: u32 =
        Self::ANON_PRIVATE | Self::ANON_SHARED | Self::ELF_HEADERS | Self::HUGETLB_PRIVATE;

    pub(crate) const fn new(bits: u32) -> Self {
        Self(bits)
    }

    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }

    /// `all` if `bit` is set, else nothing.
    fn everything_if(self, bit: u32) -> DumpSize {
        if self.has(bit) {
            DumpSize::Everything
        } else {
            DumpSize::Nothing
        }
    }

    /// What of a mapping is dumped. The order of the rules is the kernel's.
    pub(crate) fn dump_size(self, traits: &Traits) -> DumpSize {
        let by_sharing =
            |private, shared| self.everything_if(if traits.shared { shared } else { private });

        if traits.special {
            return DumpSize::Everything;
        }
        if traits.dont_dump {
            return DumpSize::Nothing;
        }
        if traits.dax {
            return by_sharing(Self::DAX_PRIVATE, Self::DAX_SHARED);
        }
        if traits.hugetlb {
            return by_sharing(Self::HUGETLB_PRIVATE, Self::HUGETLB_SHARED);
        }
        if traits.io {
            return DumpSize::Nothing;
        }
        if traits.shared {
            return self.everything_if(if traits.unlinked {
                Self::ANON_SHARED
            } else {
                Self::MAPPED_SHARED
            });
        }
        if traits.anonymous && self.has(Self::ANON_PRIVATE) {
            return DumpSize::Everything;
        }
        if !traits.file {
            return DumpSize::Nothing;
        }
        if self.has(Self::MAPPED_PRIVATE) {
            return DumpSize::Everything;
        }
        if self.has(Self::ELF_HEADERS) && traits.at_file_start && traits.readable {
            return if traits.executable_file {
                DumpSize::FirstPage
            } else {
                DumpSize::FirstPageIfElf
            };
        }
        DumpSize::Nothing
    }
}

#[kernel::prelude::kunit_tests(livecore_elf_filter)]
mod tests {
    use super::*;

    const NONE: Filter = Filter::new(0);
    const ALL: Filter = Filter::new(0x1ff);
    const PLAIN: Traits = Traits {
        readable: true,
        shared: false,
        anonymous: false,
        file: false,
        unlinked: false,
        executable_file: false,
        at_file_start: false,
        dont_dump: false,
        io: false,
        hugetlb: false,
        dax: false,
        special: false,
    };

    /// Dumped whole exactly where `bit` is set, whatever the others are.
    fn decided_by(traits: Traits, bit: u32) -> bool {
        let only = Filter::new(1 << bit);
        let others = Filter::new(0x1ff & !(1 << bit));
        only.dump_size(&traits) == DumpSize::Everything
            && others.dump_size(&traits) == DumpSize::Nothing
    }

    #[test]
    fn each_bit_decides_its_kind() {
        let file = Traits {
            file: true,
            ..PLAIN
        };
        let shared = Traits {
            shared: true,
            ..file
        };
        assert!(decided_by(
            Traits {
                anonymous: true,
                ..PLAIN
            },
            0
        ));
        assert!(decided_by(
            Traits {
                unlinked: true,
                ..shared
            },
            1
        ));
        assert!(decided_by(file, 2));
        assert!(decided_by(shared, 3));
        assert!(decided_by(
            Traits {
                hugetlb: true,
                ..PLAIN
            },
            5
        ));
        assert!(decided_by(
            Traits {
                hugetlb: true,
                ..shared
            },
            6
        ));
        assert!(decided_by(Traits { dax: true, ..file }, 7));
        assert!(decided_by(
            Traits {
                dax: true,
                ..shared
            },
            8
        ));
    }

    #[test]
    fn special_mappings_are_always_dumped() {
        let vvar = Traits {
            special: true,
            io: true,
            dont_dump: true,
            ..PLAIN
        };
        assert!(NONE.dump_size(&vvar) == DumpSize::Everything);
    }

    #[test]
    fn dontdump_and_io_win_over_the_filter() {
        let hidden = Traits {
            anonymous: true,
            dont_dump: true,
            ..PLAIN
        };
        let io = Traits {
            shared: true,
            file: true,
            io: true,
            ..PLAIN
        };
        assert!(ALL.dump_size(&hidden) == DumpSize::Nothing);
        assert!(ALL.dump_size(&io) == DumpSize::Nothing);
        // But hugetlb comes before VM_IO, in the kernel too.
        assert!(
            ALL.dump_size(&Traits {
                hugetlb: true,
                ..io
            }) == DumpSize::Everything
        );
    }

    #[test]
    fn written_private_pages_fall_through_to_the_file_rules() {
        let written = Traits {
            anonymous: true,
            file: true,
            ..PLAIN
        };
        assert!(Filter::new(1).dump_size(&written) == DumpSize::Everything);
        assert!(Filter::new(4).dump_size(&written) == DumpSize::Everything);
        assert!(Filter::new(2).dump_size(&written) == DumpSize::Nothing);
    }

    #[test]
    fn elf_headers_are_one_page() {
        let headers = Filter::new(1 << 4);
        let program = Traits {
            file: true,
            at_file_start: true,
            executable_file: true,
            ..PLAIN
        };
        let library = Traits {
            executable_file: false,
            ..program
        };
        assert!(headers.dump_size(&program) == DumpSize::FirstPage);
        assert!(headers.dump_size(&library) == DumpSize::FirstPageIfElf);
        let elsewhere = Traits {
            at_file_start: false,
            ..program
        };
        let unreadable = Traits {
            readable: false,
            ..program
        };
        assert!(headers.dump_size(&elsewhere) == DumpSize::Nothing);
        assert!(headers.dump_size(&unreadable) == DumpSize::Nothing);
        assert!(NONE.dump_size(&program) == DumpSize::Nothing);
    }

    #[test]
    fn sizes_in_bytes() {
        assert_eq!(DumpSize::Nothing.bytes(0x5000, true), 0);
        assert_eq!(DumpSize::Everything.bytes(0x5000, false), 0x5000);
        assert_eq!(DumpSize::FirstPage.bytes(0x5000, false), 0x1000);
        assert_eq!(DumpSize::FirstPageIfElf.bytes(0x5000, true), 0x1000);
        assert_eq!(DumpSize::FirstPageIfElf.bytes(0x5000, false), 0);
    }
}
