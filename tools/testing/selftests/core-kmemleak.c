// SPDX-License-Identifier: GPL-2.0
/*
 * Loading, dumping and unloading over and over leaves no memory behind that
 * nobody knows of. (One small block per load stays deliberately.)
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mount.h>

#include "fixture.h"
#include "module.h"
#include "sleepers.h"

enum { ROUNDS = 6, SCANS = 3 };

#define KMEMLEAK	"/sys/kernel/debug/kmemleak"

TARGET(mixed)
{
	sleepers_start(self);
	target_spinners(self, 2);
	target_serve(self);
	sleepers_clean();
	return 0;
}

static void tell_kmemleak(const char *command)
{
	int fd = CHECK(open(KMEMLEAK, O_WRONLY | O_CLOEXEC));

	CHECK(write(fd, command, strlen(command)));
	close(fd);
}

/* Prints the reports that have to do with us; how many there are. */
static int reports(void)
{
	FILE *file = CHECK_POINTER(fopen(KMEMLEAK, "re"));
	int found = 0;
	char line[512];

	while (fgets(line, sizeof(line), file)) {
		fprintf(stderr, "# %s", line);
		if (strstr(line, "livecore"))
			found++;
	}
	fclose(file);
	return found;
}

static void dump_and_end_early(struct target *t)
{
	struct image image;
	char byte;
	int fd;

	CHECK_ZERO(image_dump(&image, t->pid));
	image_free(&image);
	fd = core_open(t->pid);
	if (fd < 0)
		FAIL("open: %d", fd);
	CHECK(read(fd, &byte, 1));
	if (core_open(t->pid) != -EBUSY)
		FAIL("not busy");
	sysctl_set("livecore_enable", 0);
	close(fd);
}

TEST_F_TIMEOUT(core, silent, 900)
{
	struct target t;

	if (access(KMEMLEAK, F_OK))
		CHECK(mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL));
	ASSERT_EQ(0, access(KMEMLEAK, F_OK));
	/* What others have lost by now is not our affair. */
	tell_kmemleak("scan");
	tell_kmemleak("clear");
	target_start(&t, "mixed", NULL);
	target_settle(&t);
	for (int round = 0; round < ROUNDS; round++) {
		dump_and_end_early(&t);
		ASSERT_TRUE(module_unloads());
		ASSERT_EQ(0, module_load());
		sysctl_set("livecore_enable", 1);
		sysctl_set("livecore_timeout_ms", 60000);
	}
	/* A block is reported by the second scan that does not find it. */
	for (int scan = 0; scan < SCANS; scan++)
		tell_kmemleak("scan");
	EXPECT_EQ(0, reports());
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
