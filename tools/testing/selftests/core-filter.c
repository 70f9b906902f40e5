// SPDX-License-Identifier: GPL-2.0
/*
 * kernel.livecore_filter_mask: a bit of coredump_filter that is in the mask is
 * the process's, one that is not is the kernel's default.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "expected_loads.h"
#include "frame.h"
#include "live.h"

enum {
	BITS	= 7,		/* DAX needs a device */
	PAGE	= 4096,
	SIZE	= 2 * PAGE,
	HUGE	= 2 << 20,
	/* target_page.value[]: an address for each bit, and a process. */
	CHILD	= BITS,
};

#define HUGEPAGES	"/proc/sys/vm/nr_hugepages"

static void write_number(const char *path, unsigned int value)
{
	int fd = CHECK(open(path, O_WRONLY | O_CLOEXEC));

	if (dprintf(fd, "%u", value) < 0)
		FAIL("%u into %s: %s", value, path, strerror(errno));
	close(fd);
}

FIXTURE(filter)
{
	struct sysctl_values sysctls;
	char directory[32];
};

FIXTURE_SETUP(filter)
{
	strcpy(self->directory, "/tmp/livecore-XXXXXX");
	CHECK_POINTER(mkdtemp(self->directory));
	sysctl_prepare(&self->sysctls);
	write_number(HUGEPAGES, 4);
}

FIXTURE_TEARDOWN_PARENT(filter)
{
	static const char * const files[] = { "private", "shared", "elf" };
	char path[64];

	write_number(HUGEPAGES, 0);
	sysctl_restore(&self->sysctls);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", self->directory, files[i]);
		unlink(path);
	}
	rmdir(self->directory);
}

#define FILTER_TEST(name)	TEST_F_TIMEOUT(filter, name, CORE_TEST_SECONDS)

static uint64_t map(int flags, int protection, int fd, size_t size)
{
	return (uint64_t)CHECK_POINTER(mmap(NULL, size, protection, flags, fd, 0));
}

static uint64_t map_file(const char *directory, const char *name, const char *begin, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = CHECK(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	CHECK(ftruncate(fd, SIZE));
	CHECK(pwrite(fd, begin, 4, 0));
	return map(flags, PROT_READ, fd, SIZE);
}

/* Memory that one bit decides about, for each; and a child with the same. */
TARGET(memory)
{
	uint64_t *value = self->page->value;
	pid_t child;

	value[0] = map(MAP_PRIVATE | MAP_ANONYMOUS, PROT_READ | PROT_WRITE, -1, SIZE);
	memset((void *)value[0], 1, SIZE);
	value[1] = map(MAP_SHARED | MAP_ANONYMOUS, PROT_READ | PROT_WRITE, -1, SIZE);
	memset((void *)value[1], 1, SIZE);
	value[2] = map_file(self->argument, "private", "text", MAP_PRIVATE);
	value[3] = map_file(self->argument, "shared", "text", MAP_SHARED);
	value[4] = map_file(self->argument, "elf", "\177ELF", MAP_PRIVATE);
	value[5] = map(MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, PROT_READ | PROT_WRITE, -1, HUGE);
	value[6] = map(MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, PROT_READ | PROT_WRITE, -1, HUGE);
	child = CHECK(fork());
	if (!child) {
		CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL));
		for (;;)
			pause();
	}
	value[CHILD] = child;
	return target_serve(self);
}

static uint64_t expected_size(unsigned int bit, unsigned int filter)
{
	uint64_t size = bit < 5 ? SIZE : HUGE;

	if (bit == 4 && filter & FILTER_MAPPED_PRIVATE)
		return size;
	if (!(filter & 1U << bit))
		return 0;
	return bit == 4 ? PAGE : size;
}

/* How much of the mapping that has the address is in the file, from there on. */
static uint64_t size_in_file(const struct image *image, uint64_t address)
{
	for (size_t i = 0; i < image_nr_loads(image); i++) {
		const Elf64_Phdr *p = image_load(image, i);

		if (address >= p->p_vaddr && address - p->p_vaddr < p->p_memsz)
			return p->p_filesz < address - p->p_vaddr ? 0 :
			       p->p_filesz - (address - p->p_vaddr);
	}
	return UINT64_MAX;
}

static void expect_filter(struct __test_metadata *_metadata, const uint64_t *address,
			  const struct image *image, unsigned int filter)
{
	EXPECT_EQ(filter, live_note(image)->filter);
	for (unsigned int bit = 0; bit < BITS; bit++) {
		uint64_t size = size_in_file(image, address[bit]);

		/* It may be one mapping with what is next to it. */
		if (!bit && size > SIZE)
			size = SIZE;
		EXPECT_EQ(expected_size(bit, filter), size)
			TH_LOG("filter %#x, bit %u", filter, bit);
	}
}

static unsigned int combined(unsigned int mask, unsigned int filter)
{
	return (filter & mask) | (FILTER_DEFAULT & ~mask);
}

static void each_direction(struct __test_metadata *_metadata, const char *directory,
			   unsigned int bit)
{
	struct target t;

	target_start(&t, "memory", directory);
	for (unsigned int direction = 0; direction < 4; direction++) {
		bool masked = direction & 1, set = direction & 2;
		unsigned int one = 1U << bit, others = 0x7f & ~one;
		unsigned int mask = masked ? one : others;
		unsigned int filter = set ? one : others;
		struct image image;

		coredump_filter_set(t.pid, filter);
		sysctl_set("livecore_filter_mask", mask);
		ASSERT_EQ(0, image_dump(&image, t.pid));
		expect_filter(_metadata, t.page->value, &image, combined(mask, filter));
		/* The same, said of the one bit. */
		EXPECT_EQ(masked ? set : !!(FILTER_DEFAULT & one),
			  !!(live_note(&image)->filter & one));
		image_free(&image);
	}
	EXPECT_EQ(0, target_finish(&t));
}

FILTER_TEST(anonymous_private)
{
	each_direction(_metadata, self->directory, 0);
}

FILTER_TEST(anonymous_shared)
{
	each_direction(_metadata, self->directory, 1);
}

FILTER_TEST(mapped_private)
{
	each_direction(_metadata, self->directory, 2);
}

FILTER_TEST(mapped_shared)
{
	each_direction(_metadata, self->directory, 3);
}

FILTER_TEST(elf_headers)
{
	each_direction(_metadata, self->directory, 4);
}

FILTER_TEST(hugetlb_private)
{
	each_direction(_metadata, self->directory, 5);
}

FILTER_TEST(hugetlb_shared)
{
	each_direction(_metadata, self->directory, 6);
}

/* Unless somebody sets it, all is as the process has it. */
FILTER_TEST(mask_is_all_by_default)
{
	struct image image;
	struct target t;

	target_start(&t, "memory", self->directory);
	for (unsigned int bit = 0; bit < BITS; bit++) {
		coredump_filter_set(t.pid, 1U << bit);
		ASSERT_EQ(0, image_dump(&image, t.pid));
		expect_filter(_metadata, t.page->value, &image, 1U << bit);
		image_free(&image);
	}
	EXPECT_EQ(0, target_finish(&t));
}

/* The filter is inherited, and so is what the mask makes of it. */
FILTER_TEST(over_fork_and_exec)
{
	static const unsigned int masks[] = { 0x7f, 0, 0x0c, 0x33 };
	struct image image;
	struct target t;

	/* By the target, over fork() and execve(); by its child, over fork(). */
	coredump_filter_set(getpid(), 0x1c);
	target_start(&t, "memory", self->directory);
	for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
		unsigned int filter = combined(masks[i], 0x1c);

		sysctl_set("livecore_filter_mask", masks[i]);
		ASSERT_EQ(0, image_dump(&image, t.pid));
		expect_filter(_metadata, t.page->value, &image, filter);
		image_free(&image);
		ASSERT_EQ(0, image_dump(&image, t.page->value[CHILD]));
		expect_filter(_metadata, t.page->value, &image, filter);
		image_free(&image);
	}
	/* What the child sets later is its own. */
	sysctl_set("livecore_filter_mask", 0x7f);
	coredump_filter_set(t.page->value[CHILD], 0x02);
	ASSERT_EQ(0, image_dump(&image, t.page->value[CHILD]));
	expect_filter(_metadata, t.page->value, &image, 0x02);
	image_free(&image);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	expect_filter(_metadata, t.page->value, &image, 0x1c);
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
