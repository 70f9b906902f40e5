/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A target's memory of every kind, with its own account of it: where each
 * region is, and the sum of its bytes.
 */
#ifndef LIVECORE_REGIONS_H
#define LIVECORE_REGIONS_H

#include <stddef.h>
#include <stdint.h>

enum region {
	REGION_HEAP,
	REGION_ANON,			/* every byte written */
	REGION_SPARSE,			/* every third page written */
	REGION_NO_ACCESS,		/* written, then mprotect()ed to nothing */
	REGION_STACK,
	REGION_DATA,			/* of the program, written */
	REGION_FILE_WRITTEN,		/* private mapping of a file, some pages written */
	REGION_SHARED_ANON,
	REGION_SHARED_DELETED,		/* of a file that has no name any more */
	REGION_HUGE,			/* asked to be of huge pages */
	REGIONS_DUMPED,

	/* Left out by the default filter. */
	REGION_UNTOUCHED = REGIONS_DUMPED,
	REGION_FILE_READ,
	REGION_SHARED_FILE,
	REGION_DONTDUMP,
	REGIONS,
};

struct region_account {
	uint64_t address;
	uint64_t size;
	uint64_t sum;
};

const char *region_name(enum region region);

/* FNV-1a. */
uint64_t region_sum(const void *bytes, size_t size);

/*
 * Target: makes all of them and calls @run in the midst. @directory: where the
 * files go.
 */
void regions_make(struct region_account *accounts, const char *directory,
		  void (*run)(void *argument), void *argument);

#endif /* LIVECORE_REGIONS_H */
