// SPDX-License-Identifier: GPL-2.0
/*
 * Credentials.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "check.h"
#include "user.h"

static void set_caps(uint64_t caps)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ .effective = (uint32_t)caps, .permitted = (uint32_t)caps },
		{ .effective = caps >> 32, .permitted = caps >> 32 },
	};

	CHECK(syscall(SYS_capset, &header, data));
}

static uint64_t get_caps(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	CHECK(syscall(SYS_capget, &header, data));
	return (uint64_t)data[1].permitted << 32 | data[0].permitted;
}

/*
 * Changing user makes a process undumpable and gives its own /proc/self to
 * root: undone, so that nothing but the credentials is different.
 */
void become_dumpable(uid_t uid)
{
	CHECK(setgroups(0, NULL));
	CHECK(setresgid(uid, uid, uid));
	CHECK(setresuid(uid, uid, uid));
	CHECK(prctl(PR_SET_DUMPABLE, 1));
}

void become_root(void)
{
}

void become_root_without_ptrace(void)
{
	set_caps(get_caps() & ~(UINT64_C(1) << CAP_SYS_PTRACE));
	CHECK(prctl(PR_SET_DUMPABLE, 1));
}

void become_root_without_caps(void)
{
	set_caps(0);
	CHECK(prctl(PR_SET_DUMPABLE, 1));
}

void become_a(void)
{
	become_dumpable(USER_A);
}

void become_b(void)
{
	become_dumpable(USER_B);
}

void become_with_caps(uid_t uid, uint64_t caps)
{
	CHECK(prctl(PR_SET_KEEPCAPS, 1));
	become_dumpable(uid);
	set_caps(caps);
	CHECK(prctl(PR_SET_DUMPABLE, 1));
}

void become_a_with_ptrace(void)
{
	become_with_caps(USER_A, UINT64_C(1) << CAP_SYS_PTRACE);
}

void become_a_as_root_of_userns(void)
{
	become_dumpable(USER_A);
	CHECK(unshare(CLONE_NEWUSER));
	CHECK(prctl(PR_SET_DUMPABLE, 1));
}

int outcome_as(become_t become, int (*ask)(void))
{
	pid_t child;
	int status;

	fflush(NULL);
	child = CHECK(fork());
	if (!child) {
		become();
		_exit(ask());
	}
	CHECK(waitpid(child, &status, 0));
	if (!WIFEXITED(status))
		FAIL("child: status %#x", status);
	return WEXITSTATUS(status);
}

int core_outcome(int level, bool privileged, int mode_bits, int mem)
{
	bool gate = level >= 2 || (level == 1 && privileged);
	int behind = gate ? mem : EPERM;

	return mode_bits ? mode_bits : behind;
}

int open_outcome(become_t become, const char *path)
{
	pid_t child;
	int status;

	fflush(NULL);
	child = CHECK(fork());
	if (!child) {
		become();
		_exit(open(path, O_RDONLY) < 0 ? errno : 0);
	}
	CHECK(waitpid(child, &status, 0));
	if (!WIFEXITED(status))
		FAIL("opening %s: status %#x", path, status);
	return WEXITSTATUS(status);
}

int open_outcome_of(become_t become, pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return open_outcome(become, path);
}

int open_as(uid_t uid, pid_t pid, const char *name)
{
	gid_t group[1] = { uid };
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);

	/* The saved ids are the way back. */
	CHECK(setgroups(1, group));
	CHECK(setresgid(uid, uid, 0));
	CHECK(setresuid(uid, uid, 0));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	CHECK(setresuid(0, 0, 0));
	CHECK(setresgid(0, 0, 0));
	CHECK(setgroups(0, NULL));
	return fd;
}

int core_open_as(uid_t uid, pid_t pid)
{
	return open_as(uid, pid, "core");
}
