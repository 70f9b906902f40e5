// SPDX-License-Identifier: GPL-2.0
/*
 * The module goes when no dump is open, and is not missed: not by those who
 * keep old entries, and not by the next one that is loaded.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "frame.h"
#include "module.h"
#include "sleepers.h"

enum { MEDDLERS = 2, RELOADS = 6, PATIENCE = 50 };

FIXTURE(unload)
{
	struct sysctl_values sysctls;
};

FIXTURE_SETUP(unload)
{
	sysctl_prepare(&self->sysctls);
}

FIXTURE_TEARDOWN_PARENT(unload)
{
	module_put_back();
	sysctl_restore(&self->sysctls);
}

#define UNLOAD_TEST(name)	TEST_F_TIMEOUT(unload, name, CORE_TEST_SECONDS)

TARGET(mixed)
{
	sleepers_start(self);
	target_spinners(self, 1);
	target_serve(self);
	sleepers_clean();
	return 0;
}

static void reload(void)
{
	CHECK_ZERO(module_load());
	sysctl_set("livecore_enable", 1);
	sysctl_set("livecore_timeout_ms", 60000);
}

UNLOAD_TEST(refused_while_a_dump_is_open)
{
	struct target t;
	char byte;
	int fd;

	target_start(&t, "mixed", NULL);
	target_settle(&t);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
	EXPECT_EQ(1, read(fd, &byte, 1));
	/* Ended, but the descriptor is still there. */
	sysctl_set("livecore_enable", 0);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(-EWOULDBLOCK, module_unload());
	EXPECT_EQ(-1, read(fd, &byte, 1));
	EXPECT_EQ(ECANCELED, errno);
	close(fd);
	EXPECT_TRUE(module_unloads());
	EXPECT_FALSE(module_is_loaded());
	EXPECT_EQ(0, module_load());
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

UNLOAD_TEST(defaults_after_load)
{
	ASSERT_TRUE(module_unloads());
	EXPECT_EQ(-1, sysctl_get("livecore_enable"));
	ASSERT_EQ(0, module_load());
	EXPECT_EQ(0, sysctl_get("livecore_enable"));
	EXPECT_EQ(1000, sysctl_get("livecore_timeout_ms"));
	EXPECT_EQ(30000, sysctl_get("livecore_stall_ms"));
	EXPECT_EQ(16, sysctl_get("livecore_max_dumps"));
	EXPECT_EQ(-EPERM, core_open(1));
	EXPECT_EQ(-EEXIST, module_load());
}

/* Nothing is left with those threads that have slept through a dump. */
UNLOAD_TEST(sleepers_are_left_alone)
{
	struct image image;
	struct target t;
	const char *before;

	target_start(&t, "mixed", NULL);
	target_settle(&t);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	image_free(&image);
	before = fingerprint(t.pid);
	ASSERT_TRUE(module_unloads());
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	EXPECT_TRUE(target_runs(&t));
	reload();
	ASSERT_EQ(0, image_dump(&image, t.pid));
	image_free(&image);
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	EXPECT_EQ(0, target_finish(&t));
}

/* Reading through what is left of an entry: an error, whichever. */
static void expect_dead(struct __test_metadata *_metadata, int path_fd)
{
	char path[64], bytes[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	EXPECT_EQ(-1, read(fd, bytes, sizeof(bytes)));
	EXPECT_EQ(-1, pread(fd, bytes, sizeof(bytes), 0));
	close(fd);
}

UNLOAD_TEST(entries_that_somebody_holds)
{
	char directory[] = "/tmp/livecore-XXXXXX";
	char path[64], other_path[64];
	struct image image;
	int held, other, fd;
	struct target t;
	struct stat st;

	target_start(&t, "mixed", NULL);
	target_settle(&t);
	CHECK_POINTER(mkdtemp(directory));
	CHECK(unshare(CLONE_NEWNS));
	CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK(mount("proc", directory, "proc", 0, NULL));
	snprintf(path, sizeof(path), "/proc/%d", t.pid);
	snprintf(other_path, sizeof(other_path), "%s/%d/core", directory, t.pid);
	CHECK(chdir(path));
	CHECK(stat("core", &st));
	held = CHECK(open("core", O_PATH | O_CLOEXEC));
	other = CHECK(open(other_path, O_PATH | O_CLOEXEC));

	ASSERT_TRUE(module_unloads());
	EXPECT_FALSE(proc_lists("core", "%d", t.pid));
	EXPECT_EQ(-1, open("core", O_RDONLY));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(-1, stat("core", &st));
	EXPECT_EQ(-1, open(other_path, O_RDONLY));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(0, fstat(held, &st));
	expect_dead(_metadata, held);
	expect_dead(_metadata, other);

	/* The next one is there at once, for those who know the last one, too. */
	reload();
	EXPECT_TRUE(proc_lists("core", "%d", t.pid));
	ASSERT_EQ(0, image_dump(&image, t.pid));
	image_free(&image);
	fd = open("core", O_RDONLY | O_CLOEXEC);
	EXPECT_LE(0, fd);
	close(fd);
	expect_dead(_metadata, held);
	expect_dead(_metadata, other);
	close(held);
	close(other);
	CHECK(chdir("/"));
	CHECK(umount(directory));
	CHECK(rmdir(directory));
	EXPECT_EQ(0, target_finish(&t));
}

/* Looks at, opens and reads `core` of @pid, whatever comes of it. */
static void meddle(pid_t pid)
{
	char path[32], name[64];
	struct stat st;
	int held = -1;

	CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL));
	snprintf(path, sizeof(path), "/proc/%d", pid);
	snprintf(name, sizeof(name), "%s/core", path);
	for (;;) {
		DIR *directory = opendir(path);
		int fd;

		while (directory && readdir(directory))
			;
		if (directory)
			closedir(directory);
		if (held < 0)
			held = open(name, O_PATH | O_CLOEXEC);
		if (!stat(name, &st) && held >= 0) {
			close(held);
			held = -1;
		}
		fd = open(name, O_RDONLY | O_CLOEXEC);
		if (fd >= 0) {
			char bytes[256];

			while (read(fd, bytes, sizeof(bytes)) > 0)
				if (lseek(fd, 40000, SEEK_CUR) < 0)
					break;
			close(fd);
		}
	}
}

/* Unloads and loads while others try to be in the midst of it. */
static void reload_often(void)
{
	for (int unloads = 0; unloads < RELOADS; unloads++) {
		int attempts = 0;

		/* Refused as long as one of them has it open. */
		while (module_unload())
			if (++attempts == PATIENCE)
				sysctl_set("livecore_enable", 0);
		CHECK_ZERO(module_load());
		sysctl_set("livecore_enable", unloads % 2);
	}
}

UNLOAD_TEST(while_others_use_it)
{
	pid_t meddler[MEDDLERS];
	struct target t[2];
	struct image image;

	for (int i = 0; i < 2; i++) {
		target_start(&t[i], "mixed", NULL);
		target_settle(&t[i]);
	}
	fflush(NULL);
	for (int i = 0; i < MEDDLERS; i++) {
		meddler[i] = CHECK(fork());
		if (!meddler[i])
			meddle(t[i % 2].pid);
	}
	reload_often();
	for (int i = 0; i < MEDDLERS; i++) {
		CHECK(kill(meddler[i], SIGKILL));
		CHECK(waitpid(meddler[i], NULL, 0));
	}
	sysctl_set("livecore_enable", 1);
	sysctl_set("livecore_timeout_ms", 60000);
	for (int i = 0; i < 2; i++) {
		EXPECT_TRUE(target_runs(&t[i]));
		ASSERT_EQ(0, image_dump(&image, t[i].pid));
		image_free(&image);
		EXPECT_EQ(0, target_finish(&t[i]));
	}
}

CORE_TEST_MAIN
