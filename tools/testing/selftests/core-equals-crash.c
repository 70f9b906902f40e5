// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel is the judge: a process is dumped, and then made to crash. Both
 * cores have the same notes and the same memory, but for what is named here.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "frame.h"
#include "regions.h"
#include "sleepers.h"

enum { PAGE = 4096 };

static void serve(void *argument)
{
	struct target_self *self = argument;

	sleepers_start(self);
	target_serve(self);
	sleepers_clean();
}

TARGET(sleepers_with_regions)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	CHECK(setrlimit(RLIMIT_CORE, &unlimited));
	regions_make((struct region_account *)self->page->value, self->argument, serve, self);
	return 0;
}

#define PATTERN	"/proc/sys/kernel/core_pattern"

static void set_pattern(const char *pattern)
{
	int fd = CHECK(open(PATTERN, O_WRONLY | O_CLOEXEC));

	CHECK(write(fd, pattern, strlen(pattern)));
	close(fd);
}

FIXTURE(crash)
{
	struct sysctl_values sysctls;
	char directory[32];
	char pattern[192];
};

FIXTURE_SETUP(crash)
{
	char *text = proc_text("sys/kernel/core_pattern");
	char pattern[64];

	snprintf(self->pattern, sizeof(self->pattern), "%s", text);
	free(text);
	strcpy(self->directory, "/tmp/livecore-XXXXXX");
	CHECK_POINTER(mkdtemp(self->directory));
	sysctl_prepare(&self->sysctls);
	/* One that does not depend on the process. */
	snprintf(pattern, sizeof(pattern), "%s/core%%%%", self->directory);
	set_pattern(pattern);
}

FIXTURE_TEARDOWN_PARENT(crash)
{
	char command[64];

	sysctl_restore(&self->sysctls);
	set_pattern(self->pattern);
	snprintf(command, sizeof(command), "rm -r %s", self->directory);
	CHECK(system(command));
}

/* The core that the kernel writes when the process gets SIGABRT. */
static void crash(struct target *t, const char *directory, struct image *image)
{
	char path[64];
	int fd, status;

	CHECK(kill(t->pid, SIGABRT));
	status = target_dies_within(t, EVENT_SECONDS);
	if (status == -1 || !WIFSIGNALED(status) || !WCOREDUMP(status))
		FAIL("no core: status %#x", status);
	snprintf(path, sizeof(path), "%s/core%%", directory);
	fd = CHECK(open(path, O_RDONLY | O_CLOEXEC));
	CHECK_ZERO(image_read(image, fd));
	close(fd);
}

/*
 * The crash has woken every thread and taken it out of its system call: rax is
 * what that would have returned, if it had not begun anew afterwards.
 */
static void expect_same_status(struct __test_metadata *_metadata, const struct elf_prstatus *ours,
			       const struct elf_prstatus *kernels)
{
	struct user_regs_struct our_regs, kernel_regs;
	unsigned long held = kernels->pr_sighold;

	memcpy(&our_regs, &ours->pr_reg, sizeof(our_regs));
	memcpy(&kernel_regs, &kernels->pr_reg, sizeof(kernel_regs));
	EXPECT_EQ(-ENOSYS, (long)our_regs.rax);
	our_regs.rax = kernel_regs.rax;
	EXPECT_EQ(0, memcmp(&our_regs, &kernel_regs, sizeof(our_regs)))
		TH_LOG("general registers of %d", ours->pr_pid);
	EXPECT_EQ(kernels->pr_pid, ours->pr_pid);
	EXPECT_EQ(kernels->pr_ppid, ours->pr_ppid);
	EXPECT_EQ(kernels->pr_pgrp, ours->pr_pgrp);
	EXPECT_EQ(kernels->pr_sid, ours->pr_sid);
	/* As long as it waits for a signal, a thread does not block that. */
	if (our_regs.orig_rax == SYS_rt_sigtimedwait)
		held &= ~(1UL << (SIGUSR2 - 1));
	EXPECT_EQ(held, ours->pr_sighold);
	EXPECT_EQ(kernels->pr_fpvalid, ours->pr_fpvalid);
	/* Nobody has sent us a signal. */
	EXPECT_EQ(SIGABRT, kernels->pr_cursig);
	EXPECT_EQ(0, ours->pr_cursig);
	EXPECT_EQ(0, ours->pr_info.si_signo);
}

static void expect_same_threads(struct __test_metadata *_metadata, const struct image *ours,
				const struct image *kernels)
{
	EXPECT_EQ(kernels->nr_threads, ours->nr_threads);
	EXPECT_EQ(kernels->threads[0].tid, ours->threads[0].tid);
	for (size_t i = 0; i < kernels->nr_threads; i++) {
		const struct image_thread *theirs = &kernels->threads[i];
		const struct image_thread *our = image_thread(ours, theirs->tid);

		ASSERT_NE(NULL, our);
		expect_same_status(_metadata, our->prstatus, theirs->prstatus);
		EXPECT_EQ(0, memcmp(theirs->fpregs, our->fpregs, sizeof(*our->fpregs)))
			TH_LOG("floating point registers of %d", our->tid);
		ASSERT_EQ(theirs->xstate_size, our->xstate_size);
		EXPECT_EQ(0, memcmp(theirs->xstate, our->xstate, our->xstate_size))
			TH_LOG("extended state of %d", our->tid);
	}
}

/* The same notes in the same order, which is the same for every thread. */
static void expect_same_notes(struct __test_metadata *_metadata, const struct image *ours,
			      const struct image *kernels)
{
	ASSERT_EQ(kernels->nr_notes, ours->nr_notes);
	for (size_t i = 0; i < ours->nr_notes; i++) {
		const struct note *our = &ours->notes[i], *theirs = &kernels->notes[i];

		EXPECT_STREQ(theirs->name, our->name);
		EXPECT_EQ(theirs->type, our->type);
		ASSERT_EQ(theirs->size, our->size)
			TH_LOG("note %zu of type %#x", i, our->type);
		/* Those of threads have been compared, and of signals there is none. */
		if (our->type == NT_PRSTATUS || our->type == NT_PRFPREG ||
		    our->type == NT_X86_XSTATE || our->type == NT_SIGINFO)
			continue;
		if (our->type == NT_PRPSINFO) {
			struct elf_prpsinfo psinfo;

			/* A dying process runs, and its flags say that it dies. */
			memcpy(&psinfo, our->desc, sizeof(psinfo));
			psinfo.pr_state = ((const struct elf_prpsinfo *)theirs->desc)->pr_state;
			psinfo.pr_sname = ((const struct elf_prpsinfo *)theirs->desc)->pr_sname;
			psinfo.pr_flag = ((const struct elf_prpsinfo *)theirs->desc)->pr_flag;
			EXPECT_EQ(0, memcmp(theirs->desc, &psinfo, sizeof(psinfo)));
			continue;
		}
		EXPECT_EQ(0, memcmp(theirs->desc, our->desc, our->size))
			TH_LOG("note %zu of type %#x", i, our->type);
	}
}

static void expect_same_memory(struct __test_metadata *_metadata, const struct image *ours,
			       const struct image *kernels)
{
	size_t pages = 0;

	ASSERT_EQ(kernels->ehdr->e_phnum, ours->ehdr->e_phnum);
	EXPECT_EQ(0, memcmp(kernels->ehdr, ours->ehdr, sizeof(*ours->ehdr)));
	EXPECT_EQ(0, memcmp(kernels->phdr, ours->phdr,
			    ours->ehdr->e_phnum * sizeof(*ours->phdr)));
	ASSERT_EQ(kernels->size, ours->size);
	for (size_t at = image_load(ours, 0)->p_offset; at < ours->size; at += PAGE, pages++) {
		size_t size = ours->size - at < PAGE ? ours->size - at : PAGE;

		EXPECT_EQ(0, memcmp(kernels->data + at, ours->data + at, size))
			TH_LOG("page at offset %#zx", at);
	}
	EXPECT_LT(500, pages);
}

TEST_F_TIMEOUT(crash, same_notes_and_memory, CORE_TEST_SECONDS)
{
	struct image ours, kernels;
	struct target t;

	target_start(&t, "sleepers_with_regions", self->directory);
	target_settle(&t);
	ASSERT_EQ(0, image_dump(&ours, t.pid));
	crash(&t, self->directory, &kernels);
	expect_same_threads(_metadata, &ours, &kernels);
	expect_same_notes(_metadata, &ours, &kernels);
	expect_same_memory(_metadata, &ours, &kernels);
}

CORE_TEST_MAIN
