/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Threads of which every register is known, in programs of both classes. They
 * turn on one instruction, or sleep in a system call, to the end: so nothing of
 * them changes from one dump to the next.
 */
#ifndef LIVECORE_KNOWN_H
#define LIVECORE_KNOWN_H

/* Offsets for known.S. */
#define KNOWN_MXCSR	128
#define KNOWN_LOADED	132
#define KNOWN_STACK	136
#define KNOWN_YMM	160

/* What a thread that spins has written right below its stack when it gets there. */
#define KNOWN_ARRIVED	0x600d1dea

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The general registers that are loaded: the first of the kernel's structure. */
enum {
	/* struct user_regs_struct: r15 … r8, rax, rcx, rdx, rsi, rdi */
	KNOWN_R10	= 7,
	KNOWN_RAX	= 10,
	KNOWN_RCX	= 11,
	KNOWN_RDX	= 12,
	KNOWN_RSI	= 13,
	KNOWN_RDI	= 14,
	KNOWN_REGS_64	= 15,

	/* struct user_regs_struct32: ebx, ecx, edx, esi, edi, ebp, eax */
	KNOWN_EBX	= 0,
	KNOWN_ECX	= 1,
	KNOWN_EDX	= 2,
	KNOWN_ESI	= 3,
	KNOWN_EAX	= 6,
	KNOWN_REGS_32	= 7,
};

struct known {
	uint64_t reg[16];	/* of 32-bit registers the lower halves */
	uint32_t mxcsr;
	uint32_t loaded;	/* set when all but the last register are */
	uint64_t stack;		/* the stack pointer */
	uint64_t reserved[2];
	unsigned char ymm[16][32];
};

_Static_assert(offsetof(struct known, mxcsr) == KNOWN_MXCSR, "known.S");
_Static_assert(offsetof(struct known, loaded) == KNOWN_LOADED, "known.S");
_Static_assert(offsetof(struct known, stack) == KNOWN_STACK, "known.S");
_Static_assert(offsetof(struct known, ymm) == KNOWN_YMM, "known.S");

/* The threads of known-states.c, in the order of their slots behind the leader's. */
enum known_thread {
	KNOWN_SPINS,
	KNOWN_SPINS_TOO,
	KNOWN_READS,
	KNOWN_READS_WITH_IOPERM,
	KNOWN_WAITS_FOR_FUTEX,
	KNOWN_SLEEPS,
	KNOWN_WAITS_FOR_SIGNAL,
	KNOWN_PAUSES,
	KNOWN_THREADS,
};

static inline bool known_spins(enum known_thread n)
{
	return n <= KNOWN_SPINS_TOO;
}

/* The port that one of them may use. */
enum { KNOWN_PORT = 0x80 };

/* Of the process, of more than 16 bits: in a 32-bit core they are kernel.overflowuid. */
enum { KNOWN_UID = 100000, KNOWN_GID = 200000, OVERFLOW_ID = 65534 };

/* Values that no other @number has in any of its registers. */
void known_fill(struct known *known, unsigned int number);

/* Loads the registers, and stays at known_spin_here. */
void known_spin(struct known *known);
/* Is it there, to the instruction? */
bool known_has_arrived(const struct known *known);
extern const char known_spin_here[];

/* Loads the registers, and makes the system call that they are for. */
void known_call(struct known *known);
extern const char known_call_return[];

#endif /* __ASSEMBLER__ */
#endif /* LIVECORE_KNOWN_H */
