// SPDX-License-Identifier: GPL-2.0
/*
 * The memory in a core is the process's: segment by segment, and byte by byte.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/stat.h>

#include "expected_loads.h"
#include "frame.h"
#include "live.h"
#include "regions.h"

enum { PAGE = 4096 };

_Static_assert(sizeof(struct region_account) / 8 * REGIONS <= TARGET_VALUES, "target_page");

static void serve(void *self)
{
	target_serve(self);
}

TARGET(regions)
{
	regions_make((struct region_account *)self->page->value, self->argument, serve, self);
	return 0;
}

FIXTURE(memory)
{
	struct sysctl_values sysctls;
	char directory[32];
};

FIXTURE_SETUP(memory)
{
	strcpy(self->directory, "/tmp/livecore-XXXXXX");
	CHECK_POINTER(mkdtemp(self->directory));
	sysctl_prepare(&self->sysctls);
}

FIXTURE_TEARDOWN_PARENT(memory)
{
	static const char * const files[] = { "written", "read", "shared file", "deleted" };
	char path[64];

	sysctl_restore(&self->sysctls);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", self->directory, files[i]);
		unlink(path);
	}
	rmdir(self->directory);
}

#define MEMORY_TEST(name)	TEST_F_TIMEOUT(memory, name, CORE_TEST_SECONDS)

MEMORY_TEST(equals_the_programs_own_sums)
{
	const struct region_account *accounts;
	struct image image;
	struct target t;
	const char *before;

	target_start(&t, "regions", self->directory);
	target_settle(&t);
	accounts = (const struct region_account *)t.page->value;
	before = fingerprint(t.pid);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));

	for (enum region r = 0; r < REGIONS; r++) {
		const struct region_account *a = &accounts[r];
		const void *bytes = image_at(&image, a->address, a->size);

		if (r >= REGIONS_DUMPED) {
			EXPECT_EQ(NULL, bytes)
				TH_LOG("%s is in the file", region_name(r));
			continue;
		}
		EXPECT_NE(NULL, bytes)
			TH_LOG("%s is not in the file", region_name(r));
		if (bytes && a->sum) {
			EXPECT_EQ(a->sum, region_sum(bytes, a->size))
				TH_LOG("%s", region_name(r));
		}
	}
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

/* Never touched pages read as zeros, and stay untouched: see the fingerprint. */
MEMORY_TEST(holes_are_zeros)
{
	static const unsigned char zeros[PAGE];
	const struct region_account *sparse;
	const unsigned char *bytes;
	struct image image;
	struct target t;
	const char *before;

	target_start(&t, "regions", self->directory);
	target_settle(&t);
	sparse = (const struct region_account *)t.page->value + REGION_SPARSE;
	before = fingerprint(t.pid);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	bytes = image_at(&image, sparse->address, sparse->size);
	ASSERT_NE(NULL, bytes);
	for (size_t page = 0; page < sparse->size / PAGE; page++) {
		bool is_zero = !memcmp(bytes + page * PAGE, zeros, PAGE);

		EXPECT_EQ(page % 3 != 0, is_zero)
			TH_LOG("page %zu", page);
	}
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

/*
 * Against an independent reader, over the whole address space. What mem does
 * not read (pages that nobody may access, and the kernel's own) is left out.
 */
MEMORY_TEST(equals_mem)
{
	static unsigned char bytes[PAGE];
	uint64_t compared = 0;
	struct image image;
	struct target t;
	char path[64];
	int core, mem;

	target_start(&t, "regions", self->directory);
	target_settle(&t);
	core = core_open(t.pid);
	ASSERT_LE(0, core);
	ASSERT_EQ(0, image_read(&image, core));
	snprintf(path, sizeof(path), "/proc/%d/mem", t.pid);
	mem = CHECK(open(path, O_RDONLY));
	for (size_t i = 0; i < image_nr_loads(&image); i++) {
		const Elf64_Phdr *p = image_load(&image, i);

		for (uint64_t at = 0; at < p->p_filesz; at += PAGE) {
			if (pread(mem, bytes, PAGE, p->p_vaddr + at) != PAGE)
				continue;
			compared += PAGE;
			EXPECT_EQ(0, memcmp(bytes, image.data + p->p_offset + at, PAGE))
				TH_LOG("page at %#lx", p->p_vaddr + at);
		}
	}
	/* All of the regions, and more. */
	EXPECT_LT(3 << 20, compared);
	close(mem);
	close(core);
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

/*
 * The bytes of a mapping that smaps calls referenced: by its own page tables,
 * or by the kernel on behalf of whoever looked at them.
 */
static long long referenced(pid_t pid, uint64_t address)
{
	char *smaps = proc_text_of(pid, "smaps");
	char start[32];
	char *line;
	long long value = -1;

	snprintf(start, sizeof(start), "%lx-", address);
	for (line = smaps; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, start, strlen(start))) {
			value = text_number(line, "Referenced");
			break;
		}
	}
	free(smaps);
	return value;
}

/* Young bits of all page tables, and the kernel's own marks. */
static void clear_referenced(pid_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/clear_refs", pid);
	fd = CHECK(open(path, O_WRONLY | O_CLOEXEC));
	CHECK(write(fd, "1", 1));
	close(fd);
}

/* A dump is no use: what the kernel reclaims next is as before. */
MEMORY_TEST(marks_nothing_as_accessed)
{
	/* Those that are mappings of their own, and that nobody else has. */
	static const enum region alone[] = {
		REGION_NO_ACCESS, REGION_FILE_WRITTEN, REGION_SHARED_ANON,
		REGION_SHARED_DELETED, REGION_HUGE,
	};
	const struct region_account *accounts;
	unsigned char byte;
	struct image image;
	struct target t;
	char path[64];
	int mem;

	target_start(&t, "regions", self->directory);
	target_settle(&t);
	accounts = (const struct region_account *)t.page->value;
	clear_referenced(t.pid);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	for (size_t i = 0; i < ARRAY_SIZE(alone); i++) {
		const struct region_account *a = &accounts[alone[i]];

		ASSERT_NE(NULL, image_at(&image, a->address, a->size));
		EXPECT_EQ(0, referenced(t.pid, a->address))
			TH_LOG("%s", region_name(alone[i]));
	}
	image_free(&image);
	/* A reader of mem does: so it would be seen. */
	snprintf(path, sizeof(path), "/proc/%d/mem", t.pid);
	mem = CHECK(open(path, O_RDONLY));
	ASSERT_EQ(1, pread(mem, &byte, 1, accounts[REGION_SHARED_ANON].address));
	EXPECT_EQ(PAGE / 1024, referenced(t.pid, accounts[REGION_SHARED_ANON].address));
	close(mem);
	EXPECT_EQ(0, target_finish(&t));
}

static void expect_loads(struct __test_metadata *_metadata, const struct image *image,
			 pid_t pid, unsigned int filter)
{
	uint64_t offset = image->phdr[0].p_offset + image->phdr[0].p_filesz;
	struct mapping *list;
	size_t count;

	offset = (offset + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	list = mapping_list(pid, &count);
	/* One more is [vsyscall], where a kernel has it. */
	ASSERT_LE(count, image_nr_loads(image));
	ASSERT_GE(count + 1, image_nr_loads(image));
	for (size_t i = 0; i < count; i++) {
		const Elf64_Phdr *p = image_load(image, i);
		const struct mapping *m = &list[i];

		EXPECT_EQ(m->start, p->p_vaddr);
		EXPECT_EQ(m->end - m->start, p->p_memsz);
		EXPECT_EQ(expected_flags(m), p->p_flags);
		EXPECT_EQ(0, p->p_paddr);
		EXPECT_EQ(PAGE, p->p_align);
		EXPECT_EQ(offset, p->p_offset);
		EXPECT_EQ(expected_filesz(pid, m, filter), p->p_filesz)
			TH_LOG("filter %#x: %lx-%lx %s %s", filter, m->start, m->end,
			       m->permissions, m->path);
		offset += p->p_filesz;
	}
	free(list);
}

MEMORY_TEST(segments_are_the_mappings)
{
	static const unsigned int filters[] = { FILTER_DEFAULT, 0, 0x7f, 0x1, 0x8, 0x10, 0x4 };
	struct target t;

	target_start(&t, "regions", self->directory);
	target_settle(&t);
	for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
		struct image image;

		/* The first one is what every process has unless it says otherwise. */
		if (i)
			coredump_filter_set(t.pid, filters[i]);
		ASSERT_EQ(0, image_dump(&image, t.pid));
		expect_loads(_metadata, &image, t.pid, filters[i]);
		image_free(&image);
	}
	EXPECT_EQ(0, target_finish(&t));
}

/* Pages that the kernel writes the time to. */
static bool is_of_time(const struct mapping *maps, size_t count, uint64_t address)
{
	for (size_t i = 0; i < count; i++)
		if (maps[i].start == address)
			return !strncmp(maps[i].path, "[vvar", 5);
	return false;
}

/* Of a process that does not change, byte for byte, the vdso and files included. */
MEMORY_TEST(a_snapshot_equals_a_hold)
{
	struct image held, copied;
	size_t count, compared = 0;
	struct mapping *maps;
	struct target t;

	target_start(&t, "regions", self->directory);
	target_settle(&t);
	coredump_filter_set(t.pid, 0x7f);
	maps = mapping_list(t.pid, &count);
	ASSERT_EQ(0, image_dump(&held, t.pid));
	sysctl_set("livecore_mode", 1);
	ASSERT_EQ(0, image_dump(&copied, t.pid));
	ASSERT_EQ(LIVECORE_MODE_SNAPSHOT, live_note(&copied)->mode);
	ASSERT_EQ(held.size, copied.size);
	ASSERT_EQ(image_nr_loads(&held), image_nr_loads(&copied));
	for (size_t i = 0; i < image_nr_loads(&held); i++) {
		const Elf64_Phdr *load = image_load(&held, i);

		EXPECT_EQ(0, memcmp(load, image_load(&copied, i), sizeof(*load)));
		if (is_of_time(maps, count, load->p_vaddr))
			continue;
		EXPECT_EQ(0, memcmp(held.data + load->p_offset, copied.data + load->p_offset,
				    load->p_filesz))
			TH_LOG("%#llx", (unsigned long long)load->p_vaddr);
		compared += load->p_filesz;
	}
	/* All but those pages. */
	EXPECT_LT(held.size / 10 * 9, compared);
	image_free(&held);
	image_free(&copied);
	free(maps);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
