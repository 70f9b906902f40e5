// SPDX-License-Identifier: GPL-2.0
/*
 * Mappings that change while they are copied: another process has the same
 * memory, is none of the threads that are held, and says of some of it, time
 * and again, that a fork() is to leave it out. Whatever a dump makes of that,
 * what was there all the time is in it.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "fixture.h"
#include "live.h"
#include "race.h"
#include "tally.h"

enum {
	PAGE	= 4096,
	SIZE	= 16 * PAGE,
	/* So that it takes a while from the look at them to the copy. */
	OTHERS	= 1000,
	DUMPS	= 100,
};

/* target_page.value[] */
enum { MEMORY, TURNS };

static struct target_page *our_page;

/* No thread of the target's; has its memory, and even its errno. */
static int change_mappings(void *argument)
{
	void *memory = argument;

	while (!LOAD(our_page->stop)) {
		if (madvise(memory, SIZE, MADV_DONTFORK) || madvise(memory, SIZE, MADV_DOFORK))
			_exit(1);
		STORE(our_page->value[TURNS], our_page->value[TURNS] + 1);
		/* Left alone for some time now and then, so that there are copies. */
		if (!race_random(4))
			race_delay();
	}
	_exit(0);
}

TARGET(changed)
{
	static char stack[64 * 1024];
	char *memory = CHECK_POINTER(mmap(NULL, SIZE + 2 * PAGE, PROT_NONE,
					  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	char *others = CHECK_POINTER(mmap(NULL, OTHERS * PAGE, PROT_READ,
					  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	pid_t twin;
	int status;

	for (int i = 0; i < OTHERS; i += 2)
		CHECK(mprotect(others + i * PAGE, PAGE, PROT_NONE));
	our_page = self->page;
	/* A mapping of its own at any time. */
	memory += PAGE;
	CHECK(mprotect(memory, SIZE, PROT_READ | PROT_WRITE));
	memset(memory, 'o', SIZE);
	self->page->value[MEMORY] = (uintptr_t)memory;
	twin = CHECK(clone(change_mappings, stack + sizeof(stack), CLONE_VM | SIGCHLD, memory));
	target_serve(self);
	STORE(self->page->stop, 1);
	CHECK(waitpid(twin, &status, 0));
	return status;
}

static bool is_whole(const struct image *image, uint64_t address)
{
	const char *memory = image_at(image, address, SIZE);

	for (size_t i = 0; memory && i < SIZE; i++)
		if (memory[i] != 'o')
			return false;
	return memory;
}

CORE_TEST(what_was_there_is_in_the_copy)
{
	const struct livecore_config config = {
		.size = sizeof(config),
		.set = LIVECORE_SET_MODE,
		.mode = LIVECORE_MODE_SNAPSHOT,
	};
	unsigned long n = rounds(DUMPS), copies = 0;
	struct target t;

	target_start(&t, "changed", NULL);
	for (unsigned long i = 0; i < n; i++) {
		uint64_t turns = LOAD(t.page->value[TURNS]);
		struct livecore_info info;
		struct image image;
		int fd;

		ASSERT_TRUE(EVENTUALLY(LOAD(t.page->value[TURNS]) != turns));
		fd = live_dump(t.pid, &config);
		ASSERT_LE(0, fd);
		info = live_info_of(fd);
		copies += info.state == LIVECORE_STATE_SNAPSHOT;
		ASSERT_EQ(0, image_read(&image, fd));
		ASSERT_TRUE(is_whole(&image, t.page->value[MEMORY]))
			TH_LOG("dump %lu: state %u, fallback %#x", i, info.state, info.fallback);
		close(fd);
		image_free(&image);
	}
	EXPECT_EQ(0, target_finish(&t));
	fprintf(stderr, "# %lu of %lu were copies\n", copies, n);
	EXPECT_LT(0, copies);
	tally("dumps", n);
	tally("races provoked", n);
}

CORE_TEST_MAIN
