/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How often something is tried, and what has come of it. `make check` takes the
 * short form of a test, `make soak` goes on for as long as it was asked to, and
 * adds up what was provoked.
 */
#ifndef LIVECORE_TALLY_H
#define LIVECORE_TALLY_H

/*
 * @n, as often as LIVECORE_ROUNDS says: once, unless it says something; a
 * quarter of that on the debug kernels.
 */
unsigned long rounds(unsigned long n);

/* What is measured in time takes no less of it there. */
unsigned long seconds_of(unsigned long seconds);

/* So many of @what ("dumps", "races provoked") were made, by the calling process. */
void tally(const char *what, unsigned long count);

#endif /* LIVECORE_TALLY_H */
