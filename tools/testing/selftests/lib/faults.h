/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Allocations of the kernel's that fail, of slab or of pages, whatever their
 * flags: the n-th of one thread, or any, by chance. For kernels with fault injection.
 */
#ifndef LIVECORE_FAULTS_H
#define LIVECORE_FAULTS_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Any allocation may fail from here up to there, and the log is silent but for
 * vmalloc(), which shows a stack: it is told so (tools/lab/lab/splat.py).
 */
void faults_prepare(void);
void faults_end(void);

/* Only those count that a function of a module makes, or one that it has called. */
void faults_of_modules_alone(bool alone);

/* Of those that take chances: so many percent of each kind fail, from here on. */
void faults_set_chances(unsigned int slab, unsigned int pages);

/* How many have, since then. */
unsigned int faults_by_chance(void);

/* A descriptor with which the calling thread takes its chances, or does not. */
int faults_chances(void);
void faults_take_chances(int chances, bool take);

/* A descriptor for what follows, of the thread @tid of @pid; 0 and 0 for the caller. */
int faults_of(pid_t pid, pid_t tid);

/* The @nth allocation from here on fails. */
void faults_arm(int faults, unsigned int nth);

/* No more; how many allocations there would have been until that one: 0 if it failed. */
unsigned int faults_disarm(int faults);

#endif /* LIVECORE_FAULTS_H */
