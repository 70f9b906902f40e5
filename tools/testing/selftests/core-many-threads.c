// SPDX-License-Identifier: GPL-2.0
/*
 * A thousand threads, and ten thousand: all of them have their notes, and none
 * of them notices; and what it costs the kernel until close is little more than
 * their notes.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <sys/syscall.h>

#include "cgroup.h"
#include "fixture.h"
#include "live.h"
#include "registers.h"

enum {
	THREADS		= 1000,
	MANY		= 10000,
	/* Of the kernel's memory, beside the notes, for each thread. */
	MAX_OVERHEAD	= 4096,
};

static void *sleep_in_ppoll(void *argument)
{
	struct target_slot *slot = argument;

	STORE(slot->tid, gettid());
	STORE(slot->result, syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0));
	STORE(slot->counter, 1);
	return NULL;
}

TARGET(thousand)
{
	for (int i = 0; i < THREADS; i++) {
		struct target_slot *slot = target_slot(self);

		slot->nr = SYS_ppoll;
		target_thread(slot, sleep_in_ppoll);
	}
	return target_serve(self);
}

CORE_TEST(all_have_notes)
{
	struct target t;
	const char *before;

	target_start(&t, "thousand", NULL);
	target_settle(&t);
	before = fingerprint(t.pid);
	for (int round = 0; round < 2; round++) {
		struct image image;

		ASSERT_EQ(0, image_dump(&image, t.pid));
		EXPECT_EQ(1 + THREADS, image.nr_threads);
		EXPECT_EQ(t.pid, image.threads[0].tid);
		for (int i = 1; i <= THREADS; i++) {
			const struct target_slot *slot = &t.page->slot[i];
			const struct image_thread *thread = image_thread(&image, slot->tid);
			struct user_regs_struct regs;

			ASSERT_NE(NULL, thread);
			memcpy(&regs, &thread->prstatus->pr_reg, sizeof(regs));
			EXPECT_EQ(SYS_ppoll, regs.orig_rax);
			EXPECT_NE(NULL, thread->fpregs);
			EXPECT_NE(NULL, thread->xstate);
		}
		image_free(&image);
	}
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	for (int i = 1; i <= THREADS; i++)
		EXPECT_EQ(0, LOAD(t.page->slot[i].counter));
	EXPECT_EQ(0, target_finish(&t));
}

/* target_page.value[] of that many: how many are there, and how many are awake again. */
enum { ASLEEP, AWAKE };

static struct target_page *our_page;
static uint32_t is_over;

static void *sleep_on_a_futex(void *argument)
{
	__atomic_add_fetch(&our_page->value[ASLEEP], 1, __ATOMIC_SEQ_CST);
	while (!LOAD(is_over))
		syscall(SYS_futex, &is_over, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	__atomic_add_fetch(&our_page->value[AWAKE], 1, __ATOMIC_SEQ_CST);
	return argument;
}

TARGET(ten_thousand)
{
	static pthread_t threads[MANY];
	pthread_attr_t attributes;

	our_page = self->page;
	CHECK_ZERO(pthread_attr_init(&attributes));
	CHECK_ZERO(pthread_attr_setstacksize(&attributes, 16384));
	for (int i = 0; i < MANY; i++)
		CHECK_ZERO(pthread_create(&threads[i], &attributes, sleep_on_a_futex, NULL));
	target_serve(self);
	STORE(is_over, 1);
	CHECK(syscall(SYS_futex, &is_over, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0));
	for (int i = 0; i < MANY; i++)
		CHECK_ZERO(pthread_join(threads[i], NULL));
	return 0;
}

CORE_TEST(ten_thousand)
{
	struct image image;
	struct target t;
	int asleep = 0;

	target_start(&t, "ten_thousand", NULL);
	ASSERT_TRUE(EVENTUALLY(LOAD(t.page->value[ASLEEP]) == MANY));
	ASSERT_EQ(0, image_dump(&image, t.pid));
	EXPECT_EQ(1 + MANY, image.nr_threads);
	EXPECT_EQ(t.pid, image.threads[0].tid);
	EXPECT_EQ(0, live_count(&image, LIVECORE_THREAD_ZEROED));
	for (size_t i = 1; i < image.nr_threads; i++) {
		/* In the order in which they were made. */
		ASSERT_LT(image.threads[i - 1].tid, image.threads[i].tid);
		asleep += registers_of(&image.threads[i]).orig_rax == SYS_futex;
	}
	EXPECT_EQ(MANY, asleep);
	image_free(&image);
	EXPECT_EQ(0, LOAD(t.page->value[AWAKE]));
	/* It waits for each of them. */
	EXPECT_EQ(0, target_finish(&t));
}

FIXTURE(charged)
{
	struct sysctl_values sysctls;
};

FIXTURE_SETUP(charged)
{
	sysctl_prepare(&self->sysctls);
	cgroup_create("+memory");
}

FIXTURE_TEARDOWN_PARENT(charged)
{
	sysctl_restore(&self->sysctls);
	cgroup_destroy();
}

/* The opener pays: for the notes, which are complete, and for the rest. */
TEST_F_TIMEOUT(charged, memory_per_thread, CORE_TEST_SECONDS)
{
	unsigned long before, held, notes;
	struct image image;
	struct target t;
	int fd;

	target_start(&t, "thousand", NULL);
	target_settle(&t);
	cgroup_enter();
	/* What is allocated once, and by the first to come. */
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	close(fd);
	before = cgroup_kernel_bytes();
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	held = cgroup_kernel_bytes() - before;
	ASSERT_EQ(0, image_read(&image, fd));
	close(fd);
	notes = image.phdr[0].p_filesz;
	EXPECT_EQ(1 + THREADS, image.nr_threads);
	/* Charges are counted with a delay, of 64 pages on each CPU. */
	EXPECT_LT(notes / 2, held);
	EXPECT_GT(notes + THREADS * MAX_OVERHEAD, held)
		TH_LOG("%lu bytes for each thread, %lu of them notes",
		       held / THREADS, notes / THREADS);
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
