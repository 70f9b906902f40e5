// SPDX-License-Identifier: GPL-2.0
/*
 * kernel.livecore_enable: who may dump at which level, and that closing the
 * gate ends what is open.
 */
#include <stdio.h>

#include "fixture.h"
#include "user.h"

TARGET(of_user)
{
	become_dumpable(atoi(self->argument));
	target_spinners(self, 1);
	return target_serve(self);
}

/* errno of an open at levels 0 to 3. */
struct expectation {
	const char *who;
	become_t become;
	int other[4];
	int self[4];
};

static const struct expectation expectations[] = {
	{ "root", become_root,
	  { EPERM, 0, 0, 0 }, { EPERM, EPERM, EPERM, 0 } },
	{ "root without CAP_SYS_PTRACE", become_root_without_ptrace,
	  { EPERM, EPERM, EACCES, EACCES }, { EPERM, EPERM, EPERM, 0 } },
	{ "a user with CAP_SYS_PTRACE", become_a_with_ptrace,
	  { EPERM, 0, 0, 0 }, { EPERM, EPERM, EPERM, 0 } },
	{ "the same user", become_a,
	  { EPERM, EPERM, 0, 0 }, { EPERM, EPERM, EPERM, 0 } },
	{ "the same user, root in a namespace", become_a_as_root_of_userns,
	  { EPERM, EPERM, EACCES, EACCES }, { EPERM, EPERM, EPERM, 0 } },
};

CORE_TEST(levels)
{
	struct target t;

	/* A target of the same user: what root's without ptrace is not. */
	target_start(&t, "of_user", "1000");
	for (int level = 0; level <= 3; level++) {
		sysctl_set("livecore_enable", level);
		for (size_t i = 0; i < ARRAY_SIZE(expectations); i++) {
			const struct expectation *e = &expectations[i];

			EXPECT_EQ(e->other[level], open_outcome_of(e->become, t.pid, "core"))
				TH_LOG("level %d: %s, another process", level, e->who);
			EXPECT_EQ(e->self[level], open_outcome(e->become, "/proc/self/core"))
				TH_LOG("level %d: %s, itself", level, e->who);
		}
	}
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(gate_comes_before_access)
{
	struct target t;

	target_start(&t, "of_user", "1000");
	sysctl_set("livecore_enable", 0);
	/* Root without ptrace passes the mode bits, but not mem's own check. */
	EXPECT_EQ(EACCES, open_outcome_of(become_root_without_ptrace, t.pid, "mem"));
	EXPECT_EQ(EPERM, open_outcome_of(become_root_without_ptrace, t.pid, "core"));
	EXPECT_EQ(-EPERM, core_open(2));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(closing_ends_an_open_dump)
{
	const char *before;
	char byte[64];
	struct target t;
	int fd;

	target_start(&t, "of_user", "1000");
	target_settle(&t);
	before = fingerprint(t.pid);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(64, read(fd, byte, 64));

	sysctl_set("livecore_enable", 0);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(-1, read(fd, byte, 64));
	EXPECT_EQ(ECANCELED, errno);
	EXPECT_EQ(-1, pread(fd, byte, 64, 0));
	EXPECT_EQ(ECANCELED, errno);

	/* It has ended for good, and is in nobody's way. */
	sysctl_set("livecore_enable", 1);
	EXPECT_EQ(-1, pread(fd, byte, 64, 0));
	EXPECT_EQ(ECANCELED, errno);
	EXPECT_EQ(0, open_outcome_of(become_root, t.pid, "core"));
	EXPECT_EQ(0, close(fd));
	EXPECT_EQ(0, open_outcome_of(become_root, t.pid, "core"));
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(narrowing_ends_nothing)
{
	struct image image;
	struct target t;
	int fd;

	target_start(&t, "of_user", "1000");
	target_settle(&t);
	sysctl_set("livecore_enable", 3);
	fd = core_open_as(USER_A, t.pid);
	ASSERT_LE(0, fd);
	sysctl_set("livecore_enable", 1);
	EXPECT_EQ(0, image_read(&image, fd));
	image_free(&image);
	EXPECT_EQ(0, close(fd));
	EXPECT_EQ(0, target_finish(&t));
}

struct bad_value {
	const char *name;
	const char *text;
};

static const struct bad_value bad_values[] = {
	{ "livecore_enable", "4" }, { "livecore_enable", "-1" },
	{ "livecore_enable", "x" }, { "livecore_stall_ms", "999" },
	{ "livecore_stall_ms", "0" }, { "livecore_stall_ms", "3600001" },
	{ "livecore_stall_ms", "-1" }, { "livecore_timeout_ms", "-1" },
	{ "livecore_max_dumps", "-1" },
};

CORE_TEST(bad_values_are_refused)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad_values); i++) {
		const struct bad_value *bad = &bad_values[i];
		long before = sysctl_get(bad->name);

		EXPECT_EQ(-EINVAL, sysctl_try(bad->name, bad->text))
			TH_LOG("kernel.%s=%s", bad->name, bad->text);
		EXPECT_EQ(before, sysctl_get(bad->name));
	}
	EXPECT_EQ(0, sysctl_try("livecore_stall_ms", "1000"));
	EXPECT_EQ(0, sysctl_try("livecore_stall_ms", "3600000"));
}

CORE_TEST_MAIN
