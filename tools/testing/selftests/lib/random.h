/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Numbers that look random, and come again: all of them follow from one seed,
 * which is printed. LIVECORE_SEED in the environment asks for it again.
 */
#ifndef LIVECORE_RANDOM_H
#define LIVECORE_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random {
	uint64_t state;
};

/* LIVECORE_SEED, or one that has not been used before. Says which. */
uint64_t random_seed(void);

/* The stream @number of those that follow from @seed. */
struct random random_stream(uint64_t seed, uint64_t number);

uint64_t random_next(struct random *random);

/* Less than @limit, which is not 0. */
uint64_t random_below(struct random *random, uint64_t limit);

bool random_one_in(struct random *random, uint64_t n);

/* One of the elements of an array. */
#define RANDOM_OF(random, array)					\
	((array)[random_below(random, sizeof(array) / sizeof((array)[0]))])

#endif /* LIVECORE_RANDOM_H */
