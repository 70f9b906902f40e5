// SPDX-License-Identifier: GPL-2.0
/*
 * Signals that do not end a process do not end its dump: what is handled,
 * ignored or blocked waits until the dump is closed.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/syscall.h>

#include "frame.h"

enum { HANDLED = 0 };	/* target_page.value[]: calls of the handler */

static struct target_page *handler_page;

static void handler(int signal)
{
	(void)signal;
	__atomic_add_fetch(&handler_page->value[HANDLED], 1, __ATOMIC_SEQ_CST);
}

/* Waits for SIGALRM, which all threads block. */
static void *wait_for_alarm(void *argument)
{
	struct target_slot *slot = argument;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	STORE(slot->tid, gettid());
	STORE(slot->result, syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, 8));
	STORE(slot->counter, 1);
	return NULL;
}

/* Handles USR1, ignores HUP, blocks ALRM; "1": with threads that run, too. */
TARGET(prepared)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
	struct target_slot *slot;
	sigset_t set;

	handler_page = self->page;
	CHECK(sigaction(SIGUSR1, &action, NULL));
	action.sa_handler = SIG_IGN;
	CHECK(sigaction(SIGHUP, &action, NULL));
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL));
	slot = target_slot(self);
	slot->nr = SYS_rt_sigtimedwait;
	target_thread(slot, wait_for_alarm);
	target_spinners(self, atoi(self->argument));
	return target_serve(self);
}

FIXTURE(survived)
{
	struct sysctl_values sysctls;
};

FIXTURE_VARIANT(survived)
{
	const char *spinners;
};

FIXTURE_VARIANT_ADD(survived, asleep)
{
	.spinners = "0",
};

FIXTURE_VARIANT_ADD(survived, running)
{
	.spinners = "2",
};

FIXTURE_SETUP(survived)
{
	sysctl_prepare(&self->sysctls);
}

FIXTURE_TEARDOWN_PARENT(survived)
{
	sysctl_restore(&self->sysctls);
}

/* The dump goes on: the same bytes after as before, and nobody runs. */
static void expect_goes_on(struct __test_metadata *_metadata, struct target *t, int fd,
			   const struct image *before)
{
	uint64_t turns = target_turns(t);
	struct image after;

	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	ASSERT_EQ(0, image_read(&after, fd));
	EXPECT_EQ(before->size, after.size);
	EXPECT_EQ(0, memcmp(before->data, after.data, before->size));
	EXPECT_EQ(turns, target_turns(t));
	image_free(&after);
}

#define SURVIVED_TEST(name)	TEST_F_TIMEOUT(survived, name, CORE_TEST_SECONDS)

SURVIVED_TEST(handled)
{
	struct image image;
	struct target t;
	int fd;

	target_start(&t, "prepared", variant->spinners);
	target_settle(&t);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, image_read(&image, fd));
	CHECK(kill(t.pid, SIGUSR1));
	expect_goes_on(_metadata, &t, fd, &image);
	EXPECT_EQ(0, LOAD(t.page->value[HANDLED]));
	close(fd);
	/* Delivered, now, and once. */
	EXPECT_TRUE(EVENTUALLY(LOAD(t.page->value[HANDLED])));
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(1, LOAD(t.page->value[HANDLED]));
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

SURVIVED_TEST(ignored)
{
	const char *before;
	struct image image;
	struct target t;
	int fd;

	target_start(&t, "prepared", variant->spinners);
	target_settle(&t);
	before = fingerprint(t.pid);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, image_read(&image, fd));
	CHECK(kill(t.pid, SIGHUP));
	CHECK(kill(t.pid, SIGCHLD));
	expect_goes_on(_metadata, &t, fd, &image);
	close(fd);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

SURVIVED_TEST(blocked)
{
	struct target_slot *waiter;
	struct image image;
	struct target t;
	int fd;

	target_start(&t, "prepared", variant->spinners);
	target_settle(&t);
	waiter = &t.page->slot[1];
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, image_read(&image, fd));
	CHECK(kill(t.pid, SIGALRM));
	/* Taken from the kernel, but not to the program. */
	EXPECT_TRUE(EVENTUALLY(thread_is_parked(t.pid, waiter->tid)));
	expect_goes_on(_metadata, &t, fd, &image);
	EXPECT_EQ(0, LOAD(waiter->counter));
	close(fd);
	EXPECT_TRUE(EVENTUALLY(LOAD(waiter->counter)));
	EXPECT_EQ(SIGALRM, LOAD(waiter->result));
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
