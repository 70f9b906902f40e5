/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Dumps that signals end, by one of the policies of kernel.livecore_abort.
 */
#ifndef LIVECORE_POLICY_H
#define LIVECORE_POLICY_H

#include <stdint.h>

#include "target.h"

/* Target: a handler that counts in target_page.value[], by the signal, once it was told where. */
void count_deliveries(struct target_self *self);
void was_delivered(int signal);

/* The test's side: how often it was. */
uint64_t delivered(const struct target *t, int signal);

/* LIVECORE_STATE_* of a dump. */
unsigned int state_of(int fd);

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
