// SPDX-License-Identifier: GPL-2.0
/*
 * Loading, dumping and unloading over and over leaves no memory behind that
 * nobody knows of. (One small block per load stays deliberately.)
 */
#include "fixture.h"
#include "kmemleak.h"
#include "module.h"
#include "sleepers.h"

enum { ROUNDS = 2 };

TARGET(mixed)
{
	sleepers_start(self);
	target_spinners(self, 2);
	target_serve(self);
	sleepers_clean();
	return 0;
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

	kmemleak_start();
	target_start(&t, "mixed", NULL);
	target_settle(&t);
	for (int round = 0; round < ROUNDS; round++) {
		dump_and_end_early(&t);
		ASSERT_TRUE(module_unloads());
		ASSERT_EQ(0, module_load());
		sysctl_set("livecore_enable", 1);
		sysctl_set("livecore_timeout_ms", 60000);
	}
	EXPECT_EQ(0, kmemleak_reports("livecore"));
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
