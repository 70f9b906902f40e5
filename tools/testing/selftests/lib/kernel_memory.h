/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory that is the kernel's.
 */
#ifndef LIVECORE_KERNEL_MEMORY_H
#define LIVECORE_KERNEL_MEMORY_H

#include <stdbool.h>

/* What is not given back when memory is short, in bytes. */
long kernel_memory(void);

/* Some of it is given back after a grace period, or by a work: for EVENTUALLY(). */
bool kernel_memory_is_below(long bytes);

#endif /* LIVECORE_KERNEL_MEMORY_H */
