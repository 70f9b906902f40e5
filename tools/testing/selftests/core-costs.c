// SPDX-License-Identifier: GPL-2.0
/*
 * What reading costs, in what can be counted: rounds of mmap_lock, and page
 * faults. Not in time, which depends on the machine.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "frame.h"

enum {
	PAGE	= 4096,
	MIB	= 1 << 20,
	SIZE	= 4 * MIB,	/* of each region */
	HUGE	= 2 * MIB,
	POOL	= (SIZE + HUGE) / HUGE,	/* of huge pages */
	/* Of one round (rust/sys/pages.rs): so much of memory, in so many runs. */
	ROUND	= 2 * MIB,
	RUNS	= 128,
};

enum region {
	DENSE,		/* small pages, wherever they are */
	SPARSE,		/* one page of eight */
	HOLE,		/* but for the first page */
	THP,
	SPLIT,		/* the same, mapped by small pages, but for the first ones */
	HUGETLB,
	REGIONS,
};

#define TRACEPOINT	"/sys/kernel/tracing/events/mmap_lock/mmap_lock_start_locking"

static const char * const names[REGIONS] = {
	"dense", "sparse", "hole", "transparent huge pages", "huge pages that were split",
	"hugetlb",
};

static unsigned char *region(struct target_self *self, enum region region, int flags, int advice)
{
	unsigned char *bytes = CHECK_POINTER(mmap(NULL, SIZE + HUGE, PROT_READ | PROT_WRITE,
						  MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0));

	bytes = (unsigned char *)(((uintptr_t)bytes + HUGE - 1) & ~(uintptr_t)(HUGE - 1));
	if (advice)
		CHECK(madvise(bytes, SIZE, advice));
	self->page->value[region] = (uint64_t)bytes;
	return bytes;
}

TARGET(costly)
{
	unsigned char *sparse = region(self, SPARSE, 0, MADV_NOHUGEPAGE);
	unsigned char *split = region(self, SPLIT, 0, MADV_HUGEPAGE);

	memset(split, 6, SIZE);
	for (size_t at = 0; at < SIZE; at += HUGE)
		CHECK(madvise(split + at, PAGE, MADV_DONTNEED));
	for (size_t at = 0; at < SIZE; at += 8 * PAGE)
		memset(sparse + at, 1, PAGE);
	memset(region(self, DENSE, 0, MADV_NOHUGEPAGE), 2, SIZE);
	memset(region(self, HOLE, 0, MADV_NOHUGEPAGE), 3, PAGE);
	memset(region(self, THP, 0, MADV_HUGEPAGE), 4, SIZE);
	memset(region(self, HUGETLB, MAP_HUGETLB, 0), 5, SIZE);
	return target_serve(self);
}

struct reader {
	const struct target_page *page;
	unsigned char *buffer;
	unsigned char *expected;
	int rounds;		/* counts those of this thread */
	int core;
	int mem;
};

FIXTURE(costs)
{
	struct sysctl_values sysctls;
	struct target target;
	struct reader reader;
};

static void set_huge_pages(long count)
{
	FILE *file = CHECK_POINTER(fopen("/proc/sys/vm/nr_hugepages", "w"));

	CHECK(fprintf(file, "%ld\n", count));
	CHECK(fclose(file));
}

/* So many that nobody has: the target of the test before may still be dying. */
static bool are_free(long count)
{
	char *text = CHECK_POINTER(proc_text("meminfo"));
	long long free_pages = text_number(text, "HugePages_Free");

	free(text);
	return free_pages >= count;
}

/* How often this thread asks for any mmap_lock. */
static int count_rounds(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
		.disabled = 1,
	};
	FILE *file = CHECK_POINTER(fopen(TRACEPOINT "/id", "r"));

	if (fscanf(file, "%llu", &attr.config) != 1)
		FAIL("no id of the tracepoint");
	fclose(file);
	return CHECK(syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));
}

static unsigned char *touched_buffer(void)
{
	unsigned char *buffer = CHECK_POINTER(mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
						   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	memset(buffer, 0xff, SIZE);
	return buffer;
}

FIXTURE_SETUP(costs)
{
	char path[64];

	sysctl_prepare(&self->sysctls);
	set_huge_pages(POOL);
	ASSERT_TRUE(EVENTUALLY(are_free(POOL)));
	target_start(&self->target, "costly", NULL);
	target_settle(&self->target);
	self->reader.page = self->target.page;
	self->reader.buffer = touched_buffer();
	self->reader.expected = touched_buffer();
	snprintf(path, sizeof(path), "/proc/%d/mem", self->target.pid);
	self->reader.mem = CHECK(open(path, O_RDONLY | O_CLOEXEC));
	self->reader.core = core_open(self->target.pid);
	ASSERT_LE(0, self->reader.core);
	self->reader.rounds = count_rounds();
}

FIXTURE_TEARDOWN_PARENT(costs)
{
	/* The target has died with its test. */
	set_huge_pages(0);
	sysctl_restore(&self->sysctls);
}

#define COSTS_TEST(name)	TEST_F_TIMEOUT(costs, name, CORE_TEST_SECONDS)

struct cost {
	uint64_t rounds;
	long faults;		/* of this thread, by itself or for another */
};

/* Of reading all of a region by @step bytes; the bytes are in the buffer then. */
static struct cost cost_of(struct reader *reader, int fd, off_t at, size_t step)
{
	struct rusage before, after;
	struct cost cost;

	CHECK(getrusage(RUSAGE_THREAD, &before));
	CHECK(ioctl(reader->rounds, PERF_EVENT_IOC_RESET, 0));
	CHECK(ioctl(reader->rounds, PERF_EVENT_IOC_ENABLE, 0));
	for (size_t done = 0; done < SIZE; done += step) {
		ssize_t read = pread(fd, reader->buffer + done, step, at + done);

		if (read != (ssize_t)step)
			FAIL("read %zd bytes at %#lx: %s", read, at + done, strerror(errno));
	}
	CHECK(ioctl(reader->rounds, PERF_EVENT_IOC_DISABLE, 0));
	CHECK(getrusage(RUSAGE_THREAD, &after));
	if (read(reader->rounds, &cost.rounds, sizeof(cost.rounds)) != sizeof(cost.rounds))
		FAIL("no count");
	cost.faults = after.ru_minflt + after.ru_majflt - before.ru_minflt - before.ru_majflt;
	return cost;
}

static uint64_t address(const struct reader *reader, enum region region)
{
	return reader->page->value[region];
}

static void read_all(int fd, void *to, size_t size, off_t at)
{
	if (pread(fd, to, size, at) != (ssize_t)size)
		FAIL("%zu bytes at %#lx: %s", size, at, strerror(errno));
}

/* Where the memory from @address on is in the core; nothing else of it is read. */
static off_t core_offset(int core, uint64_t address)
{
	Elf64_Ehdr ehdr;
	Elf64_Phdr p;

	read_all(core, &ehdr, sizeof(ehdr), 0);
	for (size_t i = 0; i < ehdr.e_phnum; i++) {
		read_all(core, &p, sizeof(p), ehdr.e_phoff + i * sizeof(p));
		if (p.p_type == PT_LOAD && address >= p.p_vaddr &&
		    address + SIZE <= p.p_vaddr + p.p_filesz)
			return p.p_offset + address - p.p_vaddr;
	}
	FAIL("%#lx is not in the core", address);
}

/* The same of the core, read for the first time; the bytes have to be the region's. */
static struct cost core_cost(struct __test_metadata *_metadata, struct reader *reader,
			     enum region region, size_t step)
{
	off_t at = core_offset(reader->core, address(reader, region));
	struct cost cost;

	/* What the test itself faults in when it does this for the first time. */
	cost_of(reader, reader->mem, address(reader, DENSE), step);
	memset(reader->buffer, 0xff, SIZE);
	cost = cost_of(reader, reader->core, at, step);
	read_all(reader->mem, reader->expected, SIZE, address(reader, region));
	EXPECT_EQ(0, memcmp(reader->expected, reader->buffer, SIZE))
		TH_LOG("%s", names[region]);
	EXPECT_EQ(0, cost.faults)
		TH_LOG("%s", names[region]);
	TH_LOG("%s: %lu rounds for %d MiB", names[region], cost.rounds, SIZE / MIB);
	return cost;
}

/* Whether what is mapped at @start is, of that kind, as large as that. */
static bool consists_of(pid_t pid, uint64_t start, const char *kind, size_t size)
{
	char *smaps = proc_text_of(pid, "smaps");
	char line[32];
	char *found;
	bool does;

	snprintf(line, sizeof(line), "%lx-", start);
	found = strstr(smaps, line);
	does = found && text_number(found, kind) * 1024 >= (long long)size;
	free(smaps);
	return does;
}

/* /proc/PID/mem takes a round for each page, and fills holes: so it would be seen. */
COSTS_TEST(rounds_and_faults_are_counted)
{
	struct reader *reader = &self->reader;
	struct cost cost = cost_of(reader, reader->mem, address(reader, HOLE), MIB);

	EXPECT_LE(SIZE / PAGE, cost.rounds);
	EXPECT_LE(SIZE / PAGE - 1, cost.faults);
}

/* At worst, each page is a run. */
COSTS_TEST(dense_memory_takes_two_rounds_for_a_mebibyte)
{
	struct cost cost = core_cost(_metadata, &self->reader, DENSE, MIB);

	EXPECT_LE(SIZE / MIB, cost.rounds);
	EXPECT_GE(SIZE / PAGE / RUNS, cost.rounds);
}

/* A run of memory and a hole, 32 times in a mebibyte. */
COSTS_TEST(sparse_memory_takes_one_round_for_a_mebibyte)
{
	EXPECT_EQ(SIZE / MIB, core_cost(_metadata, &self->reader, SPARSE, MIB).rounds);
}

COSTS_TEST(holes_take_one_round_for_two_mebibytes)
{
	EXPECT_EQ(SIZE / ROUND, core_cost(_metadata, &self->reader, HOLE, SIZE).rounds);
}

COSTS_TEST(huge_pages_take_one_round_each)
{
	struct reader *reader = &self->reader;
	pid_t pid = self->target.pid;

	EXPECT_EQ(SIZE / HUGE, core_cost(_metadata, reader, SPLIT, SIZE).rounds);
	ASSERT_TRUE(consists_of(pid, address(reader, THP), "AnonHugePages", SIZE));
	EXPECT_EQ(SIZE / HUGE, core_cost(_metadata, reader, THP, SIZE).rounds);
	ASSERT_TRUE(consists_of(pid, address(reader, HUGETLB), "Private_Hugetlb", SIZE));
	EXPECT_EQ(SIZE / HUGE, core_cost(_metadata, reader, HUGETLB, SIZE).rounds);
}

/* A small read is one round, wherever. */
COSTS_TEST(a_page_takes_one_round)
{
	for (enum region r = 0; r < REGIONS; r++)
		EXPECT_EQ(SIZE / PAGE, core_cost(_metadata, &self->reader, r, PAGE).rounds);
}

CORE_TEST_MAIN
