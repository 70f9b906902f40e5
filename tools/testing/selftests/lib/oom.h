/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Running out of memory, and who is killed for it.
 */
#ifndef LIVECORE_OOM_H
#define LIVECORE_OOM_H

#include <sys/types.h>

/* Everybody there is, but for whom oom_prefer() names, until oom_restore(). */
void oom_spare_everybody(void);
void oom_prefer(pid_t pid);
void oom_restore(void);

/* As if the system had run out of memory, by the key that says so. Somebody has to be preferred. */
void oom_of_the_system(void);

/*
 * What a memory cgroup kills is otherwise a bug: tells the log that it is meant
 * to happen, from here up to there (tools/lab/lab/splat.py).
 */
void oom_expected(void);
void oom_over(void);

#endif /* LIVECORE_OOM_H */
