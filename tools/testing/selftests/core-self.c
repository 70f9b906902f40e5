// SPDX-License-Identifier: GPL-2.0
/*
 * A process that dumps itself: the thread that opens goes on, the others are
 * held, and it is the first of the core, in the system call that opened.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/syscall.h>

#include "fixture.h"
#include "sleepers.h"

enum { SPINNERS = 2 };

/* target_page.value[] */
enum { ERROR, HELD, THREADS, FIRST_TID, FIRST_NR, FIRST_NOTES, FOUND };

static const char canary[] = "the memory of the process that dumps itself";

static void dump_self(struct target_self *self)
{
	uint64_t *value = self->page->value;
	struct user_regs_struct regs;
	struct image image;
	uint64_t turns = 0;
	const char *found;
	int fd;

	fd = syscall(SYS_openat, AT_FDCWD, "/proc/self/core", O_RDONLY, 0);
	if (fd < 0) {
		value[ERROR] = errno;
		return;
	}
	for (int i = 1; i <= SPINNERS; i++)
		turns += LOAD(self->page->slot[i].counter);
	value[ERROR] = -image_read(&image, fd);
	if (value[ERROR])
		return;
	value[HELD] = 1;
	for (int i = 1; i <= SPINNERS; i++)
		turns -= LOAD(self->page->slot[i].counter);
	if (turns)
		value[HELD] = 0;
	close(fd);
	value[THREADS] = image.nr_threads;
	value[FIRST_TID] = image.threads[0].tid;
	value[FIRST_NOTES] = image.threads[0].fpregs && image.threads[0].xstate;
	memcpy(&regs, &image.threads[0].prstatus->pr_reg, sizeof(regs));
	value[FIRST_NR] = regs.orig_rax;
	found = image_at(&image, (uint64_t)&self->page->value, 8);
	value[FOUND] = !!found;
	image_free(&image);
}

static struct target_self *dumper_self;

/* Not the leader: its notes come first nevertheless. */
static void *dumper(void *argument)
{
	struct target_slot *slot = argument;

	STORE(slot->tid, gettid());
	dump_self(dumper_self);
	STORE(slot->counter, 1);
	for (;;)
		pause();
	return NULL;
}

TARGET(self_dumper)
{
	bool leader = !strcmp(self->argument, "leader");

	asm volatile("" : : "r" (canary) : "memory");
	dumper_self = self;
	target_spinners(self, SPINNERS);
	target_event(self, 'R');
	while (target_command(self)) {
		if (leader) {
			dump_self(self);
		} else {
			struct target_slot *slot = target_slot(self);

			slot->nr = SYS_pause;
			target_thread(slot, dumper);
			if (!EVENTUALLY(LOAD(slot->counter)))
				FAIL("the dump of itself does not end");
		}
		target_event(self, 'd');
	}
	return 0;
}

static void expect_self_dump(struct __test_metadata *_metadata, const char *who)
{
	uint64_t *value;
	struct target t;

	sysctl_set("livecore_enable", 3);
	target_start(&t, "self_dumper", who);
	ASSERT_TRUE(target_runs(&t));
	value = t.page->value;
	target_send(&t, 'd');
	target_expect(&t, 'd');
	EXPECT_EQ(0, value[ERROR]);
	EXPECT_EQ(1, value[HELD]);
	EXPECT_EQ(t.page->nr_slots, value[THREADS]);
	EXPECT_EQ(strcmp(who, "leader") ? t.page->slot[1 + SPINNERS].tid : t.pid,
		  value[FIRST_TID]);
	EXPECT_EQ(SYS_openat, value[FIRST_NR]);
	EXPECT_EQ(1, value[FIRST_NOTES]);
	EXPECT_EQ(1, value[FOUND]);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(by_its_leader)
{
	expect_self_dump(_metadata, "leader");
}

CORE_TEST(by_another_thread)
{
	expect_self_dump(_metadata, "thread");
}

CORE_TEST_MAIN
