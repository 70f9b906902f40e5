// SPDX-License-Identifier: GPL-2.0
/*
 * The I/O permission bitmap: those threads have the note that have a bitmap,
 * whatever they do meanwhile.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/io.h>
#include <sys/syscall.h>

#include "fixture.h"

enum { BITMAP_SIZE = 8192, PORT = 0x80, OTHER_PORT = 0x81 };

enum { HAS_IT = 1, HAS_NOT, TOGGLES, THREADS };

static int silent[2];
static uint32_t *stop;

static void *reader(void *argument)
{
	struct target_slot *slot = argument;
	char byte;

	if (slot->value[0])
		CHECK(ioperm(PORT, 1, 1));
	STORE(slot->tid, gettid());
	syscall(SYS_read, silent[0], &byte, 1);
	return NULL;
}

/* Gets and loses a bitmap all the time: the last port that is taken away frees it. */
static void *toggler(void *argument)
{
	struct target_slot *slot = argument;

	STORE(slot->tid, gettid());
	while (!LOAD(*stop)) {
		CHECK(ioperm(OTHER_PORT, 1, 1));
		CHECK(ioperm(OTHER_PORT, 1, 0));
		__atomic_add_fetch(&slot->counter, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

TARGET(ports)
{
	struct target_slot *slot;

	stop = &self->page->stop;
	CHECK(pipe(silent));
	for (int n = HAS_IT; n < THREADS; n++) {
		slot = target_slot(self);
		slot->nr = n == TOGGLES ? SPINS : SYS_read;
		slot->value[0] = n == HAS_IT;
		target_thread(slot, n == TOGGLES ? toggler : reader);
	}
	return target_serve(self);
}

/* All ports are forbidden (the bit is set) but @port. */
static bool allows_only(const struct note *note, int port)
{
	const unsigned char *bits = note->desc;

	for (int i = 0; i < BITMAP_SIZE; i++)
		if (bits[i] != (i == port / 8 ? 0xff & ~(1 << port % 8) : 0xff))
			return false;
	return true;
}

CORE_TEST(exactly_where_there_is_one)
{
	const struct note *note;
	struct image image;
	struct target t;

	target_start(&t, "ports", NULL);
	target_settle(&t);
	for (int round = 0; round < 20; round++) {
		const struct image_thread *thread[THREADS];

		ASSERT_EQ(0, image_dump(&image, t.pid));
		for (int n = 0; n < THREADS; n++) {
			thread[n] = image_thread(&image, t.page->slot[n].tid);
			ASSERT_NE(NULL, thread[n]);
		}
		EXPECT_EQ(NULL, image_thread_note(&image, thread[0], NT_386_IOPERM));
		EXPECT_EQ(NULL, image_thread_note(&image, thread[HAS_NOT], NT_386_IOPERM));
		note = image_thread_note(&image, thread[HAS_IT], NT_386_IOPERM);
		ASSERT_NE(NULL, note);
		EXPECT_STREQ("LINUX", note->name);
		ASSERT_EQ(BITMAP_SIZE, note->size);
		EXPECT_TRUE(allows_only(note, PORT));
		/* Where the kernel's view has it: behind the floating point registers. */
		EXPECT_EQ(NT_PRFPREG, note[-1].type);
		EXPECT_EQ(NT_X86_XSTATE, note[1].type);
		note = image_thread_note(&image, thread[TOGGLES], NT_386_IOPERM);
		if (note)
			EXPECT_TRUE(note->size == BITMAP_SIZE && allows_only(note, OTHER_PORT));
		image_free(&image);
		EXPECT_TRUE(target_runs(&t));
	}
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
