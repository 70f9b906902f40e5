// SPDX-License-Identifier: GPL-2.0
/*
 * Suspend is not kept from freezing all processes, and a dump outlives it: the
 * process is held on, a copy stays what it was, and nobody is lost. What is
 * frozen is frozen, and thawed again (pm_test): the devices of an emulated
 * machine do not all survive more.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>

#include "frame.h"
#include "live.h"
#include "spinners.h"
#include "tally.h"

enum { SPINNERS = 2 };

#define STATE	"/sys/power/state"
#define LEVEL	"/sys/power/pm_test"
/* For how many seconds all are frozen. */
#define DELAY	"/sys/module/suspend/parameters/pm_test_delay"

/* target_page.value[]: where something is that the target alone has, and changes. */
enum { COUNTER };

static uint64_t counter;

static void *count(void *page)
{
	while (!LOAD(((struct target_page *)page)->stop))
		STORE(counter, counter + 1);
	return NULL;
}

TARGET(spinners)
{
	pthread_t thread;

	self->page->value[COUNTER] = (uint64_t)&counter;
	CHECK_ZERO(pthread_create(&thread, NULL, count, self->page));
	if (!EVENTUALLY(LOAD(counter)))
		FAIL("it does not count");
	spinners_start(self, SPINNERS);
	return target_serve(self);
}

static int try_to_write(const char *path, const char *text)
{
	int fd = CHECK(open(path, O_WRONLY | O_CLOEXEC));
	int error = 0;

	if (write(fd, text, strlen(text)) < 0)
		error = -errno;
	close(fd);
	return error;
}

FIXTURE(suspend)
{
	struct sysctl_values sysctls;
};

FIXTURE_SETUP(suspend)
{
	sysctl_prepare(&self->sysctls);
	CHECK(try_to_write(LEVEL, "freezer"));
	CHECK(try_to_write(DELAY, "1"));
}

FIXTURE_TEARDOWN_PARENT(suspend)
{
	sysctl_restore(&self->sysctls);
	CHECK(try_to_write(LEVEL, "none"));
	CHECK(try_to_write(DELAY, "5"));
}

#define SUSPEND_TEST(name)	TEST_F_TIMEOUT(suspend, name, CORE_TEST_SECONDS)

/* 0 when all processes were frozen, and thawed; EBUSY if they were not within 20 seconds. */
static int suspend(void)
{
	return try_to_write(STATE, "mem");
}

/* Reads one byte after the other, until it is told to end or a read fails. */
static pid_t start_reader(int fd, size_t size, int *end)
{
	int told[2];
	pid_t pid;

	CHECK(pipe2(told, O_CLOEXEC | O_NONBLOCK));
	fflush(NULL);
	pid = CHECK(fork());
	if (!pid) {
		char byte;

		close(told[1]);
		for (off_t at = 0; read(told[0], &byte, 1) < 0; at = (at + 1) % size)
			if (pread(fd, &byte, 1, at) != 1)
				_exit(errno);
		_exit(0);
	}
	close(told[0]);
	*end = told[1];
	return pid;
}

static void expect_same(struct __test_metadata *_metadata, int fd, const struct image *before)
{
	struct image now;

	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	ASSERT_EQ(0, image_read(&now, fd));
	ASSERT_EQ(before->size, now.size);
	EXPECT_EQ(0, memcmp(before->data, now.data, now.size));
	image_free(&now);
}

SUSPEND_TEST(held)
{
	struct target t;

	target_start(&t, "spinners", NULL);
	target_settle(&t);
	for (unsigned long i = 0; i < rounds(2); i++) {
		struct image before;
		uint64_t turns;
		int fd, end, status;
		pid_t reader;

		fd = core_open(t.pid);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, image_read(&before, fd));
		EXPECT_EQ(0, spinners_differ(&t, &before));
		turns = target_turns(&t);
		reader = start_reader(fd, before.size, &end);
		EXPECT_EQ(0, suspend());
		EXPECT_EQ(turns, target_turns(&t));
		for (uint32_t n = 1; n <= SPINNERS; n++)
			EXPECT_TRUE(EVENTUALLY(thread_is_parked(t.pid, t.page->slot[n].tid)));
		expect_same(_metadata, fd, &before);
		close(end);
		ASSERT_EQ(reader, waitpid(reader, &status, 0));
		EXPECT_EQ(0, status);
		EXPECT_EQ(turns, target_turns(&t));
		image_free(&before);
		close(fd);
		EXPECT_TRUE(target_runs(&t));
	}
	EXPECT_EQ(0, target_finish(&t));
	tally("dumps", rounds(2));
}

static uint64_t counter_in(struct __test_metadata *_metadata, struct target *t, int fd)
{
	const uint64_t *value;
	struct image image;
	uint64_t copy;

	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	ASSERT_EQ(0, image_read(&image, fd));
	EXPECT_EQ(0, spinners_differ(t, &image));
	value = image_at(&image, t->page->value[COUNTER], sizeof(*value));
	ASSERT_NE(NULL, value);
	copy = *value;
	image_free(&image);
	return copy;
}

SUSPEND_TEST(copied)
{
	struct target t;
	uint64_t before;
	int fd;

	target_start(&t, "spinners", NULL);
	target_settle(&t);
	sysctl_set("livecore_mode", LIVECORE_MODE_SNAPSHOT);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(LIVECORE_STATE_SNAPSHOT, live_info_of(fd).state);
	before = counter_in(_metadata, &t, fd);
	EXPECT_LT(0, before);
	EXPECT_EQ(0, suspend());
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(before, counter_in(_metadata, &t, fd));
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

/* The watchdog is not frozen: who does not read in time has no hold when he is thawed. */
SUSPEND_TEST(for_longer_than_the_watchdog)
{
	struct target t;
	char byte;
	int fd;

	CHECK(try_to_write(DELAY, "3"));
	sysctl_set("livecore_stall_ms", 1000);
	target_start(&t, "spinners", NULL);
	target_settle(&t);
	fd = core_open_in_time(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, suspend());
	EXPECT_EQ(-1, read(fd, &byte, 1));
	EXPECT_EQ(ETIMEDOUT, errno);
	EXPECT_TRUE(target_runs(&t));
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

/*
 * Somebody waits in open, for threads that sleep: that is a wait like others, it
 * ends, and begins anew. The sleepers are parked by then, if they were woken.
 */
SUSPEND_TEST(while_opening)
{
	struct target t;
	pid_t opener;
	int status;

	sysctl_set("livecore_blocked", LIVECORE_BLOCKED_WAIT);
	/* So that it is not the watchdog. */
	sysctl_set("livecore_stall_ms", NEVER_MS);
	target_start(&t, "spinners", NULL);
	target_settle(&t);
	fflush(NULL);
	opener = CHECK(fork());
	if (!opener) {
		int fd = core_open(t.pid);

		_exit(fd < 0 ? -fd : 0);
	}
	ASSERT_TRUE(EVENTUALLY(thread_waits_in(opener, opener, "livecore_wait_for_zero")));
	ASSERT_TRUE(EVENTUALLY(thread_is_parked(t.pid, t.page->slot[1].tid)));
	EXPECT_EQ(0, suspend());
	/* Killed rather than waited for: it may have to wait a minute once more. */
	CHECK(kill(opener, SIGKILL));
	ASSERT_EQ(opener, waitpid(opener, &status, 0));
	EXPECT_TRUE(status == SIGKILL || status == 0)
		TH_LOG("status %#x", status);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
