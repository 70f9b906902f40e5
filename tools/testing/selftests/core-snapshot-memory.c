// SPDX-License-Identifier: GPL-2.0
/*
 * A snapshot that the process keeps writing to takes memory: never so much
 * that the process is killed for it.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "cgroup.h"
#include "fixture.h"
#include "live.h"
#include "oom.h"

enum { SIZE = 32 << 20 };

/* Writes all of its memory when it is told to. */
TARGET(writer)
{
	char *memory = CHECK_POINTER(mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	char command = 'o';

	do {
		memset(memory, command, SIZE);
		target_event(self, command == 'o' ? 'R' : command);
	} while ((command = target_command(self)));
	return 0;
}

FIXTURE(limited)
{
	struct sysctl_values sysctls;
	struct target target;
};

/* The process is in a cgroup, and nobody else. */
FIXTURE_SETUP(limited)
{
	sysctl_prepare(&self->sysctls);
	cgroup_create("+memory");
	cgroup_enter();
	target_start(&self->target, "writer", NULL);
	cgroup_leave();
	target_settle(&self->target);
	sysctl_set("livecore_mode", 1);
}

FIXTURE_TEARDOWN_PARENT(limited)
{
	sysctl_restore(&self->sysctls);
	cgroup_destroy();
}

/* Room for the process and a fifth, but not for two of it. */
TEST_F_TIMEOUT(limited, falls_back_for_a_limit, CORE_TEST_SECONDS)
{
	struct target *t = &self->target;
	struct image image;
	int fd;

	cgroup_limit_memory(SIZE / 10 * 12);
	fd = core_open(t->pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(LIVECORE_STATE_HELD, live_info_of(fd).state);
	EXPECT_EQ(LIVECORE_FALLBACK_MEMORY, live_info_of(fd).fallback);
	ASSERT_EQ(0, image_read(&image, fd));
	EXPECT_EQ(LIVECORE_FALLBACK_MEMORY, live_note(&image)->fallback);
	image_free(&image);
	close(fd);
	target_do(t, 'w');
	EXPECT_EQ(0, target_finish(t));
}

/* With room for both, all of it can be written, and it lives. */
TEST_F_TIMEOUT(limited, writes_everything, CORE_TEST_SECONDS)
{
	struct target *t = &self->target;
	int fd;

	cgroup_limit_memory(SIZE / 4 * 10);
	fd = core_open(t->pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(LIVECORE_STATE_SNAPSHOT, live_info_of(fd).state);
	target_do(t, 'w');
	EXPECT_EQ(LIVECORE_STATE_SNAPSHOT, live_info_of(fd).state);
	close(fd);
	EXPECT_EQ(0, target_finish(t));
}

/* What is left is taken by others: the copy goes, the process does not. */
TEST_F_TIMEOUT(limited, is_dropped_when_room_runs_out, CORE_TEST_SECONDS)
{
	struct target *t = &self->target;
	char byte;
	int fd;

	fd = core_open(t->pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(LIVECORE_STATE_SNAPSHOT, live_info_of(fd).state);
	target_do(t, 'w');
	cgroup_limit_memory(SIZE / 100 * 205);
	EXPECT_TRUE(EVENTUALLY(live_info_of(fd).state == LIVECORE_STATE_ENDED));
	EXPECT_EQ(ENOMEM, live_info_of(fd).error);
	EXPECT_EQ(-1, pread(fd, &byte, 1, 0));
	EXPECT_EQ(ENOMEM, errno);
	/* At once, and not when the reader has heard of it. */
	EXPECT_TRUE(EVENTUALLY(cgroup_memory() < SIZE / 2 * 3));
	close(fd);
	target_do(t, 'x');
	EXPECT_EQ(0, target_finish(t));
}

/* A process that has died is not kept in memory for a reader who does not read. */
TEST_F_TIMEOUT(limited, is_dropped_when_nobody_reads_of_the_dead, CORE_TEST_SECONDS)
{
	struct target *t = &self->target;
	unsigned long memory;
	double opened;
	char byte;
	int fd;

	sysctl_set("livecore_stall_ms", 1000);
	do {
		opened = seconds_now();
		fd = core_open(t->pid);
	} while (fd == -ETIMEDOUT);
	ASSERT_LE(0, fd);
	EXPECT_EQ(LIVECORE_STATE_SNAPSHOT, live_info_of(fd).state);
	target_kill(t);
	/* Until then it is there; unless the time is over before we have looked. */
	memory = cgroup_memory();
	EXPECT_TRUE(memory >= SIZE || seconds_now() - opened > 0.99);
	EXPECT_TRUE(EVENTUALLY(cgroup_memory() < SIZE / 2));
	EXPECT_EQ(LIVECORE_STATE_ENDED, live_info_of(fd).state);
	EXPECT_EQ(ESRCH, live_info_of(fd).error);
	EXPECT_EQ(-1, pread(fd, &byte, 1, 0));
	EXPECT_EQ(ESRCH, errno);
	close(fd);
}

/*
 * The system is out of memory, as the key that says so has it: snapshots go
 * first. The one that the kernel kills is there for that.
 */
CORE_TEST(is_dropped_for_the_system)
{
	struct target t, victim;
	char byte;
	int fd;

	target_start(&t, "writer", NULL);
	target_settle(&t);
	sysctl_set("livecore_mode", 1);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(LIVECORE_STATE_SNAPSHOT, live_info_of(fd).state);
	oom_spare_everybody();
	target_start(&victim, "writer", NULL);
	oom_prefer(victim.pid);
	oom_of_the_system();
	EXPECT_LE(0, target_dies_within(&victim, EVENT_SECONDS));
	oom_restore();
	EXPECT_EQ(LIVECORE_STATE_ENDED, live_info_of(fd).state);
	EXPECT_EQ(ENOMEM, live_info_of(fd).error);
	EXPECT_EQ(-1, pread(fd, &byte, 1, 0));
	EXPECT_EQ(ENOMEM, errno);
	close(fd);
	target_do(&t, 'w');
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
