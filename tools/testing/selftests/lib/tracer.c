// SPDX-License-Identifier: GPL-2.0
/*
 * See tracer.h.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "check.h"
#include "proc.h"
#include "race.h"
#include "tracer.h"

enum { FOLLOWED = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
		  PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT };

long trace(int request, pid_t tid, unsigned long address, unsigned long data)
{
	return syscall(SYS_ptrace, request, tid, address, data);
}

void seize(pid_t tid, unsigned long options)
{
	CHECK(trace(PTRACE_SEIZE, tid, 0, PTRACE_O_TRACESYSGOOD | options));
	CHECK(trace(PTRACE_INTERRUPT, tid, 0, 0));
}

bool has_stopped(pid_t tid, int *status)
{
	pid_t got = waitpid(tid, status, __WALL | WNOHANG);

	return CHECK(got) == tid;
}

int stop_of(pid_t tid)
{
	int status;

	if (!EVENTUALLY(has_stopped(tid, &status)))
		FAIL("thread %d does not stop", tid);
	if (!WIFSTOPPED(status))
		FAIL("thread %d: status %#x", tid, status);
	return status >> 8;
}

/* False if it is gone, or follows already. */
static bool follows_from_now_on(pid_t tid)
{
	if (!trace(PTRACE_SEIZE, tid, 0, FOLLOWED))
		return true;
	if (errno != EPERM && errno != ESRCH)
		FAIL("thread %d: %s", tid, strerror(errno));
	return false;
}

static bool there_are_more(pid_t pid)
{
	pid_t tid[64];
	size_t n = thread_list(pid, tid, ARRAY_SIZE(tid));
	bool more = false;

	for (size_t i = 0; i < n && i < ARRAY_SIZE(tid); i++)
		more |= follows_from_now_on(tid[i]);
	return more;
}

static int follow(void *argument)
{
	const struct follower *follower = argument;
	int status, event;
	pid_t tid;

	while (there_are_more(follower->target))
		;
	STORE(follower->told[0], 1);
	while ((tid = waitpid(-1, &status, __WALL)) > 0) {
		if (!WIFSTOPPED(status))
			continue;
		event = status >> 16;
		if (event && event <= PTRACE_EVENT_EXIT)
			__atomic_add_fetch(&follower->told[event], 1, __ATOMIC_SEQ_CST);
		race_delay();
		/* It may have been killed. */
		if (trace(PTRACE_CONT, tid, 0, event ? 0 : WSTOPSIG(status)) && errno != ESRCH)
			FAIL("thread %d: %s", tid, strerror(errno));
	}
	FAIL("waitpid: %s", strerror(errno));
}

void follower_start(struct follower *follower, pid_t target)
{
	follower->target = target;
	follower->told = CHECK_POINTER(mmap(NULL, getpagesize(), PROT_READ | PROT_WRITE,
					    MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	follower->pid = race_process(follow, follower);
	if (!EVENTUALLY(LOAD(follower->told[0])))
		FAIL("%d is not followed", target);
}

void follower_end(struct follower *follower)
{
	int status;

	CHECK(kill(follower->pid, SIGKILL));
	CHECK(waitpid(follower->pid, &status, 0));
	if (!WIFSIGNALED(status))
		FAIL("the follower has ended: %#x", status);
}
