// SPDX-License-Identifier: GPL-2.0
/*
 * Every thread has its notes, wherever it is, and those that sleep in the
 * kernel have the registers with which they entered it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "fixture.h"
#include "frozen_fs.h"
#include "sleepers.h"

enum { SPINNERS = 2 };

TARGET(menagerie)
{
	sleepers_start(self);
	target_spinners(self, SPINNERS);
	target_serve(self);
	sleepers_clean();
	return 0;
}

static const char *slot_name(unsigned int slot)
{
	const struct sleeper_kind *kind = slot ? sleeper_kind(slot - 1) : NULL;

	return kind ? kind->name : slot ? "spinner" : "leader";
}

/* Registers of a thread asleep in a system call, as the kernel tells them. */
static void expect_registers(struct __test_metadata *_metadata, const char *name,
			     const struct image_thread *thread,
			     const struct thread_syscall *call)
{
	struct user_regs_struct regs;

	memcpy(&regs, &thread->prstatus->pr_reg, sizeof(regs));
	EXPECT_EQ(call->nr, (long)regs.orig_rax)
		TH_LOG("%s", name);
	EXPECT_EQ(call->pc, regs.rip)
		TH_LOG("%s", name);
	EXPECT_EQ(call->sp, regs.rsp)
		TH_LOG("%s", name);
	/* SYSCALL leaves its return address in rcx, and the flags in r11. */
	EXPECT_EQ(regs.rip, regs.rcx)
		TH_LOG("%s", name);
	EXPECT_EQ(regs.eflags, regs.r11)
		TH_LOG("%s", name);
	EXPECT_EQ(-ENOSYS, (long)regs.rax)
		TH_LOG("%s", name);
	EXPECT_EQ(call->argument[0], regs.rdi)
		TH_LOG("%s", name);
	EXPECT_EQ(call->argument[1], regs.rsi)
		TH_LOG("%s", name);
	EXPECT_EQ(call->argument[2], regs.rdx)
		TH_LOG("%s", name);
	EXPECT_EQ(call->argument[3], regs.r10)
		TH_LOG("%s", name);
	EXPECT_EQ(call->argument[4], regs.r8)
		TH_LOG("%s", name);
	EXPECT_EQ(call->argument[5], regs.r9)
		TH_LOG("%s", name);
	EXPECT_EQ(0x33, regs.cs)
		TH_LOG("%s", name);
	EXPECT_EQ(0x2b, regs.ss)
		TH_LOG("%s", name);
	EXPECT_NE(0, regs.fs_base)
		TH_LOG("%s", name);
}

static void expect_thread_notes(struct __test_metadata *_metadata, const struct image *image,
				pid_t tid, const char *name)
{
	const struct image_thread *thread = image_thread(image, tid);

	ASSERT_NE(NULL, thread)
		TH_LOG("%s: not exactly one NT_PRSTATUS", name);
	EXPECT_NE(NULL, thread->fpregs)
		TH_LOG("%s", name);
	EXPECT_NE(NULL, thread->xstate)
		TH_LOG("%s", name);
	EXPECT_EQ(1, thread->prstatus->pr_fpvalid)
		TH_LOG("%s", name);
	EXPECT_EQ(0, thread->prstatus->pr_cursig)
		TH_LOG("%s", name);
}

CORE_TEST(every_thread_has_notes)
{
	struct thread_syscall call[TARGET_SLOTS];
	struct image image;
	struct target t;
	const char *before;
	uint32_t n;

	target_start(&t, "menagerie", NULL);
	target_settle(&t);
	n = t.page->nr_slots;
	for (uint32_t i = 0; i < n; i++) {
		if (t.page->slot[i].nr == SPINS)
			continue;
		ASSERT_TRUE(thread_syscall(t.pid, t.page->slot[i].tid, &call[i]));
	}
	before = fingerprint(t.pid);

	ASSERT_EQ(0, image_dump(&image, t.pid));
	EXPECT_EQ(n, image.nr_threads);
	EXPECT_EQ(t.pid, image.threads[0].tid);
	for (uint32_t i = 0; i < n; i++) {
		const struct target_slot *slot = &t.page->slot[i];

		expect_thread_notes(_metadata, &image, slot->tid, slot_name(i));
		if (slot->nr == SPINS) {
			const struct image_thread *thread = image_thread(&image, slot->tid);
			struct user_regs_struct regs;

			memcpy(&regs, &thread->prstatus->pr_reg, sizeof(regs));
			/* Not in a system call, on its own stack. */
			EXPECT_EQ(-1, (long)regs.orig_rax);
			EXPECT_NE(0, regs.rip);
			EXPECT_NE(NULL, image_at(&image, regs.rsp, 8));
		} else {
			expect_registers(_metadata, slot_name(i), image_thread(&image, slot->tid),
					 &call[i]);
		}
	}
	image_free(&image);
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

/* Parked: what ps shows of the threads that ran. Others are where they were. */
CORE_TEST(wchan_of_held_threads)
{
	struct target t;
	int fd;

	target_start(&t, "menagerie", NULL);
	target_settle(&t);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	for (uint32_t i = 0; i < t.page->nr_slots; i++) {
		const struct target_slot *slot = &t.page->slot[i];

		if (slot->nr == SPINS) {
			/* It has been captured, and may be on the way to sleep. */
			EXPECT_TRUE(EVENTUALLY(thread_is_parked(t.pid, slot->tid)));
		} else {
			EXPECT_TRUE(thread_sleeps_in(t.pid, slot->tid, slot->nr))
				TH_LOG("%s", slot_name(i));
		}
	}
	close(fd);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

static void *write_to_frozen(void *argument)
{
	struct target_slot *slot = argument;
	const char *path = (const char *)slot->value[0];
	int fd = CHECK(open(path, O_RDWR | O_CREAT, 0600));
	long got;

	STORE(slot->tid, gettid());
	/* Opened before the freeze, written to after it. */
	while (!LOAD(slot->value[1]))
		pause_briefly();
	got = syscall(SYS_write, fd, "frozen", 6);
	STORE(slot->result, got < 0 ? -errno : got);
	STORE(slot->counter, 1);
	for (;;)
		pause();
}

TARGET(writer)
{
	struct target_slot *slot = target_slot(self);

	slot->nr = SYS_write;
	slot->value[0] = (uint64_t)self->argument;
	target_thread(slot, write_to_frozen);
	return target_serve(self);
}

FIXTURE(frozen)
{
	struct sysctl_values sysctls;
	struct frozen_fs fs;
};

FIXTURE_SETUP(frozen)
{
	frozen_fs_create(&self->fs);
	sysctl_prepare(&self->sysctls);
}

FIXTURE_TEARDOWN_PARENT(frozen)
{
	sysctl_restore(&self->sysctls);
	frozen_fs_destroy(&self->fs);
}

TEST_F_TIMEOUT(frozen, state_d, CORE_TEST_SECONDS)
{
	struct thread_syscall call;
	struct target_slot *slot;
	struct image image;
	struct target t;
	char path[128];
	const char *before;

	snprintf(path, sizeof(path), "%s/file", self->fs.directory);
	target_start(&t, "writer", path);
	slot = &t.page->slot[1];
	ASSERT_TRUE(EVENTUALLY(LOAD(slot->tid)));
	frozen_fs_freeze(&self->fs);
	STORE(slot->value[1], 1);
	target_settle(&t);
	ASSERT_TRUE(EVENTUALLY(thread_state(t.pid, slot->tid) == 'D'));
	ASSERT_TRUE(thread_syscall(t.pid, slot->tid, &call));
	before = fingerprint(t.pid);

	ASSERT_EQ(0, image_dump(&image, t.pid));
	EXPECT_EQ(2, image.nr_threads);
	expect_thread_notes(_metadata, &image, slot->tid, "writer");
	expect_registers(_metadata, "writer", image_thread(&image, slot->tid), &call);
	image_free(&image);
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	EXPECT_EQ('D', thread_state(t.pid, slot->tid));
	EXPECT_EQ(0, LOAD(slot->counter));

	frozen_fs_thaw(&self->fs);
	EXPECT_TRUE(EVENTUALLY(LOAD(slot->counter)));
	EXPECT_EQ(6, LOAD(slot->result));
	target_kill(&t);
}

/* Stopped by a signal, or by a tracer: asleep in the kernel like others. */
CORE_TEST(stopped_process)
{
	struct image image;
	struct target t;
	uint64_t turns;
	const char *before;

	target_start(&t, "menagerie", NULL);
	target_settle(&t);
	CHECK(kill(t.pid, SIGSTOP));
	for (uint32_t i = 0; i < t.page->nr_slots; i++) {
		pid_t tid = t.page->slot[i].tid;

		/* Neither stops nor wakes before its child is gone. */
		if (!strcmp(slot_name(i), "vfork"))
			continue;
		ASSERT_TRUE(EVENTUALLY(thread_state(t.pid, tid) == 'T'));
	}
	before = fingerprint(t.pid);
	turns = target_turns(&t);

	ASSERT_EQ(0, image_dump(&image, t.pid));
	EXPECT_EQ(t.page->nr_slots, image.nr_threads);
	for (uint32_t i = 0; i < t.page->nr_slots; i++) {
		struct user_regs_struct regs;

		expect_thread_notes(_metadata, &image, t.page->slot[i].tid, slot_name(i));
		memcpy(&regs, &image_thread(&image, t.page->slot[i].tid)->prstatus->pr_reg,
		       sizeof(regs));
		EXPECT_NE(NULL, image_at(&image, regs.rsp, 8))
			TH_LOG("%s", slot_name(i));
	}
	image_free(&image);
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	EXPECT_EQ(turns, target_turns(&t));
	EXPECT_EQ('T', thread_state(t.pid, t.pid));
	CHECK(kill(t.pid, SIGCONT));
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(traced_process)
{
	struct image image;
	struct target t;
	int status;

	target_start(&t, "menagerie", NULL);
	target_settle(&t);
	CHECK(ptrace(PTRACE_SEIZE, t.pid, NULL, NULL));
	CHECK(ptrace(PTRACE_INTERRUPT, t.pid, NULL, NULL));
	CHECK(waitpid(t.pid, &status, __WALL));
	/* The tracer may be told before it sleeps, and while it waits for a lock (-rt). */
	ASSERT_TRUE(EVENTUALLY(thread_state(t.pid, t.pid) == 't'));

	ASSERT_EQ(0, image_dump(&image, t.pid));
	EXPECT_EQ(t.page->nr_slots, image.nr_threads);
	expect_thread_notes(_metadata, &image, t.pid, "traced leader");
	image_free(&image);
	EXPECT_EQ('t', thread_state(t.pid, t.pid));
	CHECK(ptrace(PTRACE_DETACH, t.pid, NULL, NULL));
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
