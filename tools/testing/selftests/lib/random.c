// SPDX-License-Identifier: GPL-2.0
/*
 * SplitMix64.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>

#include "check.h"
#include "random.h"

uint64_t random_seed(void)
{
	const char *wanted = getenv("LIVECORE_SEED");
	uint64_t seed;

	if (wanted && *wanted) {
		char *end;

		seed = strtoull(wanted, &end, 0);
		if (*end)
			FAIL("LIVECORE_SEED is no number: %s", wanted);
	} else {
		CHECK(getrandom(&seed, sizeof(seed), 0));
	}
	printf("# LIVECORE_SEED=%#" PRIx64 "\n", seed);
	fflush(stdout);
	return seed;
}

uint64_t random_next(struct random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

struct random random_stream(uint64_t seed, uint64_t number)
{
	struct random random = { seed ^ number * 0xd1342543de82ef95 };

	/* So that neighbours do not walk through each other's numbers. */
	random.state = random_next(&random) ^ seed;
	return random;
}

uint64_t random_below(struct random *random, uint64_t limit)
{
	return random_next(random) % limit;
}

bool random_one_in(struct random *random, uint64_t n)
{
	return !random_below(random, n);
}
