// SPDX-License-Identifier: GPL-2.0
/*
 * The target's side.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "check.h"
#include "target.h"
#include "target_fds.h"

/* Small, so that a thousand of them cost little. */
#define THREAD_STACK	(64 * 1024)

static struct target_program *programs;

void target_register(struct target_program *program)
{
	program->next = programs;
	programs = program;
}

char target_command(struct target_self *self)
{
	struct target_slot *slot = &self->page->slot[0];
	char command = 0;
	ssize_t got;

	do {
		got = syscall(SYS_read, TARGET_COMMAND_FD, &command, 1);
		STORE(slot->result, got < 0 ? -errno : got);
		__atomic_add_fetch(&slot->counter, 1, __ATOMIC_SEQ_CST);
	} while (got < 0 && errno == EINTR);
	return got == 1 ? command : 0;
}

void target_event(struct target_self *self, char event)
{
	(void)self;
	if (write(TARGET_EVENT_FD, &event, 1) != 1)
		_exit(1);
}

int target_serve(struct target_self *self)
{
	target_event(self, 'R');
	while (target_command(self))
		;
	return 0;
}

struct target_slot *target_slot(struct target_self *self)
{
	uint32_t next = __atomic_fetch_add(&self->page->nr_slots, 1, __ATOMIC_SEQ_CST);

	if (next >= TARGET_SLOTS)
		FAIL("more than %d threads", TARGET_SLOTS);
	return &self->page->slot[next];
}

void target_thread(struct target_slot *slot, void *(*function)(void *slot))
{
	pthread_attr_t attributes;
	pthread_t thread;

	CHECK_ZERO(pthread_attr_init(&attributes));
	CHECK_ZERO(pthread_attr_setstacksize(&attributes, THREAD_STACK));
	CHECK_ZERO(pthread_create(&thread, &attributes, function, slot));
	CHECK_ZERO(pthread_attr_destroy(&attributes));
}

static struct target_page *page;

static void *spinner(void *argument)
{
	struct target_slot *slot = argument;

	STORE(slot->tid, gettid());
	while (!LOAD(page->stop))
		__atomic_add_fetch(&slot->counter, 1, __ATOMIC_RELAXED);
	return NULL;
}

void target_spinners(struct target_self *self, int count)
{
	page = self->page;
	for (int i = 0; i < count; i++) {
		struct target_slot *slot = target_slot(self);

		slot->nr = SPINS;
		target_thread(slot, spinner);
	}
}

void target_small_pages(void *memory, size_t size)
{
	/* Refused by kernels without huge pages. */
	if (madvise(memory, size, MADV_NOHUGEPAGE) && errno != EINVAL)
		FAIL("madvise: %s", strerror(errno));
}

void target_dispatch(int argc, char **argv)
{
	struct target_self self = {};
	struct target_slot *leader;

	if (argc < 4 || strcmp(argv[1], "--target"))
		return;
	/* Again, for a set-uid program has lost what was set before. */
	CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL));
	self.argument = argv[3];
	self.page = CHECK_POINTER(mmap(NULL, sizeof(*self.page), PROT_READ | PROT_WRITE,
				       MAP_SHARED, TARGET_PAGE_FD, 0));
	leader = target_slot(&self);
	leader->tid = getpid();
	leader->nr = SYS_read;
	for (struct target_program *p = programs; p; p = p->next)
		if (!strcmp(p->name, argv[2]))
			exit(p->run(&self));
	FAIL("no target %s", argv[2]);
}
