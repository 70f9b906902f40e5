// SPDX-License-Identifier: GPL-2.0
/*
 * Yama's last scope: nobody attaches to anybody, whatever his capabilities, and
 * so nobody dumps anybody. It is not undone before the next boot: a guest of
 * its own.
 */
#include "frame.h"
#include "live.h"
#include "user.h"

FIXTURE(no_attach)
{
};

FIXTURE_SETUP(no_attach)
{
	struct sysctl_values before;

	sysctl_prepare(&before);
	sysctl_set("livecore_enable", 3);
}

/* The guest ends with the test: what it has set goes with it. */
FIXTURE_TEARDOWN(no_attach)
{
}

TARGET(of_user)
{
	if (atoi(self->argument))
		become_dumpable(atoi(self->argument));
	return target_serve(self);
}

static const become_t everybody[] = {
	become_root, become_root_without_ptrace, become_root_without_caps, become_a, become_b,
	become_a_with_ptrace, become_a_as_root_of_userns,
};

TEST_F_TIMEOUT(no_attach, nobody, CORE_TEST_SECONDS)
{
	struct target of_root, of_a;
	int open_before, dump_before;
	struct image image;

	/* One is held, and not read, while everybody tries. */
	sysctl_set("livecore_stall_ms", NEVER_MS);
	target_start(&of_root, "of_user", "0");
	target_start(&of_a, "of_user", "1000");
	open_before = live_open(of_a.pid);
	ASSERT_LE(0, open_before);
	dump_before = core_open(of_root.pid);
	ASSERT_LE(0, dump_before);

	sysctl_set(YAMA_SCOPE, 3);
	EXPECT_EQ(-EINVAL, sysctl_try(YAMA_SCOPE, "0"));
	for (size_t i = 0; i < ARRAY_SIZE(everybody); i++) {
		EXPECT_EQ(EACCES, open_outcome_of(everybody[i], of_a.pid, "mem"));
		EXPECT_EQ(EACCES, open_outcome_of(everybody[i], of_a.pid, "core"));
		EXPECT_EQ(EACCES, open_outcome_of(everybody[i], of_root.pid, "core"));
		/* Oneself is not attached to. */
		EXPECT_EQ(0, open_outcome(everybody[i], "/proc/self/mem"));
		EXPECT_EQ(0, open_outcome(everybody[i], "/proc/self/core"));
	}
	/* What was decided before stays so, as for a descriptor of mem. */
	EXPECT_EQ(0, live_start(open_before));
	ASSERT_EQ(0, image_read(&image, open_before));
	image_free(&image);
	ASSERT_EQ(0, image_read(&image, dump_before));
	image_free(&image);
	close(open_before);
	close(dump_before);

	/* Nor does it help to be the parent. */
	EXPECT_EQ(-EACCES, open_as(USER_A, of_a.pid, "mem"));
	EXPECT_EQ(-EACCES, open_as(USER_A, of_a.pid, "core"));
	EXPECT_EQ(-EACCES, core_open(of_root.pid));
	EXPECT_EQ(-EACCES, live_open(of_a.pid));
	EXPECT_EQ(0, target_finish(&of_a));
	EXPECT_EQ(0, target_finish(&of_root));
}

CORE_TEST_MAIN
