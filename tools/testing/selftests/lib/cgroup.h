/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A cgroup with little of the CPUs.
 */
#ifndef LIVECORE_CGROUP_H
#define LIVECORE_CGROUP_H

#include <sys/types.h>

/* Makes it; who is in it runs @quota_us of every @period_us. */
void cgroup_create(unsigned int quota_us, unsigned int period_us);

/* All threads of the process. */
void cgroup_enter(pid_t pid);

/* No limit any more. */
void cgroup_unlimit(void);

/* Removes it once nobody is in it; also in another process than made it. */
void cgroup_destroy(void);

#endif /* LIVECORE_CGROUP_H */
