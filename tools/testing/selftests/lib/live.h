/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What only a live dump has (linux/livecore.h): the ioctls of /proc/PID/core,
 * and the note LIVECORE.
 */
#ifndef LIVECORE_LIVE_H
#define LIVECORE_LIVE_H

#include <linux/livecore.h>

#include "image.h"

/* Opens /proc/@pid/core for a dump to be configured: a descriptor or a negative errno. */
int live_open(pid_t pid);

/* 0 or a negative errno. */
int live_config(int fd, const struct livecore_config *config);
int live_start(int fd);
int live_release(int fd);
int live_info(int fd, struct livecore_info *info);

/* The same, where it must not fail. */
struct livecore_info live_info_of(int fd);

/* live_open(), live_config() unless @config is NULL, live_start(). */
int live_dump(pid_t pid, const struct livecore_config *config);

/* The note's beginning; NULL where there is none, or it is not of that size. */
const struct livecore_note *live_note(const struct image *image);

/* The record of one thread, NULL where it has none. */
const struct livecore_note_thread *live_thread(const struct image *image, pid_t tid);

/* How many threads were captured so. */
unsigned int live_count(const struct image *image, unsigned int how);

#endif /* LIVECORE_LIVE_H */
