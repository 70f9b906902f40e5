/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A file whose pages come from a thread of the process that maps it: nobody
 * gets one while that thread is held.
 */
#ifndef LIVECORE_HELD_FS_H
#define LIVECORE_HELD_FS_H

#include "target.h"

/*
 * Target: mounts a file of @pages pages of the letter 'f' on the file @path,
 * and starts the thread that serves it. Needs root; umount2(@path, MNT_DETACH)
 * undoes it.
 */
void held_fs_mount(struct target_self *self, const char *path, int pages);

/* Target, before that: the file has what is in @fd. */
void held_fs_contents(int fd);

/*
 * Target: as long as it is paused nobody gets a page, held or not. Who maps the
 * file with O_SYNC waits for those who read it, and keeps the process's mappings
 * locked meanwhile.
 */
void held_fs_pause(bool paused);

/*
 * Target: the next read of a page fails, paused or not. A page fault tries once
 * more then, and keeps the process's mappings locked until it has its page.
 */
void held_fs_fail_next(void);

#endif /* LIVECORE_HELD_FS_H */
