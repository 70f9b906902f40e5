/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One dumper (dumpers.h) of a test's target, then several; in a header, since the
 * harness's macros want the test's own metadata.
 */
#ifndef LIVECORE_DUMPERS_STORM_H
#define LIVECORE_DUMPERS_STORM_H

#include <sys/mman.h>

#include "dumpers.h"
#include "frame.h"
#include "race.h"
#include "tally.h"

enum { MOST_DUMPERS = 2 };

/* Dumps by one dumper, then by two; of @all they have what is not theirs alone. */
static inline void dump_storm(struct __test_metadata *_metadata, const struct dumper *all)
{
	const size_t size = MOST_DUMPERS * MOST_DUMPERS * sizeof(struct counts);
	struct counts (*counts)[MOST_DUMPERS] =
		CHECK_POINTER(mmap(NULL, size, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	struct counts sum = {};

	for (int n = 1; n <= MOST_DUMPERS; n++) {
		pid_t pid[MOST_DUMPERS];

		for (int i = 0; i < n; i++) {
			struct dumper dumper = *all;

			dumper.counts = &counts[n - 1][i];
			dumper.alone = n == 1;
			pid[i] = race_process(dumper_run, &dumper);
		}
		for (int i = 0; i < n; i++)
			EXPECT_EQ(0, race_process_end(pid[i]));
	}
	for (int n = 0; n < MOST_DUMPERS; n++)
		for (int i = 0; i < MOST_DUMPERS; i++) {
			sum.dumps += counts[n][i].dumps;
			sum.failed += counts[n][i].failed;
			sum.ended += counts[n][i].ended;
		}
	EXPECT_LT(0, sum.dumps);
	TH_LOG("%lu dumps, of which %lu ended early, %lu not opened; %ju made", sum.dumps,
	       sum.ended, sum.failed, (uintmax_t)all->target->page->value[MADE]);
	tally("dumps", sum.dumps);
	tally("races provoked", sum.dumps);
	munmap(counts, size);
}

#endif /* LIVECORE_DUMPERS_STORM_H */
