// SPDX-License-Identifier: GPL-2.0
/*
 * Rounds and counts (tally.h). tools/lab/lab/soak.py reads what is printed.
 */
#include <stdbool.h>
#include <stdlib.h>

#include "check.h"
#include "tally.h"

unsigned long rounds(unsigned long n)
{
	const char *factor = getenv("LIVECORE_ROUNDS"), *kernel = getenv("LIVECORE_KERNEL");
	unsigned long times = factor ? strtoul(factor, NULL, 10) : 1;
	bool is_slow = kernel && !strncmp(kernel, "debug", 5);

	if (!times)
		FAIL("LIVECORE_ROUNDS is no number: %s", factor);
	/* Checked at every step, each takes ten times as long. */
	return (is_slow ? (n + 3) / 4 : n) * times;
}

void tally(const char *what, unsigned long count)
{
	printf("# %s: %s: %lu\n", __func__, what, count);
	fflush(stdout);
}
