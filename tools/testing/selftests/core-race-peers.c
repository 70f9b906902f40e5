// SPDX-License-Identifier: GPL-2.0
/*
 * Two processes of which each serves a file that the other one maps and reads,
 * dumped at once: to read the core of one takes the other, which is held, too.
 * The watchdog lets it go; who reads does not wait for longer than that, killed
 * or not, and both processes go on.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "frame.h"
#include "held_fs.h"
#include "live.h"
#include "race.h"
#include "tally.h"

enum {
	PAGE		= 4096,
	PAGES		= 16,
	PEERS		= 2,
	ROUNDS		= 4,
	STALL_MS	= 1000,
	/* Ten times that, of both dumps. */
	END_SECONDS	= 60,
	/* So long that who reads is seen to wait. */
	KILLED_STALL_MS	= 3000,
};

/* target_page.value[] */
enum { WRONG };

static struct target_page *our_page;

/* So that each read is another request to the other one. */
static int uncached;

static void *read_from_the_other(void *argument)
{
	struct target_slot *slot = argument;
	char bytes[64];

	STORE(slot->tid, gettid());
	while (!LOAD(our_page->stop)) {
		ssize_t got = pread(uncached, bytes, sizeof(bytes), PAGE);

		/* At the end it may have gone before us. */
		if ((got != sizeof(bytes) || bytes[0] != 'f') && !LOAD(our_page->stop))
			STORE(our_page->value[WRONG], got < 0 ? errno : 1000);
		STORE(slot->counter, slot->counter + 1);
	}
	return NULL;
}

/* "own other": two files; 'm' maps and reads the other's, 'd' drops what came of it. */
TARGET(peer)
{
	char own[64], other[64], command;
	struct target_slot *slot;
	char *bytes = NULL;
	int cached = -1;

	our_page = self->page;
	if (sscanf(self->argument, "%63s %63s", own, other) != 2)
		FAIL("argument %s", self->argument);
	held_fs_mount(self, own, PAGES);
	target_event(self, 'R');
	while ((command = target_command(self))) {
		if (command == 'm') {
			cached = CHECK(open(other, O_RDONLY | O_CLOEXEC));
			uncached = CHECK(open(other, O_RDONLY | O_SYNC | O_CLOEXEC));
			bytes = CHECK_POINTER(mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
						   MAP_PRIVATE, cached, 0));
			CHECK(madvise(bytes, PAGES * PAGE, MADV_RANDOM));
			/* So it is dumped as a whole. */
			bytes[0] = 'w';
			slot = target_slot(self);
			slot->nr = SPINS;
			target_thread(slot, read_from_the_other);
		} else if (command == 'd') {
			CHECK(madvise(bytes + PAGE, (PAGES - 1) * PAGE, MADV_DONTNEED));
			CHECK_ZERO(posix_fadvise(cached, PAGE, 0, POSIX_FADV_DONTNEED));
		}
		target_event(self, command);
	}
	/* A thread may wait for the other one, which has gone. */
	_exit(0);
}

FIXTURE(peers)
{
	struct sysctl_values sysctls;
	char path[PEERS][32];
	struct target t[PEERS];
};

FIXTURE_SETUP(peers)
{
	for (int i = 0; i < PEERS; i++) {
		strcpy(self->path[i], "/tmp/livecore-XXXXXX");
		close(CHECK(mkstemp(self->path[i])));
	}
	sysctl_prepare(&self->sysctls);
	sysctl_set("livecore_stall_ms", STALL_MS);
}

FIXTURE_TEARDOWN_PARENT(peers)
{
	sysctl_restore(&self->sysctls);
	for (int i = 0; i < PEERS; i++) {
		/* The peers have died with the test. */
		umount2(self->path[i], MNT_DETACH);
		unlink(self->path[i]);
	}
}

#define PEERS_TEST(name)	TEST_F_TIMEOUT(peers, name, CORE_TEST_SECONDS)

static void start_peers(struct target t[PEERS], char path[PEERS][32])
{
	char argument[96];

	for (int i = 0; i < PEERS; i++) {
		snprintf(argument, sizeof(argument), "%s %s", path[i], path[!i]);
		target_start(&t[i], "peer", argument);
	}
	for (int i = 0; i < PEERS; i++)
		target_do(&t[i], 'm');
	for (int i = 0; i < PEERS; i++)
		if (!target_runs(&t[i]))
			FAIL("peer %d does not read", i);
}

static void drop_pages(struct target t[PEERS])
{
	for (int i = 0; i < PEERS; i++)
		target_do(&t[i], 'd');
}

static void expect_to_go_on(struct __test_metadata *_metadata, struct target t[PEERS])
{
	for (int i = 0; i < PEERS; i++) {
		EXPECT_TRUE(race_nobody_parked(t[i].pid));
		EXPECT_TRUE(target_runs(&t[i]));
		EXPECT_EQ(0, LOAD(t[i].page->value[WRONG]));
	}
}

static void finish_peers(struct __test_metadata *_metadata, struct target t[PEERS])
{
	for (int i = 0; i < PEERS; i++)
		STORE(t[i].page->stop, 1);
	for (int i = 0; i < PEERS; i++)
		EXPECT_EQ(0, target_finish(&t[i]));
}

/* Reads all of it: 0, or an errno. */
static int read_all(int fd)
{
	struct image image;
	int error = -image_read(&image, fd);

	if (!error)
		image_free(&image);
	return error;
}

PEERS_TEST(by_one_opener)
{
	unsigned long n = rounds(ROUNDS);
	struct target *t = self->t;

	start_peers(t, self->path);
	for (unsigned long round = 0; round < n; round++) {
		int fd[PEERS], first = round % PEERS, error;
		double begin = seconds_now();

		for (int i = 0; i < PEERS; i++) {
			fd[i] = core_open(t[i].pid);
			ASSERT_LE(0, fd[i]);
		}
		/* It goes on when the other one is let go, unless it was let go itself. */
		error = read_all(fd[first]);
		EXPECT_TRUE(!error || error == ETIMEDOUT)
			TH_LOG("%s", strerror(error));
		EXPECT_TRUE(error || read_all(fd[!first]) == ETIMEDOUT);
		EXPECT_GT(END_SECONDS, seconds_now() - begin);
		for (int i = 0; i < PEERS; i++)
			close(fd[i]);
		expect_to_go_on(_metadata, t);
		drop_pages(t);
	}
	tally("dumps", 2 * n);
	tally("races provoked", n);
	finish_peers(_metadata, t);
}

struct opener {
	struct target *t;
	struct race_start *start;
};

static int open_and_read(void *argument)
{
	const struct opener *opener = argument;
	int fd = CHECK(core_open(opener->t->pid));

	race_meet(opener->start, PEERS);
	return read_all(fd);
}

static void start_openers(struct opener opener[PEERS], struct target t[PEERS], pid_t pid[PEERS])
{
	struct race_start *start =
		CHECK_POINTER(mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0));

	for (int i = 0; i < PEERS; i++) {
		opener[i] = (struct opener){ &t[i], start };
		pid[i] = race_process(open_and_read, &opener[i]);
	}
}

PEERS_TEST(by_two_openers)
{
	unsigned long n = rounds(ROUNDS);
	struct target *t = self->t;

	start_peers(t, self->path);
	for (unsigned long round = 0; round < n; round++) {
		double begin = seconds_now();
		struct opener opener[PEERS];
		int error[PEERS];
		pid_t pid[PEERS];

		start_openers(opener, t, pid);
		for (int i = 0; i < PEERS; i++) {
			error[i] = race_process_end(pid[i]);
			EXPECT_TRUE(!error[i] || error[i] == ETIMEDOUT)
				TH_LOG("peer %d: %s", i, strerror(error[i]));
		}
		EXPECT_TRUE(error[0] || error[1]);
		EXPECT_GT(END_SECONDS, seconds_now() - begin);
		expect_to_go_on(_metadata, t);
		drop_pages(t);
	}
	tally("dumps", 2 * n);
	tally("races provoked", n);
	finish_peers(_metadata, t);
}

static bool has_died(pid_t pid)
{
	return thread_state(pid, pid) == 'Z';
}

static bool waits_or_has_died(pid_t pid)
{
	return thread_sleeps_in(pid, pid, SYS_read) || has_died(pid);
}

/*
 * FUSE waits for the answer to what its server has taken, whoever is killed: so
 * they die, and close what they hold, when the watchdog has let the servers go.
 */
PEERS_TEST(by_two_who_are_killed)
{
	unsigned long n = rounds(ROUNDS);
	struct target *t = self->t;

	sysctl_set("livecore_stall_ms", KILLED_STALL_MS);
	start_peers(t, self->path);
	for (unsigned long round = 0; round < n; round++) {
		struct opener opener[PEERS];
		pid_t pid[PEERS];
		double begin;

		start_openers(opener, t, pid);
		for (int i = 0; i < PEERS; i++)
			ASSERT_TRUE(EVENTUALLY(waits_or_has_died(pid[i])));
		begin = seconds_now();
		for (int i = 0; i < PEERS; i++) {
			CHECK(kill(pid[i], SIGKILL));
			EXPECT_TRUE(EVENTUALLY(has_died(pid[i])));
		}
		EXPECT_GT(END_SECONDS, seconds_now() - begin);
		for (int i = 0; i < PEERS; i++)
			CHECK(waitpid(pid[i], NULL, 0));
		expect_to_go_on(_metadata, t);
		drop_pages(t);
	}
	tally("dumps", 2 * n);
	tally("races provoked", n);
	finish_peers(_metadata, t);
}

CORE_TEST_MAIN
