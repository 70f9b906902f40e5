/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracing threads.
 */
#ifndef LIVECORE_TRACER_H
#define LIVECORE_TRACER_H

#include <linux/ptrace.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

/* What a tracer is told: signals, these, and other events. */
enum {
	CALL		= SIGTRAP | 0x80,
	INTERRUPTED	= SIGTRAP | PTRACE_EVENT_STOP << 8,
	EXITS		= SIGTRAP | PTRACE_EVENT_EXIT << 8,
};

/* Of ptrace(), without what libc makes of the result. */
long trace(int request, pid_t tid, unsigned long address, unsigned long data);

/* Attaches, and asks for a stop: INTERRUPTED. */
void seize(pid_t tid, unsigned long options);

/* Is there another stop, or the end, of @tid? */
bool has_stopped(pid_t tid, int *status);

/* The next stop of @tid, whichever, within EVENT_SECONDS. */
int stop_of(pid_t tid);

/*
 * A process that traces all threads of another one, and whomever those make, is
 * told of each PTRACE_EVENT_*, and lets them go on.
 */
struct follower {
	pid_t pid, target;
	unsigned long *told;	/* how often, by the event's number */
};

void follower_start(struct follower *follower, pid_t target);

/* Ends him, who has found nothing wrong until now. */
void follower_end(struct follower *follower);

#endif /* LIVECORE_TRACER_H */
