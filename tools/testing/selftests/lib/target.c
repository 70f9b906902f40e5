// SPDX-License-Identifier: GPL-2.0
/*
 * Starting, steering and ending targets: the test's side.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "check.h"
#include "proc.h"
#include "target.h"
#include "target_fds.h"

static void become_target(const char *program, const char *name, const char *argument,
			  pid_t test)
{
	/* Whatever happens to the test, it leaves nobody behind. */
	CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL));
	/* The init of a pid namespace does not see who is outside. */
	if (getppid() != test && getpid() != 1)
		_exit(1);
	execl(program, name, "--target", name, argument, NULL);
	FAIL("exec: %s", strerror(errno));
}

void target_start(struct target *target, const char *name, const char *argument)
{
	target_start_program(target, "/proc/self/exe", name, argument);
}

void target_start_known(struct target *target, enum target_class class, const char *argument)
{
	char path[512], *slash;
	ssize_t length = CHECK(readlink("/proc/self/exe", path, sizeof(path) - 16));

	path[length] = 0;
	slash = CHECK_POINTER(strrchr(path, '/'));
	strcpy(slash, class == TARGET_32 ? "/known-32" : "/known-64");
	target_start_program(target, path, "known_states", argument);
}

void target_copy_program(const char *path, uid_t owner, mode_t mode)
{
	int in = CHECK(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
	int out = CHECK(open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700));
	struct stat st;

	CHECK(fstat(in, &st));
	while (sendfile(out, in, NULL, st.st_size) > 0)
		;
	/* Last of all, in this order: both of the former take the set-uid bit away. */
	CHECK(fchown(out, owner, owner));
	CHECK(fchmod(out, mode));
	close(in);
	close(out);
}

void target_start_program(struct target *target, const char *program, const char *name,
			  const char *argument)
{
	int command[2], event[2], page;
	pid_t test = getpid();
	pid_t pid;

	page = CHECK(memfd_create("target", MFD_CLOEXEC));
	CHECK(ftruncate(page, sizeof(*target->page)));
	target->page = CHECK_POINTER(mmap(NULL, sizeof(*target->page),
					  PROT_READ | PROT_WRITE, MAP_SHARED, page, 0));
	CHECK(pipe2(command, O_CLOEXEC));
	CHECK(pipe2(event, O_CLOEXEC));
	fflush(NULL);
	/* Not straight into target, which the two may share. */
	pid = CHECK(fork());
	if (!pid) {
		CHECK(dup2(page, TARGET_PAGE_FD));
		CHECK(dup2(command[0], TARGET_COMMAND_FD));
		CHECK(dup2(event[1], TARGET_EVENT_FD));
		become_target(program, name, argument ? argument : "", test);
	}
	target->pid = pid;
	close(page);
	close(command[0]);
	close(event[1]);
	target->command = command[1];
	target->event = event[0];
	target->pidfd = CHECK(syscall(SYS_pidfd_open, target->pid, 0));
	target_expect(target, 'R');
}

void target_send(struct target *target, char command)
{
	if (write(target->command, &command, 1) != 1)
		FAIL("target %d takes no command %c", target->pid, command);
}

void target_expect(struct target *target, char event)
{
	struct pollfd poll_event = { .fd = target->event, .events = POLLIN };
	char seen;

	if (poll(&poll_event, 1, EVENT_SECONDS * 1000) != 1)
		FAIL("target %d: no %c in time", target->pid, event);
	if (read(target->event, &seen, 1) != 1)
		FAIL("target %d ended instead of saying %c", target->pid, event);
	if (seen != event)
		FAIL("target %d says %c instead of %c", target->pid, seen, event);
}

void target_do(struct target *target, char command)
{
	target_send(target, command);
	target_expect(target, command);
}

/* The child of a vfork() runs in its parent's memory: it has to sleep, too. */
static bool borrower_sleeps(pid_t pid, pid_t tid)
{
	char *text = proc_text("%d/task/%d/children", pid, tid);
	pid_t child = text ? atoi(text) : 0;

	free(text);
	return child && thread_rests_in(child, child, SYS_read);
}

/* Whether that call may sleep in D for good: for a child, or for a frozen file system. */
static bool sleeps_in_d(int32_t nr)
{
	return nr == SYS_vfork || nr == SYS_write;
}

bool target_has_settled(struct target *target, uint32_t number)
{
	struct target_slot *slot = &target->page->slot[number];
	pid_t tid = LOAD(slot->tid);

	if (!tid)
		return false;
	if (slot->nr == SPINS)
		return LOAD(slot->counter) > 0;
	if (slot->nr == SYS_vfork && !borrower_sleeps(target->pid, tid))
		return false;
	if (sleeps_in_d(slot->nr))
		return thread_sleeps_in(target->pid, tid, slot->nr);
	return thread_rests_in(target->pid, tid, slot->nr);
}

void target_settle(struct target *target)
{
	uint32_t slots = LOAD(target->page->nr_slots);

	for (uint32_t i = 0; i < slots; i++) {
		struct target_slot *slot = &target->page->slot[i];

		if (!EVENTUALLY(target_has_settled(target, i)))
			FAIL("thread %d of %d did not come to call %d", slot->tid,
			     target->pid, slot->nr);
	}
}

bool target_runs(struct target *target)
{
	uint32_t slots = LOAD(target->page->nr_slots);

	for (uint32_t i = 0; i < slots; i++) {
		struct target_slot *slot = &target->page->slot[i];
		uint64_t turns = LOAD(slot->counter);

		if (slot->nr == SPINS && !EVENTUALLY(LOAD(slot->counter) != turns))
			return false;
	}
	return true;
}

uint64_t target_turns(struct target *target)
{
	uint32_t slots = LOAD(target->page->nr_slots);
	uint64_t turns = 0;

	for (uint32_t i = 0; i < slots; i++)
		turns += LOAD(target->page->slot[i].counter);
	return turns;
}

int target_dies_within(struct target *target, int seconds)
{
	struct pollfd death = { .fd = target->pidfd, .events = POLLIN };
	int status;

	if (poll(&death, 1, seconds * 1000) != 1)
		return -1;
	if (CHECK(waitpid(target->pid, &status, WNOHANG)) != target->pid)
		return -1;
	close(target->pidfd);
	close(target->command);
	close(target->event);
	munmap(target->page, sizeof(*target->page));
	return status;
}

int target_take_fd(const struct target *target, int fd)
{
	return CHECK(syscall(SYS_pidfd_getfd, target->pidfd, fd, 0));
}

int target_finish(struct target *target)
{
	int status;

	STORE(target->page->stop, 1);
	close(target->command);
	target->command = -1;
	status = target_dies_within(target, EVENT_SECONDS);
	if (status == -1)
		FAIL("target %d does not end", target->pid);
	return status;
}

int target_kill(struct target *target)
{
	int status;

	CHECK(kill(target->pid, SIGKILL));
	status = target_dies_within(target, EVENT_SECONDS);
	if (status == -1)
		FAIL("target %d does not die", target->pid);
	return status;
}
