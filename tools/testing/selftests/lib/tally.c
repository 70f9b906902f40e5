// SPDX-License-Identifier: GPL-2.0
/*
 * Rounds and counts (tally.h). tools/lab/lab/soak.py reads what is printed.
 */
#include <stdbool.h>
#include <stdlib.h>

#include "check.h"
#include "tally.h"

static unsigned long factor(void)
{
	const char *text = getenv("LIVECORE_ROUNDS");
	unsigned long times = text ? strtoul(text, NULL, 10) : 1;

	if (!times)
		FAIL("LIVECORE_ROUNDS is no number: %s", text);
	return times;
}

unsigned long rounds(unsigned long n)
{
	const char *kernel = getenv("LIVECORE_KERNEL");
	bool is_slow = kernel && !strncmp(kernel, "debug", 5);

	/* Checked at every step, each takes ten times as long. */
	return (is_slow ? (n + 3) / 4 : n) * factor();
}

unsigned long seconds_of(unsigned long seconds)
{
	return seconds * factor();
}

void tally(const char *what, unsigned long count)
{
	printf("# %s: %s: %lu\n", __func__, what, count);
	fflush(stdout);
}
