// SPDX-License-Identifier: GPL-2.0
/*
 * Every call on descriptors of `core`, with arguments of any kind, and what it
 * may say (fuzz_calls.h).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "check.h"
#include "fuzz_calls.h"
#include "image.h"
#include "live.h"

enum {
	PAGE	= 4096,
};

/* Of a call that reads at most @size bytes. */
static void expect_at_most(struct fuzzer *f, const char *call, ssize_t got, uint64_t size)
{
	if (got > 0 && (uint64_t)got > size)
		complain(f, "%s: %zd of %llu bytes", call, got, (unsigned long long)size);
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
	if (FAILED(f, fd, FUZZ_ENDED, EPERM, EBUSY, EAGAIN, EDEADLK, EINVAL, ENOENT, EACCES,
		   EEXIST, ENOTDIR))
		return;
	if (opens_a_dump(fd))
		__atomic_add_fetch(&fuzzed->dumps, 1, __ATOMIC_RELAXED);
	keep_dump(f, fd);
}

/* What was opened, O_PATH too, opened once more. */
static void op_reopen(struct fuzzer *f)
{
	int fd = some_dump(f);
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, random_one_in(&f->random, 2) ? O_RDWR : O_RDONLY, O_CLOEXEC);
	/* It may be anything of ours by now: a pipe, a socket. */
	if (FAILED(f, fd, FUZZ_ENDED, EPERM, EBUSY, EAGAIN, EDEADLK, EINVAL, ENOENT, EACCES,
		   ENXIO))
		return;
	if (opens_a_dump(fd))
		__atomic_add_fetch(&fuzzed->dumps, 1, __ATOMIC_RELAXED);
	keep_dump(f, fd);
}

static void op_close(struct fuzzer *f)
{
	keep_dump(f, -1);
}

/* What is true of any dump */

/* Two looks at @size bytes from @offset on, where the image does not change. */
static void expect_same(struct fuzzer *f, int fd, off_t offset, size_t size, const char *what)
{
	ssize_t got[2];

	for (int i = 0; i < 2; i++) {
		got[i] = pread(fd, f->bytes[i], size, offset);
		if (FAILED(f, got[i], FUZZ_READING))
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

	if (FAILED(f, got, FUZZ_READING))
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
	if (end > FUZZ_LOOK)
		end = random_below(&f->random, end - FUZZ_LOOK) + FUZZ_LOOK;
	else
		end = FUZZ_LOOK;
	expect_same(f, fd, end - FUZZ_LOOK, FUZZ_LOOK / 2, "notes");
}

/* Who is held does not run, and has the memory that it had. */
static void op_held(struct fuzzer *f)
{
	struct target *t = &fuzz_survivors[random_below(&f->random, FUZZ_SURVIVORS)];
	struct livecore_info info;
	int fd = core_open(t->pid);

	if (fd < 0)
		return;
	__atomic_add_fetch(&fuzzed->dumps, 1, __ATOMIC_RELAXED);
	info = live_info_of(fd);
	for (int i = 0; i < 4; i++) {
		off_t offset = random_below(&f->random, info.image_size);
		uint64_t turns = target_turns(t);
		ssize_t got[2];

		for (int k = 0; k < 2; k++)
			got[k] = pread(fd, f->bytes[k], FUZZ_LOOK, offset);
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
	keep_dump(f, fd);
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
	FAILED(f, got, FUZZ_READING);
	expect_at_most(f, "read", got, size);
}

static void op_pread(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	off_t offset = some_offset(f, info->image_size);
	uint64_t left = offset >= 0 && (uint64_t)offset < info->image_size ?
			info->image_size - offset : 0;
	size_t size = some_size(f);
	ssize_t got = pread(fd, some_buffer(f), size, offset);

	FAILED(f, got, FUZZ_READING);
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
	FAILED(f, got, FUZZ_READING, EOPNOTSUPP, EPERM);
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
	if (FAILED(f, found, FUZZ_READING, ENXIO) || info->state == LIVECORE_STATE_IDLE)
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
	FAILED(f, got, FUZZ_READING);
	expect_at_most(f, "splice", got, size);
	if (got > 0) {
		ssize_t copied = tee(from[0], to[1], got, SPLICE_F_NONBLOCK);

		FAILED(f, copied, EAGAIN);
		if (got > FUZZ_BUFFER)
			got = FUZZ_BUFFER;
		if (read(from[0], f->buffer, FUZZ_BUFFER) != got)
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
	size_t size = some_size(f) % (4 * FUZZ_BUFFER);
	int to = random_one_in(&f->random, 2) ? open("/dev/null", O_WRONLY | O_CLOEXEC) :
						memfd_create("copy", MFD_CLOEXEC);
	ssize_t got;

	if (to < 0)
		return;
	got = sendfile(to, fd, random_one_in(&f->random, 2) ? &offset : NULL, size);
	FAILED(f, got, FUZZ_READING, EOVERFLOW);
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
	if (config->stall_ms > FUZZ_STALL_MS)
		config->stall_ms = FUZZ_STALL_MS;
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
	if (FAILED(f, error, FUZZ_ENDED, EBUSY, EINVAL, EPERM, EAGAIN, EDEADLK, EOPNOTSUPP))
		return;
	__atomic_add_fetch(&fuzzed->dumps, 1, __ATOMIC_RELAXED);
}

static void op_release(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	int error = ioctl(fd, LIVECORE_IOC_RELEASE, (long)random_one_in(&f->random, 20));

	(void)info;
	FAILED(f, error, FUZZ_ENDED, EINVAL);
}

static void op_info(struct fuzzer *f, int fd, const struct livecore_info *info)
{
	static const uint32_t sizes[] = {
		0, 4, LIVECORE_INFO_SIZE_VER0 - 1, LIVECORE_INFO_SIZE_VER0,
		sizeof(struct livecore_info), sizeof(struct livecore_info) + 8, PAGE, PAGE + 1,
		UINT32_MAX,
	};
	char *where = random_one_in(&f->random, 2) ? f->buffer :
		      f->buffer + FUZZ_BUFFER - 4 - random_below(&f->random, 256);
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
		keep_dump(f, fd);
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
	sent = sendmsg(fuzz_mail[0], &message, MSG_DONTWAIT);
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
	ssize_t got = recvmsg(fuzz_mail[1], &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *header;
	int fd;

	if (FAILED(f, got, EAGAIN))
		return;
	header = CMSG_FIRSTHDR(&message);
	if (header) {
		memcpy(&fd, CMSG_DATA(header), sizeof(int));
		keep_dump(f, fd);
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
	int fd = some_dump(f);
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
	FAILED(f, result, FUZZ_READING, EBADF, ENXIO, ESPIPE, ENOTTY, EBUSY, EPERM, EDEADLK,
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

void fuzz_once(struct fuzzer *f)
{
	struct livecore_info info;
	int fd = random_one_in(&f->random, 3) ? -1 : take_dump(f, &info);

	if (fd < 0) {
		RANDOM_OF(&f->random, loose)(f);
	} else {
		/* Not for ever. */
		if (info.state == LIVECORE_STATE_IDLE && random_one_in(&f->random, 4))
			op_start(f, fd, &info);
		RANDOM_OF(&f->random, on_a_dump)(f, fd, &info);
		close(fd);
	}
}
