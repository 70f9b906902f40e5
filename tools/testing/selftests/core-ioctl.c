// SPDX-License-Identifier: GPL-2.0
/*
 * open(O_RDWR) and the ioctls: what each takes, refuses and does in each state of
 * a dump, and what LIVECORE_IOC_INFO tells. core-config has the configuration.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>

#include "fixture.h"
#include "live.h"
#include "module.h"
#include "user.h"

enum {
	SPINNERS	= 2,
	PAGE		= 4096,
};

TARGET(spins)
{
	target_spinners(self, SPINNERS);
	return target_serve(self);
}

/* Executes itself when it is told to. */
TARGET(executes)
{
	target_event(self, 'R');
	if (target_command(self))
		execl("/proc/self/exe", "spins", "--target", "spins", "", NULL);
	return 0;
}

static const struct livecore_config nothing_set = { .size = sizeof(nothing_set) };

CORE_TEST(layout_does_not_change)
{
	EXPECT_EQ(LIVECORE_CONFIG_SIZE_VER0, sizeof(struct livecore_config));
	EXPECT_EQ(LIVECORE_INFO_SIZE_VER0, sizeof(struct livecore_info));
	EXPECT_EQ(48, offsetof(struct livecore_info, image_size));
	EXPECT_EQ(48, sizeof(struct livecore_note));
	EXPECT_EQ(64, sizeof(struct livecore_note_thread));
	EXPECT_EQ(0x4c80, LIVECORE_IOC_CONFIG);
	EXPECT_EQ(0x4c81, LIVECORE_IOC_START);
	EXPECT_EQ(0x4c82, LIVECORE_IOC_RELEASE);
	EXPECT_EQ(0x4c83, LIVECORE_IOC_INFO);
}

/* Half of the structure is in a page that cannot be read. */
CORE_TEST(structures_that_end_too_soon)
{
	char *page = CHECK_POINTER(mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	void *edge = page + PAGE - 16;
	struct target t;
	int fd;

	CHECK(mprotect(page + PAGE, PAGE, PROT_NONE));
	target_start(&t, "spins", NULL);
	fd = live_open(t.pid);
	ASSERT_LE(0, fd);
	memcpy(edge, &nothing_set, 16);
	EXPECT_EQ(-EFAULT, live_config(fd, edge));
	*(uint32_t *)edge = LIVECORE_INFO_SIZE_VER0;
	EXPECT_EQ(-1, ioctl(fd, LIVECORE_IOC_INFO, edge));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(0, live_start(fd));
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(sizes_of_info)
{
	unsigned char bytes[sizeof(struct livecore_info) + 16];
	struct livecore_info *info = (void *)bytes;
	struct target t;
	int fd;

	target_start(&t, "spins", NULL);
	fd = live_dump(t.pid, NULL);
	ASSERT_LE(0, fd);
	for (uint32_t size = 0; size <= sizeof(bytes); size++) {
		int error;

		memset(bytes, 0xa5, sizeof(bytes));
		info->size = size;
		error = ioctl(fd, LIVECORE_IOC_INFO, bytes) ? errno : 0;
		if (size < LIVECORE_INFO_SIZE_VER0) {
			EXPECT_EQ(EINVAL, error);
			continue;
		}
		EXPECT_EQ(0, error);
		EXPECT_EQ(1 + SPINNERS, info->threads);
		EXPECT_EQ(0, info->unreadable_pages);
		/* What the kernel does not know is zero; what is behind is not written. */
		for (uint32_t i = sizeof(*info); i < sizeof(bytes); i++)
			EXPECT_EQ(i < size ? 0 : 0xa5, bytes[i]);
	}
	EXPECT_EQ(-1, ioctl(fd, LIVECORE_IOC_INFO, NULL));
	EXPECT_EQ(EFAULT, errno);
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(states_and_their_order)
{
	struct target t;
	char byte;
	int fd;

	target_start(&t, "spins", NULL);
	target_settle(&t);
	fd = live_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(LIVECORE_STATE_IDLE, live_info_of(fd).state);
	EXPECT_EQ(-1, read(fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pread(fd, &byte, 1, 64));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-EINVAL, live_release(fd));
	EXPECT_EQ(-1, ioctl(fd, LIVECORE_IOC_START, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ioctl(fd, _IO(LIVECORE_IOC_TYPE, 0x84), 0));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(-1, ioctl(fd, _IO('M', 0x81), 0));
	EXPECT_EQ(ENOTTY, errno);
	/* Nobody is held by any of that, and nobody else is kept from a dump. */
	EXPECT_TRUE(target_runs(&t));
	EXPECT_FALSE(thread_is_parked(t.pid, t.page->slot[1].tid));
	close(CHECK(core_open(t.pid)));

	EXPECT_EQ(0, live_start(fd));
	EXPECT_EQ(LIVECORE_STATE_HELD, live_info_of(fd).state);
	EXPECT_TRUE(EVENTUALLY(thread_is_parked(t.pid, t.page->slot[1].tid)));
	EXPECT_EQ(-EBUSY, core_open(t.pid));
	EXPECT_EQ(-EBUSY, live_start(fd));
	EXPECT_EQ(-EBUSY, live_config(fd, &nothing_set));
	EXPECT_EQ(1, read(fd, &byte, 1));
	EXPECT_EQ(0x7f, byte);
	EXPECT_EQ(-1, ioctl(fd, LIVECORE_IOC_RELEASE, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(LIVECORE_STATE_HELD, live_info_of(fd).state);

	EXPECT_EQ(0, live_release(fd));
	EXPECT_EQ(LIVECORE_STATE_RELEASED, live_info_of(fd).state);
	EXPECT_EQ(-EBUSY, live_start(fd));
	EXPECT_EQ(-EBUSY, live_config(fd, &nothing_set));
	EXPECT_TRUE(target_runs(&t));
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

enum { RACERS = 8 };

static pthread_barrier_t barrier;

static void *race(void *argument)
{
	int fd = *(int *)argument;

	pthread_barrier_wait(&barrier);
	return (void *)(long)live_start(fd);
}

/* By several threads at once, it is started once. */
CORE_TEST(one_start_wins)
{
	struct target t;

	target_start(&t, "spins", NULL);
	target_settle(&t);
	CHECK_ZERO(pthread_barrier_init(&barrier, NULL, RACERS));
	for (int round = 0; round < 5; round++) {
		pthread_t thread[RACERS];
		int won = 0, fd;

		fd = live_open(t.pid);
		ASSERT_LE(0, fd);
		for (int i = 0; i < RACERS; i++)
			CHECK_ZERO(pthread_create(&thread[i], NULL, race, &fd));
		for (int i = 0; i < RACERS; i++) {
			void *error;

			CHECK_ZERO(pthread_join(thread[i], &error));
			won += !error;
			if (error)
				EXPECT_EQ(-EBUSY, (long)error);
		}
		EXPECT_EQ(1, won);
		EXPECT_EQ(LIVECORE_STATE_HELD, live_info_of(fd).state);
		close(fd);
		EXPECT_TRUE(target_runs(&t));
	}
	EXPECT_EQ(0, target_finish(&t));
}

/* It was the same dump as open(O_RDONLY) makes. */
CORE_TEST(start_is_like_open)
{
	struct image by_open, by_start;
	const char *before;
	struct target t;
	int fd;

	target_start(&t, "spins", NULL);
	target_settle(&t);
	before = fingerprint(t.pid);
	ASSERT_EQ(0, image_dump(&by_open, t.pid));
	fd = live_dump(t.pid, NULL);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, image_read(&by_start, fd));
	EXPECT_EQ(by_open.size, by_start.size);
	EXPECT_EQ(by_open.nr_notes, by_start.nr_notes);
	EXPECT_EQ(by_start.size, live_info_of(fd).image_size);
	EXPECT_EQ(by_start.size, lseek(fd, 0, SEEK_END));
	close(fd);
	image_free(&by_open);
	image_free(&by_start);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(info_of_a_dump)
{
	struct livecore_info info;
	struct image image;
	struct target t;
	double begin;
	int fd;

	target_start(&t, "spins", NULL);
	target_settle(&t);
	for (int by_start = 0; by_start <= 1; by_start++) {
		uint64_t held_ns, most_ns;

		begin = seconds_now();
		fd = by_start ? live_open(t.pid) : core_open(t.pid);
		ASSERT_LE(0, fd);
		if (by_start) {
			info = live_info_of(fd);
			EXPECT_EQ(sizeof(info), info.size);
			EXPECT_EQ(LIVECORE_STATE_IDLE, info.state);
			EXPECT_EQ(0, info.threads);
			EXPECT_EQ(0, info.image_size);
			EXPECT_EQ(0, info.held_ns);
			EXPECT_EQ(0, live_start(fd));
		}
		info = live_info_of(fd);
		most_ns = (seconds_now() - begin) * 1e9;
		EXPECT_EQ(sizeof(info), info.size);
		EXPECT_EQ(LIVECORE_STATE_HELD, info.state);
		EXPECT_EQ(0, info.error);
		EXPECT_EQ(LIVECORE_MODE_HOLD, info.mode);
		EXPECT_EQ(LIVECORE_CONTENTS_FULL, info.contents);
		EXPECT_EQ(1 + SPINNERS, info.threads);
		EXPECT_EQ(1, info.in_place);
		EXPECT_EQ(SPINNERS, info.parked);
		EXPECT_EQ(0, info.running + info.zeroed + info.caller + info.moved);
		EXPECT_LT(0, info.hold_ns);
		EXPECT_LE(info.hold_ns, info.held_ns);
		EXPECT_LE(info.held_ns, most_ns);
		EXPECT_EQ(0, info.read_bytes);
		EXPECT_EQ(0, info.hole_bytes);
		held_ns = info.held_ns;

		ASSERT_EQ(0, image_read(&image, fd));
		info = live_info_of(fd);
		EXPECT_EQ(image.size, info.image_size);
		EXPECT_EQ(image.size, info.read_bytes);
		EXPECT_GE(image.size, info.hole_bytes);
		EXPECT_EQ(0, info.unreadable_pages);
		EXPECT_LT(held_ns, info.held_ns);

		EXPECT_EQ(0, live_release(fd));
		info = live_info_of(fd);
		EXPECT_EQ(LIVECORE_STATE_RELEASED, info.state);
		EXPECT_EQ(0, info.error);
		EXPECT_EQ(1 + SPINNERS, info.threads);
		/* It does not go on. */
		held_ns = info.held_ns;
		EXPECT_TRUE(target_runs(&t));
		EXPECT_EQ(held_ns, live_info_of(fd).held_ns);
		image_free(&image);
		close(fd);
	}
	EXPECT_EQ(0, target_finish(&t));
}

/* Twice the bytes, when they are read twice. */
CORE_TEST(info_counts_what_was_read)
{
	static char bytes[3 * PAGE];
	struct target t;
	int fd;

	target_start(&t, "spins", NULL);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(sizeof(bytes), pread(fd, bytes, sizeof(bytes), 0));
	EXPECT_EQ(sizeof(bytes), live_info_of(fd).read_bytes);
	EXPECT_EQ(sizeof(bytes), pread(fd, bytes, sizeof(bytes), 0));
	EXPECT_EQ(2 * sizeof(bytes), live_info_of(fd).read_bytes);
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(info_of_a_dump_that_ended)
{
	struct livecore_info info;
	struct target t;
	char byte;
	int fd;

	target_start(&t, "spins", NULL);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	sysctl_set("livecore_enable", 0);
	EXPECT_EQ(-1, read(fd, &byte, 1));
	EXPECT_EQ(ECANCELED, errno);
	info = live_info_of(fd);
	EXPECT_EQ(LIVECORE_STATE_ENDED, info.state);
	EXPECT_EQ(ECANCELED, info.error);
	EXPECT_EQ(1 + SPINNERS, info.threads);
	EXPECT_TRUE(target_runs(&t));
	close(fd);

	/* Also for one that is not started then. */
	sysctl_set("livecore_enable", 1);
	fd = live_open(t.pid);
	ASSERT_LE(0, fd);
	sysctl_set("livecore_enable", 0);
	EXPECT_EQ(-EPERM, live_start(fd));
	EXPECT_TRUE(target_runs(&t));
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

/*
 * The threads run on, and write: their notes stay what they are, and memory is
 * as it is when it is read.
 */
CORE_TEST(release)
{
	uint64_t counter = offsetof(struct target_page, slot[1].counter);
	struct mapping *list;
	struct image held, again;
	uint64_t address = 0;
	struct target t;
	size_t n, notes;
	int fd;

	target_start(&t, "spins", NULL);
	target_settle(&t);
	list = mapping_list(t.pid, &n);
	for (size_t i = 0; i < n; i++)
		if (strstr(list[i].path, "memfd:target"))
			address = list[i].start + counter;
	free(list);
	ASSERT_NE(0, address);
	/* The page that both see is shared memory: in the core by default. */
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, image_read(&held, fd));
	EXPECT_EQ(LOAD(t.page->slot[1].counter), *(uint64_t *)image_at(&held, address, 8));

	EXPECT_EQ(0, live_release(fd));
	EXPECT_TRUE(target_runs(&t));
	EXPECT_FALSE(thread_is_parked(t.pid, t.page->slot[1].tid));
	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	ASSERT_EQ(0, image_read(&again, fd));
	notes = held.phdr[0].p_offset + held.phdr[0].p_filesz;
	EXPECT_EQ(held.size, again.size);
	EXPECT_EQ(0, memcmp(held.data, again.data, notes));
	EXPECT_NE(*(uint64_t *)image_at(&held, address, 8),
		  *(uint64_t *)image_at(&again, address, 8));
	EXPECT_EQ(LIVECORE_STATE_RELEASED, live_info_of(fd).state);
	/* Twice does no harm. */
	live_release(fd);
	EXPECT_EQ(LIVECORE_STATE_RELEASED, live_info_of(fd).state);
	image_free(&held);
	image_free(&again);
	close(fd);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(released_process_may_exit)
{
	struct target t;
	char bytes[64];
	int fd;

	target_start(&t, "spins", NULL);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, live_release(fd));
	EXPECT_EQ(0, target_finish(&t));
	/* There is no memory any more. */
	EXPECT_EQ(-1, pread(fd, bytes, sizeof(bytes), 0));
	EXPECT_EQ(ESRCH, errno);
	EXPECT_EQ(ESRCH, live_info_of(fd).error);
	close(fd);
}

CORE_TEST(open_flags)
{
	char directory[] = "/tmp/livecore-XXXXXX";
	char path[64];
	struct target t;

	target_start(&t, "spins", NULL);
	snprintf(path, sizeof(path), "/proc/%d/core", t.pid);
	EXPECT_EQ(-1, open(path, O_WRONLY | O_CLOEXEC));
	EXPECT_EQ(EINVAL, errno);

	CHECK_POINTER(mkdtemp(directory));
	CHECK(unshare(CLONE_NEWNS));
	CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK(mount("proc", directory, "proc", MS_RDONLY, NULL));
	snprintf(path, sizeof(path), "%s/%d/core", directory, t.pid);
	EXPECT_EQ(-1, open(path, O_RDWR | O_CLOEXEC));
	EXPECT_EQ(EROFS, errno);
	close(CHECK(open(path, O_RDONLY | O_CLOEXEC)));
	CHECK(umount(directory));
	CHECK(rmdir(directory));
	EXPECT_EQ(0, target_finish(&t));
}

/* Nothing can be written to it, and CONFIG and START are for O_RDWR. */
CORE_TEST(read_only_descriptor)
{
	struct target t;
	int fd;

	target_start(&t, "spins", NULL);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EBUSY, live_config(fd, &nothing_set));
	EXPECT_EQ(-EBUSY, live_start(fd));
	close(fd);
	fd = live_dump(t.pid, NULL);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, write(fd, "", 1));
	EXPECT_EQ(EINVAL, errno);
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

/* START by another process, to which the descriptor was passed. */
CORE_TEST(descriptor_of_somebody_else)
{
	static const become_t become[] = { become_b, become_root_without_ptrace, become_root };
	struct target t;
	int fd;

	sysctl_set("livecore_enable", 2);
	target_start(&t, "spins", NULL);
	fd = live_open(t.pid);
	ASSERT_LE(0, fd);
	for (size_t i = 0; i < ARRAY_SIZE(become); i++) {
		pid_t child = CHECK(fork());
		int status;

		if (!child) {
			become[i]();
			_exit(-live_start(fd));
		}
		ASSERT_EQ(child, waitpid(child, &status, 0));
		EXPECT_EQ(EPERM, WEXITSTATUS(status));
	}
	EXPECT_EQ(LIVECORE_STATE_IDLE, live_info_of(fd).state);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, live_start(fd));
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

static bool has_executed(pid_t pid)
{
	char *text = proc_text_of(pid, "cmdline");
	bool has = !strcmp(text, "spins");

	free(text);
	return has;
}

CORE_TEST(exec_before_start)
{
	const char *before;
	struct target t;
	int fd;

	target_start(&t, "executes", NULL);
	fd = live_open(t.pid);
	ASSERT_LE(0, fd);
	target_send(&t, 'x');
	target_expect(&t, 'R');
	ASSERT_TRUE(has_executed(t.pid));
	EXPECT_EQ(-ESRCH, live_start(fd));
	target_settle(&t);
	before = fingerprint(t.pid);
	EXPECT_EQ(-ESRCH, live_start(fd));
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	/* The new one can be dumped. */
	close(CHECK(core_open(t.pid)));
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(exit_before_start)
{
	struct target t;
	int fd;

	target_start(&t, "spins", NULL);
	fd = live_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, target_finish(&t));
	EXPECT_EQ(-ESRCH, live_start(fd));
	EXPECT_EQ(LIVECORE_STATE_IDLE, live_info_of(fd).state);
	close(fd);
}

/* A descriptor keeps the module, started or not; a START that failed does not. */
CORE_TEST(module_is_let_go)
{
	struct target t;
	int fd;

	target_start(&t, "spins", NULL);
	fd = live_open(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(-EWOULDBLOCK, module_unload());
	EXPECT_EQ(0, live_start(fd));
	ASSERT_EQ(-EWOULDBLOCK, module_unload());
	close(fd);
	fd = live_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, target_finish(&t));
	EXPECT_EQ(-ESRCH, live_start(fd));
	ASSERT_EQ(-EWOULDBLOCK, module_unload());
	close(fd);
	EXPECT_TRUE(module_unloads());
	EXPECT_EQ(0, module_load());
}

/* As a program of 32 bits calls: the same numbers and the same structures. */
static long call32(long nr, long a, long b, long c)
{
	long result;

	asm volatile("int $0x80"
		     : "=a" (result)
		     : "0" (nr), "b" (a), "c" (b), "d" (c)
		     : "r8", "r9", "r10", "r11", "memory");
	return (int32_t)result;
}

enum { NR32_IOCTL = 54, NR32_GETPID = 20 };

CORE_TEST(callers_of_32_bits)
{
	void *low = CHECK_POINTER(mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0));
	struct livecore_config *config = low;
	struct livecore_info *info = low;
	struct target t;
	int fd;

	ASSERT_EQ(getpid(), call32(NR32_GETPID, 0, 0, 0));
	target_start(&t, "spins", NULL);
	fd = live_open(t.pid);
	ASSERT_LE(0, fd);
	*config = (struct livecore_config){
		.size = sizeof(*config),
		.set = LIVECORE_SET_CONTENTS,
		.contents = LIVECORE_CONTENTS_REGISTERS,
	};
	EXPECT_EQ(0, call32(NR32_IOCTL, fd, LIVECORE_IOC_CONFIG, (long)config));
	config->set = 1U << 31;
	EXPECT_EQ(-EINVAL, call32(NR32_IOCTL, fd, LIVECORE_IOC_CONFIG, (long)config));
	EXPECT_EQ(-EINVAL, call32(NR32_IOCTL, fd, LIVECORE_IOC_START, 1));
	EXPECT_EQ(-ENOTTY, call32(NR32_IOCTL, fd, _IO(LIVECORE_IOC_TYPE, 0x84), 0));
	EXPECT_EQ(0, call32(NR32_IOCTL, fd, LIVECORE_IOC_START, 0));
	memset(low, 0xa5, PAGE);
	info->size = sizeof(*info);
	EXPECT_EQ(0, call32(NR32_IOCTL, fd, LIVECORE_IOC_INFO, (long)info));
	EXPECT_EQ(LIVECORE_STATE_HELD, info->state);
	EXPECT_EQ(LIVECORE_CONTENTS_REGISTERS, info->contents);
	EXPECT_EQ(1 + SPINNERS, info->threads);
	EXPECT_EQ(lseek(fd, 0, SEEK_END), info->image_size);
	EXPECT_EQ(0, info->unreadable_pages);
	EXPECT_EQ(0, call32(NR32_IOCTL, fd, LIVECORE_IOC_RELEASE, 0));
	EXPECT_EQ(LIVECORE_STATE_RELEASED, live_info_of(fd).state);
	EXPECT_TRUE(target_runs(&t));
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
