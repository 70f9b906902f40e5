// SPDX-License-Identifier: GPL-2.0
/*
 * The note LIVECORE: every byte of it is what linux/livecore.h says, and true.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#include "expected_loads.h"
#include "fixture.h"
#include "known.h"
#include "live.h"
#include "missing_page.h"
#include "sleepers.h"
#include "twin.h"

enum { SPINNERS = 3 };
enum { CHILD };		/* target_page.value[] */

/* Every kind of sleeper, spinners, and one that sleeps in a page fault. */
static struct missing_page page;

static void *fault(void *argument)
{
	struct target_slot *slot = argument;

	STORE(slot->tid, gettid());
	STORE(slot->result, *(volatile char *)page.address);
	return NULL;
}

TARGET(everybody)
{
	struct target_slot *slot;

	sleepers_start(self);
	target_spinners(self, SPINNERS);
	missing_page_create(&page);
	slot = target_slot(self);
	slot->nr = -1;
	target_thread(slot, fault);
	target_serve(self);
	sleepers_clean();
	return 0;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	CHECK(clock_gettime(CLOCK_REALTIME, &now));
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/* What the kernel says the thread is in, for one that sleeps. */
static void expect_record(struct __test_metadata *_metadata, pid_t pid,
			  const struct target_slot *slot,
			  const struct livecore_note_thread *live)
{
	struct thread_syscall now;

	EXPECT_EQ(0, live->flags);
	if (slot->nr == SPINS) {
		EXPECT_EQ(LIVECORE_THREAD_PARKED, live->how);
		EXPECT_EQ(-1, live->syscall);
		for (int i = 0; i < 6; i++)
			EXPECT_EQ(0, live->args[i]);
		return;
	}
	EXPECT_EQ(LIVECORE_THREAD_IN_PLACE, live->how);
	EXPECT_EQ(slot->nr, live->syscall);
	ASSERT_TRUE(thread_syscall(pid, slot->tid, &now));
	EXPECT_EQ(now.nr, live->syscall);
	for (int i = 0; i < 6; i++) {
		EXPECT_EQ(now.argument[i], live->args[i])
			TH_LOG("argument %d of call %d", i, slot->nr);
	}
}

CORE_TEST(every_byte)
{
	const struct livecore_note_thread *record;
	const struct livecore_note *live;
	struct livecore_info info;
	const struct note *note;
	uint64_t before, after;
	struct image image;
	struct target t;
	int fd;

	target_start(&t, "everybody", NULL);
	target_settle(&t);
	before = now_ns();
	fd = core_open(t.pid);
	after = now_ns();
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, image_read(&image, fd));
	info = live_info_of(fd);

	/* Behind all others. */
	note = &image.notes[image.nr_notes - 1];
	EXPECT_STREQ("LIVECORE", note->name);
	EXPECT_EQ(NT_LIVECORE_DUMP, note->type);
	ASSERT_EQ(note, image_note(&image, "LIVECORE", NT_LIVECORE_DUMP));
	ASSERT_EQ(48 + 64 * image.nr_threads, note->size);
	live = note->desc;
	EXPECT_EQ(48, live->header_size);
	EXPECT_EQ(64, live->thread_size);
	ASSERT_EQ(t.page->nr_slots, image.nr_threads);
	EXPECT_EQ(image.nr_threads, live->thread_count);
	/* vfork()'s child has the memory, too. */
	EXPECT_EQ(LIVECORE_INEXACT_SHARED_MM, live->inexact);
	EXPECT_EQ(LIVECORE_MODE_HOLD, live->mode);
	EXPECT_EQ(LIVECORE_CONTENTS_FULL, live->contents);
	EXPECT_EQ(FILTER_DEFAULT, live->filter);
	EXPECT_EQ(0, live->fallback);
	EXPECT_LE(before, live->time_ns);
	EXPECT_GE(after, live->time_ns);
	EXPECT_EQ(info.hold_ns, live->hold_ns);
	EXPECT_LT(0, live->hold_ns);
	EXPECT_GE(after - before, live->hold_ns);

	record = (const void *)((const char *)note->desc + 48);
	for (size_t i = 0; i < image.nr_threads; i++)
		EXPECT_EQ(image.threads[i].tid, (pid_t)record[i].tid);
	for (uint32_t i = 0; i < t.page->nr_slots; i++) {
		const struct target_slot *slot = &t.page->slot[i];
		const struct livecore_note_thread *thread = live_thread(&image, slot->tid);

		ASSERT_NE(NULL, thread);
		expect_record(_metadata, t.pid, slot, thread);
	}
	image_free(&image);
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

TARGET(spinners)
{
	target_spinners(self, SPINNERS);
	return target_serve(self);
}

CORE_TEST(exact)
{
	struct image image;
	struct target t;

	target_start(&t, "spinners", NULL);
	target_settle(&t);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	EXPECT_EQ(0, live_note(&image)->inexact);
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

/* The same layout, with numbers and arguments of the process's own table. */
CORE_TEST(of_32_bits)
{
	char directory[] = "/tmp/livecore-XXXXXX", text[64];
	struct image image;
	struct target t;

	if (!__builtin_cpu_supports("avx"))
		SKIP(return, "a CPU without AVX");
	CHECK_POINTER(mkdtemp(directory));
	snprintf(text, sizeof(text), "%s 0x33", directory);
	target_start_known(&t, TARGET_32, text);
	target_settle(&t);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	ASSERT_TRUE(image.is_32bit);
	ASSERT_NE(NULL, live_note(&image));
	EXPECT_EQ(1 + KNOWN_THREADS, live_note(&image)->thread_count);
	EXPECT_EQ(0, live_note(&image)->inexact);
	for (int n = 0; n < KNOWN_THREADS; n++) {
		const struct target_slot *slot = &t.page->slot[1 + n];
		const struct livecore_note_thread *live = live_thread(&image, slot->tid);
		const struct prstatus32 *status = image_thread(&image, slot->tid)->prstatus32;

		ASSERT_NE(NULL, live);
		EXPECT_EQ(0, live->flags);
		if (known_spins(n)) {
			EXPECT_EQ(LIVECORE_THREAD_PARKED, live->how);
			EXPECT_EQ(-1, live->syscall);
			continue;
		}
		EXPECT_EQ(LIVECORE_THREAD_IN_PLACE, live->how);
		EXPECT_EQ(slot->nr, live->syscall);
		EXPECT_EQ(status->ebx, live->args[0]);
		EXPECT_EQ(status->ecx, live->args[1]);
		EXPECT_EQ(status->edx, live->args[2]);
		EXPECT_EQ(status->esi, live->args[3]);
		EXPECT_EQ(status->edi, live->args[4]);
		EXPECT_EQ(status->ebp, live->args[5]);
	}
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
	snprintf(text, sizeof(text), "rm -r %s", directory);
	CHECK(system(text));
}

CORE_TEST(shared_memory)
{
	struct image image;
	struct target t;

	target_start(&t, "with_twin", NULL);
	target_settle(&t);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	EXPECT_EQ(LIVECORE_INEXACT_SHARED_MM, live_note(&image)->inexact);
	EXPECT_EQ(1, live_note(&image)->thread_count);
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

/* A thread of the kernel's own takes requests from a ring in our memory. */
TARGET(with_worker)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SQPOLL,
		.sq_thread_idle = 1000000,
	};

	CHECK(syscall(SYS_io_uring_setup, 8, &params));
	return target_serve(self);
}

CORE_TEST(workers)
{
	struct image image;
	struct target t;

	target_start(&t, "with_worker", NULL);
	target_settle(&t);
	/* It is in the list of threads, but it never comes to user mode. */
	ASSERT_EQ(2, thread_list(t.pid, NULL, 0));
	ASSERT_EQ(0, image_dump(&image, t.pid));
	EXPECT_EQ(LIVECORE_INEXACT_WORKERS, live_note(&image)->inexact);
	EXPECT_EQ(1, live_note(&image)->thread_count);
	EXPECT_EQ(1, image.nr_threads);
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

/* In a pid namespace of its own, process 1 and its threads. */
TARGET(in_namespace)
{
	pid_t child;

	CHECK(unshare(CLONE_NEWPID));
	child = CHECK(fork());
	if (!child) {
		CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL));
		target_spinners(self, SPINNERS);
		for (;;)
			pause();
	}
	self->page->value[CHILD] = child;
	return target_serve(self);
}

CORE_TEST(ids_of_its_own_namespace)
{
	struct image image;
	struct target t;
	pid_t child;

	target_start(&t, "in_namespace", NULL);
	child = t.page->value[CHILD];
	for (int n = 1; n <= SPINNERS; n++)
		ASSERT_TRUE(EVENTUALLY(LOAD(t.page->slot[n].counter)));
	ASSERT_EQ(0, image_dump(&image, child));
	ASSERT_NE(NULL, live_note(&image));
	EXPECT_EQ(1 + SPINNERS, live_note(&image)->thread_count);
	ASSERT_EQ(1 + SPINNERS, image.nr_threads);
	EXPECT_EQ(1, image.threads[0].tid);
	EXPECT_NE(NULL, live_thread(&image, 1));
	for (int n = 1; n <= SPINNERS; n++) {
		EXPECT_GT(10, t.page->slot[n].tid);
		EXPECT_NE(NULL, live_thread(&image, t.page->slot[n].tid));
	}
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

/* The thread that dumps itself is in open, or in the ioctl. */
CORE_TEST(caller)
{
	struct livecore_info info;
	struct image image;
	int fd;

	sysctl_set("livecore_enable", 3);
	for (int by_start = 0; by_start <= 1; by_start++) {
		const struct livecore_note_thread *live;

		fd = by_start ? live_dump(getpid(), NULL) : core_open(getpid());
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, image_read(&image, fd));
		info = live_info_of(fd);
		EXPECT_EQ(1, info.caller);
		EXPECT_EQ(1, info.threads);
		live = live_thread(&image, getpid());
		ASSERT_NE(NULL, live);
		EXPECT_EQ(LIVECORE_THREAD_CALLER, live->how);
		EXPECT_EQ(by_start ? SYS_ioctl : SYS_openat, live->syscall);
		if (by_start) {
			EXPECT_EQ(fd, (int)live->args[0]);
			EXPECT_EQ(LIVECORE_IOC_START, live->args[1]);
			EXPECT_EQ(0, live->args[2]);
		}
		EXPECT_EQ(0, live_note(&image)->inexact);
		image_free(&image);
		close(fd);
	}
}

CORE_TEST_MAIN
