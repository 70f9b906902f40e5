/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A cgroup with little of the CPUs.
 */
#ifndef LIVECORE_CGROUP_H
#define LIVECORE_CGROUP_H

/* Makes it, without any limit. */
void cgroup_create(void);

/* The calling process, before it has many threads that run: moving those takes long. */
void cgroup_enter(void);

/* Who is in it runs @quota_us of every @period_us, together. */
void cgroup_limit(unsigned int quota_us, unsigned int period_us);

/* No limit any more. */
void cgroup_unlimit(void);

/* Removes it once nobody is in it; also in another process than made it. */
void cgroup_destroy(void);

#endif /* LIVECORE_CGROUP_H */
