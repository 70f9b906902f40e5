// SPDX-License-Identifier: GPL-2.0
/*
 * Two processes with one memory.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>

#include "check.h"
#include "target.h"
#include "twin.h"

/* A process that is another one's child, and has the same memory. */
static int same_memory(void *argument)
{
	for (;;)
		syscall(SYS_pause);
	return !!argument;
}

TARGET(with_twin)
{
	static char stack[65536];

	self->page->value[TWIN] = CHECK(clone(same_memory, stack + sizeof(stack),
					      CLONE_VM | SIGCHLD, NULL));
	target_serve(self);
	kill(self->page->value[TWIN], SIGKILL);
	return 0;
}
