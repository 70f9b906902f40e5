// SPDX-License-Identifier: GPL-2.0
/*
 * What may happen to a dump, in each of its states: what open, read and poll
 * say, and what becomes of the process. Documentation/internals/races.rst has
 * the same as a table, and `make lint` compares the two.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "fixture.h"
#include "listing.h"
#include "live.h"
#include "log.h"
#include "module.h"

enum {
	/* Limits that end a dump: the first that is tried, and the last. */
	SOON_MS		= 1000,
	LATE_MS		= 16000,
};

enum dump_state { HOLDING, HELD_STATE, SNAPSHOT, RELEASED };

/* Instead of an errno: there is nobody who could read. */
enum { NOBODY = -1 };

/* What becomes of the process. */
enum fate {
	HELD,	/* nothing: nobody runs */
	RUNS,
	STOPS,	/* by job control */
	DIES,
};

/* Who dumps: a process of its own, so that it can be killed. */
struct reader_page {
	uint32_t opened;	/* open has returned */
	int32_t fd;		/* or a negative errno */
	int32_t read;		/* errno of the last read, 0 if there was none */
	int32_t revents;	/* of a poll just before that */
};

struct dump {
	struct target t;
	struct target_slot *spinner;
	pid_t reader;
	int command;
	int event;
	struct reader_page *page;
	enum dump_state state;
	struct livecore_config config;
};

static struct target_page *handler_page;

static void count(int signal)
{
	(void)signal;
	__atomic_add_fetch(&handler_page->value[0], 1, __ATOMIC_SEQ_CST);
}

/* "h": with handlers. Its leader sleeps, one thread turns. */
TARGET(mixed)
{
	struct sigaction action = { .sa_handler = count, .sa_flags = SA_RESTART };
	char command;

	handler_page = self->page;
	if (*self->argument == 'h') {
		CHECK(sigaction(SIGTERM, &action, NULL));
		CHECK(sigaction(SIGUSR1, &action, NULL));
	}
	target_spinners(self, 1);
	target_event(self, 'R');
	while ((command = target_command(self))) {
		if (command == 'e')
			execl("/bin/true", "true", NULL);
		if (command == 'x')
			_exit(0);
		target_event(self, command);
	}
	return 0;
}

/* The reader's side. */
static void on_signal(int signal)
{
	(void)signal;
}

static void look(struct reader_page *page)
{
	struct pollfd poll_core = { .fd = page->fd, .events = POLLIN };
	char bytes[64];

	CHECK(poll(&poll_core, 1, 0));
	STORE(page->revents, poll_core.revents);
	STORE(page->read, pread(page->fd, bytes, sizeof(bytes), 0) < 0 ? errno : 0);
}

static void read_and_report(struct reader_page *page, pid_t pid, struct livecore_config *config,
			    int command, int event)
{
	struct sigaction action = { .sa_handler = on_signal };
	ssize_t got;
	char letter;

	/* Without SA_RESTART: an open that is interrupted says so. */
	CHECK(sigaction(SIGUSR1, &action, NULL));
	STORE(page->fd, live_dump(pid, config));
	STORE(page->opened, 1);
	while ((got = read(command, &letter, 1))) {
		if (got < 0)
			continue;
		if (letter == 'l')
			look(page);
		else if (letter == 'c')
			CHECK(close(page->fd));
		else if (letter == 'u')	/* reads on until that fails */
			do
				look(page);
			while (!page->read);
		else if (letter == 'f')
			STORE(page->read, -live_release(page->fd));
		CHECK(write(event, &letter, 1));
	}
	_exit(0);
}

static void reader_start(struct dump *d, struct livecore_config *config)
{
	int command[2], event[2];

	d->page = CHECK_POINTER(mmap(NULL, sizeof(*d->page), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	CHECK(pipe2(command, O_CLOEXEC));
	CHECK(pipe2(event, O_CLOEXEC));
	fflush(NULL);
	d->reader = CHECK(fork());
	if (!d->reader) {
		close(command[1]);
		close(event[0]);
		read_and_report(d->page, d->t.pid, config, command[0], event[1]);
	}
	close(command[0]);
	close(event[1]);
	d->command = command[1];
	d->event = event[0];
}

static void reader_send(struct dump *d, char letter)
{
	CHECK(write(d->command, &letter, 1));
}

static void reader_expect(struct dump *d, char letter)
{
	struct pollfd poll_event = { .fd = d->event, .events = POLLIN };
	char seen = 0;

	if (poll(&poll_event, 1, EVENT_SECONDS * 1000) != 1 || read(d->event, &seen, 1) != 1 ||
	    seen != letter)
		FAIL("the reader says '%c' instead of '%c'", seen, letter);
}

static void reader_do(struct dump *d, char letter)
{
	reader_send(d, letter);
	reader_expect(d, letter);
}

/* Has it ended by its limits before we have come that far? */
static bool has_run_out(struct dump *d)
{
	return d->config.set & (LIVECORE_SET_STALL_MS | LIVECORE_SET_HOLD_MAX_MS) &&
	       ((LOAD(d->page->opened) && LOAD(d->page->fd) == -ETIMEDOUT) ||
		listing_shows(d->t.pid, "ended"));
}

/* Is it as it is to be, from now until something happens? */
static bool is_there(struct dump *d)
{
	static const char * const names[] = { "holding", "held", "snapshot", "released" };

	return listing_shows(d->t.pid, names[d->state]) &&
	       (d->state > HELD_STATE || thread_is_parked(d->t.pid, d->spinner->tid));
}

/* The end of the reader closes whatever it has. */
static void reader_end(struct dump *d)
{
	close(d->command);
	if (CHECK(waitpid(d->reader, NULL, 0)) != d->reader)
		FAIL("another one is the reader");
	close(d->event);
	munmap(d->page, sizeof(*d->page));
}

/* False if it has run out already. */
static bool dump_try(struct dump *d)
{
	reader_start(d, &d->config);
	if (d->state != HOLDING && !EVENTUALLY(LOAD(d->page->opened)))
		FAIL("open does not return");
	if (d->state == RELEASED && LOAD(d->page->fd) >= 0)
		reader_do(d, 'f');
	if (!EVENTUALLY(is_there(d) || has_run_out(d)))
		FAIL("it does not come to be in state %d", d->state);
	return !has_run_out(d);
}

/*
 * A dump in @state of a target that was started with @argument. On a busy machine
 * it takes some time to come there: then its limits are longer.
 */
static void dump_start(struct dump *d, enum dump_state state, const char *argument,
		       struct livecore_config config)
{
	d->state = state;
	sysctl_set("livecore_stall_ms", NEVER_MS);
	target_start(&d->t, "mixed", argument);
	target_settle(&d->t);
	d->spinner = &d->t.page->slot[1];
	config.size = sizeof(config);
	config.set |= LIVECORE_SET_BLOCKED | LIVECORE_SET_MODE;
	/* The sleeper keeps open from returning. */
	config.blocked = state == HOLDING ? LIVECORE_BLOCKED_WAIT : LIVECORE_BLOCKED_IN_PLACE;
	config.mode = state == SNAPSHOT ? LIVECORE_MODE_SNAPSHOT : LIVECORE_MODE_HOLD;
	d->config = config;
	while (!dump_try(d)) {
		reader_end(d);
		if (d->config.stall_ms >= LATE_MS || d->config.hold_max_ms >= LATE_MS)
			FAIL("it has always ended before we were there");
		d->config.stall_ms *= 2;
		d->config.hold_max_ms *= 2;
	}
}

/* What happens. */

static void close_it(struct dump *d)
{
	reader_do(d, 'c');
}

static void kill_reader(struct dump *d)
{
	CHECK(kill(d->reader, SIGKILL));
}

static void signal_reader(struct dump *d)
{
	CHECK(kill(d->reader, SIGUSR1));
}

static void kill_target(struct dump *d)
{
	CHECK(kill(d->t.pid, SIGKILL));
}

static void terminate_target(struct dump *d)
{
	CHECK(kill(d->t.pid, SIGTERM));
}

static void stop_target(struct dump *d)
{
	CHECK(kill(d->t.pid, SIGSTOP));
}

static void continue_target(struct dump *d)
{
	CHECK(kill(d->t.pid, SIGCONT));
}

static void signal_target(struct dump *d)
{
	CHECK(kill(d->t.pid, SIGUSR1));
}

static void exit_target(struct dump *d)
{
	target_send(&d->t, 'x');
}

static void exec_target(struct dump *d)
{
	target_send(&d->t, 'e');
}

static void close_gate(struct dump *d)
{
	(void)d;
	sysctl_set("livecore_enable", 0);
}

/* So long that another dump, younger and of the same limits, has ended by them. */
static void wait_for_a_witness(const struct dump *d)
{
	struct livecore_config config = d->config;
	struct pollfd ended = {};
	struct target t;

	target_start(&t, "mixed", "h");
	target_settle(&t);
	config.set &= ~(LIVECORE_SET_BLOCKED | LIVECORE_SET_MODE);
	ended.fd = live_dump(t.pid, &config);
	/* It may have been while it opened. */
	if (ended.fd < 0 && ended.fd != -ETIMEDOUT)
		FAIL("the witness is not dumped: %d", ended.fd);
	/* POLLERR comes unasked. */
	if (ended.fd >= 0 && (poll(&ended, 1, EVENT_SECONDS * 1000) != 1 ||
			      !(ended.revents & POLLERR)))
		FAIL("the witness is not let go");
	if (ended.fd >= 0)
		close(ended.fd);
	if (target_finish(&t))
		FAIL("the witness fails");
}

static const struct livecore_config stalls_soon = {
	.set = LIVECORE_SET_STALL_MS,
	.stall_ms = SOON_MS,
};

static const struct livecore_config not_for_long = {
	.set = LIVECORE_SET_HOLD_MAX_MS,
	.hold_max_ms = SOON_MS,
};

static const struct livecore_config aborts_on_fatal = {
	.set = LIVECORE_SET_ABORT,
	.abort = LIVECORE_ABORT_FATAL,
};

static const struct livecore_config aborts_on_any = {
	.set = LIVECORE_SET_ABORT,
	.abort = LIVECORE_ABORT_ANY,
};

static const struct livecore_config as_it_is = {};

static void read_nothing(struct dump *d)
{
	wait_for_a_witness(d);
}

static void read_on(struct dump *d)
{
	if (d->state == HELD_STATE)
		reader_do(d, 'u');
	else
		wait_for_a_witness(d);
}

static void release_it(struct dump *d)
{
	reader_do(d, 'f');
}

static void open_again(struct dump *d)
{
	int fd = core_open(d->t.pid);
	int expected = d->state <= HELD_STATE ? -EBUSY : 0;

	if (fd < 0 ? fd != expected : expected)
		FAIL("the other open says %d", fd);
	if (fd >= 0)
		close(fd);
}

static void unload_module(struct dump *d)
{
	int error = module_unload();

	(void)d;
	if (error != -EAGAIN)
		FAIL("unloading says %d", error);
}

/* What has come of it. */

static int poll_of(int error)
{
	return error ? POLLIN | POLLERR : POLLIN;
}

static void expect_fate(struct __test_metadata *_metadata, struct dump *d, enum fate fate)
{
	struct listing_row row;
	uint64_t turns;
	int status;

	switch (fate) {
	case HELD:
		EXPECT_TRUE(EVENTUALLY(thread_is_parked(d->t.pid, d->spinner->tid)));
		turns = target_turns(&d->t);
		EXPECT_TRUE(listing_of(d->t.pid, &row));
		EXPECT_EQ(turns, target_turns(&d->t));
		break;
	case RUNS:
		EXPECT_TRUE(target_runs(&d->t));
		break;
	case STOPS:
		EXPECT_TRUE(EVENTUALLY(thread_state(d->t.pid, d->spinner->tid) == 'T'));
		CHECK(kill(d->t.pid, SIGCONT));
		EXPECT_TRUE(target_runs(&d->t));
		break;
	case DIES:
		status = target_dies_within(&d->t, EVENT_SECONDS);
		EXPECT_NE(-1, status);
		break;
	}
}

/* A hold that still stands is completed, now that it may. */
static void complete(struct dump *d)
{
	if (d->state == HOLDING)
		target_send(&d->t, 'p');
	if (!EVENTUALLY(LOAD(d->page->opened)))
		FAIL("open does not return");
}

static void expect_error(struct __test_metadata *_metadata, struct dump *d, int error)
{
	ASSERT_TRUE(EVENTUALLY(LOAD(d->page->opened)));
	if (d->state == HOLDING && error) {
		EXPECT_EQ(-error, d->page->fd);
		return;
	}
	ASSERT_LE(0, d->page->fd);
	reader_do(d, 'l');
	EXPECT_EQ(error, d->page->read);
	EXPECT_EQ(poll_of(error), d->page->revents);
	/* It stays so. */
	reader_do(d, 'l');
	EXPECT_EQ(error, d->page->read);
}

static void run_cell(struct __test_metadata *_metadata, enum dump_state state, const char *argument,
		     const struct livecore_config *config, void (*happen)(struct dump *d),
		     int error, enum fate fate)
{
	struct listing_row row;
	int log = log_open();
	struct image image;
	struct dump d;

	dump_start(&d, state, argument, *config);
	happen(&d);
	expect_fate(_metadata, &d, fate);
	if (fate == HELD)
		complete(&d);
	if (error != NOBODY) {
		expect_error(_metadata, &d, error);
		if (d.page->fd >= 0)
			close_it(&d);
		EXPECT_FALSE(listing_of(d.t.pid, &row));
	}
	reader_end(&d);
	EXPECT_FALSE(listing_of(d.t.pid, &row));
	/* Both are of the same user. */
	EXPECT_FALSE(log_has(log, "livecore: ", ""));
	close(log);
	if (fate == DIES)
		return;
	/* The process is as before, and so is the module. */
	if (fate == HELD && state == HOLDING)
		target_expect(&d.t, 'p');
	EXPECT_TRUE(target_runs(&d.t));
	sysctl_set("livecore_enable", 1);
	EXPECT_EQ(0, image_dump(&image, d.t.pid));
	image_free(&image);
	EXPECT_EQ(0, target_finish(&d.t));
}

#define CELL_STATE_holding	HOLDING
#define CELL_STATE_held		HELD_STATE
#define CELL_STATE_snapshot	SNAPSHOT
#define CELL_STATE_released	RELEASED

/* The test <event>_while_<state>, of a target with handlers ("h") or without. */
#define CELL(event, state, argument, config, happen, error, fate)	\
	static void event##_in_##state(struct __test_metadata *_metadata) \
	{								\
		run_cell(_metadata, CELL_STATE_##state, argument,	\
			 &(config), happen, error, fate);		\
	}								\
	CORE_TEST(event##_while_##state)				\
	{								\
		event##_in_##state(_metadata);				\
	}

CELL(closed, held, "", as_it_is, close_it, NOBODY, RUNS)
CELL(closed, snapshot, "", as_it_is, close_it, NOBODY, RUNS)
CELL(closed, released, "", as_it_is, close_it, NOBODY, RUNS)

CELL(reader_killed, holding, "", as_it_is, kill_reader, NOBODY, RUNS)
CELL(reader_killed, held, "", as_it_is, kill_reader, NOBODY, RUNS)
CELL(reader_killed, snapshot, "", as_it_is, kill_reader, NOBODY, RUNS)
CELL(reader_killed, released, "", as_it_is, kill_reader, NOBODY, RUNS)

CELL(reader_signalled, holding, "", as_it_is, signal_reader, EINTR, RUNS)
CELL(reader_signalled, held, "", as_it_is, signal_reader, 0, HELD)
CELL(reader_signalled, snapshot, "", as_it_is, signal_reader, 0, RUNS)
CELL(reader_signalled, released, "", as_it_is, signal_reader, 0, RUNS)

CELL(killed, holding, "", as_it_is, kill_target, ECANCELED, DIES)
CELL(killed, held, "", as_it_is, kill_target, ECANCELED, DIES)
CELL(killed, snapshot, "", as_it_is, kill_target, 0, DIES)
CELL(killed, released, "", as_it_is, kill_target, ESRCH, DIES)

CELL(ended_by_signal, holding, "", as_it_is, terminate_target, ECANCELED, DIES)
CELL(ended_by_signal, held, "", as_it_is, terminate_target, ECANCELED, DIES)
CELL(ended_by_signal, snapshot, "", as_it_is, terminate_target, 0, DIES)
CELL(ended_by_signal, released, "", as_it_is, terminate_target, ESRCH, DIES)

CELL(asked_to_end, holding, "h", as_it_is, terminate_target, ECANCELED, RUNS)
CELL(asked_to_end, held, "h", as_it_is, terminate_target, ECANCELED, RUNS)
CELL(asked_to_end, snapshot, "h", as_it_is, terminate_target, 0, RUNS)
CELL(asked_to_end, released, "h", as_it_is, terminate_target, 0, RUNS)

CELL(asked_to_stop, holding, "", as_it_is, stop_target, ECANCELED, STOPS)
CELL(asked_to_stop, held, "", as_it_is, stop_target, ECANCELED, STOPS)
CELL(asked_to_stop, snapshot, "", as_it_is, stop_target, 0, STOPS)
CELL(asked_to_stop, released, "", as_it_is, stop_target, 0, STOPS)

CELL(asked_to_go_on, holding, "", as_it_is, continue_target, ECANCELED, RUNS)
CELL(asked_to_go_on, held, "", as_it_is, continue_target, ECANCELED, RUNS)
CELL(asked_to_go_on, snapshot, "", as_it_is, continue_target, 0, RUNS)
CELL(asked_to_go_on, released, "", as_it_is, continue_target, 0, RUNS)

CELL(asked_with_abort_0, holding, "h", aborts_on_fatal, terminate_target, 0, HELD)
CELL(asked_with_abort_0, held, "h", aborts_on_fatal, terminate_target, 0, HELD)
CELL(asked_with_abort_0, snapshot, "h", aborts_on_fatal, terminate_target, 0, RUNS)
CELL(asked_with_abort_0, released, "h", aborts_on_fatal, terminate_target, 0, RUNS)

CELL(signalled, holding, "h", as_it_is, signal_target, 0, HELD)
CELL(signalled, held, "h", as_it_is, signal_target, 0, HELD)
CELL(signalled, snapshot, "h", as_it_is, signal_target, 0, RUNS)
CELL(signalled, released, "h", as_it_is, signal_target, 0, RUNS)

CELL(signalled_with_abort_2, holding, "h", aborts_on_any, signal_target, ECANCELED, RUNS)
CELL(signalled_with_abort_2, held, "h", aborts_on_any, signal_target, ECANCELED, RUNS)
CELL(signalled_with_abort_2, snapshot, "h", aborts_on_any, signal_target, 0, RUNS)
CELL(signalled_with_abort_2, released, "h", aborts_on_any, signal_target, 0, RUNS)

CELL(exits, snapshot, "", as_it_is, exit_target, 0, DIES)
CELL(exits, released, "", as_it_is, exit_target, ESRCH, DIES)

CELL(execs, snapshot, "", as_it_is, exec_target, 0, DIES)
CELL(execs, released, "", as_it_is, exec_target, ESRCH, DIES)

CELL(gate_closed, holding, "", as_it_is, close_gate, ECANCELED, RUNS)
CELL(gate_closed, held, "", as_it_is, close_gate, ECANCELED, RUNS)
CELL(gate_closed, snapshot, "", as_it_is, close_gate, ECANCELED, RUNS)
CELL(gate_closed, released, "", as_it_is, close_gate, ECANCELED, RUNS)

CELL(stalled, holding, "", stalls_soon, read_nothing, ETIMEDOUT, RUNS)
CELL(stalled, held, "", stalls_soon, read_nothing, ETIMEDOUT, RUNS)
CELL(stalled, snapshot, "", stalls_soon, read_nothing, 0, RUNS)
CELL(stalled, released, "", stalls_soon, read_nothing, 0, RUNS)

CELL(held_long, holding, "", not_for_long, read_on, ETIMEDOUT, RUNS)
CELL(held_long, held, "", not_for_long, read_on, ETIMEDOUT, RUNS)
CELL(held_long, snapshot, "", not_for_long, read_on, 0, RUNS)
CELL(held_long, released, "", not_for_long, read_on, 0, RUNS)

CELL(let_go, held, "", as_it_is, release_it, 0, RUNS)
CELL(let_go, snapshot, "", as_it_is, release_it, 0, RUNS)
CELL(let_go, released, "", as_it_is, release_it, 0, RUNS)

CELL(opened_again, holding, "", as_it_is, open_again, 0, HELD)
CELL(opened_again, held, "", as_it_is, open_again, 0, HELD)
CELL(opened_again, snapshot, "", as_it_is, open_again, 0, RUNS)
CELL(opened_again, released, "", as_it_is, open_again, 0, RUNS)

CELL(unload, holding, "", as_it_is, unload_module, 0, HELD)
CELL(unload, held, "", as_it_is, unload_module, 0, HELD)
CELL(unload, snapshot, "", as_it_is, unload_module, 0, RUNS)
CELL(unload, released, "", as_it_is, unload_module, 0, RUNS)

CORE_TEST_MAIN
