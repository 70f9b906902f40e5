/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A target's threads, asleep on stacks of every kind, each with marks on them
 * that the test knows.
 */
#ifndef LIVECORE_STACKS_H
#define LIVECORE_STACKS_H

#include <stdbool.h>
#include <stdint.h>

#include "target.h"

enum { STACKS = 20 };

/* Threads that are not just a few calls deep. */
enum {
	STACK_DEEP	= STACKS - 4,	/* half a MiB of frames */
	STACK_HANDLER	= STACKS - 3,	/* in a signal handler, on an alternate stack */
	STACK_OVERFLOW	= STACKS - 2,	/* the same, the other one having overflowed */
	STACK_CONTEXT	= STACKS - 1,	/* on a stack that it made itself: makecontext() */
};

/* What is on a stack: in the outermost function, and in the innermost. */
enum { STACK_MARKS = 2, STACK_MARK_WORDS = 16 };

struct stack_mark {
	uint64_t word[STACK_MARK_WORDS];
};

/* Target: makes the threads. */
void stacks_make(struct target_self *self);

/* Test: the mark of thread @number, and where it is in @target. */
void stack_mark(struct stack_mark *mark, int number, int which);
uint64_t stack_mark_address(struct target *target, int number, int which);

#endif /* LIVECORE_STACKS_H */
