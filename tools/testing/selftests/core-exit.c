// SPDX-License-Identifier: GPL-2.0
/*
 * Threads that are gone, going, or not of this process.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>

#include "fixture.h"
#include "sleepers.h"
#include "tally.h"

enum { ROUNDS = 12 };

/* target_page.value[] */
enum { CHILD, CHILD_TURNS };

/* The leader has ended; the other threads go on. */
TARGET(without_leader)
{
	sleepers_start(self);
	target_spinners(self, 2);
	target_event(self, 'R');
	self->page->slot[0].nr = -1;
	pthread_exit(NULL);
}

CORE_TEST(dead_leader)
{
	const char *before;
	struct image image;
	struct target t;
	uint32_t n;

	target_start(&t, "without_leader", NULL);
	ASSERT_TRUE(EVENTUALLY(thread_state(t.pid, t.pid) == 'Z'));
	n = t.page->nr_slots;
	/* A spinner that has not run yet has pages to touch. */
	for (uint32_t i = 1; i < n; i++)
		ASSERT_TRUE(EVENTUALLY(target_has_settled(&t, i)));
	/* A dead leader has no memory of its own to be compared. */
	before = fingerprint(t.page->slot[1].tid);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	/* Every live thread, and not the leader. */
	EXPECT_EQ(n - 1, image.nr_threads);
	EXPECT_EQ(NULL, image_thread(&image, t.pid));
	for (uint32_t i = 1; i < n; i++) {
		const struct image_thread *thread = image_thread(&image, t.page->slot[i].tid);

		EXPECT_NE(NULL, thread);
		EXPECT_NE(NULL, thread->xstate);
	}
	/* All of the memory, too. */
	EXPECT_NE(NULL, image_note(&image, "CORE", NT_AUXV));
	EXPECT_NE(NULL, image_note(&image, "CORE", NT_FILE));
	EXPECT_LT(5, image_nr_loads(&image));
	image_free(&image);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, fingerprint_changes(t.page->slot[1].tid, before));
	target_kill(&t);
}

/* Threads end all the time while dumps open. */
static void *end_soon(void *argument)
{
	struct target_slot *slot = argument;

	__atomic_add_fetch(&slot->counter, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void *replace_threads(void *argument)
{
	struct target_slot *slot = argument;

	STORE(slot->tid, gettid());
	for (;;) {
		pthread_t thread[4];

		for (int i = 0; i < 4; i++)
			CHECK_ZERO(pthread_create(&thread[i], NULL, end_soon, slot));
		for (int i = 0; i < 4; i++)
			CHECK_ZERO(pthread_join(thread[i], NULL));
	}
	return NULL;
}

TARGET(ending_threads)
{
	for (int i = 0; i < 2; i++) {
		struct target_slot *slot = target_slot(self);

		slot->nr = SPINS;
		target_thread(slot, replace_threads);
	}
	return target_serve(self);
}

CORE_TEST(ending_threads)
{
	struct target t;

	target_start(&t, "ending_threads", NULL);
	for (unsigned long round = 0; round < rounds(ROUNDS); round++) {
		struct image image;

		EXPECT_TRUE(target_runs(&t));
		ASSERT_EQ(0, image_dump(&image, t.pid));
		EXPECT_LE(3, image.nr_threads);
		for (size_t i = 0; i < image.nr_threads; i++)
			EXPECT_EQ(1, image.threads[i].nr_prstatus);
		image_free(&image);
	}
	target_kill(&t);
}

/* Processes that end while dumps of them open: an error or a core, and no hang. */
CORE_TEST(ending_processes)
{
	for (unsigned long round = 0; round < rounds(ROUNDS); round++) {
		struct image image;
		struct target t;
		int status, error;

		target_start(&t, "ending_threads", NULL);
		/* At different points of its end. */
		CHECK(syscall(SYS_pidfd_send_signal, t.pidfd, SIGKILL, NULL, 0));
		for (unsigned long i = 0; i < round; i++)
			sched_yield();
		error = image_dump(&image, t.pid);
		if (!error)
			image_free(&image);
		EXPECT_TRUE(!error || error == -ESRCH || error == -ECANCELED)
			TH_LOG("error %d", error);
		status = target_dies_within(&t, EVENT_SECONDS);
		EXPECT_TRUE(WIFSIGNALED(status));
	}
}

/* A child of the process, forked before: not held, and not in the way. */
TARGET(parent)
{
	pid_t child = CHECK(fork());

	if (!child) {
		for (;;)
			__atomic_add_fetch(&self->page->value[CHILD_TURNS], 1, __ATOMIC_SEQ_CST);
	}
	self->page->value[CHILD] = child;
	target_spinners(self, 1);
	target_serve(self);
	kill(child, SIGKILL);
	return 0;
}

CORE_TEST(child_runs_on)
{
	struct image image;
	struct target t;
	uint64_t turns;
	int fd;

	target_start(&t, "parent", NULL);
	target_settle(&t);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	turns = LOAD(t.page->value[CHILD_TURNS]);
	EXPECT_TRUE(EVENTUALLY(LOAD(t.page->value[CHILD_TURNS]) != turns));
	/* And can be dumped at the same time, being another address space. */
	ASSERT_EQ(0, image_dump(&image, t.page->value[CHILD]));
	EXPECT_EQ(1, image.nr_threads);
	image_free(&image);
	close(fd);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
