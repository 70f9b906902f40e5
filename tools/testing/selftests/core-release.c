// SPDX-License-Identifier: GPL-2.0
/*
 * From open to close no instruction of the process is executed in user mode;
 * after it the process runs on, however the dump ended.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>

#include "fixture.h"
#include "user.h"

enum {
	SPINNERS	= 4,
	PAGE		= 4096,
};

TARGET(spinners)
{
	target_spinners(self, SPINNERS);
	return target_serve(self);
}

/* Turns over, and is held: reading the whole core takes many turns' time. */
static void expect_held(struct __test_metadata *_metadata, struct target *t, int fd)
{
	uint64_t turns = target_turns(t);
	struct image image;

	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	ASSERT_EQ(0, image_read(&image, fd));
	image_free(&image);
	EXPECT_EQ(turns, target_turns(t));
}

CORE_TEST(held_from_open_to_close)
{
	const char *before;
	struct target t;

	target_start(&t, "spinners", NULL);
	target_settle(&t);
	before = fingerprint(t.pid);
	for (int round = 0; round < 5; round++) {
		int fd;

		EXPECT_TRUE(target_runs(&t));
		fd = core_open(t.pid);
		ASSERT_LE(0, fd);
		expect_held(_metadata, &t, fd);
		ASSERT_EQ(0, close(fd));
		EXPECT_TRUE(target_runs(&t));
	}
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(half_read)
{
	unsigned char bytes[3 * PAGE];
	const char *before;
	struct target t;
	int fd;

	target_start(&t, "spinners", NULL);
	target_settle(&t);
	before = fingerprint(t.pid);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(sizeof(bytes), read(fd, bytes, sizeof(bytes)));
	close(fd);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(not_read_at_all)
{
	const char *before;
	struct target t;
	int fd;

	target_start(&t, "spinners", NULL);
	target_settle(&t);
	before = fingerprint(t.pid);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	close(fd);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	EXPECT_EQ(0, target_finish(&t));
}

/* A reader that is killed in the midst of reading. */
CORE_TEST(killed_reader)
{
	const char *before;
	struct target t;

	target_start(&t, "spinners", NULL);
	target_settle(&t);
	before = fingerprint(t.pid);
	for (int round = 0; round < 3; round++) {
		int started[2];
		pid_t reader;
		char byte;

		ASSERT_EQ(0, pipe(started));
		reader = fork();
		ASSERT_LE(0, reader);
		if (!reader) {
			static char bytes[PAGE];
			int fd = core_open(t.pid);

			if (fd < 0)
				_exit(1);
			for (off_t at = 0; ; at = (at + PAGE) % (64 * PAGE)) {
				if (pread(fd, bytes, PAGE, at) < 0)
					_exit(1);
				if (at == 4 * PAGE && write(started[1], "", 1) != 1)
					_exit(1);
			}
		}
		close(started[1]);
		ASSERT_EQ(1, read(started[0], &byte, 1));
		ASSERT_EQ(0, kill(reader, SIGKILL));
		ASSERT_EQ(reader, waitpid(reader, NULL, 0));
		close(started[0]);
		EXPECT_TRUE(target_runs(&t));
	}
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	EXPECT_EQ(0, target_finish(&t));
}

/* The last of several descriptors lets go. */
CORE_TEST(last_close)
{
	int fd, copy, wait[2];
	struct target t;
	pid_t child;

	target_start(&t, "spinners", NULL);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	copy = dup(fd);
	ASSERT_LE(0, copy);
	close(fd);
	expect_held(_metadata, &t, copy);
	ASSERT_EQ(0, pipe2(wait, O_CLOEXEC));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		char byte;

		close(wait[1]);
		_exit(read(wait[0], &byte, 1));
	}
	expect_held(_metadata, &t, copy);
	close(wait[1]);
	ASSERT_EQ(child, waitpid(child, NULL, 0));
	expect_held(_metadata, &t, copy);
	close(copy);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

/* Until the test, which has the same page, wakes it. */
static void *nap(void *argument)
{
	struct target_slot *slot = argument;
	long got;

	STORE(slot->tid, gettid());
	got = syscall(SYS_futex, &slot->value[0], FUTEX_WAIT, 0, NULL, NULL, 0);
	STORE(slot->result, got < 0 ? -errno : 42);
	STORE(slot->counter, 1);
	return NULL;
}

TARGET(napper)
{
	struct target_slot *slot = target_slot(self);

	slot->nr = SYS_futex;
	target_thread(slot, nap);
	return target_serve(self);
}

/*
 * A sleeper whose call is over while the dump is open gets as far as to the
 * boundary of user mode. Its note stays as it was.
 */
CORE_TEST(sleeper_that_wakes)
{
	struct image first, second;
	struct target_slot *slot;
	struct target t;
	int fd;

	target_start(&t, "napper", NULL);
	target_settle(&t);
	slot = &t.page->slot[1];
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(1, syscall(SYS_futex, &slot->value[0], FUTEX_WAKE, 1, NULL, NULL, 0));
	ASSERT_EQ(0, image_read(&first, fd));
	ASSERT_TRUE(EVENTUALLY(thread_is_parked(t.pid, slot->tid)));
	EXPECT_EQ(0, LOAD(slot->result));
	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	ASSERT_EQ(0, image_read(&second, fd));
	EXPECT_EQ(0, LOAD(slot->counter));
	EXPECT_EQ(first.size, second.size);
	EXPECT_EQ(0, memcmp(first.data, second.data, first.phdr[0].p_offset +
			    first.phdr[0].p_filesz));
	close(fd);
	EXPECT_TRUE(EVENTUALLY(LOAD(slot->counter)));
	EXPECT_EQ(42, LOAD(slot->result));
	image_free(&first);
	image_free(&second);
	EXPECT_EQ(0, target_finish(&t));
}

static struct target_self *storm_self;

/* Threads that each of the breeders keeps alive. */
enum { BROOD = 3 };

struct child {
	struct target_slot *breeder;
	uint64_t number;
};

/*
 * Counts until BROOD others have come after it: so one that escapes, when its
 * breeder has been caught, goes on counting.
 */
static void *count_for_a_while(void *argument)
{
	struct child child = *(struct child *)argument;

	free(argument);
	while (LOAD(child.breeder->value[0]) < child.number + BROOD)
		__atomic_add_fetch(&child.breeder->counter, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Always making the next thread. */
static void *breed(void *argument)
{
	struct target_slot *slot = argument;
	pthread_attr_t attributes;

	CHECK_ZERO(pthread_attr_init(&attributes));
	CHECK_ZERO(pthread_attr_setstacksize(&attributes, 32768));
	CHECK_ZERO(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED));
	STORE(slot->tid, gettid());
	for (uint64_t number = 1; !LOAD(storm_self->page->stop); number++) {
		struct child *child = CHECK_POINTER(malloc(sizeof(*child)));
		pthread_t thread;

		*child = (struct child){ slot, number };
		CHECK_ZERO(pthread_create(&thread, &attributes, count_for_a_while, child));
		STORE(slot->value[0], number);
	}
	/* The last ones, too, come to their end. */
	STORE(slot->value[0], UINT64_MAX);
	return NULL;
}

TARGET(clone_storm)
{
	storm_self = self;
	for (int i = 0; i < 2; i++) {
		struct target_slot *slot = target_slot(self);

		slot->nr = SPINS;
		target_thread(slot, breed);
	}
	return target_serve(self);
}

static bool is_gone(pid_t pid, pid_t tid)
{
	char state = thread_state(pid, tid);

	return !state || state == 'X' || state == 'Z';
}

CORE_TEST(clone_storm)
{
	struct target t;

	target_start(&t, "clone_storm", NULL);
	for (int round = 0; round < 8; round++) {
		pid_t tid[4096];
		struct image image;
		size_t n;
		int fd;

		EXPECT_TRUE(target_runs(&t));
		fd = core_open(t.pid);
		ASSERT_LE(0, fd);
		expect_held(_metadata, &t, fd);
		ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
		ASSERT_EQ(0, image_read(&image, fd));
		/* All that are there, but for those on their way out. */
		n = thread_list(t.pid, tid, ARRAY_SIZE(tid));
		ASSERT_GE(ARRAY_SIZE(tid), n);
		for (size_t i = 0; i < n; i++) {
			EXPECT_TRUE(image_thread(&image, tid[i]) ||
				    EVENTUALLY(is_gone(t.pid, tid[i])))
				TH_LOG("round %d: thread %d has no notes", round, tid[i]);
		}
		image_free(&image);
		close(fd);
	}
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
