// SPDX-License-Identifier: GPL-2.0
/*
 * What nobody should do with the sysctls, and with `core`: each is refused with
 * the errno that it is meant to be, or done right.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#include "bad_input.h"
#include "live.h"
#include "missing_page.h"

/* target_page.value[] */
enum { MISSING = MEMORY + 1, UFFD };

/* Sysctls */

static const char * const knobs[] = {
	"livecore_enable", "livecore_mode", "livecore_contents", "livecore_blocked",
	"livecore_timeout_ms", "livecore_abort", "livecore_stall_ms", "livecore_hold_max_ms",
	"livecore_max_dumps", "livecore_filter_mask",
};

static int knob_open(const char *name, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/sys/kernel/%s", name);
	return open(path, flags | O_CLOEXEC);
}

/* Text that is no number, and numbers that are too large for whatever it is. */
BAD_TEST(sysctls_refuse_garbage)
{
	static const struct {
		const char *text;
		size_t size;
	} garbage[] = {
		{ "x", 1 }, { "-", 1 }, { "+1", 2 }, { "--1", 3 }, { "-1", 2 }, { " ", 1 },
		{ "\n", 1 }, { "\t\n", 2 }, { "\0", 1 }, { "1\0", 2 }, { "\0001", 2 }, { "1x", 2 },
		{ "0x", 2 }, { "0x1g", 4 }, { "1.5", 3 }, { "1,2", 3 }, { "1e3", 3 },
		{ "99999999999999999999", 20 }, { "4294967296", 10 }, { "4294967297", 10 },
		{ "18446744073709551616", 20 }, { "-18446744073709551615", 21 },
		{ "\xff\xff\xff\xff", 4 }, { "%s%n", 4 }, { "/etc/passwd", 11 },
	};
	static char large[3 * PAGE];

	memset(large, '1', sizeof(large));
	for (size_t k = 0; k < ARRAY_SIZE(knobs); k++) {
		long before = sysctl_get(knobs[k]);
		int fd = knob_open(knobs[k], O_WRONLY);

		ASSERT_LE(0, before);
		ASSERT_LE(0, fd);
		for (size_t i = 0; i < ARRAY_SIZE(garbage); i++) {
			EXPECT_EQ(EINVAL, ERRNO(pwrite(fd, garbage[i].text, garbage[i].size, 0)))
				TH_LOG("%s: %zu, %s", knobs[k], i, garbage[i].text);
			EXPECT_EQ(before, sysctl_get(knobs[k]));
		}
		EXPECT_EQ(EINVAL, ERRNO(pwrite(fd, large, sizeof(large), 0)));
		EXPECT_EQ(EFAULT, ERRNO(syscall(SYS_pwrite64, fd, NULL, 1L, 0L)));
		EXPECT_EQ(EFAULT, ERRNO(syscall(SYS_pwrite64, fd, -1L, 1L, 0L)));
		EXPECT_EQ(0, pwrite(fd, "", 0, 0));
		EXPECT_EQ(before, sysctl_get(knobs[k]));
		close(fd);
	}
}

/* What the kernel takes for a number is one: other bases, and space around it. */
BAD_TEST(sysctls_take_what_others_take)
{
	static const char * const fives[] = { "5", " 5", "5\n", "\t5\n", "0x5", "05", "5 x" };

	for (size_t i = 0; i < ARRAY_SIZE(fives); i++) {
		sysctl_set("livecore_timeout_ms", 7);
		EXPECT_EQ(0, sysctl_try("livecore_timeout_ms", fives[i]));
		EXPECT_EQ(5, sysctl_get("livecore_timeout_ms"))
			TH_LOG("'%s'", fives[i]);
	}
}

/* Each write is a number; what is not at the start is ignored. */
BAD_TEST(sysctls_are_written_at_once)
{
	char text[32];
	int fd = knob_open("livecore_timeout_ms", O_RDWR);

	ASSERT_LE(0, fd);
	EXPECT_EQ(2, pwrite(fd, "11", 2, 0));
	EXPECT_EQ(11, sysctl_get("livecore_timeout_ms"));
	EXPECT_EQ(2, pwrite(fd, "77", 2, 5));
	EXPECT_EQ(1, pwrite(fd, "x", 1, 1));
	EXPECT_EQ(11, sysctl_get("livecore_timeout_ms"));
	/* The same with reading: in one piece, or what of it there is room for. */
	EXPECT_EQ(2, pwrite(fd, "60", 2, 0));
	EXPECT_EQ(1, pread(fd, text, 1, 0));
	EXPECT_EQ('6', text[0]);
	EXPECT_EQ(0, pread(fd, text, sizeof(text), 3));
	EXPECT_EQ(3, pread(fd, text, sizeof(text), 0));
	EXPECT_EQ(0, memcmp(text, "60\n", 3));
	EXPECT_EQ(EFAULT, ERRNO(syscall(SYS_pread64, fd, NULL, 16L, 0L)));
	close(fd);
}

/* Errors other than that nobody but root may write, while everybody may know. */
static int wrong_opens(void)
{
	int wrong = 0;

	for (size_t k = 0; k < ARRAY_SIZE(knobs); k++) {
		wrong += ERRNO(knob_open(knobs[k], O_WRONLY)) != EACCES;
		wrong += ERRNO(knob_open(knobs[k], O_RDWR)) != EACCES;
		wrong += knob_open(knobs[k], O_RDONLY) < 0;
	}
	return wrong;
}

BAD_TEST(sysctls_are_roots)
{
	EXPECT_EQ(0, outcome_as(become_a, wrong_opens));
	EXPECT_EQ(0, outcome_as(become_a_as_root_of_userns, wrong_opens));
	EXPECT_EQ(0, outcome_as(become_a_with_ptrace, wrong_opens));
}

/* Another value, which it may have. */
static void next_value(const char *knob, char text[32])
{
	long value = sysctl_get(knob);

	snprintf(text, 32, "%ld", value ? value - 1 : value + 1);
}

/* Errors other than that root may open, but not write; or values that have changed. */
static int wrong_writes(void)
{
	int wrong = 0;

	for (size_t k = 0; k < ARRAY_SIZE(knobs); k++) {
		long before = sysctl_get(knobs[k]);
		char text[32];

		next_value(knobs[k], text);
		wrong += sysctl_try(knobs[k], text) != -EPERM;
		wrong += sysctl_get(knobs[k]) != before;
		/* Nor what it has. */
		snprintf(text, sizeof(text), "%ld", before);
		wrong += sysctl_try(knobs[k], text) != -EPERM;
	}
	return wrong;
}

/* To be root is not enough. */
BAD_TEST(sysctls_take_ptrace)
{
	EXPECT_EQ(0, outcome_as(become_root_without_ptrace, wrong_writes));
	EXPECT_EQ(0, outcome_as(become_root_without_caps, wrong_writes));
	for (size_t k = 0; k < ARRAY_SIZE(knobs); k++) {
		char text[32];

		next_value(knobs[k], text);
		EXPECT_EQ(0, sysctl_try(knobs[k], text))
			TH_LOG("%s=%s", knobs[k], text);
		EXPECT_EQ(atol(text), sysctl_get(knobs[k]));
	}
}

/* Flags of open */

BAD_TEST(flags_of_open)
{
	static const struct {
		int flags;
		int error;
	} tried[] = {
		{ O_WRONLY, EINVAL },
		{ O_ACCMODE, EINVAL },
		{ O_WRONLY | O_TRUNC | O_CREAT, EINVAL },
		{ O_DIRECT, EINVAL },
		{ O_RDWR | O_DIRECT, EINVAL },
		{ O_DIRECTORY, ENOTDIR },
		{ O_CREAT | O_EXCL, EEXIST },
		{ O_TMPFILE | O_RDWR, ENOTDIR },
		{ O_TMPFILE, EINVAL },
		{ O_CREAT, 0 },
		{ O_TRUNC, 0 },
		{ O_RDWR | O_TRUNC | O_APPEND, 0 },
		{ O_NONBLOCK | O_NOFOLLOW | O_NOATIME | O_SYNC | O_ASYNC | O_NOCTTY, 0 },
		{ O_PATH, 0 },
		{ O_PATH | O_RDWR | O_DIRECT | O_NOFOLLOW, 0 },
	};
	struct image image, again;
	struct target t;
	char path[64];

	begin(_metadata, &t, "0", &image);
	entry_of(path, sizeof(path), t.pid, "core");
	for (size_t i = 0; i < ARRAY_SIZE(tried); i++) {
		int flags = tried[i].flags;
		int fd = open(path, flags | O_CLOEXEC, 0600);

		EXPECT_EQ(tried[i].error, fd < 0 ? errno : 0)
			TH_LOG("%#o", flags);
		if (fd >= 0 && !(flags & (O_PATH | O_ACCMODE))) {
			ASSERT_EQ(0, image_read(&again, fd));
			EXPECT_EQ(image.size, again.size);
			image_free(&again);
		}
		if (fd >= 0)
			close(fd);
		/* Whichever it was, it is over. */
		EXPECT_TRUE(target_runs(&t));
		ASSERT_EQ(0, image_dump(&again, t.pid));
		image_free(&again);
	}
	end(_metadata, &t, &image);
}

/* Calls that are not for it */

BAD_TEST(calls_that_are_refused)
{
	static char * const none[] = { NULL };
	struct image image;
	struct target t;
	char bytes[64];

	begin(_metadata, &t, "0", &image);
	for (int write_too = 0; write_too <= 1; write_too++) {
		int fd = write_too ? live_dump(t.pid, NULL) : core_open(t.pid);
		int write_error = write_too ? EINVAL : EBADF;
		struct stat st;

		ASSERT_LE(0, fd);
		EXPECT_EQ(ENODEV, ERRNO((long)mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0)));
		EXPECT_EQ(ENODEV, ERRNO((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0)));
		EXPECT_EQ(write_too ? ENODEV : EACCES,
			  ERRNO((long)mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, fd, 0)));
		EXPECT_EQ(write_error, ERRNO(write(fd, "x", 1)));
		EXPECT_EQ(write_error, ERRNO(pwrite(fd, "x", 1, 0)));
		EXPECT_EQ(write_too ? EOPNOTSUPP : EBADF, ERRNO(fallocate(fd, 0, 0, PAGE)));
		EXPECT_EQ(write_too ? 0 : EINVAL, ERRNO(ftruncate(fd, 0)));
		EXPECT_EQ(EINVAL, ERRNO(fsync(fd)));
		EXPECT_EQ(ENOTDIR, ERRNO(fchdir(fd)));
		EXPECT_EQ(ENOTDIR, ERRNO(openat(fd, "x", O_RDONLY)));
		EXPECT_EQ(ENOTDIR, ERRNO(syscall(SYS_getdents64, fd, bytes, sizeof(bytes))));
		EXPECT_EQ(EPERM, ERRNO(fchmod(fd, 0644)));
		EXPECT_EQ(EACCES, ERRNO(syscall(SYS_execveat, fd, "", none, none,
						AT_EMPTY_PATH)));
		EXPECT_EQ(EOPNOTSUPP, ERRNO(fsetxattr(fd, "user.x", "", 0, 0)));
		EXPECT_EQ(EINVAL, ERRNO(fcntl(fd, F_SETFL, O_DIRECT)));
		EXPECT_EQ(EOPNOTSUPP, ERRNO(preadv2(fd, &(struct iovec){ bytes, 8 }, 1, 0,
						    RWF_NOWAIT)));
		EXPECT_EQ(EINVAL, ERRNO(pread(fd, bytes, 8, -1)));
		EXPECT_EQ(EINVAL, ERRNO(pread(fd, bytes, 8, INT64_MIN)));
		EXPECT_EQ(EFAULT, ERRNO(syscall(SYS_pread64, fd, bytes, -1L, 0L)));
		EXPECT_EQ(0, pread(fd, bytes, 8, INT64_MAX - 8));
		EXPECT_EQ(EINVAL, ERRNO(pread(fd, bytes, 8, INT64_MAX - 7)));
		EXPECT_EQ(ENXIO, ERRNO(lseek(fd, INT64_MAX, SEEK_DATA)));
		EXPECT_EQ(ENXIO, ERRNO(lseek(fd, -1, SEEK_HOLE)));
		EXPECT_EQ(EINVAL, ERRNO(lseek(fd, INT64_MAX, SEEK_END)));
		/* Nothing of that has changed it. */
		ASSERT_EQ(0, fstat(fd, &st));
		EXPECT_EQ(image.size, st.st_size);
		EXPECT_EQ(S_IFREG | 0600, st.st_mode);
		EXPECT_EQ(LIVECORE_STATE_HELD, live_info_of(fd).state);
		close(fd);
	}
	end(_metadata, &t, &image);
}

/* What the kernel itself has for any file. */
BAD_TEST(ioctls_of_any_file)
{
	struct image image;
	struct target t;
	int fd, value;

	begin(_metadata, &t, "0", &image);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(100, lseek(fd, 100, SEEK_SET));
	EXPECT_EQ(0, ioctl(fd, FIONREAD, &value));
	EXPECT_EQ(image.size - 100, value);
	value = 1;
	EXPECT_EQ(0, ioctl(fd, FIONBIO, &value));
	EXPECT_EQ(0, ioctl(fd, FIOCLEX));
	EXPECT_EQ(ENOTTY, ERRNO(ioctl(fd, FS_IOC_GETFLAGS, &value)));
	EXPECT_EQ(ENOTTY, ERRNO(ioctl(fd, TIOCGWINSZ, &value)));
	EXPECT_EQ(EOPNOTSUPP, ERRNO(ioctl(fd, FIFREEZE, 0)));
	EXPECT_EQ(ENOTTY, ERRNO(ioctl(fd, 0, 0)));
	EXPECT_EQ(ENOTTY, ERRNO(ioctl(fd, UINT32_MAX, -1L)));
	/* The same numbers with a size or a direction in them are others. */
	EXPECT_EQ(ENOTTY, ERRNO(ioctl(fd, _IOR(LIVECORE_IOC_TYPE, 0x83, struct livecore_info),
				      &value)));
	EXPECT_EQ(ENOTTY, ERRNO(ioctl(fd, _IOW(LIVECORE_IOC_TYPE, 0x82, int), &value)));
	EXPECT_EQ(LIVECORE_STATE_HELD, live_info_of(fd).state);
	close(fd);
	end(_metadata, &t, &image);
}

/* Readers of other kinds */

enum { FAR = 3, /* GiB */ MAX_SEGMENTS = 16 };

/* Has much memory, of which the last page was written. */
TARGET(large)
{
	size_t size = (size_t)FAR << 30;
	char *memory = CHECK_POINTER(mmap(NULL, size, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));

	memset(memory + size - PAGE, 'f', PAGE);
	self->page->value[MEMORY] = (uintptr_t)memory + size - PAGE;
	target_spinners(self, 1);
	return target_serve(self);
}

/* Behind the 2 GiB at which procfs ends the files that are its own. */
BAD_TEST(by_sendfile_far_behind)
{
	int fd, copy = CHECK(memfd_create("copy", MFD_CLOEXEC));
	struct {
		Elf64_Ehdr ehdr;
		Elf64_Phdr phdr[MAX_SEGMENTS];
	} head;
	char bytes[PAGE], sent[PAGE];
	struct target t;
	off_t at = 0;

	target_start(&t, "large", NULL);
	target_settle(&t);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(sizeof(head), pread(fd, &head, sizeof(head), 0));
	for (int i = 1; i < head.ehdr.e_phnum && i < MAX_SEGMENTS; i++)
		if (head.phdr[i].p_vaddr <= t.page->value[MEMORY] &&
		    t.page->value[MEMORY] - head.phdr[i].p_vaddr < head.phdr[i].p_filesz)
			at = head.phdr[i].p_offset + t.page->value[MEMORY] -
			     head.phdr[i].p_vaddr;
	ASSERT_LT(2L << 30, at);
	ASSERT_EQ(PAGE, pread(fd, bytes, PAGE, at));
	EXPECT_EQ('f', bytes[0]);
	EXPECT_EQ(PAGE, sendfile(copy, fd, &at, PAGE));
	EXPECT_EQ(PAGE, pread(copy, sent, PAGE, 0));
	EXPECT_EQ(0, memcmp(bytes, sent, PAGE));
	close(copy);
	close(fd);
	end(_metadata, &t, NULL);
}

/* The kernel reads for others: a loop device by a thread of its own, into its own pages. */
BAD_TEST(by_a_loop_device)
{
	char *bytes = CHECK_POINTER(malloc(HEAP));
	int control, number, fd, loop;
	struct image image;
	struct target t;
	char device[32];
	size_t size;

	begin(_metadata, &t, "0", &image);
	image_free(&image);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, image_read(&image, fd));
	/* Built in on other kernels. */
	if (system("modprobe -q loop"))
		fprintf(stderr, "# no module called loop\n");
	control = CHECK(open("/dev/loop-control", O_RDWR | O_CLOEXEC));
	number = CHECK(ioctl(control, LOOP_CTL_GET_FREE));
	snprintf(device, sizeof(device), "/dev/loop%d", number);
	loop = CHECK(open(device, O_RDONLY | O_CLOEXEC));
	ASSERT_EQ(0, ioctl(loop, LOOP_SET_FD, fd));
	size = image.size < HEAP ? image.size : HEAP;
	EXPECT_EQ(size, read(loop, bytes, size));
	EXPECT_EQ(0, memcmp(bytes, image.data, size));
	/* It has the file, whoever has closed it; and is ended as anybody is. */
	close(fd);
	EXPECT_EQ(-EBUSY, core_open(t.pid));
	sysctl_set("livecore_enable", 0);
	EXPECT_TRUE(target_runs(&t));
	CHECK(ioctl(loop, BLKFLSBUF, 0));
	EXPECT_EQ(EIO, ERRNO(pread(loop, bytes, PAGE, 0)));
	CHECK(ioctl(loop, LOOP_CLR_FD, 0));
	close(loop);
	close(control);
	free(bytes);
	end(_metadata, &t, &image);
	EXPECT_TRUE(module_unloads());
	EXPECT_EQ(0, module_load());
}

/* As a module, and as swap, it is none. */
BAD_TEST(as_what_it_is_not)
{
	struct image image;
	struct target t;
	char path[64];
	int fd;

	begin(_metadata, &t, "0", &image);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	entry_of(path, sizeof(path), t.pid, "core");
	EXPECT_EQ(ENOEXEC, ERRNO(syscall(SYS_finit_module, fd, "", 0)));
	EXPECT_EQ(LIVECORE_STATE_HELD, live_info_of(fd).state);
	EXPECT_NE(0, ERRNO(swapon(path, 0)));
	close(fd);
	/* This one opens it, and lets it go. */
	EXPECT_NE(0, ERRNO(mount(path, self->directory, "ext4", 0, NULL)));
	EXPECT_TRUE(EVENTUALLY((fd = core_open(t.pid)) >= 0));
	close(fd);
	end(_metadata, &t, &image);
}

BAD_TEST(by_asynchronous_io)
{
	static char bytes[2][PAGE];
	aio_context_t context = 0;
	struct io_event event;
	struct image image;
	struct iocb block = {
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_buf = (uintptr_t)bytes[0],
		.aio_nbytes = PAGE,
	};
	struct iocb *blocks[] = { &block };
	struct target t;
	int fd;

	begin(_metadata, &t, "0", &image);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	CHECK(syscall(SYS_io_setup, 8, &context));
	for (off_t at = 0; at < 4 * PAGE; at += PAGE) {
		block.aio_fildes = fd;
		block.aio_offset = at;
		ASSERT_EQ(1, syscall(SYS_io_submit, context, 1, blocks));
		ASSERT_EQ(1, syscall(SYS_io_getevents, context, 1, 1, &event, NULL));
		EXPECT_EQ(PAGE, event.res);
		EXPECT_EQ(PAGE, pread(fd, bytes[1], PAGE, at));
		EXPECT_EQ(0, memcmp(bytes[0], bytes[1], PAGE));
	}
	/* Flags and operations that it does not have. */
	block.aio_rw_flags = RWF_NOWAIT;
	EXPECT_EQ(EOPNOTSUPP, ERRNO(syscall(SYS_io_submit, context, 1, blocks)));
	block.aio_rw_flags = 0;
	block.aio_lio_opcode = IOCB_CMD_PWRITE;
	EXPECT_EQ(EBADF, ERRNO(syscall(SYS_io_submit, context, 1, blocks)));
	block.aio_lio_opcode = IOCB_CMD_FSYNC;
	EXPECT_EQ(EINVAL, ERRNO(syscall(SYS_io_submit, context, 1, blocks)));
	CHECK(syscall(SYS_io_destroy, context));
	close(fd);
	end(_metadata, &t, &image);
}

/* Buffers */

/* The memory that is read is that which it is read into. */
static int read_into_itself(void)
{
	static unsigned char pattern[HEAP] __attribute__((aligned(PAGE)));
	struct image image;
	int fd, wrong = 0;

	for (int i = 0; i < HEAP; i++)
		pattern[i] = i * 7 + i / PAGE;
	fd = CHECK(core_open(getpid()));
	CHECK_ZERO(image_read(&image, fd));
	for (size_t i = 0; i < image_nr_loads(&image); i++) {
		const Elf64_Phdr *load = image_load(&image, i);
		uint64_t address = (uintptr_t)pattern;
		off_t at = load->p_offset + (address - load->p_vaddr);

		if (address < load->p_vaddr || address - load->p_vaddr >= load->p_filesz)
			continue;
		/* Each page to where it is, and then all of it by one page further. */
		wrong += pread(fd, pattern, HEAP, at) != HEAP;
		for (int k = 0; k < HEAP; k++)
			wrong += pattern[k] != (unsigned char)(k * 7 + k / PAGE);
		wrong += pread(fd, pattern + PAGE, HEAP - PAGE, at) != HEAP - PAGE;
		wrong += pattern[PAGE] != pattern[0];
	}
	image_free(&image);
	close(fd);
	return wrong;
}

BAD_TEST(memory_into_itself)
{
	pid_t child;
	int status;

	sysctl_set("livecore_enable", 3);
	fflush(NULL);
	child = CHECK(fork());
	if (!child)
		_exit(!!read_into_itself());
	CHECK(waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
}

struct supplier {
	struct missing_page page;
	uint64_t progress;
};

static void *supply(void *argument)
{
	static const char zeros[PAGE];
	struct supplier *supplier = argument;
	struct pollfd fault = { .fd = supplier->page.fd, .events = POLLIN };

	CHECK(poll(&fault, 1, EVENT_SECONDS * 1000));
	STORE(supplier->progress, 1);
	missing_page_supply(supplier->page.fd, (uintptr_t)supplier->page.address, zeros);
	return NULL;
}

/* The page that it is read into is missing, and comes. */
BAD_TEST(buffer_that_is_missing)
{
	struct supplier supplier = {};
	struct image image;
	pthread_t thread;
	struct target t;
	int fd;

	begin(_metadata, &t, "0", &image);
	missing_page_create(&supplier.page);
	CHECK_ZERO(pthread_create(&thread, NULL, supply, &supplier));
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(PAGE, pread(fd, supplier.page.address, PAGE, 0));
	EXPECT_EQ(0, memcmp(supplier.page.address, image.data, sizeof(Elf64_Ehdr)));
	CHECK_ZERO(pthread_join(thread, NULL));
	EXPECT_EQ(1, LOAD(supplier.progress));
	close(fd);
	end(_metadata, &t, &image);
}

/* Whoever has to supply it is the process that is held: the watchdog ends that. */
TARGET(supplies)
{
	static const char zeros[PAGE];

	target_event(self, 'R');
	while (target_command(self)) {
		missing_page_supply(self->page->value[UFFD], self->page->value[MISSING], zeros);
		target_event(self, 's');
	}
	return 0;
}

static struct missing_page missing;
static int reader_fd;

static void *read_into_missing(void *argument)
{
	ssize_t got = pread(reader_fd, missing.address, PAGE, 0);

	(void)argument;
	return (void *)(got < 0 ? -errno : got);
}

BAD_TEST(buffer_that_the_target_supplies)
{
	struct target t;
	pthread_t thread;
	void *result;
	int uffd;

	missing_page_create(&missing);
	/* Where the target inherits it, as a number that both know. */
	uffd = CHECK(dup2(missing.fd, 200));
	target_start(&t, "supplies", NULL);
	t.page->value[UFFD] = uffd;
	t.page->value[MISSING] = (uintptr_t)missing.address;
	sysctl_set("livecore_stall_ms", 1000);
	reader_fd = core_open_in_time(t.pid);
	ASSERT_LE(0, reader_fd);
	CHECK_ZERO(pthread_create(&thread, NULL, read_into_missing, NULL));
	/* It wakes, and is held at once, until the watchdog has come. */
	target_send(&t, 's');
	target_expect(&t, 's');
	CHECK_ZERO(pthread_join(thread, &result));
	EXPECT_EQ(-ETIMEDOUT, (long)result);
	close(reader_fd);
	EXPECT_EQ(0, target_finish(&t));
}

/* Closing while others read */

enum { READERS = 3, CLOSES = 50 };

static int shared_fd;
static uint32_t stop_reading;

/* What it says while it is being closed by another, and opened again. */
static void *read_on(void *argument)
{
	uint32_t *wrong = argument;

	while (!LOAD(stop_reading)) {
		char bytes[3 * PAGE];
		ssize_t got = pread(LOAD(shared_fd), bytes, sizeof(bytes), 0);

		if (got < 0 ? errno != EBADF :
			      got != sizeof(bytes) || memcmp(bytes, ELFMAG, SELFMAG))
			__atomic_add_fetch(wrong, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static bool opens_again(struct target *t, int *fd)
{
	*fd = core_open(t->pid);
	return *fd >= 0;
}

BAD_TEST(closed_while_it_is_read)
{
	pthread_t threads[READERS];
	uint32_t wrong = 0;
	struct target t;
	int fd;

	target_start(&t, "of_user", "0");
	target_settle(&t);
	shared_fd = core_open(t.pid);
	ASSERT_LE(0, shared_fd);
	for (int i = 0; i < READERS; i++)
		CHECK_ZERO(pthread_create(&threads[i], NULL, read_on, &wrong));
	for (int i = 0; i < CLOSES; i++) {
		/* The last who reads it lets it go, and until then it is busy. */
		CHECK(close(LOAD(shared_fd)));
		ASSERT_TRUE(EVENTUALLY(opens_again(&t, &fd)));
		STORE(shared_fd, fd);
	}
	STORE(stop_reading, 1);
	for (int i = 0; i < READERS; i++)
		CHECK_ZERO(pthread_join(threads[i], NULL));
	EXPECT_EQ(0, wrong);
	close(shared_fd);
	end(_metadata, &t, NULL);
}

/* Descriptors that are older than what they are of */

BAD_TEST(descriptors_that_outlive_their_process)
{
	int held, idle, path_fd, again;
	struct livecore_info info;
	struct pollfd event;
	struct target t;
	char bytes[64], path[64];

	target_start(&t, "of_user", "0");
	target_settle(&t);
	idle = live_open(t.pid);
	ASSERT_LE(0, idle);
	held = core_open(t.pid);
	ASSERT_LE(0, held);
	entry_of(path, sizeof(path), t.pid, "core");
	path_fd = CHECK(open(path, O_PATH | O_CLOEXEC));
	target_kill(&t);
	for (int i = 0; i < 2; i++) {
		int error = ERRNO(pread(held, bytes, sizeof(bytes), 0));

		EXPECT_TRUE(error == ESRCH || error == ECANCELED);
		EXPECT_EQ(error, ERRNO(lseek(held, 0, SEEK_DATA)));
		info = live_info_of(held);
		EXPECT_EQ(LIVECORE_STATE_ENDED, info.state);
		EXPECT_EQ(error, info.error);
		EXPECT_EQ(-error, live_release(held));
		EXPECT_LT(0, lseek(held, 0, SEEK_END));
	}
	event = (struct pollfd){ .fd = held, .events = POLLIN };
	EXPECT_EQ(1, poll(&event, 1, 0));
	EXPECT_EQ(POLLIN | POLLERR, event.revents);
	EXPECT_EQ(-ESRCH, live_start(idle));
	EXPECT_EQ(EINVAL, ERRNO(pread(idle, bytes, sizeof(bytes), 0)));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
	again = open(path, O_RDONLY | O_CLOEXEC);
	EXPECT_EQ(-1, again);
	EXPECT_EQ(ESRCH, errno);
	close(held);
	close(idle);
	close(path_fd);
	EXPECT_TRUE(module_unloads());
	EXPECT_EQ(0, module_load());
}

/* An entry that another user has kept, of a module that has gone: dead, and nothing else. */
static int use_dead_entry(int path_fd)
{
	char path[64], bytes[64];
	struct pollfd event = { .events = POLLIN };
	struct livecore_info info;
	off_t at = 0;
	int pipes[2];
	struct stat st;
	int fd;

	become_a();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == EACCES ? 0 : 1;
	CHECK(pipe2(pipes, O_CLOEXEC | O_NONBLOCK));
	event.fd = fd;
	if (ERRNO(read(fd, bytes, 1)) != EINVAL || ERRNO(pread(fd, bytes, 1, 0)) != EINVAL)
		return 2;
	if (ERRNO(lseek(fd, 0, SEEK_DATA)) != ESPIPE || fstat(fd, &st))
		return 3;
	if (live_info(fd, &info) != -ENOTTY || live_start(fd) != -ENOTTY)
		return 4;
	if (!ERRNO(splice(fd, &at, pipes[1], NULL, PAGE, 0)) ||
	    !ERRNO(sendfile(pipes[1], fd, &at, PAGE)))
		return 5;
	if (poll(&event, 1, 0) < 0 || mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED)
		return 6;
	close(fd);
	return 0;
}

BAD_TEST(entries_that_another_user_keeps)
{
	struct target mine, roots;
	int held[2];
	char path[64];

	target_start(&mine, "of_user", "1000");
	target_start(&roots, "of_user", "0");
	entry_of(path, sizeof(path), mine.pid, "core");
	held[0] = CHECK(open(path, O_PATH | O_CLOEXEC));
	entry_of(path, sizeof(path), roots.pid, "core");
	held[1] = CHECK(open(path, O_PATH | O_CLOEXEC));
	for (int round = 0; round < 3; round++) {
		ASSERT_TRUE(module_unloads());
		for (int loaded = 0; loaded <= 1; loaded++) {
			for (int i = 0; i < 2; i++) {
				pid_t child = CHECK(fork());
				int status;

				if (!child)
					_exit(use_dead_entry(held[i]));
				CHECK(waitpid(child, &status, 0));
				EXPECT_EQ(0, status)
					TH_LOG("round %d, entry %d: %#x", round, i, status);
			}
			if (!loaded)
				ASSERT_EQ(0, module_load());
		}
		sysctl_set("livecore_enable", 2);
		EXPECT_EQ(0, open_outcome_of(become_a, mine.pid, "core"));
		EXPECT_EQ(EACCES, open_outcome_of(become_a, roots.pid, "core"));
	}
	close(held[0]);
	close(held[1]);
	end(_metadata, &mine, NULL);
	end(_metadata, &roots, NULL);
}

CORE_TEST_MAIN
