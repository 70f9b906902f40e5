// SPDX-License-Identifier: GPL-2.0
/*
 * Frozen cgroups, of both versions: around the reader, who then keeps nobody
 * longer than the watchdog lets him; around the process before it is dumped,
 * and while it is held. Nothing is lost, in whichever order they end.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>

#include "frame.h"
#include "freezer.h"
#include "listing.h"
#include "live.h"
#include "module.h"
#include "spinners.h"
#include "tally.h"

enum { SPINNERS = 2 };

#define STAY	"livecore_stay"

/* target_page.value[] */
enum { HANDLED };

static struct target_page *handler_page;

static void handler(int signal)
{
	(void)signal;
	__atomic_add_fetch(&handler_page->value[HANDLED], 1, __ATOMIC_SEQ_CST);
}

/* Handles SIGUSR1, and restarts what it was in. */
TARGET(spinners)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };

	handler_page = self->page;
	CHECK(sigaction(SIGUSR1, &action, NULL));
	spinners_start(self, SPINNERS);
	return target_serve(self);
}

static void *stay(void *argument)
{
	struct target_slot *slot = argument;
	int fd = CHECK(open("/dev/" STAY, O_RDONLY | O_CLOEXEC));

	STORE(slot->tid, gettid());
	slot->result = read(fd, (char *)&slot->value[0], 1);
	close(fd);
	return NULL;
}

/* Slot 2 runs in the kernel, until somebody writes to the device. */
TARGET(stays)
{
	struct target_slot *slot;

	spinners_start(self, 1);
	slot = target_slot(self);
	target_thread(slot, stay);
	if (!EVENTUALLY(LOAD(slot->value[0])))
		FAIL("it does not stay");
	return target_serve(self);
}

FIXTURE(freezer)
{
	struct sysctl_values sysctls;
	struct freezer freezer;
};

FIXTURE_VARIANT(freezer)
{
	int version;
};

FIXTURE_VARIANT_ADD(freezer, v1)
{
	.version = 1,
};

FIXTURE_VARIANT_ADD(freezer, v2)
{
	.version = 2,
};

FIXTURE_SETUP(freezer)
{
	sysctl_prepare(&self->sysctls);
	freezer_create(&self->freezer, variant->version);
}

FIXTURE_TEARDOWN_PARENT(freezer)
{
	module_put_back();
	sysctl_restore(&self->sysctls);
	freezer_destroy(&self->freezer);
}

#define FREEZER_TEST(name)	TEST_F_TIMEOUT(freezer, name, CORE_TEST_SECONDS)

/*
 * Version 1 looks once at each thread. A sleeper of a held process is woken by
 * that, and then parked, so that it takes another look to find it freezable.
 * Those who freeze by version 1 write until it is done (runc, for one).
 */
static bool is_frozen_now(const struct freezer *freezer)
{
	if (freezer->version == 1)
		freezer_freeze(freezer);
	return freezer_is_frozen(freezer);
}

static void freeze(const struct freezer *freezer)
{
	freezer_freeze(freezer);
	if (!EVENTUALLY(is_frozen_now(freezer)))
		FAIL("the cgroup is not frozen");
}

/* Reads, or holds at least, and does nothing else. */
struct reader {
	pid_t pid;
	int opened;
};

static void reader_start(struct reader *reader, pid_t pid)
{
	int opened[2];

	CHECK(pipe2(opened, O_CLOEXEC));
	fflush(NULL);
	reader->pid = CHECK(fork());
	if (!reader->pid) {
		char byte = 0;
		int fd;

		close(opened[0]);
		fd = core_open_in_time(pid);
		if (fd < 0)
			_exit(-fd);
		CHECK(write(opened[1], &byte, 1));
		while (pread(fd, &byte, 1, 0) == 1)
			;
		_exit(errno);
	}
	close(opened[1]);
	reader->opened = opened[0];
}

/* Until open has returned. */
static void reader_await(struct reader *reader)
{
	char byte;

	if (read(reader->opened, &byte, 1) != 1)
		FAIL("the reader has not opened it");
}

/* The errno that has ended it. */
static int reader_error(struct reader *reader)
{
	int status;

	CHECK(waitpid(reader->pid, &status, 0));
	close(reader->opened);
	if (!WIFEXITED(status))
		FAIL("the reader: status %#x", status);
	return WEXITSTATUS(status);
}

FREEZER_TEST(reader)
{
	struct reader reader;
	struct target t;

	target_start(&t, "spinners", NULL);
	target_settle(&t);
	sysctl_set("livecore_stall_ms", 1000);
	for (unsigned long i = 0; i < rounds(2); i++) {
		reader_start(&reader, t.pid);
		freezer_add(&self->freezer, reader.pid);
		reader_await(&reader);
		freeze(&self->freezer);
		/* By the watchdog, for nobody else does anything. */
		EXPECT_TRUE(target_runs(&t));
		EXPECT_TRUE(freezer_is_frozen(&self->freezer));
		freezer_thaw(&self->freezer);
		EXPECT_EQ(ETIMEDOUT, reader_error(&reader));
	}
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
	tally("dumps", rounds(2));
}

/*
 * Frozen while it is opening: as any signal does it, that ends the wait, and
 * the process runs at once. When it is thawed, open begins anew.
 */
FREEZER_TEST(opener)
{
	struct reader reader;
	struct target t;
	int let_go;

	test_module_load(STAY);
	let_go = CHECK(open("/dev/" STAY, O_WRONLY | O_CLOEXEC));
	target_start(&t, "stays", NULL);
	/* So that it is not the watchdog. */
	sysctl_set("livecore_stall_ms", NEVER_MS);
	reader_start(&reader, t.pid);
	freezer_add(&self->freezer, reader.pid);
	ASSERT_TRUE(EVENTUALLY(thread_waits_in(reader.pid, reader.pid,
					       "livecore_wait_for_zero")));
	ASSERT_TRUE(EVENTUALLY(thread_is_parked(t.pid, t.page->slot[1].tid)));
	freeze(&self->freezer);
	EXPECT_TRUE(target_runs(&t));
	CHECK(write(let_go, "", 1));
	EXPECT_TRUE(target_runs(&t));
	freezer_thaw(&self->freezer);
	reader_await(&reader);
	CHECK(kill(reader.pid, SIGKILL));
	CHECK(waitpid(reader.pid, NULL, 0));
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
	close(let_go);
	test_module_unload(STAY);
}

/* Frozen threads are asleep in the kernel: read there, as they are. */
FREEZER_TEST(process_before)
{
	struct target t;

	target_start(&t, "spinners", NULL);
	target_settle(&t);
	freezer_add(&self->freezer, t.pid);
	for (unsigned long i = 0; i < rounds(3); i++) {
		uint64_t turns;
		struct livecore_info info;
		struct image image;
		int fd;

		freeze(&self->freezer);
		turns = target_turns(&t);
		fd = core_open(t.pid);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, image_read(&image, fd));
		info = live_info_of(fd);
		EXPECT_EQ(1 + SPINNERS, info.threads);
		EXPECT_EQ(1 + SPINNERS, info.in_place);
		EXPECT_EQ(0, spinners_differ(&t, &image));
		image_free(&image);
		/* Even so it does not run before both let it. */
		if (i % 2) {
			freezer_thaw(&self->freezer);
			EXPECT_TRUE(EVENTUALLY(thread_is_parked(t.pid, t.page->slot[1].tid)));
			EXPECT_TRUE(EVENTUALLY(thread_is_parked(t.pid, t.page->slot[2].tid)));
			EXPECT_EQ(turns, target_turns(&t));
			close(fd);
		} else {
			close(fd);
			EXPECT_TRUE(freezer_is_frozen(&self->freezer));
			EXPECT_EQ(turns, target_turns(&t));
			freezer_thaw(&self->freezer);
		}
		EXPECT_TRUE(target_runs(&t));
	}
	EXPECT_EQ(0, target_finish(&t));
	tally("dumps", rounds(3));
}

/*
 * While it is held. In version 1, parked threads are frozen where they are; in
 * version 2 a thread is frozen on its way to user mode, which a held one is not
 * let go: the cgroup is not frozen before the hold ends.
 */
FREEZER_TEST(process_during)
{
	bool freezes_parked = variant->version == 1;
	struct target t;

	target_start(&t, "spinners", NULL);
	target_settle(&t);
	freezer_add(&self->freezer, t.pid);
	for (unsigned long i = 0; i < rounds(4); i++) {
		uint64_t handled = LOAD(t.page->value[HANDLED]);
		uint64_t turns;
		struct image image;
		int fd;

		EXPECT_TRUE(target_runs(&t));
		fd = core_open(t.pid);
		ASSERT_LE(0, fd);
		turns = target_turns(&t);
		CHECK(kill(t.pid, SIGUSR1));
		if (freezes_parked)
			freeze(&self->freezer);
		else
			freezer_freeze(&self->freezer);
		/* Read as any other. */
		ASSERT_EQ(0, image_read(&image, fd));
		EXPECT_EQ(0, spinners_differ(&t, &image));
		image_free(&image);
		EXPECT_EQ(freezes_parked, freezer_is_frozen(&self->freezer));
		if (i % 2) {
			/* Thawed first: held on. */
			freezer_thaw(&self->freezer);
			EXPECT_TRUE(EVENTUALLY(thread_is_parked(t.pid, t.page->slot[1].tid)));
			EXPECT_EQ(turns, target_turns(&t));
			close(fd);
		} else {
			/* Let go first: frozen, before it has run on. */
			close(fd);
			EXPECT_TRUE(EVENTUALLY(freezer_is_frozen(&self->freezer)));
			turns = target_turns(&t);
			EXPECT_EQ(handled, LOAD(t.page->value[HANDLED]));
			ASSERT_EQ(0, image_dump(&image, t.pid));
			image_free(&image);
			EXPECT_EQ(turns, target_turns(&t));
			freezer_thaw(&self->freezer);
		}
		EXPECT_TRUE(target_runs(&t));
		/* The signal is there, once. */
		EXPECT_TRUE(EVENTUALLY(LOAD(t.page->value[HANDLED]) > handled));
		EXPECT_EQ(handled + 1, LOAD(t.page->value[HANDLED]));
	}
	EXPECT_EQ(0, target_finish(&t));
	tally("dumps", rounds(4));
}

/* Both of them, in one cgroup: the watchdog is in none. */
FREEZER_TEST(both)
{
	struct reader reader;
	struct target t;

	target_start(&t, "spinners", NULL);
	target_settle(&t);
	sysctl_set("livecore_stall_ms", 1000);
	freezer_add(&self->freezer, t.pid);
	reader_start(&reader, t.pid);
	freezer_add(&self->freezer, reader.pid);
	reader_await(&reader);
	freezer_freeze(&self->freezer);
	EXPECT_TRUE(EVENTUALLY(listing_shows(t.pid, "ended")));
	EXPECT_TRUE(EVENTUALLY(freezer_is_frozen(&self->freezer)));
	freezer_thaw(&self->freezer);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(ETIMEDOUT, reader_error(&reader));
	EXPECT_EQ(0, target_finish(&t));
}

/* It can be killed, held and frozen: in version 1 once it is thawed. */
FREEZER_TEST(killed)
{
	struct target t;
	char byte;
	int fd;

	target_start(&t, "spinners", NULL);
	target_settle(&t);
	freezer_add(&self->freezer, t.pid);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	if (variant->version == 1)
		freeze(&self->freezer);
	else
		freezer_freeze(&self->freezer);
	CHECK(kill(t.pid, SIGKILL));
	EXPECT_EQ(-1, pread(fd, &byte, 1, 0));
	EXPECT_EQ(ECANCELED, errno);
	if (variant->version == 1)
		freezer_thaw(&self->freezer);
	EXPECT_EQ(SIGKILL, target_dies_within(&t, EVENT_SECONDS));
	close(fd);
}

/* What is parked and frozen has the module's code to leave yet, when it is let go. */
FREEZER_TEST(unload)
{
	struct target t;
	int fd;

	target_start(&t, "spinners", NULL);
	target_settle(&t);
	freezer_add(&self->freezer, t.pid);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	if (variant->version == 1)
		freeze(&self->freezer);
	else
		freezer_freeze(&self->freezer);
	close(fd);
	if (variant->version == 1) {
		EXPECT_EQ(-EWOULDBLOCK, module_unload());
		freezer_thaw(&self->freezer);
		EXPECT_TRUE(module_unloads());
	} else {
		EXPECT_TRUE(module_unloads());
		EXPECT_TRUE(EVENTUALLY(freezer_is_frozen(&self->freezer)));
		freezer_thaw(&self->freezer);
	}
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, module_load());
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
