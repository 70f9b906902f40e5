// SPDX-License-Identifier: GPL-2.0
/*
 * A reader that stops reading does not keep the process for ever.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>

#include "fixture.h"
#include "missing_page.h"
#include "sleepers.h"

TARGET(mixed)
{
	sleepers_start(self);
	target_spinners(self, 2);
	target_serve(self);
	sleepers_clean();
	return 0;
}

/*
 * Limits that are tried, one after the other: on a busy machine we may be late
 * ourselves, which says nothing of the watchdog.
 */
enum { SHORT_MS = 1000, LONG_MS = 16000 };

/* May the watchdog have come by now? It counts milliseconds. */
static bool is_over(double since, double seconds)
{
	return seconds_now() - since >= seconds - 0.01;
}

CORE_TEST(idle_reader)
{
	int fd, stall_ms = SHORT_MS;
	const char *before;
	struct image image;
	char bytes[64];
	struct target t;
	double opened;

	target_start(&t, "mixed", NULL);
	target_settle(&t);
	before = fingerprint(t.pid);
	for (;;) {
		sysctl_set("livecore_stall_ms", stall_ms);
		opened = seconds_now();
		fd = core_open(t.pid);
		if (fd >= 0 && read(fd, bytes, 64) == 64)
			break;
		/* Too late for it. */
		EXPECT_EQ(ETIMEDOUT, fd < 0 ? -fd : errno);
		ASSERT_GT(LONG_MS, stall_ms);
		stall_ms *= 2;
		if (fd >= 0)
			close(fd);
	}
	/* We do nothing: it runs nevertheless, but not before its time. */
	EXPECT_TRUE(target_runs(&t));
	EXPECT_LE(stall_ms, (int)((seconds_now() - opened) * 1000));
	EXPECT_EQ(-1, read(fd, bytes, 64));
	EXPECT_EQ(ETIMEDOUT, errno);
	EXPECT_EQ(-1, pread(fd, bytes, 64, 0));
	EXPECT_EQ(ETIMEDOUT, errno);

	/* What has ended is in nobody's way, closed or not. */
	sysctl_set("livecore_stall_ms", 30000);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	image_free(&image);
	EXPECT_EQ(0, close(fd));
	ASSERT_EQ(0, image_dump(&image, t.pid));
	image_free(&image);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(stopped_reader)
{
	int started[2], status;
	struct target t;
	pid_t reader;
	char byte;

	target_start(&t, "mixed", NULL);
	target_settle(&t);
	sysctl_set("livecore_stall_ms", 1000);
	ASSERT_EQ(0, pipe(started));
	reader = fork();
	ASSERT_LE(0, reader);
	if (!reader) {
		int fd = core_open_in_time(t.pid);
		ssize_t got;

		if (fd < 0 || write(started[1], "", 1) != 1)
			_exit(255);
		do {
			got = pread(fd, &byte, 1, 0);
		} while (got == 1);
		_exit(errno);
	}
	ASSERT_EQ(1, read(started[0], &byte, 1));
	ASSERT_EQ(0, kill(reader, SIGSTOP));
	EXPECT_TRUE(target_runs(&t));
	ASSERT_EQ(0, kill(reader, SIGCONT));
	ASSERT_EQ(reader, waitpid(reader, &status, 0));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(ETIMEDOUT, WEXITSTATUS(status));
	EXPECT_EQ(0, target_finish(&t));
}

/* Reads now and then, for more than twice as long as nothing may be read: was it in time? */
static bool read_slowly(struct __test_metadata *_metadata, pid_t pid, double stall)
{
	double begin = seconds_now(), last = begin, now;
	int fd = core_open(pid);
	bool late = fd < 0;
	char byte;

	if (late)
		EXPECT_EQ(-ETIMEDOUT, fd);
	while (!late && last - begin < 2.5 * stall) {
		ssize_t got;

		/* The pace of the reader, not a wait for an event. */
		do {
			pause_briefly();
			now = seconds_now();
		} while (now - last < stall / 8);
		got = pread(fd, &byte, 1, 0);
		/* The former read may have been as soon as it was called. */
		late = is_over(last, stall);
		if (!late)
			EXPECT_EQ(1, got);
		last = now;
	}
	if (fd >= 0)
		close(fd);
	return !late;
}

/* As long as there is progress it is the reader's pace that counts. */
CORE_TEST(slow_reader)
{
	int stall_ms = 2 * SHORT_MS;
	struct target t;
	bool in_time;

	target_start(&t, "mixed", NULL);
	target_settle(&t);
	do {
		sysctl_set("livecore_stall_ms", stall_ms);
		in_time = read_slowly(_metadata, t.pid, stall_ms / 1000.0);
		stall_ms *= 2;
	} while (!in_time && stall_ms <= LONG_MS);
	EXPECT_TRUE(in_time);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

/* The target is gone when the watchdog looks: nothing to do, and no harm. */
CORE_TEST(nothing_left_to_watch)
{
	struct target t;
	double opened;
	char byte;
	int fd;

	for (int stall_ms = SHORT_MS; stall_ms <= LONG_MS; stall_ms *= 2) {
		bool late;

		target_start(&t, "mixed", NULL);
		target_settle(&t);
		sysctl_set("livecore_stall_ms", stall_ms);
		opened = seconds_now();
		fd = core_open_in_time(t.pid);
		ASSERT_LE(0, fd);
		target_kill(&t);
		late = is_over(opened, stall_ms / 1000.0);
		/* The time of the watchdog comes. */
		target_start(&t, "mixed", NULL);
		target_settle(&t);
		EXPECT_TRUE(EVENTUALLY(seconds_now() - opened > stall_ms / 1000.0 + 0.5));
		EXPECT_EQ(-1, read(fd, &byte, 1));
		EXPECT_TRUE(errno == ECANCELED || errno == ESRCH ||
			    (late && errno == ETIMEDOUT))
			TH_LOG("errno %d", errno);
		close(fd);
		EXPECT_EQ(0, target_finish(&t));
		if (!late)
			return;
	}
	EXPECT_TRUE(false)
		TH_LOG("it was never killed in time");
}

CORE_TEST_MAIN
