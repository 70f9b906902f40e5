// SPDX-License-Identifier: GPL-2.0
/*
 * See debugfs.h.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>

#include "check.h"
#include "debugfs.h"
#include "proc.h"

void debugfs_mount(void)
{
	if (access(DEBUGFS "/kmemleak", F_OK))
		CHECK(mount("debugfs", DEBUGFS, "debugfs", 0, NULL));
}

void debugfs_write(const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS "/%s", name);
	write_text(path, text);
}

void debugfs_write_number(const char *name, long value)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", value);
	debugfs_write(name, text);
}

long debugfs_number(const char *name)
{
	char path[128], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), DEBUGFS "/%s", name);
	fd = CHECK(open(path, O_RDONLY | O_CLOEXEC));
	CHECK(read(fd, text, sizeof(text) - 1));
	close(fd);
	return strtol(text, NULL, 0);
}
