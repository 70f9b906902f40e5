// SPDX-License-Identifier: GPL-2.0
/*
 * Processes of the ABI x32 are not dumped, and not touched. The kernel is booted
 * with syscall.x32=y, without which Debian's have none.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fixture.h"
#include "listing.h"
#include "live.h"
#include "registers.h"

/* The same call of that ABI. */
#define X32(nr)	(0x40000000 | (nr))

static pid_t start_x32(void)
{
	pid_t pid = CHECK(fork());
	char path[512], *slash;

	if (!pid) {
		CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL));
		path[CHECK(readlink("/proc/self/exe", path, sizeof(path) - 16))] = 0;
		slash = CHECK_POINTER(strrchr(path, '/'));
		strcpy(slash, "/pause-x32");
		execl(path, path, NULL);
		FAIL("%s: %s", path, strerror(errno));
	}
	if (!EVENTUALLY(thread_rests_in(pid, pid, X32(SYS_pause))))
		FAIL("%d does not sleep", pid);
	return pid;
}

CORE_TEST(is_refused)
{
	pid_t pid = start_x32();
	const char *before = fingerprint(pid);
	int status, fd;

	for (int mode = 0; mode < 2; mode++) {
		sysctl_set("livecore_mode", mode);
		EXPECT_EQ(-EOPNOTSUPP, core_open(pid));
		fd = live_open(pid);
		ASSERT_LE(0, fd);
		EXPECT_EQ(-EOPNOTSUPP, live_start(fd));
		close(fd);
	}
	EXPECT_TRUE(listing_is_empty());
	EXPECT_EQ(0, fingerprint_changes(pid, before));
	CHECK(kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(SIGKILL, WTERMSIG(status));
}

static void *pause_by_x32(void *argument)
{
	struct target_slot *slot = argument;

	STORE(slot->tid, gettid());
	syscall(slot->nr);
	return NULL;
}

TARGET(caller)
{
	struct target_slot *slot = target_slot(self);

	slot->nr = X32(SYS_pause);
	target_thread(slot, pause_by_x32);
	target_serve(self);
	/* The other one sleeps on. */
	_exit(0);
}

/* The ABI is that of the program, whatever calls it makes. */
CORE_TEST(is_not_who_makes_its_calls)
{
	const struct image_thread *thread;
	struct image image;
	struct target t;

	target_start(&t, "caller", NULL);
	target_settle(&t);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	EXPECT_FALSE(image.is_32bit);
	thread = image_thread(&image, t.page->slot[1].tid);
	ASSERT_NE(NULL, thread);
	EXPECT_EQ(X32(SYS_pause), (long)registers_of(thread).orig_rax);
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
