// SPDX-License-Identifier: GPL-2.0
/*
 * Registers come out exact: in threads that run, in threads that sleep in a
 * system call, and in one that sleeps in a page fault. And they are the same
 * when the threads go on.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <cpuid.h>
#include <sys/syscall.h>

#include "fixture.h"
#include "missing_page.h"
#include "pattern.h"

enum {
	/* More than CPUs: some of them are preempted when the dump opens. */
	SPINNERS	= 5,
	READERS		= 3,
	FAULTERS	= 1,
	THREADS		= SPINNERS + READERS + FAULTERS,

	XSTATE_HEADER	= 512,
	XSTATE_XCR0	= 464,
	XFEATURE_YMM	= 2,
};

/* Shared with the test through target_page.value[]. */
enum { SPIN_BEGIN, SPIN_END, READ_RETURN, FAULT_ACCESS };

/* And through target_slot.value[]. */
enum { RSP, FS_BASE, RDI, RSI };

struct worker {
	struct target_slot *slot;
	struct pattern pattern;
	struct pattern after;
	int pipe[2];
	char byte;
};

static struct worker workers[THREADS];
static struct missing_page page;
static uint32_t *stop;

static bool is_spinner(int n)
{
	return n < SPINNERS;
}

static bool is_reader(int n)
{
	return n >= SPINNERS && n < SPINNERS + READERS;
}

static uint64_t gs_base(int n)
{
	return 0x7000000000 + n * 4096;
}

static void *work(void *argument)
{
	struct target_slot *slot = argument;
	struct worker *w = workers;
	int n;

	while (w->slot != slot)
		w++;
	n = w - workers;
	CHECK(syscall(SYS_arch_prctl, ARCH_SET_GS, gs_base(n)));
	slot->value[FS_BASE] = (uint64_t)pthread_self();
	STORE(slot->tid, gettid());
	if (is_spinner(n))
		pattern_spin(&w->pattern, &w->after, &slot->counter, stop);
	else if (is_reader(n))
		pattern_read(&w->pattern, &w->after, w->pipe[0], &w->byte);
	else
		pattern_fault(&w->pattern, &w->after, page.address);
	STORE(slot->result, 1);
	for (;;)
		pause();
}

static void start_worker(struct target_self *self, int n)
{
	struct worker *w = &workers[n];

	pattern_fill(&w->pattern, n);
	CHECK(pipe(w->pipe));
	w->slot = target_slot(self);
	w->slot->nr = is_spinner(n) ? SPINS : is_reader(n) ? SYS_read : -1;
	w->slot->value[RDI] = is_spinner(n) ? (uint64_t)&w->slot->counter :
			      is_reader(n) ? (uint64_t)w->pipe[0] : (uint64_t)page.address;
	w->slot->value[RSI] = is_spinner(n) ? (uint64_t)stop :
			      is_reader(n) ? (uint64_t)&w->byte : w->pattern.rsi;
	target_thread(w->slot, work);
}

/* 1 if nothing but what the code itself changes is another than before. */
static uint64_t unchanged(int n)
{
	struct worker *w = &workers[n];
	struct pattern *after = &w->after;

	if (is_spinner(n)) {
		after->rsi = w->pattern.rsi;
	} else if (is_reader(n)) {
		after->rax = w->pattern.rax;
		after->rcx = w->pattern.rcx;
		after->rdx = w->pattern.rdx;
		after->rsi = w->pattern.rsi;
		after->r11 = w->pattern.r11;
	}
	return !memcmp(after, &w->pattern, sizeof(*after));
}

static void let_go_on(struct target_self *self)
{
	static const char bytes[4096];

	STORE(self->page->stop, 1);
	for (int n = 0; n < THREADS; n++)
		CHECK(write(workers[n].pipe[1], "", 1));
	missing_page_supply(page.fd, (uint64_t)page.address, bytes);
	for (int n = 0; n < THREADS; n++) {
		if (!EVENTUALLY(LOAD(workers[n].slot->result)))
			FAIL("thread %d does not go on", n);
		workers[n].slot->result = unchanged(n);
	}
}

TARGET(patterns)
{
	stop = &self->page->stop;
	self->page->value[SPIN_BEGIN] = (uint64_t)pattern_spin_begin;
	self->page->value[SPIN_END] = (uint64_t)pattern_spin_end;
	self->page->value[READ_RETURN] = (uint64_t)pattern_read_return;
	self->page->value[FAULT_ACCESS] = (uint64_t)pattern_fault_access;
	missing_page_create(&page);
	for (int n = 0; n < THREADS; n++)
		start_worker(self, n);
	for (int n = 0; n < THREADS; n++) {
		/* Known once the other registers are about to be loaded. */
		if (!EVENTUALLY(LOAD(workers[n].pattern.rsp)))
			FAIL("thread %d does not start", n);
		workers[n].slot->value[RSP] = workers[n].pattern.rsp;
	}
	target_event(self, 'R');
	target_command(self);
	let_go_on(self);
	target_event(self, 'g');
	target_command(self);
	return 0;
}

static void expect_general(struct __test_metadata *_metadata, const struct target *t, int n,
			   const struct user_regs_struct *regs, const struct pattern *pattern)
{
	const struct target_slot *slot = &t->page->slot[1 + n];
	const uint64_t *value = t->page->value;

	EXPECT_EQ(pattern->rbx, regs->rbx);
	EXPECT_EQ(pattern->rbp, regs->rbp);
	EXPECT_EQ(pattern->r8, regs->r8);
	EXPECT_EQ(pattern->r9, regs->r9);
	EXPECT_EQ(pattern->r10, regs->r10);
	EXPECT_EQ(pattern->r12, regs->r12);
	EXPECT_EQ(pattern->r13, regs->r13);
	EXPECT_EQ(pattern->r14, regs->r14);
	EXPECT_EQ(pattern->r15, regs->r15);
	EXPECT_EQ(slot->value[RSP], regs->rsp);
	EXPECT_EQ(slot->value[RDI], regs->rdi);
	EXPECT_EQ(slot->value[RSI], regs->rsi);
	EXPECT_EQ(slot->value[FS_BASE], regs->fs_base);
	EXPECT_EQ(gs_base(n), regs->gs_base);
	EXPECT_EQ(0x33, regs->cs);
	EXPECT_EQ(0x2b, regs->ss);
	if (is_reader(n)) {
		EXPECT_EQ(value[READ_RETURN], regs->rip);
		EXPECT_EQ(regs->rip, regs->rcx);
		EXPECT_EQ(regs->eflags, regs->r11);
		EXPECT_EQ(1, regs->rdx);
		EXPECT_EQ(-ENOSYS, (long)regs->rax);
		EXPECT_EQ(SYS_read, (long)regs->orig_rax);
		return;
	}
	if (is_spinner(n)) {
		EXPECT_LE(value[SPIN_BEGIN], regs->rip);
		EXPECT_GT(value[SPIN_END], regs->rip);
	} else {
		EXPECT_EQ(value[FAULT_ACCESS], regs->rip);
	}
	EXPECT_EQ(pattern->rax, regs->rax);
	EXPECT_EQ(pattern->rcx, regs->rcx);
	EXPECT_EQ(pattern->rdx, regs->rdx);
	EXPECT_EQ(pattern->r11, regs->r11);
	EXPECT_EQ(-1, (long)regs->orig_rax);
}

static uint64_t xcr0(void)
{
	uint32_t low, high;

	asm volatile("xgetbv" : "=a" (low), "=d" (high) : "c" (0));
	return (uint64_t)high << 32 | low;
}

static void expect_floating(struct __test_metadata *_metadata,
			    const struct image_thread *thread, const struct pattern *pattern)
{
	static const unsigned char pi[10] = {
		0x35, 0xc2, 0x68, 0x21, 0xa2, 0xda, 0x0f, 0xc9, 0x00, 0x40,
	};
	uint32_t size, all, ymm_size, ymm_offset, ignored;
	const unsigned char *xstate = thread->xstate;
	uint64_t in_use, enabled;

	ASSERT_NE(NULL, thread->fpregs);
	ASSERT_NE(NULL, xstate);
	EXPECT_EQ(0x37f, thread->fpregs->cwd);
	EXPECT_EQ(pattern->mxcsr, thread->fpregs->mxcsr);
	EXPECT_EQ(0, memcmp(pi, thread->fpregs->st_space, sizeof(pi)));
	for (int i = 0; i < 16; i++) {
		EXPECT_EQ(0, memcmp(pattern->ymm[i], &thread->fpregs->xmm_space[4 * i], 16))
			TH_LOG("xmm%d", i);
	}

	/* The standard format, whatever the kernel keeps: as the CPU describes it. */
	__cpuid_count(0xd, 0, ignored, size, all, ignored);
	__cpuid_count(0xd, XFEATURE_YMM, ymm_size, ymm_offset, ignored, ignored);
	EXPECT_LE(size, all);
	ASSERT_EQ(size, thread->xstate_size);
	ASSERT_EQ(256, ymm_size);
	memcpy(&enabled, xstate + XSTATE_XCR0, sizeof(enabled));
	memcpy(&in_use, xstate + XSTATE_HEADER, sizeof(in_use));
	EXPECT_EQ(xcr0(), enabled);
	EXPECT_EQ(7, in_use & 7);
	/* The legacy part is the same as the other note. */
	EXPECT_EQ(0, memcmp(xstate, thread->fpregs, XSTATE_XCR0));
	for (int i = 0; i < 16; i++) {
		EXPECT_EQ(0, memcmp(pattern->ymm[i] + 16, xstate + ymm_offset + 16 * i, 16))
			TH_LOG("ymm%d", i);
	}
}

CORE_TEST(exact)
{
	const char *before;
	struct image image;
	struct target t;

	if (!__builtin_cpu_supports("avx"))
		SKIP(return, "a CPU without AVX");
	target_start(&t, "patterns", NULL);
	target_settle(&t);
	before = fingerprint(t.pid);
	for (int round = 0; round < 5; round++) {
		ASSERT_EQ(0, image_dump(&image, t.pid));
		EXPECT_EQ(1 + THREADS, image.nr_threads);
		for (int n = 0; n < THREADS; n++) {
			pid_t tid = t.page->slot[1 + n].tid;
			const struct image_thread *thread = image_thread(&image, tid);
			struct user_regs_struct regs;
			struct pattern pattern;

			ASSERT_NE(NULL, thread);
			memcpy(&regs, &thread->prstatus->pr_reg, sizeof(regs));
			pattern_fill(&pattern, n);
			expect_general(_metadata, &t, n, &regs, &pattern);
			expect_floating(_metadata, thread, &pattern);
		}
		image_free(&image);
		EXPECT_TRUE(target_runs(&t));
	}
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	target_send(&t, 'g');
	target_expect(&t, 'g');
	for (int n = 0; n < THREADS; n++) {
		EXPECT_EQ(1, t.page->slot[1 + n].result)
			TH_LOG("registers of thread %d after the dumps", n);
	}
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
