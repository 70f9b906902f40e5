/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a dump must not change about a process, as text: its pages and page
 * tables, its signals, its System V objects, and everything the kernel counts
 * about its threads that sleep. Threads that run are left out, and with them
 * the soft-dirty bits, for they go on writing.
 */
#ifndef LIVECORE_FINGERPRINT_H
#define LIVECORE_FINGERPRINT_H

#include <stddef.h>
#include <sys/types.h>

/* Clears the soft-dirty bits first. It lives as long as the test. */
const char *fingerprint(pid_t pid);

/* The same, but it leaves them. */
const char *fingerprint_now(pid_t pid);

/* How many lines are different now; says which. */
size_t fingerprint_changes(pid_t pid, const char *before);

#endif /* LIVECORE_FINGERPRINT_H */
