// SPDX-License-Identifier: GPL-2.0
/*
 * A process that makes threads and processes, and ends, all the time, maybe
 * under a tracer, while one or two others dump it, all the time. Whatever they
 * catch it at: each core has every thread once, nobody runs while it is held,
 * and the process gets from each of its own calls what it is to get.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "dumpers.h"
#include "dumpers_storm.h"
#include "frame.h"
#include "live.h"
#include "race.h"
#include "ring.h"
#include "sleepers.h"
#include "sleepers_wake.h"
#include "tracer.h"

enum {
	PAGE		= 4096,
	STORMERS	= 2,
	STACK		= 64 * 1024,

	/* target_page.slot[]: of processes that come and go, by their number. */
	FIRST_CHILD	= 512,
	CHILDREN	= 256,
};

/* target_page.value[] */
enum {
	VICTIM = MADE + 1,	/* whom to dump, if not the target itself */
};

/* What a thread or process has found out about itself; 0 is right. */
#define WRONG_UNLESS(condition)						\
do {									\
	if (!(condition))						\
		return __LINE__;					\
} while (0)

static struct target_page *our_page;
/* For what a thread clones. */
static __thread char *our_stack;

static void has_made(void)
{
	__atomic_add_fetch(&our_page->value[MADE], 1, __ATOMIC_SEQ_CST);
}

/* Threads, of which each is waited for. */

static void *answer(void *argument)
{
	race_delay();
	has_made();
	return (char *)argument + 1;
}

static void *answer_by_exit(void *argument)
{
	has_made();
	race_delay();
	has_made();
	pthread_exit((char *)argument + 1);
}

static int make_thread(void *(*function)(void *argument), char *argument)
{
	pthread_attr_t attributes;
	pthread_t thread;
	void *result;

	WRONG_UNLESS(!pthread_attr_init(&attributes));
	WRONG_UNLESS(!pthread_attr_setstacksize(&attributes, STACK));
	WRONG_UNLESS(!pthread_create(&thread, &attributes, function, argument));
	WRONG_UNLESS(!pthread_attr_destroy(&attributes));
	WRONG_UNLESS(!pthread_join(thread, &result));
	WRONG_UNLESS(result == argument + 1);
	return 0;
}

static int storm_threads(uint64_t turn)
{
	return make_thread(turn % 2 ? answer : answer_by_exit, (char *)turn);
}

enum { DEPTH = 4 };

/* Its argument is how many are still to come below it. */
static void *make_the_next(void *argument)
{
	has_made();
	if (argument && make_thread(make_the_next, (char *)argument - 1))
		return NULL;
	return (char *)argument + 1;
}

static int storm_nested(uint64_t turn)
{
	(void)turn;
	return make_thread(make_the_next, (char *)DEPTH);
}

/* Threads that exit with requests of their own in flight, which they cancel. */

static void *exit_with_a_ring(void *argument)
{
	ring_wait_for_itself(argument);
	has_made();
	return (char *)argument + 1;
}

static int storm_ring(uint64_t turn)
{
	struct ring ring;
	int line;

	(void)turn;
	ring_create(&ring, 0);
	line = make_thread(exit_with_a_ring, (char *)&ring);
	WRONG_UNLESS(RING(&ring, cq, tail) == RING_ENTRIES);
	ring_destroy(&ring);
	return line;
}

/* Threads that are cancelled: asleep, running, or before they have begun. */

static void *sleep_until_cancelled(void *argument)
{
	char byte;

	has_made();
	for (;;)
		if (read(*(int *)argument, &byte, 1) >= 0 || errno != EINTR)
			return NULL;
}

static void *turn_until_cancelled(void *argument)
{
	(void)argument;
	has_made();
	for (;;)
		pthread_testcancel();
	return NULL;
}

static int storm_cancel(uint64_t turn)
{
	pthread_t thread[2];
	void *result;
	int pair[2];

	WRONG_UNLESS(!pipe2(pair, O_CLOEXEC));
	WRONG_UNLESS(!pthread_create(&thread[0], NULL, sleep_until_cancelled, &pair[0]));
	WRONG_UNLESS(!pthread_create(&thread[1], NULL, turn_until_cancelled, NULL));
	race_delay();
	for (int i = 0; i < 2; i++)
		WRONG_UNLESS(!pthread_cancel(thread[(turn + i) % 2]));
	for (int i = 0; i < 2; i++) {
		WRONG_UNLESS(!pthread_join(thread[i], &result));
		WRONG_UNLESS(result == PTHREAD_CANCELED);
	}
	close(pair[0]);
	close(pair[1]);
	return 0;
}

/* Processes, of which each is waited for. */

static int expect_exit(pid_t child, int code)
{
	int status;

	WRONG_UNLESS(child > 0);
	WRONG_UNLESS(waitpid(child, &status, 0) == child);
	WRONG_UNLESS(WIFEXITED(status) && WEXITSTATUS(status) == code);
	has_made();
	return 0;
}

static int storm_fork(uint64_t turn)
{
	int code = turn % 256;
	pid_t child = fork();

	if (!child)
		_exit(code);
	return expect_exit(child, code);
}

static int storm_vfork(uint64_t turn)
{
	int code = turn % 256;
	pid_t child = vfork();

	if (!child)
		_exit(code);
	return expect_exit(child, code);
}

/* It has our memory, and no thread's registers: nothing of libc. */
static int exit_by_itself(void *argument)
{
	return (uintptr_t)argument;
}

static int storm_same_memory(uint64_t turn)
{
	int code = turn % 256;
	pid_t child = clone(exit_by_itself, our_stack + STACK, CLONE_VM | SIGCHLD,
			    (void *)(uintptr_t)code);

	/* Sometimes it is the one that is dumped. */
	STORE(our_page->value[VICTIM], child);
	return expect_exit(child, code);
}

enum { SPAWNED = 77 };

TARGET(spawned)
{
	return SPAWNED;
}

/* vfork() and execve(). */
static int storm_spawn(uint64_t turn)
{
	char *arguments[] = { "spawned", "--target", "spawned", "", NULL };
	pid_t child;

	(void)turn;
	WRONG_UNLESS(!posix_spawn(&child, "/proc/self/exe", NULL, NULL, arguments, NULL));
	return expect_exit(child, SPAWNED);
}

/* Processes with threads, of which one ends them all. */

struct end {
	struct target_slot *slot;
	int code;
	pthread_t leader;
};

static void *turn(void *argument)
{
	struct target_slot *slot = argument;

	for (;;)
		__atomic_add_fetch(&slot->counter, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void *end_all(void *argument)
{
	struct end *end = argument;

	race_delay();
	_exit(end->code);
	return NULL;
}

static void *end_all_after_the_leader(void *argument)
{
	struct end *end = argument;

	pthread_join(end->leader, NULL);
	return end_all(argument);
}

static void live_and_end(struct end *end, bool leader_first)
{
	pthread_t thread;

	end->leader = pthread_self();
	CHECK_ZERO(pthread_create(&thread, NULL, turn, end->slot));
	CHECK_ZERO(pthread_create(&thread, NULL,
				  leader_first ? end_all_after_the_leader : end_all, end));
	if (leader_first)
		pthread_exit(NULL);
	turn(end->slot);
}

static int storm_of_processes(uint64_t number, bool leader_first)
{
	/* Not on the stack of a thread that ends. */
	static struct end end;
	pid_t child;

	end.slot = &our_page->slot[FIRST_CHILD + number % CHILDREN];
	end.code = number % 256;
	STORE(end.slot->tid, 0);
	child = fork();
	if (!child) {
		race_seed(number);
		live_and_end(&end, leader_first);
	}
	STORE(end.slot->tid, child);
	STORE(our_page->value[VICTIM], child);
	return expect_exit(child, end.code);
}

static int storm_exit(uint64_t turn)
{
	return storm_of_processes(turn, false);
}

static int storm_leader_exit(uint64_t turn)
{
	return storm_of_processes(turn, true);
}

static const struct storm {
	const char *name;
	int (*once)(uint64_t turn);	/* 0, or the line where it went wrong */
	bool victims;		/* makes those who are dumped: one at a time */
} storms[] = {
	{ "threads", storm_threads, false },
	{ "nested", storm_nested, false },
	{ "ring", storm_ring, false },
	{ "cancel", storm_cancel, false },
	{ "fork", storm_fork, false },
	{ "vfork", storm_vfork, false },
	{ "same_memory", storm_same_memory, false },
	{ "spawn", storm_spawn, false },
	{ "exit", storm_exit, true },
	{ "leader_exit", storm_leader_exit, true },
};

static const struct storm *storm_of(const char *name)
{
	const struct storm *storm = storms;

	while (strcmp(storm->name, name))
		storm++;
	return storm;
}

static const struct storm *our_storm;

static void *stormer(void *argument)
{
	struct target_slot *slot = argument;

	STORE(slot->tid, gettid());
	race_seed(slot->value[0]);
	our_stack = CHECK_POINTER(mmap(NULL, STACK, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	for (uint64_t turn = 1; !LOAD(our_page->stop); turn++) {
		int line = our_storm->once(turn);

		if (line)
			STORE(slot->result, line);
		STORE(slot->counter, turn);
	}
	return NULL;
}

/* Two threads that wake each other: one wake-up lost, and both sleep for good. */
static uint32_t ball;

static void *player(void *argument)
{
	struct target_slot *slot = argument;
	uint32_t side = slot->value[0];

	STORE(slot->tid, gettid());
	while (!LOAD(our_page->stop)) {
		long got;

		while (LOAD(ball) % 2 != side) {
			got = syscall(SYS_futex, &ball, FUTEX_WAIT_PRIVATE, !side, NULL, NULL, 0);
			if (got && errno != EAGAIN)
				STORE(slot->result, -errno);
			if (LOAD(our_page->stop))
				return NULL;
		}
		STORE(ball, !side);
		if (syscall(SYS_futex, &ball, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) < 0)
			STORE(slot->result, -errno);
		__atomic_add_fetch(&slot->counter, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void start_spinning(struct target_self *self, void *(*function)(void *), int value)
{
	struct target_slot *slot = target_slot(self);

	slot->nr = SPINS;
	slot->value[0] = value;
	target_thread(slot, function);
}

/* The argument is the name of a storm. */
TARGET(storm)
{
	our_page = self->page;
	our_storm = storm_of(self->argument);
	/* Arenas of threads are large, and nothing but holes. */
	mallopt(M_ARENA_MAX, 1);
	if (our_storm->victims) {
		start_spinning(self, stormer, 0);
		return target_serve(self);
	}
	sleepers_start(self);
	for (int i = 0; i < 2; i++)
		start_spinning(self, player, i);
	for (int i = 0; i < STORMERS; i++)
		start_spinning(self, stormer, i);
	sleepers_serve(self);
	/* The players. */
	syscall(SYS_futex, &ball, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0);
	sleepers_clean();
	return 0;
}

/* Who dumps, and what comes of it. */

/* The turns of @pid, which is the target or one of those that it makes. */
static uint64_t turns_of(struct target *target, pid_t pid)
{
	if (pid == target->pid)
		return target_turns(target) + LOAD(target->page->value[MADE]);
	for (int i = 0; i < CHILDREN; i++) {
		struct target_slot *slot = &target->page->slot[FIRST_CHILD + i];

		if (LOAD(slot->tid) == pid)
			return LOAD(slot->counter);
	}
	return 0;
}

/* Reads the head and some of the memory, or all: 0 or an errno. */
static int read_some(int fd, pid_t pid, bool all)
{
	static char bytes[16 * PAGE];
	struct image image;
	off_t size;
	int error;

	if (all) {
		error = -image_read(&image, fd);
		if (!error) {
			check_notes(fd, pid, &image);
			image_free(&image);
		}
		return error;
	}
	size = live_info_of(fd).image_size;
	if (pread(fd, bytes, sizeof(bytes), 0) < 0)
		return errno;
	if (memcmp(bytes, ELFMAG, SELFMAG))
		FAIL("no ELF header");
	for (int i = 0; i < 4; i++)
		if (pread(fd, bytes, sizeof(bytes), race_random(size / PAGE) * (off_t)PAGE) < 0)
			return errno;
	return 0;
}

/* Those that come and go: the next one. */
static pid_t next_victim(struct target *target, pid_t last)
{
	if (!EVENTUALLY(LOAD(target->page->value[VICTIM]) != (uint64_t)last))
		FAIL("there is none after %d", last);
	return LOAD(target->page->value[VICTIM]);
}

static void dump_once(struct dumper *dumper)
{
	static pid_t last;
	const struct storm *storm = dumper->argument;
	bool snapshot = race_random(2);
	struct livecore_config config = {
		.size = sizeof(config),
		.set = LIVECORE_SET_MODE | LIVECORE_SET_CONTENTS,
		.mode = snapshot ? LIVECORE_MODE_SNAPSHOT : LIVECORE_MODE_HOLD,
		.contents = race_random(3),
	};
	struct target *target = dumper->target;
	pid_t victim = LOAD(target->page->value[VICTIM]);
	pid_t pid = target->pid;
	uint64_t turns;
	bool held;
	int fd, error;

	if (storm->victims) {
		pid = next_victim(target, last);
		last = pid;
		race_delay();
	} else if (victim && race_random(2)) {
		pid = victim;
	}
	fd = live_dump(pid, &config);
	if (fd < 0) {
		if (!race_open_says(-fd) || (fd == -EBUSY && dumper->alone) ||
		    (fd == -ESRCH && pid == target->pid))
			FAIL("open of %d: %s", pid, strerror(-fd));
		/* The other one is to have done. */
		if (fd == -EBUSY)
			pause_briefly();
		dumper->counts->failed++;
		return;
	}
	held = is_held(fd);
	turns = turns_of(target, pid);
	error = read_some(fd, pid, config.contents != LIVECORE_CONTENTS_FULL);
	race_delay();
	if (error && (!race_read_says(error) || is_held(fd)))
		FAIL("read of %d: %s", pid, strerror(error));
	if (held && !snapshot && turns != turns_of(target, pid) && is_held(fd))
		FAIL("%d runs while it is held", pid);
	if (error)
		dumper->counts->ended++;
	dumper->counts->dumps++;
	close(fd);
	if (dumper->alone && !race_nobody_parked(pid))
		FAIL("%d is parked after close", pid);
}

static void expect_results(struct __test_metadata *_metadata, struct target *t)
{
	for (uint32_t i = 0; i < t->page->nr_slots; i++)
		if (t->page->slot[i].nr == SPINS)
			EXPECT_EQ(0, LOAD(t->page->slot[i].result));
}

FIXTURE(storm)
{
	struct sysctl_values sysctls;
};

FIXTURE_VARIANT(storm)
{
	const char *name;
	bool followed;		/* by a tracer, who is told of all that is made, and ends */
};

FIXTURE_VARIANT_ADD(storm, threads)
{
	.name = "threads",
};

FIXTURE_VARIANT_ADD(storm, nested)
{
	.name = "nested",
};

FIXTURE_VARIANT_ADD(storm, ring)
{
	.name = "ring",
};

FIXTURE_VARIANT_ADD(storm, cancel)
{
	.name = "cancel",
};

FIXTURE_VARIANT_ADD(storm, fork)
{
	.name = "fork",
};

FIXTURE_VARIANT_ADD(storm, vfork)
{
	.name = "vfork",
};

FIXTURE_VARIANT_ADD(storm, same_memory)
{
	.name = "same_memory",
};

FIXTURE_VARIANT_ADD(storm, spawn)
{
	.name = "spawn",
};

FIXTURE_VARIANT_ADD(storm, exit)
{
	.name = "exit",
};

FIXTURE_VARIANT_ADD(storm, leader_exit)
{
	.name = "leader_exit",
};

FIXTURE_VARIANT_ADD(storm, threads_followed)
{
	.name = "threads",
	.followed = true,
};

FIXTURE_VARIANT_ADD(storm, spawn_followed)
{
	.name = "spawn",
	.followed = true,
};

FIXTURE_VARIANT_ADD(storm, exit_followed)
{
	.name = "exit",
	.followed = true,
};

FIXTURE_SETUP(storm)
{
	sysctl_prepare(&self->sysctls);
}

FIXTURE_TEARDOWN_PARENT(storm)
{
	sysctl_restore(&self->sysctls);
}

TEST_F_TIMEOUT(storm, is_weathered, CORE_TEST_SECONDS)
{
	const struct storm *storm = storm_of(variant->name);
	struct follower follower;
	struct target t;
	struct dumper dumper = { .target = &t, .dump = dump_once, .argument = storm };

	target_start(&t, "storm", storm->name);
	target_settle(&t);
	if (variant->followed)
		follower_start(&follower, t.pid);
	dump_storm(_metadata, &dumper);
	if (variant->followed) {
		EXPECT_LT(0, follower.told[PTRACE_EVENT_EXIT]);
		follower_end(&follower);
	}
	EXPECT_TRUE(race_nobody_parked(t.pid));
	EXPECT_TRUE(target_runs(&t));
	expect_results(_metadata, &t);
	if (!storm->victims)
		expect_sleepers(_metadata, &t);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
