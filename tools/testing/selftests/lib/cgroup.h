/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A cgroup with little of something.
 */
#ifndef LIVECORE_CGROUP_H
#define LIVECORE_CGROUP_H

/* Makes it, without any limit; @controller is "+cpu" or "+memory". */
void cgroup_create(const char *controller);

/* The calling process, before it has many threads that run: moving those takes long. */
void cgroup_enter(void);

/* The calling process; whom it has started stays. */
void cgroup_leave(void);

/* Who is in it has so much memory, together. */
void cgroup_limit_memory(unsigned long bytes);

/* How much memory is charged to it, in bytes. */
unsigned long cgroup_memory(void);

/* What of the kernel's memory is charged to it, in bytes. */
unsigned long cgroup_kernel_bytes(void);

/* Who is in it runs @quota_us of every @period_us, together. */
void cgroup_limit(unsigned int quota_us, unsigned int period_us);

/* No limit any more. */
void cgroup_unlimit(void);

/* Removes it once nobody is in it; also in another process than made it. */
void cgroup_destroy(void);

#endif /* LIVECORE_CGROUP_H */
