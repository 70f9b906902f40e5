// SPDX-License-Identifier: GPL-2.0
/*
 * A held process dies at once of what kills it, and of nothing else.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "frame.h"
#include "sleepers.h"

enum {
	/* Far below the watchdog's 30 s, far above what it takes emulated. */
	DEATH_SECONDS	= 10,
	HANDLED		= 0,	/* target_page.value[]: calls of the handler */
};

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

#define FATAL(name_, target_, signal_, to_thread_)			\
	FIXTURE_VARIANT_ADD(fatal, name_)				\
	{								\
		.target = target_,					\
		.signal = signal_,					\
		.to_thread = to_thread_,				\
	}

FATAL(kill_running, "all_running", SIGKILL, false);
FATAL(abrt_running, "all_running", SIGABRT, false);
FATAL(quit_running, "all_running", SIGQUIT, false);
FATAL(term_running, "all_running", SIGTERM, false);
FATAL(kill_asleep, "all_asleep", SIGKILL, false);
FATAL(abrt_asleep, "all_asleep", SIGABRT, false);
FATAL(quit_asleep, "all_asleep", SIGQUIT, false);
FATAL(term_asleep, "all_asleep", SIGTERM, false);
FATAL(segv_mixed, "mixed", SIGSEGV, false);
FATAL(alrm_mixed, "mixed", SIGALRM, false);
FATAL(realtime_mixed, "mixed", 40, false);
FATAL(kill_one_thread, "mixed", SIGKILL, true);
FATAL(abrt_one_thread, "mixed", SIGABRT, true);
FATAL(term_one_thread, "mixed", SIGTERM, true);

FIXTURE_SETUP(fatal)
{
	sysctl_prepare(&self->sysctls);
	sysctl_set("livecore_stall_ms", 30000);
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

		if (t.page->slot[i].nr == SPINS) {
			ASSERT_TRUE(EVENTUALLY(thread_is_parked(t.pid, tid)));
		}
	}
	if (variant->to_thread)
		CHECK(tgkill(t.pid, last->tid, variant->signal));
	else
		CHECK(kill(t.pid, variant->signal));
	status = target_dies_within(&t, DEATH_SECONDS);
	EXPECT_NE(-1, status)
		TH_LOG("still alive after %d s", DEATH_SECONDS);
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(variant->signal, WTERMSIG(status));
	expect_ended(_metadata, fd, st.st_size);
	EXPECT_EQ(0, close(fd));
}

static struct target_page *handler_page;

static void handler(int signal)
{
	(void)signal;
	__atomic_add_fetch(&handler_page->value[HANDLED], 1, __ATOMIC_SEQ_CST);
}

/* Waits for SIGALRM, which all threads block. */
static void *wait_for_alarm(void *argument)
{
	struct target_slot *slot = argument;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	STORE(slot->tid, gettid());
	STORE(slot->result, syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, 8));
	STORE(slot->counter, 1);
	return NULL;
}

/* Handles USR1, ignores HUP, blocks ALRM; "1": with threads that run, too. */
TARGET(prepared)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
	struct target_slot *slot;
	sigset_t set;

	handler_page = self->page;
	CHECK(sigaction(SIGUSR1, &action, NULL));
	action.sa_handler = SIG_IGN;
	CHECK(sigaction(SIGHUP, &action, NULL));
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL));
	slot = target_slot(self);
	slot->nr = SYS_rt_sigtimedwait;
	target_thread(slot, wait_for_alarm);
	target_spinners(self, atoi(self->argument));
	return target_serve(self);
}

FIXTURE(survived)
{
	struct sysctl_values sysctls;
};

FIXTURE_VARIANT(survived)
{
	const char *spinners;
};

FIXTURE_VARIANT_ADD(survived, asleep)
{
	.spinners = "0",
};

FIXTURE_VARIANT_ADD(survived, running)
{
	.spinners = "2",
};

FIXTURE_SETUP(survived)
{
	sysctl_prepare(&self->sysctls);
}

FIXTURE_TEARDOWN_PARENT(survived)
{
	sysctl_restore(&self->sysctls);
}

/* The dump goes on: the same bytes after as before, and nobody runs. */
static void expect_goes_on(struct __test_metadata *_metadata, struct target *t, int fd,
			   const struct image *before)
{
	uint64_t turns = target_turns(t);
	struct image after;

	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	ASSERT_EQ(0, image_read(&after, fd));
	EXPECT_EQ(before->size, after.size);
	EXPECT_EQ(0, memcmp(before->data, after.data, before->size));
	EXPECT_EQ(turns, target_turns(t));
	image_free(&after);
}

#define SURVIVED_TEST(name)	TEST_F_TIMEOUT(survived, name, CORE_TEST_SECONDS)

SURVIVED_TEST(handled)
{
	struct image image;
	struct target t;
	int fd;

	target_start(&t, "prepared", variant->spinners);
	target_settle(&t);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, image_read(&image, fd));
	CHECK(kill(t.pid, SIGUSR1));
	expect_goes_on(_metadata, &t, fd, &image);
	EXPECT_EQ(0, LOAD(t.page->value[HANDLED]));
	close(fd);
	/* Delivered, now, and once. */
	EXPECT_TRUE(EVENTUALLY(LOAD(t.page->value[HANDLED])));
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(1, LOAD(t.page->value[HANDLED]));
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

SURVIVED_TEST(ignored)
{
	struct image image;
	struct target t;
	int fd;

	target_start(&t, "prepared", variant->spinners);
	target_settle(&t);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, image_read(&image, fd));
	CHECK(kill(t.pid, SIGHUP));
	CHECK(kill(t.pid, SIGCHLD));
	expect_goes_on(_metadata, &t, fd, &image);
	close(fd);
	EXPECT_TRUE(target_runs(&t));
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

SURVIVED_TEST(blocked)
{
	struct target_slot *waiter;
	struct image image;
	struct target t;
	int fd;

	target_start(&t, "prepared", variant->spinners);
	target_settle(&t);
	waiter = &t.page->slot[1];
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, image_read(&image, fd));
	CHECK(kill(t.pid, SIGALRM));
	/* Taken from the kernel, but not to the program. */
	EXPECT_TRUE(EVENTUALLY(thread_is_parked(t.pid, waiter->tid)));
	expect_goes_on(_metadata, &t, fd, &image);
	EXPECT_EQ(0, LOAD(waiter->counter));
	close(fd);
	EXPECT_TRUE(EVENTUALLY(LOAD(waiter->counter)));
	EXPECT_EQ(SIGALRM, LOAD(waiter->result));
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
