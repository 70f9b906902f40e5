// SPDX-License-Identifier: GPL-2.0
/*
 * /proc/PID/task/TID/fail-nth (Documentation/fault-injection).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>

#include "check.h"
#include "debugfs.h"
#include "faults.h"

void faults_prepare(void)
{
	static const char * const settings[][2] = {
		{ "failslab/ignore-gfp-wait", "N" },
		{ "failslab/cache-filter", "N" },
		/* What it says there has a stack in it, as a splat has. */
		{ "failslab/verbose", "0" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" },
		{ "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "fail_page_alloc/min-order", "0" },
		{ "fail_page_alloc/verbose", "0" },
	};

	debugfs_mount();
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		debugfs_write(settings[i][0], settings[i][1]);
}

void faults_of_modules_alone(bool alone)
{
	/* What is behind the kernel's text, which is at the same place in each run. */
	const char *start = alone ? "0xffffffffa0000000" : "0";
	const char *end = alone ? "0xffffffffff000000" : "0xffffffffffffffff";

	debugfs_write("failslab/require-start", start);
	debugfs_write("failslab/require-end", end);
	debugfs_write("fail_page_alloc/require-start", start);
	debugfs_write("fail_page_alloc/require-end", end);
}

int faults_of(pid_t pid, pid_t tid)
{
	char path[64] = "/proc/thread-self/fail-nth";

	if (tid)
		snprintf(path, sizeof(path), "/proc/%d/task/%d/fail-nth", pid, tid);
	return CHECK(open(path, O_RDWR | O_CLOEXEC));
}

void faults_arm(int faults, unsigned int nth)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u", nth);

	CHECK(pwrite(faults, text, length, 0));
}

unsigned int faults_disarm(int faults)
{
	char text[16] = "";

	CHECK(pread(faults, text, sizeof(text) - 1, 0));
	CHECK(pwrite(faults, "0", 1, 0));
	return strtoul(text, NULL, 10);
}
