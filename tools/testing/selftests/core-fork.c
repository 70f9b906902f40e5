// SPDX-License-Identifier: GPL-2.0
/*
 * A process that is dumped while it forks, which takes long: it has 4 GiB of
 * pages. Open waits where both need the mmap lock. The fork() is neither
 * interrupted nor made anew, the child has all of the memory and is not held,
 * and the core has it, too.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fixture.h"
#include "live.h"
#include "race.h"

enum {
	PAGE		= 4096,
	ROUNDS		= 4,
	/* Less than it takes to fork. */
	TIMEOUT_MS	= 10,
	/* Every so manieth page is looked at. */
	STEP		= 257,
	HEADERS		= 1 << 16,
	/* target_page.value[] */
	MEMORY		= 0,
	GO,
	FORKS,		/* begun */
	CHILDREN,	/* that run */
	/* The slots of the target. */
	FORKER		= 1,
};

#define SIZE	(4ULL << 30)

/* What the page at @offset begins with. */
static uint64_t mark_of(uint64_t offset)
{
	return offset ^ 0x5a5a5a5a5a5a5a5a;
}

static struct target_page *our_page;

/* The child: all is there, and nobody keeps it from saying so. */
static void look(const char *memory)
{
	__atomic_add_fetch(&our_page->value[CHILDREN], 1, __ATOMIC_SEQ_CST);
	for (uint64_t offset = 0; offset < SIZE; offset += STEP * PAGE)
		if (*(const uint64_t *)(memory + offset) != mark_of(offset))
			_exit(1);
	_exit(0);
}

/* By the call itself: how often libc would try is not known. */
static void *fork_when_told(void *argument)
{
	struct target_slot *slot = argument;
	const char *memory = (const char *)our_page->value[MEMORY];

	STORE(slot->tid, gettid());
	for (uint64_t n = 1;; n++) {
		int status;
		long pid;

		while (LOAD(our_page->value[GO]) < n)
			pause_briefly();
		STORE(our_page->value[FORKS], n);
		pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
		if (!pid)
			look(memory);
		STORE(slot->result, pid < 0 ? -errno : pid);
		if (pid > 0 && (waitpid(pid, &status, 0) != pid || status))
			STORE(slot->result, -ECHILD);
		STORE(slot->counter, n);
	}
	return NULL;
}

TARGET(large)
{
	char *memory = CHECK_POINTER(mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	struct target_slot *slot;

	our_page = self->page;
	our_page->value[MEMORY] = (uint64_t)memory;
	/* Few of them would be copied too fast. */
	target_small_pages(memory, SIZE);
	CHECK(madvise(memory, SIZE, MADV_POPULATE_WRITE));
	for (uint64_t offset = 0; offset < SIZE; offset += PAGE)
		*(uint64_t *)(memory + offset) = mark_of(offset);
	slot = target_slot(self);
	target_thread(slot, fork_when_told);
	return target_serve(self);
}

/* Where @address is in the core. */
static off_t offset_of(const unsigned char *headers, uint64_t address)
{
	const Elf64_Ehdr *ehdr = (const void *)headers;
	const Elf64_Phdr *phdr = (const void *)(headers + ehdr->e_phoff);

	for (int i = 0; i < ehdr->e_phnum; i++)
		if (phdr[i].p_type == PT_LOAD && address >= phdr[i].p_vaddr &&
		    address < phdr[i].p_vaddr + phdr[i].p_filesz)
			return phdr[i].p_offset + (address - phdr[i].p_vaddr);
	FAIL("address %#jx is not in the core", (uintmax_t)address);
}

static size_t wrong_pages(int fd, uint64_t memory)
{
	static unsigned char headers[HEADERS];
	size_t wrong = 0;
	off_t begin, end;

	if (CHECK(pread(fd, headers, HEADERS, 0)) != HEADERS)
		FAIL("the core is too short");
	begin = offset_of(headers, memory);
	/* It may be one segment with what lies beside it, but it is whole. */
	end = offset_of(headers, memory + SIZE - PAGE);
	if (end - begin != (off_t)(SIZE - PAGE))
		FAIL("the memory is in several segments");
	for (uint64_t offset = 0; offset < SIZE; offset += STEP * PAGE) {
		uint64_t mark = 0;

		if (CHECK(pread(fd, &mark, sizeof(mark), begin + offset)) != sizeof(mark))
			FAIL("the core is too short");
		wrong += mark != mark_of(offset);
	}
	return wrong;
}

CORE_TEST(of_much_memory)
{
	static const int modes[] = { LIVECORE_MODE_HOLD, LIVECORE_MODE_SNAPSHOT };
	struct target_slot *slot;
	unsigned int before = 0, running = 0;
	struct target t;

	sysctl_set("livecore_timeout_ms", TIMEOUT_MS);
	target_start(&t, "large", NULL);
	slot = &t.page->slot[FORKER];
	for (uint64_t n = 1; n <= ROUNDS; n++) {
		int mode = modes[n / 2 % 2], fd;
		struct livecore_info info;

		sysctl_set("livecore_mode", mode);
		STORE(t.page->value[GO], n);
		if (n % 2) {
			double end = seconds_now() + EVENT_SECONDS;

			/* Without a pause, so that we are there in time. */
			while (LOAD(t.page->value[FORKS]) < n)
				ASSERT_GT(end, seconds_now());
			before += LOAD(t.page->value[CHILDREN]) < n;
		} else {
			race_delay();
		}
		/* It fails where fork() keeps the lock for long, and threads are held by then. */
		fd = core_open_in_time(t.pid);
		ASSERT_LE(0, fd);
		info = live_info_of(fd);
		EXPECT_EQ(2, info.threads);
		EXPECT_EQ(0, info.zeroed);
		running += info.running;
		if (info.running && mode == LIVECORE_MODE_HOLD) {
			/* The child is another process, and runs. */
			EXPECT_TRUE(EVENTUALLY(LOAD(t.page->value[CHILDREN]) == n));
			EXPECT_TRUE(EVENTUALLY(thread_is_parked(t.pid, slot->tid)));
			EXPECT_EQ(n - 1, LOAD(slot->counter));
		}
		EXPECT_EQ(0, wrong_pages(fd, t.page->value[MEMORY]));
		close(fd);
		ASSERT_TRUE(EVENTUALLY(LOAD(slot->counter) == n));
		EXPECT_LT(0, slot->result)
			TH_LOG("fork: %s", strerror(-slot->result));
		/* No more children than calls. */
		EXPECT_EQ(n, LOAD(t.page->value[CHILDREN]));
	}
	fprintf(stderr, "# %u times it forked when open began, %u times when it was held\n", before,
		running);
	EXPECT_LT(0, before);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
