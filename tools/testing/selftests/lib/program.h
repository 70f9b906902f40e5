/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The test's own program as a file of its own, that others may execute.
 */
#ifndef LIVECORE_PROGRAM_H
#define LIVECORE_PROGRAM_H

#include <sys/types.h>

struct program {
	char directory[32];
	char path[64];
};

/* @mode may have the set-uid bit: it is on a file system that allows that. */
void program_create(struct program *program, mode_t mode);

/* Also in another process than made it. */
void program_destroy(struct program *program);

#endif /* LIVECORE_PROGRAM_H */
