// SPDX-License-Identifier: GPL-2.0
/*
 * Who dumps, who is dumped, or both are killed, crash, or run out of memory, at
 * whatever point of open, read or close they are. The process that dies does
 * so at once, the one that does not runs on, and what is read is an error or
 * what it should be.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "cgroup.h"
#include "fixture.h"
#include "live.h"
#include "oom.h"
#include "race.h"
#include "tally.h"

enum {
	PAGE		= 4096,
	MIB		= 1 << 20,
	ROUNDS		= 12,
	STEPS		= 14,
	MOST_SECONDS	= 1,	/* in one of them: an open that waits for somebody to die */
	/* Far below timeout_ms, far above what it takes emulated. */
	DEATH_SECONDS	= 40,
};

/* Between a test and who dumps for it. */
struct reader_page {
	struct race_start start;
	uint32_t keep;		/* what is open, until */
	uint32_t stop;
	uint32_t step;		/* of what it does, without end */
	unsigned long opened;
	unsigned long failed;
	unsigned long read;
};

struct reader {
	pid_t victim;
	bool snapshot;		/* else sometimes */
	bool may_die;		/* the victim */
	bool may_wait;		/* for it, until somebody is killed */
	struct reader_page *page;
};

static struct reader_page *make_page(void)
{
	return CHECK_POINTER(mmap(NULL, sizeof(struct reader_page), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

static int dump_of(const struct reader *reader)
{
	struct livecore_config config = {
		.size = sizeof(config),
		.set = LIVECORE_SET_MODE | LIVECORE_SET_CONTENTS | LIVECORE_SET_BLOCKED,
		.mode = reader->snapshot || race_random(2) ? LIVECORE_MODE_SNAPSHOT :
							     LIVECORE_MODE_HOLD,
		.contents = race_random(3),
		.blocked = LIVECORE_BLOCKED_IN_PLACE,
	};

	/* Then its sleeper keeps open from returning. */
	if (reader->may_wait && !race_random(4))
		config.blocked = LIVECORE_BLOCKED_WAIT;
	return live_dump(reader->victim, &config);
}

static void step(const struct reader *reader)
{
	__atomic_add_fetch(&reader->page->step, 1, __ATOMIC_SEQ_CST);
}

/* Waits for a point that nobody chooses: a step, or long enough where there is none. */
static void wait_for_some_step(struct reader_page *page)
{
	uint32_t until = LOAD(page->step) + race_random(STEPS);
	double end = seconds_now() + MOST_SECONDS;

	while ((int32_t)(LOAD(page->step) - until) < 0 && seconds_now() < end)
		sched_yield();
	race_delay();
}

/* Dumps all the time, and looks whether what it is told may be so. */
static int read_all_the_time(void *argument)
{
	const struct reader *reader = argument;
	static char bytes[16 * PAGE];

	race_meet(&reader->page->start, 2);
	while (!LOAD(reader->page->stop)) {
		off_t size;
		int fd;

		step(reader);
		fd = dump_of(reader);
		if (fd < 0) {
			if (!reader->may_die || !race_open_says(-fd) || fd == -EBUSY)
				FAIL("open: %s", strerror(-fd));
			reader->page->failed++;
			if (fd == -ESRCH || fd == -ENOENT)
				return 0;
			continue;
		}
		step(reader);
		reader->page->opened++;
		size = live_info_of(fd).image_size;
		for (int i = race_random(8); i >= 0; i--) {
			off_t at = race_random(size / PAGE) * (off_t)PAGE;

			step(reader);
			if (pread(fd, bytes, sizeof(bytes), at) >= 0) {
				reader->page->read++;
				continue;
			}
			if (!reader->may_die || !race_read_says(errno))
				FAIL("read: %s", strerror(errno));
			if (live_info_of(fd).state != LIVECORE_STATE_ENDED)
				FAIL("a read fails, and the dump has not ended");
		}
		step(reader);
		/* Who is killed dies nevertheless. */
		while (LOAD(reader->page->keep) && !LOAD(reader->page->stop))
			pause_briefly();
		CHECK(close(fd));
	}
	return 0;
}

static void no_core_files(void)
{
	struct rlimit none = {};

	CHECK(setrlimit(RLIMIT_CORE, &none));
}

/* Memory that is to be copied page by page. */
static void touch_memory(size_t mib)
{
	char *memory;

	if (!mib)
		return;
	memory = CHECK_POINTER(mmap(NULL, mib * MIB, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	target_small_pages(memory, mib * MIB);
	memset(memory, 'm', mib * MIB);
}

/* So many MiB of memory; asleep and running. */
TARGET(victim)
{
	no_core_files();
	touch_memory(atoi(self->argument));
	target_spinners(self, 2);
	return target_serve(self);
}

FIXTURE(killed)
{
	struct sysctl_values sysctls;
};

FIXTURE_VARIANT(killed)
{
	const char *mib;
	bool snapshot;
	int signal;		/* to the process that is dumped, 0: none */
	bool to_thread;
	bool reader;		/* is killed, too */
};

FIXTURE_VARIANT_ADD(killed, process)
{
	.mib = "0",
	.signal = SIGKILL,
};

FIXTURE_VARIANT_ADD(killed, by_one_thread)
{
	.mib = "0",
	.signal = SIGKILL,
	.to_thread = true,
};

FIXTURE_VARIANT_ADD(killed, process_that_is_copied)
{
	.mib = "24",
	.snapshot = true,
	.signal = SIGKILL,
};

/* Which sleepers for which a SIGKILL is meant do not see. */
FIXTURE_VARIANT_ADD(killed, process_by_abort)
{
	.mib = "0",
	.signal = SIGABRT,
};

FIXTURE_VARIANT_ADD(killed, both)
{
	.mib = "0",
	.signal = SIGKILL,
	.reader = true,
};

FIXTURE_VARIANT_ADD(killed, reader)
{
	.mib = "0",
	.reader = true,
};

FIXTURE_VARIANT_ADD(killed, reader_that_copies)
{
	.mib = "24",
	.snapshot = true,
	.reader = true,
};

FIXTURE_SETUP(killed)
{
	sysctl_prepare(&self->sysctls);
	sysctl_set("livecore_stall_ms", NEVER_MS);
}

FIXTURE_TEARDOWN_PARENT(killed)
{
	sysctl_restore(&self->sysctls);
}

TEST_F_TIMEOUT(killed, at_any_point, CORE_TEST_SECONDS)
{
	struct reader reader = {
		.snapshot = variant->snapshot,
		.may_die = variant->signal,
		.may_wait = true,
		.page = make_page(),
	};
	unsigned long n = rounds(ROUNDS);
	struct target t;

	for (unsigned long round = 0; round < n; round++) {
		struct target_slot *last;
		pid_t pid;
		int status;

		if (!round || variant->signal) {
			target_start(&t, "victim", variant->mib);
			target_settle(&t);
		}
		last = &t.page->slot[t.page->nr_slots - 1];
		reader.victim = t.pid;
		pid = race_process(read_all_the_time, &reader);
		race_meet(&reader.page->start, 2);
		wait_for_some_step(reader.page);
		STORE(reader.page->keep, 1);
		if (variant->reader && round % 2)
			CHECK(kill(pid, SIGKILL));
		if (variant->to_thread)
			CHECK(tgkill(t.pid, last->tid, variant->signal));
		else if (variant->signal)
			CHECK(kill(t.pid, variant->signal));
		if (variant->reader) {
			CHECK(kill(pid, SIGKILL));
			ASSERT_EQ(pid, waitpid(pid, &status, 0));
			/* It may have seen that its victim is gone. */
			ASSERT_TRUE(WIFSIGNALED(status) || (variant->signal && !status));
		}
		if (variant->signal) {
			status = target_dies_within(&t, DEATH_SECONDS);
			ASSERT_NE(-1, status)
				TH_LOG("round %lu: it lives on", round);
			EXPECT_TRUE(WIFSIGNALED(status));
			EXPECT_EQ(variant->signal, WTERMSIG(status));
			STORE(reader.page->stop, 1);
		} else {
			EXPECT_TRUE(race_nobody_parked(t.pid));
			EXPECT_TRUE(target_runs(&t));
		}
		if (!variant->reader)
			ASSERT_EQ(0, race_process_end(pid));
		STORE(reader.page->keep, 0);
		STORE(reader.page->stop, 0);
		memset(&reader.page->start, 0, sizeof(reader.page->start));
	}
	TH_LOG("%lu dumps, %lu not opened, %lu reads", reader.page->opened, reader.page->failed,
	       reader.page->read);
	tally("dumps", reader.page->opened);
	tally("races provoked", n);
	if (!variant->signal)
		EXPECT_EQ(0, target_finish(&t));
}

/* One descriptor that several threads use when it is closed. */

enum { USERS = 3 };

struct shared {
	int fd;
	off_t size;
	struct race_start start;
};

static void *use(void *argument)
{
	struct shared *shared = argument;
	char bytes[2 * PAGE];
	bool is_open = true;

	race_meet(&shared->start, USERS + 1);
	while (is_open) {
		off_t at = race_random(shared->size / PAGE) * (off_t)PAGE;
		struct livecore_info info;
		long got = 0;

		switch (race_random(8)) {
		case 0:
			got = lseek(shared->fd, at, SEEK_DATA);
			break;
		case 1:
			got = lseek(shared->fd, at, SEEK_HOLE);
			break;
		case 2:
			got = read(shared->fd, bytes, sizeof(bytes));
			break;
		case 3:
			errno = -live_info(shared->fd, &info);
			got = -!!errno;
			break;
		case 4:
			if (!race_random(4)) {
				errno = -live_release(shared->fd);
				got = -!!errno;
			}
			break;
		default:
			got = pread(shared->fd, bytes, sizeof(bytes), at);
		}
		is_open = got >= 0 || errno == ENXIO;
		if (!is_open && errno != EBADF)
			FAIL("%s", strerror(errno));
	}
	return NULL;
}

CORE_TEST(closed_while_it_is_used)
{
	unsigned long n = rounds(2 * ROUNDS);
	struct target t;

	race_seed(0);
	target_start(&t, "victim", "0");
	target_settle(&t);
	for (unsigned long round = 0; round < n; round++) {
		struct shared shared = {};
		pthread_t thread[USERS];

		shared.fd = core_open(t.pid);
		ASSERT_LE(0, shared.fd);
		shared.size = live_info_of(shared.fd).image_size;
		for (int i = 0; i < USERS; i++)
			CHECK_ZERO(pthread_create(&thread[i], NULL, use, &shared));
		race_meet(&shared.start, USERS + 1);
		race_delay();
		EXPECT_EQ(0, close(shared.fd));
		for (int i = 0; i < USERS; i++)
			CHECK_ZERO(pthread_join(thread[i], NULL));
		EXPECT_TRUE(race_nobody_parked(t.pid));
		EXPECT_TRUE(target_runs(&t));
	}
	tally("dumps", n);
	tally("races provoked", n);
	EXPECT_EQ(0, target_finish(&t));
}

/* Crashes, of which the kernel makes a core. */

enum { SPINNERS = 2, CRASHERS = SPINNERS + 2 };

static char *volatile nowhere;

static void *crash(void *argument)
{
	struct target_slot *slot = argument;

	STORE(slot->tid, gettid());
	while (!LOAD(slot->value[0]))
		sched_yield();
	if (slot->value[0] % 2)
		abort();
	*nowhere = 0;
	return NULL;
}

/* One of its threads crashes when it is told so: value[0] of its slot, the last. */
TARGET(crasher)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct target_slot *slot;

	CHECK(setrlimit(RLIMIT_CORE, &unlimited));
	target_spinners(self, SPINNERS);
	slot = target_slot(self);
	slot->nr = SPINS;
	/* What the others count. */
	slot->counter = 1;
	target_thread(slot, crash);
	return target_serve(self);
}

#define PATTERN	"/proc/sys/kernel/core_pattern"

FIXTURE(crash)
{
	struct sysctl_values sysctls;
	char directory[32];
	char core[64];		/* what the kernel makes */
	char gate[64];		/* a FIFO that has to be opened before */
	char pattern[128];	/* that was there */
};

static void write_file(const char *path, mode_t mode, const char *text)
{
	int fd = CHECK(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));

	CHECK(write(fd, text, strlen(text)));
	close(fd);
}

/* The kernel's core goes through a pipe to a program, which takes it when the gate is open. */
FIXTURE_SETUP(crash)
{
	char script[256], path[64], pattern[128];
	char *before = proc_text("sys/kernel/core_pattern");

	snprintf(self->pattern, sizeof(self->pattern), "%s", CHECK_POINTER(before));
	free(before);
	strcpy(self->directory, "/tmp/livecore-XXXXXX");
	CHECK_POINTER(mkdtemp(self->directory));
	snprintf(self->core, sizeof(self->core), "%s/core", self->directory);
	snprintf(self->gate, sizeof(self->gate), "%s/gate", self->directory);
	CHECK(mkfifo(self->gate, 0600));
	snprintf(path, sizeof(path), "%s/handler", self->directory);
	snprintf(script, sizeof(script), "#!/bin/sh\n: <%s\nexec /bin/cat >%s\n", self->gate,
		 self->core);
	write_file(path, 0700, script);
	snprintf(pattern, sizeof(pattern), "|%s", path);
	write_file(PATTERN, 0600, pattern);
	sysctl_prepare(&self->sysctls);
}

FIXTURE_TEARDOWN_PARENT(crash)
{
	char path[64];

	sysctl_restore(&self->sysctls);
	write_file(PATTERN, 0600, self->pattern);
	snprintf(path, sizeof(path), "%s/handler", self->directory);
	unlink(path);
	unlink(self->gate);
	unlink(self->core);
	rmdir(self->directory);
}

/* The kernel's core, whole. */
static void expect_core(struct __test_metadata *_metadata, const char *path, struct image *image)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const Elf64_Phdr *last;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, image_read(image, fd));
	close(fd);
	EXPECT_EQ(CRASHERS, image->nr_threads);
	last = image_load(image, image_nr_loads(image) - 1);
	EXPECT_LE(last->p_offset + last->p_filesz, image->size);
	unlink(path);
}

static int open_gate(void *argument)
{
	/* As long as nobody reads, this waits. */
	CHECK(open(argument, O_WRONLY | O_CLOEXEC));
	return 0;
}

/* A process of which the kernel is making a core has one of ours, too; that one is whole. */
static void dump_while_the_kernel_does(struct __test_metadata *_metadata, char *gate,
				       const char *core)
{
	struct image ours, theirs;
	struct target_slot *slot;
	struct target t;
	int fd, status;

	target_start(&t, "crasher", NULL);
	target_settle(&t);
	slot = &t.page->slot[CRASHERS - 1];
	STORE(slot->value[0], 2);
	/* The pipe is full, and nobody reads. */
	ASSERT_TRUE(EVENTUALLY(thread_waits_in(t.pid, slot->tid, "anon_pipe_write")));
	for (int i = 0; i < CRASHERS - 1; i++)
		ASSERT_TRUE(EVENTUALLY(thread_state(t.pid, t.page->slot[i].tid) != 'R'));
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, image_read(&ours, fd));
	EXPECT_EQ(CRASHERS, ours.nr_threads);
	EXPECT_EQ(0, live_count(&ours, LIVECORE_THREAD_ZEROED));
	/* Held or not, it goes on dumping. */
	EXPECT_EQ(0, race_process_end(race_process(open_gate, gate)));
	status = target_dies_within(&t, EVENT_SECONDS);
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGSEGV, WTERMSIG(status));
	EXPECT_TRUE(WCOREDUMP(status));
	close(fd);
	expect_core(_metadata, core, &theirs);
	for (size_t i = 0; i < theirs.nr_threads; i++) {
		pid_t tid = theirs.threads[i].tid;
		const struct image_thread *thread = image_thread(&ours, tid);

		ASSERT_NE(NULL, thread);
		EXPECT_EQ(0, memcmp(thread->prstatus->pr_reg,
				    theirs.threads[i].prstatus->pr_reg,
				    sizeof(thread->prstatus->pr_reg)))
			TH_LOG("thread %zu", i);
	}
	image_free(&ours);
	image_free(&theirs);
}

TEST_F_TIMEOUT(crash, while_the_kernel_dumps, CORE_TEST_SECONDS)
{
	unsigned long n = 2 * rounds(1);

	for (unsigned long i = 0; i < n; i++) {
		sysctl_set("livecore_mode", i % 2 ? LIVECORE_MODE_SNAPSHOT : LIVECORE_MODE_HOLD);
		dump_while_the_kernel_does(_metadata, self->gate, self->core);
	}
	tally("dumps", n);
	tally("races provoked", n);
}

/* It crashes at any point: the kernel's core is whole, and the process gone. */
TEST_F_TIMEOUT(crash, at_any_point, CORE_TEST_SECONDS)
{
	struct reader reader = { .may_die = true, .page = make_page() };
	unsigned long n = rounds(ROUNDS);
	int gate = CHECK(open(self->gate, O_RDWR | O_CLOEXEC));

	for (unsigned long round = 0; round < n; round++) {
		struct target_slot *slot;
		struct image image;
		struct target t;
		int status;
		pid_t pid;

		target_start(&t, "crasher", NULL);
		target_settle(&t);
		slot = &t.page->slot[CRASHERS - 1];
		reader.victim = t.pid;
		pid = race_process(read_all_the_time, &reader);
		race_meet(&reader.page->start, 2);
		wait_for_some_step(reader.page);
		STORE(slot->value[0], 2 + round);
		status = target_dies_within(&t, EVENT_SECONDS);
		ASSERT_NE(-1, status);
		EXPECT_TRUE(WIFSIGNALED(status));
		EXPECT_EQ(round % 2 ? SIGABRT : SIGSEGV, WTERMSIG(status));
		EXPECT_TRUE(WCOREDUMP(status));
		ASSERT_EQ(0, race_process_end(pid));
		expect_core(_metadata, self->core, &image);
		image_free(&image);
	}
	close(gate);
	TH_LOG("%lu dumps, %lu not opened, %lu reads", reader.page->opened, reader.page->failed,
	       reader.page->read);
	tally("dumps", reader.page->opened);
	tally("races provoked", n);
}

/* Want of memory. */

enum { VICTIM_MIB = 24, LIMIT_MIB = 44 };

FIXTURE(out_of_memory)
{
	struct sysctl_values sysctls;
};

FIXTURE_VARIANT(out_of_memory)
{
	int mode;
};

FIXTURE_VARIANT_ADD(out_of_memory, held)
{
	.mode = LIVECORE_MODE_HOLD,
};

FIXTURE_VARIANT_ADD(out_of_memory, snapshot)
{
	.mode = LIVECORE_MODE_SNAPSHOT,
};

FIXTURE_SETUP(out_of_memory)
{
	sysctl_prepare(&self->sysctls);
	sysctl_set("livecore_mode", variant->mode);
	sysctl_set("livecore_stall_ms", NEVER_MS);
	cgroup_create("+memory");
}

FIXTURE_TEARDOWN_PARENT(out_of_memory)
{
	sysctl_restore(&self->sysctls);
	oom_restore();
	cgroup_destroy();
}

/* Reads until that fails, or the end is reached: an errno, or 0. */
static int read_error(int fd)
{
	static char bytes[16 * PAGE];
	ssize_t got;

	while ((got = read(fd, bytes, sizeof(bytes))) > 0)
		;
	return got ? errno : 0;
}

static void run_system_out_of_memory(struct __test_metadata *_metadata, int mode)
{
	struct target t;
	int fd, status;

	target_start(&t, "victim", "24");
	target_settle(&t);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	oom_spare_everybody();
	oom_prefer(t.pid);
	oom_of_the_system();
	status = target_dies_within(&t, DEATH_SECONDS);
	oom_restore();
	EXPECT_NE(-1, status);
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(mode == LIVECORE_MODE_HOLD ? ECANCELED : ENOMEM, read_error(fd));
	close(fd);
}

TEST_F_TIMEOUT(out_of_memory, of_the_system, CORE_TEST_SECONDS)
{
	unsigned long n = rounds(1);

	for (unsigned long i = 0; i < n; i++)
		run_system_out_of_memory(_metadata, variant->mode);
	tally("dumps", n);
	tally("races provoked", n);
}

struct hog {
	struct race_start *start;
	int mib;
};

static int hog(void *argument)
{
	struct hog *hog = argument;

	race_meet(hog->start, 2);
	touch_memory(hog->mib);
	return 0;
}

/* Who is killed gives its memory back, so that the other one can have it. */
TEST_F_TIMEOUT(out_of_memory, of_a_cgroup, CORE_TEST_SECONDS)
{
	struct hog hungry = { .start = &make_page()->start, .mib = VICTIM_MIB };
	struct target t;
	int fd, status;
	pid_t pid;

	cgroup_enter();
	target_start(&t, "victim", "24");
	pid = race_process(hog, &hungry);
	cgroup_leave();
	target_settle(&t);
	oom_spare_everybody();
	oom_prefer(t.pid);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	cgroup_limit_memory(LIMIT_MIB * (unsigned long)MIB);
	oom_expected();
	race_meet(hungry.start, 2);
	status = target_dies_within(&t, DEATH_SECONDS);
	EXPECT_NE(-1, status);
	EXPECT_TRUE(WIFSIGNALED(status));
	/* It tries again while nobody else may be killed. */
	EXPECT_EQ(0, race_process_end(pid));
	oom_over();
	oom_restore();
	EXPECT_EQ(variant->mode == LIVECORE_MODE_HOLD ? ECANCELED : ENOMEM, read_error(fd));
	close(fd);
	tally("dumps", 1);
	tally("races provoked", 1);
}

CORE_TEST_MAIN
