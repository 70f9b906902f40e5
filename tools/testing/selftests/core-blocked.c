// SPDX-License-Identifier: GPL-2.0
/*
 * kernel.livecore_blocked: threads asleep in the kernel are read where they
 * sleep (1), or waited for and given up (0). Neither wakes them. Those that
 * wake by themselves are captured again while open lasts; later they stay what
 * their notes say.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "frame.h"
#include "live.h"
#include "module.h"
#include "pattern.h"
#include "registers.h"
#include "sleepers.h"
#include "sleepers_wake.h"

enum {
	SPINNERS	= 2,
	/* Enough for those that spin. */
	TIMEOUT_MS	= 3000,
};

#define STAY	"livecore_stay"

/* target_page.value[] and target_slot.value[] */
enum { READ_RETURN };
enum { RSP, FS_BASE, BYTE, FD };

FIXTURE(blocked)
{
	struct sysctl_values sysctls;
};

FIXTURE_SETUP(blocked)
{
	sysctl_prepare(&self->sysctls);
	test_module_load(STAY);
}

FIXTURE_TEARDOWN_PARENT(blocked)
{
	sysctl_restore(&self->sysctls);
	test_module_unload(STAY);
}

#define BLOCKED_TEST(name)	TEST_F_TIMEOUT(blocked, name, CORE_TEST_SECONDS)

TARGET(sleepers)
{
	sleepers_start(self);
	target_spinners(self, SPINNERS);
	target_event(self, 'R');
	if (target_command(self)) {
		sleepers_wake();
		target_event(self, 'w');
		target_command(self);
	}
	sleepers_clean();
	return 0;
}

static void expect_spinners_parked(struct __test_metadata *_metadata, const struct target *t,
				   const struct image *image)
{
	for (uint32_t i = 0; i < t->page->nr_slots; i++) {
		const struct target_slot *slot = &t->page->slot[i];
		const struct image_thread *thread;

		if (slot->nr != SPINS)
			continue;
		thread = image_thread(image, slot->tid);
		ASSERT_NE(NULL, thread);
		EXPECT_EQ(LIVECORE_THREAD_PARKED, live_thread(image, slot->tid)->how);
		EXPECT_NE(0, registers_of(thread).rip);
		EXPECT_NE(NULL, thread->fpregs);
		EXPECT_EQ(1, thread->prstatus->pr_fpvalid);
	}
}

BLOCKED_TEST(given_up)
{
	struct livecore_info info;
	unsigned int sleepers = 1;	/* the leader */
	const char *before;
	struct image image;
	double begin, end;
	struct target t;
	int fd;

	target_start(&t, "sleepers", NULL);
	target_settle(&t);
	before = fingerprint(t.pid);
	sysctl_set("livecore_blocked", 0);
	sysctl_set("livecore_timeout_ms", TIMEOUT_MS);
	begin = seconds_now();
	fd = core_open(t.pid);
	end = seconds_now();
	ASSERT_LE(0, fd);
	EXPECT_LE(TIMEOUT_MS / 1000.0, end - begin);
	ASSERT_EQ(0, image_read(&image, fd));
	EXPECT_EQ(t.page->nr_slots, image.nr_threads);
	for (uint32_t i = 0; i < t.page->nr_slots; i++) {
		struct target_slot *slot = &t.page->slot[i];
		const struct image_thread *thread = image_thread(&image, slot->tid);
		const struct livecore_note_thread *live = live_thread(&image, slot->tid);

		if (slot->nr == SPINS)
			continue;
		ASSERT_NE(NULL, thread);
		ASSERT_NE(NULL, live);
		EXPECT_EQ(LIVECORE_THREAD_ZEROED, live->how);
		EXPECT_TRUE(registers_are_zeroed(thread))
			TH_LOG("in call %d", slot->nr);
		sleepers += i > 0;
	}
	expect_spinners_parked(_metadata, &t, &image);
	EXPECT_EQ(LIVECORE_INEXACT_REGISTERS,
		  live_note(&image)->inexact & LIVECORE_INEXACT_REGISTERS);
	info = live_info_of(fd);
	EXPECT_EQ(sleepers, info.zeroed);
	EXPECT_EQ(SPINNERS, info.parked);
	EXPECT_EQ(0, info.in_place);
	EXPECT_EQ(sleepers + SPINNERS, info.threads);
	EXPECT_LE(TIMEOUT_MS * 1000000ULL, info.hold_ns);
	image_free(&image);
	close(fd);
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	expect_sleepers(_metadata, &t);
	EXPECT_EQ(0, target_finish(&t));
}

/* The same process: all of them read where they sleep, without any waiting. */
BLOCKED_TEST(read_in_place)
{
	struct livecore_info info;
	unsigned int sleepers = 1;
	const char *before;
	struct image image;
	struct target t;
	double begin;
	int fd;

	target_start(&t, "sleepers", NULL);
	target_settle(&t);
	before = fingerprint(t.pid);
	EXPECT_EQ(1, sysctl_get("livecore_blocked"));
	begin = seconds_now();
	/* That has 60 seconds to wait. */
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_GT(60, seconds_now() - begin);
	ASSERT_EQ(0, image_read(&image, fd));
	for (uint32_t i = 0; i < t.page->nr_slots; i++) {
		struct target_slot *slot = &t.page->slot[i];
		const struct image_thread *thread = image_thread(&image, slot->tid);
		const struct livecore_note_thread *live = live_thread(&image, slot->tid);
		struct thread_syscall now;

		if (slot->nr == SPINS)
			continue;
		ASSERT_NE(NULL, thread);
		ASSERT_NE(NULL, live);
		EXPECT_EQ(LIVECORE_THREAD_IN_PLACE, live->how);
		ASSERT_TRUE(thread_syscall(t.pid, slot->tid, &now));
		EXPECT_EQ(slot->nr, (long)registers_of(thread).orig_rax);
		EXPECT_EQ(now.pc, registers_of(thread).rip);
		EXPECT_EQ(now.sp, registers_of(thread).rsp);
		EXPECT_NE(NULL, thread->fpregs);
		sleepers += i > 0;
	}
	expect_spinners_parked(_metadata, &t, &image);
	EXPECT_EQ(0, live_note(&image)->inexact & LIVECORE_INEXACT_REGISTERS);
	info = live_info_of(fd);
	EXPECT_EQ(sleepers, info.in_place);
	EXPECT_EQ(SPINNERS, info.parked);
	EXPECT_EQ(0, info.zeroed);
	image_free(&image);
	close(fd);
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	expect_sleepers(_metadata, &t);
	EXPECT_EQ(0, target_finish(&t));
}

struct worker {
	struct target_slot *slot;
	struct pattern pattern;
	struct pattern after;
};

static struct worker workers[2];

/* read() of one byte, with known registers. */
static void *read_byte(void *argument)
{
	struct target_slot *slot = argument;
	struct worker *w = workers;

	while (w->slot != slot)
		w++;
	slot->value[FS_BASE] = (uint64_t)pthread_self();
	STORE(slot->tid, gettid());
	pattern_read(&w->pattern, &w->after, slot->value[FD], (char *)slot->value[BYTE]);
	STORE(slot->result, w->after.rax);
	STORE(slot->counter, 1);
	return NULL;
}

static void start_reader(struct target_self *self, struct worker *w, int fd, char *byte)
{
	pattern_fill(&w->pattern, w - workers);
	w->slot = target_slot(self);
	w->slot->nr = SYS_read;
	w->slot->value[FD] = fd;
	w->slot->value[BYTE] = (uint64_t)byte;
	target_thread(w->slot, read_byte);
}

/* Slot 1 sleeps in read() of a FIFO whose name is the argument. */
TARGET(reader)
{
	static char byte;

	self->page->value[READ_RETURN] = (uint64_t)pattern_read_return;
	start_reader(self, workers, CHECK(open(self->argument, O_RDWR | O_CLOEXEC)), &byte);
	if (!EVENTUALLY(LOAD(workers->pattern.rsp)))
		FAIL("it does not start");
	workers->slot->value[RSP] = workers->pattern.rsp;
	target_event(self, 'R');
	target_command(self);
	/* Slot 2, when asked for, stays busy in the kernel. */
	start_reader(self, workers + 1, CHECK(open("/dev/" STAY, O_RDONLY | O_CLOEXEC)),
		     (char *)&self->page->value[TARGET_VALUES - 1]);
	target_event(self, 'g');
	target_command(self);
	return 0;
}

static int make_fifo(const char *path)
{
	CHECK(mkfifo(path, 0600));
	return CHECK(open(path, O_RDWR | O_CLOEXEC));
}

/* The registers of slot 1 at the entry into its call, or at its end. */
static void expect_reader(struct __test_metadata *_metadata, const struct target *t,
			  const struct image *image, long rax)
{
	const struct target_slot *slot = &t->page->slot[1];
	const struct image_thread *thread = image_thread(image, slot->tid);
	struct user_regs_struct expected, seen;
	struct pattern pattern;

	ASSERT_NE(NULL, thread);
	pattern_fill(&pattern, 0);
	seen = registers_of(thread);
	expected = registers_of_pattern(&pattern);
	registers_in_syscall(&expected, SYS_read, t->page->value[READ_RETURN],
			     (uint64_t[]){ slot->value[FD], slot->value[BYTE], 1 });
	expected.rax = rax;
	expected.r11 = seen.eflags;
	expected.rsp = slot->value[RSP];
	expected.fs_base = slot->value[FS_BASE];
	EXPECT_EQ(0, registers_differ(&expected, &seen));
	ASSERT_NE(NULL, thread->fpregs);
	EXPECT_EQ(pattern.mxcsr, thread->fpregs->mxcsr);
}

/*
 * While open waits for somebody else, a sleeper that it has read already is
 * woken, and comes to the boundary: its registers are those at the end of the
 * call, and it is parked like all others that arrive.
 */
BLOCKED_TEST(woken_before_open_returns)
{
	int let_go = CHECK(open("/dev/" STAY, O_WRONLY | O_CLOEXEC));
	int fifo = make_fifo("first");
	struct livecore_info info;
	struct target_slot *slot;
	pid_t test = getpid();
	struct image image;
	struct target t;
	int status, fd;
	pid_t waker;

	target_start(&t, "reader", "first");
	target_settle(&t);
	target_do(&t, 'g');
	slot = &t.page->slot[1];
	ASSERT_TRUE(EVENTUALLY(LOAD(t.page->value[TARGET_VALUES - 1])));
	ASSERT_TRUE(EVENTUALLY(thread_rests_in(t.pid, t.pid, SYS_read)));
	waker = CHECK(fork());
	if (!waker) {
		if (!EVENTUALLY(thread_waits_in(test, test, "livecore_wait_for_zero")))
			FAIL("open does not wait");
		CHECK(write(fifo, "", 1));
		if (!EVENTUALLY(thread_is_parked(t.pid, slot->tid)))
			FAIL("the sleeper is not parked");
		CHECK(write(let_go, "", 1));
		_exit(0);
	}
	/* That waits for the thread that is busy in the kernel. */
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(waker, waitpid(waker, &status, 0));
	EXPECT_EQ(0, status);
	ASSERT_EQ(0, image_read(&image, fd));
	EXPECT_EQ(LIVECORE_THREAD_PARKED, live_thread(&image, slot->tid)->how);
	expect_reader(_metadata, &t, &image, 1);
	EXPECT_EQ(0, LOAD(slot->counter));
	info = live_info_of(fd);
	EXPECT_EQ(3, info.threads);
	EXPECT_EQ(2, info.parked);
	EXPECT_EQ(1, info.in_place);
	EXPECT_EQ(0, info.running);
	EXPECT_EQ(0, info.moved);
	image_free(&image);
	close(fd);
	EXPECT_TRUE(EVENTUALLY(LOAD(slot->counter)));
	EXPECT_EQ(1, slot->result);
	close(let_go);
	close(fifo);
	EXPECT_EQ(0, target_finish(&t));
}

/* Waited for, too, it is one that arrives: open has no need of the timeout. */
BLOCKED_TEST(woken_while_waited_for)
{
	int fifo = make_fifo("second");
	struct livecore_info info;
	struct target_slot *slot;
	pid_t test = getpid();
	struct image image;
	double begin;
	struct target t;
	int status, fd;
	pid_t waker;

	target_start(&t, "reader", "second");
	target_settle(&t);
	slot = &t.page->slot[1];
	sysctl_set("livecore_blocked", 0);
	waker = CHECK(fork());
	if (!waker) {
		if (!EVENTUALLY(thread_waits_in(test, test, "livecore_wait_for_zero")))
			FAIL("open does not wait");
		CHECK(write(fifo, "", 1));
		/* And the leader. */
		target_send(&t, 'g');
		_exit(0);
	}
	begin = seconds_now();
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_GT(60, seconds_now() - begin);
	ASSERT_EQ(waker, waitpid(waker, &status, 0));
	EXPECT_EQ(0, status);
	ASSERT_EQ(0, image_read(&image, fd));
	expect_reader(_metadata, &t, &image, 1);
	EXPECT_EQ(0, LOAD(slot->counter));
	info = live_info_of(fd);
	EXPECT_EQ(2, info.parked);
	EXPECT_EQ(2, info.threads);
	image_free(&image);
	close(fd);
	EXPECT_TRUE(EVENTUALLY(LOAD(slot->counter)));
	EXPECT_EQ(1, slot->result);
	close(fifo);
	EXPECT_EQ(0, target_finish(&t));
}

BLOCKED_TEST(woken_after_open)
{
	struct image image, again;
	int fifo = make_fifo("third");
	struct livecore_info info;
	struct target_slot *slot;
	struct target t;
	int fd;

	target_start(&t, "reader", "third");
	target_settle(&t);
	slot = &t.page->slot[1];
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, image_read(&image, fd));
	expect_reader(_metadata, &t, &image, -ENOSYS);
	EXPECT_EQ(LIVECORE_THREAD_IN_PLACE, live_thread(&image, slot->tid)->how);
	info = live_info_of(fd);
	EXPECT_EQ(2, info.in_place);
	EXPECT_EQ(0, info.moved);

	CHECK(write(fifo, "", 1));
	ASSERT_TRUE(EVENTUALLY(thread_is_parked(t.pid, slot->tid)));
	EXPECT_EQ(0, LOAD(slot->counter));
	info = live_info_of(fd);
	EXPECT_EQ(1, info.in_place);
	EXPECT_EQ(1, info.moved);
	EXPECT_EQ(0, info.parked);
	EXPECT_EQ(2, info.threads);
	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	ASSERT_EQ(0, image_read(&again, fd));
	EXPECT_EQ(image.size, again.size);
	EXPECT_EQ(0, memcmp(image.data, again.data,
			    image.phdr[0].p_offset + image.phdr[0].p_filesz));
	image_free(&image);
	image_free(&again);
	close(fd);
	EXPECT_TRUE(EVENTUALLY(LOAD(slot->counter)));
	EXPECT_EQ(1, slot->result);
	close(fifo);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
