// SPDX-License-Identifier: GPL-2.0
/*
 * Processes that are traced while they are dumped: by somebody else, or by who
 * dumps them. The tracer is told of every stop, and of each once; the
 * registers of a thread that is stopped are those that the tracer sees; and
 * who comes and goes as a tracer keeps nobody, whatever becomes of him.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "fixture.h"
#include "live.h"
#include "race.h"
#include "ring.h"
#include "tally.h"
#include "tracer.h"

enum {
	DUMPS		= 100,
	ROUNDS		= 10,
	CALLERS		= 2,
	/* The slots of the target: its leader, who turns, who call. */
	SPINNER		= 1,
	CALLER		= 2,
	THREADS		= CALLER + CALLERS,
	/* Far below the watchdog's 30 s, far above what it takes emulated. */
	DEATH_SECONDS	= 15,
};

static struct target_page *our_page;

/* One call after the other, each with the next number. */
static void *call_all_the_time(void *argument)
{
	struct target_slot *slot = argument;
	pid_t pid = getpid();

	STORE(slot->tid, gettid());
	for (uint64_t n = 1; !LOAD(our_page->stop); n++) {
		if (syscall(SYS_getpid, n) != pid)
			STORE(slot->result, n);
		STORE(slot->counter, n);
	}
	return NULL;
}

TARGET(traced)
{
	our_page = self->page;
	target_spinners(self, 1);
	for (int i = 0; i < CALLERS; i++) {
		struct target_slot *slot = target_slot(self);

		slot->nr = SPINS;
		target_thread(slot, call_all_the_time);
	}
	return target_serve(self);
}

/* A tracer that looks at each call of those who call, one after the other. */

struct tracer_page {
	uint32_t stop;
	uint32_t attached;
	unsigned long stops;
};

struct tracer {
	struct target *t;
	struct tracer_page *page;
	unsigned long options;
};

struct traced {
	pid_t tid;
	enum { RUNS_FREE, BEFORE_ENTRY, BEFORE_EXIT } state;
	uint64_t number;	/* of the last call that was seen */
};

static struct tracer_page *make_page(void)
{
	return CHECK_POINTER(mmap(NULL, sizeof(struct tracer_page), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

/* Exactly that stop which has to come next; returns how it is to go on. */
static int check_stop(const struct tracer *tracer, struct traced *thread, int stop)
{
	struct ptrace_syscall_info info = {};

	if (thread->state == RUNS_FREE) {
		if (stop != INTERRUPTED)
			FAIL("thread %d stops by %#x instead of the interruption", thread->tid,
			     stop);
		thread->state = BEFORE_ENTRY;
		/* Where it goes on is not known. */
		thread->number = 0;
		return PTRACE_SYSCALL;
	}
	if (stop != CALL)
		FAIL("thread %d stops by %#x instead of a call", thread->tid, stop);
	CHECK(trace(PTRACE_GET_SYSCALL_INFO, thread->tid, sizeof(info), (unsigned long)&info));
	if (thread->state == BEFORE_ENTRY) {
		if (info.op != PTRACE_SYSCALL_INFO_ENTRY || info.entry.nr != SYS_getpid)
			FAIL("thread %d: %d is no entry", thread->tid, info.op);
		if (thread->number && info.entry.args[0] != thread->number + 1)
			FAIL("thread %d: call %ju after %ju", thread->tid,
			     (uintmax_t)info.entry.args[0], (uintmax_t)thread->number);
		thread->number = info.entry.args[0];
		thread->state = BEFORE_EXIT;
		return PTRACE_SYSCALL;
	}
	if (info.op != PTRACE_SYSCALL_INFO_EXIT || info.exit.rval != tracer->t->pid)
		FAIL("thread %d: %d, %jd is no exit", thread->tid, info.op,
		     (intmax_t)info.exit.rval);
	thread->state = BEFORE_ENTRY;
	if (race_random(16))
		return PTRACE_SYSCALL;
	thread->state = RUNS_FREE;
	return PTRACE_CONT;
}

static struct traced *traced_of(struct traced *threads, pid_t tid)
{
	for (int i = 0; i < CALLERS; i++)
		if (threads[i].tid == tid)
			return &threads[i];
	FAIL("thread %d stops, and is not traced", tid);
}

static int trace_calls(void *argument)
{
	const struct tracer *tracer = argument;
	struct traced threads[CALLERS] = {};
	int left = CALLERS;

	for (int i = 0; i < CALLERS; i++) {
		threads[i].tid = tracer->t->page->slot[CALLER + i].tid;
		seize(threads[i].tid, tracer->options);
	}
	STORE(tracer->page->attached, 1);
	while (left) {
		int status, request;
		pid_t tid = CHECK(waitpid(-1, &status, __WALL));
		struct traced *thread = traced_of(threads, tid);

		if (!WIFSTOPPED(status))
			FAIL("thread %d: status %#x", tid, status);
		request = check_stop(tracer, thread, status >> 8);
		__atomic_add_fetch(&tracer->page->stops, 1, __ATOMIC_SEQ_CST);
		race_delay();
		if (LOAD(tracer->page->stop)) {
			CHECK(trace(PTRACE_DETACH, tid, 0, 0));
			left--;
			continue;
		}
		CHECK(trace(request, tid, 0, 0));
		if (request == PTRACE_CONT) {
			race_delay();
			CHECK(trace(PTRACE_INTERRUPT, tid, 0, 0));
		}
	}
	return 0;
}

static pid_t start_tracer(struct tracer *tracer)
{
	pid_t pid;

	tracer->page->attached = 0;
	tracer->page->stop = 0;
	pid = race_process(trace_calls, tracer);
	if (!EVENTUALLY(LOAD(tracer->page->attached)))
		FAIL("the tracer does not attach");
	return pid;
}

/* One dump, of any kind: each thread once, and nobody runs while it is held. */
static void dump_once(struct __test_metadata *_metadata, struct target *t,
		      struct tracer_page *page)
{
	struct livecore_config config = {
		.size = sizeof(config),
		.set = LIVECORE_SET_MODE | LIVECORE_SET_CONTENTS,
		.mode = race_random(2),
		.contents = race_random(2),
	};
	int fd = live_dump(t->pid, &config);
	unsigned long stops;
	struct image image;
	uint64_t turns;
	bool held;

	ASSERT_LE(0, fd);
	held = live_info_of(fd).state == LIVECORE_STATE_HELD;
	turns = target_turns(t);
	stops = LOAD(page->stops);
	race_delay();
	ASSERT_EQ(0, image_read(&image, fd));
	EXPECT_EQ(THREADS, image.nr_threads);
	EXPECT_EQ(0, live_count(&image, LIVECORE_THREAD_ZEROED));
	if (held) {
		EXPECT_EQ(turns, target_turns(t));
		/* The tracer may be late, but nobody comes to another stop. */
		EXPECT_LE(LOAD(page->stops), stops + CALLERS);
	}
	image_free(&image);
	close(fd);
	EXPECT_TRUE(race_nobody_parked(t->pid));
}

/* Who traces one thread; 0 if nobody does, -1 if it is gone. */
static pid_t tracer_of(struct target *t, uint32_t n)
{
	char *text = proc_text("%d/task/%d/status", t->pid, t->page->slot[n].tid);
	pid_t tracer = text ? text_number(text, "TracerPid") : -1;

	free(text);
	return tracer;
}

static bool nobody_is_traced(struct target *t)
{
	for (uint32_t i = 0; i < THREADS; i++)
		if (tracer_of(t, i))
			return false;
	return true;
}

static void expect_undisturbed(struct __test_metadata *_metadata, struct target *t)
{
	EXPECT_TRUE(EVENTUALLY(nobody_is_traced(t)));
	EXPECT_TRUE(race_nobody_parked(t->pid));
	EXPECT_TRUE(target_runs(t));
	for (int i = 0; i < CALLERS; i++)
		EXPECT_EQ(0, LOAD(t->page->slot[CALLER + i].result));
}

CORE_TEST(every_call_is_reported_once)
{
	unsigned long n = rounds(DUMPS), stops;
	struct tracer tracer = { .page = make_page() };
	struct target t;
	pid_t pid;

	target_start(&t, "traced", NULL);
	target_settle(&t);
	tracer.t = &t;
	pid = start_tracer(&tracer);
	for (unsigned long i = 0; i < n; i++) {
		stops = LOAD(tracer.page->stops);
		dump_once(_metadata, &t, tracer.page);
		ASSERT_TRUE(EVENTUALLY(LOAD(tracer.page->stops) > stops));
		race_delay();
	}
	STORE(tracer.page->stop, 1);
	EXPECT_EQ(0, race_process_end(pid));
	TH_LOG("%lu dumps, %lu stops", n, tracer.page->stops);
	expect_undisturbed(_metadata, &t);
	tally("dumps", n);
	tally("races provoked", tracer.page->stops);
	EXPECT_EQ(0, target_finish(&t));
}

/* What the tracer sees of a thread is what the core has. */
static size_t registers_not_as_traced(const struct image *image, pid_t tid)
{
	const struct image_thread *thread = image_thread(image, tid);
	struct user_regs_struct general;
	struct user_fpregs_struct floating;
	struct iovec iov = { &general, sizeof(general) };
	size_t wrong = 0;

	if (!thread || !thread->fpregs)
		return 1;
	CHECK(trace(PTRACE_GETREGSET, tid, NT_PRSTATUS, (unsigned long)&iov));
	wrong += !!memcmp(&general, thread->prstatus->pr_reg, sizeof(general));
	iov.iov_base = &floating;
	iov.iov_len = sizeof(floating);
	CHECK(trace(PTRACE_GETREGSET, tid, NT_PRFPREG, (unsigned long)&iov));
	wrong += !!memcmp(&floating, thread->fpregs, sizeof(floating));
	return wrong;
}

static bool is_still(const struct target *t, uint32_t n)
{
	return thread_is_parked(t->pid, t->page->slot[n].tid);
}

/* Each in a stop of another kind: interrupted, at the entry of a call, at its exit. */
static void stop_each(struct target *t)
{
	for (uint32_t i = SPINNER; i < THREADS; i++) {
		pid_t tid = t->page->slot[i].tid;

		seize(tid, 0);
		if (stop_of(tid) != INTERRUPTED)
			FAIL("thread %d is not interrupted", tid);
		for (uint32_t calls = SPINNER; calls < i; calls++) {
			CHECK(trace(PTRACE_SYSCALL, tid, 0, 0));
			if (stop_of(tid) != CALL)
				FAIL("thread %d does not call", tid);
		}
	}
}

/* Who dumps is the tracer. */
CORE_TEST(registers_are_those_of_the_tracer)
{
	unsigned long n = rounds(ROUNDS);
	struct target t;

	target_start(&t, "traced", NULL);
	target_settle(&t);
	for (unsigned long round = 0; round < n; round++) {
		struct image image;
		uint64_t turns;
		int fd, status;

		stop_each(&t);
		fd = core_open(t.pid);
		ASSERT_LE(0, fd);
		turns = target_turns(&t);
		ASSERT_EQ(0, image_read(&image, fd));
		EXPECT_EQ(THREADS, image.nr_threads);
		for (uint32_t i = SPINNER; i < THREADS; i++) {
			EXPECT_EQ(0, registers_not_as_traced(&image, t.page->slot[i].tid))
				TH_LOG("thread %u", i);
		}
		/* Told to go on, they come neither to user mode nor to another stop. */
		for (uint32_t i = SPINNER; i < THREADS; i++)
			CHECK(trace(PTRACE_SYSCALL, t.page->slot[i].tid, 0, 0));
		for (uint32_t i = SPINNER; i < THREADS; i++) {
			EXPECT_TRUE(EVENTUALLY(is_still(&t, i)));
			EXPECT_FALSE(has_stopped(t.page->slot[i].tid, &status));
		}
		EXPECT_EQ(turns, target_turns(&t));
		image_free(&image);
		close(fd);
		for (uint32_t i = CALLER; i < THREADS; i++)
			EXPECT_EQ(CALL, stop_of(t.page->slot[i].tid));
		CHECK(trace(PTRACE_INTERRUPT, t.page->slot[SPINNER].tid, 0, 0));
		EXPECT_EQ(INTERRUPTED, stop_of(t.page->slot[SPINNER].tid));
		for (uint32_t i = SPINNER; i < THREADS; i++)
			CHECK(trace(PTRACE_DETACH, t.page->slot[i].tid, 0, 0));
		expect_undisturbed(_metadata, &t);
	}
	tally("dumps", n);
	EXPECT_EQ(0, target_finish(&t));
}

/* A stop that is asked for while the thread is held comes after that, and once. */
CORE_TEST(interrupted_while_held)
{
	unsigned long n = rounds(ROUNDS);
	struct target t;

	target_start(&t, "traced", NULL);
	target_settle(&t);
	for (unsigned long round = 0; round < n; round++) {
		int fd = core_open(t.pid), status;
		uint64_t turns;

		ASSERT_LE(0, fd);
		turns = target_turns(&t);
		for (uint32_t i = 0; i < THREADS; i++)
			seize(t.page->slot[i].tid, 0);
		/* The leader is asleep: it is in nobody's way. */
		EXPECT_TRUE(EVENTUALLY(is_still(&t, 0)));
		for (uint32_t i = 0; i < THREADS; i++)
			EXPECT_FALSE(has_stopped(t.page->slot[i].tid, &status));
		EXPECT_EQ(turns, target_turns(&t));
		if (round % 2)
			CHECK_ZERO(live_release(fd));
		else
			close(fd);
		for (uint32_t i = 0; i < THREADS; i++)
			EXPECT_EQ(INTERRUPTED, stop_of(t.page->slot[i].tid));
		for (uint32_t i = 0; i < THREADS; i++) {
			EXPECT_FALSE(has_stopped(t.page->slot[i].tid, &status));
			CHECK(trace(PTRACE_DETACH, t.page->slot[i].tid, 0, 0));
		}
		if (round % 2)
			close(fd);
		expect_undisturbed(_metadata, &t);
	}
	tally("dumps", n);
	tally("races provoked", n);
	EXPECT_EQ(0, target_finish(&t));
}

/* Tracers that come and go. */

static int come_and_go(void *argument)
{
	const struct tracer *tracer = argument;
	bool attaches = tracer->options;

	while (!LOAD(tracer->page->stop)) {
		pid_t tid = tracer->t->page->slot[race_random(THREADS)].tid;

		if (attaches)
			CHECK(trace(PTRACE_ATTACH, tid, 0, 0));
		else
			seize(tid, 0);
		if (stop_of(tid) != (attaches ? SIGSTOP : INTERRUPTED))
			FAIL("thread %d stops by something else", tid);
		__atomic_add_fetch(&tracer->page->stops, 1, __ATOMIC_SEQ_CST);
		race_delay();
		CHECK(trace(PTRACE_DETACH, tid, 0, 0));
		race_delay();
	}
	return 0;
}

FIXTURE(tracer)
{
	struct sysctl_values sysctls;
};

FIXTURE_VARIANT(tracer)
{
	bool attaches;		/* by SIGSTOP, which may end a hold; else by PTRACE_SEIZE */
	int abort;
};

FIXTURE_VARIANT_ADD(tracer, seizes)
{
	.abort = LIVECORE_ABORT_OUTSIDE,
};

FIXTURE_VARIANT_ADD(tracer, attaches)
{
	.attaches = true,
	.abort = LIVECORE_ABORT_OUTSIDE,
};

FIXTURE_VARIANT_ADD(tracer, attaches_and_waits)
{
	.attaches = true,
	.abort = LIVECORE_ABORT_FATAL,
};

FIXTURE_SETUP(tracer)
{
	sysctl_prepare(&self->sysctls);
	sysctl_set("livecore_abort", variant->abort);
}

FIXTURE_TEARDOWN_PARENT(tracer)
{
	sysctl_restore(&self->sysctls);
}

TEST_F_TIMEOUT(tracer, comes_and_goes, CORE_TEST_SECONDS)
{
	bool may_end = variant->attaches && variant->abort != LIVECORE_ABORT_FATAL;
	struct tracer tracer = { .page = make_page(), .options = variant->attaches };
	unsigned long n = rounds(DUMPS / 2), ended = 0;
	struct target t;
	pid_t pid;

	target_start(&t, "traced", NULL);
	target_settle(&t);
	tracer.t = &t;
	pid = race_process(come_and_go, &tracer);
	ASSERT_TRUE(EVENTUALLY(LOAD(tracer.page->stops)));
	for (unsigned long i = 0; i < n; i++) {
		unsigned long stops = LOAD(tracer.page->stops);
		struct image image;
		int fd, error;

		race_delay();
		sysctl_set("livecore_mode", race_random(2));
		fd = core_open(t.pid);
		error = fd < 0 ? fd : image_read(&image, fd);
		EXPECT_TRUE(!error || (may_end && error == -ECANCELED))
			TH_LOG("dump %lu: %s", i, strerror(-error));
		if (!error) {
			EXPECT_EQ(THREADS, image.nr_threads);
			EXPECT_EQ(0, live_count(&image, LIVECORE_THREAD_ZEROED));
			image_free(&image);
		}
		ended += !!error;
		if (fd >= 0)
			close(fd);
		ASSERT_TRUE(EVENTUALLY(LOAD(tracer.page->stops) > stops));
	}
	STORE(tracer.page->stop, 1);
	EXPECT_EQ(0, race_process_end(pid));
	TH_LOG("%lu dumps, of which %lu ended early; %lu stops", n, ended, tracer.page->stops);
	expect_undisturbed(_metadata, &t);
	tally("dumps", n);
	tally("races provoked", tracer.page->stops);
	EXPECT_EQ(0, target_finish(&t));
}

static void kill_tracer(pid_t pid)
{
	CHECK(kill(pid, SIGKILL));
	CHECK(waitpid(pid, NULL, 0));
}

/* Whoever was stopped for him goes on: to where the others are held. */
CORE_TEST(killed_while_they_are_held)
{
	struct tracer tracer = { .page = make_page() };
	unsigned long n = rounds(ROUNDS);
	struct target t;

	target_start(&t, "traced", NULL);
	target_settle(&t);
	tracer.t = &t;
	for (unsigned long round = 0; round < n; round++) {
		pid_t pid = start_tracer(&tracer);
		struct image image;
		uint64_t turns;
		int fd;

		race_delay();
		fd = core_open(t.pid);
		ASSERT_LE(0, fd);
		turns = target_turns(&t);
		kill_tracer(pid);
		for (uint32_t i = SPINNER; i < THREADS; i++)
			EXPECT_TRUE(EVENTUALLY(is_still(&t, i)));
		EXPECT_EQ(turns, target_turns(&t));
		ASSERT_EQ(0, image_read(&image, fd));
		EXPECT_EQ(THREADS, image.nr_threads);
		image_free(&image);
		close(fd);
		expect_undisturbed(_metadata, &t);
	}
	tally("dumps", n);
	tally("races provoked", n);
	EXPECT_EQ(0, target_finish(&t));
}

/* With whom they are to die. */
CORE_RACE(killed_and_they_with_him, 1)
{
	struct target t;
	struct tracer tracer = { .t = &t, .page = make_page(), .options = PTRACE_O_EXITKILL };
	int fd, status;
	char byte;
	pid_t pid;

	target_start(&t, "traced", NULL);
	target_settle(&t);
	pid = start_tracer(&tracer);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	kill_tracer(pid);
	status = target_dies_within(&t, DEATH_SECONDS);
	ASSERT_NE(-1, status);
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGKILL, WTERMSIG(status));
	EXPECT_EQ(-1, pread(fd, &byte, 1, 0));
	EXPECT_TRUE(race_read_says(errno));
	close(fd);
	CHECK(munmap(tracer.page, sizeof(*tracer.page)));
}

/* Who is at the entry of exit() when a dump opens comes to its work amid that. */

enum { LEAVER = 1, LEAVE = 0 };

static void *leave_when_told(void *argument)
{
	struct target_slot *slot = argument;
	struct ring ring;

	STORE(slot->tid, gettid());
	ring_create(&ring, 0);
	ring_wait_for_itself(&ring);
	while (!LOAD(our_page->value[LEAVE]))
		__atomic_add_fetch(&slot->counter, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

TARGET(left)
{
	struct target_slot *slot = target_slot(self);

	our_page = self->page;
	slot->nr = SPINS;
	target_thread(slot, leave_when_told);
	target_spinners(self, 1);
	return target_serve(self);
}

static void leave_with(struct __test_metadata *_metadata, unsigned long options)
{
	struct thread_syscall call;
	struct image image;
	struct target t;
	uint64_t turns;
	int fd, status;
	pid_t tid;

	sysctl_set("livecore_stall_ms", NEVER_MS);
	target_start(&t, "left", NULL);
	target_settle(&t);
	tid = t.page->slot[LEAVER].tid;
	seize(tid, options);
	STORE(t.page->value[LEAVE], 1);
	while (stop_of(tid) != CALL || !thread_syscall(t.pid, tid, &call) || call.nr != SYS_exit)
		CHECK(trace(PTRACE_SYSCALL, tid, 0, 0));
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	turns = target_turns(&t);
	ASSERT_EQ(0, image_read(&image, fd));
	EXPECT_EQ(3, image.nr_threads);
	EXPECT_EQ(LIVECORE_THREAD_IN_PLACE, live_thread(&image, tid)->how);
	image_free(&image);
	CHECK(trace(PTRACE_CONT, tid, 0, 0));
	EXPECT_TRUE(!options || (stop_of(tid) == EXITS && !trace(PTRACE_CONT, tid, 0, 0)));
	EXPECT_TRUE(EVENTUALLY(has_stopped(tid, &status)) && WIFEXITED(status));
	/* The others are held. */
	EXPECT_EQ(LIVECORE_STATE_HELD, live_info_of(fd).state);
	EXPECT_EQ(turns, target_turns(&t));
	close(fd);
	t.page->slot[LEAVER].nr = SYS_exit;
	EXPECT_TRUE(race_nobody_parked(t.pid));
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(exits_by_a_stop)
{
	leave_with(_metadata, PTRACE_O_TRACEEXIT);
}

CORE_TEST(exits_with_a_ring)
{
	leave_with(_metadata, 0);
}

static bool has_written(const char *path, off_t more_than)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);

	close(fd);
	return size > more_than;
}

/* A tracer that was not written for this. */
CORE_TEST(strace)
{
	char path[] = "strace-XXXXXX", number[16];
	unsigned long n = rounds(ROUNDS);
	struct target t;
	int status;
	pid_t pid;

	target_start(&t, "traced", NULL);
	target_settle(&t);
	close(CHECK(mkstemp(path)));
	snprintf(number, sizeof(number), "%d", t.pid);
	fflush(NULL);
	pid = CHECK(fork());
	if (!pid) {
		execlp("strace", "strace", "-q", "-f", "-o", path, "-p", number, NULL);
		FAIL("strace: %s", strerror(errno));
	}
	ASSERT_TRUE(EVENTUALLY(has_written(path, 0)));
	for (unsigned long i = 0; i < n; i++) {
		struct image image;

		ASSERT_EQ(0, image_dump(&image, t.pid));
		EXPECT_EQ(THREADS, image.nr_threads);
		image_free(&image);
		/* All of them go on, under its eyes. */
		EXPECT_TRUE(target_runs(&t));
	}
	/* By which it is asked to detach. */
	CHECK(kill(pid, SIGTERM));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) || WIFEXITED(status));
	unlink(path);
	expect_undisturbed(_metadata, &t);
	tally("dumps", n);
	EXPECT_EQ(0, target_finish(&t));
}

/* A debugger, and the two pipes by which it says what it has done, and waits. */
struct debugger {
	pid_t pid;
	int said;
	int tell;
};

/* Whatever else it does not close, its shells have these. */
enum { SAYS = 7, WAITS = 8 };

#define GDB_SAYS(letter)	"-ex", "shell echo " letter " >&7; read line <&8"

static void gdb_start(struct debugger *gdb, const struct target *t)
{
	int said[2], tell[2];
	char attach[32];

	CHECK(pipe2(said, O_CLOEXEC));
	CHECK(pipe2(tell, O_CLOEXEC));
	snprintf(attach, sizeof(attach), "attach %d", t->pid);
	fflush(NULL);
	gdb->pid = CHECK(fork());
	if (!gdb->pid) {
		CHECK(dup2(fcntl(said[1], F_DUPFD_CLOEXEC, WAITS + 1), SAYS));
		CHECK(dup2(fcntl(tell[0], F_DUPFD_CLOEXEC, WAITS + 1), WAITS));
		execlp("gdb", "gdb", "-nx", "-q", "-batch", "-iex", "set auto-solib-add off",
		       "-iex", "set debuginfod enabled off",
		       "-ex", attach, GDB_SAYS("a"), "-ex", "detach", GDB_SAYS("d"),
		       "-ex", attach, GDB_SAYS("a"), "-ex", "detach", NULL);
		FAIL("gdb: %s", strerror(errno));
	}
	close(said[1]);
	close(tell[0]);
	gdb->said = said[0];
	gdb->tell = tell[1];
}

static void gdb_expect(struct debugger *gdb, char letter)
{
	struct pollfd said = { .fd = gdb->said, .events = POLLIN };
	char line[2];

	if (poll(&said, 1, EVENT_SECONDS * 1000) != 1)
		FAIL("gdb does not come to %c in time", letter);
	if (CHECK(read(gdb->said, line, 2)) != 2 || line[0] != letter)
		FAIL("gdb does not come to %c", letter);
}

static void gdb_go_on(struct debugger *gdb)
{
	if (CHECK(write(gdb->tell, "\n", 1)) != 1)
		FAIL("gdb waits no more");
}

static void expect_all(struct __test_metadata *_metadata, int fd)
{
	struct image image;

	ASSERT_EQ(0, image_read(&image, fd));
	EXPECT_EQ(THREADS, image.nr_threads);
	EXPECT_EQ(0, live_count(&image, LIVECORE_THREAD_ZEROED));
	image_free(&image);
	close(fd);
}

/* It attaches by a SIGSTOP, which comes from outside. */
CORE_TEST(gdb)
{
	struct debugger gdb;
	struct target t;
	uint64_t turns;
	int fd, status;

	sysctl_set("livecore_abort", LIVECORE_ABORT_FATAL);
	sysctl_set("livecore_stall_ms", NEVER_MS);
	target_start(&t, "traced", NULL);
	target_settle(&t);
	gdb_start(&gdb, &t);
	/* It was there before. */
	gdb_expect(&gdb, 'a');
	turns = target_turns(&t);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	expect_all(_metadata, fd);
	EXPECT_EQ(turns, target_turns(&t));
	gdb_go_on(&gdb);
	gdb_expect(&gdb, 'd');
	EXPECT_TRUE(target_runs(&t));
	/* It comes while they are held, and sees them stop thereafter. */
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	turns = target_turns(&t);
	gdb_go_on(&gdb);
	EXPECT_TRUE(EVENTUALLY(tracer_of(&t, 0) == gdb.pid));
	EXPECT_EQ(turns, target_turns(&t));
	expect_all(_metadata, fd);
	gdb_expect(&gdb, 'a');
	gdb_go_on(&gdb);
	ASSERT_EQ(gdb.pid, waitpid(gdb.pid, &status, 0));
	EXPECT_EQ(0, status);
	close(gdb.said);
	close(gdb.tell);
	expect_undisturbed(_metadata, &t);
	tally("dumps", 2);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
