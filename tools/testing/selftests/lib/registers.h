/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The general registers of a thread, compared with what they have to be.
 */
#ifndef LIVECORE_REGISTERS_H
#define LIVECORE_REGISTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/user.h>

#include "image.h"
#include "pattern.h"

/* Those of the NT_PRSTATUS. */
struct user_regs_struct registers_of(const struct image_thread *thread);

/*
 * What all threads of a 64-bit process have in common, and the pattern's
 * values; no more than that is known of a thread in pattern_*().
 */
struct user_regs_struct registers_of_pattern(const struct pattern *pattern);

/* Then in the system call @nr, which the instruction before @pc makes. */
void registers_in_syscall(struct user_regs_struct *regs, long nr, uint64_t pc,
			  const uint64_t argument[3]);

/* How many differ; says which. The flags of an expectation are not looked at. */
size_t registers_differ(const struct user_regs_struct *expected,
			const struct user_regs_struct *seen);

/* Nothing of the thread is known: all zeros, and no other register sets. */
bool registers_are_zeroed(const struct image_thread *thread);

/* General registers are all that the thread's notes have. */
bool registers_are_general(const struct image_thread *thread);

#endif /* LIVECORE_REGISTERS_H */
