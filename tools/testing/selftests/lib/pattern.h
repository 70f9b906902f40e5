/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Code that fills the registers with known values and then stays somewhere:
 * in a loop, in a system call, in a page fault. What the registers are when it
 * goes on is stored, for a dump must not change them either.
 */
#ifndef LIVECORE_PATTERN_H
#define LIVECORE_PATTERN_H

/* Offsets for pattern.S. */
#define PATTERN_RAX	0
#define PATTERN_RBX	8
#define PATTERN_RCX	16
#define PATTERN_RDX	24
#define PATTERN_RSI	32
#define PATTERN_RBP	40
#define PATTERN_R8	48
#define PATTERN_R9	56
#define PATTERN_R10	64
#define PATTERN_R11	72
#define PATTERN_R12	80
#define PATTERN_R13	88
#define PATTERN_R14	96
#define PATTERN_R15	104
#define PATTERN_RSP	112
#define PATTERN_MXCSR	120
#define PATTERN_YMM	128

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

struct pattern {
	uint64_t rax;
	uint64_t rbx;
	uint64_t rcx;
	uint64_t rdx;
	uint64_t rsi;
	uint64_t rbp;
	uint64_t r8;
	uint64_t r9;
	uint64_t r10;
	uint64_t r11;
	uint64_t r12;
	uint64_t r13;
	uint64_t r14;
	uint64_t r15;
	uint64_t rsp;		/* not loaded: stored when the others are loaded */
	uint32_t mxcsr;
	uint32_t reserved;
	unsigned char ymm[16][32];
};

_Static_assert(offsetof(struct pattern, r15) == PATTERN_R15, "pattern.S");
_Static_assert(offsetof(struct pattern, mxcsr) == PATTERN_MXCSR, "pattern.S");
_Static_assert(offsetof(struct pattern, ymm) == PATTERN_YMM, "pattern.S");

/*
 * The first value of the x87 stack is pi in each of them. All registers but
 * rdi, and what the call or the fault needs, have the pattern's values.
 */

/* Adds to *@counter, in rdi, until *@stop, in rsi, is not zero. */
void pattern_spin(struct pattern *pattern, struct pattern *after, uint64_t *counter,
		  uint32_t *stop);

/* read(@fd, @byte, 1) */
void pattern_read(struct pattern *pattern, struct pattern *after, long fd, char *byte);

/* ioctl(@fd, @request, @argument) */
void pattern_ioctl(struct pattern *pattern, struct pattern *after, long fd, long request,
		   long argument);

/* Touches *@byte, in rdi. */
void pattern_fault(struct pattern *pattern, struct pattern *after, char *byte);

/* Where they are while they stay. */
extern const char pattern_spin_begin[], pattern_spin_end[];
extern const char pattern_read_return[];
extern const char pattern_ioctl_return[];
extern const char pattern_fault_access[];

/* Values that no other @number has in any of its registers. */
void pattern_fill(struct pattern *pattern, unsigned int number);

#endif /* __ASSEMBLER__ */
#endif /* LIVECORE_PATTERN_H */
