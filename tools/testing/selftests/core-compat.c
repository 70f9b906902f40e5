// SPDX-License-Identifier: GPL-2.0
/*
 * A 32-bit process gives the core that the kernel's compat dumper would write:
 * ELF32, with the notes of i386, and exact registers. That it is the same byte
 * for byte, core-equals-crash tests.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/stat.h>

#include "fixture.h"
#include "known.h"

enum {
	/* Of the process, as the kernel has them. */
	KERNEL_CS32	= 0x23,
	KERNEL_DS	= 0x2b,

	/* struct user_i387_ia32_struct and struct user32_fxsr_struct */
	I387_ST0	= 28,
	FXSR_MXCSR	= 24,
	FXSR_ST0	= 32,
	FXSR_XMM0	= 160,

	TLS_ENTRIES	= 3,
};

/* struct user_desc, arch/x86/include/uapi/asm/ldt.h */
struct user_desc32 {
	uint32_t entry_number, base_addr, limit, flags;
};

static void expect_general(struct __test_metadata *_metadata, const struct target *t,
			   enum known_thread n, const struct prstatus32 *status)
{
	struct known known;

	known_fill(&known, n);
	EXPECT_EQ((uint32_t)known.reg[5], status->ebp);
	EXPECT_EQ((uint32_t)known.reg[4], status->edi);
	EXPECT_EQ(KERNEL_CS32, status->cs);
	EXPECT_EQ(KERNEL_DS, status->ds);
	EXPECT_EQ(KERNEL_DS, status->es);
	EXPECT_EQ(KERNEL_DS, status->ss);
	EXPECT_EQ(1, status->pr_fpvalid);
	if (known_spins(n)) {
		EXPECT_EQ(t->page->value[0], status->eip);
		EXPECT_EQ((uint32_t)known.reg[0], status->ebx);
		EXPECT_EQ((uint32_t)known.reg[1], status->ecx);
		EXPECT_EQ((uint32_t)known.reg[2], status->edx);
		EXPECT_EQ((uint32_t)known.reg[3], status->esi);
		EXPECT_EQ((uint32_t)known.reg[6], status->eax);
		EXPECT_EQ(-1, (int32_t)status->orig_eax);
	} else {
		EXPECT_EQ(t->page->value[1], status->eip);
		EXPECT_EQ(-ENOSYS, (int32_t)status->eax);
		EXPECT_EQ(t->page->slot[1 + n].nr, (int32_t)status->orig_eax);
	}
}

static void expect_floating(struct __test_metadata *_metadata, enum known_thread n,
			    const struct note *i387, const struct note *fxsr)
{
	static const unsigned char pi[10] = {
		0x35, 0xc2, 0x68, 0x21, 0xa2, 0xda, 0x0f, 0xc9, 0x00, 0x40,
	};
	const char *fp = i387->desc, *xfp = fxsr->desc;
	struct known known;
	uint32_t mxcsr;

	known_fill(&known, n);
	EXPECT_EQ(108, i387->size);
	EXPECT_EQ(512, fxsr->size);
	EXPECT_EQ(0, memcmp(pi, fp + I387_ST0, sizeof(pi)));
	EXPECT_EQ(0, memcmp(pi, xfp + FXSR_ST0, sizeof(pi)));
	memcpy(&mxcsr, xfp + FXSR_MXCSR, sizeof(mxcsr));
	EXPECT_EQ(known.mxcsr, mxcsr);
	for (int i = 0; i < 8; i++) {
		EXPECT_EQ(0, memcmp(known.ymm[i], xfp + FXSR_XMM0 + 16 * i, 16))
			TH_LOG("xmm%d", i);
	}
}

/* The segment that gs selects is in the note, and begins where the thread's TLS is. */
static void expect_tls(struct __test_metadata *_metadata, const struct prstatus32 *status,
		       const struct note *tls)
{
	struct user_desc32 desc[TLS_ENTRIES];
	bool found = false;

	ASSERT_EQ(sizeof(desc), tls->size);
	memcpy(desc, tls->desc, sizeof(desc));
	for (int i = 0; i < TLS_ENTRIES; i++)
		found |= desc[i].entry_number == status->gs >> 3 && desc[i].base_addr;
	EXPECT_TRUE(found);
}

/* struct compat_elf_prpsinfo, include/linux/elfcore-compat.h */
struct prpsinfo32 {
	char pr_state, pr_sname, pr_zomb, pr_nice;
	uint32_t pr_flag;
	uint16_t pr_uid, pr_gid;
	int32_t pr_pid, pr_ppid, pr_pgrp, pr_sid;
	char pr_fname[16], pr_psargs[80];
};

/*
 * Does the kernel know of ids with 16 bits (CONFIG_UID16, getuid() of i386)?
 * One that does not, like the debug kernel, cuts them.
 */
static bool has_short_ids(void)
{
	int result;

	asm volatile("int $0x80"
		     : "=a" (result)
		     : "0" (24)
		     : "r8", "r9", "r10", "r11", "memory");
	return result != -ENOSYS;
}

static void expect_process(struct __test_metadata *_metadata, const struct target *t,
			   const struct note *note)
{
	const struct prpsinfo32 *info = note->desc;

	ASSERT_EQ(sizeof(*info), note->size);
	EXPECT_EQ('S', info->pr_sname);
	EXPECT_EQ(has_short_ids() ? OVERFLOW_ID : (uint16_t)KNOWN_UID, info->pr_uid);
	EXPECT_EQ(has_short_ids() ? OVERFLOW_ID : (uint16_t)KNOWN_GID, info->pr_gid);
	EXPECT_EQ(t->pid, info->pr_pid);
	EXPECT_EQ(getpid(), info->pr_ppid);
	EXPECT_STREQ("known-32", info->pr_fname);
	EXPECT_NE(NULL, strstr(info->pr_psargs, "--target known_states "));
}

/* For gdb, which reads it natively: tools/testing/judges/gdb-compat. */
static void leave_core(const struct target *t, const struct image *image)
{
	const char *results = getenv("RESULTS");
	char path[512], exe[64];
	FILE *to;

	if (!results)
		FAIL("RESULTS does not say where the core is to go");
	snprintf(path, sizeof(path), "%s/compat", results);
	if (mkdir(path, 0755) && errno != EEXIST)
		FAIL("mkdir %s: %s", path, strerror(errno));
	snprintf(path, sizeof(path), "%s/compat/core", results);
	to = CHECK_POINTER(fopen(path, "we"));
	CHECK(fwrite(image->data, 1, image->size, to) == image->size ? 0 : -1);
	CHECK(fclose(to));
	snprintf(path, sizeof(path), "%s/compat/registers", results);
	to = CHECK_POINTER(fopen(path, "we"));
	for (int n = 0; n < KNOWN_THREADS; n++) {
		struct known known;

		known_fill(&known, n);
		fprintf(to, "%d 0x%x 0x%x %s\n", t->page->slot[1 + n].tid,
			(uint32_t)known.reg[5], (uint32_t)known.reg[4],
			known_spins(n) ? "known_spin" : "known_call");
	}
	CHECK(fclose(to));
	snprintf(exe, sizeof(exe), "/proc/%d/exe", t->pid);
	snprintf(path, sizeof(path), "cp -p %s %s/compat/exe", exe, results);
	CHECK(system(path));
}

static void start(struct target *t, const char *directory)
{
	char argument[64];

	snprintf(argument, sizeof(argument), "%s 0x33", directory);
	target_start_known(t, TARGET_32, argument);
	target_settle(t);
}

CORE_TEST(exact)
{
	char directory[] = "/tmp/livecore-XXXXXX", command[64];
	const char *before;
	struct image image;
	struct target t;

	if (!__builtin_cpu_supports("avx"))
		SKIP(return, "a CPU without AVX");
	CHECK_POINTER(mkdtemp(directory));
	start(&t, directory);
	before = fingerprint(t.pid);
	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(0, image_dump(&image, t.pid));
		ASSERT_TRUE(image.is_32bit);
		EXPECT_EQ(1 + KNOWN_THREADS, image.nr_threads);
		EXPECT_EQ(t.pid, image.threads[0].tid);
		expect_process(_metadata, &t, image_note(&image, "CORE", NT_PRPSINFO));
		for (int n = 0; n < KNOWN_THREADS; n++) {
			const struct image_thread *thread =
				image_thread(&image, t.page->slot[1 + n].tid);
			const struct note *note;

			ASSERT_NE(NULL, thread);
			/* In the order of the kernel's view. */
			note = thread->first + 1;
			EXPECT_EQ(NT_PRFPREG, note[0].type);
			EXPECT_STREQ("CORE", note[0].name);
			EXPECT_EQ(NT_PRXFPREG, note[1].type);
			EXPECT_STREQ("LINUX", note[1].name);
			EXPECT_EQ(NT_X86_XSTATE, note[2].type);
			EXPECT_EQ(NT_386_TLS, note[3].type);
			EXPECT_EQ(n == KNOWN_READS_WITH_IOPERM, note[4].type == NT_386_IOPERM);
			expect_general(_metadata, &t, n, thread->prstatus32);
			expect_floating(_metadata, n, &note[0], &note[1]);
			expect_tls(_metadata, thread->prstatus32, &note[3]);
		}
		if (!round)
			leave_core(&t, &image);
		image_free(&image);
	}
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	EXPECT_EQ(0, target_finish(&t));
	snprintf(command, sizeof(command), "rm -r %s", directory);
	CHECK(system(command));
}

CORE_TEST_MAIN
