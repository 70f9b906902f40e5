// SPDX-License-Identifier: GPL-2.0
/*
 * Threads that neither reach user mode nor sleep while a dump is opened: those
 * that wait for a CPU, and one that is busy in the kernel. Their notes have the
 * general registers with which they entered the kernel, and no others.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/syscall.h>

#include "cgroup.h"
#include "frame.h"
#include "live.h"
#include "module.h"
#include "pattern.h"
#include "registers.h"

enum {
	SPINNERS	= 64,
	/* 5 % of one CPU. All of it is used up long before the period is over. */
	QUOTA_US	= 50000,
	PERIOD_US	= 1000000,
	TIMEOUT_MS	= 200,
	/* Each has four chances of five to see threads that wait for a CPU. */
	ROUNDS		= 20,
};

#define STAY	"livecore_stay"

/* target_page.value[] and target_slot.value[] */
enum { SPIN_BEGIN, SPIN_END, READ_RETURN, STOP };
enum { RSP, FS_BASE, BEGUN, STAY_FD };

struct worker {
	struct target_slot *slot;
	struct pattern pattern;
	struct pattern after;
};

static struct worker workers[SPINNERS];
static uint32_t *stop;
static int gate[2];

FIXTURE(running)
{
	struct sysctl_values sysctls;
};

FIXTURE_SETUP(running)
{
	sysctl_prepare(&self->sysctls);
	test_module_load(STAY);
}

FIXTURE_TEARDOWN_PARENT(running)
{
	sysctl_restore(&self->sysctls);
	cgroup_destroy();
	test_module_unload(STAY);
}

#define RUNNING_TEST(name)	TEST_F_TIMEOUT(running, name, CORE_TEST_SECONDS)

static struct worker *worker_of(struct target_slot *slot)
{
	struct worker *w = workers;

	while (w->slot != slot)
		w++;
	slot->value[FS_BASE] = (uint64_t)pthread_self();
	return w;
}

static void *spin(void *argument)
{
	struct target_slot *slot = argument;
	struct worker *w = worker_of(slot);
	char byte;

	STORE(slot->tid, gettid());
	CHECK(read(gate[0], &byte, 1));
	pattern_spin(&w->pattern, &w->after, &slot->counter, stop);
	/* Which is what the code itself has changed. */
	w->after.rsi = w->pattern.rsi;
	STORE(slot->result, !memcmp(&w->after, &w->pattern, sizeof(w->after)));
	return NULL;
}

static void publish(struct target_self *self)
{
	stop = &self->page->stop;
	self->page->value[SPIN_BEGIN] = (uint64_t)pattern_spin_begin;
	self->page->value[SPIN_END] = (uint64_t)pattern_spin_end;
	self->page->value[READ_RETURN] = (uint64_t)pattern_read_return;
	self->page->value[STOP] = (uint64_t)stop;
}

/* They begin when all of them are there. */
TARGET(spinners)
{
	static const char bytes[SPINNERS];

	cgroup_enter();
	publish(self);
	CHECK(pipe(gate));
	for (int n = 0; n < SPINNERS; n++) {
		struct worker *w = &workers[n];

		pattern_fill(&w->pattern, n);
		w->slot = target_slot(self);
		w->slot->nr = SPINS;
		/* The counter's address in the target, which rdi has. */
		w->slot->value[BEGUN] = (uint64_t)&w->slot->counter;
		target_thread(w->slot, spin);
	}
	target_event(self, 'R');
	target_command(self);
	CHECK(write(gate[1], bytes, SPINNERS));
	for (int n = 0; n < SPINNERS; n++) {
		if (!EVENTUALLY(LOAD(workers[n].slot->counter)))
			FAIL("thread %d does not start", n);
		workers[n].slot->value[RSP] = workers[n].pattern.rsp;
	}
	target_event(self, 's');
	target_command(self);
	for (int n = 0; n < SPINNERS; n++)
		if (!EVENTUALLY(LOAD(workers[n].slot->result)))
			FAIL("registers of thread %d changed, or it does not end", n);
	target_event(self, 'g');
	target_command(self);
	return 0;
}

/* Right whether it has arrived or not; true if it has not. */
static bool expect_spinner(struct __test_metadata *_metadata, const struct target *t, int n,
			   const struct image *image)
{
	const struct target_slot *slot = &t->page->slot[1 + n];
	const struct image_thread *thread = image_thread(image, slot->tid);
	const struct livecore_note_thread *live = live_thread(image, slot->tid);
	struct user_regs_struct expected, seen;
	struct pattern pattern;

	EXPECT_NE(NULL, thread);
	EXPECT_NE(NULL, live);
	if (!thread || !live)
		return false;
	seen = registers_of(thread);
	pattern_fill(&pattern, n);
	expected = registers_of_pattern(&pattern);
	expected.rdi = slot->value[BEGUN];
	expected.rsi = t->page->value[STOP];
	expected.rsp = slot->value[RSP];
	expected.fs_base = slot->value[FS_BASE];
	expected.rip = seen.rip;
	EXPECT_EQ(0, registers_differ(&expected, &seen))
		TH_LOG("thread %d, captured in way %d", n, live->how);
	EXPECT_LE(t->page->value[SPIN_BEGIN], seen.rip);
	EXPECT_GT(t->page->value[SPIN_END], seen.rip);
	EXPECT_EQ(-1, live->syscall);
	EXPECT_EQ(0, live->flags);
	if (live->how == LIVECORE_THREAD_RUNNING) {
		EXPECT_TRUE(registers_are_general(thread));
		return true;
	}
	EXPECT_EQ(LIVECORE_THREAD_PARKED, live->how);
	EXPECT_EQ(1, thread->prstatus->pr_fpvalid);
	EXPECT_NE(NULL, thread->xstate);
	EXPECT_NE(NULL, thread->fpregs);
	if (thread->fpregs) {
		EXPECT_EQ(pattern.mxcsr, thread->fpregs->mxcsr);
		EXPECT_EQ(0, memcmp(pattern.ymm[7], &thread->fpregs->xmm_space[4 * 7], 16));
	}
	return false;
}

/* The note and _INFO tell the same, and nobody was given up. */
static void expect_counts(struct __test_metadata *_metadata, const struct image *image, int fd,
			  size_t threads)
{
	struct livecore_info info = live_info_of(fd);

	EXPECT_EQ(threads, image->nr_threads);
	EXPECT_EQ(threads, info.threads);
	EXPECT_EQ(0, info.zeroed);
	EXPECT_EQ(0, info.caller);
	EXPECT_EQ(live_count(image, LIVECORE_THREAD_RUNNING), info.running);
	/* One that arrives late stays what its notes say. */
	EXPECT_EQ(live_count(image, LIVECORE_THREAD_PARKED), info.parked);
	EXPECT_EQ(threads, info.running + info.parked + info.in_place + info.moved);
}

RUNNING_TEST(waiting_for_a_cpu)
{
	unsigned int running = 0;
	struct image image;
	struct target t;

	if (!__builtin_cpu_supports("avx"))
		SKIP(return, "a CPU without AVX");
	cgroup_create("+cpu");
	target_start(&t, "spinners", NULL);
	target_do(&t, 's');
	/* Now: with no more than this it would take them long to begin. */
	cgroup_limit(QUOTA_US, PERIOD_US);
	sysctl_set("livecore_timeout_ms", TIMEOUT_MS);
	for (int round = 0; round < ROUNDS && !running; round++) {
		int fd = core_open(t.pid);

		ASSERT_LE(0, fd);
		ASSERT_EQ(0, image_read(&image, fd));
		for (int n = 0; n < SPINNERS; n++)
			running += expect_spinner(_metadata, &t, n, &image);
		expect_counts(_metadata, &image, fd, 1 + SPINNERS);
		EXPECT_EQ(!!live_count(&image, LIVECORE_THREAD_RUNNING),
			  live_note(&image)->inexact & LIVECORE_INEXACT_REGISTERS);
		image_free(&image);
		close(fd);
	}
	EXPECT_LT(0, running);
	/* Each runs on: to its end, with its registers. */
	STORE(t.page->stop, 1);
	cgroup_unlimit();
	target_do(&t, 'g');
	for (int n = 0; n < SPINNERS; n++)
		EXPECT_EQ(1, t.page->slot[1 + n].result);
	EXPECT_EQ(0, target_finish(&t));
}

static void *stay(void *argument)
{
	struct target_slot *slot = argument;
	struct worker *w = worker_of(slot);

	STORE(slot->tid, gettid());
	pattern_read(&w->pattern, &w->after, slot->value[STAY_FD], (char *)&slot->value[BEGUN]);
	STORE(slot->result, w->after.rax);
	STORE(slot->counter, 1);
	return NULL;
}

TARGET(stays_in_the_kernel)
{
	struct worker *w = workers;

	publish(self);
	target_event(self, 'R');
	target_command(self);
	pattern_fill(&w->pattern, 0);
	w->slot = target_slot(self);
	w->slot->nr = SYS_read;
	w->slot->value[STAY_FD] = CHECK(open("/dev/" STAY, O_RDONLY | O_CLOEXEC));
	target_thread(w->slot, stay);
	if (!EVENTUALLY(LOAD(w->slot->value[BEGUN])))
		FAIL("it does not start");
	w->slot->value[RSP] = w->pattern.rsp;
	self->page->value[STOP] = (uint64_t)&w->slot->value[BEGUN];
	target_event(self, 'g');
	target_command(self);
	return 0;
}

RUNNING_TEST(busy_in_the_kernel)
{
	int let_go = CHECK(open("/dev/" STAY, O_WRONLY | O_CLOEXEC));
	const struct livecore_note_thread *live;
	const struct image_thread *thread;
	struct user_regs_struct expected, seen;
	struct image image, again;
	struct livecore_info info;
	struct target_slot *slot;
	struct pattern pattern;
	struct target t;
	size_t notes;
	int fd;

	target_start(&t, "stays_in_the_kernel", NULL);
	target_settle(&t);
	target_do(&t, 'g');
	slot = &t.page->slot[1];
	ASSERT_TRUE(EVENTUALLY(thread_rests_in(t.pid, t.pid, SYS_read)));
	sysctl_set("livecore_timeout_ms", TIMEOUT_MS);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, image_read(&image, fd));
	expect_counts(_metadata, &image, fd, 2);
	EXPECT_EQ(1, live_count(&image, LIVECORE_THREAD_RUNNING));
	EXPECT_EQ(LIVECORE_INEXACT_REGISTERS, live_note(&image)->inexact);

	thread = image_thread(&image, slot->tid);
	live = live_thread(&image, slot->tid);
	ASSERT_NE(NULL, thread);
	ASSERT_NE(NULL, live);
	EXPECT_TRUE(registers_are_general(thread));
	pattern_fill(&pattern, 0);
	seen = registers_of(thread);
	expected = registers_of_pattern(&pattern);
	registers_in_syscall(&expected, SYS_read, t.page->value[READ_RETURN],
			     (uint64_t[]){ slot->value[STAY_FD], t.page->value[STOP], 1 });
	expected.r11 = seen.eflags;
	expected.rsp = slot->value[RSP];
	expected.fs_base = slot->value[FS_BASE];
	EXPECT_EQ(0, registers_differ(&expected, &seen));

	EXPECT_EQ(LIVECORE_THREAD_RUNNING, live->how);
	EXPECT_EQ(SYS_read, live->syscall);
	EXPECT_EQ(slot->value[STAY_FD], live->args[0]);
	EXPECT_EQ(t.page->value[STOP], live->args[1]);
	EXPECT_EQ(1, live->args[2]);
	EXPECT_EQ(pattern.r10, live->args[3]);
	EXPECT_EQ(pattern.r8, live->args[4]);
	EXPECT_EQ(pattern.r9, live->args[5]);

	/* It gets no further than to the boundary, and its notes stay. */
	EXPECT_EQ(1, write(let_go, "", 1));
	EXPECT_TRUE(EVENTUALLY(thread_is_parked(t.pid, slot->tid)));
	EXPECT_EQ(0, LOAD(slot->counter));
	info = live_info_of(fd);
	EXPECT_EQ(1, info.running);
	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	ASSERT_EQ(0, image_read(&again, fd));
	notes = image.phdr[0].p_offset + image.phdr[0].p_filesz;
	EXPECT_EQ(image.size, again.size);
	EXPECT_EQ(0, memcmp(image.data, again.data, notes));
	close(fd);
	/* The call has not returned early. */
	EXPECT_TRUE(EVENTUALLY(LOAD(slot->counter)));
	EXPECT_EQ(1, slot->result);
	image_free(&image);
	image_free(&again);
	close(let_go);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
