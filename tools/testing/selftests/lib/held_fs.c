// SPDX-License-Identifier: GPL-2.0
/*
 * A file system of one file, which is its root: FUSE, without a library.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "check.h"
#include "held_fs.h"

enum {
	PAGE	= 4096,
	REQUEST	= 1 << 17,
};

static int device;
static int pages_of_file;
static int contents = -1;
static bool is_paused, fails_next;

void held_fs_contents(int fd)
{
	contents = fd;
}

void held_fs_pause(bool paused)
{
	STORE(is_paused, paused);
}

void held_fs_fail_next(void)
{
	STORE(fails_next, true);
}

static void send_reply(const struct fuse_in_header *in, int error, void *body, size_t size)
{
	struct fuse_out_header out = {
		.len = sizeof(out) + size,
		.error = -error,
		.unique = in->unique,
	};
	struct iovec iov[] = { { &out, sizeof(out) }, { body, size } };

	/* ENOENT: nobody waits any more. */
	if (writev(device, iov, 2) < 0 && errno != ENOENT)
		FAIL("FUSE reply %u: %s", in->opcode, strerror(errno));
}

/* Of a file that may be executed, whoever maps it has the beginning in its core. */
static mode_t mode_of_file(void)
{
	return S_IFREG | (contents < 0 ? 0644 : 0755);
}

static void get_attributes(const struct fuse_in_header *in)
{
	struct fuse_attr_out out = {
		.attr_valid = 3600,
		.attr = {
			.ino = 1,
			.size = pages_of_file * PAGE,
			.mode = mode_of_file(),
			.nlink = 1,
			.blksize = PAGE,
		},
	};

	send_reply(in, 0, &out, sizeof(out));
}

static void read_file(const struct fuse_in_header *in)
{
	static char bytes[REQUEST];
	const struct fuse_read_in *read = (const void *)(in + 1);
	uint64_t end = (uint64_t)pages_of_file * PAGE;
	uint64_t left = read->offset < end ? end - read->offset : 0;

	if (LOAD(fails_next)) {
		STORE(fails_next, false);
		send_reply(in, EIO, NULL, 0);
		return;
	}
	while (LOAD(is_paused))
		usleep(1000);
	if (left > read->size)
		left = read->size;
	if (left > REQUEST)
		left = REQUEST;
	memset(bytes, contents < 0 ? 'f' : 0, left);
	if (contents >= 0)
		CHECK(pread(contents, bytes, left, read->offset));
	send_reply(in, 0, bytes, left);
}

static void answer(const struct fuse_in_header *in)
{
	struct fuse_init_out init = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_write = PAGE,
	};
	struct fuse_open_out open = { .open_flags = FOPEN_KEEP_CACHE };
	const struct fuse_open_in *how = (const void *)(in + 1);

	switch (in->opcode) {
	case FUSE_INIT:
		send_reply(in, 0, &init, sizeof(init));
		break;
	case FUSE_GETATTR:
		get_attributes(in);
		break;
	case FUSE_OPEN:
		/* To be mapped so, fuse_file_mmap() throws away what is cached. */
		if (how->flags & O_SYNC)
			open.open_flags |= FOPEN_DIRECT_IO;
		send_reply(in, 0, &open, sizeof(open));
		break;
	case FUSE_READ:
		read_file(in);
		break;
	case FUSE_RELEASE:
		send_reply(in, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		send_reply(in, ENOSYS, NULL, 0);
	}
}

static void *serve(void *argument)
{
	static char request[REQUEST] __attribute__((aligned(8)));
	struct target_slot *slot = argument;

	STORE(slot->tid, gettid());
	/* It ends with the mount, or with the process. */
	while (syscall(SYS_read, device, request, sizeof(request)) > 0)
		answer((const struct fuse_in_header *)request);
	return NULL;
}

void held_fs_mount(struct target_self *self, const char *path, int pages)
{
	struct target_slot *slot = target_slot(self);
	char options[128];
	struct stat st;

	pages_of_file = pages;
	device = CHECK(open("/dev/fuse", O_RDWR | O_CLOEXEC));
	snprintf(options, sizeof(options), "fd=%d,rootmode=%o,user_id=0,group_id=0", device,
		 mode_of_file());
	CHECK(mount("held", path, "fuse", MS_NOSUID | MS_NODEV, options));
	slot->nr = SYS_read;
	target_thread(slot, serve);
	/*
	 * The size is known from now on, and there is no FLUSH: a process that
	 * dies closes its files in some order, and would wait for itself.
	 */
	CHECK(stat(path, &st));
	CHECK(close(CHECK(open(path, O_RDONLY | O_CLOEXEC))));
}
