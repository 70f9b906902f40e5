// SPDX-License-Identifier: GPL-2.0
/*
 * A held process dies at once of what kills it, wherever its threads are.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "frame.h"
#include "sleepers.h"

static void no_core_files(void)
{
	struct rlimit none = {};

	CHECK(setrlimit(RLIMIT_CORE, &none));
}

static void *turn(void *argument)
{
	struct target_slot *slot = argument;

	slot->tid = gettid();
	for (;;)
		__atomic_add_fetch(&slot->counter, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* The leader turns, too: nobody sleeps. */
TARGET(all_running)
{
	no_core_files();
	self->page->slot[0].nr = SPINS;
	target_spinners(self, 2);
	target_event(self, 'R');
	turn(&self->page->slot[0]);
	return 0;
}

TARGET(all_asleep)
{
	no_core_files();
	sleepers_start(self);
	target_serve(self);
	sleepers_clean();
	return 0;
}

/* Both at once. */
TARGET(mixed)
{
	no_core_files();
	sleepers_start(self);
	target_spinners(self, 2);
	target_serve(self);
	sleepers_clean();
	return 0;
}

FIXTURE(fatal)
{
	struct sysctl_values sysctls;
};

FIXTURE_VARIANT(fatal)
{
	const char *target;
	int signal;
	bool to_thread;		/* to its last one, else to the process */
};

FIXTURE_VARIANT_ADD(fatal, kill_running)
{
	.target = "all_running",
	.signal = SIGKILL,
};

FIXTURE_VARIANT_ADD(fatal, abrt_running)
{
	.target = "all_running",
	.signal = SIGABRT,
};

FIXTURE_VARIANT_ADD(fatal, quit_running)
{
	.target = "all_running",
	.signal = SIGQUIT,
};

FIXTURE_VARIANT_ADD(fatal, term_running)
{
	.target = "all_running",
	.signal = SIGTERM,
};

FIXTURE_VARIANT_ADD(fatal, kill_asleep)
{
	.target = "all_asleep",
	.signal = SIGKILL,
};

FIXTURE_VARIANT_ADD(fatal, abrt_asleep)
{
	.target = "all_asleep",
	.signal = SIGABRT,
};

FIXTURE_VARIANT_ADD(fatal, quit_asleep)
{
	.target = "all_asleep",
	.signal = SIGQUIT,
};

FIXTURE_VARIANT_ADD(fatal, term_asleep)
{
	.target = "all_asleep",
	.signal = SIGTERM,
};

FIXTURE_VARIANT_ADD(fatal, segv_mixed)
{
	.target = "mixed",
	.signal = SIGSEGV,
};

FIXTURE_VARIANT_ADD(fatal, alrm_mixed)
{
	.target = "mixed",
	.signal = SIGALRM,
};

FIXTURE_VARIANT_ADD(fatal, realtime_mixed)
{
	.target = "mixed",
	.signal = 40,
};

FIXTURE_VARIANT_ADD(fatal, kill_one_thread)
{
	.target = "mixed",
	.signal = SIGKILL,
	.to_thread = true,
};

FIXTURE_VARIANT_ADD(fatal, abrt_one_thread)
{
	.target = "mixed",
	.signal = SIGABRT,
	.to_thread = true,
};

FIXTURE_VARIANT_ADD(fatal, term_one_thread)
{
	.target = "mixed",
	.signal = SIGTERM,
	.to_thread = true,
};

FIXTURE_SETUP(fatal)
{
	sysctl_prepare(&self->sysctls);
	sysctl_set("livecore_stall_ms", NEVER_MS);
}

FIXTURE_TEARDOWN_PARENT(fatal)
{
	sysctl_restore(&self->sysctls);
}

/* An error wherever it is read; never bytes, for the process is gone. */
static void expect_ended(struct __test_metadata *_metadata, int fd, off_t size)
{
	off_t offsets[] = { 0, 64, size / 2, size - 4096 };
	char bytes[512];

	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		EXPECT_EQ(-1, pread(fd, bytes, sizeof(bytes), offsets[i]));
		EXPECT_TRUE(errno == ECANCELED || errno == ESRCH)
			TH_LOG("errno %d at %#lx", errno, offsets[i]);
	}
}

TEST_F_TIMEOUT(fatal, dies_at_once, CORE_TEST_SECONDS)
{
	struct target_slot *last;
	char bytes[4096];
	struct target t;
	struct stat st;
	int fd, status;

	target_start(&t, variant->target, NULL);
	target_settle(&t);
	last = &t.page->slot[t.page->nr_slots - 1];
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(sizeof(bytes), read(fd, bytes, sizeof(bytes)));
	ASSERT_EQ(0, fstat(fd, &st));
	for (uint32_t i = 0; i < t.page->nr_slots; i++) {
		pid_t tid = t.page->slot[i].tid;

		if (t.page->slot[i].nr != SPINS)
			continue;
		ASSERT_TRUE(EVENTUALLY(thread_is_parked(t.pid, tid)));
	}
	if (variant->to_thread)
		CHECK(tgkill(t.pid, last->tid, variant->signal));
	else
		CHECK(kill(t.pid, variant->signal));
	status = target_dies_within(&t, EVENT_SECONDS);
	EXPECT_NE(-1, status)
		TH_LOG("still alive after %d s", EVENT_SECONDS);
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(variant->signal, WTERMSIG(status));
	expect_ended(_metadata, fd, st.st_size);
	EXPECT_EQ(0, close(fd));
}

CORE_TEST_MAIN
