// SPDX-License-Identifier: GPL-2.0
/*
 * Who is held is neither hung nor load, for however long.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "frame.h"

enum {
	THREADS		= 50,
	TIMEOUT_S	= 5,
	/* Of khungtaskd: after the second one all threads have been asleep for too long. */
	LOOKS		= 3,
	/* Were they load, it would grow by 50 * (1 - exp(-15 / 60)), which is 11. */
	MORE_LOAD	= 4,
};

#define TRACING	"/sys/kernel/tracing/"
#define EVENT	TRACING "events/sched/sched_process_hang/enable"

/* Those of the kernel that this test changes, and to what. */
static const struct {
	const char *name;
	long value;
} knobs[] = {
	{ "hung_task_timeout_secs", TIMEOUT_S },
	/* Another task may be late on a busy machine: nobody's fault, and no report. */
	{ "hung_task_panic", 0 },
	{ "hung_task_warnings", 0 },
};

FIXTURE(hung)
{
	struct sysctl_values sysctls;
	long knobs[ARRAY_SIZE(knobs)];
};

FIXTURE_SETUP(hung)
{
	sysctl_prepare(&self->sysctls);
	for (size_t i = 0; i < ARRAY_SIZE(knobs); i++)
		self->knobs[i] = sysctl_get(knobs[i].name);
	for (size_t i = ARRAY_SIZE(knobs); i-- > 0;)
		sysctl_set(knobs[i].name, knobs[i].value);
	write_text(EVENT, "1");
}

FIXTURE_TEARDOWN_PARENT(hung)
{
	sysctl_restore(&self->sysctls);
	write_text(EVENT, "0");
	/* Empties it. */
	close(CHECK(open(TRACING "trace", O_WRONLY | O_TRUNC | O_CLOEXEC)));
	for (size_t i = 0; i < ARRAY_SIZE(knobs); i++)
		sysctl_set(knobs[i].name, self->knobs[i]);
}

static int fifo;

static void *wait_for_byte(void *argument)
{
	struct target_slot *slot = argument;
	char byte;

	STORE(slot->tid, gettid());
	slot->result = syscall(SYS_read, fifo, &byte, 1);
	STORE(slot->counter, 1);
	return NULL;
}

/* Threads asleep in read(), each for one byte of the FIFO that the argument names. */
TARGET(waiters)
{
	fifo = CHECK(open(self->argument, O_RDWR | O_CLOEXEC));
	for (int i = 0; i < THREADS; i++) {
		struct target_slot *slot = target_slot(self);

		slot->nr = SYS_read;
		target_thread(slot, wait_for_byte);
	}
	return target_serve(self);
}

static pid_t hung_task_daemon(void)
{
	DIR *proc = CHECK_POINTER(opendir("/proc"));
	struct dirent *entry;
	pid_t found = 0;

	while (!found && (entry = readdir(proc))) {
		char *name = proc_text("%s/comm", entry->d_name);

		if (name && !strcmp(name, "khungtaskd\n"))
			found = atoi(entry->d_name);
		free(name);
	}
	closedir(proc);
	if (!found)
		FAIL("no khungtaskd");
	return found;
}

/* How often it has gone to sleep again. */
static long long looks(pid_t pid)
{
	char *text = proc_text_of(pid, "status");
	long long count = text_number(text, "voluntary_ctxt_switches");

	free(text);
	return count;
}

static double load(void)
{
	char *text = CHECK_POINTER(proc_text("loadavg"));
	double value = atof(text);

	free(text);
	return value;
}

/* In whatever state: that is what this is about. */
static unsigned int parked(const struct target *t)
{
	unsigned int count = 0;

	for (int i = 1; i <= THREADS; i++)
		count += thread_waits_in(t->pid, t->page->slot[i].tid, "livecore_park");
	return count;
}

/* How many of the threads were found hung. */
static unsigned int hung(const struct target *t)
{
	FILE *trace = CHECK_POINTER(fopen(TRACING "trace", "re"));
	unsigned int count = 0;
	char line[512];

	while (fgets(line, sizeof(line), trace)) {
		char *at = strstr(line, "sched_process_hang:");
		char *pid = at ? strstr(at, "pid=") : NULL;

		for (uint32_t i = 0; pid && i < t->page->nr_slots; i++)
			count += atoi(pid + 4) == t->page->slot[i].tid;
	}
	fclose(trace);
	return count;
}

TEST_F_TIMEOUT(hung, neither_hung_nor_load, CORE_TEST_SECONDS)
{
	pid_t watcher = hung_task_daemon();
	double before, seconds;
	long long seen;
	struct target t;
	int fd, bytes;

	/* It is held, and not read, for half of the default. */
	sysctl_set("livecore_stall_ms", NEVER_MS);
	CHECK(mkfifo("waiters", 0600));
	bytes = CHECK(open("waiters", O_RDWR | O_CLOEXEC));
	target_start(&t, "waiters", "waiters");
	target_settle(&t);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	for (int i = 0; i < THREADS; i++)
		CHECK(write(bytes, "", 1));
	ASSERT_TRUE(EVENTUALLY(parked(&t) == THREADS));

	before = load();
	seconds = seconds_now();
	seen = looks(watcher);
	ASSERT_TRUE(EVENTUALLY(looks(watcher) >= seen + LOOKS));
	/* The load is an average. */
	ASSERT_TRUE(EVENTUALLY(seconds_now() > seconds + LOOKS * TIMEOUT_S));
	EXPECT_EQ(THREADS, parked(&t));
	EXPECT_GT(before + MORE_LOAD, load())
		TH_LOG("load %.2f, and %.2f before", load(), before);
	EXPECT_EQ(0, hung(&t));

	close(fd);
	for (int i = 1; i <= THREADS; i++) {
		EXPECT_TRUE(EVENTUALLY(LOAD(t.page->slot[i].counter)));
		EXPECT_EQ(1, t.page->slot[i].result);
	}
	close(bytes);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
