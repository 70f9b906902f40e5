// SPDX-License-Identifier: GPL-2.0
/*
 * cgroup.freeze, and freezer.state.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "check.h"
#include "freezer.h"
#include "proc.h"

#define NAME	"livecore-freezer"

static void write_to(const struct freezer *freezer, const char *name, const char *text)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", freezer->directory, name);
	fd = CHECK(open(path, O_WRONLY | O_CLOEXEC));
	if (write(fd, text, strlen(text)) < 0)
		FAIL("%s into %s: %s", text, path, strerror(errno));
	close(fd);
}

/* Whether the file has that line. */
static bool has_line(const struct freezer *freezer, const char *name, const char *wanted)
{
	char path[128], line[64];
	bool found = false;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", freezer->directory, name);
	file = CHECK_POINTER(fopen(path, "re"));
	while (!found && fgets(line, sizeof(line), file))
		found = !strcmp(line, wanted);
	fclose(file);
	return found;
}

void freezer_create(struct freezer *freezer, int version)
{
	freezer->version = version;
	freezer->mount[0] = '\0';
	if (version == 1) {
		strcpy(freezer->mount, "/tmp/livecore-XXXXXX");
		CHECK_POINTER(mkdtemp(freezer->mount));
		CHECK(mount("cgroup", freezer->mount, "cgroup", 0, "freezer"));
	}
	snprintf(freezer->directory, sizeof(freezer->directory), "%s/" NAME,
		 version == 1 ? freezer->mount : "/sys/fs/cgroup");
	CHECK(mkdir(freezer->directory, 0755));
}

void freezer_add(const struct freezer *freezer, pid_t pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", pid);
	write_to(freezer, "cgroup.procs", text);
}

void freezer_freeze(const struct freezer *freezer)
{
	if (freezer->version == 1)
		write_to(freezer, "freezer.state", "FROZEN");
	else
		write_to(freezer, "cgroup.freeze", "1");
}

void freezer_thaw(const struct freezer *freezer)
{
	if (freezer->version == 1)
		write_to(freezer, "freezer.state", "THAWED");
	else
		write_to(freezer, "cgroup.freeze", "0");
}

bool freezer_is_frozen(const struct freezer *freezer)
{
	if (freezer->version == 1)
		return has_line(freezer, "freezer.state", "FROZEN\n");
	return has_line(freezer, "cgroup.events", "frozen 1\n");
}

static bool is_removed(const char *directory)
{
	return !rmdir(directory) || errno == ENOENT;
}

void freezer_destroy(const struct freezer *freezer)
{
	if (!access(freezer->directory, F_OK))
		freezer_thaw(freezer);
	if (!EVENTUALLY(is_removed(freezer->directory)))
		FAIL("rmdir %s: %s", freezer->directory, strerror(errno));
	if (freezer->mount[0]) {
		CHECK(umount(freezer->mount));
		CHECK(rmdir(freezer->mount));
	}
}
