/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Threads of a target that sleep in the kernel, one per kind of system call.
 * What each call returned, and how often, is in its target_slot.
 */
#ifndef LIVECORE_SLEEPERS_H
#define LIVECORE_SLEEPERS_H

#include <stdint.h>

#include "target.h"

struct sleeper;

struct sleeper_kind {
	const char *name;
	int32_t nr;			/* the system call */
	int64_t returns;		/* what it returns once woken by its wake() */
	void (*prepare)(struct sleeper *sleeper);
	long (*sleep)(struct sleeper *sleeper);
	void (*wake)(struct sleeper *sleeper);	/* NULL: sleeps to the end */
	void (*clean)(struct sleeper *sleeper);
};

struct sleeper {
	const struct sleeper_kind *kind;
	struct target_slot *slot;
	int fd[2];
	int id;
	uint32_t word;
};

/* Target: one thread for each kind, in the order of sleeper_kinds. */
void sleepers_start(struct target_self *self);
void sleepers_wake(void);
/* Wakes them at each command, until there is none. */
void sleepers_serve(struct target_self *self);
/* What outlives a process: System V objects. */
void sleepers_clean(void);

/* Test: the kind of the thread in slot 1 + @index, NULL behind the last. */
const struct sleeper_kind *sleeper_kind(unsigned int index);

#endif /* LIVECORE_SLEEPERS_H */
