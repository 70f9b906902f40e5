/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Files that a debug kernel can be steered by.
 */
#ifndef LIVECORE_DEBUGFS_H
#define LIVECORE_DEBUGFS_H

#define DEBUGFS	"/sys/kernel/debug"

/* Unless it is mounted. */
void debugfs_mount(void);

/* @name below DEBUGFS has to be there. */
void debugfs_write(const char *name, const char *text);
void debugfs_write_number(const char *name, long value);
long debugfs_number(const char *name);

#endif /* LIVECORE_DEBUGFS_H */
