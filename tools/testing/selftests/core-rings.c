// SPDX-License-Identifier: GPL-2.0
/*
 * Processes that dump each other: one of them gets through, and none of them
 * waits for itself.
 */
#define _GNU_SOURCE
#include <fcntl.h>

#include "fixture.h"

enum { DUMPS = 3, MOST = 3 };

/* target_page.value[] */
enum { VICTIM, DUMPED, BUSY, DEADLOCK, OTHER_ERROR };

static void dump_victim(struct target_page *page)
{
	struct image image;
	int error = image_dump(&image, page->value[VICTIM]);

	switch (error) {
	case 0:
		image_free(&image);
		__atomic_add_fetch(&page->value[DUMPED], 1, __ATOMIC_SEQ_CST);
		break;
	case -EBUSY:
		page->value[BUSY]++;
		break;
	case -EDEADLK:
		page->value[DEADLOCK]++;
		break;
	default:
		STORE(page->value[OTHER_ERROR], -error);
	}
}

/* Dumps its victim over and over. */
TARGET(rival)
{
	target_event(self, 'R');
	if (!target_command(self))
		return 0;
	while (!LOAD(self->page->stop) && !LOAD(self->page->value[OTHER_ERROR]))
		dump_victim(self->page);
	return 0;
}

static bool enough(struct target *t)
{
	return LOAD(t->page->value[DUMPED]) >= DUMPS || LOAD(t->page->value[OTHER_ERROR]);
}

/*
 * Each dumps the next one, the last one the first. Were they to wait for each
 * other, the watchdog would end it, and a read would say ETIMEDOUT.
 */
static void run_ring(struct __test_metadata *_metadata, int size)
{
	struct target t[MOST];

	for (int i = 0; i < size; i++)
		target_start(&t[i], "rival", NULL);
	for (int i = 0; i < size; i++)
		t[i].page->value[VICTIM] = t[(i + 1) % size].pid;
	for (int i = 0; i < size; i++)
		target_send(&t[i], 'g');
	for (int i = 0; i < size; i++)
		EXPECT_TRUE(EVENTUALLY(enough(&t[i])));
	for (int i = 0; i < size; i++)
		STORE(t[i].page->stop, 1);
	for (int i = 0; i < size; i++) {
		uint64_t error = LOAD(t[i].page->value[OTHER_ERROR]);

		/* The last ones find that their victim has ended before them. */
		if (error == ESRCH || error == ENOENT || error == ECANCELED)
			error = 0;
		EXPECT_EQ(0, error);
		TH_LOG("%ju dumps, busy %ju times, deadlock %ju times",
		       (uintmax_t)t[i].page->value[DUMPED], (uintmax_t)t[i].page->value[BUSY],
		       (uintmax_t)t[i].page->value[DEADLOCK]);
	}
	for (int i = 0; i < size; i++)
		EXPECT_EQ(0, target_finish(&t[i]));
}

CORE_TEST(of_two)
{
	run_ring(_metadata, 2);
}

CORE_TEST(of_three)
{
	run_ring(_metadata, 3);
}

CORE_TEST_MAIN
