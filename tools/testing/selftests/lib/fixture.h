/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The frame of most tests: the gate is open while it runs, and whatever it
 * sets is put back afterwards, also when it fails or dies.
 */
#ifndef LIVECORE_FIXTURE_H
#define LIVECORE_FIXTURE_H

#include "frame.h"
#include "tally.h"

FIXTURE(core)
{
	struct sysctl_values sysctls;
};

FIXTURE_SETUP(core)
{
	sysctl_prepare(&self->sysctls);
}

FIXTURE_TEARDOWN_PARENT(core)
{
	sysctl_restore(&self->sysctls);
}

#define CORE_TEST(name)	TEST_F_TIMEOUT(core, name, CORE_TEST_SECONDS)

/*
 * The same of one round, which `make soak` repeats: so many @dumps, each of them
 * in a race. It leaves nothing behind.
 */
#define CORE_RACE(name, dumps)						\
static void name##_once(struct __test_metadata *_metadata);		\
CORE_TEST(name)								\
{									\
	unsigned long n = rounds(1);					\
									\
	for (unsigned long i = 0; i < n; i++)				\
		name##_once(_metadata);					\
	tally("dumps", n * (dumps));					\
	tally("races provoked", n * (dumps));				\
}									\
static void name##_once(struct __test_metadata *_metadata)

#endif /* LIVECORE_FIXTURE_H */
