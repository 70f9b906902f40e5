/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Threads that spin in user mode, with known registers.
 */
#ifndef LIVECORE_SPINNERS_H
#define LIVECORE_SPINNERS_H

#include <stddef.h>

#include "image.h"
#include "target.h"

/* Target: @count threads, in slots that nobody else writes to. */
void spinners_start(struct target_self *self, int count);

/*
 * Test: how many of them have other registers in @image than they have; those
 * without notes are among them.
 */
size_t spinners_differ(const struct target *target, const struct image *image);

#endif /* LIVECORE_SPINNERS_H */
