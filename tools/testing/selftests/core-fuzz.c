// SPDX-License-Identifier: GPL-2.0
/*
 * Any call with any argument on any descriptor of `core`, by several processes
 * and threads at once, while the processes that are dumped are killed, stopped
 * and replaced, and while the sysctls change. Every call gives an errno that it
 * is meant to give; what does not change is the same whenever it is looked at;
 * and in the end nobody is held, and the module goes.
 *
 * LIVECORE_FUZZ_SECONDS says for how long. What each thread does follows from
 * one seed, LIVECORE_SEED; what they do to each other is up to the scheduler.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "fixture.h"
#include "live.h"
#include "module.h"
#include "random.h"
#include "sleepers.h"
#include "tally.h"
#include "user.h"

enum {
	PAGE		= 4096,
	BUFFER		= 64 * PAGE,
	NOTES		= 2 * PAGE,	/* what is compared at a time */
	WORKERS		= 4,		/* processes */
	THREADS		= 3,		/* of each */
	SLOTS		= 6,		/* descriptors that the threads of one process share */
	VICTIMS		= 2,
	STALL_MS	= 5000,		/* for no longer is anybody held by one who forgets */
	WAIT_MS		= 100,
	MAX_COMPLAINTS	= 20,
	DEFAULT_SECONDS	= 20,
	DEBUG_SECONDS	= 180,
};

/* Who is dumped, in shared.pid[]. */
enum {
	SLEEPY, RESTLESS, OF_A, OF_32_BITS, SURVIVORS,
	VICTIM = SURVIVORS,
	WORKER = VICTIM + VICTIMS,
	PIDS = WORKER + WORKERS,
};

/* One sleeper of each kind, and one that runs. */
TARGET(sleepy)
{
	sleepers_start(self);
	target_spinners(self, 1);
	target_serve(self);
	sleepers_clean();
	return 0;
}

static struct target_page *restless_page;

static void *nothing(void *argument)
{
	return argument;
}

/* Maps, unmaps, and makes threads. */
static void *restless(void *argument)
{
	struct target_slot *slot = argument;

	STORE(slot->tid, gettid());
	while (!LOAD(restless_page->stop)) {
		size_t size = (1 + LOAD(slot->counter) % 16) * PAGE;
		char *memory = CHECK_POINTER(mmap(NULL, size, PROT_READ | PROT_WRITE,
						  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		pthread_t thread;

		memory[size / 2] = 1;
		CHECK(mprotect(memory, PAGE, PROT_READ));
		CHECK_ZERO(pthread_create(&thread, NULL, nothing, NULL));
		CHECK_ZERO(pthread_join(thread, NULL));
		CHECK(munmap(memory, size));
		__atomic_add_fetch(&slot->counter, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

TARGET(restless)
{
	struct target_slot *slot = target_slot(self);

	restless_page = self->page;
	slot->nr = SPINS;
	target_thread(slot, restless);
	return target_serve(self);
}

TARGET(of_a)
{
	become_dumpable(USER_A);
	target_spinners(self, 1);
	return target_serve(self);
}

static void handler(int signal)
{
	(void)signal;
}

/* 'x': executes itself. */
TARGET(victim)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
	char command;

	CHECK(sigaction(SIGUSR1, &action, NULL));
	target_spinners(self, 1);
	target_event(self, 'R');
	while ((command = target_command(self)))
		if (command == 'x')
			execl("/proc/self/exe", "victim", "--target", "victim", "", NULL);
	return 0;
}

/* What all of us see. */
static struct {
	uint32_t stop;
	uint32_t complaints;
	uint64_t calls;
	uint64_t dumps;
	pid_t pid[PIDS];
} *shared;

/* Whoever is not a victim. */
static struct target survivors[SURVIVORS];

/* Descriptors on their way from one to another. */
static int mail[2];

/* Of this process; each closed by who takes its number out. */
static int slots[SLOTS];

/* One thread of a worker. */
struct fuzzer {
	struct random random;
	int number;
	bool privileged;
	char *buffer;		/* what is behind it is not mapped */
	char *read_only;
	char bytes[2][NOTES];
};

static void __attribute__((format(printf, 2, 3)))
complain(struct fuzzer *f, const char *format, ...)
{
	char text[256];
	va_list arguments;

	if (__atomic_fetch_add(&shared->complaints, 1, __ATOMIC_SEQ_CST) >= MAX_COMPLAINTS)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	fprintf(stderr, "# fuzzer %d: %s\n", f->number, text);
}

/* Instead of an errno in a list: those of several. */
enum {
	/* What any call on a dump may say once that has ended. */
	ENDED = -1,
	/* Reading: those, and the buffer; before the file, or not started; no page just now. */
	READING = -2,
};

static bool is_among(int error, const int *errors)
{
	static const int ended[] = { ECANCELED, ESRCH, ETIMEDOUT, ENOMEM, 0 };
	static const int reading[] = { ENDED, EFAULT, EINVAL, EAGAIN, 0 };

	for (; *errors; errors++)
		if (error == *errors || (*errors == ENDED && is_among(error, ended)) ||
		    (*errors == READING && is_among(error, reading)))
			return true;
	return false;
}

/* Has the call failed? It is a bug if it did with another errno than those. */
static bool failed_(struct fuzzer *f, const char *where, const char *call, long result,
		    const int *errors)
{
	int error = errno;

	if (result >= 0)
		return false;
	if (!is_among(error, errors))
		complain(f, "%s: %s: %s (%d)", where, call, strerror(error), error);
	return true;
}

#define FAILED(f, result, ...)							\
	failed_(f, __func__, #result, result, (const int[]){ __VA_ARGS__, 0 })

/* Of a call that reads at most @size bytes. */
static void expect_at_most(struct fuzzer *f, const char *call, ssize_t got, uint64_t size)
{
	if (got > 0 && (uint64_t)got > size)
		complain(f, "%s: %zd of %llu bytes", call, got, (unsigned long long)size);
}

/* Sizes, offsets, addresses */

static size_t some_size(struct fuzzer *f)
{
	switch (random_below(&f->random, 8)) {
	case 0:
		return 0;
	case 1:
		return random_below(&f->random, 16);
	case 2:
		return BUFFER;
	case 3:
		return random_next(&f->random) >> random_below(&f->random, 64);
	case 4:
		return PAGE * random_below(&f->random, BUFFER / PAGE);
	default:
		return random_below(&f->random, BUFFER);
	}
}

static off_t some_offset(struct fuzzer *f, uint64_t size)
{
	switch (random_below(&f->random, 10)) {
	case 0:
		return 0;
	case 1:
		return size;
	case 2:
		return size - random_below(&f->random, 2 * PAGE);
	case 3:
		return size + random_below(&f->random, 2 * PAGE);
	case 4:
		return random_next(&f->random) >> random_below(&f->random, 64);
	case 5:
		return -(off_t)random_below(&f->random, PAGE);
	case 6:
		return INT64_MAX - random_below(&f->random, PAGE);
	case 7:
		return (size ? random_below(&f->random, size) : 0) & ~(off_t)(PAGE - 1);
	default:
		return size ? random_below(&f->random, size) : 0;
	}
}

/* Where to: mostly there is room. */
static void *some_buffer(struct fuzzer *f)
{
	void * const bad[] = {
		NULL, (void *)8, (void *)0xffffffff81000000, (void *)0x800000000000,
		(void *)-1L, f->buffer + BUFFER, f->read_only,
	};

	switch (random_below(&f->random, 10)) {
	case 0:
		return RANDOM_OF(&f->random, bad);
	case 1:
		return f->buffer + BUFFER - random_below(&f->random, 3 * PAGE);
	case 2:
		return f->buffer + random_below(&f->random, PAGE);
	default:
		return f->buffer;
	}
}

/* Opening and closing */

/* For how long, and how, in numbers that do not keep anybody for long. */
static uint32_t some_value(struct fuzzer *f)
{
	static const uint32_t values[] = { 0, 1, 2, 3, WAIT_MS, 999, 1000, STALL_MS, UINT32_MAX };

	return RANDOM_OF(&f->random, values);
}

static pid_t somebody(struct fuzzer *f)
{
	const pid_t special[] = {
		1, 2, 0, -1, getpid(), getppid(), gettid(), random_below(&f->random, 1 << 22),
	};

	if (random_one_in(&f->random, 100))
		return RANDOM_OF(&f->random, special);
	if (random_one_in(&f->random, 40))
		return LOAD(shared->pid[WORKER + random_below(&f->random, WORKERS)]);
	if (!f->privileged && random_one_in(&f->random, 2))
		return LOAD(shared->pid[OF_A]);
	return LOAD(shared->pid[random_below(&f->random, WORKER)]);
}

static int some_flags(struct fuzzer *f)
{
	static const int flags[] = {
		O_RDWR, O_RDWR, O_RDWR, O_WRONLY, O_ACCMODE, O_PATH, O_NONBLOCK,
		O_RDWR | O_TRUNC, O_TRUNC, O_DIRECT, O_DIRECTORY, O_CREAT, O_CREAT | O_EXCL,
		O_TMPFILE | O_RDWR, O_NOFOLLOW, O_NOATIME, O_RDWR | O_APPEND | O_SYNC, O_ASYNC,
		O_PATH | O_RDWR | O_NOFOLLOW, O_RDWR | O_DIRECT,
	};

	if (random_one_in(&f->random, 2))
		return O_RDONLY;
	if (random_one_in(&f->random, 10))
		return random_next(&f->random) & 0xffffff;
	return RANDOM_OF(&f->random, flags);
}

static void keep(struct fuzzer *f, int fd)
{
	int *slot = &slots[random_below(&f->random, SLOTS)];
	int former = __atomic_exchange_n(slot, fd, __ATOMIC_SEQ_CST);

	if (former >= 0)
		close(former);
}

/* A descriptor of its own of some dump, as it is now; -1 if none was found. */
static int take(struct fuzzer *f, struct livecore_info *info)
{
	int fd = LOAD(slots[random_below(&f->random, SLOTS)]);

	if (fd < 0)
		return -1;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	/* The number may be something else's by now. */
	if (fd >= 0 && live_info(fd, info)) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool opens_a_dump(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && !(flags & O_PATH) && (flags & O_ACCMODE) == O_RDONLY;
}

static void op_open(struct fuzzer *f)
{
	int flags = some_flags(f) | O_CLOEXEC;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/core", somebody(f));
	fd = open(path, flags, 0600);
	/*
	 * The gate; another dump; the limits; rings; how it was opened; who was
	 * asked for is gone, has no memory, or is not ours to see.
	 */
	if (FAILED(f, fd, ENDED, EPERM, EBUSY, EAGAIN, EDEADLK, EINVAL, ENOENT, EACCES, EEXIST,
		   ENOTDIR))
		return;
	if (opens_a_dump(fd))
		__atomic_add_fetch(&shared->dumps, 1, __ATOMIC_RELAXED);
	keep(f, fd);
}

/* What was opened, O_PATH too, opened once more. */
static void op_reopen(struct fuzzer *f)
{
	int fd = LOAD(slots[random_below(&f->random, SLOTS)]);
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, random_one_in(&f->random, 2) ? O_RDWR : O_RDONLY, O_CLOEXEC);
	/* It may be anything of ours by now: a pipe, a socket. */
	if (FAILED(f, fd, ENDED, EPERM, EBUSY, EAGAIN, EDEADLK, EINVAL, ENOENT, EACCES, ENXIO))
		return;
	if (opens_a_dump(fd))
		__atomic_add_fetch(&shared->dumps, 1, __ATOMIC_RELAXED);
	keep(f, fd);
}

static void op_close(struct fuzzer *f)
{
	keep(f, -1);
}

/* What is true of any dump */

/* Two looks at @size bytes from @offset on, where the image does not change. */
static void expect_same(struct fuzzer *f, int fd, off_t offset, size_t size, const char *what)
{
	ssize_t got[2];

	for (int i = 0; i < 2; i++) {
		got[i] = pread(fd, f->bytes[i], size, offset);
		if (FAILED(f, got[i], READING))
			return;
		expect_at_most(f, what, got[i], size);
	}
	if (memcmp(f->bytes[0], f->bytes[1], got[0] < got[1] ? got[0] : got[1]))
		complain(f, "%s: other bytes at %#jx", what, (uintmax_t)offset);
}

/* Headers and notes are fixed, whatever becomes of the process. */
static void op_notes(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	union {
		Elf64_Ehdr ehdr;
		struct { Elf32_Ehdr ehdr; Elf32_Phdr note; } of_32;
		struct { Elf64_Ehdr ehdr; Elf64_Phdr note; } of_64;
	} head;
	ssize_t got = pread(fd, &head, sizeof(head), 0);
	uint64_t end;

	if (FAILED(f, got, READING))
		return;
	if (got != sizeof(head) || memcmp(&head, ELFMAG, SELFMAG)) {
		complain(f, "%zd bytes of a header", got);
		return;
	}
	end = head.ehdr.e_ident[EI_CLASS] == ELFCLASS64 ?
		head.of_64.note.p_offset + head.of_64.note.p_filesz :
		head.of_32.note.p_offset + head.of_32.note.p_filesz;
	if (info->state != LIVECORE_STATE_IDLE && end > info->image_size)
		complain(f, "notes up to %ju", (uintmax_t)end);
	if (end > NOTES)
		end = random_below(&f->random, end - NOTES) + NOTES;
	else
		end = NOTES;
	expect_same(f, fd, end - NOTES, NOTES / 2, "notes");
}

/* Who is held does not run, and has the memory that it had. */
static void op_held(struct fuzzer *f)
{
	struct target *t = &survivors[random_below(&f->random, SURVIVORS)];
	struct livecore_info info;
	int fd = core_open(t->pid);

	if (fd < 0)
		return;
	__atomic_add_fetch(&shared->dumps, 1, __ATOMIC_RELAXED);
	info = live_info_of(fd);
	for (int i = 0; i < 4; i++) {
		off_t offset = random_below(&f->random, info.image_size);
		uint64_t turns = target_turns(t);
		ssize_t got[2];

		for (int k = 0; k < 2; k++)
			got[k] = pread(fd, f->bytes[k], NOTES, offset);
		turns = target_turns(t) - turns;
		info = live_info_of(fd);
		/* One that has not arrived in time may be on its way still. */
		if (info.state != LIVECORE_STATE_HELD || info.zeroed)
			break;
		if (turns)
			complain(f, "%ju turns of a process that is held", (uintmax_t)turns);
		if (got[0] <= 0 || got[0] != got[1] ||
		    memcmp(f->bytes[0], f->bytes[1], got[0]))
			complain(f, "memory: %zd and %zd bytes at %#jx, not the same", got[0],
				 got[1], (uintmax_t)offset);
	}
	keep(f, fd);
}

static void op_size(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	struct livecore_info after;
	off_t end = lseek(fd, 0, SEEK_END);

	if (FAILED(f, end, EINVAL) || live_info(fd, &after))
		return;
	if (info->state != LIVECORE_STATE_IDLE &&
	    (info->image_size != after.image_size || after.image_size != (uint64_t)end))
		complain(f, "size %ju, %ju, %jd", (uintmax_t)info->image_size,
			 (uintmax_t)after.image_size, (intmax_t)end);
	if (after.state == LIVECORE_STATE_IDLE && end)
		complain(f, "size %jd before START", (intmax_t)end);
	if (info->state == LIVECORE_STATE_ENDED &&
	    (after.state != info->state || after.error != info->error))
		complain(f, "ended with %u, and then %u", info->error, after.error);
	if (after.threads != after.parked + after.in_place + after.running + after.zeroed +
			     after.caller + after.moved)
		complain(f, "%u threads", after.threads);
}

/* Reading */

static void op_read(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	size_t size = some_size(f);
	ssize_t got = read(fd, some_buffer(f), size);

	(void)info;
	FAILED(f, got, READING);
	expect_at_most(f, "read", got, size);
}

static void op_pread(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	off_t offset = some_offset(f, info->image_size);
	uint64_t left = offset >= 0 && (uint64_t)offset < info->image_size ?
			info->image_size - offset : 0;
	size_t size = some_size(f);
	ssize_t got = pread(fd, some_buffer(f), size, offset);

	FAILED(f, got, READING);
	expect_at_most(f, "pread", got, size);
	if (info->state != LIVECORE_STATE_IDLE)
		expect_at_most(f, "pread up to the end", got, left);
}

static void op_preadv2(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	struct iovec iov[16];
	int count = random_below(&f->random, ARRAY_SIZE(iov) + 2) - 1;
	off_t offset = some_offset(f, info->image_size);
	int flags = random_one_in(&f->random, 2) ? 0 : random_below(&f->random, 1 << 10);
	uint64_t size = 0;
	ssize_t got;

	for (size_t i = 0; i < ARRAY_SIZE(iov); i++) {
		iov[i].iov_base = some_buffer(f);
		iov[i].iov_len = some_size(f);
		if ((int)i < count)
			size += iov[i].iov_len;
	}
	got = syscall(SYS_preadv2, fd, random_one_in(&f->random, 50) ? NULL : iov, count, offset,
		      0, flags);
	/* Flags that /proc does not know. */
	FAILED(f, got, READING, EOPNOTSUPP, EPERM);
	expect_at_most(f, "preadv2", got, size);
}

static void op_lseek(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	static const int whences[] = {
		SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_DATA, SEEK_HOLE, SEEK_HOLE, 5, -1,
	};
	int whence = RANDOM_OF(&f->random, whences);
	off_t offset = some_offset(f, info->image_size);
	off_t found = lseek(fd, offset, whence);

	if (whence != SEEK_DATA && whence != SEEK_HOLE) {
		FAILED(f, found, EINVAL, EOVERFLOW);
		return;
	}
	if (FAILED(f, found, READING, ENXIO) || info->state == LIVECORE_STATE_IDLE)
		return;
	if (found < offset || (uint64_t)found > info->image_size)
		complain(f, "lseek(%jd, %d): %jd of %ju", (intmax_t)offset, whence,
			 (intmax_t)found, (uintmax_t)info->image_size);
}

static void op_splice(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	off_t offset = some_offset(f, info->image_size);
	size_t size = some_size(f);
	int from[2], to[2];
	ssize_t got;

	if (pipe2(from, O_CLOEXEC | O_NONBLOCK))
		return;
	if (pipe2(to, O_CLOEXEC | O_NONBLOCK)) {
		close(from[0]);
		close(from[1]);
		return;
	}
	got = splice(fd, random_one_in(&f->random, 2) ? &offset : NULL, from[1], NULL, size,
		     random_below(&f->random, 16));
	FAILED(f, got, READING);
	expect_at_most(f, "splice", got, size);
	if (got > 0) {
		ssize_t copied = tee(from[0], to[1], got, SPLICE_F_NONBLOCK);

		FAILED(f, copied, EAGAIN);
		if (read(from[0], f->buffer, BUFFER) != (got < BUFFER ? got : BUFFER))
			complain(f, "splice of %zd bytes, and then %s", got, strerror(errno));
	}
	/* There is nothing to be spliced into it. */
	got = splice(to[0], NULL, fd, &offset, size, SPLICE_F_NONBLOCK);
	FAILED(f, got, EAGAIN, EBADF, EINVAL);
	for (int i = 0; i < 2; i++) {
		close(from[i]);
		close(to[i]);
	}
}

static void op_sendfile(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	off_t offset = some_offset(f, info->image_size);
	size_t size = some_size(f) % (4 * BUFFER);
	int to = random_one_in(&f->random, 2) ? open("/dev/null", O_WRONLY | O_CLOEXEC) :
						memfd_create("copy", MFD_CLOEXEC);
	ssize_t got;

	if (to < 0)
		return;
	got = sendfile(to, fd, random_one_in(&f->random, 2) ? &offset : NULL, size);
	FAILED(f, got, READING, EOVERFLOW);
	expect_at_most(f, "sendfile", got, size);
	got = sendfile(fd, to, NULL, size);
	FAILED(f, got, EBADF, EINVAL, EOVERFLOW);
	/* Another file system's. */
	got = copy_file_range(fd, &offset, to, NULL, size, 0);
	FAILED(f, got, EBADF, EINVAL, EXDEV, EOVERFLOW, EFBIG);
	close(to);
}

/* Ioctls */

static void op_config(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	static const uint32_t sizes[] = {
		0, 1, 4, LIVECORE_CONFIG_SIZE_VER0 - 1, LIVECORE_CONFIG_SIZE_VER0,
		LIVECORE_CONFIG_SIZE_VER0 + 1, sizeof(struct livecore_config) + 8, PAGE,
		PAGE + 1, UINT32_MAX,
	};
	uint32_t *words = (uint32_t *)f->buffer;
	struct livecore_config *config = (struct livecore_config *)words;
	void *where = config;
	int error;

	(void)info;
	memset(config, random_one_in(&f->random, 8) ? 0xa5 : 0, 2 * PAGE);
	for (size_t i = 1; i < sizeof(*config) / sizeof(*words); i++)
		words[i] = some_value(f);
	config->size = random_one_in(&f->random, 4) ? RANDOM_OF(&f->random, sizes) :
						      sizeof(*config);
	config->set = random_one_in(&f->random, 8) ? random_next(&f->random) :
						     random_below(&f->random, 1 << 8);
	/* Whoever is held by one who is held himself is to be free again soon. */
	if (config->stall_ms > STALL_MS)
		config->stall_ms = STALL_MS;
	if (random_one_in(&f->random, 20))
		where = some_buffer(f);
	error = ioctl(fd, LIVECORE_IOC_CONFIG, where);
	/* Started; more than the sysctls; no snapshots here. */
	FAILED(f, error, EBUSY, EINVAL, E2BIG, EFAULT, EPERM, EOPNOTSUPP);
}

static void op_start(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	int error = ioctl(fd, LIVECORE_IOC_START, (long)random_one_in(&f->random, 20));

	(void)info;
	if (FAILED(f, error, ENDED, EBUSY, EINVAL, EPERM, EAGAIN, EDEADLK, EOPNOTSUPP))
		return;
	__atomic_add_fetch(&shared->dumps, 1, __ATOMIC_RELAXED);
}

static void op_release(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	int error = ioctl(fd, LIVECORE_IOC_RELEASE, (long)random_one_in(&f->random, 20));

	(void)info;
	FAILED(f, error, ENDED, EINVAL);
}

static void op_info(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	static const uint32_t sizes[] = {
		0, 4, LIVECORE_INFO_SIZE_VER0 - 1, LIVECORE_INFO_SIZE_VER0,
		sizeof(struct livecore_info), sizeof(struct livecore_info) + 8, PAGE, PAGE + 1,
		UINT32_MAX,
	};
	char *where = random_one_in(&f->random, 2) ? f->buffer :
		      f->buffer + BUFFER - 4 - random_below(&f->random, 256);
	uint32_t size = RANDOM_OF(&f->random, sizes);
	int error;

	(void)info;
	memcpy(where, &size, sizeof(size));
	error = ioctl(fd, LIVECORE_IOC_INFO, random_one_in(&f->random, 8) ? some_buffer(f) :
					     where);
	FAILED(f, error, EFAULT, EINVAL, E2BIG);
}

/* Of others: those that any file has, and numbers that nobody has. */
static void op_ioctl(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	static const unsigned int numbers[] = {
		FIONREAD, FIONBIO, FIOASYNC, FIOCLEX, FIONCLEX, FIGETBSZ, FIBMAP, FIFREEZE,
		FITHAW, FICLONE, FICLONERANGE, FIDEDUPERANGE, FS_IOC_FIEMAP, FS_IOC_GETFLAGS,
		FS_IOC_SETFLAGS, FS_IOC_FSGETXATTR, FS_IOC_GETVERSION, TCGETS,
	};
	unsigned int number = random_one_in(&f->random, 2) ? RANDOM_OF(&f->random, numbers) :
							     random_next(&f->random);
	int error;

	(void)info;
	memset(f->buffer, random_below(&f->random, 3), PAGE);
	error = ioctl(fd, number, some_buffer(f));
	FAILED(f, error, ENOTTY, EFAULT, EINVAL, EOPNOTSUPP, EPERM, EBADF, EXDEV, EACCES, ENOMEM);
	/* Of ours, those that there are not. */
	number = _IO(LIVECORE_IOC_TYPE, 0x90 + random_below(&f->random, 64));
	if (ioctl(fd, number, f->buffer) != -1 || errno != ENOTTY)
		complain(f, "ioctl %#x is something", number);
}

/* Writing, and what else is not for it */

static void op_write(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	struct iovec iov = { f->buffer, some_size(f) };
	off_t offset = some_offset(f, info->image_size);
	long result;

	switch (random_below(&f->random, 6)) {
	case 0:
		result = write(fd, some_buffer(f), some_size(f));
		break;
	case 1:
		result = pwrite(fd, some_buffer(f), some_size(f), offset);
		break;
	case 2:
		result = syscall(SYS_pwritev2, fd, &iov, 1, offset, 0,
				 random_below(&f->random, 1 << 10));
		break;
	case 3:
		result = fallocate(fd, random_below(&f->random, 1 << 8), offset, some_size(f));
		break;
	case 4:
		/* As with every entry of /proc, root may, and nothing comes of it. */
		FAILED(f, ftruncate(fd, offset), EINVAL, EFBIG, EACCES, EPERM);
		return;
	default:
		result = fsync(fd);
		break;
	}
	if (result >= 0)
		complain(f, "%ld bytes were written", result);
	FAILED(f, result, EBADF, EINVAL, EOPNOTSUPP, EFBIG, EFAULT, ENODEV, EPERM);
}

static void op_mmap(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	off_t offset = some_offset(f, info->image_size);
	size_t size = some_size(f);
	void *at = mmap(NULL, size, random_below(&f->random, 8),
			random_one_in(&f->random, 2) ? MAP_SHARED : MAP_PRIVATE, fd, offset);

	if (at != MAP_FAILED) {
		complain(f, "mmap(%zu, %jd) succeeds", size, (intmax_t)offset);
		munmap(at, size);
		return;
	}
	FAILED(f, -1, ENODEV, EINVAL, EACCES, EPERM, ENOMEM, EOVERFLOW);
}

static void op_file(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	static char * const none[] = { NULL };
	struct statfs fs;
	struct stat st;

	switch (random_below(&f->random, 11)) {
	case 0:
		FAILED(f, fstat(fd, &st), EFAULT);
		break;
	case 1:
		FAILED(f, fstatfs(fd, &fs), EFAULT);
		break;
	case 2:
		FAILED(f, syscall(SYS_getdents64, fd, f->buffer, PAGE), ENOTDIR);
		break;
	case 3:
		FAILED(f, fchdir(fd), ENOTDIR);
		break;
	case 4:
		FAILED(f, openat(fd, "core", O_RDONLY), ENOTDIR);
		break;
	case 5:
		if (!syscall(SYS_execveat, fd, "", none, none, AT_EMPTY_PATH))
			return;
		FAILED(f, -1, EACCES);
		break;
	case 6:
		FAILED(f, fgetxattr(fd, "user.core", f->buffer, PAGE), EOPNOTSUPP, ENODATA,
		       EACCES);
		break;
	case 7:
		FAILED(f, fsetxattr(fd, "user.core", "", 1, 0), EOPNOTSUPP, EPERM, EACCES);
		break;
	case 8:
		FAILED(f, fchmod(fd, 0777), EPERM);
		break;
	case 9:
		FAILED(f, readahead(fd, some_offset(f, info->image_size), some_size(f)), EINVAL);
		break;
	default:
		errno = posix_fadvise(fd, some_offset(f, info->image_size), some_size(f),
				      random_below(&f->random, 8));
		FAILED(f, -!!errno, EINVAL);
		break;
	}
}

static void op_fcntl(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	struct flock lock = {
		.l_type = random_below(&f->random, 3),
		.l_start = some_offset(f, info->image_size),
		.l_len = random_below(&f->random, PAGE),
	};
	int flags = random_next(&f->random) & (O_NONBLOCK | O_APPEND | O_ASYNC | O_DIRECT |
					       O_NOATIME);

	switch (random_below(&f->random, 5)) {
	case 0:
		FAILED(f, fcntl(fd, F_SETFL, flags), EINVAL, EPERM);
		break;
	case 1:
		FAILED(f, fcntl(fd, F_SETLK, &lock), EAGAIN, EACCES, EBADF, EINVAL, EOVERFLOW);
		break;
	case 2:
		FAILED(f, fcntl(fd, F_OFD_SETLK, &lock), EAGAIN, EACCES, EBADF, EINVAL,
		       EOVERFLOW);
		break;
	case 3:
		FAILED(f, flock(fd, LOCK_NB | (random_one_in(&f->random, 2) ? LOCK_EX : LOCK_UN)),
		       EWOULDBLOCK);
		break;
	default:
		FAILED(f, fcntl(fd, F_SETPIPE_SZ, PAGE), EBADF);
		break;
	}
}

static void op_poll(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	struct pollfd event = { .fd = fd, .events = random_next(&f->random) };
	struct epoll_event wanted = { .events = random_next(&f->random) & ~EPOLLEXCLUSIVE };
	int epoll;

	FAILED(f, poll(&event, 1, 0), EINVAL);
	if (info->state == LIVECORE_STATE_ENDED && !(event.revents & POLLERR))
		complain(f, "poll: %#x of a dump that has ended", event.revents);
	if (info->state != LIVECORE_STATE_IDLE && (event.events & ~event.revents & POLLIN))
		complain(f, "poll: %#x of a dump that was started", event.revents);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0)
		return;
	FAILED(f, epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &wanted), EINVAL);
	FAILED(f, epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &wanted), EINVAL, ENOENT);
	FAILED(f, epoll_wait(epoll, &wanted, 1, 0), EINVAL);
	close(epoll);
}

/* Passing it on */

static void op_dup(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	(void)info;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (!FAILED(f, fd, EMFILE))
		keep(f, fd);
}

union control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static void op_send(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	union control control = {};
	struct iovec iov = { "", 1 };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	ssize_t sent;

	(void)info;
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	sent = sendmsg(mail[0], &message, MSG_DONTWAIT);
	FAILED(f, sent, EAGAIN, ENOBUFS, ETOOMANYREFS);
}

static void op_receive(struct fuzzer *f)
{
	union control control = {};
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t got = recvmsg(mail[1], &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *header;
	int fd;

	if (FAILED(f, got, EAGAIN))
		return;
	header = CMSG_FIRSTHDR(&message);
	if (header) {
		memcpy(&fd, CMSG_DATA(header), sizeof(int));
		keep(f, fd);
	}
}

/* A child has it, too, and maybe for longer. */
static void op_fork(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	off_t offset = some_offset(f, info->image_size);
	bool closes_first = random_one_in(&f->random, 2);
	pid_t child = fork();
	int status;

	if (!child) {
		char bytes[64];
		ssize_t got = 0;

		for (int i = 0; i < 4 && got <= (ssize_t)sizeof(bytes); i++) {
			got = pread(fd, bytes, sizeof(bytes), offset);
			lseek(fd, offset, SEEK_DATA);
			ioctl(fd, LIVECORE_IOC_START, 0);
		}
		_exit(got > (ssize_t)sizeof(bytes));
	}
	if (FAILED(f, child, EAGAIN, ENOMEM))
		return;
	if (closes_first)
		op_close(f);
	if (waitpid(child, &status, 0) != child || status)
		complain(f, "the child: status %#x", status);
}

/* Anything at once on a number that others close. */
static void op_racy(struct fuzzer *f)
{
	int fd = LOAD(slots[random_below(&f->random, SLOTS)]);
	struct livecore_info info;
	long result;

	switch (random_below(&f->random, 6)) {
	case 0:
		result = read(fd, f->buffer, some_size(f));
		break;
	case 1:
		result = pread(fd, f->buffer, some_size(f), random_below(&f->random, 1 << 20));
		break;
	case 2:
		result = lseek(fd, random_below(&f->random, 1 << 20), SEEK_DATA);
		break;
	case 3:
		result = ioctl(fd, LIVECORE_IOC_START, 0);
		break;
	case 4:
		result = ioctl(fd, LIVECORE_IOC_RELEASE, 0);
		break;
	default:
		result = live_info(fd, &info);
		break;
	}
	FAILED(f, result, READING, EBADF, ENXIO, ESPIPE, ENOTTY, EBUSY, EPERM, EDEADLK,
	       EOPNOTSUPP);
}

static void op_list(struct fuzzer *f)
{
	int fd = open("/proc/livecore", O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (FAILED(f, fd, ENOENT))
		return;
	while ((got = read(fd, some_buffer(f), 1 + random_below(&f->random, PAGE))) > 0)
		;
	FAILED(f, got, EFAULT);
	close(fd);
}

static void (*const loose[])(struct fuzzer *f) = {
	op_open, op_open, op_open, op_open, op_reopen, op_close, op_held, op_receive, op_racy,
	op_racy, op_list,
};

static void (*const on_a_dump[])(struct fuzzer *f, int fd, const struct livecore_info *info) = {
	op_notes, op_notes, op_size, op_size, op_read, op_pread, op_pread, op_preadv2, op_lseek,
	op_lseek, op_splice, op_sendfile, op_config, op_config, op_start, op_start, op_release,
	op_info, op_ioctl, op_write, op_mmap, op_file, op_fcntl, op_poll, op_dup, op_send, op_fork,
};

/* The processes */

static void *fuzz(void *argument)
{
	struct fuzzer *f = argument;
	uint64_t calls = 0;

	f->buffer = CHECK_POINTER(mmap(NULL, BUFFER + PAGE, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	CHECK(mprotect(f->buffer + BUFFER, PAGE, PROT_NONE));
	f->read_only = CHECK_POINTER(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
					  -1, 0));
	while (!LOAD(shared->stop)) {
		struct livecore_info info;
		int fd = random_one_in(&f->random, 3) ? -1 : take(f, &info);

		if (fd < 0) {
			RANDOM_OF(&f->random, loose)(f);
		} else {
			/* Not for ever. */
			if (info.state == LIVECORE_STATE_IDLE && random_one_in(&f->random, 4))
				op_start(f, fd, &info);
			RANDOM_OF(&f->random, on_a_dump)(f, fd, &info);
			close(fd);
		}
		calls++;
	}
	__atomic_add_fetch(&shared->calls, calls, __ATOMIC_RELAXED);
	return NULL;
}

static pid_t child_of_ours(void)
{
	pid_t parent = getpid();
	pid_t child;

	fflush(NULL);
	child = CHECK(fork());
	if (!child) {
		CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL));
		if (getppid() != parent)
			_exit(1);
	}
	return child;
}

static void work(int number, uint64_t seed)
{
	static struct fuzzer fuzzers[THREADS];
	pthread_t threads[THREADS];

	if (number % 2) {
		become_a();
		CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL));
	}
	for (int i = 0; i < SLOTS; i++)
		slots[i] = -1;
	for (int i = 0; i < THREADS; i++) {
		fuzzers[i].number = number * THREADS + i;
		fuzzers[i].privileged = number % 2 == 0;
		fuzzers[i].random = random_stream(seed, fuzzers[i].number);
		CHECK_ZERO(pthread_create(&threads[i], NULL, fuzz, &fuzzers[i]));
	}
	for (int i = 0; i < THREADS; i++)
		CHECK_ZERO(pthread_join(threads[i], NULL));
	_exit(0);
}

/* Kills, signals, and executes victims, and starts them again. */
static void torment(uint64_t seed)
{
	static const int deadly[] = { SIGKILL, SIGKILL, SIGTERM, SIGABRT, SIGSEGV, SIGXCPU };
	static const int harmless[] = { SIGUSR1, SIGCHLD, SIGSTOP, SIGCONT };
	struct random random = random_stream(seed, WORKERS * THREADS);
	struct target victims[VICTIMS] = {};
	struct rlimit none = {};

	CHECK(setrlimit(RLIMIT_CORE, &none));
	while (!LOAD(shared->stop)) {
		int which = random_below(&random, VICTIMS);
		struct target *t = &victims[which];

		if (!t->pid) {
			target_start(t, "victim", NULL);
			STORE(shared->pid[VICTIM + which], t->pid);
		}
		switch (random_below(&random, 4)) {
		case 0:
			CHECK(kill(t->pid, RANDOM_OF(&random, harmless)));
			break;
		case 1:
			CHECK(kill(t->pid, SIGCONT));
			target_send(t, 'x');
			target_expect(t, 'R');
			break;
		case 2:
			CHECK(kill(t->pid, RANDOM_OF(&random, deadly)));
			CHECK(kill(t->pid, SIGCONT));
			if (target_dies_within(t, EVENT_SECONDS) == -1)
				FAIL("victim %d does not die", t->pid);
			t->pid = 0;
			break;
		default:
			pause_briefly();
			break;
		}
	}
	for (int i = 0; i < VICTIMS; i++)
		if (victims[i].pid)
			target_kill(&victims[i]);
	_exit(0);
}

struct knob {
	const char *name;
	const char *values[8];
};

static const struct knob knobs[] = {
	{ "livecore_mode", { "0", "1", "2", "-1" } },
	{ "livecore_contents", { "0", "1", "2", "2", "3" } },
	{ "livecore_blocked", { "1", "1", "1", "0", "" } },
	{ "livecore_timeout_ms", { "0", "1", "50", "100", "4294967296" } },
	{ "livecore_stall_ms", { "1000", "2000", "5000", "1" } },
	{ "livecore_max_dumps", { "1", "4", "16", "64", "0" } },
	{ "livecore_filter_mask", { "0", "0x7f", "51", "x" } },
	{ "livecore_abort", { "0", "1", "2", "3" } },
	{ "livecore_hold_max_ms", { "0", "1", "100", "5000", "99999999" } },
};

/* Turns every knob, and shuts the gate now and then. */
static void flip(uint64_t seed)
{
	static const char * const gates[] = { "1", "2", "3", "3", "3", "-1", "4" };
	struct random random = random_stream(seed, WORKERS * THREADS + 1);

	while (!LOAD(shared->stop)) {
		const struct knob *knob = &RANDOM_OF(&random, knobs);
		size_t n = 0;
		int error;

		while (n < ARRAY_SIZE(knob->values) && knob->values[n])
			n++;
		error = sysctl_try(knob->name, knob->values[random_below(&random, n)]);
		if (error && error != -EINVAL && error != -ENOENT && error != -EOPNOTSUPP)
			FAIL("%s: %s", knob->name, strerror(-error));
		if (random_one_in(&random, 30)) {
			sysctl_set("livecore_enable", 0);
			sysctl_set("livecore_enable", 3);
		} else if (random_one_in(&random, 10)) {
			sysctl_try("livecore_enable", RANDOM_OF(&random, gates));
		}
		pause_briefly();
	}
	_exit(0);
}

static unsigned int seconds_to_run(void)
{
	const char *wanted = getenv("LIVECORE_FUZZ_SECONDS");
	const char *kernel = getenv("LIVECORE_KERNEL");

	if (wanted && atoi(wanted) > 0)
		return atoi(wanted);
	/* On a debug kernel everything takes long, and is looked at closely. */
	return rounds(kernel && !strncmp(kernel, "debug", 5) ? DEBUG_SECONDS : DEFAULT_SECONDS);
}

/* Whom do we wait for in vain? */
static void show(pid_t pid)
{
	pid_t tid[64];
	size_t n = thread_list(pid, tid, ARRAY_SIZE(tid));

	for (size_t i = 0; i < n && i < ARRAY_SIZE(tid); i++) {
		char *stack = proc_text("%d/task/%d/stack", pid, tid[i]);

		fprintf(stderr, "# %d/%d: %c\n%s\n", pid, tid[i], thread_state(pid, tid[i]),
			stack ? stack : "");
		free(stack);
	}
}

/* The exit status of a child that is to end by itself now. */
static int ends(pid_t pid)
{
	int status;

	if (!EVENTUALLY(waitpid(pid, &status, WNOHANG))) {
		show(pid);
		FAIL("%d does not end", pid);
	}
	return status;
}

/* Is any thread of the system held? */
static bool is_anybody_held(void)
{
	DIR *proc = CHECK_POINTER(opendir("/proc"));
	struct dirent *entry;
	bool held = false;

	while ((entry = readdir(proc))) {
		pid_t pid = atoi(entry->d_name), tid[256];
		size_t n = pid ? thread_list(pid, tid, ARRAY_SIZE(tid)) : 0;

		for (size_t i = 0; i < n && i < ARRAY_SIZE(tid); i++)
			held = held || thread_waits_in(pid, tid[i], "livecore_park");
	}
	closedir(proc);
	return held;
}

TEST_F_TIMEOUT(core, anything, 24 * 3600)
{
	static const char * const names[SURVIVORS] = { "sleepy", "restless", "of_a" };
	pid_t others[2], workers[WORKERS];
	uint64_t seed = random_seed();
	double end;

	shared = CHECK_POINTER(mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, mail));
	sysctl_set("livecore_timeout_ms", WAIT_MS);
	sysctl_set("livecore_stall_ms", STALL_MS);
	sysctl_set("livecore_enable", 3);
	for (int i = 0; i < SURVIVORS; i++) {
		if (!names[i] && __builtin_cpu_supports("avx"))
			target_start_known(&survivors[i], TARGET_32, ". 0x33");
		else
			target_start(&survivors[i], names[i] ?: "sleepy", NULL);
		target_settle(&survivors[i]);
		shared->pid[i] = survivors[i].pid;
	}
	for (int i = 0; i < WORKERS; i++) {
		workers[i] = child_of_ours();
		if (!workers[i])
			work(i, seed);
		STORE(shared->pid[WORKER + i], workers[i]);
	}
	for (int i = 0; i < 2; i++) {
		others[i] = child_of_ours();
		if (!others[i])
			i ? flip(seed) : torment(seed);
	}
	close(mail[0]);
	close(mail[1]);

	end = seconds_now() + seconds_to_run();
	while (seconds_now() < end && !LOAD(shared->complaints))
		pause_briefly();
	STORE(shared->stop, 1);
	for (int i = 0; i < WORKERS; i++)
		EXPECT_EQ(0, ends(workers[i]));
	for (int i = 0; i < 2; i++)
		EXPECT_EQ(0, ends(others[i]));
	EXPECT_EQ(0, shared->complaints);
	EXPECT_LT(0, shared->dumps);

	/* All of theirs is closed: nobody is held, and nothing is left. */
	EXPECT_TRUE(EVENTUALLY(!is_anybody_held()));
	for (int i = 0; i < SURVIVORS; i++) {
		/* The threads of that one turn without counting. */
		EXPECT_TRUE(i == OF_32_BITS || target_runs(&survivors[i]));
		EXPECT_EQ(0, target_finish(&survivors[i]));
	}
	EXPECT_TRUE(module_unloads());
	EXPECT_EQ(0, module_load());
	tally("bad calls", shared->calls);
	tally("dumps", shared->dumps);
}

CORE_TEST_MAIN
