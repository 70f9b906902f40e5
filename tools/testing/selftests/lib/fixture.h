/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The frame of most tests: the gate is open while it runs, and whatever it
 * sets is put back afterwards, also when it fails or dies.
 */
#ifndef LIVECORE_FIXTURE_H
#define LIVECORE_FIXTURE_H

#include "frame.h"

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

#endif /* LIVECORE_FIXTURE_H */
