// SPDX-License-Identifier: GPL-2.0
/*
 * Signals of every kind to a process that is dumped: which of them end a hold is
 * what kernel.livecore_abort says; and whether they do or not, each is delivered
 * as often as it was sent, when the process may run.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "fixture.h"
#include "live.h"
#include "policy.h"
#include "race.h"
#include "tally.h"

/* Those of libc come first. */
#define REALTIME	(SIGRTMIN + 3)

enum {
	QUEUED		= 3,	/* of a realtime signal, at a time */
	STORM		= 150,	/* of each kind */
	LATEST_MS	= 15000,	/* of a timer that is to go off while it is held */
};

/* target_page.value[]: how many of a signal were delivered, by its number; and */
enum {
	ARM = 48,		/* the signal of a timer, and after how many milliseconds */
	ARM_MS,
	CHILD,
	PIPE,			/* whose other end is full */
	ASYNC,			/* a pipe that tells of what is written to it */
	LAST,			/* number of a queued signal, and those after it */
	WRONG = LAST + 3,	/* how many came out of order */
};

static const int signals[] = {
	SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGALRM, SIGTERM, SIGCHLD, SIGCONT, SIGTSTP, SIGWINCH,
	SIGIO, 0,	/* REALTIME, which is no constant */
};

static int signal_number(size_t index)
{
	return signals[index] ? signals[index] : REALTIME;
}

static sigset_t all_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaddset(&set, signal_number(i));
	return set;
}

/* The target's side. */

static struct target_page *our_page;

static void *wait_for_signals(void *argument)
{
	struct target_slot *slot = argument;
	sigset_t set = all_signals();
	int signal;

	STORE(slot->tid, gettid());
	for (;;) {
		signal = sigwaitinfo(&set, NULL);
		if (signal > 0)
			was_delivered(signal);
	}
	return NULL;
}

static void *read_signals(void *argument)
{
	struct target_slot *slot = argument;
	struct signalfd_siginfo info;
	sigset_t set = all_signals();
	int fd = CHECK(signalfd(-1, &set, SFD_CLOEXEC));

	STORE(slot->tid, gettid());
	for (;;)
		if (read(fd, &info, sizeof(info)) == sizeof(info))
			was_delivered(info.ssi_signo);
	return NULL;
}

static void arm_timer(void)
{
	struct sigevent event = {
		.sigev_notify = SIGEV_SIGNAL,
		.sigev_signo = LOAD(our_page->value[ARM]),
	};
	uint64_t ms = LOAD(our_page->value[ARM_MS]);
	struct itimerspec once = {
		.it_value = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 },
	};
	static timer_t timer;
	static bool exists;

	if (exists)
		CHECK(timer_delete(timer));
	CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer));
	exists = true;
	CHECK(timer_settime(timer, 0, &once, NULL));
}

static void collect(void)
{
	struct timespec none = {};
	sigset_t set = all_signals();
	int signal;

	while ((signal = sigtimedwait(&set, NULL, &none)) > 0)
		was_delivered(signal);
}

static void start_thread(struct target_self *self, int nr, void *(*function)(void *))
{
	struct target_slot *slot = target_slot(self);

	slot->nr = nr;
	target_thread(slot, function);
}

enum disposition {
	DEFAULT		= 'd',
	HANDLED		= 'h',
	IGNORED		= 'i',
	BLOCKED		= 'b',
	WAITED_FOR	= 'w',
	READ		= 'r',	/* from a signalfd */
};

static void dispose(enum disposition how)
{
	struct sigaction action = {
		.sa_handler = how == HANDLED ? was_delivered : SIG_IGN,
		.sa_flags = SA_RESTART,
	};
	sigset_t set = all_signals();

	if (how == HANDLED || how == IGNORED)
		for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
			CHECK(sigaction(signal_number(i), &action, NULL));
	if (how == BLOCKED || how == WAITED_FOR || how == READ)
		CHECK(sigprocmask(SIG_BLOCK, &set, NULL));
}

/* The argument is a disposition. */
TARGET(taker)
{
	struct rlimit none = {};
	char command;

	CHECK(setrlimit(RLIMIT_CORE, &none));
	our_page = self->page;
	count_deliveries(self);
	dispose(*self->argument);
	target_spinners(self, 1);
	if (*self->argument == WAITED_FOR)
		start_thread(self, SYS_rt_sigtimedwait, wait_for_signals);
	if (*self->argument == READ)
		start_thread(self, SYS_read, read_signals);
	target_event(self, 'R');
	while ((command = target_command(self))) {
		if (command == 't')
			arm_timer();
		if (command == 'c')
			collect();
		target_event(self, command);
	}
	return 0;
}

/* The test's side. */

enum sender { BY_PROCESS, BY_THREAD, BY_QUEUE, BY_ITS_TIMER, SENDERS };

static void send_signal(struct target *t, enum disposition how, enum sender sender, int signal)
{
	/* Who takes it. */
	unsigned int slot = how == BLOCKED ? 0 : t->page->nr_slots - 1;
	union sigval value = { .sival_int = 0 };

	switch (sender) {
	case BY_PROCESS:
		CHECK(kill(t->pid, signal));
		break;
	case BY_THREAD:
		CHECK(tgkill(t->pid, t->page->slot[slot].tid, signal));
		break;
	default:
		CHECK(sigqueue(t->pid, signal, value));
	}
}

static bool is_ignored(enum disposition how, int signal)
{
	return how == IGNORED ||
	       (how == DEFAULT && (signal == SIGCHLD || signal == SIGCONT || signal == SIGWINCH));
}

/* Do we know of one that it was taken, or that nothing has happened? */
static bool is_cell(enum disposition how, int signal, enum sender sender)
{
	/* The others end or stop it. */
	if (how == DEFAULT && !is_ignored(how, signal))
		return false;
	/* What is ignored leaves no trace by which to know that it came. */
	return sender != BY_ITS_TIMER || !is_ignored(how, signal);
}

/* Documentation/user/sysctl.rst, for a signal that does not end the process. */
static bool ends_hold(enum disposition how, int signal, enum sender sender, unsigned int policy)
{
	if (policy == LIVECORE_ABORT_ANY)
		return !is_ignored(how, signal);
	if (policy == LIVECORE_ABORT_FATAL || sender == BY_ITS_TIMER)
		return false;
	switch (signal) {
	case SIGCONT:
		return true;
	case SIGHUP:
	case SIGINT:
	case SIGQUIT:
	case SIGTERM:
	case SIGTSTP:
		return !is_ignored(how, signal);
	default:
		return false;
	}
}

static bool is_pending(pid_t pid, int signal)
{
	char *status = proc_text_of(pid, "status"), *line = strstr(status, "\nShdPnd:");
	bool pending = line && strtoull(line + 8, NULL, 16) >> (signal - 1) & 1;

	free(status);
	return pending;
}

/* The timer has gone off: its signal is pending, or has brought its taker to the boundary. */
static bool has_come(struct target *t, int fd, int signal)
{
	struct target_slot *last = &t->page->slot[t->page->nr_slots - 1];

	return state_of(fd) == LIVECORE_STATE_ENDED || is_pending(t->pid, signal) ||
	       (last->nr != SPINS && thread_is_parked(t->pid, last->tid));
}

/*
 * Opens a dump before the timer goes off: on a slow machine that may take some
 * tries. @before: how many were delivered until then.
 */
static int dump_before_timer(struct target *t, int signal, unsigned int policy, uint64_t *before)
{
	STORE(t->page->value[ARM], signal);
	for (uint64_t ms = 20;; ms *= 2) {
		int fd;

		*before = delivered(t, signal);
		STORE(t->page->value[ARM_MS], ms);
		target_do(t, 't');
		fd = dump_with(t, policy);
		if (fd >= 0 && delivered(t, signal) == *before && !has_come(t, fd, signal))
			return fd;
		if (fd >= 0)
			close(fd);
		/* Of those that take what is pending when they are told to. */
		if (*t->page->slot[0].value == BLOCKED)
			target_do(t, 'c');
		if (ms > LATEST_MS ||
		    !EVENTUALLY(delivered(t, signal) != *before))
			FAIL("signal %d: no dump before the timer", signal);
	}
}

static void expect_cell(struct __test_metadata *_metadata, struct target *t,
			enum disposition how, int signal, enum sender sender,
			unsigned int policy)
{
	unsigned int n = signal == REALTIME && sender != BY_ITS_TIMER ? QUEUED : 1;
	bool ends = ends_hold(how, signal, sender, policy);
	uint64_t before;
	char byte;
	int fd;

	if (sender == BY_ITS_TIMER) {
		fd = dump_before_timer(t, signal, policy, &before);
		EXPECT_TRUE(EVENTUALLY(has_come(t, fd, signal)));
	} else {
		fd = dump_with(t, policy);
		ASSERT_LE(0, fd);
		before = delivered(t, signal);
		for (unsigned int i = 0; i < n; i++)
			send_signal(t, how, sender, signal);
	}
	EXPECT_EQ(ends ? LIVECORE_STATE_ENDED : LIVECORE_STATE_HELD, state_of(fd))
		TH_LOG("%c, signal %d, sender %d, policy %u", how, signal, sender, policy);
	if (ends) {
		EXPECT_EQ(-1, pread(fd, &byte, 1, 0));
		EXPECT_EQ(ECANCELED, errno);
	} else {
		EXPECT_EQ(1, pread(fd, &byte, 1, 0));
		EXPECT_EQ(before, delivered(t, signal));
	}
	EXPECT_EQ(0, close(fd));
	if (how == BLOCKED)
		target_do(t, 'c');
	if (is_ignored(how, signal))
		n = 0;
	EXPECT_TRUE(EVENTUALLY(delivered(t, signal) == before + n))
		TH_LOG("%c, signal %d, sender %d, policy %u: %ju instead of %u", how, signal,
		       sender, policy, (uintmax_t)(delivered(t, signal) - before), n);
	EXPECT_TRUE(race_nobody_parked(t->pid));
}

FIXTURE(policy)
{
	struct sysctl_values sysctls;
};

FIXTURE_VARIANT(policy)
{
	enum disposition how;
};

FIXTURE_VARIANT_ADD(policy, by_default)
{
	.how = DEFAULT,
};

FIXTURE_VARIANT_ADD(policy, handled)
{
	.how = HANDLED,
};

FIXTURE_VARIANT_ADD(policy, ignored)
{
	.how = IGNORED,
};

FIXTURE_VARIANT_ADD(policy, blocked)
{
	.how = BLOCKED,
};

FIXTURE_VARIANT_ADD(policy, waited_for)
{
	.how = WAITED_FOR,
};

FIXTURE_VARIANT_ADD(policy, read_from_signalfd)
{
	.how = READ,
};

FIXTURE_SETUP(policy)
{
	sysctl_prepare(&self->sysctls);
}

FIXTURE_TEARDOWN_PARENT(policy)
{
	sysctl_restore(&self->sysctls);
}

TEST_F_TIMEOUT(policy, is_kept, CORE_TEST_SECONDS)
{
	unsigned long times = rounds(1), cells = 0;
	char argument[2] = { variant->how };
	struct target t;

	target_start(&t, "taker", argument);
	target_settle(&t);
	t.page->slot[0].value[0] = variant->how;
	for (unsigned long round = 0; round < times * ARRAY_SIZE(signals) * 3; round++) {
		size_t i = round / 3 % ARRAY_SIZE(signals);
		int signal = signal_number(i);

		for (enum sender sender = 0; sender < SENDERS; sender++) {
			/* Each with the first, and with one of the others. */
			if (sender && (i + round / 3 / ARRAY_SIZE(signals)) % (SENDERS - 1) !=
				      sender % (SENDERS - 1))
				continue;
			if (!is_cell(variant->how, signal, sender))
				continue;
			expect_cell(_metadata, &t, variant->how, signal, sender, round % 3);
			cells++;
		}
	}
	EXPECT_TRUE(target_runs(&t));
	tally("races provoked", cells);
	EXPECT_EQ(0, target_finish(&t));
}

/* Those that end the process do so under each policy, from inside, too. */
CORE_TEST(fatal_ones_end_it)
{
	static const int fatal[] = { SIGTERM, SIGUSR1, SIGALRM, SIGQUIT };

	/* So that it is not the watchdog. */
	sysctl_set("livecore_stall_ms", NEVER_MS);
	for (size_t i = 0; i < ARRAY_SIZE(fatal); i++)
		for (unsigned int policy = 0; policy < 3; policy++)
			for (int inside = 0; inside < 2; inside++) {
				struct target t;
				int fd, status;
				char byte;

				target_start(&t, "taker", "d");
				target_settle(&t);
				if (inside) {
					/* Should it be too early, that is as good. */
					STORE(t.page->value[ARM], fatal[i]);
					STORE(t.page->value[ARM_MS], 100);
					target_send(&t, 't');
					/* It answers, or is dead. */
					CHECK(read(t.event, &byte, 1));
				}
				fd = dump_with(&t, policy);
				if (!inside)
					CHECK(kill(t.pid, fatal[i]));
				status = target_dies_within(&t, EVENT_SECONDS);
				EXPECT_NE(-1, status);
				EXPECT_TRUE(WIFSIGNALED(status));
				EXPECT_EQ(fatal[i], WTERMSIG(status));
				if (fd < 0) {
					EXPECT_TRUE(inside && race_open_says(-fd));
					continue;
				}
				EXPECT_EQ(-1, pread(fd, &byte, 1, 0));
				EXPECT_TRUE(errno == ECANCELED || errno == ESRCH);
				close(fd);
			}
	tally("races provoked", 2 * 3 * ARRAY_SIZE(fatal));
}

/* What a process has asked for: it is told when it runs again, and how often. */

static void *fill_pipe(void *argument)
{
	struct target_slot *slot = argument;
	char page[4096] = "";

	STORE(slot->tid, gettid());
	/* It sleeps when the pipe is full, and gets SIGPIPE when nobody can read. */
	while (write(slot->value[0], page, sizeof(page)) > 0)
		;
	STORE(slot->result, -errno);
	STORE(slot->counter, 1);
	return NULL;
}

TARGET(asker)
{
	struct sigaction action = { .sa_handler = was_delivered, .sa_flags = SA_RESTART };
	static const int asked[] = { SIGCHLD, SIGPIPE, SIGIO, SIGALRM };
	struct target_slot *slot;
	int full[2], async[2];
	pid_t child;

	count_deliveries(self);
	for (size_t i = 0; i < ARRAY_SIZE(asked); i++)
		CHECK(sigaction(asked[i], &action, NULL));
	child = CHECK(fork());
	if (!child)
		for (;;)
			pause();
	CHECK(pipe2(full, O_CLOEXEC));
	CHECK(pipe2(async, O_CLOEXEC));
	CHECK(fcntl(async[0], F_SETOWN, getpid()));
	CHECK(fcntl(async[0], F_SETFL, O_ASYNC));
	self->page->value[CHILD] = child;
	self->page->value[PIPE] = full[0];
	self->page->value[ASYNC] = async[1];
	slot = target_slot(self);
	slot->nr = SYS_write;
	slot->value[0] = full[1];
	target_thread(slot, fill_pipe);
	target_spinners(self, 1);
	target_event(self, 'R');
	while (target_command(self)) {
		struct itimerval often = {
			.it_value.tv_usec = 5000,
			.it_interval.tv_usec = 5000,
		};

		/* Then the test's is the last. */
		close(full[0]);
		CHECK(setitimer(ITIMER_REAL, &often, NULL));
		target_event(self, 'a');
	}
	kill(child, SIGKILL);
	return 0;
}

/*
 * A dump that an alarm is still to come to, every few milliseconds. None comes
 * while one is pending, and one from before the dump does not end it.
 */
static int dump_before_alarm(struct target *t, unsigned int policy)
{
	for (;;) {
		int fd = dump_with(t, policy);

		if (fd == -ECANCELED)
			continue;
		if (fd < 0 || policy != LIVECORE_ABORT_ANY || !is_pending(t->pid, SIGALRM) ||
		    state_of(fd) == LIVECORE_STATE_ENDED)
			return fd;
		close(fd);
	}
}

CORE_TEST(what_was_asked_for)
{
	for (unsigned int policy = 0; policy < 3; policy++) {
		unsigned int expected = policy == LIVECORE_ABORT_ANY ? LIVECORE_STATE_ENDED :
								       LIVECORE_STATE_HELD;
		int fd, full, async;
		uint64_t alarms;
		struct target t;

		target_start(&t, "asker", NULL);
		target_settle(&t);
		full = target_take_fd(&t, t.page->value[PIPE]);
		async = target_take_fd(&t, t.page->value[ASYNC]);

		fd = dump_with(&t, policy);
		ASSERT_LE(0, fd);
		CHECK(kill(t.page->value[CHILD], SIGKILL));
		EXPECT_TRUE(EVENTUALLY(is_pending(t.pid, SIGCHLD) || delivered(&t, SIGCHLD)));
		EXPECT_EQ(expected, state_of(fd));
		close(fd);
		EXPECT_TRUE(EVENTUALLY(delivered(&t, SIGCHLD)));

		fd = dump_with(&t, policy);
		ASSERT_LE(0, fd);
		CHECK(write(async, "", 1));
		EXPECT_EQ(expected, state_of(fd));
		close(fd);
		EXPECT_TRUE(EVENTUALLY(delivered(&t, SIGIO)));

		target_send(&t, 'a');
		target_expect(&t, 'a');
		fd = dump_before_alarm(&t, policy);
		ASSERT_LE(0, fd);
		EXPECT_TRUE(EVENTUALLY(is_pending(t.pid, SIGALRM) ||
				       state_of(fd) != LIVECORE_STATE_HELD));
		EXPECT_EQ(expected, state_of(fd));
		alarms = delivered(&t, SIGALRM);
		close(fd);
		EXPECT_TRUE(EVENTUALLY(delivered(&t, SIGALRM) > alarms + 2));

		do {
			fd = dump_with(&t, policy);
		} while (fd == -ECANCELED);
		ASSERT_LE(0, fd);
		/* Woken, it sends the signal to itself. */
		close(full);
		EXPECT_TRUE(EVENTUALLY(thread_is_parked(t.pid, t.page->slot[1].tid) ||
				       delivered(&t, SIGPIPE)));
		/* An alarm from before may have it parked already: then it is still to come. */
		EXPECT_TRUE(EVENTUALLY(state_of(fd) == expected));
		close(fd);
		EXPECT_TRUE(EVENTUALLY(LOAD(t.page->slot[1].counter)));
		EXPECT_EQ(-EPIPE, t.page->slot[1].result);
		EXPECT_EQ(1, delivered(&t, SIGPIPE));
		EXPECT_EQ(1, delivered(&t, SIGCHLD));
		EXPECT_EQ(1, delivered(&t, SIGIO));
		close(async);
		EXPECT_EQ(0, target_finish(&t));
	}
}

/* The init of a pid namespace, whom a signal by default does not end. */

static void *unblock_all_the_time(void *argument)
{
	struct target_slot *slot = argument;
	sigset_t term;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	for (;;) {
		CHECK_ZERO(pthread_sigmask(SIG_BLOCK, &term, NULL));
		CHECK_ZERO(pthread_kill(pthread_self(), SIGTERM));
		/* It is dropped on the way back. */
		CHECK_ZERO(pthread_sigmask(SIG_UNBLOCK, &term, NULL));
		__atomic_add_fetch(&slot->counter, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

TARGET(init)
{
	struct target_slot *slot = target_slot(self);

	if (getpid() != 1)
		FAIL("it is %d, and no init", getpid());
	slot->nr = SPINS;
	target_thread(slot, unblock_all_the_time);
	return target_serve(self);
}

CORE_TEST(init_is_not_ended_by_what_it_drops)
{
	unsigned long n = rounds(STORM);
	struct target t;

	/* Ours is the next child. */
	CHECK(unshare(CLONE_NEWPID));
	target_start(&t, "init", NULL);
	EXPECT_TRUE(target_runs(&t));
	for (unsigned long i = 0; i < n; i++) {
		struct image image;

		race_delay();
		ASSERT_EQ(0, image_dump(&image, t.pid));
		EXPECT_EQ(2, image.nr_threads);
		image_free(&image);
	}
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
	tally("dumps", n);
	tally("races provoked", n);
}

/* Signals and dumps, all the time. */

/* Numbered ones, one after the other: REALTIME + @kind. */
static void was_numbered(int kind, int number)
{
	uint64_t last = LOAD(our_page->value[LAST + kind]);

	if ((uint64_t)number != last + 1)
		__atomic_add_fetch(&our_page->value[WRONG], 1, __ATOMIC_SEQ_CST);
	STORE(our_page->value[LAST + kind], number);
}

enum { BY_HANDLER, BY_WAIT, BY_SIGNALFD, KINDS };

static void handle_number(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	was_numbered(BY_HANDLER, info->si_int);
}

static void *handle_numbers(void *argument)
{
	struct target_slot *slot = argument;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, REALTIME + BY_HANDLER);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	STORE(slot->tid, gettid());
	while (!LOAD(our_page->stop))
		__atomic_add_fetch(&slot->counter, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void *wait_for_numbers(void *argument)
{
	struct target_slot *slot = argument;
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, REALTIME + BY_WAIT);
	STORE(slot->tid, gettid());
	for (;;)
		if (sigwaitinfo(&set, &info) > 0)
			was_numbered(BY_WAIT, info.si_int);
	return NULL;
}

static void *read_numbers(void *argument)
{
	struct target_slot *slot = argument;
	struct signalfd_siginfo info;
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, REALTIME + BY_SIGNALFD);
	fd = CHECK(signalfd(-1, &set, SFD_CLOEXEC));
	STORE(slot->tid, gettid());
	for (;;)
		if (read(fd, &info, sizeof(info)) == sizeof(info))
			was_numbered(BY_SIGNALFD, info.ssi_int);
	return NULL;
}

/* Handles USR1 and TERM anywhere, and numbered ones in a thread for each kind. */
TARGET(counter)
{
	struct sigaction action = { .sa_handler = was_delivered, .sa_flags = SA_RESTART };
	sigset_t set;

	our_page = self->page;
	count_deliveries(self);
	CHECK(sigaction(SIGUSR1, &action, NULL));
	CHECK(sigaction(SIGTERM, &action, NULL));
	action.sa_sigaction = handle_number;
	action.sa_flags |= SA_SIGINFO;
	CHECK(sigaction(REALTIME + BY_HANDLER, &action, NULL));
	sigemptyset(&set);
	for (int i = 0; i < KINDS; i++)
		sigaddset(&set, REALTIME + i);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL));
	start_thread(self, SPINS, handle_numbers);
	start_thread(self, SYS_rt_sigtimedwait, wait_for_numbers);
	start_thread(self, SYS_read, read_numbers);
	return target_serve(self);
}

static void send_number(struct target *t, int kind, int number)
{
	siginfo_t info = { .si_code = SI_QUEUE, .si_pid = getpid(), .si_int = number };
	union sigval value = { .sival_int = number };

	/* To the thread that handles it; the others are for whoever takes them. */
	if (kind == BY_HANDLER)
		CHECK(syscall(SYS_rt_tgsigqueueinfo, t->pid, t->page->slot[1].tid,
			      REALTIME + kind, &info));
	else
		CHECK(sigqueue(t->pid, REALTIME + kind, value));
}

static bool all_have_come(struct target *t, uint64_t number)
{
	for (int kind = 0; kind < KINDS; kind++)
		if (LOAD(t->page->value[LAST + kind]) != number)
			return false;
	return true;
}

CORE_TEST(none_is_lost_or_doubled)
{
	struct storm *storm = CHECK_POINTER(mmap(NULL, sizeof(*storm), PROT_READ | PROT_WRITE,
						 MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	unsigned long n = rounds(STORM);
	pid_t dumper[2];
	struct target t;

	target_start(&t, "counter", NULL);
	target_settle(&t);
	storm->target = &t;
	for (size_t i = 0; i < ARRAY_SIZE(dumper); i++)
		dumper[i] = race_process(dump_all_the_time, storm);
	for (unsigned long i = 1; i <= n; i++) {
		uint64_t before = delivered(&t, SIGUSR1), terms = delivered(&t, SIGTERM);

		for (int kind = 0; kind < KINDS; kind++)
			send_number(&t, kind, i);
		CHECK(kill(t.pid, SIGUSR1));
		CHECK(tgkill(t.pid, t.page->slot[i % t.page->nr_slots].tid, SIGTERM));
		/* Of these only one can wait at a time; of the others some may. */
		ASSERT_TRUE(EVENTUALLY(delivered(&t, SIGUSR1) != before &&
				       delivered(&t, SIGTERM) != terms));
		EXPECT_EQ(before + 1, delivered(&t, SIGUSR1));
		EXPECT_EQ(terms + 1, delivered(&t, SIGTERM));
		if (i % 16 == 0)
			ASSERT_TRUE(EVENTUALLY(all_have_come(&t, i)));
	}
	STORE(storm->stop, 1);
	for (size_t i = 0; i < ARRAY_SIZE(dumper); i++)
		EXPECT_EQ(0, race_process_end(dumper[i]));
	EXPECT_TRUE(EVENTUALLY(all_have_come(&t, n)));
	EXPECT_EQ(0, LOAD(t.page->value[WRONG]));
	EXPECT_EQ(n, delivered(&t, SIGUSR1));
	EXPECT_TRUE(race_nobody_parked(t.pid));
	TH_LOG("%lu dumps, %lu ended by a signal", storm->dumps, storm->ended);
	tally("dumps", storm->dumps);
	tally("races provoked", n * (KINDS + 2));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
