// SPDX-License-Identifier: GPL-2.0
/*
 * The module is loaded and unloaded, over and over, while others dump, are
 * killed at it, write to its sysctls, read its list, and look for entries that
 * they keep; and while those who are dumped sleep, turn, make threads and
 * processes, execute, and are signalled. It goes whenever no dump is open, and
 * says so when one is; whatever the others get is an error by design, or what it
 * should be; and nothing is left behind.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "frame.h"
#include "kernel_memory.h"
#include "live.h"
#include "module.h"
#include "race.h"
#include "sleepers.h"
#include "sleepers_wake.h"
#include "tally.h"

enum {
	PAGE		= 4096,
	RELOADS		= 6,
	WARM_UP		= 3,
	/* Two that are mixed, and one that is restless. */
	MIXED		= 2,
	TARGETS		= 3,
	KEPT		= 8,
	/* Attempts to unload before those who dump are asked to let it go. */
	PATIENCE	= 20,
	/* What one load leaves, deliberately; and what others may allocate meanwhile. */
	BLOCK		= 4096,
	NOISE		= 2 << 20,

	EXECUTED_LAST	= 79,	/* the exit status of who is restless */
	MAKERS		= 2,
	/* target_page.slot[] of them. */
	FIRST_MAKER	= 512,
};

/* target_page.value[] of who is restless. */
enum {
	EXECUTED,		/* how many programs were */
	MADE,			/* threads and processes */
	HANDLED,		/* signals */
};

/* What those have done who are in the way. */
struct counts {
	uint32_t stop;
	uint32_t pause;
	unsigned long opened;
	unsigned long read;
	unsigned long refused;
	unsigned long written;
	unsigned long listed;
	unsigned long kept;
	unsigned long killed;
	unsigned long signalled;
};

struct meddler {
	const struct target *t;
	struct counts *counts;
};

static void count(unsigned long *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
}

TARGET(mixed)
{
	sleepers_start(self);
	target_spinners(self, 1);
	sleepers_serve(self);
	sleepers_clean();
	return 0;
}

static struct target_page *our_page;

static void handle(int signal)
{
	(void)signal;
	__atomic_add_fetch(&our_page->value[HANDLED], 1, __ATOMIC_SEQ_CST);
}

static void *end_at_once(void *argument)
{
	return argument;
}

/* Threads, and processes, which nobody has to wait for; until somebody executes. */
static void *make_all_the_time(void *argument)
{
	for (;;) {
		pthread_t thread;
		pid_t child;
		int error;

		error = pthread_create(&thread, NULL, end_at_once, NULL);
		/* Somebody is in execve(): there are no new ones until he is through. */
		if (error == EAGAIN)
			continue;
		CHECK_ZERO(error);
		CHECK_ZERO(pthread_join(thread, NULL));
		child = CHECK(fork());
		if (!child)
			_exit(0);
		waitpid(child, NULL, 0);
		__atomic_add_fetch(&our_page->value[MADE], 1, __ATOMIC_SEQ_CST);
	}
	return argument;
}

static void pause_for_a_while(void)
{
	for (int i = race_random(8); i >= 0; i--)
		pause_briefly();
	race_delay();
}

/* One program after the other, each with threads that make threads and processes. */
TARGET(restless)
{
	char *arguments[] = { "again", "--target", "restless", "", NULL };
	const struct sigaction handled = { .sa_handler = handle, .sa_flags = SA_RESTART };
	uint64_t turn = LOAD(self->page->value[EXECUTED]);
	sigset_t signals;

	our_page = self->page;
	race_seed(turn);
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	CHECK(sigaction(SIGUSR1, &handled, NULL));
	CHECK_ZERO(pthread_sigmask(SIG_UNBLOCK, &signals, NULL));
	signal(SIGCHLD, SIG_IGN);
	STORE(our_page->value[EXECUTED], turn + 1);
	if (!turn)
		target_event(self, 'R');
	if (LOAD(our_page->stop))
		return EXECUTED_LAST;
	for (int i = 0; i < MAKERS; i++)
		target_thread(&our_page->slot[FIRST_MAKER + i], make_all_the_time);
	pause_for_a_while();
	/* It waits for the next one, which has no handler at first. */
	CHECK_ZERO(pthread_sigmask(SIG_BLOCK, &signals, NULL));
	STORE(our_page->nr_slots, 0);
	execv("/proc/self/exe", arguments);
	FAIL("execv: %s", strerror(errno));
}

static bool goes_on(struct target_page *page)
{
	uint64_t turn = LOAD(page->value[EXECUTED]);

	return EVENTUALLY(LOAD(page->value[EXECUTED]) >= turn + 2);
}

/*
 * There is no module, it is going, or its gate is closed; else what any dump may say.
 * What is opened just when it goes is a file of which nothing can be asked: ENOTTY.
 */
static bool open_says(int error)
{
	return error == EPERM || error == ENODEV || error == ENOTTY || race_open_says(error);
}

static pid_t some_target(const struct meddler *meddler)
{
	return meddler->t[race_random(TARGETS)].pid;
}

static void read_some(const struct meddler *meddler, int fd)
{
	static char bytes[16 * PAGE];
	off_t size = live_info_of(fd).image_size;

	for (int i = race_random(6); i > 0; i--) {
		if (pread(fd, bytes, sizeof(bytes), race_random(size / PAGE) * (off_t)PAGE) < 0) {
			if (!race_read_says(errno))
				FAIL("read: %s", strerror(errno));
			return;
		}
		count(&meddler->counts->read);
		race_delay();
	}
}

/* Dumps, of any kind; sometimes it does not start what it has opened. */
static int dump_all_the_time(void *argument)
{
	const struct meddler *meddler = argument;

	while (!LOAD(meddler->counts->stop)) {
		struct livecore_config config = {
			.size = sizeof(config),
			.set = LIVECORE_SET_MODE | LIVECORE_SET_CONTENTS,
			.mode = race_random(2),
			.contents = race_random(3),
		};
		int fd, error;

		if (LOAD(meddler->counts->pause)) {
			sched_yield();
			continue;
		}
		fd = live_open(some_target(meddler));
		if (fd < 0) {
			if (!open_says(-fd))
				FAIL("open: %s", strerror(-fd));
			count(&meddler->counts->refused);
			sched_yield();
			continue;
		}
		error = -live_config(fd, &config);
		if (error && !open_says(error))
			FAIL("configuring: %s", strerror(error));
		if (!error && race_random(8)) {
			error = -live_start(fd);
			if (error && !open_says(error))
				FAIL("starting: %s", strerror(error));
			if (!error) {
				count(&meddler->counts->opened);
				read_some(meddler, fd);
			}
		}
		close(fd);
	}
	return 0;
}

/* Those who dump, and are killed at it. */
static int kill_all_the_time(void *argument)
{
	struct meddler *meddler = argument;

	while (!LOAD(meddler->counts->stop)) {
		pid_t pid = race_process(dump_all_the_time, meddler);
		int status;

		pause_for_a_while();
		CHECK(kill(pid, SIGKILL));
		CHECK(waitpid(pid, &status, 0));
		if (WIFEXITED(status) && WEXITSTATUS(status))
			FAIL("process %d: status %#x", pid, status);
		count(&meddler->counts->killed);
	}
	return 0;
}

/* Signals who is restless, which asks it for nothing. */
static int signal_all_the_time(void *argument)
{
	const struct meddler *meddler = argument;

	while (!LOAD(meddler->counts->stop)) {
		CHECK(kill(meddler->t[MIXED].pid, SIGUSR1));
		count(&meddler->counts->signalled);
		pause_for_a_while();
	}
	return 0;
}

/* Writes what is valid, and what is not; the gate is open most of the time. */
static int write_all_the_time(void *argument)
{
	static const struct {
		const char *name;
		const char *text[3];
	} knobs[] = {
		{ "livecore_enable", { "1", "2", "5" } },
		{ "livecore_enable", { "1", "1", "0" } },
		{ "livecore_mode", { "0", "1", "2" } },
		{ "livecore_contents", { "0", "2", "x" } },
		{ "livecore_max_dumps", { "4", "16", "-1" } },
		{ "livecore_abort", { "0", "1", "3" } },
	};
	const struct meddler *meddler = argument;

	while (!LOAD(meddler->counts->stop)) {
		int knob = race_random(ARRAY_SIZE(knobs));
		int error = sysctl_try(knobs[knob].name, knobs[knob].text[race_random(3)]);

		if (error && error != -ENOENT && error != -EINVAL)
			FAIL("kernel.%s: %s", knobs[knob].name, strerror(-error));
		if (!error)
			count(&meddler->counts->written);
		error = sysctl_get(knobs[knob].name);
		race_delay();
	}
	return 0;
}

/* The list, also by a descriptor that outlives the module. */
static int list_all_the_time(void *argument)
{
	const struct meddler *meddler = argument;

	while (!LOAD(meddler->counts->stop)) {
		int fd = open("/proc/livecore", O_RDONLY | O_CLOEXEC);
		char bytes[256];
		ssize_t got = 0;

		if (fd < 0) {
			if (errno != ENOENT)
				FAIL("/proc/livecore: %s", strerror(errno));
			sched_yield();
			continue;
		}
		for (int i = race_random(8); i >= 0 && got >= 0; i--) {
			got = pread(fd, bytes, sizeof(bytes), 0);
			/* The entry was removed. */
			if (got < 0 && errno != EIO)
				FAIL("/proc/livecore: %s", strerror(errno));
			race_delay();
		}
		count(&meddler->counts->listed);
		close(fd);
	}
	return 0;
}

static void look_for(pid_t pid)
{
	char path[32];
	DIR *directory;
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	directory = CHECK_POINTER(opendir(path));
	while (readdir(directory))
		;
	closedir(directory);
	snprintf(path, sizeof(path), "/proc/%d/core", pid);
	if (stat(path, &st) && errno != ENOENT)
		FAIL("%s: %s", path, strerror(errno));
}

/* Opens, and reads through, what it has kept: whatever there is no more is an error. */
static void use_kept(int path_fd)
{
	char path[32], bytes[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (read(fd, bytes, sizeof(bytes)) > 0 && memcmp(bytes, ELFMAG, SELFMAG))
		FAIL("no core at %d", path_fd);
	close(fd);
}

static int keep_all_the_time(void *argument)
{
	const struct meddler *meddler = argument;
	int kept[KEPT];

	memset(kept, 0xff, sizeof(kept));
	while (!LOAD(meddler->counts->stop)) {
		int *fd = &kept[race_random(KEPT)];
		char path[32];

		look_for(some_target(meddler));
		/* Which may be a dump, too. */
		if (*fd >= 0 && race_random(2) && !LOAD(meddler->counts->pause)) {
			use_kept(*fd);
			continue;
		}
		if (*fd >= 0)
			close(*fd);
		snprintf(path, sizeof(path), "/proc/%d/core", some_target(meddler));
		*fd = open(path, O_PATH | O_CLOEXEC);
		if (*fd < 0 && errno != ENOENT)
			FAIL("%s: %s", path, strerror(errno));
		if (*fd >= 0)
			count(&meddler->counts->kept);
	}
	return 0;
}

FIXTURE(unload)
{
	struct sysctl_values sysctls;
};

FIXTURE_SETUP(unload)
{
	sysctl_prepare(&self->sysctls);
}

FIXTURE_TEARDOWN_PARENT(unload)
{
	module_put_back();
	sysctl_restore(&self->sysctls);
}

/* How often it was refused. */
static unsigned long unload(struct counts *counts)
{
	double end = seconds_now() + EVENT_SECONDS;
	unsigned long refused = 0;
	int error;

	while ((error = module_unload())) {
		if (error != -EWOULDBLOCK)
			FAIL("delete_module: %s", strerror(-error));
		if (seconds_now() > end)
			FAIL("it is never to be unloaded");
		if (++refused == PATIENCE)
			STORE(counts->pause, 1);
		sched_yield();
	}
	STORE(counts->pause, 0);
	return refused;
}

static bool is_used_after(const struct counts *counts, unsigned long opened)
{
	return LOAD(counts->opened) > opened || LOAD(counts->stop);
}

static int (* const kinds[])(void *argument) = {
	dump_all_the_time, kill_all_the_time, write_all_the_time, list_all_the_time,
	keep_all_the_time, signal_all_the_time,
};

/* Once more, at a point that nobody chooses. */
static unsigned long reload(struct counts *counts, unsigned long round)
{
	unsigned long opened = LOAD(counts->opened), refused;

	if (round % 4 && !EVENTUALLY(sysctl_try("livecore_enable", "1") ||
				     is_used_after(counts, opened)))
		FAIL("nobody dumps");
	race_delay();
	refused = unload(counts);
	if (module_is_loaded())
		FAIL("it is unloaded, and still there");
	race_delay();
	CHECK_ZERO(module_load());
	return refused;
}

TEST_F_TIMEOUT(unload, among_those_who_use_it, 24 * 3600)
{
	unsigned long n = rounds(RELOADS), refused = 0;
	pid_t pid[ARRAY_SIZE(kinds)];
	struct target t[TARGETS];
	struct meddler meddler = {
		.t = t,
		.counts = CHECK_POINTER(mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
					     MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
	};
	struct target_page *restless;
	struct image image;
	long memory = 0;
	int status;

	for (int i = 0; i < MIXED; i++) {
		target_start(&t[i], "mixed", NULL);
		target_settle(&t[i]);
	}
	target_start(&t[MIXED], "restless", NULL);
	restless = t[MIXED].page;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		pid[i] = race_process(kinds[i], &meddler);
	for (unsigned long round = 0; round < WARM_UP + n; round++) {
		if (round == WARM_UP)
			memory = kernel_memory();
		refused += reload(meddler.counts, round);
		if (round % 16)
			continue;
		for (int i = 0; i < MIXED; i++)
			ASSERT_TRUE(target_runs(&t[i]));
		ASSERT_TRUE(goes_on(restless));
	}
	STORE(meddler.counts->stop, 1);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		EXPECT_EQ(0, race_process_end(pid[i]));
	TH_LOG("%lu loads, %lu attempts to unload refused", n, refused);
	TH_LOG("%lu dumps, %lu not opened, %lu reads", meddler.counts->opened,
	       meddler.counts->refused, meddler.counts->read);
	TH_LOG("%lu sysctls written, %lu lists, %lu entries kept", meddler.counts->written,
	       meddler.counts->listed, meddler.counts->kept);
	TH_LOG("%lu killed, %ju programs, %ju threads and processes, %ju of %lu signals",
	       meddler.counts->killed, (uintmax_t)restless->value[EXECUTED],
	       (uintmax_t)restless->value[MADE], (uintmax_t)restless->value[HANDLED],
	       meddler.counts->signalled);
	EXPECT_LT(0, refused);
	EXPECT_LT(0, restless->value[HANDLED]);
	EXPECT_TRUE(race_nobody_parked(t[MIXED].pid));
	EXPECT_TRUE(goes_on(restless));
	STORE(restless->stop, 1);
	status = target_dies_within(&t[MIXED], EVENT_SECONDS);
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(EXECUTED_LAST, WEXITSTATUS(status));
	EXPECT_TRUE(EVENTUALLY(kernel_memory_is_below(memory + NOISE + BLOCK * (long)n)))
		TH_LOG("%ld bytes, before %ld", kernel_memory(), memory);
	/* It is as good as new. */
	sysctl_set("livecore_enable", 1);
	sysctl_set("livecore_timeout_ms", 60000);
	for (int i = 0; i < MIXED; i++) {
		EXPECT_TRUE(race_nobody_parked(t[i].pid));
		EXPECT_TRUE(target_runs(&t[i]));
		ASSERT_EQ(0, image_dump(&image, t[i].pid));
		image_free(&image);
		expect_sleepers(_metadata, &t[i]);
		EXPECT_EQ(0, target_finish(&t[i]));
	}
	EXPECT_TRUE(module_unloads());
	EXPECT_EQ(0, module_load());
	tally("dumps", meddler.counts->opened);
	tally("races provoked", n);
}

CORE_TEST_MAIN
