// SPDX-License-Identifier: GPL-2.0
/*
 * Where a copy of the memory would be wrong, or would hurt the process, it is
 * held instead, and the dump says so.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include "fixture.h"
#include "frozen_fs.h"
#include "listing.h"
#include "live.h"
#include "missing_page.h"

enum {
	PAGE	= 4096,
	SIZE	= 1 << 20,
	HUGE	= 2 << 20,
};

/* target_page.value[] of a target. */
enum { MEMORY, SHM_ID };

static void *anonymous(size_t size, int flags)
{
	void *memory = CHECK_POINTER(mmap(NULL, size, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0));

	memset(memory, 'o', size);
	return memory;
}

/* The ring of a perf event: two pages, and perf counts who maps them. */
static char *map_perf(void)
{
	struct perf_event_attr event = {
		.size = sizeof(event),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_DUMMY,
	};
	int fd = CHECK(syscall(SYS_perf_event_open, &event, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));

	/* The first of them is ours to write. */
	return CHECK_POINTER(mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
}

/* Locked until the last descriptor, or mapping, is gone. */
static char *map_locked(void)
{
	int fd = CHECK(open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));

	CHECK(ftruncate(fd, PAGE));
	CHECK(flock(fd, LOCK_EX));
	return CHECK_POINTER(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
}

static char *make_special(struct target_self *self)
{
	const char *kind = self->argument;
	struct missing_page page;
	char *memory;

	if (!strcmp(kind, "hugetlb"))
		return anonymous(HUGE, MAP_HUGETLB);
	if (!strcmp(kind, "shared-hugetlb"))
		return CHECK_POINTER(mmap(NULL, HUGE, PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0));
	if (!strcmp(kind, "flock"))
		return map_locked();
	if (!strcmp(kind, "perf"))
		return map_perf();
	if (!strcmp(kind, "userfaultfd"))
		missing_page_create(&page);
	if (!strcmp(kind, "sysv")) {
		self->page->value[SHM_ID] = CHECK(shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600));
		return CHECK_POINTER(shmat(self->page->value[SHM_ID], NULL, 0));
	}
	memory = anonymous(PAGE, 0);
	if (!strcmp(kind, "dontfork"))
		CHECK(madvise(memory, PAGE, MADV_DONTFORK));
	if (!strcmp(kind, "wipeonfork"))
		CHECK(madvise(memory, PAGE, MADV_WIPEONFORK));
	return memory;
}

/* Has memory of the kind that it is told; writes it when it is told to. */
TARGET(special)
{
	char *memory = make_special(self), *plain = anonymous(SIZE, 0);
	char command;

	self->page->value[MEMORY] = (uintptr_t)plain;
	target_spinners(self, 2);
	target_event(self, 'R');
	while ((command = target_command(self))) {
		memset(memory, 'n', PAGE);
		memset(plain, 'n', SIZE);
		target_event(self, command);
	}
	if (!strcmp(self->argument, "sysv"))
		CHECK(shmctl(self->page->value[SHM_ID], IPC_RMID, NULL));
	return 0;
}

static size_t count_byte(const struct image *image, uint64_t address, char byte)
{
	const char *memory = image_at(image, address, SIZE);
	size_t count = 0;

	if (!memory)
		FAIL("not in the image");
	for (size_t i = 0; i < SIZE; i++)
		count += memory[i] == byte;
	return count;
}

static void expect_fallback(struct __test_metadata *_metadata, struct target *t, uint32_t reason)
{
	struct listing_row row;
	struct image image;
	int fd;

	sysctl_set("livecore_mode", 1);
	fd = core_open(t->pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(LIVECORE_STATE_HELD, live_info_of(fd).state);
	EXPECT_EQ(LIVECORE_MODE_HOLD, live_info_of(fd).mode);
	/* There the mode is the one that was asked for. */
	ASSERT_TRUE(listing_of(t->pid, &row));
	EXPECT_STREQ("snapshot", row.mode);
	EXPECT_STREQ("held", row.state);
	EXPECT_EQ(reason, live_info_of(fd).fallback);
	ASSERT_EQ(0, image_read(&image, fd));
	EXPECT_EQ(LIVECORE_MODE_HOLD, live_note(&image)->mode);
	EXPECT_EQ(reason, live_note(&image)->fallback);
	EXPECT_FALSE(live_note(&image)->inexact & LIVECORE_INEXACT_SHARED_MEMORY);
	EXPECT_EQ(SIZE, count_byte(&image, t->page->value[MEMORY], 'o'));
	image_free(&image);
	ASSERT_EQ(0, close(fd));
	/* And it lives on. */
	EXPECT_TRUE(target_runs(t));
	target_do(t, 'w');
	EXPECT_EQ(0, target_finish(t));
}

static void expect_fallback_of(struct __test_metadata *_metadata, const char *kind,
			       uint32_t reason)
{
	struct target t;

	target_start(&t, "special", kind);
	target_settle(&t);
	expect_fallback(_metadata, &t, reason);
}

CORE_TEST(userfaultfd)
{
	expect_fallback_of(_metadata, "userfaultfd", LIVECORE_FALLBACK_USERFAULTFD);
}

CORE_TEST(dontfork)
{
	expect_fallback_of(_metadata, "dontfork", LIVECORE_FALLBACK_DONTFORK);
}

CORE_TEST(wipeonfork)
{
	expect_fallback_of(_metadata, "wipeonfork", LIVECORE_FALLBACK_WIPEONFORK);
}

/* What is not dumped need not be copied. */
CORE_TEST(dontfork_that_is_not_dumped)
{
	struct target t;
	int fd;

	target_start(&t, "special", "dontfork");
	target_settle(&t);
	/* Private anonymous memory is not. */
	coredump_filter_set(t.pid, 0);
	sysctl_set("livecore_mode", 1);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(LIVECORE_STATE_SNAPSHOT, live_info_of(fd).state);
	EXPECT_EQ(0, live_info_of(fd).fallback);
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

static uint64_t attachments(int id)
{
	struct shmid_ds segment;

	CHECK(shmctl(id, IPC_STAT, &segment));
	return segment.shm_nattch;
}

/* Who looks whether a segment is in use finds the process's attachment alone. */
CORE_TEST(sysv)
{
	struct target t;
	int fd, id;

	target_start(&t, "special", "sysv");
	target_settle(&t);
	id = t.page->value[SHM_ID];
	sysctl_set("livecore_mode", 1);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(LIVECORE_FALLBACK_SYSV, live_info_of(fd).fallback);
	EXPECT_EQ(1, attachments(id));
	close(fd);
	expect_fallback(_metadata, &t, LIVECORE_FALLBACK_SYSV);
}

/* Who counts its mappings: perf. */
CORE_TEST(in_use)
{
	expect_fallback_of(_metadata, "perf", LIVECORE_FALLBACK_IN_USE);
}

/* When the process is gone, the next one is to get the lock. */
CORE_TEST(locked)
{
	expect_fallback_of(_metadata, "flock", LIVECORE_FALLBACK_LOCKED);
}

static void set_huge_pages(int count)
{
	char text[16];
	int fd = CHECK(open("/proc/sys/vm/nr_hugepages", O_WRONLY | O_CLOEXEC));

	snprintf(text, sizeof(text), "%d", count);
	CHECK(write(fd, text, strlen(text)));
	close(fd);
}

static bool one_is_free(void)
{
	char *text = CHECK_POINTER(proc_text("meminfo"));
	long long free_pages = text_number(text, "HugePages_Free");

	free(text);
	return free_pages == 1;
}

/* There is none to spare: a write to a copied one would be a SIGBUS. */
CORE_TEST(hugetlb)
{
	set_huge_pages(1);
	expect_fallback_of(_metadata, "hugetlb", LIVECORE_FALLBACK_HUGETLB);
	/* Whoever has read the memory may be the last to give it back, by a work. */
	ASSERT_TRUE(EVENTUALLY(one_is_free()));
	expect_fallback_of(_metadata, "shared-hugetlb", LIVECORE_FALLBACK_HUGETLB);
	set_huge_pages(0);
}

/* With nothing of the kind there is no reason. */
CORE_TEST(none)
{
	struct target t;
	int fd;

	target_start(&t, "special", "");
	target_settle(&t);
	sysctl_set("livecore_mode", 1);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(LIVECORE_STATE_SNAPSHOT, live_info_of(fd).state);
	EXPECT_EQ(0, live_info_of(fd).fallback);
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

static void *write_to_frozen(void *argument)
{
	struct target_slot *slot = argument;

	STORE(slot->tid, gettid());
	*(volatile char *)slot->value[0] = 'n';
	STORE(slot->counter, 1);
	return NULL;
}

/* Writes to a page of a file that others may see, which asks the file system. */
TARGET(shared_writer)
{
	struct target_slot *slot = target_slot(self);
	char *plain = anonymous(SIZE, 0);
	int fd = CHECK(open(self->argument, O_RDWR | O_CREAT | O_CLOEXEC, 0600));

	CHECK(ftruncate(fd, PAGE));
	slot->value[0] = (uintptr_t)CHECK_POINTER(mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
						       MAP_SHARED, fd, 0));
	self->page->value[MEMORY] = (uintptr_t)plain;
	/* It is there, to be read. */
	if (*(volatile char *)slot->value[0])
		FAIL("not a new file");
	target_event(self, 'R');
	target_command(self);
	target_thread(slot, write_to_frozen);
	return target_serve(self);
}

FIXTURE(frozen)
{
	struct sysctl_values sysctls;
	struct frozen_fs fs;
};

FIXTURE_SETUP(frozen)
{
	frozen_fs_create(&self->fs);
	sysctl_prepare(&self->sysctls);
}

FIXTURE_TEARDOWN_PARENT(frozen)
{
	sysctl_restore(&self->sysctls);
	frozen_fs_destroy(&self->fs);
}

/*
 * A thread sleeps in a page fault, and has its mapping locked: a copy would
 * wait for it, and everybody for the copy.
 */
TEST_F_TIMEOUT(frozen, busy, CORE_TEST_SECONDS)
{
	struct target_slot *slot;
	struct image image;
	struct target t;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/file", self->fs.directory);
	target_start(&t, "shared_writer", path);
	slot = &t.page->slot[1];
	frozen_fs_freeze(&self->fs);
	target_send(&t, 'w');
	target_expect(&t, 'R');
	ASSERT_TRUE(EVENTUALLY(thread_state(t.pid, LOAD(slot->tid)) == 'D'));
	sysctl_set("livecore_mode", 1);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(LIVECORE_STATE_HELD, live_info_of(fd).state);
	EXPECT_EQ(LIVECORE_FALLBACK_BUSY, live_info_of(fd).fallback);
	ASSERT_EQ(0, image_read(&image, fd));
	EXPECT_EQ(SIZE, count_byte(&image, t.page->value[MEMORY], 'o'));
	image_free(&image);
	close(fd);
	frozen_fs_thaw(&self->fs);
	EXPECT_TRUE(EVENTUALLY(LOAD(slot->counter)));
	/* And then it is not in the way any more. */
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(LIVECORE_STATE_SNAPSHOT, live_info_of(fd).state);
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
