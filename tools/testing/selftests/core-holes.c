// SPDX-License-Identifier: GPL-2.0
/*
 * SEEK_DATA and SEEK_HOLE: memory that was never written is a hole in the
 * file, and costs nothing to copy.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fixture.h"
#include "live.h"

enum {
	PAGE	= 4096,
	PAGES	= 64,		/* of each region */
};

/* Some file of less than that, which is not on a tmpfs. */
#define MAPPED_FILE	"/usr/bin/env"

enum region {
	ANON,
	PROTECTED,		/* in parts: several mappings, next to each other */
	SHARED,
	MEMFD,
	MEMFD_PRIVATE,
	PAST_EOF,
	ZERO_PAGE,		/* only read: nothing of its own */
	REGIONS,
};

static const char * const names[REGIONS] = {
	"anonymous", "protected in parts", "shared", "memfd", "memfd, private", "past EOF",
	"zero page",
};

/* Runs of 6 pages, so that runs and holes lie across the parts of 16. */
static bool is_written(enum region region, int page)
{
	switch (region) {
	case MEMFD_PRIVATE:
		return page % 7 == 3;
	case PAST_EOF:
		return page == 1;
	case ZERO_PAGE:
		return false;
	default:
		return page / 6 % 2;
	}
}

static int pages_in_file(void)
{
	struct stat st;

	CHECK(stat(MAPPED_FILE, &st));
	if (st.st_size > PAGES / 2 * PAGE || st.st_size < 2 * PAGE)
		FAIL("%s has %ld bytes", MAPPED_FILE, st.st_size);
	return (st.st_size + PAGE - 1) / PAGE;
}

static bool is_data(enum region region, int page)
{
	switch (region) {
	/* A page of one's own comes from one of the file, which is made for that. */
	case MEMFD:
	case MEMFD_PRIVATE:
		return is_written(MEMFD, page) || is_written(MEMFD_PRIVATE, page);
	case PAST_EOF:
		return page < pages_in_file();
	default:
		return is_written(region, page);
	}
}

static void make_region(struct target_self *self, enum region region, int flags, int fd)
{
	unsigned char *bytes = CHECK_POINTER(mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
						  flags, fd, 0));

	target_small_pages(bytes, PAGES * PAGE);
	for (int page = 0; page < PAGES; page++) {
		if (is_written(region, page))
			memset(bytes + page * PAGE, 'a' + region, PAGE);
		else if (region == ZERO_PAGE)
			(void)LOAD(bytes[page * PAGE]);
	}
	if (region == PROTECTED)
		for (int page = 0; page < PAGES; page += 32)
			CHECK(mprotect(bytes + page * PAGE, 16 * PAGE, PROT_READ));
	self->page->value[region] = (uint64_t)bytes;
}

TARGET(holes)
{
	int memfd = CHECK(memfd_create("holes", 0));

	CHECK(ftruncate(memfd, PAGES * PAGE));
	self->page->value[REGIONS] = memfd;
	make_region(self, ANON, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	make_region(self, PROTECTED, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	make_region(self, SHARED, MAP_SHARED | MAP_ANONYMOUS, -1);
	make_region(self, MEMFD, MAP_SHARED, memfd);
	/* It is in the file, and not in any page table. */
	CHECK(madvise((void *)self->page->value[MEMFD], PAGES * PAGE, MADV_DONTNEED));
	make_region(self, MEMFD_PRIVATE, MAP_PRIVATE, memfd);
	make_region(self, PAST_EOF, MAP_PRIVATE, CHECK(open(MAPPED_FILE, O_RDONLY | O_CLOEXEC)));
	make_region(self, ZERO_PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	return target_serve(self);
}

struct extent {
	off_t start;
	off_t end;
};

/* All stretches of data, by the file's own account; how many. */
static size_t walk(int fd, struct extent *extents, size_t max)
{
	off_t at = 0;
	size_t n;

	for (n = 0; n < max; n++) {
		off_t start = lseek(fd, at, SEEK_DATA);

		if (start < 0) {
			if (errno != ENXIO)
				FAIL("SEEK_DATA from %#lx: %s", at, strerror(errno));
			return n;
		}
		at = CHECK(lseek(fd, start, SEEK_HOLE));
		extents[n] = (struct extent){ start, at };
	}
	FAIL("more than %zu stretches of data", max);
}

/* The extent that ends behind @at. */
static const struct extent *extent_after(const struct extent *extents, size_t n, off_t at)
{
	for (size_t i = 0; i < n; i++)
		if (extents[i].end > at)
			return &extents[i];
	return NULL;
}

static bool in_extent(const struct extent *extents, size_t n, off_t at)
{
	const struct extent *extent = extent_after(extents, n, at);

	return extent && extent->start <= at;
}

enum { MAX_EXTENTS = 4096 };

FIXTURE(holes)
{
	struct sysctl_values sysctls;
	struct target target;
	const char *before;
	struct image image;
	struct extent extents[MAX_EXTENTS];
	size_t nr_extents;
	int fd;
};

FIXTURE_SETUP(holes)
{
	sysctl_prepare(&self->sysctls);
	target_start(&self->target, "holes", NULL);
	target_settle(&self->target);
	self->before = fingerprint(self->target.pid);
	self->fd = core_open(self->target.pid);
	ASSERT_LE(0, self->fd);
	self->nr_extents = walk(self->fd, self->extents, MAX_EXTENTS);
	ASSERT_EQ(0, lseek(self->fd, 0, SEEK_SET));
	ASSERT_EQ(0, image_read(&self->image, self->fd));
}

FIXTURE_TEARDOWN_PARENT(holes)
{
	sysctl_restore(&self->sysctls);
}

#define HOLES_TEST(name)	TEST_F_TIMEOUT(holes, name, CORE_TEST_SECONDS)

static off_t offset_of(const struct image *image, uint64_t address)
{
	const unsigned char *bytes = image_at(image, address, PAGE);

	return bytes ? bytes - image->data : -1;
}

HOLES_TEST(are_what_was_never_written)
{
	for (enum region region = 0; region < REGIONS; region++) {
		for (int page = 0; page < PAGES; page++) {
			off_t at = offset_of(&self->image,
					     self->target.page->value[region] + page * PAGE);

			/* Nothing was written, so there is nothing of it in the file. */
			if (region == ZERO_PAGE && at < 0)
				continue;
			ASSERT_LE(0, at)
				TH_LOG("%s, page %d: not in the file", names[region], page);
			EXPECT_EQ(is_data(region, page),
				  in_extent(self->extents, self->nr_extents, at))
				TH_LOG("%s, page %d", names[region], page);
		}
	}
}

/* Stretches do not touch each other, also where two mappings do. */
HOLES_TEST(lie_between_stretches)
{
	off_t end = -1;

	for (size_t i = 0; i < self->nr_extents; i++) {
		const struct extent *e = &self->extents[i];

		EXPECT_LT(end, e->start);
		EXPECT_LT(e->start, e->end);
		end = e->end;
	}
	EXPECT_GE(self->image.size, end);
	/* The header, the notes and their padding. */
	EXPECT_EQ(0, self->extents[0].start);
	EXPECT_LE(self->image.phdr[0].p_offset + self->image.phdr[0].p_filesz,
		  self->extents[0].end);
}

HOLES_TEST(read_as_zeros)
{
	static const unsigned char zeros[PAGE];
	size_t holes = 0;

	for (size_t at = 0; at < self->image.size; at += PAGE) {
		if (in_extent(self->extents, self->nr_extents, at))
			continue;
		holes++;
		EXPECT_EQ(0, memcmp(zeros, self->image.data + at, PAGE))
			TH_LOG("at %#zx", at);
	}
	/* Half of the regions, or so. */
	EXPECT_LT(2 * PAGES, holes);
}

/* Every private anonymous mapping: data is what is present, or swapped out. */
HOLES_TEST(equal_pagemap)
{
	struct mapping *list;
	char path[64];
	size_t compared = 0, count;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", self->target.pid);
	fd = CHECK(open(path, O_RDONLY));
	list = mapping_list(self->target.pid, &count);
	for (size_t i = 0; i < count; i++) {
		const struct mapping *m = &list[i];
		bool is_special = !strncmp(m->path, "[v", 2);

		if (m->inode || is_special ||
		    (m->start <= self->target.page->value[ZERO_PAGE] &&
		     self->target.page->value[ZERO_PAGE] < m->end))
			continue;
		for (uint64_t address = m->start; address < m->end; address += PAGE) {
			off_t at = offset_of(&self->image, address);
			uint64_t entry;

			if (at < 0)
				continue;
			ASSERT_EQ(8, pread(fd, &entry, 8, address / PAGE * 8));
			EXPECT_EQ(!!(entry >> 62), in_extent(self->extents, self->nr_extents, at))
				TH_LOG("%s at %lx", m->path, address);
			compared++;
		}
	}
	EXPECT_LT(2 * PAGES, compared);
	close(fd);
	free(list);
}

/* The setup has read all of the image, once. */
HOLES_TEST(are_counted)
{
	struct livecore_info info = live_info_of(self->fd);
	uint64_t holes = self->image.size;

	for (size_t i = 0; i < self->nr_extents; i++)
		holes -= self->extents[i].end - self->extents[i].start;
	EXPECT_EQ(self->image.size, info.read_bytes);
	EXPECT_EQ(holes, info.hole_bytes);
	EXPECT_EQ(0, info.unreadable_pages);
}

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

HOLES_TEST(from_anywhere)
{
	off_t size = self->image.size;
	uint64_t seed = 1;

	for (int i = 0; i < 500; i++) {
		off_t at = next(&seed) % size;
		const struct extent *e = extent_after(self->extents, self->nr_extents, at);
		off_t data = e ? (e->start > at ? e->start : at) : -1;
		off_t hole = e && e->start <= at ? e->end : at;

		EXPECT_EQ(data, lseek(self->fd, at, SEEK_DATA))
			TH_LOG("from %#lx", at);
		if (data >= 0)
			EXPECT_EQ(data, lseek(self->fd, 0, SEEK_CUR));
		EXPECT_EQ(hole, lseek(self->fd, at, SEEK_HOLE))
			TH_LOG("from %#lx", at);
		EXPECT_EQ(hole, lseek(self->fd, 0, SEEK_CUR));
	}
}

HOLES_TEST(end_with_the_file)
{
	static const int whence[] = { SEEK_DATA, SEEK_HOLE };
	off_t size = self->image.size;
	off_t last = self->extents[self->nr_extents - 1].end;

	EXPECT_EQ(size, lseek(self->fd, 0, SEEK_END));
	for (size_t i = 0; i < ARRAY_SIZE(whence); i++) {
		static const off_t beyond[] = { 0, 1, 100000, INT64_MAX };

		for (size_t j = 0; j < ARRAY_SIZE(beyond); j++) {
			off_t at = beyond[j] == INT64_MAX ? INT64_MAX : size + beyond[j];

			EXPECT_EQ(-1, lseek(self->fd, at, whence[i]));
			EXPECT_EQ(ENXIO, errno);
		}
		EXPECT_EQ(-1, lseek(self->fd, -1, whence[i]));
		EXPECT_EQ(ENXIO, errno);
	}
	/* A seek that fails moves nothing. */
	EXPECT_EQ(size, lseek(self->fd, 0, SEEK_CUR));
	/* The end is a hole, if there is none before. */
	EXPECT_EQ(last, lseek(self->fd, last - 1, SEEK_HOLE));
}

HOLES_TEST(stay_holes)
{
	struct stat before, after;
	char path[64];
	int memfd;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", self->target.pid,
		 (int)self->target.page->value[REGIONS]);
	memfd = CHECK(open(path, O_RDONLY));
	ASSERT_EQ(0, fstat(memfd, &before));
	ASSERT_EQ(0, lseek(self->fd, 0, SEEK_SET));
	image_free(&self->image);
	ASSERT_EQ(0, image_read(&self->image, self->fd));
	walk(self->fd, self->extents, MAX_EXTENTS);
	ASSERT_EQ(0, fstat(memfd, &after));
	EXPECT_EQ(before.st_blocks, after.st_blocks);
	/* Half of it, in blocks of 512 bytes: it was sparse in the first place. */
	EXPECT_GT(PAGES * PAGE / 512 * 3 / 4, before.st_blocks);
	close(memfd);
	close(self->fd);
	EXPECT_EQ(0, fingerprint_changes(self->target.pid, self->before));
	EXPECT_EQ(0, target_finish(&self->target));
}

HOLES_TEST(end_with_the_dump)
{
	sysctl_set("livecore_enable", 0);
	EXPECT_EQ(-1, lseek(self->fd, 0, SEEK_DATA));
	EXPECT_EQ(ECANCELED, errno);
	EXPECT_EQ(-1, lseek(self->fd, 0, SEEK_HOLE));
	EXPECT_EQ(ECANCELED, errno);
	/* These ask for nothing of the process. */
	EXPECT_EQ(100, lseek(self->fd, 100, SEEK_SET));
	EXPECT_EQ(-1, lseek(self->fd, self->image.size, SEEK_DATA));
}

#define TERABYTE	(UINT64_C(1) << 40)

TARGET(terabyte)
{
	unsigned char *bytes;

	bytes = CHECK_POINTER(mmap(NULL, TERABYTE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	target_small_pages(bytes, TERABYTE);
	bytes[TERABYTE / 3] = 42;
	self->page->value[0] = (uint64_t)bytes;
	return target_serve(self);
}

static const Elf64_Phdr *load_with(const unsigned char *head, uint64_t address)
{
	const Elf64_Ehdr *ehdr = (const Elf64_Ehdr *)head;
	const Elf64_Phdr *phdr = (const Elf64_Phdr *)(head + ehdr->e_phoff);

	for (int i = 1; i < ehdr->e_phnum; i++)
		if (phdr[i].p_vaddr <= address && address - phdr[i].p_vaddr < phdr[i].p_filesz)
			return &phdr[i];
	return NULL;
}

/* Of its own, and of its page tables, in KiB. */
static long long memory_of(pid_t pid)
{
	char *status = proc_text_of(pid, "status");
	long long sum = text_number(status, "VmRSS") + text_number(status, "VmPTE");

	free(status);
	return sum;
}

CORE_TEST(a_terabyte_costs_nothing)
{
	static struct extent extents[MAX_EXTENTS];
	static unsigned char bytes[1 << 20];
	const struct extent *e;
	const Elf64_Phdr *load;
	uint64_t copied = 0;
	long long before;
	struct target t;
	struct stat st;
	double begin;
	off_t at;
	size_t n;
	int fd;

	target_start(&t, "terabyte", NULL);
	target_settle(&t);
	/* Not the fingerprint, which would look at each page. */
	before = memory_of(t.pid);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_LT(TERABYTE, st.st_size);
	begin = seconds_now();
	n = walk(fd, extents, MAX_EXTENTS);
	for (size_t i = 0; i < n; i++) {
		for (at = extents[i].start; at < extents[i].end; ) {
			size_t left = extents[i].end - at;
			ssize_t got = pread(fd, bytes, left < sizeof(bytes) ? left : sizeof(bytes),
					    at);

			ASSERT_LT(0, got);
			at += got;
			copied += got;
		}
	}
	TH_LOG("%zu stretches, %lu bytes, %.3f seconds", n, copied, seconds_now() - begin);
	/* Were each page looked at, it would be hours. */
	EXPECT_GT(EVENT_SECONDS, seconds_now() - begin);
	EXPECT_GT(64 << 20, copied);

	/* One page of it is data, and that with the right byte. */
	ASSERT_LT(0, pread(fd, bytes, sizeof(bytes), 0));
	load = load_with(bytes, t.page->value[0] + TERABYTE / 3);
	ASSERT_NE(NULL, load);
	at = load->p_offset + (t.page->value[0] + TERABYTE / 3 - load->p_vaddr);
	e = extent_after(extents, n, at);
	ASSERT_NE(NULL, e);
	EXPECT_EQ(at & -PAGE, e->start);
	EXPECT_EQ((at & -PAGE) + PAGE, e->end);
	ASSERT_EQ(1, pread(fd, bytes, 1, at));
	EXPECT_EQ(42, bytes[0]);
	close(fd);
	EXPECT_EQ(before, memory_of(t.pid));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
