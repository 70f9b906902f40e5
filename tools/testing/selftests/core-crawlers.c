// SPDX-License-Identifier: GPL-2.0
/*
 * Root goes over /proc with the gate open, and opens every `core` there is:
 * that of process 1, of the shell that it was typed into, of whoever shows
 * what it prints, of itself, and of the next crawler. Nobody of them waits
 * longer than the watchdog lets him.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "frame.h"
#include "listing.h"
#include "sleepers.h"
#include "tally.h"

enum {
	STALL_MS	= 1000,
	TIMEOUT_MS	= 1000,
	/* How many times longer than that anything may take, on whatever machine. */
	SLACK		= 10,
	/* What the shell ends with when it has read all that was typed. */
	SHELL_STATUS	= 42,
	/* From the test to process 1. */
	MOST_ANCESTORS	= 16,
	/* That can be dumped, crawlers not counted: the test alone comes to more. */
	LEAST		= 6,
};

/* Where what was shown goes, in the test's folder. */
#define SCREEN	"screen"

/* target_page.value[] */
enum { STATUS, LONGEST_US };

/*
 * Where somebody sits: types the argument into a shell that has job control,
 * and shows what comes back. When the shell has ended, it says so.
 */
TARGET(terminal)
{
	static char bytes[65536];
	int screen, line, status;
	pid_t shell;
	ssize_t got;

	screen = CHECK(open(SCREEN, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
	shell = CHECK(forkpty(&line, NULL, NULL, NULL));
	if (!shell) {
		execlp("bash", "bash", "--norc", "--noprofile", "--noediting", "-i", NULL);
		FAIL("bash: %s", strerror(errno));
	}
	target_event(self, 'R');
	target_command(self);
	if (dprintf(line, "%s\nexit %d\n", self->argument, SHELL_STATUS) < 0)
		FAIL("typing: %s", strerror(errno));
	/* Until nobody has the line open any more. */
	while ((got = read(line, bytes, sizeof(bytes))) > 0)
		CHECK(write(screen, bytes, got));
	CHECK(waitpid(shell, &status, 0));
	self->page->value[STATUS] = status;
	target_event(self, 'd');
	target_command(self);
	return 0;
}

static struct target_self *metronome_self;

/* Looks at the clock, over and over: the longest time that it was kept from that. */
static void *beat(void *argument)
{
	struct target_slot *slot = argument;
	uint64_t *longest = &metronome_self->page->value[LONGEST_US];
	double last = seconds_now();

	STORE(slot->tid, gettid());
	while (!LOAD(metronome_self->page->stop)) {
		double now = seconds_now();

		if ((now - last) * 1e6 > *longest)
			STORE(*longest, (now - last) * 1e6);
		last = now;
		/* Not all of a CPU: the crawlers want some. */
		if (!(++slot->counter % 1024))
			pause_briefly();
	}
	return NULL;
}

TARGET(metronome)
{
	struct target_slot *slot = target_slot(self);

	metronome_self = self;
	slot->nr = SPINS;
	target_thread(slot, beat);
	return target_serve(self);
}

TARGET(sleepers)
{
	sleepers_start(self);
	target_serve(self);
	sleepers_clean();
	return 0;
}

FIXTURE(crawl)
{
	struct sysctl_values sysctls;
};

FIXTURE_VARIANT(crawl)
{
	const char *command;
	const char *sign;	/* what is shown of each process, or at the end */
	unsigned int least;	/* how often at least */
};

#define CORES	"/proc/[0-9]*/core"
#define MAGIC	"\177ELF"
/* Of what came through a pipe. */
#define SUM	"  -\r\n"

/* Without -s, one that seems to be empty is not even opened. */
FIXTURE_VARIANT_ADD(crawl, find_file)
{
	.command = "find /proc -name core -type f -exec file {} +; "
		   "find /proc -name core -type f -exec file -s {} +",
	.sign = "core file",
	.least = LEAST,
};

FIXTURE_VARIANT_ADD(crawl, head)
{
	.command = "head -c 4 " CORES,
	.sign = MAGIC,
	.least = LEAST,
};

FIXTURE_VARIANT_ADD(crawl, grep)
{
	.command = "grep -c x " CORES,
	.sign = "core:",
	.least = LEAST,
};

FIXTURE_VARIANT_ADD(crawl, md5sum)
{
	.command = "md5sum " CORES,
	.sign = "core\r\n",
	.least = LEAST,
};

/* All that the cores have, through the line. */
FIXTURE_VARIANT_ADD(crawl, cat)
{
	.command = "cat " CORES,
	.sign = MAGIC,
	.least = LEAST,
};

FIXTURE_VARIANT_ADD(crawl, cp)
{
	.command = "mkdir copies; cp -r --parents " CORES " copies; "
		   "head -c 4 copies/" CORES "; rm -r copies",
	.sign = MAGIC,
	.least = LEAST,
};

/* Its other end reads what it writes. Of the kernel's memory there is more than a disk has. */
FIXTURE_VARIANT_ADD(crawl, tar)
{
	.command = "tar -c --exclude={kcore,task} /proc | tar -tv | grep '[0-9]\\{5\\} .*core$'",
	.sign = "core\r\n",
	.least = LEAST,
};

/* That opens them, and takes the size that they had before. */
FIXTURE_VARIANT_ADD(crawl, bsdtar)
{
	.command = "bsdtar -cf - " CORES " | bsdtar -tvf -",
	.sign = "core\r\n",
	.least = LEAST,
};

/* Each crawler finds the other ones, and whom they hold. */
FIXTURE_VARIANT_ADD(crawl, at_once)
{
	.command = "for i in 1 2 3; do cat " CORES " | md5sum & done; wait",
	.sign = SUM,
	.least = 3,
};

/* The first one's reader does not read: it crawls. */
FIXTURE_VARIANT_ADD(crawl, one_into_the_other)
{
	.command = "cat " CORES " | cat " CORES " | md5sum",
	.sign = SUM,
	.least = 1,
};

/* One that is stopped, with somebody held, and found so by the next one. */
FIXTURE_VARIANT_ADD(crawl, stopped)
{
	.command = "cat " CORES " | md5sum & P=/proc/livecore; "
		   "while [ -d /proc/$! ] && ! grep -q held $P; do :; done; "
		   "kill -STOP %1; head -c 4 " CORES "; kill -CONT %1; wait",
	.sign = SUM,
	.least = 1,
};

FIXTURE_VARIANT_ADD(crawl, snapshots)
{
	.command = "sysctl kernel.livecore_mode=1; "
		   "md5sum " CORES " & md5sum " CORES "; wait",
	.sign = "core\r\n",
	.least = LEAST,
};

FIXTURE_SETUP(crawl)
{
	sysctl_prepare(&self->sysctls);
	sysctl_set("livecore_stall_ms", STALL_MS);
	sysctl_set("livecore_timeout_ms", TIMEOUT_MS);
}

FIXTURE_TEARDOWN_PARENT(crawl)
{
	sysctl_restore(&self->sysctls);
}

#define CRAWL_TEST(name)	TEST_F_TIMEOUT(crawl, name, CORE_TEST_SECONDS)

static size_t processes(pid_t *pid, size_t max)
{
	DIR *proc = CHECK_POINTER(opendir("/proc"));
	struct dirent *entry;
	size_t n = 0;

	while ((entry = readdir(proc))) {
		pid_t found = atoi(entry->d_name);

		if (found > 0 && n < max)
			pid[n++] = found;
	}
	closedir(proc);
	return n;
}

static bool is_user_process(pid_t pid)
{
	char path[64], program[8];

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	return readlink(path, program, sizeof(program)) > 0;
}

static unsigned int user_processes(void)
{
	unsigned int count = 0;
	pid_t pid[4096];
	size_t n = processes(pid, ARRAY_SIZE(pid));

	for (size_t i = 0; i < n; i++)
		count += is_user_process(pid[i]);
	return count;
}

static bool nobody_is_parked(void)
{
	pid_t pid[4096], tid[4096];
	size_t n = processes(pid, ARRAY_SIZE(pid));

	for (size_t i = 0; i < n; i++) {
		size_t threads = thread_list(pid[i], tid, ARRAY_SIZE(tid));

		for (size_t j = 0; j < threads && j < ARRAY_SIZE(tid); j++)
			if (thread_is_parked(pid[i], tid[j]))
				return false;
	}
	return true;
}

static pid_t parent_of(pid_t pid)
{
	char *text = proc_text_of(pid, "status");
	pid_t parent = text_number(text, "PPid");

	free(text);
	return parent;
}

struct ancestors {
	unsigned int count;
	pid_t pid[MOST_ANCESTORS];
};

/* Whoever waits for us, whoever waits for those, and so on. */
static struct ancestors ancestors_now(void)
{
	struct ancestors a = { .count = 0 };

	for (pid_t pid = getppid(); pid; pid = parent_of(pid)) {
		if (a.count == MOST_ANCESTORS)
			FAIL("too many ancestors");
		a.pid[a.count++] = pid;
	}
	return a;
}

/* One that ends after its parent: process 1 has to take it from us. */
static bool orphan_is_reaped(void)
{
	int from_orphan[2];
	pid_t parent, orphan;
	int status;

	CHECK(pipe2(from_orphan, O_CLOEXEC));
	fflush(NULL);
	parent = CHECK(fork());
	if (!parent) {
		pid_t child = CHECK(fork());

		if (!child) {
			child = getpid();
			if (!EVENTUALLY(getppid() == 1))
				_exit(1);
			_exit(write(from_orphan[1], &child, sizeof(child)) < 0);
		}
		_exit(0);
	}
	CHECK(waitpid(parent, &status, 0));
	if (read(from_orphan[0], &orphan, sizeof(orphan)) != sizeof(orphan))
		FAIL("no orphan");
	close(from_orphan[0]);
	close(from_orphan[1]);
	return EVENTUALLY(kill(orphan, 0) && errno == ESRCH);
}

/*
 * They are the same as before, and run: it takes that to stop, and to go on.
 * Process 1 cannot be stopped.
 */
static void expect_ancestors(struct __test_metadata *_metadata, const struct ancestors *before)
{
	struct ancestors now = ancestors_now();

	ASSERT_EQ(before->count, now.count);
	ASSERT_EQ(1, now.pid[now.count - 1]);
	for (unsigned int i = 0; i < now.count - 1; i++) {
		pid_t pid = now.pid[i];

		ASSERT_EQ(before->pid[i], pid);
		CHECK(kill(pid, SIGSTOP));
		EXPECT_TRUE(EVENTUALLY(thread_state(pid, pid) == 'T'));
		CHECK(kill(pid, SIGCONT));
		EXPECT_TRUE(EVENTUALLY(thread_state(pid, pid) == 'S'));
	}
	EXPECT_TRUE(orphan_is_reaped());
}

/* How often @sign was shown. */
static unsigned int count_on_screen(const char *sign)
{
	size_t length = strlen(sign);
	unsigned int count = 0;
	struct stat st;
	char *at, *end;
	char *screen;
	int fd;

	fd = CHECK(open(SCREEN, O_RDONLY | O_CLOEXEC));
	CHECK(fstat(fd, &st));
	screen = CHECK_POINTER(mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0));
	end = screen + st.st_size;
	for (at = screen; (at = memmem(at, end - at, sign, length)); at += length)
		count++;
	munmap(screen, st.st_size);
	close(fd);
	return count;
}

/* The command comes to its end by itself, and the shell reads on after it. */
static void crawl(struct __test_metadata *_metadata, const char *command)
{
	struct target terminal;
	struct pollfd event;
	unsigned int limit_ms;
	double begin;
	int ended;

	target_start(&terminal, "terminal", command);
	event = (struct pollfd){ .fd = terminal.event, .events = POLLIN };
	limit_ms = user_processes() * (STALL_MS + TIMEOUT_MS) * SLACK;
	begin = seconds_now();
	target_send(&terminal, 'g');
	ended = poll(&event, 1, limit_ms);
	EXPECT_EQ(1, ended)
		TH_LOG("%s: not done after %.0f s", command, seconds_now() - begin);
	if (!ended)
		sysctl_set("livecore_enable", 0);
	target_expect(&terminal, 'd');
	EXPECT_TRUE(WIFEXITED(terminal.page->value[STATUS]));
	EXPECT_EQ(SHELL_STATUS, WEXITSTATUS(terminal.page->value[STATUS]));
	EXPECT_EQ(0, target_finish(&terminal));
}

/* The gate is open for self dumps, too. */
CRAWL_TEST(ends_by_itself)
{
	struct ancestors ancestors = ancestors_now();
	unsigned long crawls = rounds(1);
	struct target sleepers, metronome;
	uint64_t longest_us;
	const char *before;

	target_start(&sleepers, "sleepers", NULL);
	target_start(&metronome, "metronome", NULL);
	target_settle(&sleepers);
	target_settle(&metronome);
	before = fingerprint(sleepers.pid);
	for (unsigned long i = 0; i < crawls; i++) {
		unsigned int seen;

		sysctl_set("livecore_enable", i % 2 ? 1 : 3);
		crawl(_metadata, variant->command);
		seen = count_on_screen(variant->sign);
		EXPECT_LE(variant->least, seen);
		EXPECT_TRUE(EVENTUALLY(listing_is_empty()));
		EXPECT_TRUE(EVENTUALLY(nobody_is_parked()));
	}
	EXPECT_TRUE(target_runs(&metronome));
	longest_us = LOAD(metronome.page->value[LONGEST_US]);
	EXPECT_LT(0, longest_us);
	EXPECT_GT((STALL_MS + TIMEOUT_MS) * 1000 * SLACK, longest_us);
	EXPECT_EQ(0, fingerprint_changes(sleepers.pid, before));
	expect_ancestors(_metadata, &ancestors);
	EXPECT_EQ(0, target_finish(&sleepers));
	EXPECT_EQ(0, target_finish(&metronome));
	tally("crawls", crawls);
}

CORE_TEST_MAIN
