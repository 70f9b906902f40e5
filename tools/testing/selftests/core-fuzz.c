// SPDX-License-Identifier: GPL-2.0
/*
 * Any call with any argument on any descriptor of `core`, by several processes
 * and threads at once, while the processes that are dumped are killed, stopped
 * and replaced, and while the sysctls change. Every call gives an errno that it
 * is meant to give; what does not change is the same whenever it is looked at;
 * and in the end nobody is held, and the module goes.
 *
 * LIVECORE_FUZZ_SECONDS says for how long. What each thread does follows from
 * one seed, LIVECORE_SEED; what they do to each other is up to the scheduler.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "fixture.h"
#include "fuzz_calls.h"
#include "module.h"
#include "sleepers.h"
#include "tally.h"
#include "user.h"

enum {
	PAGE		= 4096,
	THREADS		= 3,		/* of each worker */
	DEFAULT_SECONDS	= 20,
	DEBUG_SECONDS	= 180,
};

/* One sleeper of each kind, and one that runs. */
TARGET(sleepy)
{
	sleepers_start(self);
	target_spinners(self, 1);
	target_serve(self);
	sleepers_clean();
	return 0;
}

static struct target_page *restless_page;

static void *nothing(void *argument)
{
	return argument;
}

/* Maps, unmaps, and makes threads. */
static void *restless(void *argument)
{
	struct target_slot *slot = argument;

	STORE(slot->tid, gettid());
	while (!LOAD(restless_page->stop)) {
		size_t size = (1 + LOAD(slot->counter) % 16) * PAGE;
		char *memory = CHECK_POINTER(mmap(NULL, size, PROT_READ | PROT_WRITE,
						  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		pthread_t thread;

		memory[size / 2] = 1;
		CHECK(mprotect(memory, PAGE, PROT_READ));
		CHECK_ZERO(pthread_create(&thread, NULL, nothing, NULL));
		CHECK_ZERO(pthread_join(thread, NULL));
		CHECK(munmap(memory, size));
		__atomic_add_fetch(&slot->counter, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

TARGET(restless)
{
	struct target_slot *slot = target_slot(self);

	restless_page = self->page;
	slot->nr = SPINS;
	target_thread(slot, restless);
	return target_serve(self);
}

TARGET(of_a)
{
	become_dumpable(USER_A);
	target_spinners(self, 1);
	return target_serve(self);
}

static void handler(int signal)
{
	(void)signal;
}

/* 'x': executes itself. */
TARGET(victim)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
	char command;

	CHECK(sigaction(SIGUSR1, &action, NULL));
	target_spinners(self, 1);
	target_event(self, 'R');
	while ((command = target_command(self)))
		if (command == 'x')
			execl("/proc/self/exe", "victim", "--target", "victim", "", NULL);
	return 0;
}

static void *fuzz(void *argument)
{
	struct fuzzer *f = argument;
	uint64_t calls = 0;

	f->buffer = CHECK_POINTER(mmap(NULL, FUZZ_BUFFER + PAGE, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	CHECK(mprotect(f->buffer + FUZZ_BUFFER, PAGE, PROT_NONE));
	f->read_only = CHECK_POINTER(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
					  -1, 0));
	while (!LOAD(fuzzed->stop)) {
		fuzz_once(f);
		calls++;
	}
	__atomic_add_fetch(&fuzzed->calls, calls, __ATOMIC_RELAXED);
	return NULL;
}

static pid_t child_of_ours(void)
{
	pid_t parent = getpid();
	pid_t child;

	fflush(NULL);
	child = CHECK(fork());
	if (!child) {
		CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL));
		if (getppid() != parent)
			_exit(1);
	}
	return child;
}

static void work(int number, uint64_t seed)
{
	static struct fuzzer fuzzers[THREADS];
	pthread_t threads[THREADS];

	if (number % 2) {
		become_a();
		CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL));
	}
	for (int i = 0; i < THREADS; i++) {
		fuzzers[i].number = number * THREADS + i;
		fuzzers[i].privileged = number % 2 == 0;
		fuzzers[i].random = random_stream(seed, fuzzers[i].number);
		CHECK_ZERO(pthread_create(&threads[i], NULL, fuzz, &fuzzers[i]));
	}
	for (int i = 0; i < THREADS; i++)
		CHECK_ZERO(pthread_join(threads[i], NULL));
	_exit(0);
}

/* Kills, signals, and executes victims, and starts them again. */
static void torment(uint64_t seed)
{
	static const int deadly[] = { SIGKILL, SIGKILL, SIGTERM, SIGABRT, SIGSEGV, SIGXCPU };
	static const int harmless[] = { SIGUSR1, SIGCHLD, SIGSTOP, SIGCONT };
	struct random random = random_stream(seed, FUZZ_WORKERS * THREADS);
	struct target victims[FUZZ_VICTIMS] = {};
	struct rlimit none = {};

	CHECK(setrlimit(RLIMIT_CORE, &none));
	while (!LOAD(fuzzed->stop)) {
		int which = random_below(&random, FUZZ_VICTIMS);
		struct target *t = &victims[which];

		if (!t->pid) {
			target_start(t, "victim", NULL);
			STORE(fuzzed->pid[VICTIM + which], t->pid);
		}
		switch (random_below(&random, 4)) {
		case 0:
			CHECK(kill(t->pid, RANDOM_OF(&random, harmless)));
			break;
		case 1:
			CHECK(kill(t->pid, SIGCONT));
			target_send(t, 'x');
			target_expect(t, 'R');
			break;
		case 2:
			CHECK(kill(t->pid, RANDOM_OF(&random, deadly)));
			CHECK(kill(t->pid, SIGCONT));
			if (target_dies_within(t, EVENT_SECONDS) == -1)
				FAIL("victim %d does not die", t->pid);
			t->pid = 0;
			break;
		default:
			pause_briefly();
			break;
		}
	}
	for (int i = 0; i < FUZZ_VICTIMS; i++)
		if (victims[i].pid)
			target_kill(&victims[i]);
	_exit(0);
}

struct knob {
	const char *name;
	const char *values[8];
};

static const struct knob knobs[] = {
	{ "livecore_mode", { "0", "1", "2", "-1" } },
	{ "livecore_contents", { "0", "1", "2", "2", "3" } },
	{ "livecore_blocked", { "1", "1", "1", "0", "" } },
	{ "livecore_timeout_ms", { "0", "1", "50", "100", "4294967296" } },
	{ "livecore_stall_ms", { "1000", "2000", "5000", "1" } },
	{ "livecore_max_dumps", { "1", "4", "16", "64", "0" } },
	{ "livecore_filter_mask", { "0", "0x7f", "51", "x" } },
	{ "livecore_abort", { "0", "1", "2", "3" } },
	{ "livecore_hold_max_ms", { "0", "1", "100", "5000", "99999999" } },
};

/* Turns every knob, and shuts the gate now and then. */
static void flip(uint64_t seed)
{
	static const char * const gates[] = { "1", "2", "3", "3", "3", "-1", "4" };
	struct random random = random_stream(seed, FUZZ_WORKERS * THREADS + 1);

	while (!LOAD(fuzzed->stop)) {
		const struct knob *knob = &RANDOM_OF(&random, knobs);
		size_t n = 0;
		int error;

		while (n < ARRAY_SIZE(knob->values) && knob->values[n])
			n++;
		error = sysctl_try(knob->name, knob->values[random_below(&random, n)]);
		if (error && error != -EINVAL && error != -ENOENT && error != -EOPNOTSUPP)
			FAIL("%s: %s", knob->name, strerror(-error));
		if (random_one_in(&random, 30)) {
			sysctl_set("livecore_enable", 0);
			sysctl_set("livecore_enable", 3);
		} else if (random_one_in(&random, 10)) {
			sysctl_try("livecore_enable", RANDOM_OF(&random, gates));
		}
		pause_briefly();
	}
	_exit(0);
}

static unsigned int seconds_to_run(void)
{
	const char *wanted = getenv("LIVECORE_FUZZ_SECONDS");
	const char *kernel = getenv("LIVECORE_KERNEL");

	if (wanted && atoi(wanted) > 0)
		return atoi(wanted);
	/* On a debug kernel everything takes long, and is looked at closely. */
	return seconds_of(kernel && !strncmp(kernel, "debug", 5) ? DEBUG_SECONDS :
								 DEFAULT_SECONDS);
}

/* Whom do we wait for in vain? */
static void show(pid_t pid)
{
	pid_t tid[64];
	size_t n = thread_list(pid, tid, ARRAY_SIZE(tid));

	for (size_t i = 0; i < n && i < ARRAY_SIZE(tid); i++) {
		char *stack = proc_text("%d/task/%d/stack", pid, tid[i]);

		fprintf(stderr, "# %d/%d: %c\n%s\n", pid, tid[i], thread_state(pid, tid[i]),
			stack ? stack : "");
		free(stack);
	}
}

/* The exit status of a child that is to end by itself now. */
static int ends(pid_t pid)
{
	int status;

	if (!EVENTUALLY(waitpid(pid, &status, WNOHANG))) {
		show(pid);
		FAIL("%d does not end", pid);
	}
	return status;
}

/* Is any thread of the system held? */
static bool is_anybody_held(void)
{
	DIR *proc = CHECK_POINTER(opendir("/proc"));
	struct dirent *entry;
	bool held = false;

	while ((entry = readdir(proc))) {
		pid_t pid = atoi(entry->d_name), tid[256];
		size_t n = pid ? thread_list(pid, tid, ARRAY_SIZE(tid)) : 0;

		for (size_t i = 0; i < n && i < ARRAY_SIZE(tid); i++)
			held = held || thread_waits_in(pid, tid[i], "livecore_park");
	}
	closedir(proc);
	return held;
}

TEST_F_TIMEOUT(core, anything, 24 * 3600)
{
	static const char * const names[FUZZ_SURVIVORS] = { "sleepy", "restless", "of_a" };
	pid_t others[2], workers[FUZZ_WORKERS];
	uint64_t seed = random_seed();
	double end;

	fuzzed = CHECK_POINTER(mmap(NULL, sizeof(*fuzzed), PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fuzz_mail));
	sysctl_set("livecore_timeout_ms", FUZZ_WAIT_MS);
	sysctl_set("livecore_stall_ms", FUZZ_STALL_MS);
	sysctl_set("livecore_enable", 3);
	for (int i = 0; i < FUZZ_SURVIVORS; i++) {
		if (!names[i] && __builtin_cpu_supports("avx"))
			target_start_known(&fuzz_survivors[i], TARGET_32, ". 0x33");
		else
			target_start(&fuzz_survivors[i], names[i] ?: "sleepy", NULL);
		target_settle(&fuzz_survivors[i]);
		fuzzed->pid[i] = fuzz_survivors[i].pid;
	}
	for (int i = 0; i < FUZZ_WORKERS; i++) {
		workers[i] = child_of_ours();
		if (!workers[i])
			work(i, seed);
		STORE(fuzzed->pid[WORKER + i], workers[i]);
	}
	for (int i = 0; i < 2; i++) {
		others[i] = child_of_ours();
		if (!others[i])
			i ? flip(seed) : torment(seed);
	}
	close(fuzz_mail[0]);
	close(fuzz_mail[1]);

	end = seconds_now() + seconds_to_run();
	while (seconds_now() < end && !LOAD(fuzzed->complaints))
		pause_briefly();
	STORE(fuzzed->stop, 1);
	for (int i = 0; i < FUZZ_WORKERS; i++)
		EXPECT_EQ(0, ends(workers[i]));
	for (int i = 0; i < 2; i++)
		EXPECT_EQ(0, ends(others[i]));
	EXPECT_EQ(0, fuzzed->complaints);
	EXPECT_LT(0, fuzzed->dumps);

	/* All of theirs is closed: nobody is held, and nothing is left. */
	EXPECT_TRUE(EVENTUALLY(!is_anybody_held()));
	for (int i = 0; i < FUZZ_SURVIVORS; i++) {
		/* The threads of that one turn without counting. */
		EXPECT_TRUE(i == OF_32_BITS || target_runs(&fuzz_survivors[i]));
		EXPECT_EQ(0, target_finish(&fuzz_survivors[i]));
	}
	EXPECT_TRUE(module_unloads());
	EXPECT_EQ(0, module_load());
	tally("bad calls", fuzzed->calls);
	tally("dumps", fuzzed->dumps);
}

CORE_TEST_MAIN
