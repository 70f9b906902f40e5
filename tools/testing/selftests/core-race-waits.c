// SPDX-License-Identifier: GPL-2.0
/*
 * Processes whose threads, or whose readers, wait for one another in the
 * kernel while they are dumped: whatever waits for a held thread goes on by
 * itself when the watchdog has let that go, and everybody gets what is due.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fixture.h"
#include "held_fs.h"
#include "live.h"
#include "race.h"
#include "ring.h"
#include "tally.h"

enum {
	PAGE		= 4096,
	MIB		= 1 << 20,
	DUMPS		= 25,
	STALL_MS	= 1000,
	/* Ten times that, and what emulation takes. */
	END_SECONDS	= 30,
};

/* target_page.value[] of all of them. */
enum {
	WRONG,			/* the line where something was not as it should be */
	MEMORY,
	FD,
	GO,
	RESULT,
};

static struct target_page *our_page;

static void is_wrong(int line)
{
	STORE(our_page->value[WRONG], line);
}

#define WRONG_UNLESS(condition)						\
do {									\
	if (!(condition))						\
		is_wrong(__LINE__);					\
} while (0)

static void start_thread(struct target_self *self, int nr, void *(*function)(void *))
{
	struct target_slot *slot = target_slot(self);

	slot->nr = nr;
	target_thread(slot, function);
}

/* A turn of a loop that ends with the test. */
static bool next_turn(struct target_slot *slot)
{
	STORE(slot->tid, gettid());
	__atomic_add_fetch(&slot->counter, 1, __ATOMIC_SEQ_CST);
	return !LOAD(our_page->stop);
}

/* One dump after the other, of any kind: each is opened, held, and read to its end. */
static void dump_over_and_over(struct __test_metadata *_metadata, struct target *t,
			       void (*check)(const struct target *t, const struct image *image))
{
	unsigned long n = rounds(DUMPS);

	for (unsigned long i = 0; i < n; i++) {
		struct livecore_config config = {
			.size = sizeof(config),
			.set = LIVECORE_SET_MODE | LIVECORE_SET_CONTENTS,
			.mode = race_random(2),
			.contents = check ? LIVECORE_CONTENTS_FULL : race_random(3),
		};
		int fd = live_dump(t->pid, &config);
		struct image image;
		uint64_t turns;
		bool held;

		ASSERT_LE(0, fd);
		held = live_info_of(fd).state == LIVECORE_STATE_HELD;
		turns = target_turns(t);
		ASSERT_EQ(0, image_read(&image, fd));
		EXPECT_TRUE(!held || turns == target_turns(t));
		EXPECT_EQ(0, live_count(&image, LIVECORE_THREAD_ZEROED));
		if (check)
			check(t, &image);
		close(fd);
		image_free(&image);
		EXPECT_TRUE(race_nobody_parked(t->pid));
		race_delay();
	}
	EXPECT_TRUE(target_runs(t));
	EXPECT_EQ(0, LOAD(t->page->value[WRONG]));
	tally("dumps", n);
	tally("races provoked", n);
}

/* io_uring: a thread of the kernel's submits, others of the kernel's read. */

/* One request, and its result; the poller is woken if it has gone to sleep. */
static int ring_do(struct ring *ring, const struct io_uring_sqe *request)
{
	uint32_t head = LOAD(RING(ring, cq, head));
	struct io_uring_cqe *cqes = (void *)(ring->rings + ring->params.cq_off.cqes);
	struct io_uring_cqe *done = &cqes[head & RING(ring, cq, ring_mask)];
	unsigned int flags = IORING_ENTER_GETEVENTS;
	int result;

	ring_put(ring, request);
	if (LOAD(RING(ring, sq, flags)) & IORING_SQ_NEED_WAKEUP)
		flags |= IORING_ENTER_SQ_WAKEUP;
	while (LOAD(RING(ring, cq, tail)) == head) {
		long got = syscall(SYS_io_uring_enter, ring->fd, 0, 1, flags, NULL, 0);

		if (got < 0) {
			is_wrong(errno * 1000);
			return -errno;
		}
		flags |= IORING_ENTER_SQ_WAKEUP;
	}
	WRONG_UNLESS(done->user_data == request->user_data);
	result = done->res;
	STORE(RING(ring, cq, head), head + 1);
	return result;
}

static void *use_ring(void *argument)
{
	struct target_slot *slot = argument;
	struct ring ring;
	int pair[2];

	ring_create(&ring, IORING_SETUP_SQPOLL);
	CHECK(pipe2(pair, O_CLOEXEC));
	while (next_turn(slot)) {
		struct io_uring_sqe request = {
			.opcode = IORING_OP_NOP,
			.user_data = slot->counter,
		};
		char byte = slot->counter, seen = !byte;

		WRONG_UNLESS(!ring_do(&ring, &request));
		request.opcode = IORING_OP_WRITE;
		request.fd = pair[1];
		request.addr = (uintptr_t)&byte;
		request.len = 1;
		/* By a worker. */
		request.flags = IOSQE_ASYNC;
		WRONG_UNLESS(ring_do(&ring, &request) == 1);
		request.opcode = IORING_OP_READ;
		request.fd = pair[0];
		request.addr = (uintptr_t)&seen;
		WRONG_UNLESS(ring_do(&ring, &request) == 1);
		WRONG_UNLESS(seen == byte);
	}
	return NULL;
}

TARGET(ring_user)
{
	our_page = self->page;
	for (int i = 0; i < 2; i++)
		start_thread(self, SPINS, use_ring);
	return target_serve(self);
}

static void check_workers(const struct target *t, const struct image *image)
{
	/* The leader and two; the kernel's have no user mode. */
	if (image->nr_threads != 3)
		FAIL("%zu threads", image->nr_threads);
	if (!(live_note(image)->inexact & LIVECORE_INEXACT_WORKERS))
		FAIL("no word of the workers of %d", t->pid);
}

CORE_TEST(io_uring_with_a_poller)
{
	struct target t;

	target_start(&t, "ring_user", NULL);
	target_settle(&t);
	dump_over_and_over(_metadata, &t, check_workers);
	EXPECT_EQ(0, target_finish(&t));
}

/* AIO: what completes is told to a thread that sleeps for it. */

static void *use_aio(void *argument)
{
	struct target_slot *slot = argument;
	aio_context_t context = 0;
	int pair[2];

	CHECK(syscall(SYS_io_setup, 4, &context));
	CHECK(pipe2(pair, O_CLOEXEC));
	while (next_turn(slot)) {
		struct iocb poll_pipe = {
			.aio_data = slot->counter,
			.aio_lio_opcode = IOCB_CMD_POLL,
			.aio_fildes = pair[0],
			.aio_buf = POLLIN,
		};
		struct iocb *requests[] = { &poll_pipe };
		struct io_event event = {};
		char byte;

		WRONG_UNLESS(syscall(SYS_io_submit, context, 1, requests) == 1);
		/* Another thread writes. */
		slot->value[0] = pair[1];
		STORE(slot->value[1], slot->counter);
		WRONG_UNLESS(syscall(SYS_io_getevents, context, 1, 1, &event, NULL) == 1);
		WRONG_UNLESS(event.data == slot->counter && (event.res & POLLIN));
		WRONG_UNLESS(read(pair[0], &byte, 1) == 1);
	}
	return NULL;
}

static void *write_for_aio(void *argument)
{
	struct target_slot *slot = argument, *other = slot - 1;
	uint64_t done = 0;

	while (next_turn(slot)) {
		if (LOAD(other->value[1]) == done) {
			sched_yield();
			continue;
		}
		done = LOAD(other->value[1]);
		WRONG_UNLESS(write(other->value[0], "", 1) == 1);
	}
	/* It may wait for one more. */
	CHECK(write(other->value[0], "", 1));
	return NULL;
}

TARGET(aio_user)
{
	our_page = self->page;
	start_thread(self, SPINS, use_aio);
	start_thread(self, SPINS, write_for_aio);
	return target_serve(self);
}

CORE_TEST(aio)
{
	struct target t;

	target_start(&t, "aio_user", NULL);
	target_settle(&t);
	dump_over_and_over(_metadata, &t, NULL);
	EXPECT_EQ(0, target_finish(&t));
}

/* Memory that one thread throws away and touches, and another one fills. */

enum { MONITORED = 8, FILLED = 0x66 };

static void *monitor(void *argument)
{
	static char bytes[PAGE] __attribute__((aligned(PAGE)));
	struct target_slot *slot = argument;
	struct uffd_msg message;

	memset(bytes, FILLED, sizeof(bytes));
	STORE(slot->tid, gettid());
	while (read(slot->value[0], &message, sizeof(message)) == sizeof(message)) {
		struct uffdio_copy copy = {
			.dst = message.arg.pagefault.address & ~(uint64_t)(PAGE - 1),
			.src = (uintptr_t)bytes,
			.len = PAGE,
		};

		/* Another fault of the same page may have been first. */
		WRONG_UNLESS(!ioctl(slot->value[0], UFFDIO_COPY, &copy) || errno == EEXIST ||
			     errno == EAGAIN);
		__atomic_add_fetch(&slot->counter, 1, __ATOMIC_SEQ_CST);
	}
	is_wrong(__LINE__);
	return NULL;
}

static void *touch_monitored(void *argument)
{
	struct target_slot *slot = argument;
	unsigned char *memory = (void *)our_page->value[MEMORY];

	while (next_turn(slot)) {
		WRONG_UNLESS(!madvise(memory, MONITORED * PAGE, MADV_DONTNEED));
		for (int i = 0; i < MONITORED; i++)
			WRONG_UNLESS(LOAD(memory[i * PAGE]) == FILLED);
	}
	return NULL;
}

TARGET(monitored)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range.len = MONITORED * PAGE,
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct target_slot *slot;
	int fd;

	our_page = self->page;
	range.range.start = (uintptr_t)CHECK_POINTER(mmap(NULL, MONITORED * PAGE,
							  PROT_READ | PROT_WRITE,
							  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	fd = CHECK(syscall(SYS_userfaultfd, O_CLOEXEC));
	CHECK(ioctl(fd, UFFDIO_API, &api));
	CHECK(ioctl(fd, UFFDIO_REGISTER, &range));
	self->page->value[MEMORY] = range.range.start;
	slot = target_slot(self);
	slot->nr = SPINS;
	slot->value[0] = fd;
	target_thread(slot, monitor);
	start_thread(self, SPINS, touch_monitored);
	return target_serve(self);
}

/* Each of the pages is there, or is not. */
static void check_monitored(const struct target *t, const struct image *image)
{
	const unsigned char *bytes = image_at(image, t->page->value[MEMORY], MONITORED * PAGE);

	if (!bytes)
		FAIL("the memory is not in the image");
	for (int i = 0; i < MONITORED * PAGE; i++)
		if (bytes[i] != bytes[i / PAGE * PAGE] || (bytes[i] && bytes[i] != FILLED))
			FAIL("byte %d of the memory is %#x", i, bytes[i]);
}

CORE_TEST(userfaultfd_whose_monitor_is_held)
{
	struct target t;

	target_start(&t, "monitored", NULL);
	target_settle(&t);
	dump_over_and_over(_metadata, &t, check_monitored);
	EXPECT_EQ(0, target_finish(&t));
}

/* A system call that another thread, or another process, decides about. */

#define SUPERVISED	SYS_getpgid
enum { ANSWER = 1000 };

static int install_filter(void)
{
	struct sock_filter instructions[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SUPERVISED, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(instructions), instructions };

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	return CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			     SECCOMP_FILTER_FLAG_NEW_LISTENER, &program));
}

static void *be_supervised(void *argument)
{
	struct target_slot *slot = argument;

	STORE(our_page->value[FD], install_filter() + 1);
	while (next_turn(slot))
		WRONG_UNLESS(syscall(SUPERVISED, slot->counter) ==
			     (long)(slot->counter + ANSWER));
	return NULL;
}

/* Answers one call through the listener: false when nobody is there any more. */
static bool answer_call(int listener)
{
	struct seccomp_notif call = {};
	struct seccomp_notif_resp answer = {};

	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call))
		return false;
	answer.id = call.id;
	answer.val = call.data.args[0] + ANSWER;
	return !ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

static void *supervise(void *argument)
{
	struct target_slot *slot = argument;

	while (!LOAD(our_page->value[FD]))
		usleep(1000);
	while (next_turn(slot))
		WRONG_UNLESS(answer_call(our_page->value[FD] - 1));
	return NULL;
}

TARGET(supervised)
{
	our_page = self->page;
	start_thread(self, SPINS, be_supervised);
	start_thread(self, SPINS, supervise);
	target_serve(self);
	/* One of them may wait for the other, which has gone. */
	_exit(0);
}

CORE_TEST(seccomp_with_a_thread_that_decides)
{
	struct target t;

	target_start(&t, "supervised", NULL);
	target_settle(&t);
	dump_over_and_over(_metadata, &t, NULL);
	EXPECT_EQ(0, target_finish(&t));
}

/* Supervises whoever has sent it a listener: the test, by pidfd_getfd(). */
TARGET(supervisor)
{
	int pidfd, listener;

	our_page = self->page;
	target_spinners(self, 1);
	target_event(self, 'R');
	target_command(self);
	pidfd = CHECK(syscall(SYS_pidfd_open, self->page->value[RESULT], 0));
	listener = CHECK(syscall(SYS_pidfd_getfd, pidfd, self->page->value[FD], 0));
	close(pidfd);
	target_event(self, 's');
	while (answer_call(listener))
		;
	close(listener);
	while (target_command(self))
		;
	return 0;
}

static int read_under_supervision(void *argument)
{
	struct target *t = argument;
	int fd, listener = install_filter();
	char byte;

	t->page->value[FD] = listener;
	STORE(t->page->value[RESULT], getpid());
	while (!LOAD(t->page->value[GO]))
		usleep(1000);
	close(listener);
	fd = CHECK(core_open_in_time(t->pid));
	/* The one who is to decide is held. */
	if (syscall(SUPERVISED, 1) != 1 + ANSWER)
		return 255;
	return pread(fd, &byte, 1, 0) < 0 ? errno : 0;
}

CORE_RACE(seccomp_of_the_reader, 1)
{
	struct target t;
	double begin;
	pid_t reader;

	sysctl_set("livecore_stall_ms", STALL_MS);
	target_start(&t, "supervisor", NULL);
	target_settle(&t);
	reader = race_process(read_under_supervision, &t);
	ASSERT_TRUE(EVENTUALLY(LOAD(t.page->value[RESULT])));
	target_do(&t, 's');
	begin = seconds_now();
	STORE(t.page->value[GO], 1);
	EXPECT_EQ(ETIMEDOUT, race_process_end(reader));
	EXPECT_GT(END_SECONDS, seconds_now() - begin);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

/* fork() of a large process takes long, and keeps its mappings locked. */

enum { LARGE_MIB = 256, LARGEST_MIB = 4096 };

static void *fork_all_the_time(void *argument)
{
	struct target_slot *slot = argument;

	while (next_turn(slot)) {
		pid_t child = fork();
		int status;

		if (!child)
			_exit(slot->counter % 128);
		WRONG_UNLESS(child > 0 && waitpid(child, &status, 0) == child);
		WRONG_UNLESS(WIFEXITED(status) &&
			     WEXITSTATUS(status) == (int)(slot->counter % 128));
	}
	return NULL;
}

/* So many MiB, all of the same page of zeros, but for the first. */
TARGET(large)
{
	size_t size = strtoul(self->argument, NULL, 10) * MIB;
	char *memory = CHECK_POINTER(mmap(NULL, size, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));

	our_page = self->page;
	target_small_pages(memory, size);
	memory[0] = 1;
	CHECK(madvise(memory, size, MADV_POPULATE_READ));
	start_thread(self, SPINS, fork_all_the_time);
	target_spinners(self, 1);
	return target_serve(self);
}

CORE_TEST(fork_of_a_large_process)
{
	unsigned long mib = rounds(LARGE_MIB), n = rounds(DUMPS / 2);
	char argument[16], bytes[PAGE];
	struct target t;

	snprintf(argument, sizeof(argument), "%lu", mib < LARGEST_MIB ? mib : LARGEST_MIB);
	target_start(&t, "large", argument);
	target_settle(&t);
	for (unsigned long i = 0; i < n; i++) {
		struct livecore_config config = {
			.size = sizeof(config),
			.set = LIVECORE_SET_MODE,
			.mode = race_random(2),
		};
		int fd = live_dump(t.pid, &config);

		ASSERT_LE(0, fd);
		EXPECT_EQ(PAGE, pread(fd, bytes, PAGE, 0));
		close(fd);
		EXPECT_TRUE(race_nobody_parked(t.pid));
		race_delay();
	}
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, t.page->value[WRONG]);
	tally("dumps", n);
	tally("races provoked", n);
	EXPECT_EQ(0, target_finish(&t));
}

/* Files that processes serve. */

FIXTURE(served)
{
	struct sysctl_values sysctls;
	char path[2][32];
};

FIXTURE_SETUP(served)
{
	for (int i = 0; i < 2; i++) {
		strcpy(self->path[i], "/tmp/livecore-XXXXXX");
		close(CHECK(mkstemp(self->path[i])));
	}
	sysctl_prepare(&self->sysctls);
}

FIXTURE_TEARDOWN_PARENT(served)
{
	sysctl_restore(&self->sysctls);
	for (int i = 0; i < 2; i++) {
		umount2(self->path[i], MNT_DETACH);
		unlink(self->path[i]);
	}
}

static int cached, uncached;

static void *read_own_file(void *argument)
{
	struct target_slot *slot = argument;
	char byte = 0;

	STORE(slot->tid, gettid());
	WRONG_UNLESS(syscall(SYS_pread64, cached, &byte, 1, 0) == 1 && byte == 'f');
	STORE(slot->counter, 1);
	return NULL;
}

static long map_uncached(void)
{
	register long r10 asm("r10") = MAP_PRIVATE;
	register long r8 asm("r8") = uncached;
	register long r9 asm("r9") = 0;
	long result;

	asm volatile("syscall"
		     : "=a" (result)
		     : "0" (SYS_mmap), "D" (0), "S" (PAGE), "d" (PROT_READ), "r" (r10),
		       "r" (r8), "r" (r9)
		     : "rcx", "r11", "memory");
	return result;
}

static void *map_own_file(void *argument)
{
	struct target_slot *slot = argument;

	STORE(slot->tid, gettid());
	WRONG_UNLESS(map_uncached() > 0);
	STORE(slot->counter, 1);
	return NULL;
}

/*
 * Slot 2 reads the file that the process serves itself, and does not get it
 * while the server is paused; who maps it waits for that.
 */
TARGET(serves_itself)
{
	char command;

	our_page = self->page;
	held_fs_mount(self, self->argument, 4);
	cached = CHECK(open(self->argument, O_RDONLY | O_CLOEXEC));
	uncached = CHECK(open(self->argument, O_RDONLY | O_SYNC | O_CLOEXEC));
	held_fs_pause(true);
	start_thread(self, SYS_pread64, read_own_file);
	target_event(self, 'R');
	while ((command = target_command(self))) {
		if (command == 'm')
			start_thread(self, SYS_mmap, map_own_file);
		if (command == 'p')
			held_fs_pause(false);
		target_event(self, command);
	}
	return 0;
}

static bool sleeps_in_slot(struct target *t, uint32_t n, long nr)
{
	return LOAD(t->page->slot[n].tid) && thread_sleeps_in(t->pid, t->page->slot[n].tid, nr);
}

/* Its mappings are locked for good, before anybody is held: open says so. */
static void map_own_file_once(struct __test_metadata *_metadata, const char *path)
{
	struct image image;
	struct target t;
	double begin;

	sysctl_set("livecore_stall_ms", STALL_MS);
	target_start(&t, "serves_itself", path);
	ASSERT_TRUE(EVENTUALLY(sleeps_in_slot(&t, 2, SYS_pread64)));
	target_do(&t, 'm');
	ASSERT_TRUE(EVENTUALLY(sleeps_in_slot(&t, 3, SYS_mmap)));
	begin = seconds_now();
	EXPECT_EQ(-ETIMEDOUT, core_open(t.pid));
	EXPECT_GT(END_SECONDS, seconds_now() - begin);
	EXPECT_TRUE(race_nobody_parked(t.pid));
	target_do(&t, 'p');
	EXPECT_TRUE(EVENTUALLY(LOAD(t.page->slot[2].counter)));
	EXPECT_TRUE(EVENTUALLY(LOAD(t.page->slot[3].counter)));
	sysctl_set("livecore_stall_ms", 30000);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	image_free(&image);
	EXPECT_EQ(0, t.page->value[WRONG]);
	EXPECT_EQ(0, target_finish(&t));
	CHECK(umount2(path, MNT_DETACH));
}

TEST_F_TIMEOUT(served, maps_its_own_file, CORE_TEST_SECONDS)
{
	unsigned long n = rounds(1);

	for (unsigned long i = 0; i < n; i++)
		map_own_file_once(_metadata, self->path[0]);
	tally("dumps", n);
	tally("races provoked", n);
}

/* Thousands of threads that are all woken while a dump opens. */

enum { THOUSANDS = 1500, MOST_THREADS = 10000 };

static uint32_t alarm_clock;

static void *sleep_until_woken(void *argument)
{
	uint64_t *awake = argument;
	uint32_t now = LOAD(alarm_clock);

	__atomic_add_fetch(&our_page->value[RESULT], 1, __ATOMIC_SEQ_CST);
	while (!LOAD(our_page->stop)) {
		if (syscall(SYS_futex, &alarm_clock, FUTEX_WAIT_PRIVATE, now, NULL, NULL, 0) &&
		    errno != EAGAIN)
			is_wrong(__LINE__);
		if (LOAD(alarm_clock) == now) {
			is_wrong(__LINE__);
			continue;
		}
		now++;
		__atomic_add_fetch(awake, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

TARGET(thousands)
{
	unsigned long n = strtoul(self->argument, NULL, 10);
	pthread_attr_t attributes;
	pthread_t thread;
	char command;

	our_page = self->page;
	CHECK_ZERO(pthread_attr_init(&attributes));
	CHECK_ZERO(pthread_attr_setstacksize(&attributes, 16384));
	for (unsigned long i = 0; i < n; i++)
		CHECK_ZERO(pthread_create(&thread, &attributes, sleep_until_woken,
					  &self->page->value[GO]));
	target_event(self, 'R');
	while ((command = target_command(self))) {
		target_event(self, command);
		__atomic_add_fetch(&alarm_clock, 1, __ATOMIC_SEQ_CST);
		CHECK(syscall(SYS_futex, &alarm_clock, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL,
			      0));
	}
	_exit(0);
}

CORE_TEST(thousands_of_threads_that_wake)
{
	unsigned long threads = rounds(THOUSANDS), wakes = 0;
	char argument[16];
	struct target t;

	if (threads > MOST_THREADS)
		threads = MOST_THREADS;
	snprintf(argument, sizeof(argument), "%lu", threads);
	target_start(&t, "thousands", argument);
	ASSERT_TRUE(EVENTUALLY(LOAD(t.page->value[RESULT]) == threads));
	for (unsigned int i = 0; i < 4; i++) {
		struct livecore_config config = {
			.size = sizeof(config),
			.set = LIVECORE_SET_MODE | LIVECORE_SET_CONTENTS,
			.mode = i % 2,
			.contents = LIVECORE_CONTENTS_REGISTERS,
		};
		struct image image;
		uint64_t awake;
		int fd;

		target_do(&t, 'w');
		wakes++;
		race_delay();
		fd = live_dump(t.pid, &config);
		ASSERT_LE(0, fd);
		awake = LOAD(t.page->value[GO]);
		ASSERT_EQ(0, image_read(&image, fd));
		EXPECT_EQ(1 + threads, image.nr_threads);
		for (size_t n = 0; n < image.nr_threads; n++)
			ASSERT_EQ(1, image.threads[n].nr_prstatus);
		EXPECT_EQ(0, live_count(&image, LIVECORE_THREAD_ZEROED));
		if (live_info_of(fd).state == LIVECORE_STATE_HELD)
			EXPECT_EQ(awake, LOAD(t.page->value[GO]));
		image_free(&image);
		close(fd);
		/* Each of them, and once. */
		EXPECT_TRUE(EVENTUALLY(LOAD(t.page->value[GO]) == wakes * threads));
		EXPECT_TRUE(race_nobody_parked(t.pid));
	}
	EXPECT_EQ(0, t.page->value[WRONG]);
	tally("dumps", 4);
	tally("races provoked", 4 * threads);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
