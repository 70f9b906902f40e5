// SPDX-License-Identifier: GPL-2.0
/*
 * The image is a file like any other: the same bytes at the same offsets,
 * in whatever pieces and order they are read.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "frame.h"

enum {
	PAGE	= 4096,
	HEAP	= 1 << 20,
	READERS	= 8,
	LARGE	= 3 * 65536,
};

TARGET(with_heap)
{
	unsigned char *heap = CHECK_POINTER(malloc(HEAP));

	for (int i = 0; i < HEAP; i++)
		heap[i] = i * 31 + i / PAGE;
	asm volatile("" : : "r" (heap) : "memory");
	target_spinners(self, 1);
	return target_serve(self);
}

/* The same numbers in every run, so that a failure comes again. */
static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* How many of @rounds random preads differ from the image. */
static int wrong_preads(int fd, const struct image *image, uint64_t seed, int rounds)
{
	unsigned char *bytes = CHECK_POINTER(malloc(LARGE));
	int wrong = 0;

	for (int i = 0; i < rounds; i++) {
		size_t offset = next(&seed) % (image->size + PAGE);
		size_t size = next(&seed) % (i % 4 ? 2 * PAGE : LARGE);
		size_t left = offset < image->size ? image->size - offset : 0;
		ssize_t want = size < left ? size : left;
		ssize_t got = pread(fd, bytes, size, offset);

		if (got == want && !memcmp(bytes, image->data + offset, want))
			continue;
		fprintf(stderr, "# pread(%zu, %zu): %zd instead of %zd, or other bytes\n",
			size, offset, got, want);
		wrong++;
	}
	free(bytes);
	return wrong;
}

FIXTURE(open_core)
{
	struct sysctl_values sysctls;
	struct target target;
	const char *before;
	struct image image;
	int fd;
};

FIXTURE_SETUP(open_core)
{
	sysctl_prepare(&self->sysctls);
	target_start(&self->target, "with_heap", NULL);
	target_settle(&self->target);
	self->before = fingerprint(self->target.pid);
	self->fd = core_open(self->target.pid);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, image_read(&self->image, self->fd));
	ASSERT_LT(HEAP, self->image.size);
}

FIXTURE_TEARDOWN_PARENT(open_core)
{
	/* The target has died with its test. */
	sysctl_restore(&self->sysctls);
}

#define READ_TEST(name)	TEST_F_TIMEOUT(open_core, name, CORE_TEST_SECONDS)

READ_TEST(any_offset)
{
	EXPECT_EQ(0, wrong_preads(self->fd, &self->image, 1, 200));
}

READ_TEST(every_boundary)
{
	size_t size = self->image.size;
	unsigned char bytes[2];

	/* Two bytes across each boundary of a page of the file. */
	for (size_t offset = PAGE - 1; offset < size - 1; offset += PAGE) {
		ASSERT_EQ(2, pread(self->fd, bytes, 2, offset));
		EXPECT_EQ(0, memcmp(bytes, self->image.data + offset, 2))
			TH_LOG("at %#zx", offset);
	}
}

READ_TEST(the_end)
{
	size_t size = self->image.size;
	unsigned char bytes[16];
	struct stat st;

	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(size, st.st_size);
	EXPECT_EQ(0, pread(self->fd, bytes, 16, size));
	EXPECT_EQ(0, pread(self->fd, bytes, 16, size + 100000));
	EXPECT_EQ(3, pread(self->fd, bytes, 16, size - 3));
	EXPECT_EQ(0, read(self->fd, bytes, 16));
	EXPECT_EQ(0, pread(self->fd, bytes, 0, 0));
	EXPECT_EQ(-1, pread(self->fd, bytes, 16, -1));
	EXPECT_EQ(EINVAL, errno);
}

READ_TEST(seeking)
{
	off_t size = self->image.size;
	unsigned char bytes[8];

	EXPECT_EQ(size, lseek(self->fd, 0, SEEK_CUR));
	EXPECT_EQ(1000, lseek(self->fd, 1000, SEEK_SET));
	EXPECT_EQ(8, read(self->fd, bytes, 8));
	EXPECT_EQ(0, memcmp(bytes, self->image.data + 1000, 8));
	EXPECT_EQ(1108, lseek(self->fd, 100, SEEK_CUR));
	EXPECT_EQ(8, read(self->fd, bytes, 8));
	EXPECT_EQ(0, memcmp(bytes, self->image.data + 1108, 8));
	EXPECT_EQ(size, lseek(self->fd, 0, SEEK_END));
	EXPECT_EQ(size - 8, lseek(self->fd, -8, SEEK_END));
	EXPECT_EQ(8, read(self->fd, bytes, 8));
	EXPECT_EQ(0, memcmp(bytes, self->image.data + size - 8, 8));
	EXPECT_EQ(-1, lseek(self->fd, -1, SEEK_SET));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, lseek(self->fd, 0, 77));
	EXPECT_EQ(EINVAL, errno);
	/* A refused seek moves nothing. */
	EXPECT_EQ(size, lseek(self->fd, 0, SEEK_CUR));
}

READ_TEST(scattered)
{
	unsigned char a[5], b[PAGE], c[1];
	struct iovec iov[] = { { a, sizeof(a) }, { b, sizeof(b) }, { c, sizeof(c) } };
	size_t size = sizeof(a) + sizeof(b) + sizeof(c);
	const unsigned char *image = self->image.data;

	ASSERT_EQ(size, preadv(self->fd, iov, ARRAY_SIZE(iov), 2 * PAGE - 7));
	image += 2 * PAGE - 7;
	EXPECT_EQ(0, memcmp(a, image, sizeof(a)));
	EXPECT_EQ(0, memcmp(b, image + sizeof(a), sizeof(b)));
	EXPECT_EQ(0, memcmp(c, image + sizeof(a) + sizeof(b), sizeof(c)));
}

/* A destination that cannot be written: an error, or what was possible. */
READ_TEST(bad_buffer)
{
	unsigned char *two = CHECK_POINTER(mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
						MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	ssize_t got;

	CHECK(munmap(two + PAGE, PAGE));
	EXPECT_EQ(-1, pread(self->fd, two + PAGE, 64, 0));
	EXPECT_EQ(EFAULT, errno);
	got = pread(self->fd, two + PAGE - 32, 64, 0);
	EXPECT_LE(-1, got);
	EXPECT_GE(32, got);
	EXPECT_TRUE(got <= 0 || !memcmp(two + PAGE - 32, self->image.data, got));
	EXPECT_EQ(0, wrong_preads(self->fd, &self->image, 2, 20));
}

READ_TEST(writing_is_refused)
{
	struct stat st;
	char path[64];

	EXPECT_EQ(-1, write(self->fd, "x", 1));
	EXPECT_EQ(EBADF, errno);
	EXPECT_EQ(-1, ftruncate(self->fd, 0));
	EXPECT_EQ(EINVAL, errno);
	snprintf(path, sizeof(path), "/proc/%d/core", self->target.pid);
	/* As with every entry of /proc, root may, and nothing comes of it. */
	EXPECT_EQ(0, truncate(path, 0));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(self->image.size, st.st_size);
	EXPECT_EQ(0, wrong_preads(self->fd, &self->image, 3, 20));
}

struct reader {
	int fd;
	const struct image *image;
	uint64_t seed;
	int wrong;
};

static void *read_alongside(void *argument)
{
	struct reader *reader = argument;

	reader->wrong = wrong_preads(reader->fd, reader->image, reader->seed, 100);
	return NULL;
}

READ_TEST(several_threads_at_once)
{
	struct reader readers[READERS];
	pthread_t threads[READERS];

	for (int i = 0; i < READERS; i++) {
		readers[i] = (struct reader){ self->fd, &self->image, 10 + i, 0 };
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, read_alongside, &readers[i]));
	}
	for (int i = 0; i < READERS; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
		EXPECT_EQ(0, readers[i].wrong);
	}
}

/* What is in @fd, from its start, is the image. */
static bool is_image(int fd, const struct image *image)
{
	void *bytes;
	bool same;
	struct stat st;

	CHECK(fstat(fd, &st));
	if ((size_t)st.st_size != image->size)
		return false;
	bytes = CHECK_POINTER(mmap(NULL, st.st_size, PROT_READ, MAP_SHARED, fd, 0));
	same = !memcmp(bytes, image->data, st.st_size);
	munmap(bytes, st.st_size);
	return same;
}

READ_TEST(by_sendfile)
{
	int copy = CHECK(memfd_create("copy", MFD_CLOEXEC));
	off_t at = 0;
	ssize_t got;

	while ((got = sendfile(copy, self->fd, &at, LARGE - 13)) > 0)
		;
	EXPECT_EQ(0, got);
	EXPECT_EQ(self->image.size, at);
	EXPECT_TRUE(is_image(copy, &self->image));
	close(copy);
}

READ_TEST(by_splice)
{
	int copy = CHECK(memfd_create("copy", MFD_CLOEXEC));
	off_t from = 0, to = 0;
	ssize_t got;
	int pipe[2];

	CHECK(pipe2(pipe, O_CLOEXEC));
	while ((got = splice(self->fd, &from, pipe[1], NULL, 10 * PAGE + 1, 0)) > 0)
		while (got)
			got -= CHECK(splice(pipe[0], NULL, copy, &to, got, 0));
	EXPECT_EQ(0, got);
	EXPECT_EQ(self->image.size, from);
	EXPECT_TRUE(is_image(copy, &self->image));
	close(copy);
}

struct slice {
	int fd;
	unsigned char *to;
	off_t at;
	off_t end;
};

static void *read_slice(void *argument)
{
	struct slice *slice = argument;

	while (slice->at < slice->end) {
		size_t left = slice->end - slice->at;
		ssize_t got = pread(slice->fd, slice->to + slice->at,
				    left < 5 * PAGE + 7 ? left : 5 * PAGE + 7, slice->at);

		if (got <= 0)
			break;
		slice->at += got;
	}
	return NULL;
}

/* One image, put together by several threads. */
READ_TEST(by_threads_in_slices)
{
	unsigned char *bytes = CHECK_POINTER(calloc(1, self->image.size));
	size_t share = self->image.size / READERS + 1;
	struct slice slices[READERS];
	pthread_t threads[READERS];

	for (int i = 0; i < READERS; i++) {
		size_t end = (i + 1) * share;

		if (end > self->image.size)
			end = self->image.size;
		slices[i] = (struct slice){ self->fd, bytes, i * share, end };
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, read_slice, &slices[i]));
	}
	for (int i = 0; i < READERS; i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
	EXPECT_EQ(0, memcmp(bytes, self->image.data, self->image.size));
	free(bytes);
}

READ_TEST(leaves_no_trace)
{
	EXPECT_EQ(0, wrong_preads(self->fd, &self->image, 4, 20));
	close(self->fd);
	EXPECT_TRUE(target_runs(&self->target));
	EXPECT_EQ(0, fingerprint_changes(self->target.pid, self->before));
}

CORE_TEST_MAIN
