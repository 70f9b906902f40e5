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
#include "proc.h"

/* Of those by chance; it is counted down. */
#define TIMES	1000000000

static const char * const kinds[] = { "failslab", "fail_page_alloc" };

/*
 * kmemleak's note of an allocation is one, too, and it can do without: half of
 * all. They are made by one function, which ends where the next begins.
 */
static void spare_kmemleak(void)
{
	char *text = CHECK_POINTER(proc_text("kallsyms")), start[32], end[32];
	char *line = CHECK_POINTER(strstr(text, " t __alloc_object\n"));

	if (sscanf(line - 16, "%16s t __alloc_object\n%16s", start, end) != 2)
		FAIL("/proc/kallsyms does not say where __alloc_object() is");
	free(text);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		char name[64], value[40];

		snprintf(name, sizeof(name), "%s/reject-start", kinds[i]);
		snprintf(value, sizeof(value), "0x%s", start);
		debugfs_write(name, value);
		snprintf(name, sizeof(name), "%s/reject-end", kinds[i]);
		snprintf(value, sizeof(value), "0x%s", end);
		debugfs_write(name, value);
	}
}

void faults_prepare(void)
{
	static const char * const settings[][2] = {
		{ "failslab/ignore-gfp-wait", "N" },
		{ "failslab/cache-filter", "N" },
		/* What it says there has a stack in it, as a splat has. */
		{ "failslab/verbose", "0" },
		/* By fail-nth alone, and where make-it-fail says so. */
		{ "failslab/task-filter", "Y" },
		{ "fail_page_alloc/task-filter", "Y" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" },
		{ "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "fail_page_alloc/min-order", "0" },
		{ "fail_page_alloc/verbose", "0" },
	};

	debugfs_mount();
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		debugfs_write(settings[i][0], settings[i][1]);
	if (!debugfs_number("failslab/reject-start"))
		spare_kmemleak();
	write_text("/dev/kmsg", "livecore-lab: allocations are made to fail");
}

void faults_end(void)
{
	faults_of_modules_alone(false);
	faults_set_chances(0, 0);
	write_text("/dev/kmsg", "livecore-lab: no allocation is made to fail");
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

void faults_set_chances(unsigned int slab, unsigned int pages)
{
	debugfs_write_number("failslab/times", TIMES);
	debugfs_write_number("failslab/probability", slab);
	debugfs_write_number("fail_page_alloc/times", TIMES);
	debugfs_write_number("fail_page_alloc/probability", pages);
}

unsigned int faults_by_chance(void)
{
	return 2 * TIMES - debugfs_number("failslab/times") -
	       debugfs_number("fail_page_alloc/times");
}

int faults_chances(void)
{
	return CHECK(open("/proc/thread-self/make-it-fail", O_RDWR | O_CLOEXEC));
}

void faults_take_chances(int chances, bool take)
{
	CHECK(pwrite(chances, take ? "1" : "0", 1, 0));
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
