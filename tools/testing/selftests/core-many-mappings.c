// SPDX-License-Identifier: GPL-2.0
/*
 * More mappings than the header of an ELF file can count: extended numbering.
 * What it costs to open such a process is printed.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "frame.h"
#include "live.h"

enum {
	PAGE	= 4096,
	FEW	= 10000,	/* for comparison */
	MANY	= 70000,
};

/* The argument says how many mappings it makes, on top of its own. */
TARGET(many_mappings)
{
	size_t count = atoi(self->argument);
	unsigned char *bytes = CHECK_POINTER(mmap(NULL, count * PAGE, PROT_READ,
						  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	/* Every other one is different, so that they do not become one again. */
	for (size_t i = 0; i < count; i += 2)
		CHECK(mprotect(bytes + i * PAGE, PAGE, PROT_READ | PROT_WRITE));
	bytes[0] = 1;
	bytes[(count - 2) * PAGE] = 2;
	self->page->value[0] = (uint64_t)bytes;
	return target_serve(self);
}

FIXTURE(many)
{
	struct sysctl_values sysctls;
	long max_map_count;
};

static long set_map_limit(long set)
{
	char *text = proc_text("sys/vm/max_map_count");
	long before = atol(CHECK_POINTER(text));
	FILE *file;

	free(text);
	if (set) {
		file = CHECK_POINTER(fopen("/proc/sys/vm/max_map_count", "w"));
		CHECK(fprintf(file, "%ld\n", set));
		CHECK(fclose(file));
	}
	return before;
}

FIXTURE_SETUP(many)
{
	sysctl_prepare(&self->sysctls);
	self->max_map_count = set_map_limit(2 * MANY);
}

FIXTURE_TEARDOWN_PARENT(many)
{
	set_map_limit(self->max_map_count);
	sysctl_restore(&self->sysctls);
}

#define MANY_TEST(name)	TEST_F_TIMEOUT(many, name, CORE_TEST_SECONDS)

static void start(struct target *t, int count)
{
	char argument[16];

	snprintf(argument, sizeof(argument), "%d", count);
	target_start(t, "many_mappings", argument);
	target_settle(t);
}

struct range {
	uint64_t start;
	uint64_t end;
};

/* All mappings; smaps would take long. */
static struct range *ranges(pid_t pid, size_t *count)
{
	char *text = proc_text_of(pid, "maps");
	struct range *list = CHECK_POINTER(calloc(2 * MANY, sizeof(*list)));
	char *rest = text;
	char *line;
	size_t n = 0;

	while ((line = strsep(&rest, "\n")) && n < 2 * MANY) {
		if (!strstr(line, "[vsyscall]") &&
		    sscanf(line, "%lx-%lx", &list[n].start, &list[n].end) == 2)
			n++;
	}
	free(text);
	*count = n;
	return list;
}

/* The program headers by the rules of extended numbering; how many. */
static size_t read_headers(int fd, Elf64_Phdr **phdrs)
{
	Elf64_Ehdr ehdr;
	Elf64_Shdr shdr;
	size_t count;

	CHECK(pread(fd, &ehdr, sizeof(ehdr), 0));
	count = ehdr.e_phnum;
	if (ehdr.e_phnum == PN_XNUM) {
		if (ehdr.e_shnum != 1 || ehdr.e_shentsize != sizeof(shdr) ||
		    pread(fd, &shdr, sizeof(shdr), ehdr.e_shoff) != sizeof(shdr) ||
		    shdr.sh_type != SHT_NULL || shdr.sh_size != 1)
			FAIL("no section header at %#lx", ehdr.e_shoff);
		count = shdr.sh_info;
	}
	*phdrs = CHECK_POINTER(calloc(count, sizeof(**phdrs)));
	for (size_t at = 0; at < count * sizeof(**phdrs); ) {
		ssize_t got = pread(fd, (char *)*phdrs + at, count * sizeof(**phdrs) - at,
				    ehdr.e_phoff + at);

		if (got <= 0)
			FAIL("program headers end at %zu", at);
		at += got;
	}
	return count;
}

MANY_TEST(are_all_in_the_file)
{
	Elf64_Phdr *phdrs;
	size_t count, n = 0, nr_mappings;
	struct range *list;
	unsigned char byte;
	struct target t;
	struct stat st;
	int fd;

	start(&t, MANY);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	count = read_headers(fd, &phdrs);
	EXPECT_LT(PN_XNUM, count);
	list = ranges(t.pid, &nr_mappings);
	EXPECT_EQ(nr_mappings + 1, count);
	EXPECT_EQ(PT_NOTE, phdrs[0].p_type);
	for (size_t i = 1; i < count && i <= nr_mappings; i++) {
		if (phdrs[i].p_type == PT_LOAD && phdrs[i].p_vaddr == list[i - 1].start &&
		    phdrs[i].p_memsz == list[i - 1].end - list[i - 1].start)
			n++;
	}
	EXPECT_EQ(nr_mappings, n);
	/* What was written, in the first of them and in one of the last. */
	for (size_t i = 1; i < count; i++) {
		uint64_t first = t.page->value[0];
		uint64_t late = first + (MANY - 2) * PAGE;

		if (phdrs[i].p_vaddr == first || phdrs[i].p_vaddr == late) {
			ASSERT_EQ(1, pread(fd, &byte, 1, phdrs[i].p_offset));
			EXPECT_EQ(phdrs[i].p_vaddr == first ? 1 : 2, byte);
		}
	}
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(sizeof(Elf64_Shdr), st.st_size % PAGE);
	/* The section header is data, the last of it. */
	EXPECT_EQ(st.st_size - 1, lseek(fd, st.st_size - 1, SEEK_DATA));
	EXPECT_EQ(st.st_size, lseek(fd, st.st_size - 1, SEEK_HOLE));
	free(list);
	free(phdrs);
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

/* The shortest of some tries, in seconds. */
static double cost_of_opening(int count)
{
	double least = 1000;
	struct target t;

	start(&t, count);
	for (int i = 0; i < 5; i++) {
		double begin = seconds_now();
		int fd = core_open(t.pid);
		double cost = seconds_now() - begin;

		if (fd < 0)
			FAIL("open with %d mappings: %s", count, strerror(-fd));
		close(fd);
		if (cost < least)
			least = cost;
	}
	if (target_finish(&t))
		FAIL("target with %d mappings", count);
	return least;
}

/* For whoever reads it: caches are too small for many, so it is not asserted. */
MANY_TEST(tells_what_opening_costs)
{
	static const int counts[] = { FEW, 20000, 40000, MANY };

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		double cost = cost_of_opening(counts[i]);

		TH_LOG("opening with %d mappings: %.1f ms, %.1f us each", counts[i],
		       cost * 1e3, cost * 1e6 / counts[i]);
	}
}

/* Leaves a small core for the judges: the mappings without their bytes. */
MANY_TEST(leaves_a_core)
{
	struct livecore_config config = {
		.size = sizeof(config),
		.set = LIVECORE_SET_CONTENTS,
		.contents = LIVECORE_CONTENTS_REGISTERS,
	};
	const char *results = getenv("RESULTS");
	static char bytes[1 << 20];
	char path[512];
	struct target t;
	int fd, core;
	ssize_t got;
	size_t count;
	FILE *file;

	if (!results)
		SKIP(return, "RESULTS does not say where to leave it");
	snprintf(path, sizeof(path), "%s/mappings", results);
	CHECK(mkdir(path, 0755));
	start(&t, MANY);
	fd = live_dump(t.pid, &config);
	ASSERT_LE(0, fd);
	snprintf(path, sizeof(path), "%s/mappings/core", results);
	core = CHECK(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
	while ((got = read(fd, bytes, sizeof(bytes))) > 0)
		ASSERT_EQ(got, write(core, bytes, got));
	EXPECT_EQ(0, got);
	CHECK(close(core));
	close(fd);
	free(ranges(t.pid, &count));
	snprintf(path, sizeof(path), "%s/mappings/count", results);
	file = CHECK_POINTER(fopen(path, "w"));
	CHECK(fprintf(file, "%zu\n", count));
	CHECK(fclose(file));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
