// SPDX-License-Identifier: GPL-2.0
/*
 * Version 2.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "cgroup.h"
#include "check.h"
#include "proc.h"

#define ROOT	"/sys/fs/cgroup"
#define OURS	ROOT "/livecore-selftest"

void cgroup_create(const char *controller)
{
	write_text(ROOT "/cgroup.subtree_control", controller);
	CHECK(mkdir(OURS, 0755));
}

void cgroup_enter(void)
{
	/* The writer. */
	write_text(OURS "/cgroup.procs", "0");
}

void cgroup_leave(void)
{
	write_text(ROOT "/cgroup.procs", "0");
}

void cgroup_limit_memory(unsigned long bytes)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", bytes);
	write_text(OURS "/memory.max", text);
}

unsigned long cgroup_memory(void)
{
	FILE *file = fopen(OURS "/memory.current", "re");
	unsigned long bytes = 0;

	if (!file || fscanf(file, "%lu", &bytes) != 1)
		FAIL("memory.current");
	fclose(file);
	return bytes;
}

unsigned long cgroup_kernel_bytes(void)
{
	FILE *file = CHECK_POINTER(fopen(OURS "/memory.stat", "re"));
	unsigned long bytes;
	char line[128];
	bool found = false;

	while (!found && fgets(line, sizeof(line), file))
		found = sscanf(line, "kernel %lu", &bytes) == 1;
	fclose(file);
	if (!found)
		FAIL(OURS "/memory.stat does not tell of the kernel");
	return bytes;
}

void cgroup_limit(unsigned int quota_us, unsigned int period_us)
{
	char text[32];

	snprintf(text, sizeof(text), "%u %u", quota_us, period_us);
	write_text(OURS "/cpu.max", text);
}

void cgroup_unlimit(void)
{
	write_text(OURS "/cpu.max", "max");
}

static bool is_removed(void)
{
	return !rmdir(OURS) || errno == ENOENT;
}

void cgroup_destroy(void)
{
	if (!EVENTUALLY(is_removed()))
		FAIL("rmdir " OURS ": %s", strerror(errno));
}
