// SPDX-License-Identifier: GPL-2.0
/*
 * Rounds and counts (tally.h). tools/lab/lab/soak.py reads what is printed.
 */
#include <stdlib.h>

#include "check.h"
#include "tally.h"

unsigned long rounds(unsigned long n)
{
	const char *factor = getenv("LIVECORE_ROUNDS");
	unsigned long times = factor ? strtoul(factor, NULL, 10) : 1;

	if (!times)
		FAIL("LIVECORE_ROUNDS is no number: %s", factor);
	return n * times;
}

void tally(const char *what, unsigned long count)
{
	printf("# %s: %s: %lu\n", __func__, what, count);
	fflush(stdout);
}
