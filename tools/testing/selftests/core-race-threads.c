// SPDX-License-Identifier: GPL-2.0
/*
 * A process that makes threads and processes, executes programs and ends, all
 * the time, while one or two others dump it, all the time. Whatever they catch
 * it at: each core has every thread once, nobody runs while it is held, and
 * the process gets from each of its own calls what it is to get.
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

#include "frame.h"
#include "live.h"
#include "program.h"
#include "race.h"
#include "sleepers.h"
#include "sleepers_wake.h"
#include "tally.h"
#include "user.h"

enum {
	PAGE		= 4096,
	DUMPS		= 12,	/* by each dumper */
	STORMERS	= 2,
	MOST_DUMPERS	= 2,
	STACK		= 64 * 1024,

	/* target_page.slot[]: of processes that come and go, by their number. */
	FIRST_CHILD	= 512,
	CHILDREN	= 256,
};

/* target_page.value[] */
enum {
	VICTIM,			/* whom to dump, if not the target itself */
	MADE,			/* how many threads or processes were made */
	EXECUTED,		/* how many programs were */
	SECRET_SEED,		/* of what a set-uid program knows */
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

enum { SPAWNED = 77, EXECUTED_LAST };

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

/* What a set-uid program knows, and its user must not. */
static uint64_t secret[PAGE / sizeof(uint64_t)];

static uint64_t secret_of(const struct target_page *page)
{
	return (page->value[SECRET_SEED] ^ 0x736563726574ULL) * 0x9e3779b97f4a7c15ULL;
}

static void be_privileged(struct target_page *page)
{
	for (size_t i = 0; i < ARRAY_SIZE(secret); i++)
		STORE(secret[i], secret_of(page));
	race_delay();
	explicit_bzero(secret, sizeof(secret));
	become_dumpable(getuid());
}

static char *const *our_arguments;
static const char *our_program;

static void *execute(void *argument)
{
	execv(our_program, our_arguments);
	FAIL("execv %s: %s", our_program, strerror(errno));
	return argument;
}

/* "user path": the program there, which is this, as that user; by one thread or another. */
TARGET(executes)
{
	char *arguments[] = { "again", "--target", "executes", (char *)self->argument, NULL };
	uint64_t turn = LOAD(self->page->value[EXECUTED]);
	char path[64];
	int uid;

	if (sscanf(self->argument, "%d %63s", &uid, path) != 2)
		FAIL("argument %s", self->argument);
	our_program = path;
	our_arguments = arguments;
	race_seed(turn);
	if (getuid() != geteuid())
		be_privileged(self->page);
	else if (getuid() != (uid_t)uid)
		become_dumpable(uid);
	STORE(self->page->value[EXECUTED], turn + 1);
	if (!turn)
		target_event(self, 'R');
	if (LOAD(self->page->stop))
		return EXECUTED_LAST;
	target_spinners(self, turn % 3);
	race_delay();
	/* The next one begins anew. */
	STORE(self->page->nr_slots, 0);
	if (turn % 2)
		execute(NULL);
	target_thread(&self->page->slot[FIRST_CHILD], execute);
	for (;;)
		pause();
}

/* Who dumps, and what comes of it. */

struct counts {
	unsigned long dumps, failed, ended;
};

struct dumper {
	struct target *target;
	const struct storm *storm;	/* NULL: it executes programs */
	struct counts *counts;
	uid_t uid;
	bool alone;
	pid_t last;
};

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

static bool is_gone(pid_t pid, pid_t tid)
{
	char state = thread_state(pid, tid);

	return !state || state == 'X' || state == 'Z';
}

static bool is_held(int fd)
{
	return live_info_of(fd).state == LIVECORE_STATE_HELD;
}

/* Every live thread has its notes, and once; those that the kernel lists meanwhile, too. */
static void check_notes(int fd, pid_t pid, const struct image *image)
{
	const struct livecore_note *note = live_note(image);
	pid_t tid[1024];
	size_t n;

	if (!note || note->thread_count != image->nr_threads)
		FAIL("%zu threads, and not in the note LIVECORE", image->nr_threads);
	for (size_t i = 0; i < image->nr_threads; i++)
		if (image->threads[i].nr_prstatus != 1)
			FAIL("thread %d comes twice", image->threads[i].tid);
	if (live_count(image, LIVECORE_THREAD_ZEROED))
		FAIL("a thread was not captured");
	if (!is_held(fd))
		return;
	n = thread_list(pid, tid, ARRAY_SIZE(tid));
	for (size_t i = 0; i < n && i < ARRAY_SIZE(tid); i++)
		if (!image_thread(image, tid[i]) &&
		    !EVENTUALLY(is_gone(pid, tid[i]) || !is_held(fd)))
			FAIL("thread %d has no notes", tid[i]);
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

	if (dumper->storm->victims) {
		pid = next_victim(target, dumper->last);
		dumper->last = pid;
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

/* It runs, and executes the next program, and so on. */
static bool goes_on(struct target_page *page)
{
	uint64_t turn = LOAD(page->value[EXECUTED]);

	return EVENTUALLY(LOAD(page->value[EXECUTED]) >= turn + 2);
}

/* Another one for each program; 0 where the caller has no right to know. */
static unsigned long stack_of(pid_t pid)
{
	char *text = proc_text("%d/stat", pid);
	unsigned long stack = 0;
	char *rest = text ? strrchr(text, ')') : NULL;

	/* The 28th field; the name is the second. */
	for (int field = 2; rest && field < 28; field++)
		rest = strchr(rest + 1, ' ');
	if (rest)
		stack = strtoul(rest, NULL, 10);
	free(text);
	return stack;
}

static size_t words_of_secret(const struct target_page *page, const struct image *image)
{
	uint64_t word, known = secret_of(page);
	size_t n = 0;

	for (size_t at = 0; at + sizeof(word) <= image->size; at += sizeof(word)) {
		memcpy(&word, image->data + at, sizeof(word));
		n += word == known;
	}
	return n;
}

/* Dumps what executes one program after the other. */
static void dump_program(struct dumper *dumper)
{
	struct livecore_config config = {
		.size = sizeof(config),
		.set = LIVECORE_SET_MODE | LIVECORE_SET_CONTENTS,
		.mode = race_random(2) ? LIVECORE_MODE_SNAPSHOT : LIVECORE_MODE_HOLD,
		.contents = race_random(3),
	};
	struct target_page *page = dumper->target->page;
	pid_t pid = dumper->target->pid;
	uint64_t executed, turns;
	unsigned long stack;
	struct image image;
	int fd, error;
	bool held;

	/* It waits for about as long as we do before it executes the next one. */
	executed = LOAD(page->value[EXECUTED]);
	if (!EVENTUALLY(LOAD(page->value[EXECUTED]) != executed))
		FAIL("%d does not go on", pid);
	race_delay();
	executed = LOAD(page->value[EXECUTED]);
	fd = live_dump(pid, &config);
	if (fd < 0) {
		if (!(fd == -EACCES && dumper->uid) && !race_open_says(-fd))
			FAIL("open of %d: %s", pid, strerror(-fd));
		/* Until it has done with its rights. */
		if (fd == -EACCES && !EVENTUALLY(LOAD(page->value[EXECUTED]) != executed))
			FAIL("%d does not go on", pid);
		if (fd == -EBUSY)
			pause_briefly();
		dumper->counts->failed++;
		return;
	}
	held = is_held(fd);
	executed = LOAD(page->value[EXECUTED]);
	turns = target_turns(dumper->target);
	stack = stack_of(pid);
	race_delay();
	/* Nobody reads, which would end it, too. */
	if (held && stack != stack_of(pid) && !EVENTUALLY(!is_held(fd)))
		FAIL("%d is held, and is another program", pid);
	error = -image_read(&image, fd);
	if (error && (!race_read_says(error) || is_held(fd)))
		FAIL("read of %d: %s", pid, strerror(error));
	/* One that has become another after the last read is not that which is held. */
	if (held && (executed != LOAD(page->value[EXECUTED]) ||
		     turns != target_turns(dumper->target)) && is_held(fd) &&
	    stack == stack_of(pid))
		FAIL("%d runs while it is held", pid);
	if (!error && words_of_secret(page, &image) > 64)
		FAIL("the secret of another program in the core of %d", pid);
	if (!error)
		check_notes(fd, pid, &image);
	/* Who has become another program is not held: we are in nobody's way. */
	if (!is_held(fd) && !goes_on(page))
		FAIL("%d is held, and its dump has ended", pid);
	if (!error)
		image_free(&image);
	else
		dumper->counts->ended++;
	dumper->counts->dumps++;
	close(fd);
}

static int dump_all_the_time(void *argument)
{
	struct dumper *dumper = argument;
	unsigned long dumps = rounds(DUMPS);

	if (dumper->uid)
		become_a();
	while (dumper->counts->dumps < dumps) {
		if (dumper->storm)
			dump_once(dumper);
		else
			dump_program(dumper);
		race_delay();
	}
	return 0;
}

/* Dumps by one dumper, then by two. */
static void dump_storm(struct __test_metadata *_metadata, struct target *t,
		       const struct storm *storm, uid_t uid)
{
	struct counts (*counts)[MOST_DUMPERS] =
		CHECK_POINTER(mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	struct counts sum = {};

	for (int n = 1; n <= MOST_DUMPERS; n++) {
		pid_t pid[MOST_DUMPERS];

		for (int i = 0; i < n; i++) {
			struct dumper dumper = {
				.target = t,
				.storm = storm,
				.uid = uid,
				.counts = &counts[n - 1][i],
				.alone = n == 1,
			};

			pid[i] = race_process(dump_all_the_time, &dumper);
		}
		for (int i = 0; i < n; i++)
			EXPECT_EQ(0, race_process_end(pid[i]));
	}
	for (int n = 0; n < MOST_DUMPERS; n++)
		for (int i = 0; i < MOST_DUMPERS; i++) {
			sum.dumps += counts[n][i].dumps;
			sum.failed += counts[n][i].failed;
			sum.ended += counts[n][i].ended;
		}
	EXPECT_LT(0, sum.dumps);
	TH_LOG("%lu dumps, of which %lu ended early, %lu not opened; %ju made", sum.dumps,
	       sum.ended, sum.failed,
	       (uintmax_t)(t->page->value[MADE] + t->page->value[EXECUTED]));
	tally("dumps", sum.dumps);
	tally("races provoked", sum.dumps);
	munmap(counts, PAGE);
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
};

FIXTURE_VARIANT_ADD(storm, threads)
{
	.name = "threads",
};

FIXTURE_VARIANT_ADD(storm, nested)
{
	.name = "nested",
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
	struct target t;

	target_start(&t, "storm", storm->name);
	target_settle(&t);
	dump_storm(_metadata, &t, storm, 0);
	EXPECT_TRUE(race_nobody_parked(t.pid));
	EXPECT_TRUE(target_runs(&t));
	expect_results(_metadata, &t);
	if (!storm->victims)
		expect_sleepers(_metadata, &t);
	EXPECT_EQ(0, target_finish(&t));
}

FIXTURE(programs)
{
	struct sysctl_values sysctls;
	struct program program;
};

FIXTURE_VARIANT(programs)
{
	mode_t mode;
	uid_t uid;		/* who executes, and dumps */
};

FIXTURE_VARIANT_ADD(programs, plain)
{
	.mode = 0755,
};

FIXTURE_VARIANT_ADD(programs, setuid)
{
	.mode = 04755,
	.uid = USER_A,
};

FIXTURE_SETUP(programs)
{
	program_create(&self->program, variant->mode);
	sysctl_prepare(&self->sysctls);
	sysctl_set("livecore_enable", 2);
}

FIXTURE_TEARDOWN_PARENT(programs)
{
	sysctl_restore(&self->sysctls);
	program_destroy(&self->program);
}

TEST_F_TIMEOUT(programs, one_after_the_other, CORE_TEST_SECONDS)
{
	char argument[96];
	struct target t;
	int status;

	snprintf(argument, sizeof(argument), "%d %s", variant->uid, self->program.path);
	target_start(&t, "executes", argument);
	t.page->value[SECRET_SEED] = race_random(UINT32_MAX);
	dump_storm(_metadata, &t, NULL, variant->uid);
	EXPECT_TRUE(goes_on(t.page));
	STORE(t.page->stop, 1);
	status = target_dies_within(&t, EVENT_SECONDS);
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(EXECUTED_LAST, WEXITSTATUS(status));
}

CORE_TEST_MAIN
