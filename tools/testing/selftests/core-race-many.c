// SPDX-License-Identifier: GPL-2.0
/*
 * Two hundred processes, dumped at once by one opener: each is held, or
 * copied, by its own dump, and let go by the end of that and of no other.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fixture.h"
#include "live.h"
#include "race.h"
#include "tally.h"

enum {
	MANY		= 200,
	THREADS		= 2,
	STACK		= 64 * 1024,
};

/* One of them: its leader sleeps in read(), its other thread in futex(). */
struct sleeper {
	pid_t pid;
	pid_t tid;
	int command;
	int fd;			/* its core */
	uint32_t word;
	uint32_t awake;		/* how many of the two have returned */
	uint32_t wrong;
};

struct sleepers {
	struct sleeper one[MANY];
};

static int command_of_child;

static void has_returned(struct sleeper *sleeper, bool right)
{
	if (!right)
		STORE(sleeper->wrong, 1);
	__atomic_add_fetch(&sleeper->awake, 1, __ATOMIC_SEQ_CST);
}

static void *wait_for_word(void *argument)
{
	struct sleeper *sleeper = argument;
	long got;

	STORE(sleeper->tid, gettid());
	got = syscall(SYS_futex, &sleeper->word, FUTEX_WAIT, 0, NULL, NULL, 0);
	has_returned(sleeper, !got && LOAD(sleeper->word));
	return NULL;
}

static int sleep_in_both(void *argument)
{
	struct sleeper *sleeper = argument;
	pthread_attr_t attributes;
	pthread_t thread;
	char byte = 0;
	long got;

	CHECK_ZERO(pthread_attr_init(&attributes));
	CHECK_ZERO(pthread_attr_setstacksize(&attributes, STACK));
	CHECK_ZERO(pthread_create(&thread, &attributes, wait_for_word, sleeper));
	got = syscall(SYS_read, command_of_child, &byte, 1);
	has_returned(sleeper, got == 1 && byte == 'w');
	CHECK_ZERO(pthread_join(thread, NULL));
	return LOAD(sleeper->wrong);
}

static bool both_sleep(struct sleeper *sleeper)
{
	return LOAD(sleeper->tid) && thread_sleeps_in(sleeper->pid, sleeper->pid, SYS_read) &&
	       thread_sleeps_in(sleeper->pid, sleeper->tid, SYS_futex);
}

static struct sleepers *start_many(void)
{
	struct rlimit files = { 4096, 4096 };
	struct sleepers *many;

	CHECK(setrlimit(RLIMIT_NOFILE, &files));
	many = CHECK_POINTER(mmap(NULL, sizeof(*many), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	for (int i = 0; i < MANY; i++) {
		struct sleeper *sleeper = &many->one[i];
		int pair[2];

		CHECK(pipe2(pair, O_CLOEXEC));
		command_of_child = pair[0];
		sleeper->command = pair[1];
		sleeper->pid = race_process(sleep_in_both, sleeper);
		close(pair[0]);
	}
	for (int i = 0; i < MANY; i++)
		if (!EVENTUALLY(both_sleep(&many->one[i])))
			FAIL("process %d does not sleep", many->one[i].pid);
	return many;
}

static void wake(struct sleeper *sleeper)
{
	CHECK(write(sleeper->command, "w", 1));
	close(sleeper->command);
	STORE(sleeper->word, 1);
	CHECK(syscall(SYS_futex, &sleeper->word, FUTEX_WAKE, 1, NULL, NULL, 0));
}

static bool both_parked(struct sleeper *sleeper)
{
	return thread_is_parked(sleeper->pid, sleeper->pid) &&
	       thread_is_parked(sleeper->pid, sleeper->tid);
}

static bool both_awake(struct sleeper *sleeper)
{
	return LOAD(sleeper->awake) == THREADS;
}

/* How many dumps there are, of anybody. */
static int dumps_listed(void)
{
	char *text = proc_text("livecore"), *rest = text, *line;
	int rows = 0, pid;

	if (!text)
		FAIL("/proc/livecore: %s", strerror(errno));
	while ((line = strsep(&rest, "\n")))
		rows += sscanf(line, "%d", &pid) == 1;
	free(text);
	return rows;
}

static void expect_image(struct __test_metadata *_metadata, struct sleeper *sleeper)
{
	struct image image;

	ASSERT_EQ(0, image_read(&image, sleeper->fd));
	EXPECT_EQ(THREADS, image.nr_threads);
	EXPECT_NE(NULL, image_thread(&image, sleeper->pid));
	EXPECT_NE(NULL, image_thread(&image, sleeper->tid));
	EXPECT_EQ(0, live_count(&image, LIVECORE_THREAD_ZEROED));
	image_free(&image);
}

/* In an order that the seed chooses. */
static void shuffle(int order[MANY])
{
	for (int i = 0; i < MANY; i++) {
		int other = race_random(i + 1);

		order[i] = order[other];
		order[other] = i;
	}
}

static void expect_ends(struct __test_metadata *_metadata, struct sleepers *many)
{
	for (int i = 0; i < MANY; i++) {
		EXPECT_TRUE(race_nobody_parked(many->one[i].pid));
		EXPECT_EQ(0, race_process_end(many->one[i].pid));
	}
	EXPECT_EQ(0, dumps_listed());
	munmap(many, sizeof(*many));
}

FIXTURE(many)
{
	struct sysctl_values sysctls;
};

FIXTURE_VARIANT(many)
{
	int mode;
};

FIXTURE_VARIANT_ADD(many, held)
{
	.mode = LIVECORE_MODE_HOLD,
};

FIXTURE_VARIANT_ADD(many, snapshot)
{
	.mode = LIVECORE_MODE_SNAPSHOT,
};

FIXTURE_SETUP(many)
{
	sysctl_prepare(&self->sysctls);
	sysctl_set("livecore_mode", variant->mode);
	/* It takes a while until the last one is opened, and the first one read. */
	sysctl_set("livecore_stall_ms", NEVER_MS);
	/* Which binds others: root holds as many as it likes. */
	sysctl_set("livecore_max_dumps", 16);
}

FIXTURE_TEARDOWN_PARENT(many)
{
	sysctl_restore(&self->sysctls);
}

/* All are opened, woken, read, and closed in any order. */
static void dump_many(struct __test_metadata *_metadata, bool held)
{
	struct sleepers *many = start_many();
	int order[MANY];

	for (int i = 0; i < MANY; i++) {
		struct livecore_config config = {
			.size = sizeof(config),
			.set = LIVECORE_SET_CONTENTS,
			.contents = race_random(3),
		};

		many->one[i].fd = live_dump(many->one[i].pid, &config);
		ASSERT_LE(0, many->one[i].fd);
	}
	EXPECT_EQ(MANY, dumps_listed());
	for (int i = 0; i < MANY; i++) {
		EXPECT_EQ(held ? LIVECORE_STATE_HELD : LIVECORE_STATE_SNAPSHOT,
			  live_info_of(many->one[i].fd).state);
		EXPECT_EQ(0, LOAD(many->one[i].awake));
	}
	/* Who is held comes no further than to user mode. */
	for (int i = 0; i < MANY; i++)
		wake(&many->one[i]);
	for (int i = 0; i < MANY; i++)
		EXPECT_TRUE(EVENTUALLY(held ? both_parked(&many->one[i]) :
					      both_awake(&many->one[i])));
	shuffle(order);
	for (int i = 0; i < MANY; i++)
		expect_image(_metadata, &many->one[order[i]]);
	shuffle(order);
	for (int i = 0; i < MANY; i++) {
		struct sleeper *sleeper = &many->one[order[i]];

		/* The end of somebody else's is none of its. */
		EXPECT_EQ(held ? 0 : THREADS, LOAD(sleeper->awake));
		close(sleeper->fd);
		EXPECT_TRUE(EVENTUALLY(both_awake(sleeper)));
	}
	expect_ends(_metadata, many);
}

TEST_F_TIMEOUT(many, closed_in_any_order, CORE_TEST_SECONDS)
{
	unsigned long n = rounds(1);

	for (unsigned long round = 0; round < n; round++)
		dump_many(_metadata, variant->mode == LIVECORE_MODE_HOLD);
	tally("dumps", n * MANY);
}

static int hold_many(void *argument)
{
	struct sleepers *many = argument;

	for (int i = 0; i < MANY; i++)
		STORE(many->one[i].fd, CHECK(core_open(many->one[i].pid)));
	for (;;)
		pause();
}

/* All of them are let go by one death. */
TEST_F_TIMEOUT(many, opener_is_killed, CORE_TEST_SECONDS)
{
	struct sleepers *many = start_many();
	int status;
	pid_t pid;

	pid = race_process(hold_many, many);
	ASSERT_TRUE(EVENTUALLY(LOAD(many->one[MANY - 1].fd)));
	EXPECT_EQ(MANY, dumps_listed());
	for (int i = 0; i < MANY; i++)
		wake(&many->one[i]);
	CHECK(kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	for (int i = 0; i < MANY; i++)
		EXPECT_TRUE(EVENTUALLY(both_awake(&many->one[i])));
	expect_ends(_metadata, many);
	tally("dumps", MANY);
}

/* Every other one is a copy. */
static bool is_copied(int number)
{
	return number % 2;
}

/* That ends each of them, and so everybody runs while all are still open. */
CORE_TEST(gate_is_closed)
{
	struct sleepers *many = start_many();
	char byte;

	sysctl_set("livecore_stall_ms", NEVER_MS);
	for (int i = 0; i < MANY; i++) {
		struct livecore_config config = {
			.size = sizeof(config),
			.set = LIVECORE_SET_MODE,
			.mode = is_copied(i) ? LIVECORE_MODE_SNAPSHOT : LIVECORE_MODE_HOLD,
		};

		many->one[i].fd = live_dump(many->one[i].pid, &config);
		ASSERT_LE(0, many->one[i].fd);
	}
	for (int i = 0; i < MANY; i++) {
		wake(&many->one[i]);
		ASSERT_TRUE(EVENTUALLY(is_copied(i) ? both_awake(&many->one[i]) :
						      both_parked(&many->one[i])));
		EXPECT_EQ(is_copied(i) ? LIVECORE_STATE_SNAPSHOT : LIVECORE_STATE_HELD,
			  live_info_of(many->one[i].fd).state);
	}
	sysctl_set("livecore_enable", 0);
	for (int i = 0; i < MANY; i++) {
		ASSERT_TRUE(EVENTUALLY(both_awake(&many->one[i])));
		EXPECT_EQ(-1, pread(many->one[i].fd, &byte, 1, 0));
		EXPECT_EQ(ECANCELED, errno);
		EXPECT_EQ(LIVECORE_STATE_ENDED, live_info_of(many->one[i].fd).state);
	}
	EXPECT_EQ(MANY, dumps_listed());
	for (int i = 0; i < MANY; i++)
		close(many->one[i].fd);
	expect_ends(_metadata, many);
	tally("dumps", MANY);
}

CORE_TEST_MAIN
