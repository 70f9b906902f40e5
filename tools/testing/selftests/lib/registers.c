// SPDX-License-Identifier: GPL-2.0
/*
 * See registers.h.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include "check.h"
#include "registers.h"

/* What 64-bit user mode has, in every thread. */
#define USER_CS	0x33
#define USER_SS	0x2b

struct user_regs_struct registers_of(const struct image_thread *thread)
{
	struct user_regs_struct regs;

	_Static_assert(sizeof(regs) == sizeof(thread->prstatus->pr_reg), "struct user_regs_struct");
	memcpy(&regs, &thread->prstatus->pr_reg, sizeof(regs));
	return regs;
}

struct user_regs_struct registers_of_pattern(const struct pattern *pattern)
{
	return (struct user_regs_struct){
		.rax = pattern->rax,
		.rbx = pattern->rbx,
		.rcx = pattern->rcx,
		.rdx = pattern->rdx,
		.rsi = pattern->rsi,
		.rbp = pattern->rbp,
		.r8 = pattern->r8,
		.r9 = pattern->r9,
		.r10 = pattern->r10,
		.r11 = pattern->r11,
		.r12 = pattern->r12,
		.r13 = pattern->r13,
		.r14 = pattern->r14,
		.r15 = pattern->r15,
		.orig_rax = -1,
		.cs = USER_CS,
		.ss = USER_SS,
	};
}

void registers_in_syscall(struct user_regs_struct *regs, long nr, uint64_t pc,
			  const uint64_t argument[3])
{
	regs->orig_rax = nr;
	regs->rax = -ENOSYS;
	regs->rip = pc;
	regs->rcx = pc;
	regs->rdi = argument[0];
	regs->rsi = argument[1];
	regs->rdx = argument[2];
}

#define FIELD(name) { #name, offsetof(struct user_regs_struct, name) }

static const struct {
	const char *name;
	size_t offset;
} fields[] = {
	FIELD(rax), FIELD(rbx), FIELD(rcx), FIELD(rdx), FIELD(rsi), FIELD(rdi), FIELD(rbp),
	FIELD(rsp), FIELD(r8), FIELD(r9), FIELD(r10), FIELD(r11), FIELD(r12), FIELD(r13),
	FIELD(r14), FIELD(r15), FIELD(rip), FIELD(orig_rax), FIELD(cs), FIELD(ss),
	FIELD(fs_base), FIELD(gs_base),
};

static uint64_t value(const struct user_regs_struct *regs, size_t offset)
{
	uint64_t value;

	memcpy(&value, (const char *)regs + offset, sizeof(value));
	return value;
}

size_t registers_differ(const struct user_regs_struct *expected,
			const struct user_regs_struct *seen)
{
	size_t differ = 0;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		uint64_t is = value(seen, fields[i].offset);
		uint64_t should_be = value(expected, fields[i].offset);

		if (is == should_be)
			continue;
		fprintf(stderr, "# %s is %#lx, not %#lx\n", fields[i].name, is, should_be);
		differ++;
	}
	return differ;
}

bool registers_are_general(const struct image_thread *thread)
{
	return !thread->fpregs && !thread->xstate && !thread->prstatus->pr_fpvalid;
}

bool registers_are_zeroed(const struct image_thread *thread)
{
	static const struct user_regs_struct zero;
	struct user_regs_struct regs = registers_of(thread);

	return !memcmp(&regs, &zero, sizeof(zero)) && registers_are_general(thread);
}
