// SPDX-License-Identifier: GPL-2.0
/*
 * One dump per process at a time, and only so many altogether.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include "fixture.h"
#include "sleepers.h"
#include "twin.h"
#include "user.h"

/* "user spinners" */
TARGET(of_user)
{
	int uid, spinners;

	if (sscanf(self->argument, "%d %d", &uid, &spinners) != 2)
		FAIL("argument %s", self->argument);
	if (uid)
		become_dumpable(uid);
	target_spinners(self, spinners);
	return target_serve(self);
}

CORE_TEST(one_dump_per_process)
{
	const char *before;
	struct image image;
	struct target t;
	int fd;

	target_start(&t, "of_user", "0 1");
	target_settle(&t);
	before = fingerprint(t.pid);
	for (int round = 0; round < 5; round++) {
		fd = core_open(t.pid);
		ASSERT_LE(0, fd);
		EXPECT_EQ(-EBUSY, core_open(t.pid));
		EXPECT_EQ(EBUSY, open_outcome_of(become_root, t.pid, "core"));
		/* The refused ones have done nothing to it. */
		ASSERT_EQ(0, image_read(&image, fd));
		image_free(&image);
		close(fd);
		ASSERT_EQ(0, image_dump(&image, t.pid));
		image_free(&image);
	}
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(access_comes_before_busy)
{
	struct target t;
	int fd;

	sysctl_set("livecore_enable", 2);
	target_start(&t, "of_user", "1000 1");
	target_settle(&t);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EACCES, core_open_as(USER_B, t.pid));
	EXPECT_EQ(-EBUSY, core_open_as(USER_A, t.pid));
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(through_another_proc)
{
	char directory[] = "/tmp/livecore-XXXXXX";
	char path[64];
	struct target t;
	int fd, other;

	target_start(&t, "of_user", "0 1");
	target_settle(&t);
	CHECK_POINTER(mkdtemp(directory));
	CHECK(unshare(CLONE_NEWNS));
	CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK(mount("proc", directory, "proc", 0, NULL));
	snprintf(path, sizeof(path), "%s/%d/core", directory, t.pid);

	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(EBUSY, open_outcome(become_root, path));
	close(fd);
	other = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, other);
	EXPECT_EQ(-EBUSY, core_open(t.pid));
	close(other);

	CHECK(umount(directory));
	CHECK(rmdir(directory));
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(one_dump_per_address_space)
{
	struct target t;
	pid_t twin;
	int fd;

	target_start(&t, "with_twin", NULL);
	target_settle(&t);
	twin = t.page->value[TWIN];
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EBUSY, core_open(twin));
	close(fd);
	fd = core_open(twin);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EBUSY, core_open(t.pid));
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

/* A quarter of them per user; who has CAP_SYS_PTRACE is not counted. */
CORE_TEST(limits)
{
	static const char * const users[] = {
		"1000 0", "1000 0", "1000 0", "1001 0", "0 0", "0 0", "0 0",
	};
	struct target t[ARRAY_SIZE(users)];
	int fd[ARRAY_SIZE(users)];

	sysctl_set("livecore_enable", 2);
	sysctl_set("livecore_max_dumps", 8);
	for (size_t i = 0; i < ARRAY_SIZE(users); i++)
		target_start(&t[i], "of_user", users[i]);

	fd[0] = core_open_as(USER_A, t[0].pid);
	fd[1] = core_open_as(USER_A, t[1].pid);
	ASSERT_LE(0, fd[0]);
	ASSERT_LE(0, fd[1]);
	EXPECT_EQ(-EAGAIN, core_open_as(USER_A, t[2].pid));
	/* Busy comes before the limits. */
	EXPECT_EQ(-EBUSY, core_open_as(USER_A, t[1].pid));
	/* Another user has a quarter of its own. */
	fd[3] = core_open_as(USER_B, t[3].pid);
	EXPECT_LE(0, fd[3]);
	/* Root takes from nobody's. */
	fd[2] = core_open(t[2].pid);
	EXPECT_LE(0, fd[2]);
	for (int i = 4; i < 7; i++) {
		fd[i] = core_open(t[i].pid);
		EXPECT_LE(0, fd[i]);
	}
	close(fd[2]);
	EXPECT_EQ(-EAGAIN, core_open_as(USER_A, t[2].pid));
	/* One is closed: there is room for one. */
	close(fd[0]);
	fd[2] = core_open_as(USER_A, t[2].pid);
	EXPECT_LE(0, fd[2]);
	EXPECT_EQ(-EAGAIN, core_open_as(USER_A, t[0].pid));
	for (size_t i = 1; i < ARRAY_SIZE(users); i++)
		close(fd[i]);
	for (size_t i = 0; i < ARRAY_SIZE(users); i++)
		EXPECT_EQ(0, target_finish(&t[i]));
}

/* Root's count for the others, who have a quarter that they cannot use then. */
CORE_TEST(limit_of_the_system)
{
	enum { MOST = 4 };
	struct target t[MOST], a;
	int fd[MOST], fd_of_a;

	sysctl_set("livecore_enable", 2);
	sysctl_set("livecore_max_dumps", MOST);
	target_start(&a, "of_user", "1000 0");
	for (int i = 0; i < MOST; i++) {
		target_start(&t[i], "of_user", "0 0");
		fd[i] = core_open(t[i].pid);
		EXPECT_LE(0, fd[i]);
	}
	EXPECT_EQ(-EAGAIN, core_open_as(USER_A, a.pid));
	close(fd[0]);
	fd_of_a = core_open_as(USER_A, a.pid);
	EXPECT_LE(0, fd_of_a);
	close(fd_of_a);
	for (int i = 1; i < MOST; i++)
		close(fd[i]);
	for (int i = 0; i < MOST; i++)
		EXPECT_EQ(0, target_finish(&t[i]));
	EXPECT_EQ(0, target_finish(&a));
}

/* A quarter is none, but one is everybody's: as far as the system's limit goes. */
CORE_TEST(one_at_least)
{
	static const char * const users[] = { "1000 0", "1000 0", "1001 0" };
	struct target t[ARRAY_SIZE(users)];
	int a, b;

	sysctl_set("livecore_enable", 2);
	for (size_t i = 0; i < ARRAY_SIZE(users); i++)
		target_start(&t[i], "of_user", users[i]);
	for (int most = 1; most <= 3; most++) {
		sysctl_set("livecore_max_dumps", most);
		a = core_open_as(USER_A, t[0].pid);
		EXPECT_LE(0, a)
			TH_LOG("of %d", most);
		EXPECT_EQ(-EAGAIN, core_open_as(USER_A, t[1].pid));
		b = core_open_as(USER_B, t[2].pid);
		EXPECT_EQ(most > 1 ? 0 : -EAGAIN, b < 0 ? b : 0)
			TH_LOG("of %d", most);
		close(a);
		close(b);
	}
	for (size_t i = 0; i < ARRAY_SIZE(users); i++)
		EXPECT_EQ(0, target_finish(&t[i]));
}

/* It holds nobody any more, but is open: as one of its user's, and of all. */
CORE_TEST(ended_ones_count_until_they_are_closed)
{
	struct target a, b;
	int fd;

	sysctl_set("livecore_enable", 2);
	sysctl_set("livecore_max_dumps", 4);
	target_start(&a, "of_user", "1000 0");
	target_start(&b, "of_user", "1001 0");
	fd = core_open_as(USER_A, a.pid);
	ASSERT_LE(0, fd);
	sysctl_set("livecore_enable", 0);
	sysctl_set("livecore_enable", 2);
	EXPECT_EQ(-EAGAIN, core_open_as(USER_A, a.pid));
	sysctl_set("livecore_max_dumps", 1);
	EXPECT_EQ(-EAGAIN, core_open_as(USER_B, b.pid));
	close(fd);
	for (int i = 0; i < 2; i++) {
		fd = i ? core_open_as(USER_A, a.pid) : core_open_as(USER_B, b.pid);
		EXPECT_LE(0, fd);
		close(fd);
	}
	EXPECT_EQ(0, target_finish(&a));
	EXPECT_EQ(0, target_finish(&b));
}

CORE_TEST_MAIN
