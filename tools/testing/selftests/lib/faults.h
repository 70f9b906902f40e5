/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Allocations of the kernel's that fail: the n-th of one thread, of slab or of
 * pages, whatever its flags. For kernels with fault injection.
 */
#ifndef LIVECORE_FAULTS_H
#define LIVECORE_FAULTS_H

#include <stdbool.h>
#include <sys/types.h>

/* For as long as the test runs: any allocation may fail, and the log is silent. */
void faults_prepare(void);

/* Only those count that a function of a module makes, or one that it has called. */
void faults_of_modules_alone(bool alone);

/* A descriptor for what follows, of the thread @tid of @pid; 0 and 0 for the caller. */
int faults_of(pid_t pid, pid_t tid);

/* The @nth allocation from here on fails. */
void faults_arm(int faults, unsigned int nth);

/* No more; how many allocations there would have been until that one: 0 if it failed. */
unsigned int faults_disarm(int faults);

#endif /* LIVECORE_FAULTS_H */
