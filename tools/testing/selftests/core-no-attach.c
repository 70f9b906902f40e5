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

static const struct {
	become_t become;
	bool privileged;
} everybody[] = {
	{ become_root, true }, { become_root_without_ptrace, false },
	{ become_root_without_caps, false }, { become_a, false }, { become_b, false },
	{ become_a_with_ptrace, true }, { become_a_as_root_of_userns, false },
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
		become_t become = everybody[i].become;
		int bits_of_a = open_outcome_of(become, of_a.pid, "syscall");
		int bits_of_root = open_outcome_of(become, of_root.pid, "syscall");

		EXPECT_EQ(EACCES, open_outcome_of(become, of_a.pid, "mem"));
		/* Oneself is not attached to. */
		EXPECT_EQ(0, open_outcome(become, "/proc/self/mem"));
		for (int level = 1; level <= 3; level++) {
			bool privileged = everybody[i].privileged;

			sysctl_set("livecore_enable", level);
			EXPECT_EQ(core_outcome(level, privileged, bits_of_a, EACCES),
				  open_outcome_of(become, of_a.pid, "core"));
			EXPECT_EQ(core_outcome(level, privileged, bits_of_root, EACCES),
				  open_outcome_of(become, of_root.pid, "core"));
			EXPECT_EQ(level == 3 ? 0 : EPERM, open_outcome(become, "/proc/self/core"));
		}
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
