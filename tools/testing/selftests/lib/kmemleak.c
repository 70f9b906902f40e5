// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/kernel/debug/kmemleak.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>

#include "check.h"
#include "debugfs.h"
#include "kmemleak.h"

/* A block is reported by the second scan that does not find it. */
enum { SCANS = 3 };

#define KMEMLEAK	DEBUGFS "/kmemleak"

void kmemleak_start(void)
{
	debugfs_mount();
	debugfs_write("kmemleak", "scan");
	debugfs_write("kmemleak", "clear");
}

int kmemleak_reports(const char *word)
{
	bool counted = false;
	int found = 0;
	char line[512];
	FILE *file;

	for (int scan = 0; scan < SCANS; scan++)
		debugfs_write("kmemleak", "scan");
	file = CHECK_POINTER(fopen(KMEMLEAK, "re"));
	while (fgets(line, sizeof(line), file)) {
		fprintf(stderr, "# %s", line);
		if (!strncmp(line, "unreferenced object", 19))
			counted = false;
		if (!counted && (!word || strstr(line, word))) {
			counted = true;
			found++;
		}
	}
	fclose(file);
	return found;
}
