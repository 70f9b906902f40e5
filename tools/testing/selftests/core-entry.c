// SPDX-License-Identifier: GPL-2.0
/*
 * `core` is an entry of /proc/PID as the others are, and of nothing else.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "fixture.h"

TARGET(idle)
{
	return target_serve(self);
}

TARGET(undumpable)
{
	CHECK(prctl(PR_SET_DUMPABLE, 0));
	return target_serve(self);
}

static void stat_entry(pid_t pid, const char *name, struct stat *st)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	CHECK(stat(path, st));
}

/* The type that getdents() gives for `core` in /proc/@pid. */
static int listed_type(pid_t pid)
{
	struct dirent *entry;
	char path[64];
	int type = -1;
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	directory = CHECK_POINTER(opendir(path));
	while ((entry = readdir(directory)))
		if (!strcmp(entry->d_name, "core"))
			type = entry->d_type;
	closedir(directory);
	return type;
}

/* Runs since before the module was loaded. */
CORE_TEST(old_process)
{
	EXPECT_TRUE(proc_lists("core", "1"));
	EXPECT_EQ(DT_REG, listed_type(1));
}

CORE_TEST(new_process)
{
	struct stat core, mem;
	struct target t;

	target_start(&t, "idle", NULL);
	EXPECT_TRUE(proc_lists("core", "%d", t.pid));
	EXPECT_EQ(DT_REG, listed_type(t.pid));
	stat_entry(t.pid, "core", &core);
	stat_entry(t.pid, "mem", &mem);
	EXPECT_EQ(S_IFREG | 0600, core.st_mode);
	EXPECT_EQ(mem.st_uid, core.st_uid);
	EXPECT_EQ(mem.st_gid, core.st_gid);
	EXPECT_EQ(mem.st_dev, core.st_dev);
	EXPECT_EQ(0, core.st_size);
	EXPECT_EQ(0, core.st_blocks);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(own_process)
{
	EXPECT_TRUE(proc_lists("core", "self"));
	EXPECT_TRUE(proc_lists("core", "thread-self/../../../%d", getpid()));
}

CORE_TEST(owner_follows_dumpability)
{
	struct stat core, mem;
	struct target t;

	target_start(&t, "undumpable", NULL);
	stat_entry(t.pid, "core", &core);
	stat_entry(t.pid, "mem", &mem);
	EXPECT_EQ(0, core.st_uid);
	EXPECT_EQ(mem.st_uid, core.st_uid);
	EXPECT_EQ(mem.st_gid, core.st_gid);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(opens)
{
	const char *before;
	char magic[4] = "";
	struct stat st;
	struct target t;
	int fd;

	target_start(&t, "idle", NULL);
	target_settle(&t);
	before = fingerprint(t.pid);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(4, read(fd, magic, 4));
	EXPECT_EQ(0, memcmp(magic, "\177ELF", 4));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_LT(4096, st.st_size);
	/* More than none, and less than the size: tools go by both. */
	EXPECT_EQ(4096 / 512, st.st_blocks);
	close(fd);
	stat_entry(t.pid, "core", &st);
	EXPECT_EQ(0, st.st_size);
	EXPECT_EQ(0, st.st_blocks);
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(not_of_a_thread)
{
	struct target t;
	char path[64];

	target_start(&t, "idle", NULL);
	EXPECT_FALSE(proc_lists("core", "%d/task/%d", t.pid, t.pid));
	EXPECT_TRUE(proc_lists("mem", "%d/task/%d", t.pid, t.pid));
	snprintf(path, sizeof(path), "/proc/%d/task/%d/core", t.pid, t.pid);
	EXPECT_EQ(-1, open(path, O_RDONLY));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(0, target_finish(&t));
}

/* Nor of other tables that the same kernel functions serve. */
CORE_TEST(not_in_attr)
{
	EXPECT_FALSE(proc_lists("core", "self/attr"));
	EXPECT_EQ(-1, open("/proc/self/attr/core", O_RDONLY));
	EXPECT_EQ(ENOENT, errno);
}

CORE_TEST(kernel_thread)
{
	EXPECT_TRUE(proc_lists("core", "2"));
	EXPECT_EQ(-ESRCH, core_open(2));
}

CORE_TEST(dead_process)
{
	struct target t;
	siginfo_t info;

	target_start(&t, "idle", NULL);
	CHECK(kill(t.pid, SIGKILL));
	/* A zombie until it is waited for. */
	CHECK(waitid(P_PID, t.pid, &info, WEXITED | WNOWAIT));
	EXPECT_TRUE(proc_lists("core", "%d", t.pid));
	EXPECT_EQ(-ESRCH, core_open(t.pid));
	target_dies_within(&t, EVENT_SECONDS);
	EXPECT_EQ(-ENOENT, core_open(t.pid));
}

CORE_TEST_MAIN
