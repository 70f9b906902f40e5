// SPDX-License-Identifier: GPL-2.0
/*
 * Job control and terminals: who is dumped, or who dumps, is stopped and made to
 * go on, before and meanwhile, by others or as he has asked for. A parent is told
 * of each once, by no dump, and nobody is held for a reader who is stopped.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <mqueue.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fixture.h"
#include "live.h"
#include "policy.h"
#include "race.h"
#include "tally.h"

/* target_page.value[]: how many of a signal were delivered, by its number; and */
enum {
	ASKED = 48,		/* which one the process asks for */
	ASYNC,			/* a pipe that tells of what is written to it */
	QUEUE,			/* a message queue that does */
};

/* "h" handles SIGCONT, "d" does not. */
TARGET(taker)
{
	struct sigaction action = { .sa_handler = was_delivered, .sa_flags = SA_RESTART };
	char command;

	count_deliveries(self);
	if (*self->argument == 'h')
		CHECK(sigaction(SIGCONT, &action, NULL));
	target_spinners(self, 1);
	target_event(self, 'R');
	while ((command = target_command(self)))
		target_event(self, command);
	return 0;
}

/* Job control. */

static bool all_in_state(struct target *t, char state)
{
	for (uint32_t i = 0; i < t->page->nr_slots; i++)
		if (thread_state(t->pid, t->page->slot[i].tid) != state)
			return false;
	return true;
}

/* What a parent is told, if it is: the status, or 0. */
static int told(struct target *t)
{
	int status = 0;

	CHECK(waitpid(t->pid, &status, WNOHANG | WUNTRACED | WCONTINUED));
	return status;
}

static bool is_told(struct target *t, bool stopped)
{
	int status = told(t);

	return stopped ? WIFSTOPPED(status) : WIFCONTINUED(status);
}

#define EXPECT_TOLD(stopped)						\
do {									\
	EXPECT_TRUE(EVENTUALLY(is_told(&t, stopped)));			\
	EXPECT_EQ(0, told(&t));						\
} while (0)

enum { STOPPED = 1, CONTINUED = 0 };

/* Stopped before: it stays so, and nobody is told anything by a dump. */
CORE_RACE(stopped_before, 3)
{
	struct target t;

	target_start(&t, "taker", "h");
	target_settle(&t);
	CHECK(kill(t.pid, SIGSTOP));
	EXPECT_TOLD(STOPPED);
	ASSERT_TRUE(EVENTUALLY(all_in_state(&t, 'T')));
	for (unsigned int policy = 0; policy < 3; policy++) {
		int fd = dump_with(&t, policy);

		ASSERT_LE(0, fd);
		EXPECT_TRUE(all_in_state(&t, 'T'));
		close(fd);
		EXPECT_TRUE(all_in_state(&t, 'T'));
		EXPECT_EQ(0, told(&t));
	}
	CHECK(kill(t.pid, SIGCONT));
	EXPECT_TOLD(CONTINUED);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(1, delivered(&t, SIGCONT));
	EXPECT_EQ(0, target_finish(&t));
}

/* Made to go on while it is held: it does when it may, with its handler called once. */
CORE_RACE(continued_meanwhile, 3)
{
	for (unsigned int policy = 0; policy < 3; policy++) {
		uint64_t turns;
		struct target t;
		char byte;
		int fd;

		target_start(&t, "taker", "h");
		target_settle(&t);
		CHECK(kill(t.pid, SIGSTOP));
		EXPECT_TOLD(STOPPED);
		ASSERT_TRUE(EVENTUALLY(all_in_state(&t, 'T')));
		fd = dump_with(&t, policy);
		ASSERT_LE(0, fd);
		turns = target_turns(&t);
		CHECK(kill(t.pid, SIGCONT));
		/* The kernel tells, whoever of the threads is first. */
		EXPECT_TOLD(CONTINUED);
		if (policy == LIVECORE_ABORT_FATAL) {
			EXPECT_EQ(LIVECORE_STATE_HELD, state_of(fd));
			EXPECT_TRUE(EVENTUALLY(thread_is_parked(t.pid, t.page->slot[1].tid)));
			EXPECT_EQ(turns, target_turns(&t));
			EXPECT_EQ(1, pread(fd, &byte, 1, 0));
		} else {
			EXPECT_EQ(LIVECORE_STATE_ENDED, state_of(fd));
			EXPECT_TRUE(target_runs(&t));
		}
		close(fd);
		EXPECT_TRUE(target_runs(&t));
		EXPECT_TRUE(EVENTUALLY(delivered(&t, SIGCONT)));
		EXPECT_EQ(1, delivered(&t, SIGCONT));
		EXPECT_EQ(0, target_finish(&t));
	}
}

/* Stopped while it is held, and perhaps made to go on. */
CORE_RACE(stopped_meanwhile, 6)
{
	for (unsigned int policy = 0; policy < 3; policy++) {
		struct target t;
		int fd;

		target_start(&t, "taker", "h");
		target_settle(&t);
		fd = dump_with(&t, policy);
		ASSERT_LE(0, fd);
		CHECK(kill(t.pid, SIGSTOP));
		if (policy == LIVECORE_ABORT_FATAL) {
			EXPECT_EQ(LIVECORE_STATE_HELD, state_of(fd));
			EXPECT_EQ(0, told(&t));
		} else {
			EXPECT_EQ(LIVECORE_STATE_ENDED, state_of(fd));
		}
		close(fd);
		EXPECT_TOLD(STOPPED);
		EXPECT_TRUE(EVENTUALLY(all_in_state(&t, 'T')));
		CHECK(kill(t.pid, SIGCONT));
		EXPECT_TOLD(CONTINUED);
		EXPECT_TRUE(target_runs(&t));

		/* The latter takes the former back. */
		fd = dump_with(&t, LIVECORE_ABORT_FATAL);
		ASSERT_LE(0, fd);
		CHECK(kill(t.pid, SIGSTOP));
		CHECK(kill(t.pid, SIGCONT));
		close(fd);
		EXPECT_TRUE(target_runs(&t));
		EXPECT_EQ(0, told(&t));
		EXPECT_TRUE(EVENTUALLY(delivered(&t, SIGCONT) == 2));
		EXPECT_EQ(0, target_finish(&t));
	}
}

/* What asks for the same, and is not somebody who sends it. */

static const int job_control[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGCONT };

static void handle_job_control(struct target_self *self)
{
	struct sigaction action = { .sa_handler = was_delivered, .sa_flags = SA_RESTART };

	count_deliveries(self);
	for (size_t i = 0; i < ARRAY_SIZE(job_control); i++)
		CHECK(sigaction(job_control[i], &action, NULL));
}

/* It handles all of these; the argument is a terminal, in whose foreground it is. */
TARGET(in_foreground)
{
	handle_job_control(self);
	CHECK(setsid());
	/* It becomes the session's. */
	CHECK(open(self->argument, O_RDWR));
	target_spinners(self, 1);
	return target_serve(self);
}

/* It has come when its taker, the leader, does not sleep any more. */
static void expect_hold(struct __test_metadata *_metadata, struct target *t, int fd, bool ends)
{
	ASSERT_TRUE(EVENTUALLY(state_of(fd) == LIVECORE_STATE_ENDED ||
			       (!ends && thread_is_parked(t->pid, t->pid))));
	EXPECT_EQ(ends ? LIVECORE_STATE_ENDED : LIVECORE_STATE_HELD, state_of(fd));
	EXPECT_EQ(0, close(fd));
}

/* ^C, ^\ and ^Z, and a terminal that hangs up. */
CORE_TEST(asked_by_its_terminal)
{
	static const struct {
		int signal;
		char key;
	} keys[] = { { SIGINT, 3 }, { SIGQUIT, 28 }, { SIGTSTP, 26 } };

	/* So that it is not the watchdog. */
	sysctl_set("livecore_stall_ms", NEVER_MS);
	for (unsigned int policy = 0; policy < 3; policy++) {
		bool ends = policy != LIVECORE_ABORT_FATAL;
		int fd, master, terminal;
		struct target t;
		char path[64];

		CHECK(openpty(&master, &terminal, path, NULL, NULL));
		CHECK(fcntl(master, F_SETFD, FD_CLOEXEC));
		close(terminal);
		target_start(&t, "in_foreground", path);
		target_settle(&t);
		for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
			fd = dump_with(&t, policy);
			ASSERT_LE(0, fd);
			CHECK(write(master, &keys[i].key, 1));
			expect_hold(_metadata, &t, fd, ends);
			EXPECT_TRUE(EVENTUALLY(delivered(&t, keys[i].signal)));
			target_settle(&t);
		}
		fd = dump_with(&t, policy);
		ASSERT_LE(0, fd);
		close(master);
		expect_hold(_metadata, &t, fd, ends);
		EXPECT_TRUE(EVENTUALLY(delivered(&t, SIGHUP)));
		EXPECT_TRUE(target_runs(&t));
		EXPECT_EQ(0, target_finish(&t));
	}
}

/* 'f' and 'm': has a file, or a queue, send it the signal ASKED. */
TARGET(asker)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL };
	int async[2], queue;
	char command;

	handle_job_control(self);
	CHECK(pipe2(async, O_CLOEXEC));
	CHECK(fcntl(async[0], F_SETOWN, getpid()));
	CHECK(fcntl(async[0], F_SETFL, O_ASYNC));
	queue = CHECK(mq_open("/livecore", O_RDWR | O_CREAT | O_EXCL, 0600, NULL));
	CHECK(mq_unlink("/livecore"));
	self->page->value[ASYNC] = async[1];
	self->page->value[QUEUE] = queue;
	target_spinners(self, 1);
	target_event(self, 'R');
	while ((command = target_command(self))) {
		event.sigev_signo = LOAD(self->page->value[ASKED]);
		if (command == 'f')
			CHECK(fcntl(async[0], F_SETSIG, event.sigev_signo));
		if (command == 'm')
			CHECK(mq_notify(queue, &event));
		target_event(self, command);
	}
	return 0;
}

/* As the kernel does what a process has asked for. */
static void queue_as(struct target *t, int signal, int code)
{
	siginfo_t info = { .si_code = code };

	CHECK(syscall(SYS_rt_sigqueueinfo, t->pid, signal, &info));
}

CORE_TEST(asked_by_itself)
{
	static const int codes[] = { SI_TIMER, SI_MESGQ, SI_ASYNCIO, SI_SIGIO };
	int async, queue;
	struct target t;
	char message[8192];

	sysctl_set("livecore_stall_ms", NEVER_MS);
	target_start(&t, "asker", NULL);
	target_settle(&t);
	async = target_take_fd(&t, t.page->value[ASYNC]);
	queue = target_take_fd(&t, t.page->value[QUEUE]);
	for (size_t i = 0; i < 3 * ARRAY_SIZE(job_control); i++)
		for (size_t way = 0; way < 2 + ARRAY_SIZE(codes); way++) {
			unsigned int policy = i % 3;
			int signal = job_control[i / 3], fd;
			uint64_t before = delivered(&t, signal);

			STORE(t.page->value[ASKED], signal);
			if (way < 2)
				target_do(&t, way ? 'm' : 'f');
			target_settle(&t);
			fd = dump_with(&t, policy);
			ASSERT_LE(0, fd);
			if (way == 0)
				CHECK(write(async, "", 1));
			else if (way == 1)
				CHECK(mq_send(queue, "", 0, 0));
			else
				queue_as(&t, signal, codes[way - 2]);
			expect_hold(_metadata, &t, fd, policy == LIVECORE_ABORT_ANY);
			EXPECT_TRUE(EVENTUALLY(delivered(&t, signal) == before + 1));
			/* It tells of the first message alone. */
			if (way == 1)
				CHECK(mq_receive(queue, message, sizeof(message), NULL));
		}
	close(async);
	close(queue);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

/* A terminal, and who reads a core in its foreground. */

struct foreground {
	struct target *target;
	int terminal;
	bool waits;		/* in open, for its sleepers */
	int events;
	pid_t pid;
};

static int read_in_foreground(struct foreground *foreground)
{
	struct livecore_config config = {
		.size = sizeof(config),
		.set = LIVECORE_SET_BLOCKED,
		.blocked = foreground->waits ? LIVECORE_BLOCKED_WAIT : LIVECORE_BLOCKED_IN_PLACE,
	};
	char byte;
	int fd;

	CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL));
	CHECK(setpgid(0, 0));
	signal(SIGTTOU, SIG_IGN);
	CHECK(tcsetpgrp(foreground->terminal, getpid()));
	signal(SIGTTOU, SIG_DFL);
	STORE(foreground->pid, getpid());
	CHECK(write(foreground->events, "s", 1));
	/* It may take longer than the watchdog's second. */
	do
		fd = live_dump(foreground->target->pid, &config);
	while (fd == -ETIMEDOUT);
	if (fd < 0)
		return -fd;
	CHECK(write(foreground->events, "o", 1));
	/* Not all the time: it is to be told that it is stopped. */
	while (pread(fd, &byte, 1, 0) == 1)
		pause_briefly();
	return errno;
}

/* What a shell does: tells when the other one is stopped, and how it has ended. */
static int be_shell(void *argument)
{
	struct foreground *foreground = argument;
	pid_t pid;
	int status;

	CHECK(setsid());
	CHECK(ioctl(foreground->terminal, TIOCSCTTY, 0));
	pid = CHECK(fork());
	if (!pid)
		_exit(read_in_foreground(foreground));
	while (CHECK(waitpid(pid, &status, WUNTRACED)) == pid && WIFSTOPPED(status))
		CHECK(write(foreground->events, "z", 1));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void expect_event(int fd, char event)
{
	char seen = 0;

	if (read(fd, &seen, 1) != 1 || seen != event)
		FAIL("'%c' instead of '%c'", seen, event);
}

/* Returns the shell. */
static pid_t start_in_foreground(struct target *t, bool waits, struct foreground **foreground,
				 int *master, int *events)
{
	int pair[2];
	pid_t pid;

	*foreground = CHECK_POINTER(mmap(NULL, sizeof(**foreground), PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	(*foreground)->target = t;
	(*foreground)->waits = waits;
	CHECK(openpty(master, &(*foreground)->terminal, NULL, NULL, NULL));
	CHECK(pipe(pair));
	(*foreground)->events = pair[1];
	*events = pair[0];
	pid = race_process(be_shell, *foreground);
	close((*foreground)->terminal);
	close(pair[1]);
	expect_event(*events, 's');
	return pid;
}

/* ^Z, and fg: stopped, it does not read, and the watchdog has let the process go. */
CORE_RACE(reader_is_stopped_by_its_terminal, 1)
{
	struct foreground *foreground;
	int master, events;
	struct target t;
	pid_t shell;

	sysctl_set("livecore_stall_ms", 1000);
	target_start(&t, "taker", "h");
	target_settle(&t);
	shell = start_in_foreground(&t, false, &foreground, &master, &events);
	expect_event(events, 'o');
	CHECK(write(master, "\x1a", 1));
	expect_event(events, 'z');
	EXPECT_TRUE(target_runs(&t));
	CHECK(kill(foreground->pid, SIGCONT));
	EXPECT_EQ(ETIMEDOUT, race_process_end(shell));
	close(master);
	close(events);
	CHECK(munmap(foreground, sizeof(*foreground)));
	EXPECT_EQ(0, target_finish(&t));
}

/* ^Z while open waits: nobody is held while who wants it is stopped; and fg goes on with it. */
CORE_RACE(opener_is_stopped_by_its_terminal, 1)
{
	struct foreground *foreground;
	int master, events;
	struct target t;
	pid_t shell;

	target_start(&t, "taker", "h");
	target_settle(&t);
	shell = start_in_foreground(&t, true, &foreground, &master, &events);
	for (int round = 0; round < 3; round++) {
		ASSERT_TRUE(EVENTUALLY(thread_is_parked(t.pid, t.page->slot[1].tid)));
		CHECK(write(master, "\x1a", 1));
		expect_event(events, 'z');
		EXPECT_TRUE(race_nobody_parked(t.pid));
		EXPECT_TRUE(target_runs(&t));
		CHECK(kill(foreground->pid, SIGCONT));
	}
	ASSERT_TRUE(EVENTUALLY(thread_is_parked(t.pid, t.page->slot[1].tid)));
	/* Its sleeper comes: open has all of them. */
	target_send(&t, 'n');
	expect_event(events, 'o');
	/* ^C */
	CHECK(write(master, "\x03", 1));
	EXPECT_EQ(128 + SIGINT, race_process_end(shell));
	EXPECT_TRUE(race_nobody_parked(t.pid));
	target_expect(&t, 'n');
	EXPECT_TRUE(target_runs(&t));
	close(master);
	close(events);
	CHECK(munmap(foreground, sizeof(*foreground)));
	EXPECT_EQ(0, target_finish(&t));
}

enum { STOPS = 50 };

/* Stopped and made to go on, at any point of a dump: the two alternate for who waits for them. */
CORE_TEST(stopped_at_any_point)
{
	struct storm *storm = CHECK_POINTER(mmap(NULL, sizeof(*storm), PROT_READ | PROT_WRITE,
						 MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	unsigned long n = rounds(STOPS);
	struct target t;
	pid_t dumper;

	race_seed(0);
	target_start(&t, "taker", "d");
	target_settle(&t);
	storm->target = &t;
	dumper = race_process(dump_all_the_time, storm);
	for (unsigned long i = 0; i < n; i++) {
		race_delay();
		CHECK(kill(t.pid, i % 2 ? SIGSTOP : SIGTSTP));
		ASSERT_TRUE(EVENTUALLY(is_told(&t, true)));
		race_delay();
		CHECK(kill(t.pid, SIGCONT));
		ASSERT_TRUE(EVENTUALLY(is_told(&t, false)));
	}
	STORE(storm->stop, 1);
	EXPECT_EQ(0, race_process_end(dumper));
	EXPECT_EQ(0, told(&t));
	EXPECT_TRUE(race_nobody_parked(t.pid));
	EXPECT_TRUE(target_runs(&t));
	TH_LOG("%lu dumps, %lu ended by a signal", storm->dumps, storm->ended);
	tally("dumps", storm->dumps);
	tally("races provoked", 2 * n);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
