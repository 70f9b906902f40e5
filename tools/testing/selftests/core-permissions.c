// SPDX-License-Identifier: GPL-2.0
/*
 * Who may dump whom, in each combination: `core` opens exactly where `mem`
 * does and the gate lets the caller through. core-gate and core-access have
 * the simple cases.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <grp.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "frame.h"
#include "user.h"

enum { LEVELS = 4 };

#define PTRACE		(UINT64_C(1) << CAP_SYS_PTRACE)
#define READ_SEARCH	(UINT64_C(1) << CAP_DAC_READ_SEARCH)

#define SUID_DUMPABLE	"../fs/suid_dumpable"

FIXTURE(permissions)
{
	struct sysctl_values sysctls;
	long suid_dumpable;
	char directory[32];
};

FIXTURE_SETUP(permissions)
{
	sysctl_prepare(&self->sysctls);
	self->suid_dumpable = sysctl_get(SUID_DUMPABLE);
	strcpy(self->directory, "/tmp/livecore-XXXXXX");
	CHECK_POINTER(mkdtemp(self->directory));
	/* Our own, for /tmp may be mounted nosuid. */
	CHECK(mount("tmpfs", self->directory, "tmpfs", 0, "mode=755"));
}

FIXTURE_TEARDOWN_PARENT(permissions)
{
	sysctl_restore(&self->sysctls);
	sysctl_set(SUID_DUMPABLE, self->suid_dumpable);
	umount2(self->directory, MNT_DETACH);
	rmdir(self->directory);
}

#define PERMISSIONS_TEST(name)	TEST_F_TIMEOUT(permissions, name, CORE_TEST_SECONDS)

/* "uid gid dumpable": the last -1 for what changing them leaves. */
TARGET(of)
{
	int uid, gid, dumpable;

	if (sscanf(self->argument, "%d %d %d", &uid, &gid, &dumpable) != 3)
		FAIL("argument %s", self->argument);
	CHECK(setresgid(gid, gid, gid));
	CHECK(setresuid(uid, uid, uid));
	if (dumpable >= 0)
		CHECK(prctl(PR_SET_DUMPABLE, dumpable));
	return target_serve(self);
}

/* A executes the program that the argument names. */
TARGET(executes)
{
	become_dumpable(USER_A);
	execl(self->argument, "of", "--target", "serves", "", NULL);
	FAIL("%s: %s", self->argument, strerror(errno));
}

TARGET(serves)
{
	return target_serve(self);
}

/* Root of a user namespace that A owns; "2": of one in that one. */
TARGET(in_namespace)
{
	become_a_as_root_of_userns();
	if (atoi(self->argument) == 2) {
		/* Who is nobody in the first one makes no second one. */
		write_text("/proc/self/uid_map", "1000 1000 1");
		write_text("/proc/self/setgroups", "deny");
		write_text("/proc/self/gid_map", "1000 1000 1");
		CHECK(unshare(CLONE_NEWUSER));
		CHECK(prctl(PR_SET_DUMPABLE, 1));
	}
	return target_serve(self);
}

static void become_a_with_read_search(void)
{
	become_with_caps(USER_A, READ_SEARCH);
}

static void become_a_with_both(void)
{
	become_with_caps(USER_A, PTRACE | READ_SEARCH);
}

static void become_a_of_group_b(void)
{
	CHECK(setgroups(0, NULL));
	CHECK(setresgid(USER_B, USER_B, USER_B));
	CHECK(setresuid(USER_A, USER_A, USER_A));
	CHECK(prctl(PR_SET_DUMPABLE, 1));
}

/* Whose files count is asked for, and not who. */
static void become_root_with_fsids_of_a(void)
{
	setfsgid(USER_A);
	setfsuid(USER_A);
	become_root_without_caps();
}

/* It may not call ptrace(); opening a file is another thing. */
static void become_a_under_seccomp(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ptrace, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = ARRAY_SIZE(filter), .filter = filter };

	become_a();
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

static int landlock_ruleset(uint64_t handled)
{
	struct landlock_ruleset_attr attr = { .handled_access_fs = handled };

	return CHECK(syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0));
}

static void landlock_enter(int ruleset)
{
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(syscall(SYS_landlock_restrict_self, ruleset, 0));
	close(ruleset);
}

/* One that forbids nothing of what is done here; but who is in it sees nobody outside. */
static void landlock_enter_any(void)
{
	landlock_enter(landlock_ruleset(LANDLOCK_ACCESS_FS_MAKE_SOCK));
}

static void become_root_in_landlock(void)
{
	landlock_enter_any();
}

static void become_a_in_landlock(void)
{
	become_a();
	landlock_enter_any();
}

struct opener {
	const char *name;
	become_t become;
	bool privileged;	/* CAP_SYS_PTRACE in the initial user namespace */
};

enum {
	ROOT, ROOT_WITHOUT_PTRACE, ROOT_WITHOUT_CAPS, ROOT_WITH_FSIDS_OF_A, A, B, A_OF_GROUP_B,
	A_WITH_PTRACE, A_WITH_READ_SEARCH, A_WITH_BOTH, A_AS_ROOT_OF_USERNS, A_UNDER_SECCOMP,
	ROOT_IN_LANDLOCK, A_IN_LANDLOCK, OPENERS
};

static const struct opener openers[OPENERS] = {
	[ROOT] = { "root", become_root, true },
	[ROOT_WITHOUT_PTRACE] = {
		"root without CAP_SYS_PTRACE", become_root_without_ptrace, false },
	[ROOT_WITHOUT_CAPS] = { "root without capabilities", become_root_without_caps, false },
	[ROOT_WITH_FSIDS_OF_A] = {
		"root without capabilities, with A's fsids", become_root_with_fsids_of_a, false },
	[A] = { "A", become_a, false },
	[B] = { "B", become_b, false },
	[A_OF_GROUP_B] = { "A of group B", become_a_of_group_b, false },
	[A_WITH_PTRACE] = { "A with CAP_SYS_PTRACE", become_a_with_ptrace, true },
	[A_WITH_READ_SEARCH] = {
		"A with CAP_DAC_READ_SEARCH", become_a_with_read_search, false },
	[A_WITH_BOTH] = { "A with both", become_a_with_both, true },
	[A_AS_ROOT_OF_USERNS] = { "A as root of a namespace", become_a_as_root_of_userns, false },
	[A_UNDER_SECCOMP] = { "A under seccomp", become_a_under_seccomp, false },
	[ROOT_IN_LANDLOCK] = { "root in a Landlock domain", become_root_in_landlock, true },
	[A_IN_LANDLOCK] = { "A in a Landlock domain", become_a_in_landlock, false },
};

#define SET(opener)	(1U << (opener))

/* Sets of them: who may look into everybody; and into what has A's ids and can be dumped. */
#define ANYBODYS	(SET(ROOT) | SET(A_WITH_BOTH))
#define A_AS_SUCH	(SET(A) | SET(A_WITH_READ_SEARCH) | SET(A_UNDER_SECCOMP))
#define AS		(ANYBODYS | A_AS_SUCH | SET(A_WITH_PTRACE) | SET(ROOT_WITH_FSIDS_OF_A))
/* Who owns a namespace has all capabilities there, and in those below. */
#define NAMESPACES	(ANYBODYS | A_AS_SUCH | SET(A_WITH_PTRACE) | SET(A_OF_GROUP_B))

struct subject {
	const char *target;
	const char *argument;
	unsigned int mem;	/* the set of openers for whom mem opens */
};

/* An opener at its work: it opens when it is told to, and says what came of it. */
struct attempt {
	pid_t pid;
	int go;
	int outcome;
};

static int outcome_of(pid_t pid, const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static void start_attempt(struct attempt *attempt, become_t become, pid_t pid)
{
	int go[2], outcome[2];

	CHECK(pipe2(go, O_CLOEXEC));
	CHECK(pipe2(outcome, O_CLOEXEC));
	fflush(NULL);
	attempt->pid = CHECK(fork());
	if (!attempt->pid) {
		char name[16];

		close(go[1]);
		become();
		while (read(go[0], name, sizeof(name)) == sizeof(name)) {
			int error = outcome_of(pid, name);

			CHECK(write(outcome[1], &error, sizeof(error)));
		}
		_exit(0);
	}
	close(go[0]);
	close(outcome[1]);
	attempt->go = go[1];
	attempt->outcome = outcome[0];
}

/* 0 or the errno of opening that one. */
static int try(const struct attempt *attempt, const char *name)
{
	char word[16] = "";
	int error;

	snprintf(word, sizeof(word), "%s", name);
	CHECK(write(attempt->go, word, sizeof(word)));
	if (read(attempt->outcome, &error, sizeof(error)) != sizeof(error))
		FAIL("somebody does not open %s", name);
	return error;
}

static void end_attempt(struct attempt *attempt)
{
	int status;

	close(attempt->go);
	close(attempt->outcome);
	CHECK(waitpid(attempt->pid, &status, 0));
	if (status)
		FAIL("status %#x", status);
}

/* How often `core` was opened is what is returned. */
static unsigned int compare(struct __test_metadata *_metadata, const struct opener *opener,
			    pid_t pid, int expected_mem, const char *what)
{
	struct attempt attempt;
	unsigned int opened = 0;
	int mode_bits, mem;

	start_attempt(&attempt, opener->become, pid);
	mode_bits = try(&attempt, "syscall");
	mem = try(&attempt, "mem");
	EXPECT_EQ(expected_mem, mem)
		TH_LOG("mem: %s, %s", opener->name, what);
	for (int level = 0; level < LEVELS; level++) {
		int core;

		sysctl_set("livecore_enable", level);
		core = try(&attempt, "core");
		EXPECT_EQ(core_outcome(level, opener->privileged, mode_bits, mem), core)
			TH_LOG("level %d: %s, %s", level, opener->name, what);
		opened += !core;
	}
	end_attempt(&attempt);
	return opened;
}

static void compare_all(struct __test_metadata *_metadata, const struct subject *subject)
{
	struct target t;
	char what[96];

	target_start(&t, subject->target, subject->argument);
	target_settle(&t);
	snprintf(what, sizeof(what), "target %s %s", subject->target, subject->argument);
	for (size_t i = 0; i < OPENERS; i++) {
		bool opens = subject->mem & SET(i);
		unsigned int levels = !opens ? 0 : openers[i].privileged ? 3 : 2;

		EXPECT_EQ(levels, compare(_metadata, &openers[i], t.pid, opens ? 0 : EACCES,
					  what));
	}
	EXPECT_EQ(0, target_finish(&t));
}

static bool have_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0,
		       LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

static const struct subject subjects[] = {
	{ "of", "0 0 1", ANYBODYS },
	{ "of", "0 0 0", ANYBODYS },
	{ "of", "1000 1000 1", AS },
	{ "of", "1000 1000 0", ANYBODYS },
	{ "of", "1000 1001 1", ANYBODYS | SET(A_OF_GROUP_B) | SET(A_WITH_PTRACE) },
	{ "of", "1001 1001 1", ANYBODYS | SET(B) },
	{ "in_namespace", "1", NAMESPACES },
	{ "in_namespace", "2", NAMESPACES },
};

PERMISSIONS_TEST(like_mem_at_each_level)
{
	ASSERT_TRUE(have_landlock());
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++)
		compare_all(_metadata, &subjects[i]);
}

/*
 * A set-uid program is neither its user's nor its owner's, whatever the sysctl
 * says: that decides about the mode bits.
 */
PERMISSIONS_TEST(set_uid_program)
{
	char program[64];
	struct subject subject = { "executes", program, ANYBODYS };

	snprintf(program, sizeof(program), "%s/program", self->directory);
	target_copy_program(program, USER_B, 04755);
	for (int value = 0; value <= 2; value++) {
		sysctl_set(SUID_DUMPABLE, value);
		compare_all(_metadata, &subject);
	}
}

/* Of group B, executed by A. */
PERMISSIONS_TEST(set_gid_program)
{
	char program[64];
	struct subject subject = { "executes", program, ANYBODYS };

	snprintf(program, sizeof(program), "%s/program", self->directory);
	target_copy_program(program, USER_B, 02755);
	sysctl_set(SUID_DUMPABLE, 0);
	compare_all(_metadata, &subject);
	/* Then it is A's by the mode bits, but of two groups. */
	sysctl_set(SUID_DUMPABLE, 1);
	subject.mem |= SET(A_WITH_PTRACE);
	compare_all(_metadata, &subject);
}

/* What root has left behind when it became A: fs.suid_dumpable says to whom it is shown. */
PERMISSIONS_TEST(became_a)
{
	struct subject subject = { "of", "1000 1000 -1", 0 };

	for (int value = 0; value <= 2; value++) {
		sysctl_set(SUID_DUMPABLE, value);
		subject.mem = value == 1 ? AS : ANYBODYS;
		compare_all(_metadata, &subject);
	}
}

static pid_t namespace_of;

/* A, who goes into the user namespace of namespace_of, and has all capabilities there. */
static void become_a_in_namespace(void)
{
	char path[64];
	int fd;

	become_a();
	snprintf(path, sizeof(path), "/proc/%d/ns/user", namespace_of);
	fd = CHECK(open(path, O_RDONLY | O_CLOEXEC));
	CHECK(setns(fd, CLONE_NEWUSER));
	close(fd);
	CHECK(prctl(PR_SET_DUMPABLE, 1));
}

static const struct opener in_namespace = {
	"A in the namespace", become_a_in_namespace, false
};

/* Who is in a namespace sees who is in it, and in those below, but nobody above. */
PERMISSIONS_TEST(user_namespaces)
{
	struct target outer, inner, a, root;

	target_start(&outer, "in_namespace", "1");
	target_start(&a, "of", "1000 1000 1");
	target_start(&root, "of", "0 0 1");
	/* Of another one that A owns. */
	target_start(&inner, "in_namespace", "2");
	namespace_of = outer.pid;
	EXPECT_EQ(2, compare(_metadata, &in_namespace, outer.pid, 0, "in it"));
	EXPECT_EQ(0, compare(_metadata, &in_namespace, inner.pid, EACCES, "in another one"));
	EXPECT_EQ(0, compare(_metadata, &in_namespace, a.pid, EACCES, "A"));
	EXPECT_EQ(0, compare(_metadata, &in_namespace, root.pid, EACCES, "root"));
	EXPECT_EQ(0, target_finish(&outer));
	EXPECT_EQ(0, target_finish(&inner));
	EXPECT_EQ(0, target_finish(&a));
	EXPECT_EQ(0, target_finish(&root));
}

/* Waits for a child that asserts, too. */
static void expect_child(struct __test_metadata *_metadata, pid_t child)
{
	int status;

	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
}

/* Those in the same domain, or in one within it, are seen; and then not any more. */
PERMISSIONS_TEST(landlock_domain)
{
	pid_t child;

	sysctl_set("livecore_enable", 1);
	fflush(NULL);
	child = CHECK(fork());
	if (!child) {
		struct target t;

		landlock_enter_any();
		target_start(&t, "of", "1000 1000 1");
		EXPECT_EQ(0, outcome_of(t.pid, "mem"));
		EXPECT_EQ(0, outcome_of(t.pid, "core"));
		EXPECT_EQ(EACCES, open_outcome_of(become_root_in_landlock, t.pid, "mem"));
		EXPECT_EQ(EACCES, open_outcome_of(become_root_in_landlock, t.pid, "core"));
		EXPECT_EQ(0, target_finish(&t));
		_exit(_metadata->exit_code);
	}
	expect_child(_metadata, child);
}

/* Adds a rule that lets a file be read, if @allowed. */
static void landlock_allow(int ruleset, int fd, bool allowed)
{
	struct landlock_path_beneath_attr rule = {
		.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE,
		.parent_fd = fd,
	};

	if (allowed)
		CHECK(syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH,
			      &rule, 0));
}

struct landlock_case {
	bool core_allowed;
	bool mem_allowed;
	int core;
	int mem;
};

/* Nobody dumps himself by way of a `core` that he may read, if not his `mem`. */
PERMISSIONS_TEST(landlock_rules)
{
	static const struct landlock_case cases[] = {
		{ true, true, 0, 0 }, { true, false, EACCES, EACCES },
		{ false, true, EACCES, 0 }, { false, false, EACCES, EACCES },
	};

	sysctl_set("livecore_enable", 3);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		pid_t child;

		fflush(NULL);
		child = CHECK(fork());
		if (!child) {
			/* Kept, for the rules are those of the inodes. */
			int core = CHECK(open("/proc/self/core", O_PATH | O_CLOEXEC));
			int mem = CHECK(open("/proc/self/mem", O_PATH | O_CLOEXEC));
			int ruleset = landlock_ruleset(LANDLOCK_ACCESS_FS_READ_FILE);

			landlock_allow(ruleset, core, cases[i].core_allowed);
			landlock_allow(ruleset, mem, cases[i].mem_allowed);
			landlock_enter(ruleset);
			EXPECT_EQ(cases[i].mem, outcome_of(getpid(), "mem"));
			EXPECT_EQ(cases[i].core, outcome_of(getpid(), "core"));
			_exit(_metadata->exit_code);
		}
		expect_child(_metadata, child);
	}
}

/* Has said that anybody may trace it, as far as Yama is asked. */
TARGET(traceable)
{
	become_dumpable(USER_A);
	CHECK(prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0));
	return target_serve(self);
}

static int closed_outcome(int fd)
{
	if (fd < 0)
		return -fd;
	close(fd);
	return 0;
}

/* By the opener's place among its ancestors, by what it has said itself, and by the gate. */
PERMISSIONS_TEST(yama_relations)
{
	struct target plain, traceable;

	ASSERT_LE(0, sysctl_get(YAMA_SCOPE));
	target_start(&plain, "of", "1000 1000 1");
	target_start(&traceable, "traceable", NULL);
	for (int scope = 0; scope <= 2; scope++) {
		int child = scope == 2 ? EACCES : 0, sibling = scope ? EACCES : 0;
		char what[32];

		sysctl_set(YAMA_SCOPE, scope);
		snprintf(what, sizeof(what), "scope %d", scope);
		/* We are their parent. */
		EXPECT_EQ(child, closed_outcome(open_as(USER_A, plain.pid, "mem")));
		for (int level = 0; level < LEVELS; level++) {
			sysctl_set("livecore_enable", level);
			EXPECT_EQ(core_outcome(level, false, 0, child),
				  closed_outcome(open_as(USER_A, plain.pid, "core")))
				TH_LOG("level %d: the parent, %s", level, what);
		}
		EXPECT_EQ(sibling ? 0 : 2, compare(_metadata, &openers[A], plain.pid, sibling,
						   what));
		EXPECT_EQ(child ? 0 : 2, compare(_metadata, &openers[A], traceable.pid, child,
						 what));
		EXPECT_EQ(0, compare(_metadata, &openers[B], traceable.pid, EACCES, what));
		EXPECT_EQ(3, compare(_metadata, &openers[A_WITH_PTRACE], plain.pid, 0, what));
	}
	EXPECT_EQ(0, target_finish(&plain));
	EXPECT_EQ(0, target_finish(&traceable));
}

CORE_TEST_MAIN
