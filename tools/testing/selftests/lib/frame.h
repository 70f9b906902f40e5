/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What every test needs. Those without a fixture of their own include
 * fixture.h.
 */
#ifndef LIVECORE_FRAME_H
#define LIVECORE_FRAME_H

#include "kselftest_harness.h"

#include "check.h"
#include "fingerprint.h"
#include "image.h"
#include "proc.h"
#include "sysctl.h"
#include "target.h"

/* A test that hangs is to be reported by its name; and KCSAN is slow. */
#define CORE_TEST_SECONDS	600

/* Instead of TEST_HARNESS_MAIN: the program is its own targets, too. */
#define CORE_TEST_MAIN							\
int main(int argc, char **argv)						\
{									\
	target_dispatch(argc, argv);					\
	exit(test_harness_run(argc, argv));				\
}

#endif /* LIVECORE_FRAME_H */
