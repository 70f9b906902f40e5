// SPDX-License-Identifier: GPL-2.0
/*
 * Leaves cores for the judge `backtraces`: in each folder $RESULTS/backtraces-*
 * are a program, a full core of it and one of the stacks alone. Nothing in the
 * process has changed between the two. core-backtraces-static is the same,
 * linked so.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fixture.h"
#include "stacks.h"

enum { CHUNK = 1 << 20 };

TARGET(threads)
{
	stacks_make(self);
	return target_serve(self);
}

static void keep(const char *from, const char *folder, const char *name)
{
	static const char zeros[4096];
	static char bytes[CHUNK];
	off_t size = 0;
	char path[512];
	int in, out;
	ssize_t got;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	in = CHECK(open(from, O_RDONLY | O_CLOEXEC));
	out = CHECK(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
	while ((got = CHECK(read(in, bytes, CHUNK)))) {
		/* Without what is zero, which is most. */
		for (ssize_t at = 0; at < got; at += 4096) {
			size_t part = got - at < 4096 ? got - at : 4096;

			if (memcmp(bytes + at, zeros, part))
				CHECK(pwrite(out, bytes + at, part, size + at) == (ssize_t)part ?
				      0 : -1);
		}
		size += got;
	}
	CHECK(ftruncate(out, size));
	CHECK(close(in));
	CHECK(close(out));
}

static void leave_cores(const char *name, pid_t pid)
{
	const char *results = getenv("RESULTS");
	char folder[256], path[64];

	if (!results)
		FAIL("RESULTS does not say where the cores are to go");
	snprintf(folder, sizeof(folder), "%s/backtraces-%s", results, name);
	if (mkdir(folder, 0755) && errno != EEXIST)
		FAIL("mkdir %s: %s", folder, strerror(errno));
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	keep(path, folder, "exe");
	snprintf(path, sizeof(path), "/proc/%d/core", pid);
	sysctl_set("livecore_contents", 2);
	keep(path, folder, "full");
	sysctl_set("livecore_contents", 1);
	keep(path, folder, "stacks");
}

CORE_TEST(of_this_program)
{
	struct target t;

	target_start(&t, "threads", NULL);
	target_settle(&t);
	leave_cores(strrchr(program_invocation_name, '/') + 1, t.pid);
	EXPECT_EQ(0, target_finish(&t));
}

#ifndef STATIC
static bool is_stopped(pid_t pid)
{
	pid_t tid[64];
	size_t count = thread_list(pid, tid, ARRAY_SIZE(tid));

	for (size_t i = 0; i < count; i++)
		if (thread_state(pid, tid[i]) != 'T')
			return false;
	return true;
}

/* Runs a program until it has so many threads and its leader sleeps in @nr. */
static void leave_cores_of(const char *name, size_t threads, long nr, char *const *argv)
{
	pid_t tid[64], pid;
	int status;

	fflush(NULL);
	pid = CHECK(fork());
	if (!pid) {
		CHECK(dup2(CHECK(open("/dev/null", O_RDWR)), STDOUT_FILENO));
		execv(argv[0], argv);
		FAIL("%s: %s", argv[0], strerror(errno));
	}
	if (!EVENTUALLY(thread_list(pid, tid, ARRAY_SIZE(tid)) >= threads &&
			thread_sleeps_in(pid, pid, nr)))
		FAIL("%s does not come up", name);
	/* It has timers. */
	CHECK(kill(pid, SIGSTOP));
	if (!EVENTUALLY(is_stopped(pid)))
		FAIL("%s does not stop", name);
	leave_cores(name, pid);
	CHECK(kill(pid, SIGKILL));
	CHECK(waitpid(pid, &status, 0));
}

CORE_TEST(of_redis)
{
	static char * const argv[] = {
		"/usr/bin/redis-server", "--port", "0", "--unixsocket", "/tmp/redis.sock",
		"--save", "", "--io-threads", "4", NULL,
	};

	leave_cores_of("redis", 7, SYS_epoll_wait, argv);
}

CORE_TEST(of_python)
{
	/* Modules of its own, too. */
	static char * const argv[] = {
		"/usr/bin/python3", "-c",
		"import ctypes, threading\n"
		"def f(n):\n"
		"    return f(n - 1) if n else threading.Event().wait()\n"
		"for n in range(5):\n"
		"    threading.Thread(target=f, args=(9 * n,), daemon=True).start()\n"
		"f(3)\n", NULL,
	};

	leave_cores_of("python", 6, SYS_futex, argv);
}
#endif

CORE_TEST_MAIN
