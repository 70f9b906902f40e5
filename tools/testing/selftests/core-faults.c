// SPDX-License-Identifier: GPL-2.0
/*
 * Every allocation on every path fails once: the first, the second, and so on
 * until there is none left to fail. Each time the call says ENOMEM, or does all
 * that it was asked for; the process is as it was, and can be dumped then; and
 * nothing is lost, be it that nothing fails, something, or loading. (One small
 * block per load stays deliberately, and is known.)
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "faults.h"
#include "frame.h"
#include "kmemleak.h"
#include "live.h"
#include "missing_page.h"
#include "module.h"
#include "random.h"
#include "tally.h"

enum {
	PAGE		= 4096,
	CHUNK		= 16 * PAGE,
	MEMORY		= 16 * PAGE,
	SLEEPERS	= 2,
	MAX_FAULTS	= 20000,
	/* Before there is a dump, to open core, mem and root. */
	MAX_LOOKUPS	= 60,
	/* How often it is tried with each chance of a failure. */
	CHANCES		= 60,
	/* How many allocations of loading fail: some of all, others in each run. */
	LOADS		= 30,
	MODULE_LOADS	= 80,
	PRIVATE		= 0x31,		/* of coredump_filter: no shared memory */
	/* target_page.value[] of a process that makes threads. */
	MAKER		= 0,
	MISSING,
	UFFD,
	MADE,
};

static void *sleep_on(void *argument)
{
	struct target_slot *slot = argument;

	STORE(slot->tid, gettid());
	for (;;)
		syscall(SYS_pause);
	return NULL;
}

/*
 * Sleeps, and runs, and has memory with and without holes; below
 * another root, so that names in the core depend on finding that out.
 */
TARGET(mixed)
{
	char *memory = CHECK_POINTER(mmap(NULL, MEMORY, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	char *shared = CHECK_POINTER(mmap(NULL, MEMORY, PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	int fd;

	for (int i = 0; i < MEMORY / PAGE; i += 1 + i % 4) {
		memory[i * PAGE] = i;
		shared[i * PAGE] = i;
	}
	for (int i = 0; i < SLEEPERS; i++) {
		struct target_slot *slot = target_slot(self);

		slot->nr = SYS_pause;
		target_thread(slot, sleep_on);
	}
	target_spinners(self, 1);
	CHECK(chroot(self->argument));
	CHECK(chdir("/"));
	fd = CHECK(open("/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	CHECK(ftruncate(fd, PAGE));
	CHECK_POINTER(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0));
	CHECK(unlink("/file"));
	return target_serve(self);
}

/* One call after the other, of which the allocations fail. */
struct sweep {
	char directory[32];
	struct target target;
	struct image image;	/* what a dump without faults has */
	int faults;		/* of this thread */
	unsigned int injected;
	double begin;
	int other_error;	/* that the kernel has for it, instead of ENOMEM */
	/* For the call. */
	int fd;
	off_t offset;
	char *buffer;
	int pipe[2];
};

FIXTURE(faults)
{
	struct sysctl_values sysctls;
	struct sweep sweep;
};

FIXTURE_SETUP(faults)
{
	sysctl_prepare(&self->sysctls);
	sysctl_set("livecore_stall_ms", NEVER_MS);
	faults_prepare();
	strcpy(self->sweep.directory, "/tmp/livecore-XXXXXX");
	CHECK_POINTER(mkdtemp(self->sweep.directory));
	self->sweep.faults = faults_of(0, 0);
}

FIXTURE_TEARDOWN_PARENT(faults)
{
	faults_end();
	module_put_back();
	sysctl_restore(&self->sysctls);
}

#define FAULTS_TEST(name)	TEST_F_TIMEOUT(faults, name, 1200)

typedef long (*try_t)(struct sweep *s);
typedef void (*look_t)(struct __test_metadata *_metadata, struct sweep *s, long result);

/*
 * Calls @try with the @nth allocation of this thread failing; true once it
 * makes fewer. @look sees what comes of those that succeed.
 */
static bool try_with(struct __test_metadata *_metadata, struct sweep *s, unsigned int nth,
		     try_t try, look_t look)
{
	unsigned int left;
	long result;

	faults_arm(s->faults, nth);
	result = try(s);
	left = faults_disarm(s->faults);
	if (result < 0) {
		EXPECT_TRUE(result == -ENOMEM || result == s->other_error)
			TH_LOG("allocation %u: %s", nth, strerror(-result));
		EXPECT_EQ(0, left);
	} else if (look) {
		look(_metadata, s, result);
	}
	s->injected += !left;
	return left;
}

static void sweep(struct __test_metadata *_metadata, struct sweep *s, try_t try, look_t look)
{
	for (unsigned long round = 0; round < rounds(1); round++) {
		unsigned int nth = 0;

		do {
			ASSERT_GT(MAX_FAULTS, ++nth);
		} while (!try_with(_metadata, s, nth, try, look));
	}
}

/* Opening */

static void start(struct __test_metadata *_metadata, struct sweep *s)
{
	s->begin = seconds_now();
	target_start(&s->target, "mixed", s->directory);
	target_settle(&s->target);
	ASSERT_EQ(0, image_dump(&s->image, s->target.pid));
}

static void finish(struct __test_metadata *_metadata, struct sweep *s)
{
	fprintf(stderr, "# %u faults, %.0f s\n", s->injected, seconds_now() - s->begin);
	image_free(&s->image);
	EXPECT_TRUE(target_runs(&s->target));
	EXPECT_EQ(0, target_finish(&s->target));
	tally("faults injected", s->injected);
}

static void expect_note(struct __test_metadata *_metadata, const struct image *expected,
			const struct image *image, uint32_t type)
{
	const struct note *a = image_note(expected, "CORE", type);
	const struct note *b = image_note(image, "CORE", type);

	ASSERT_NE(NULL, a);
	ASSERT_NE(NULL, b);
	ASSERT_EQ(a->size, b->size);
	EXPECT_EQ(0, memcmp(a->desc, b->desc, a->size));
}

/* A dump that was made nevertheless has all that it should have. */
static void look_at_dump(struct __test_metadata *_metadata, struct sweep *s, long fd)
{
	struct image image;

	ASSERT_EQ(0, image_read(&image, fd));
	EXPECT_EQ(0, live_info_of(fd).unreadable_pages);
	close(fd);
	EXPECT_EQ(s->image.nr_threads, image.nr_threads);
	EXPECT_EQ(image_nr_loads(&s->image), image_nr_loads(&image));
	expect_note(_metadata, &s->image, &image, NT_FILE);
	expect_note(_metadata, &s->image, &image, NT_AUXV);
	EXPECT_EQ(0, live_count(&image, LIVECORE_THREAD_ZEROED));
	EXPECT_EQ(live_count(&s->image, LIVECORE_THREAD_IN_PLACE),
		  live_count(&image, LIVECORE_THREAD_IN_PLACE));
	image_free(&image);
	EXPECT_TRUE(target_runs(&s->target));
}

static long try_open(struct sweep *s)
{
	return core_open(s->target.pid);
}

static void sweep_open(struct __test_metadata *_metadata, struct sweep *s)
{
	const char *before = fingerprint(s->target.pid);

	sweep(_metadata, s, try_open, look_at_dump);
	EXPECT_TRUE(target_runs(&s->target));
	EXPECT_EQ(0, fingerprint_changes(s->target.pid, before));
	/* More than are made before there is a dump. */
	EXPECT_LT(50, s->injected);
}

/* The first; nothing_is_lost is the last. */
FAULTS_TEST(from_here_on)
{
	kmemleak_start();
}

FAULTS_TEST(open_to_hold)
{
	struct sweep *s = &self->sweep;

	start(_metadata, s);
	sweep_open(_metadata, s);
	finish(_metadata, s);
}

/* A copy of the memory that cannot be made is one reason more to hold. */
FAULTS_TEST(open_for_a_snapshot)
{
	struct sweep *s = &self->sweep;

	start(_metadata, s);
	sysctl_set("livecore_mode", LIVECORE_MODE_SNAPSHOT);
	sweep_open(_metadata, s);
	finish(_metadata, s);
}

/*
 * With no entry of /proc in memory, so that each has to be made: those that are
 * opened by livecore, too. That one of core itself could not, procfs says so.
 */
static long try_open_anew(struct sweep *s)
{
	unsigned int nth;
	long fd;

	/* Not by what comes next. */
	nth = faults_disarm(s->faults);
	write_text("/proc/sys/vm/drop_caches", "2");
	faults_arm(s->faults, nth);
	fd = core_open(s->target.pid);
	return fd;
}

FAULTS_TEST(open_with_nothing_cached)
{
	struct sweep *s = &self->sweep;

	start(_metadata, s);
	s->other_error = -ENOENT;
	for (unsigned int nth = 1; nth <= MAX_LOOKUPS; nth++)
		try_with(_metadata, s, nth, try_open_anew, look_at_dump);
	finish(_metadata, s);
}

FAULTS_TEST(open_for_stacks)
{
	struct sweep *s = &self->sweep;

	start(_metadata, s);
	image_free(&s->image);
	sysctl_set("livecore_contents", LIVECORE_CONTENTS_STACKS);
	ASSERT_EQ(0, image_dump(&s->image, s->target.pid));
	sweep_open(_metadata, s);
	finish(_metadata, s);
}

static long try_open_to_configure(struct sweep *s)
{
	return live_open(s->target.pid);
}

static void look_at_idle(struct __test_metadata *_metadata, struct sweep *s, long fd)
{
	(void)s;
	EXPECT_EQ(LIVECORE_STATE_IDLE, live_info_of(fd).state);
	close(fd);
}

static long try_config(struct sweep *s)
{
	struct livecore_config config = {
		.size = sizeof(config),
		.set = LIVECORE_SET_STALL_MS,
		.stall_ms = NEVER_MS,
	};

	return live_config(s->fd, &config);
}

static long try_start(struct sweep *s)
{
	return live_start(s->fd);
}

/* It was the dump of that descriptor: the next attempt is with another one. */
static void look_at_started(struct __test_metadata *_metadata, struct sweep *s, long result)
{
	(void)result;
	look_at_dump(_metadata, s, s->fd);
	s->fd = CHECK(live_open(s->target.pid));
}

/* A START that has failed may be tried again, on the same descriptor. */
FAULTS_TEST(configure_and_start)
{
	struct sweep *s = &self->sweep;
	const char *before;

	start(_metadata, s);
	before = fingerprint(s->target.pid);
	sweep(_metadata, s, try_open_to_configure, look_at_idle);
	s->fd = CHECK(live_open(s->target.pid));
	sweep(_metadata, s, try_config, NULL);
	sweep(_metadata, s, try_start, look_at_started);
	close(s->fd);
	EXPECT_EQ(0, fingerprint_changes(s->target.pid, before));
	finish(_metadata, s);
}

/* What is done to a dump that is open */

static long try_pread(struct sweep *s)
{
	ssize_t got = pread(s->fd, s->buffer, CHUNK, s->offset);

	return got < 0 ? -errno : got;
}

static void look_at_bytes(struct __test_metadata *_metadata, struct sweep *s, long got)
{
	ASSERT_LE(s->offset + got, s->image.size);
	EXPECT_EQ(0, memcmp(s->buffer, s->image.data + s->offset, got));
}

static long try_splice(struct sweep *s)
{
	off_t offset = s->offset;
	ssize_t got = splice(s->fd, &offset, s->pipe[1], NULL, CHUNK, 0);

	if (got < 0)
		return -errno;
	if (read(s->pipe[0], s->buffer, CHUNK) != got)
		FAIL("of %zd bytes that were spliced not all are there", got);
	return got;
}

static long try_seek(struct sweep *s)
{
	off_t at = 0;

	while (at >= 0) {
		at = lseek(s->fd, at, SEEK_DATA);
		if (at >= 0)
			at = lseek(s->fd, at, SEEK_HOLE);
	}
	return errno == ENXIO ? 0 : -errno;
}

static long try_poll(struct sweep *s)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct pollfd polled = { .fd = s->fd, .events = POLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	long result = 0;

	if (epoll < 0)
		return -errno;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, s->fd, &event) ||
	    epoll_wait(epoll, &event, 1, 0) != 1 || poll(&polled, 1, 0) != 1)
		result = -errno;
	close(epoll);
	return result;
}

static long try_list(struct sweep *s)
{
	int fd = open("/proc/livecore", O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return -errno;
	got = read(fd, s->buffer, CHUNK);
	if (got < 0)
		got = -errno;
	close(fd);
	return got;
}

static void look_at_list(struct __test_metadata *_metadata, struct sweep *s, long got)
{
	char row[32];

	snprintf(row, sizeof(row), "\n%d ", s->target.pid);
	s->buffer[got] = '\0';
	EXPECT_NE(NULL, strstr(s->buffer, row));
}

static long try_info(struct sweep *s)
{
	struct livecore_info info;

	return live_info(s->fd, &info);
}

static void use(struct __test_metadata *_metadata, struct sweep *s, uint32_t mode)
{
	start(_metadata, s);
	image_free(&s->image);
	/* What is shared is as of reading. */
	if (mode == LIVECORE_MODE_SNAPSHOT)
		coredump_filter_set(s->target.pid, PRIVATE);
	sysctl_set("livecore_mode", mode);
	s->fd = core_open(s->target.pid);
	ASSERT_LE(0, s->fd);
	EXPECT_EQ(mode, live_info_of(s->fd).mode);
	/* Of this very dump, so that all bytes can be compared. */
	ASSERT_EQ(0, image_read(&s->image, s->fd));
	s->buffer = CHECK_POINTER(calloc(1, CHUNK + 1));
	CHECK(pipe2(s->pipe, O_CLOEXEC | O_NONBLOCK));
	for (; s->offset < (off_t)s->image.size; s->offset += CHUNK) {
		sweep(_metadata, s, try_pread, look_at_bytes);
		sweep(_metadata, s, try_splice, look_at_bytes);
	}
	sweep(_metadata, s, try_seek, NULL);
	sweep(_metadata, s, try_poll, NULL);
	sweep(_metadata, s, try_info, NULL);
	sweep(_metadata, s, try_list, look_at_list);
	close(s->fd);
	close(s->pipe[0]);
	close(s->pipe[1]);
	free(s->buffer);
	finish(_metadata, s);
}

FAULTS_TEST(use)
{
	use(_metadata, &self->sweep, LIVECORE_MODE_HOLD);
}

FAULTS_TEST(use_of_a_snapshot)
{
	use(_metadata, &self->sweep, LIVECORE_MODE_SNAPSHOT);
}

/* Closing cannot fail, whatever does. */
static long try_close(struct sweep *s)
{
	return close(s->fd) ? -errno : 0;
}

static void look_at_closed(struct __test_metadata *_metadata, struct sweep *s, long result)
{
	(void)result;
	EXPECT_TRUE(target_runs(&s->target));
	s->fd = CHECK(core_open(s->target.pid));
}

FAULTS_TEST(closing)
{
	struct sweep *s = &self->sweep;

	start(_metadata, s);
	for (int mode = LIVECORE_MODE_HOLD; mode <= LIVECORE_MODE_SNAPSHOT; mode++) {
		sysctl_set("livecore_mode", mode);
		s->fd = CHECK(core_open(s->target.pid));
		sweep(_metadata, s, try_close, look_at_closed);
		/* And of one that the gate has ended. */
		sysctl_set("livecore_enable", 0);
		CHECK(close(s->fd));
		sysctl_set("livecore_enable", 1);
	}
	finish(_metadata, s);
}

/*
 * The creator of a thread holds it, and allocates what that takes. It sleeps
 * within clone(), for the number of a pidfd goes to a page that is missing.
 */
static struct target_page *maker_page;

static int made(void *argument)
{
	(void)argument;
	__atomic_add_fetch(&maker_page->value[MADE], 1, __ATOMIC_SEQ_CST);
	syscall(SYS_exit, 0);
	return 0;
}

static void *make(void *argument)
{
	static char stack[16 * PAGE] __attribute__((aligned(16)));
	struct target_slot *slot = argument;
	int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
		    CLONE_SYSVSEM | CLONE_PIDFD;

	for (;;) {
		char *page = CHECK_POINTER(mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
						MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		int uffd = missing_page_at(page);
		int tid;

		STORE(maker_page->value[UFFD], uffd);
		STORE(maker_page->value[MISSING], (uintptr_t)page);
		STORE(slot->tid, gettid());
		tid = clone(made, stack + sizeof(stack), flags, NULL, page);
		STORE(slot->result, tid < 0 ? -errno : tid);
		if (tid >= 0)
			close(*(int *)page);
		CHECK(munmap(page, PAGE));
		close(uffd);
		STORE(maker_page->value[MISSING], 0);
		__atomic_add_fetch(&slot->counter, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

TARGET(maker)
{
	struct target_slot *slot = target_slot(self);

	maker_page = self->page;
	slot->nr = SYS_clone;
	target_thread(slot, make);
	target_spinners(self, 1);
	return target_serve(self);
}

static bool maker_waits(struct target *t)
{
	return LOAD(t->page->value[MISSING]) &&
	       thread_rests_in(t->pid, LOAD(t->page->slot[1].tid), SYS_clone);
}

FAULTS_TEST(new_threads)
{
	struct sweep *s = &self->sweep;
	static const char zeros[PAGE];
	struct target *t = &s->target;
	struct target_slot *maker;
	unsigned int left, nth = 0, ended = 0, held = 0;

	target_start(t, "maker", NULL);
	maker = &t->page->slot[1];
	do {
		uint64_t made, turns;
		int faults, fd, uffd;
		char byte;

		ASSERT_TRUE(EVENTUALLY(maker_waits(t)));
		fd = core_open(t->pid);
		ASSERT_LE(0, fd);
		faults = faults_of(t->pid, maker->tid);
		uffd = target_take_fd(t, LOAD(t->page->value[UFFD]));
		made = LOAD(t->page->value[MADE]);
		turns = LOAD(maker->counter);
		faults_arm(faults, ++nth);
		missing_page_supply(uffd, LOAD(t->page->value[MISSING]), zeros);
		/* It is held on its way back, or the hold has ended. */
		EXPECT_TRUE(EVENTUALLY(thread_is_parked(t->pid, maker->tid) ||
				       LOAD(maker->counter) != turns));
		left = faults_disarm(faults);
		if (pread(fd, &byte, 1, 0) == 1) {
			held++;
			EXPECT_EQ(turns, LOAD(maker->counter));
			EXPECT_EQ(made, LOAD(t->page->value[MADE]));
		} else {
			ended++;
			EXPECT_EQ(ENOMEM, errno);
			EXPECT_EQ(0, left);
		}
		s->injected += !left;
		close(fd);
		close(faults);
		close(uffd);
		ASSERT_TRUE(EVENTUALLY(LOAD(maker->counter) != turns));
		if (maker->result < 0) {
			EXPECT_EQ(-ENOMEM, maker->result);
			EXPECT_EQ(0, left);
		} else {
			EXPECT_TRUE(EVENTUALLY(LOAD(t->page->value[MADE]) == made + 1));
		}
		EXPECT_TRUE(target_runs(t));
		ASSERT_GT(MAX_FAULTS, nth);
	} while (!left);
	fprintf(stderr, "# new threads: %u holds ended, %u stood\n", ended, held);
	EXPECT_LT(0, ended);
	EXPECT_LT(0, held);
	EXPECT_EQ(0, target_finish(t));
	tally("faults injected", s->injected);
}

/* Several at a time, of one kind or of both, in whatever is done. */
static long try_uses(struct sweep *s)
{
	static const try_t uses[] = { try_pread, try_seek, try_poll, try_list };
	long result = 0;

	for (size_t i = 0; i < ARRAY_SIZE(uses) && result >= 0; i++)
		result = uses[i](s);
	return result;
}

FAULTS_TEST(at_random)
{
	/* Per cent, of slab and of pages. */
	static const unsigned int chances[][2] = { { 2, 0 }, { 0, 5 }, { 1, 1 }, { 10, 10 } };
	struct sweep *s = &self->sweep;
	struct random random = random_stream(random_seed(), 0);
	unsigned int failed = 0, done = 0;
	int take = faults_chances();

	start(_metadata, s);
	s->buffer = CHECK_POINTER(calloc(1, CHUNK + 1));
	for (size_t i = 0; i < ARRAY_SIZE(chances); i++) {
		faults_set_chances(chances[i][0], chances[i][1]);
		for (unsigned long round = 0; round < rounds(CHANCES); round++) {
			long result;

			sysctl_set("livecore_mode", random_below(&random, 2));
			s->offset = random_below(&random, s->image.size);
			faults_take_chances(take, true);
			result = core_open(s->target.pid);
			s->fd = result;
			if (s->fd >= 0)
				result = try_uses(s);
			faults_take_chances(take, false);
			if (result < 0) {
				EXPECT_EQ(-ENOMEM, result);
				failed++;
			} else {
				done++;
			}
			if (s->fd < 0)
				continue;
			/* Looking for holes has moved it. */
			CHECK(lseek(s->fd, 0, SEEK_SET));
			look_at_dump(_metadata, s, s->fd);
		}
		s->injected += faults_by_chance();
	}
	fprintf(stderr, "# by chance: %u failed, %u did not\n", failed, done);
	EXPECT_LT(0, failed);
	EXPECT_LT(0, done);
	close(take);
	free(s->buffer);
	finish(_metadata, s);
}

/* Loading */

static long try_load(struct sweep *s)
{
	return syscall(SYS_finit_module, s->fd, "", 0) ? -errno : 0;
}

static void look_at_loaded(struct __test_metadata *_metadata, struct sweep *s, long result)
{
	(void)s;
	(void)result;
	close(CHECK(open("/proc/livecore", O_RDONLY | O_CLOEXEC)));
	EXPECT_TRUE(proc_lists("core", "self"));
	ASSERT_TRUE(module_unloads());
}

/* How many allocations it takes to load it, of those that count. */
static unsigned int loading(struct __test_metadata *_metadata, struct sweep *s)
{
	unsigned int all;

	faults_arm(s->faults, INT32_MAX);
	EXPECT_EQ(0, try_load(s));
	all = INT32_MAX - faults_disarm(s->faults);
	EXPECT_TRUE(module_unloads());
	fprintf(stderr, "# load: %u allocations\n", all);
	return all;
}

static void try_load_with(struct __test_metadata *_metadata, struct sweep *s, unsigned int nth)
{
	try_with(_metadata, s, nth, try_load, look_at_loaded);
	EXPECT_FALSE(module_is_loaded());
	EXPECT_EQ(-1, sysctl_get("livecore_enable"));
	EXPECT_FALSE(proc_lists("core", "self"));
}

FAULTS_TEST(loading)
{
	struct sweep *s = &self->sweep;
	struct random random = random_stream(random_seed(), 0);
	unsigned int all, step, samples = rounds(LOADS);

	s->begin = seconds_now();
	/* It looks whether procfs has the entry, which says so where it has no memory. */
	s->other_error = -ENOENT;
	s->fd = CHECK(open(CHECK_POINTER(getenv("LIVECORE_KO")), O_RDONLY | O_CLOEXEC));
	ASSERT_TRUE(module_unloads());
	faults_of_modules_alone(true);
	all = loading(_metadata, s);
	/* From one to the next, all of them where there is time. */
	step = 1 + all / (1 + rounds(MODULE_LOADS));
	for (unsigned int nth = 1 + random_below(&random, step); nth <= all; nth += step)
		try_load_with(_metadata, s, nth);
	faults_of_modules_alone(false);
	all = loading(_metadata, s);
	while (samples--)
		try_load_with(_metadata, s, 1 + random_below(&random, all));
	close(s->fd);
	EXPECT_EQ(0, module_load());
	fprintf(stderr, "# %u faults, %.0f s\n", s->injected, seconds_now() - s->begin);
	tally("faults injected", s->injected);
}

/* By whomever: what a dump refers to is the kernel's own. */
FAULTS_TEST(nothing_is_lost)
{
	EXPECT_EQ(0, kmemleak_reports(NULL));
}

CORE_TEST_MAIN
