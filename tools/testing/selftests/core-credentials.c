// SPDX-License-Identifier: GPL-2.0
/*
 * Who somebody is: when a process shares its memory with another user's, when
 * the opener changes before START, and when a dump is configured.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "fixture.h"
#include "live.h"
#include "user.h"

TARGET(of_a)
{
	become_a();
	return target_serve(self);
}

/* Waits for a child that asserts, too. */
static void expect_child(struct __test_metadata *_metadata, pid_t child)
{
	int status;

	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
}

/* target_page.value[] */
enum { TWIN, TWIN_IS, ASKED, ANSWER };

enum { SAME_USER, OTHER_USER };

static struct target_page *twins_page;

/*
 * Has the memory of the target, and credentials of its own. Raw calls: the C
 * library would ask the threads of the target, which are not the twin's.
 */
static int run_twin(void *argument)
{
	struct target_page *page = twins_page;
	char path[64];

	(void)argument;
	if (page->value[TWIN_IS] == OTHER_USER) {
		CHECK(syscall(SYS_setresgid, USER_B, USER_B, USER_B));
		CHECK(syscall(SYS_setresuid, USER_B, USER_B, USER_B));
	} else {
		CHECK(syscall(SYS_setresgid, USER_A, USER_A, USER_A));
		CHECK(syscall(SYS_setresuid, USER_A, USER_A, USER_A));
	}
	/* Of the memory, so the target's too. */
	CHECK(prctl(PR_SET_DUMPABLE, 1));
	STORE(page->value[TWIN], syscall(SYS_getpid));
	for (;;) {
		long fd;

		while (!LOAD(page->value[ASKED]))
			pause_briefly();
		snprintf(path, sizeof(path), "/proc/%d/core", (pid_t)LOAD(page->value[ASKED]));
		STORE(page->value[ASKED], 0);
		fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			syscall(SYS_close, fd);
		STORE(page->value[ANSWER], fd < 0 ? errno + 1 : 1);
	}
	return 0;
}

/* A, with a twin of the user that was asked for. */
TARGET(with_other_twin)
{
	static char stack[65536];
	pid_t twin;

	twins_page = self->page;
	self->page->value[TWIN_IS] = atoi(self->argument);
	/* Before it becomes A: what becomes of root may become anybody. */
	twin = CHECK(clone(run_twin, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL));
	while (!LOAD(self->page->value[TWIN]))
		pause_briefly();
	CHECK(setresgid(USER_A, USER_A, USER_A));
	CHECK(setresuid(USER_A, USER_A, USER_A));
	CHECK(prctl(PR_SET_DUMPABLE, 1));
	target_serve(self);
	/* It is another user's, maybe: it dies with us. */
	return twin < 0;
}

/* What the twin gets when it opens the core of @pid. */
static int twin_opens(struct target *t, pid_t pid)
{
	STORE(t->page->value[ANSWER], 0);
	STORE(t->page->value[ASKED], pid);
	if (!EVENTUALLY(LOAD(t->page->value[ANSWER])))
		FAIL("the twin does not answer");
	return LOAD(t->page->value[ANSWER]) - 1;
}

/*
 * One memory, two processes: each is opened by who may open that one, and
 * neither opens the other one's as another process.
 */
CORE_TEST(shared_memory)
{
	for (int is = SAME_USER; is <= OTHER_USER; is++) {
		become_t twins_user = is == OTHER_USER ? become_b : become_a;
		become_t nobody_of_twin = is == OTHER_USER ? become_a : become_b;
		char argument[8];
		int mem = is == OTHER_USER ? EACCES : 0;
		/* The mode bits come before the gate. */
		int gate = mem ? mem : EPERM;
		struct target t;
		pid_t twin;

		snprintf(argument, sizeof(argument), "%d", is);
		target_start(&t, "with_other_twin", argument);
		twin = LOAD(t.page->value[TWIN]);
		sysctl_set("livecore_enable", 2);
		EXPECT_EQ(0, open_outcome_of(become_a, t.pid, "core"));
		EXPECT_EQ(EACCES, open_outcome_of(become_b, t.pid, "core"));
		EXPECT_EQ(0, open_outcome_of(twins_user, twin, "core"));
		EXPECT_EQ(EACCES, open_outcome_of(nobody_of_twin, twin, "core"));
		EXPECT_EQ(0, open_outcome_of(become_root, twin, "core"));
		/* Itself, and who is as good as itself. */
		EXPECT_EQ(EPERM, twin_opens(&t, twin));
		EXPECT_EQ(gate, twin_opens(&t, t.pid));
		sysctl_set("livecore_enable", 3);
		EXPECT_EQ(0, twin_opens(&t, twin));
		EXPECT_EQ(mem, twin_opens(&t, t.pid));
		sysctl_set("livecore_enable", 1);
		EXPECT_EQ(gate, twin_opens(&t, t.pid));
		CHECK(kill(twin, SIGKILL));
		EXPECT_EQ(0, target_finish(&t));
	}
}

static void *start_in_thread(void *argument)
{
	int *value = argument;

	*value = live_start(*value);
	return NULL;
}

/* START is for who has opened, as who he was then. */
CORE_TEST(start_is_the_openers)
{
	struct target t;
	pid_t child;
	int fd;

	sysctl_set("livecore_enable", 2);
	target_start(&t, "of_a", NULL);
	fflush(NULL);
	/* Root, who has become A since; and A could have opened it. */
	child = CHECK(fork());
	if (!child) {
		fd = CHECK(live_open(t.pid));
		become_a();
		EXPECT_EQ(-EPERM, live_start(fd));
		_exit(_metadata->exit_code);
	}
	expect_child(_metadata, child);
	/* Who has given a capability away, needed or not. */
	child = CHECK(fork());
	if (!child) {
		fd = CHECK(live_open(t.pid));
		CHECK(prctl(PR_CAPBSET_DROP, CAP_NET_RAW));
		EXPECT_EQ(-EPERM, live_start(fd));
		_exit(_metadata->exit_code);
	}
	expect_child(_metadata, child);
	/* A child, of the same user; then the opener itself. */
	fd = live_open(t.pid);
	ASSERT_LE(0, fd);
	child = CHECK(fork());
	if (!child) {
		EXPECT_EQ(-EPERM, live_start(fd));
		_exit(_metadata->exit_code);
	}
	expect_child(_metadata, child);
	EXPECT_EQ(0, live_start(fd));
	close(fd);
	/* Another thread has the same credentials, by reference. */
	child = CHECK(fork());
	if (!child) {
		pthread_t thread;
		int value;

		become_a();
		fd = CHECK(live_open(t.pid));
		value = fd;
		CHECK_ZERO(pthread_create(&thread, NULL, start_in_thread, &value));
		CHECK_ZERO(pthread_join(thread, NULL));
		EXPECT_EQ(0, value);
		_exit(_metadata->exit_code);
	}
	expect_child(_metadata, child);
	EXPECT_EQ(0, target_finish(&t));
}

struct limit {
	const char *name;
	uint32_t set;
	size_t member;
	uint32_t value;
	bool more;		/* than the sysctls allow */
};

#define LIMIT(SET, member_, value_, more_)				\
	{ #member_, LIVECORE_SET_##SET, offsetof(struct livecore_config, member_), value_, more_ }

static const struct limit limits[] = {
	LIMIT(TIMEOUT_MS, timeout_ms, 0, false),
	LIMIT(TIMEOUT_MS, timeout_ms, 5000, false),
	LIMIT(TIMEOUT_MS, timeout_ms, 5001, true),
	LIMIT(TIMEOUT_MS, timeout_ms, 60000, true),
	LIMIT(STALL_MS, stall_ms, 1000, false),
	LIMIT(STALL_MS, stall_ms, 20000, false),
	LIMIT(STALL_MS, stall_ms, 20001, true),
	LIMIT(STALL_MS, stall_ms, 3600000, true),
	LIMIT(HOLD_MAX_MS, hold_max_ms, 1, false),
	LIMIT(HOLD_MAX_MS, hold_max_ms, 30000, false),
	LIMIT(HOLD_MAX_MS, hold_max_ms, 30001, true),
	/* That is for ever. */
	LIMIT(HOLD_MAX_MS, hold_max_ms, 0, true),
	LIMIT(CONTENTS, contents, LIVECORE_CONTENTS_REGISTERS, false),
	LIMIT(CONTENTS, contents, LIVECORE_CONTENTS_STACKS, false),
	LIMIT(CONTENTS, contents, LIVECORE_CONTENTS_FULL, true),
	LIMIT(ABORT, abort, LIVECORE_ABORT_ANY, false),
	LIMIT(ABORT, abort, LIVECORE_ABORT_OUTSIDE, false),
	LIMIT(ABORT, abort, LIVECORE_ABORT_FATAL, true),
	LIMIT(MODE, mode, LIVECORE_MODE_SNAPSHOT, false),
	LIMIT(MODE, mode, LIVECORE_MODE_HOLD, true),
	LIMIT(BLOCKED, blocked, LIVECORE_BLOCKED_IN_PLACE, false),
	LIMIT(BLOCKED, blocked, LIVECORE_BLOCKED_WAIT, false),
	/* Taken, and reduced to what the sysctl gives: core-config. */
	LIMIT(FILTER_MASK, filter_mask, 0, false),
	LIMIT(FILTER_MASK, filter_mask, 0x1ff, false),
};

struct configurer {
	const char *name;
	become_t become;
	bool privileged;	/* CAP_SYS_PTRACE in the initial user namespace */
};

static void become_a_with_read_search(void)
{
	become_with_caps(USER_A, UINT64_C(1) << CAP_DAC_READ_SEARCH);
}

static const struct configurer configurers[] = {
	{ "root", become_root, true },
	{ "A", become_a, false },
	{ "A with CAP_SYS_PTRACE", become_a_with_ptrace, true },
	{ "A with CAP_DAC_READ_SEARCH", become_a_with_read_search, false },
};

static void expect_limits(struct __test_metadata *_metadata, const struct configurer *who,
			  int fd)
{
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct livecore_config config = { .size = sizeof(config), .set = limits[i].set };
		bool refused = limits[i].more && !who->privileged;

		memcpy((char *)&config + limits[i].member, &limits[i].value,
		       sizeof(limits[i].value));
		EXPECT_EQ(refused ? -EPERM : 0, live_config(fd, &config))
			TH_LOG("%s: %s = %u", who->name, limits[i].name, limits[i].value);
	}
}

/* The sysctls bind whoever has no CAP_SYS_PTRACE in the initial user namespace. */
CORE_TEST(limits_of_configurers)
{
	struct target t;

	sysctl_set("livecore_enable", 2);
	sysctl_set("livecore_timeout_ms", 5000);
	sysctl_set("livecore_stall_ms", 20000);
	sysctl_set("livecore_hold_max_ms", 30000);
	sysctl_set("livecore_contents", LIVECORE_CONTENTS_STACKS);
	sysctl_set("livecore_abort", LIVECORE_ABORT_OUTSIDE);
	sysctl_set("livecore_mode", LIVECORE_MODE_SNAPSHOT);
	sysctl_set("livecore_filter_mask", 1);
	target_start(&t, "of_a", NULL);
	for (size_t i = 0; i < ARRAY_SIZE(configurers); i++) {
		pid_t child;

		fflush(NULL);
		child = CHECK(fork());
		if (!child) {
			int fd;

			configurers[i].become();
			fd = CHECK(live_open(t.pid));
			expect_limits(_metadata, &configurers[i], fd);
			_exit(_metadata->exit_code);
		}
		expect_child(_metadata, child);
	}
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
