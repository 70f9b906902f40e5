// SPDX-License-Identifier: GPL-2.0
/*
 * A machine, or a container, that ends while processes are held in it: nobody
 * is waited for. What this leaves behind are held processes, so that the guest
 * powers off with them: a guest of its own, which the lab calls lost if it does
 * not end soon.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "frame.h"
#include "live.h"
#include "race.h"

enum {
	PAGE		= 4096,
	VICTIMS		= 3,
	/* Far above what it takes emulated. */
	DEATH_SECONDS	= 15,
};

/* What outlives the test, and it looks at once more. */
struct left {
	pid_t pid[VICTIMS];
	pid_t spinner[VICTIMS];
	uint64_t turns[VICTIMS];
	int fd[VICTIMS];
	unsigned long reads;
};

FIXTURE(reboot)
{
	struct left *left;
};

/* The guest ends with the test: what it has set goes with it. */
FIXTURE_SETUP(reboot)
{
	struct sysctl_values before;

	sysctl_prepare(&before);
	sysctl_set("livecore_stall_ms", NEVER_MS);
	self->left = CHECK_POINTER(mmap(NULL, sizeof(*self->left), PROT_READ | PROT_WRITE,
					MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

FIXTURE_TEARDOWN(reboot)
{
}

#define REBOOT_TEST(name)	TEST_F_TIMEOUT(reboot, name, CORE_TEST_SECONDS)

static struct left *left;

static void *turn(void *argument)
{
	int number = (intptr_t)argument;

	STORE(left->spinner[number], gettid());
	for (;;)
		__atomic_add_fetch(&left->turns[number], 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* One thread turns, one sleeps. */
static void be_victim(intptr_t number)
{
	pthread_t thread;

	CHECK_ZERO(pthread_create(&thread, NULL, turn, (void *)number));
	for (;;)
		syscall(SYS_pause);
}

/* Nobody's child, and in no session that ends. */
static pid_t start(void (*run)(intptr_t), intptr_t argument)
{
	pid_t pid;

	fflush(NULL);
	pid = CHECK(fork());
	if (!pid) {
		CHECK(setsid());
		run(argument);
	}
	return pid;
}

static void start_victims(void)
{
	for (int i = 0; i < VICTIMS; i++)
		STORE(left->pid[i], start(be_victim, i));
}

static bool all_run(void)
{
	for (int i = 0; i < VICTIMS; i++)
		if (!LOAD(left->turns[i]) ||
		    !thread_sleeps_in(left->pid[i], left->pid[i], SYS_pause))
			return false;
	return true;
}

static void hold_victims(void)
{
	for (int i = 0; i < VICTIMS; i++)
		STORE(left->fd[i], CHECK(core_open(left->pid[i])));
}

static bool all_held(void)
{
	for (int i = 0; i < VICTIMS; i++)
		if (!LOAD(left->fd[i]) || !thread_is_parked(left->pid[i], left->spinner[i]))
			return false;
	return true;
}

/* Its first process, of which the others are children. */
static void be_init(intptr_t unused)
{
	(void)unused;
	/* Whose numbers are others outside. */
	for (int i = 0; i < VICTIMS; i++)
		start(be_victim, i);
	for (;;)
		pause();
}

static void be_container(intptr_t unused)
{
	pid_t init;

	(void)unused;
	CHECK(unshare(CLONE_NEWPID));
	init = start(be_init, 0);
	CHECK(waitpid(init, NULL, 0));
	_exit(0);
}

/* The children of @pid, by the numbers that the test knows them by. */
static int children_of(pid_t pid, pid_t child[VICTIMS])
{
	char *text = proc_text("%d/task/%d/children", pid, pid), *rest = text, *word;
	int n = 0;

	while (n < VICTIMS && (word = strsep(&rest, " ")))
		if (atoi(word))
			child[n++] = atoi(word);
	free(text);
	return n;
}

/* Who turns is the second thread. */
static bool find_spinners(void)
{
	for (int i = 0; i < VICTIMS; i++) {
		pid_t tid[2];

		if (thread_list(left->pid[i], tid, 2) != 2)
			return false;
		left->spinner[i] = tid[tid[0] == left->pid[i]];
	}
	return true;
}

/* The end of a container: its first process waits for all the others. */
REBOOT_TEST(container_ends_with_them)
{
	pid_t container, init[VICTIMS];
	double begin;
	int status;

	left = self->left;
	container = start(be_container, 0);
	ASSERT_TRUE(EVENTUALLY(children_of(container, init) == 1));
	ASSERT_TRUE(EVENTUALLY(children_of(init[0], left->pid) == VICTIMS));
	/* They say who turns, too, by other numbers, and before they do. */
	ASSERT_TRUE(EVENTUALLY(all_run()));
	ASSERT_TRUE(find_spinners());
	hold_victims();
	EXPECT_TRUE(EVENTUALLY(all_held()));
	begin = seconds_now();
	CHECK(kill(init[0], SIGKILL));
	ASSERT_EQ(container, waitpid(container, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_GT(DEATH_SECONDS, seconds_now() - begin);
	for (int i = 0; i < VICTIMS; i++) {
		char byte;

		EXPECT_EQ(-1, pread(left->fd[i], &byte, 1, 0));
		EXPECT_TRUE(race_read_says(errno));
		close(left->fd[i]);
	}
}

/* The guest is left with processes that are held: one reader reads, one does not. */
static void hold_and_read(intptr_t unused)
{
	char byte;

	(void)unused;
	start_victims();
	if (!EVENTUALLY(all_run()))
		FAIL("they do not run");
	hold_victims();
	for (;;) {
		CHECK(pread(left->fd[0], &byte, 1, 0));
		__atomic_add_fetch(&left->reads, 1, __ATOMIC_SEQ_CST);
		pause_briefly();
	}
}

REBOOT_TEST(powers_off_with_them)
{
	uint64_t turns[VICTIMS];

	left = self->left;
	start(hold_and_read, 0);
	ASSERT_TRUE(EVENTUALLY(all_held()));
	ASSERT_TRUE(EVENTUALLY(LOAD(left->reads)));
	memcpy(turns, left->turns, sizeof(turns));
	for (int i = 0; i < VICTIMS; i++)
		EXPECT_EQ(turns[i], LOAD(left->turns[i]));
}

CORE_TEST_MAIN
