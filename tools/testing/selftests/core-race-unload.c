// SPDX-License-Identifier: GPL-2.0
/*
 * The module is loaded and unloaded, over and over, while others dump, write
 * to its sysctls, read its list, and look for entries that they keep. It goes
 * whenever no dump is open, and says so when one is; whatever the others get
 * is an error by design, or what it should be; and nothing is left behind.
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
	RELOADS		= 8,
	WARM_UP		= 3,
	TARGETS		= 2,
	KEPT		= 8,
	/* Attempts to unload before those who dump are asked to let it go. */
	PATIENCE	= 20,
	/* What one load leaves, deliberately; and what others may allocate meanwhile. */
	BLOCK		= 2048,
	NOISE		= 2 << 20,
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
	dump_all_the_time, dump_all_the_time, write_all_the_time, list_all_the_time,
	keep_all_the_time,
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
	struct image image;
	long memory = 0;

	for (int i = 0; i < TARGETS; i++) {
		target_start(&t[i], "mixed", NULL);
		target_settle(&t[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		pid[i] = race_process(kinds[i], &meddler);
	for (unsigned long round = 0; round < WARM_UP + n; round++) {
		if (round == WARM_UP)
			memory = kernel_memory();
		refused += reload(meddler.counts, round);
		if (round % 16)
			continue;
		for (int i = 0; i < TARGETS; i++)
			ASSERT_TRUE(target_runs(&t[i]));
	}
	STORE(meddler.counts->stop, 1);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		EXPECT_EQ(0, race_process_end(pid[i]));
	TH_LOG("%lu loads, %lu attempts to unload refused", n, refused);
	TH_LOG("%lu dumps, %lu not opened, %lu reads", meddler.counts->opened,
	       meddler.counts->refused, meddler.counts->read);
	TH_LOG("%lu sysctls written, %lu lists, %lu entries kept", meddler.counts->written,
	       meddler.counts->listed, meddler.counts->kept);
	EXPECT_LT(0, refused);
	EXPECT_TRUE(EVENTUALLY(kernel_memory_is_below(memory + NOISE + BLOCK * (long)n)))
		TH_LOG("%ld bytes, before %ld", kernel_memory(), memory);
	/* It is as good as new. */
	sysctl_set("livecore_enable", 1);
	sysctl_set("livecore_timeout_ms", 60000);
	for (int i = 0; i < TARGETS; i++) {
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
