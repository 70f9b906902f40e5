/* SPDX-License-Identifier: GPL-2.0 */
/*
 * /proc/livecore, of which each line is a dump.
 */
#ifndef LIVECORE_LISTING_H
#define LIVECORE_LISTING_H

#include <stdbool.h>
#include <sys/types.h>

#define LISTING	"/proc/livecore"

struct listing_row {
	int target, reader;
	unsigned int uid;
	char mode[16], state[16];
	double since;		/* seconds of CLOCK_REALTIME */
	unsigned int parked, in_place, running, zeroed, caller, moved;
	unsigned long long read;	/* bytes */
};

/* The first line of @target in what @fd reads; false where there is none. */
bool listing_at(int fd, pid_t target, struct listing_row *row);

/* The same, opened anew. */
bool listing_of(pid_t target, struct listing_row *row);

/* Is there a dump of @target, in @state? */
bool listing_shows(pid_t target, const char *state);

/* No dump is open, nor one that has ended. */
bool listing_is_empty(void);

#endif /* LIVECORE_LISTING_H */
