/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Opening files as somebody else.
 */
#ifndef LIVECORE_USER_H
#define LIVECORE_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Two users without any privilege. */
enum {
	USER_A = 1000,
	USER_B = 1001,
};

/* Turns the calling process into somebody for good. */
typedef void (*become_t)(void);

void become_root(void);
void become_root_without_ptrace(void);	/* all capabilities but CAP_SYS_PTRACE */
void become_root_without_caps(void);
void become_a(void);
void become_b(void);
void become_a_with_ptrace(void);	/* USER_A with CAP_SYS_PTRACE and no other */
void become_with_caps(uid_t uid, uint64_t caps);	/* these, each its bit, and no other */
void become_a_as_root_of_userns(void);	/* all capabilities, but only there */

/* What @ask returns, 0 to 255, in a child that has become somebody. */
int outcome_as(become_t become, int (*ask)(void));

/* Opens @path read-only in a child that has become somebody: 0, or the errno. */
int open_outcome(become_t become, const char *path);

/* The same for what is /proc/@pid/@name. */
int open_outcome_of(become_t become, pid_t pid, const char *name);

/*
 * Opens /proc/@pid/core with the credentials of user @uid: a descriptor of the
 * calling process, which is root before and after, or a negative errno.
 */
int core_open_as(uid_t uid, pid_t pid);

/* The same of /proc/@pid/@name. */
int open_as(uid_t uid, pid_t pid, const char *name);

/*
 * What opening `core` of another process has to say: where the gate is open, the
 * same as `mem`. @mode_bits: what is decided before livecore is asked at all, which
 * is seen at `syscall`: that has the same owner, and looks at nothing else.
 */
int core_outcome(int level, bool privileged, int mode_bits, int mem);

/* Makes the calling process one of user @uid that others may dump. */
void become_dumpable(uid_t uid);

#endif /* LIVECORE_USER_H */
