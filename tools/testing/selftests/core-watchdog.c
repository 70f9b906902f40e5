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

CORE_TEST(idle_reader)
{
	const char *before;
	struct image image;
	char bytes[64];
	struct target t;
	double opened;
	int fd;

	target_start(&t, "mixed", NULL);
	target_settle(&t);
	before = fingerprint(t.pid);
	sysctl_set("livecore_stall_ms", 1000);
	opened = seconds_now();
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(64, read(fd, bytes, 64));
	/* We do nothing: it runs nevertheless, but not before its time. */
	EXPECT_TRUE(target_runs(&t));
	EXPECT_LE(1000, (int)((seconds_now() - opened) * 1000));
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
		int fd = core_open(t.pid);
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

/*
 * As long as there is progress it is the reader's pace that counts. On a busy
 * machine we may be late ourselves: then the attempt says nothing.
 */
CORE_TEST(slow_reader)
{
	struct target t;
	bool done = false;

	target_start(&t, "mixed", NULL);
	target_settle(&t);
	sysctl_set("livecore_stall_ms", 2000);
	for (int attempt = 0; attempt < 10 && !done; attempt++) {
		double begin, last;
		bool late = false;
		char byte;
		int fd;

		fd = core_open(t.pid);
		ASSERT_LE(0, fd);
		begin = seconds_now();
		last = begin;
		do {
			ssize_t got;

			/* The pace of the reader, not a wait for an event. */
			for (int i = 0; i < 100; i++)
				pause_briefly();
			got = pread(fd, &byte, 1, 0);
			late = seconds_now() - last > 1.8;
			if (!late)
				EXPECT_EQ(1, got);
			last = seconds_now();
		} while (!late && last - begin < 5);
		done = !late;
		close(fd);
	}
	EXPECT_TRUE(done);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

/* The target is gone when the watchdog looks: nothing to do, and no harm. */
CORE_TEST(nothing_left_to_watch)
{
	struct target t;
	char byte;
	int fd;

	target_start(&t, "mixed", NULL);
	target_settle(&t);
	sysctl_set("livecore_stall_ms", 1000);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	target_kill(&t);
	target_start(&t, "mixed", NULL);
	target_settle(&t);
	EXPECT_EQ(-1, read(fd, &byte, 1));
	EXPECT_TRUE(errno == ECANCELED || errno == ESRCH)
		TH_LOG("errno %d", errno);
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
