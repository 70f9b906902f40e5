// SPDX-License-Identifier: GPL-2.0
/*
 * The notes: all of those that the kernel writes, in its order, and what those
 * about the process say.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <fcntl.h>
#include <linux/livecore.h>
#include <sys/resource.h>

#include "fixture.h"
#include "sleepers.h"
#include "user.h"

#ifndef NT_X86_XSAVE_LAYOUT
#define NT_X86_XSAVE_LAYOUT	0x205
#endif

enum { PAGE = 4096 };

/* Somebody: another user, nice, children behind it, one signal pending. */
TARGET(somebody)
{
	sigset_t set;

	if (!fork())
		_exit(0);
	wait(NULL);
	CHECK(setpriority(PRIO_PROCESS, 0, 5));
	CHECK(setpgid(0, 0));
	become_dumpable(USER_A);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL));
	CHECK(raise(SIGUSR1));
	sleepers_start(self);
	target_spinners(self, 2);
	target_serve(self);
	sleepers_clean();
	return 0;
}

struct kind {
	const char *name;
	uint32_t type;
};

/* Takes the notes that come next, if they are these. */
static bool follow(const struct image *image, size_t *at, const struct kind *kinds, size_t n)
{
	for (size_t i = 0; i < n; i++, (*at)++) {
		if (*at >= image->nr_notes || image->notes[*at].type != kinds[i].type ||
		    strcmp(image->notes[*at].name, kinds[i].name))
			return false;
	}
	return true;
}

CORE_TEST(order)
{
	static const struct kind prstatus[] = { { "CORE", NT_PRSTATUS } };
	static const struct kind process[] = {
		{ "CORE", NT_PRPSINFO }, { "CORE", NT_SIGINFO }, { "CORE", NT_AUXV },
		{ "CORE", NT_FILE },
	};
	static const struct kind registers[] = {
		{ "CORE", NT_PRFPREG }, { "LINUX", NT_X86_XSTATE },
	};
	static const struct kind last[] = {
		{ "LINUX", NT_X86_XSAVE_LAYOUT }, { "LIVECORE", NT_LIVECORE_DUMP },
	};
	const char *before;
	struct image image;
	struct target t;
	size_t at = 0;

	target_start(&t, "somebody", NULL);
	target_settle(&t);
	before = fingerprint(t.pid);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	EXPECT_EQ(4, image.phdr[0].p_align);
	EXPECT_EQ(0, image.phdr[0].p_vaddr);
	EXPECT_EQ(0, image.phdr[0].p_memsz);
	EXPECT_EQ(0, image.phdr[0].p_flags);
	EXPECT_EQ(sizeof(Elf64_Ehdr) + image.ehdr->e_phnum * sizeof(Elf64_Phdr),
		  image.phdr[0].p_offset);
	ASSERT_EQ(t.page->nr_slots, image.nr_threads);
	for (size_t i = 0; i < image.nr_threads; i++) {
		EXPECT_TRUE(follow(&image, &at, prstatus, 1))
			TH_LOG("thread %zu, note %zu", i, at);
		if (!i) {
			EXPECT_TRUE(follow(&image, &at, process, ARRAY_SIZE(process)))
				TH_LOG("note %zu", at);
		}
		EXPECT_TRUE(follow(&image, &at, registers, ARRAY_SIZE(registers)))
			TH_LOG("thread %zu, note %zu", i, at);
	}
	EXPECT_TRUE(follow(&image, &at, last, ARRAY_SIZE(last)));
	EXPECT_EQ(image.nr_notes, at);
	image_free(&image);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(process)
{
	const struct elf_prpsinfo *psinfo;
	const struct elf_prstatus *status;
	const struct note *note;
	char *cmdline, *comm;
	struct image image;
	struct target t;
	char args[81] = "";

	target_start(&t, "somebody",
		     "an argument so long that the whole does not fit into it by far");
	target_settle(&t);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	note = image_note(&image, "CORE", NT_PRPSINFO);
	ASSERT_NE(NULL, note);
	ASSERT_EQ(136, note->size);
	psinfo = note->desc;
	comm = proc_text_of(t.pid, "comm");
	comm[strcspn(comm, "\n")] = '\0';
	EXPECT_STREQ(comm, psinfo->pr_fname);
	cmdline = proc_text_of(t.pid, "cmdline");
	memcpy(args, cmdline, 79);
	for (int i = 0; i < 79; i++)
		if (!args[i])
			args[i] = ' ';
	EXPECT_EQ(0, memcmp(args, psinfo->pr_psargs, 80))
		TH_LOG("'%.80s' instead of '%s'", psinfo->pr_psargs, args);
	EXPECT_EQ(t.pid, psinfo->pr_pid);
	EXPECT_EQ(getpid(), psinfo->pr_ppid);
	EXPECT_EQ(t.pid, psinfo->pr_pgrp);
	EXPECT_EQ(getsid(0), psinfo->pr_sid);
	EXPECT_EQ(USER_A, psinfo->pr_uid);
	EXPECT_EQ(USER_A, psinfo->pr_gid);
	EXPECT_EQ(5, psinfo->pr_nice);
	/* The leader sleeps in read(). */
	EXPECT_EQ('S', psinfo->pr_sname);
	EXPECT_EQ(1, psinfo->pr_state);
	EXPECT_EQ(0, psinfo->pr_zomb);

	for (size_t i = 0; i < image.nr_threads; i++) {
		status = image.threads[i].prstatus;
		EXPECT_EQ(getpid(), status->pr_ppid);
		EXPECT_EQ(t.pid, status->pr_pgrp);
		EXPECT_EQ(getsid(0), status->pr_sid);
		EXPECT_EQ(1UL << (SIGUSR1 - 1), status->pr_sighold & 1UL << (SIGUSR1 - 1));
	}
	/* raise() is for the thread that calls it. */
	EXPECT_EQ(1UL << (SIGUSR1 - 1), image.threads[0].prstatus->pr_sigpend);
	EXPECT_EQ(0, image.threads[1].prstatus->pr_sigpend);
	free(comm);
	free(cmdline);
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(siginfo_is_empty)
{
	static const unsigned char zeros[128];
	const struct note *note;
	struct image image;
	struct target t;

	target_start(&t, "somebody", NULL);
	target_settle(&t);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	note = image_note(&image, "CORE", NT_SIGINFO);
	ASSERT_NE(NULL, note);
	ASSERT_EQ(128, note->size);
	EXPECT_EQ(0, memcmp(zeros, note->desc, 128));
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(auxv_is_that_of_proc)
{
	unsigned char auxv[1024];
	const struct note *note;
	struct image image;
	struct target t;
	char path[64];
	ssize_t size;
	int fd;

	target_start(&t, "somebody", NULL);
	target_settle(&t);
	snprintf(path, sizeof(path), "/proc/%d/auxv", t.pid);
	fd = CHECK(open(path, O_RDONLY));
	size = CHECK(read(fd, auxv, sizeof(auxv)));
	close(fd);
	ASSERT_LT(200, size);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	note = image_note(&image, "CORE", NT_AUXV);
	ASSERT_NE(NULL, note);
	ASSERT_EQ(size, note->size);
	EXPECT_EQ(0, memcmp(auxv, note->desc, size));
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

/* count, page size, {start, end, page offset} of each, then the names. */
CORE_TEST(files_are_those_of_maps)
{
	const struct note *note;
	const uint64_t *table;
	struct mapping *list;
	size_t count, n = 0;
	const char *name;
	struct image image;
	struct target t;

	target_start(&t, "somebody", NULL);
	target_settle(&t);
	list = mapping_list(t.pid, &count);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	note = image_note(&image, "CORE", NT_FILE);
	ASSERT_NE(NULL, note);
	table = note->desc;
	ASSERT_LT(16, note->size);
	ASSERT_LE(16 + 24 * table[0], note->size);
	EXPECT_EQ(PAGE, table[1]);
	name = (const char *)&table[2 + 3 * table[0]];
	for (size_t i = 0; i < count; i++) {
		const struct mapping *m = &list[i];

		if (m->path[0] != '/')
			continue;
		ASSERT_LT(n, table[0]);
		EXPECT_EQ(m->start, table[2 + 3 * n]);
		EXPECT_EQ(m->end, table[3 + 3 * n]);
		EXPECT_EQ(m->offset / PAGE, table[4 + 3 * n]);
		EXPECT_STREQ(m->path, name);
		name += strlen(name) + 1;
		n++;
	}
	EXPECT_EQ(n, table[0]);
	EXPECT_EQ((const char *)note->desc + note->size, name);
	free(list);
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

/* type, size, offset, flags of every feature of XSAVE beyond x87 and SSE. */
CORE_TEST(xsave_layout_is_the_cpus)
{
	uint32_t size, offset, low, high, ignored;
	const struct note *note;
	const uint32_t *entry;
	struct image image;
	struct target t;
	size_t n = 0;

	if (!__builtin_cpu_supports("avx"))
		SKIP(return, "a CPU without AVX");
	asm volatile("xgetbv" : "=a" (low), "=d" (high) : "c" (0));
	target_start(&t, "somebody", NULL);
	target_settle(&t);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	note = image_note(&image, "LINUX", NT_X86_XSAVE_LAYOUT);
	ASSERT_NE(NULL, note);
	entry = note->desc;
	for (unsigned int feature = 2; feature < 32; feature++) {
		if (!(low & 1U << feature))
			continue;
		__cpuid_count(0xd, feature, size, offset, ignored, ignored);
		ASSERT_LE(16 * (n + 1), note->size);
		EXPECT_EQ(feature, entry[4 * n]);
		EXPECT_EQ(size, entry[4 * n + 1]);
		EXPECT_EQ(offset, entry[4 * n + 2]);
		EXPECT_EQ(0, entry[4 * n + 3]);
		n++;
	}
	EXPECT_EQ(16 * n, note->size);
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
