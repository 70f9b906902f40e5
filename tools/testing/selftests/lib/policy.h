/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Dumps that signals end, by one of the policies of kernel.livecore_abort.
 */
#ifndef LIVECORE_POLICY_H
#define LIVECORE_POLICY_H

#include <stdint.h>

#include "target.h"

/* A dump of the registers alone: a descriptor or a negative errno. */
int dump_with(struct target *t, unsigned int policy);

struct storm {
	struct target *target;
	uint32_t stop;
	unsigned long dumps;
	unsigned long ended;
};

/* For race_process(): a storm, by any policy, until it is told to stop. */
int dump_all_the_time(void *argument);

#endif /* LIVECORE_POLICY_H */
