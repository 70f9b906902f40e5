// SPDX-License-Identifier: GPL-2.0
/*
 * Making regions.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "check.h"
#include "regions.h"

enum {
	PAGE	= 4096,
	SIZE	= 64 * PAGE,
	HUGE	= 2 << 20,
};

static unsigned char data[SIZE] = { 1 };

static const char * const names[REGIONS] = {
	[REGION_HEAP]		= "heap",
	[REGION_ANON]		= "anonymous",
	[REGION_SPARSE]		= "sparse",
	[REGION_NO_ACCESS]	= "no access",
	[REGION_STACK]		= "stack",
	[REGION_DATA]		= "data",
	[REGION_FILE_WRITTEN]	= "private file, written",
	[REGION_SHARED_ANON]	= "shared anonymous",
	[REGION_SHARED_DELETED]	= "shared, deleted file",
	[REGION_HUGE]		= "huge pages",
	[REGION_UNTOUCHED]	= "untouched",
	[REGION_FILE_READ]	= "private file, only read",
	[REGION_SHARED_FILE]	= "shared file",
	[REGION_DONTDUMP]	= "MADV_DONTDUMP",
};

const char *region_name(enum region region)
{
	return names[region];
}

uint64_t region_sum(const void *bytes, size_t size)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);
	const unsigned char *byte = bytes;

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ byte[i]) * UINT64_C(0x100000001b3);
	return sum;
}

static void fill(unsigned char *bytes, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i++) {
		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		bytes[i] = seed >> 56;
	}
}

static void *map(size_t size, int flags, int fd)
{
	return CHECK_POINTER(mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0));
}

/* A file of SIZE bytes, filled; not executable, and no ELF. */
static int make_file(const char *directory, const char *name, uint64_t seed)
{
	unsigned char bytes[PAGE];
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = CHECK(open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
	for (int i = 0; i < SIZE / PAGE; i++) {
		fill(bytes, PAGE, seed + i);
		CHECK(write(fd, bytes, PAGE));
	}
	return fd;
}

static void account(struct region_account *accounts, enum region region, void *bytes,
		    size_t size)
{
	struct region_account *a = &accounts[region];

	a->address = (uintptr_t)bytes;
	a->size = size;
	a->sum = region_sum(bytes, size);
}

static void make_anonymous(struct region_account *accounts)
{
	unsigned char *bytes = CHECK_POINTER(malloc(SIZE)), *around;

	fill(bytes, SIZE, 1);
	account(accounts, REGION_HEAP, bytes, SIZE);

	bytes = map(SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fill(bytes, SIZE, 2);
	account(accounts, REGION_ANON, bytes, SIZE);

	bytes = map(SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	for (int page = 0; page < SIZE / PAGE; page += 3)
		fill(bytes + page * PAGE, PAGE, 3 + page);
	/* Summing would touch the holes: they are known to be zeros. */
	accounts[REGION_SPARSE].address = (uintptr_t)bytes;
	accounts[REGION_SPARSE].size = SIZE;

	bytes = map(SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fill(bytes, SIZE, 4);
	account(accounts, REGION_NO_ACCESS, bytes, SIZE);
	CHECK(mprotect(bytes, SIZE, PROT_NONE));

	fill(data, sizeof(data), 5);
	account(accounts, REGION_DATA, data, sizeof(data));

	bytes = map(SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fill(bytes, SIZE, 6);
	account(accounts, REGION_DONTDUMP, bytes, SIZE);
	CHECK(madvise(bytes, SIZE, MADV_DONTDUMP));

	bytes = map(SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	accounts[REGION_UNTOUCHED].address = (uintptr_t)bytes;
	accounts[REGION_UNTOUCHED].size = SIZE;

	around = map(3 * HUGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	bytes = (unsigned char *)(((uintptr_t)around + HUGE) & ~(uintptr_t)(HUGE - 1));
	/* A mapping of its own, also where the next line does nothing. */
	CHECK(mprotect(around, bytes - around, PROT_NONE));
	CHECK(mprotect(bytes + HUGE, around + 2 * HUGE - bytes, PROT_NONE));
	/* Refused by kernels without huge pages: then they are small ones. */
	madvise(bytes, HUGE, MADV_HUGEPAGE);
	fill(bytes, HUGE, 7);
	account(accounts, REGION_HUGE, bytes, HUGE);
}

static void make_mapped(struct region_account *accounts, const char *directory)
{
	unsigned char *bytes;
	char path[256];

	bytes = map(SIZE, MAP_PRIVATE, make_file(directory, "written", 100));
	for (int page = 1; page < SIZE / PAGE; page += 2)
		fill(bytes + page * PAGE, PAGE, 200 + page);
	account(accounts, REGION_FILE_WRITTEN, bytes, SIZE);

	bytes = map(SIZE, MAP_PRIVATE, make_file(directory, "read", 300));
	account(accounts, REGION_FILE_READ, bytes, SIZE);

	bytes = map(SIZE, MAP_SHARED, make_file(directory, "shared file", 400));
	account(accounts, REGION_SHARED_FILE, bytes, SIZE);

	bytes = map(SIZE, MAP_SHARED, make_file(directory, "deleted", 500));
	snprintf(path, sizeof(path), "%s/deleted", directory);
	CHECK(unlink(path));
	account(accounts, REGION_SHARED_DELETED, bytes, SIZE);

	bytes = map(SIZE, MAP_SHARED | MAP_ANONYMOUS, -1);
	fill(bytes, SIZE, 8);
	account(accounts, REGION_SHARED_ANON, bytes, SIZE);
}

void regions_make(struct region_account *accounts, const char *directory,
		  void (*run)(void *argument), void *argument)
{
	unsigned char stack[SIZE];

	make_anonymous(accounts);
	make_mapped(accounts, directory);
	fill(stack, SIZE, 9);
	account(accounts, REGION_STACK, stack, SIZE);
	run(argument);
	/* The compiler must not think that nobody looks at it any more. */
	asm volatile("" : : "r" (stack), "r" (data) : "memory");
}
