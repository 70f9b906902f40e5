/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A file system that can be frozen: who writes to it then sleeps in state D,
 * and no signal ends that.
 */
#ifndef LIVECORE_FROZEN_FS_H
#define LIVECORE_FROZEN_FS_H

#include <stdbool.h>

struct frozen_fs {
	char directory[64];
	char image[64];
	char device[32];
	bool mounted;
	bool frozen;
};

/* Makes and mounts an ext4 in a file under /tmp. */
void frozen_fs_create(struct frozen_fs *fs);
void frozen_fs_freeze(struct frozen_fs *fs);
void frozen_fs_thaw(struct frozen_fs *fs);

/* Undoes whatever has been done; also in another process than did it. */
void frozen_fs_destroy(struct frozen_fs *fs);

#endif /* LIVECORE_FROZEN_FS_H */
