// SPDX-License-Identifier: GPL-2.0
/*
 * With the gate open for everybody, `core` opens exactly where `mem` does.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "fixture.h"
#include "user.h"

/* "user dumpable": becomes that user, or stays root for 0. */
TARGET(plain)
{
	unsigned int uid;
	int dumpable;

	if (sscanf(self->argument, "%u %d", &uid, &dumpable) != 2)
		FAIL("argument %s", self->argument);
	if (uid)
		become_dumpable(uid);
	CHECK(prctl(PR_SET_DUMPABLE, dumpable));
	return target_serve(self);
}

/* User A, but with more than A has: not even A may look into it. */
TARGET(capable)
{
	become_a_with_ptrace();
	return target_serve(self);
}

/* Root of a user namespace, which A owns: A may look into it. */
TARGET(userns)
{
	become_a_as_root_of_userns();
	return target_serve(self);
}

struct somebody {
	const char *name;
	become_t become;
};

static const struct somebody everybody[] = {
	{ "root", become_root },
	{ "root without CAP_SYS_PTRACE", become_root_without_ptrace },
	{ "root without capabilities", become_root_without_caps },
	{ "A", become_a },
	{ "B", become_b },
	{ "A with CAP_SYS_PTRACE", become_a_with_ptrace },
	{ "A as root of a namespace", become_a_as_root_of_userns },
};

enum { EVERYBODY = ARRAY_SIZE(everybody) };

struct subject {
	const char *target;
	const char *argument;
	/* What mem says to everybody, so that "always the same error" shows. */
	int errors[EVERYBODY];
};

static const struct subject subjects[] = {
	{ "plain", "0 1", { 0, EACCES, EACCES, EACCES, EACCES, EACCES, EACCES } },
	{ "plain", "0 0", { 0, EACCES, EACCES, EACCES, EACCES, EACCES, EACCES } },
	{ "plain", "1000 1", { 0, EACCES, EACCES, 0, EACCES, 0, EACCES } },
	{ "plain", "1000 0", { 0, EACCES, EACCES, EACCES, EACCES, EACCES, EACCES } },
	{ "plain", "1001 1", { 0, EACCES, EACCES, EACCES, 0, EACCES, EACCES } },
	{ "capable", "", { 0, EACCES, EACCES, EACCES, EACCES, 0, EACCES } },
	{ "userns", "", { 0, EACCES, EACCES, 0, EACCES, 0, EACCES } },
};

static void compare(struct __test_metadata *_metadata, pid_t pid, const char *what,
		    const int *expected)
{
	const char *before = fingerprint(pid);

	for (size_t i = 0; i < EVERYBODY; i++) {
		int mem = open_outcome_of(everybody[i].become, pid, "mem");
		int core = open_outcome_of(everybody[i].become, pid, "core");

		if (expected) {
			EXPECT_EQ(expected[i], mem)
				TH_LOG("mem: %s, %s", everybody[i].name, what);
		}
		EXPECT_EQ(mem, core)
			TH_LOG("%s, %s", everybody[i].name, what);
	}
	EXPECT_EQ(0, fingerprint_changes(pid, before));
}

CORE_TEST(like_mem)
{
	sysctl_set("livecore_enable", 2);
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++) {
		const struct subject *s = &subjects[i];
		struct target t;
		char what[64];

		target_start(&t, s->target, s->argument);
		target_settle(&t);
		snprintf(what, sizeof(what), "target %s %s", s->target, s->argument);
		compare(_metadata, t.pid, what, s->errors);
		EXPECT_EQ(0, target_finish(&t));
	}
}

CORE_TEST(like_mem_under_yama)
{
	struct target t;

	if (sysctl_get(YAMA_SCOPE) < 0)
		SKIP(return, "a kernel without Yama");
	sysctl_set("livecore_enable", 2);
	target_start(&t, "plain", "1000 1");
	target_settle(&t);
	for (int scope = 0; scope <= 2; scope++) {
		/* Openers are siblings of the target: no ancestors, so refused. */
		int a = scope ? EACCES : 0;
		int errors[EVERYBODY] = { 0, EACCES, EACCES, a, EACCES, 0, EACCES };
		char what[32];

		sysctl_set(YAMA_SCOPE, scope);
		snprintf(what, sizeof(what), "scope %d", scope);
		compare(_metadata, t.pid, what, errors);
	}
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(kernel_thread)
{
	sysctl_set("livecore_enable", 2);
	EXPECT_EQ(ESRCH, open_outcome_of(become_root, 2, "mem"));
	EXPECT_EQ(ESRCH, open_outcome_of(become_root, 2, "core"));
}

/* A /proc that hides other users' processes. */
CORE_TEST(like_mem_with_hidepid)
{
	char directory[] = "/tmp/livecore-XXXXXX";
	char mem[64], core[64];
	struct target t;

	sysctl_set("livecore_enable", 2);
	target_start(&t, "plain", "1000 1");
	CHECK_POINTER(mkdtemp(directory));
	CHECK(chmod(directory, 0755));
	CHECK(unshare(CLONE_NEWNS));
	CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK(mount("proc", directory, "proc", 0, "hidepid=invisible"));
	snprintf(mem, sizeof(mem), "%s/%d/mem", directory, t.pid);
	snprintf(core, sizeof(core), "%s/%d/core", directory, t.pid);

	EXPECT_EQ(ENOENT, open_outcome(become_b, mem));
	EXPECT_EQ(ENOENT, open_outcome(become_b, core));
	EXPECT_EQ(0, open_outcome(become_a, mem));
	EXPECT_EQ(0, open_outcome(become_a, core));
	EXPECT_EQ(0, open_outcome(become_root, core));

	CHECK(umount(directory));
	CHECK(rmdir(directory));
	EXPECT_EQ(0, target_finish(&t));
}

/* What is mounted over mem is not what decides. */
CORE_TEST(mem_hidden_under_a_mount)
{
	char mem[64];
	struct target t;

	sysctl_set("livecore_enable", 2);
	target_start(&t, "plain", "1000 1");
	CHECK(unshare(CLONE_NEWNS));
	CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	snprintf(mem, sizeof(mem), "/proc/%d/mem", t.pid);
	CHECK(mount("/dev/null", mem, NULL, MS_BIND, NULL));

	EXPECT_EQ(EACCES, open_outcome_of(become_b, t.pid, "core"));
	EXPECT_NE(0, open_outcome_of(become_root_without_ptrace, t.pid, "core"));

	CHECK(umount(mem));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
