// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that is not in small pages of RAM: swapped out, or in huge pages.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "frame.h"
#include "live.h"
#include "regions.h"

enum {
	PAGE	= 4096,
	SIZE	= 256 * PAGE,
	HUGE	= 2 << 20,
	/* Of a megabyte each; the moment that is looked for is short. */
	ROUNDS	= 200,
	LEAST	= 10,
	MOST_SECONDS	= 60,
};

/* What the target tells: struct region_account, in the page's values. */
enum {
	OWN,
	SHARED,		/* memory of a file that is only in memory */
	TRANSPARENT,	/* a huge page, because it asked for that */
	HUGETLB,	/* huge pages, since they are the only ones there */
	HUGETLB_UNUSED,
};

static struct region_account *accounts(struct target_page *page)
{
	return (struct region_account *)page->value;
}

static void fill(unsigned char *bytes, size_t size, unsigned int seed)
{
	for (size_t i = 0; i < size; i++) {
		seed = seed * 1103515245 + 12345;
		bytes[i] = seed >> 16;
	}
}

static unsigned char *region(struct target_self *self, int which, size_t size, int flags)
{
	struct region_account *account = &accounts(self->page)[which];
	unsigned char *bytes = CHECK_POINTER(mmap(NULL, size, PROT_READ | PROT_WRITE, flags,
						  -1, 0));

	if (which != HUGETLB_UNUSED)
		fill(bytes, size, which + 1);
	*account = (struct region_account){
		.address = (uint64_t)bytes,
		.size = size,
		.sum = which == HUGETLB_UNUSED ? 0 : region_sum(bytes, size),
	};
	return bytes;
}

TARGET(swapped)
{
	unsigned char *own = region(self, OWN, SIZE, MAP_PRIVATE | MAP_ANONYMOUS);
	unsigned char *shared = region(self, SHARED, SIZE, MAP_SHARED | MAP_ANONYMOUS);

	target_small_pages(own, SIZE);
	target_event(self, 'R');
	while (target_command(self)) {
		CHECK(madvise(own, SIZE, MADV_PAGEOUT));
		CHECK(madvise(shared, SIZE, MADV_PAGEOUT));
		target_event(self, 'o');
	}
	return 0;
}

static void expect_bytes(struct __test_metadata *_metadata, const struct image *image,
			 const struct region_account *account)
{
	const void *bytes = image_at(image, account->address, account->size);

	ASSERT_NE(NULL, bytes);
	EXPECT_EQ(account->sum, region_sum(bytes, account->size));
}

/* How much of it is in swap, by smaps: that of files in memory counts, too. */
static long long swapped(pid_t pid)
{
	char *rollup = proc_text_of(pid, "smaps_rollup");
	long long bytes = text_number(rollup, "Swap") * 1024;

	free(rollup);
	return bytes;
}

/* How many pages of its own, by pagemap: not all go when they are to. */
static size_t pages_out(const struct target *t)
{
	const struct region_account *account = &accounts(t->page)[OWN];
	uint64_t entries[SIZE / PAGE];
	size_t out = 0;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", t->pid);
	fd = CHECK(open(path, O_RDONLY | O_CLOEXEC));
	if (CHECK(pread(fd, entries, sizeof(entries), account->address / PAGE * 8)) !=
	    sizeof(entries))
		FAIL("%s ends early", path);
	close(fd);
	for (size_t i = 0; i < SIZE / PAGE; i++)
		out += entries[i] >> 62 & 1;
	return out;
}

/* Both regions, or it would be a test of nothing. */
static void swap_out(struct target *t)
{
	target_do(t, 'o');
	target_settle(t);
	if (swapped(t->pid) < SIZE * 3 / 2)
		FAIL("only %lld bytes were swapped out", swapped(t->pid));
}

FIXTURE(swap)
{
	struct sysctl_values sysctls;
};

FIXTURE_SETUP(swap)
{
	sysctl_prepare(&self->sysctls);
	if (system("modprobe -q zram || [ -e /dev/zram0 ]"))
		FAIL("no zram");
	if (system("echo 64M >/sys/block/zram0/disksize && mkswap -q /dev/zram0"))
		FAIL("zram0");
	CHECK(swapon("/dev/zram0", 0));
}

FIXTURE_TEARDOWN_PARENT(swap)
{
	/* Where the setup failed, there is none. */
	if (!swapoff("/dev/zram0") && system("echo 1 >/sys/block/zram0/reset"))
		FAIL("zram0 stays in use");
	sysctl_restore(&self->sysctls);
}

/* The copy has them swapped out, too, and the process gets none of them back for it. */
TEST_F_TIMEOUT(swap, a_snapshot_has_what_is_swapped_out, CORE_TEST_SECONDS)
{
	struct image image;
	struct target t;
	size_t out;
	int fd;

	target_start(&t, "swapped", NULL);
	target_settle(&t);
	swap_out(&t);
	out = pages_out(&t);
	EXPECT_LT(0, out);
	sysctl_set("livecore_mode", 1);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(LIVECORE_STATE_SNAPSHOT, live_info_of(fd).state);
	ASSERT_EQ(0, image_read(&image, fd));
	EXPECT_EQ(0, live_info_of(fd).unreadable_pages);
	expect_bytes(_metadata, &image, &accounts(t.page)[OWN]);
	expect_bytes(_metadata, &image, &accounts(t.page)[SHARED]);
	/* What is shared came back, and is shared. */
	EXPECT_LE(out, pages_out(&t));
	image_free(&image);
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

/* Somebody else's pages, out to swap, over and over; until he is killed. */
static void keep_swapping_out(const struct target *t)
{
	const struct region_account *account = accounts(t->page);
	struct iovec range = { (void *)account->address, account->size };

	for (;;)
		CHECK(syscall(SYS_process_madvise, t->pidfd, &range, 1, MADV_PAGEOUT, 0));
}

/*
 * Reclaim clears the entry of a page for a moment before it says where it went:
 * that is not a page that nobody has written.
 */
TEST_F_TIMEOUT(swap, memory_that_is_being_swapped_out_is_right, CORE_TEST_SECONDS)
{
	const struct region_account *account;
	unsigned char *bytes = CHECK_POINTER(malloc(SIZE));
	const unsigned char *found;
	struct image image;
	struct target t;
	pid_t reclaim;
	double end;
	off_t at;
	int fd;

	target_start(&t, "swapped", NULL);
	target_settle(&t);
	account = accounts(t.page);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, image_read(&image, fd));
	found = image_at(&image, account->address, SIZE);
	ASSERT_NE(NULL, found);
	at = found - image.data;
	reclaim = CHECK(fork());
	if (!reclaim)
		keep_swapping_out(&t);
	/* On a slow machine each takes seconds, and provokes as much. */
	end = seconds_now() + MOST_SECONDS;
	for (int round = 0; round < ROUNDS && (round < LEAST || seconds_now() < end); round++) {
		ASSERT_EQ(SIZE, pread(fd, bytes, SIZE, at));
		EXPECT_EQ(account->sum, region_sum(bytes, SIZE));
		/* All of it is data, wherever it is. */
		EXPECT_EQ(at, lseek(fd, at, SEEK_DATA));
		EXPECT_LE(at + SIZE, lseek(fd, at, SEEK_HOLE));
	}
	CHECK(kill(reclaim, SIGKILL));
	EXPECT_EQ(reclaim, waitpid(reclaim, NULL, 0));
	ASSERT_EQ(0, close(fd));
	image_free(&image);
	free(bytes);
	EXPECT_EQ(0, target_finish(&t));
}

TEST_F_TIMEOUT(swap, swapped_out_memory_is_right, CORE_TEST_SECONDS)
{
	const struct region_account *account;
	struct image image;
	struct target t;
	char *status;
	long long tables;
	int fd;

	target_start(&t, "swapped", NULL);
	target_settle(&t);
	account = accounts(t.page);
	swap_out(&t);
	status = proc_text_of(t.pid, "status");
	tables = text_number(status, "VmPTE");
	free(status);

	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	/* It is data, wherever it is. */
	ASSERT_EQ(0, image_read(&image, fd));
	for (int i = OWN; i <= SHARED; i++) {
		const unsigned char *bytes = image_at(&image, account[i].address, SIZE);
		off_t at = bytes - image.data;

		expect_bytes(_metadata, &image, &account[i]);
		EXPECT_EQ(at, lseek(fd, at, SEEK_DATA));
		EXPECT_LE(at + SIZE, lseek(fd, at, SEEK_HOLE));
	}
	status = proc_text_of(t.pid, "status");
	EXPECT_EQ(tables, text_number(status, "VmPTE"));
	free(status);
	image_free(&image);
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

/* Where swapped memory is, is told without bringing it back. */
TEST_F_TIMEOUT(swap, seeking_brings_nothing_back, CORE_TEST_SECONDS)
{
	const char *before;
	struct target t;
	off_t at = 0;
	int fd;

	target_start(&t, "swapped", NULL);
	target_settle(&t);
	swap_out(&t);
	before = fingerprint(t.pid);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	while ((at = lseek(fd, at, SEEK_DATA)) >= 0)
		at = CHECK(lseek(fd, at, SEEK_HOLE));
	EXPECT_EQ(ENXIO, errno);
	close(fd);
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	EXPECT_EQ(0, target_finish(&t));
}

TARGET(huge)
{
	unsigned char *bytes = CHECK_POINTER(mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE,
						  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	bytes = (unsigned char *)(((uint64_t)bytes + HUGE - 1) & ~(uint64_t)(HUGE - 1));
	CHECK(madvise(bytes, HUGE, MADV_HUGEPAGE));
	fill(bytes, HUGE, 77);
	accounts(self->page)[TRANSPARENT] = (struct region_account){
		(uint64_t)bytes, HUGE, region_sum(bytes, HUGE),
	};
	region(self, HUGETLB, HUGE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB);
	region(self, HUGETLB_UNUSED, HUGE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB);
	return target_serve(self);
}

FIXTURE(huge)
{
	struct sysctl_values sysctls;
	long huge_pages;
};

static void set_huge_pages(long count)
{
	FILE *file = CHECK_POINTER(fopen("/proc/sys/vm/nr_hugepages", "w"));

	CHECK(fprintf(file, "%ld\n", count));
	CHECK(fclose(file));
}

FIXTURE_SETUP(huge)
{
	sysctl_prepare(&self->sysctls);
	set_huge_pages(4);
}

FIXTURE_TEARDOWN_PARENT(huge)
{
	set_huge_pages(0);
	sysctl_restore(&self->sysctls);
}

TEST_F_TIMEOUT(huge, huge_pages_are_right_and_stay, CORE_TEST_SECONDS)
{
	const struct region_account *account;
	const unsigned char *bytes;
	const char *before;
	struct image image;
	struct target t;
	char *rollup;

	target_start(&t, "huge", NULL);
	target_settle(&t);
	account = accounts(t.page);
	rollup = proc_text_of(t.pid, "smaps_rollup");
	EXPECT_LE(HUGE / 1024, text_number(rollup, "AnonHugePages"));
	EXPECT_EQ(HUGE / 1024, text_number(rollup, "Private_Hugetlb"));
	free(rollup);
	before = fingerprint(t.pid);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	expect_bytes(_metadata, &image, &account[TRANSPARENT]);
	expect_bytes(_metadata, &image, &account[HUGETLB]);
	bytes = image_at(&image, account[HUGETLB_UNUSED].address, HUGE);
	ASSERT_NE(NULL, bytes);
	for (size_t i = 0; i < HUGE; i++)
		ASSERT_EQ(0, bytes[i]);
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
