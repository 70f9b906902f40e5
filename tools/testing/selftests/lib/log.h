/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's log.
 */
#ifndef LIVECORE_LOG_H
#define LIVECORE_LOG_H

#include <stdbool.h>

/* A descriptor that reads it, from now on. */
int log_open(void);

/* Whether a record has come that holds both, by now. */
bool log_has(int fd, const char *one, const char *other);

#endif /* LIVECORE_LOG_H */
