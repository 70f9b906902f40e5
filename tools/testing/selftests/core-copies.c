// SPDX-License-Identifier: GPL-2.0
/*
 * Tools that copy files copy a core, and those that know of holes keep them.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "frame.h"

enum {
	PAGE	= 4096,
	SIZE	= 12 << 20,
	BIG	= 4 << 20,	/* more than the copy of a sparse file takes */
};

TARGET(sparse)
{
	unsigned char *bytes = CHECK_POINTER(mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
						  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	target_small_pages(bytes, SIZE);
	for (int at = 0; at < SIZE; at += SIZE / 8)
		memset(bytes + at, 'x', PAGE);
	return target_serve(self);
}

/* $FROM is the process's folder in /proc; they leave `copy` where they run. */
struct tool {
	const char *name;
	const char *script;
	bool keeps_holes;
};

static const struct tool tools[] = {
	{ "cat", "cat $FROM/core >copy", false },
	{ "cp", "cp $FROM/core copy", true },
	{ "cp --sparse=auto", "cp --sparse=auto $FROM/core copy", true },
	{ "cp --sparse=always", "cp --sparse=always $FROM/core copy", true },
	{ "dd", "dd if=$FROM/core of=copy bs=64K conv=sparse status=none", true },
	{ "tar", "tar -cf a -C $FROM core && tar -xOf a >copy && rm a", false },
	{ "tar -S",
	  "tar -S -cf a -C $FROM core && tar -xf a && mv core copy && rm a", true },
	{ "rsync -S", "rsync -S $FROM/core copy", true },
	{ "zstd", "zstd -q -c $FROM/core | zstd -q -d -c --sparse -f -o copy", true },
};

/* The bytes of @path, which is a core of @size; NULL if it has another size. */
static unsigned char *load(const char *path, off_t *size, blkcnt_t *blocks)
{
	int fd = CHECK(open(path, O_RDONLY | O_CLOEXEC));
	unsigned char *bytes;
	struct stat st;

	CHECK(fstat(fd, &st));
	bytes = CHECK_POINTER(mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0));
	close(fd);
	*size = st.st_size;
	*blocks = st.st_blocks;
	return bytes;
}

/* Two dumps of a process that sleeps differ in their notes alone: in times. */
static bool same_but_for_notes(const unsigned char *a, const unsigned char *b, off_t size)
{
	const Elf64_Ehdr *ehdr = (const Elf64_Ehdr *)a;
	const Elf64_Phdr *notes = (const Elf64_Phdr *)(a + ehdr->e_phoff);
	off_t end = notes->p_offset + notes->p_filesz;

	return notes->p_type == PT_NOTE && !memcmp(a, b, notes->p_offset) &&
	       !memcmp(a + end, b + end, size - end);
}

static int run(const struct tool *tool, const char *directory, pid_t pid)
{
	char from[32];
	int status;
	pid_t child;

	snprintf(from, sizeof(from), "/proc/%d", pid);
	fflush(NULL);
	child = CHECK(fork());
	if (!child) {
		CHECK(setenv("FROM", from, 1));
		CHECK(chdir(directory));
		execl("/bin/sh", "sh", "-c", tool->script, NULL);
		_exit(127);
	}
	CHECK(waitpid(child, &status, 0));
	return status;
}

FIXTURE(copies)
{
	struct sysctl_values sysctls;
	char directory[32];
};

FIXTURE_SETUP(copies)
{
	strcpy(self->directory, "/tmp/livecore-XXXXXX");
	CHECK_POINTER(mkdtemp(self->directory));
	sysctl_prepare(&self->sysctls);
}

FIXTURE_TEARDOWN_PARENT(copies)
{
	char command[64];

	sysctl_restore(&self->sysctls);
	snprintf(command, sizeof(command), "rm -rf %s", self->directory);
	if (system(command))
		FAIL("%s", command);
}

TEST_F_TIMEOUT(copies, are_the_same, CORE_TEST_SECONDS)
{
	const char *before;
	struct image image;
	struct target t;
	char path[64];

	target_start(&t, "sparse", NULL);
	target_settle(&t);
	before = fingerprint(t.pid);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	snprintf(path, sizeof(path), "%s/copy", self->directory);
	for (size_t i = 0; i < ARRAY_SIZE(tools); i++) {
		double begin = seconds_now();
		unsigned char *bytes;
		blkcnt_t blocks;
		off_t size;

		EXPECT_EQ(0, run(&tools[i], self->directory, t.pid))
			TH_LOG("%s", tools[i].name);
		TH_LOG("%s: %.2f seconds", tools[i].name, seconds_now() - begin);
		bytes = load(path, &size, &blocks);
		ASSERT_EQ(image.size, size)
			TH_LOG("%s", tools[i].name);
		EXPECT_TRUE(same_but_for_notes(image.data, bytes, size))
			TH_LOG("%s", tools[i].name);
		EXPECT_EQ(tools[i].keeps_holes, blocks * 512 < BIG)
			TH_LOG("%s: %ld blocks", tools[i].name, blocks);
		munmap(bytes, size);
		CHECK(unlink(path));
	}
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
