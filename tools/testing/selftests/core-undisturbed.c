// SPDX-License-Identifier: GPL-2.0
/*
 * No system call of the process returns because of a dump, and no sleeper is
 * woken: neither the program nor the scheduler has seen anything. When they
 * are woken afterwards, every call returns what it would have.
 */
#include "fixture.h"
#include "sleepers.h"

enum { DUMPS = 10 };

TARGET(sleepers)
{
	sleepers_start(self);
	sleepers_serve(self);
	sleepers_clean();
	return 0;
}

static const struct sleeper_kind *kind_of(uint32_t slot)
{
	return sleeper_kind(slot - 1);
}

CORE_TEST(no_call_returns)
{
	struct target t;
	const char *before;
	uint32_t n;

	target_start(&t, "sleepers", NULL);
	target_settle(&t);
	n = t.page->nr_slots;
	before = fingerprint(t.pid);
	for (int round = 0; round < DUMPS; round++) {
		struct image image;

		ASSERT_EQ(0, image_dump(&image, t.pid));
		ASSERT_EQ(n, image.nr_threads);
		image_free(&image);
	}
	/* Its lines of the threads hold their switches and where they are. */
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	for (uint32_t i = 0; i < n; i++)
		EXPECT_EQ(0, LOAD(t.page->slot[i].counter));

	target_send(&t, 'w');
	target_expect(&t, 'w');
	for (uint32_t i = 1; i < n; i++) {
		struct target_slot *slot = &t.page->slot[i];

		if (!kind_of(i)->wake)
			continue;
		EXPECT_TRUE(EVENTUALLY(LOAD(slot->counter)))
			TH_LOG("%s does not return", kind_of(i)->name);
		EXPECT_EQ(1, slot->counter)
			TH_LOG("%s", kind_of(i)->name);
		EXPECT_EQ(kind_of(i)->returns, slot->result)
			TH_LOG("%s", kind_of(i)->name);
	}
	EXPECT_EQ(0, target_finish(&t));
}

/* What comes in while they are held is not lost, and comes once. */
CORE_TEST(woken_while_held)
{
	struct target t;
	uint32_t n;
	int fd;

	target_start(&t, "sleepers", NULL);
	target_settle(&t);
	n = t.page->nr_slots;
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	/* The leader takes the command from its pipe, and gets no further. */
	target_send(&t, 'w');
	EXPECT_TRUE(EVENTUALLY(thread_is_parked(t.pid, t.pid)));
	for (uint32_t i = 0; i < n; i++)
		EXPECT_EQ(0, LOAD(t.page->slot[i].counter));
	close(fd);
	target_expect(&t, 'w');
	for (uint32_t i = 1; i < n; i++) {
		struct target_slot *slot = &t.page->slot[i];

		if (!kind_of(i)->wake)
			continue;
		EXPECT_TRUE(EVENTUALLY(LOAD(slot->counter)));
		EXPECT_EQ(kind_of(i)->returns, slot->result)
			TH_LOG("%s", kind_of(i)->name);
	}
	EXPECT_EQ(0, target_finish(&t));
}

/* Aborted, refused and half-made dumps disturb as little. */
CORE_TEST(dumps_that_come_to_nothing)
{
	struct target t;
	const char *before;
	int fd;

	target_start(&t, "sleepers", NULL);
	target_settle(&t);
	before = fingerprint(t.pid);
	for (int round = 0; round < DUMPS; round++) {
		char byte;

		fd = core_open(t.pid);
		ASSERT_LE(0, fd);
		EXPECT_EQ(-EBUSY, core_open(t.pid));
		EXPECT_EQ(1, read(fd, &byte, 1));
		sysctl_set("livecore_enable", 0);
		EXPECT_EQ(-1, read(fd, &byte, 1));
		EXPECT_EQ(-EPERM, core_open(t.pid));
		sysctl_set("livecore_enable", 1);
		close(fd);
	}
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	for (uint32_t i = 0; i < t.page->nr_slots; i++)
		EXPECT_EQ(0, LOAD(t.page->slot[i].counter));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
