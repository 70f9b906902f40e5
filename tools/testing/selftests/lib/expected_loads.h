/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The segments that a core of a process has to have: the rules of the kernel's
 * vma_dump_size(), applied to what /proc tells about the mappings.
 */
#ifndef LIVECORE_EXPECTED_LOADS_H
#define LIVECORE_EXPECTED_LOADS_H

#include <elf.h>

#include "proc.h"

/* Bits of /proc/PID/coredump_filter. */
enum {
	FILTER_ANON_PRIVATE	= 1 << 0,
	FILTER_ANON_SHARED	= 1 << 1,
	FILTER_MAPPED_PRIVATE	= 1 << 2,
	FILTER_MAPPED_SHARED	= 1 << 3,
	FILTER_ELF_HEADERS	= 1 << 4,
	FILTER_HUGETLB_PRIVATE	= 1 << 5,
	FILTER_HUGETLB_SHARED	= 1 << 6,
	FILTER_DEFAULT		= 0x33,
};

uint32_t expected_flags(const struct mapping *mapping);
uint64_t expected_filesz(pid_t pid, const struct mapping *mapping, unsigned int filter);

#endif /* LIVECORE_EXPECTED_LOADS_H */
