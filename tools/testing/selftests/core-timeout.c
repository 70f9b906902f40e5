// SPDX-License-Identifier: GPL-2.0
/*
 * A thread that is busy in the kernel for longer than a dump is willing to
 * wait: it has its notes nevertheless, finishes its system call undisturbed,
 * and is held at its end.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "fixture.h"
#include "live.h"
#include "registers.h"

enum {
	PIECES	= 32,
	PIECE	= 1 << 20,
	FIRST	= 32,	/* bytes that go to where the test can see them */
};

static unsigned char piece[PIECE];

/* One call that takes long: 32 MiB of random numbers. */
static void *work_in_the_kernel(void *argument)
{
	struct target_slot *slot = argument;
	struct iovec iov[PIECES + 1];
	int fd = CHECK(open("/dev/urandom", O_RDONLY | O_CLOEXEC));
	long got;

	iov[0] = (struct iovec){ slot->value, FIRST };
	for (int i = 1; i <= PIECES; i++)
		iov[i] = (struct iovec){ piece, PIECE };
	STORE(slot->tid, gettid());
	got = syscall(SYS_readv, fd, iov, PIECES + 1);
	STORE(slot->result, got < 0 ? -errno : got);
	STORE(slot->counter, 1);
	return NULL;
}

TARGET(busy_in_the_kernel)
{
	struct target_slot *slot;

	target_event(self, 'R');
	target_command(self);
	slot = target_slot(self);
	slot->nr = SYS_readv;
	target_thread(slot, work_in_the_kernel);
	while (target_command(self))
		;
	return 0;
}

CORE_TEST(running_system_call)
{
	const struct image_thread *thread;
	struct user_regs_struct regs;
	struct target_slot *slot;
	struct image image;
	struct target t;
	int fd;

	target_start(&t, "busy_in_the_kernel", NULL);
	target_settle(&t);
	sysctl_set("livecore_timeout_ms", 10);
	sysctl_set("livecore_stall_ms", 3600000);
	slot = &t.page->slot[1];
	target_send(&t, 'g');
	ASSERT_TRUE(EVENTUALLY(LOAD(slot->value[0])));
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	/* Else it was too fast for us, and nothing has been tested. */
	ASSERT_FALSE(thread_is_parked(t.pid, slot->tid));
	ASSERT_EQ(0, image_read(&image, fd));
	EXPECT_EQ(2, image.nr_threads);
	thread = image_thread(&image, slot->tid);
	ASSERT_NE(NULL, thread);
	EXPECT_TRUE(registers_are_general(thread));
	EXPECT_EQ(LIVECORE_THREAD_RUNNING, live_thread(&image, slot->tid)->how);
	/* The frame with which it entered the kernel. */
	regs = registers_of(thread);
	EXPECT_EQ(SYS_readv, regs.orig_rax);
	EXPECT_EQ(PIECES + 1, regs.rdx);
	EXPECT_EQ(regs.rip, regs.rcx);
	EXPECT_NE(NULL, image_at(&image, regs.rsp, 8));
	image_free(&image);

	EXPECT_TRUE(EVENTUALLY(thread_is_parked(t.pid, slot->tid)));
	EXPECT_EQ(0, LOAD(slot->counter));
	close(fd);
	EXPECT_TRUE(EVENTUALLY(LOAD(slot->counter)));
	/* The whole of it: the call has not returned early. */
	EXPECT_EQ((int64_t)FIRST + (int64_t)PIECES * PIECE, slot->result);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
