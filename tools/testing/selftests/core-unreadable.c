// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that should be there, and cannot be read: zeros, counted, and never
 * a wait that does not end.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "fixture.h"
#include "held_fs.h"
#include "live.h"
#include "missing_page.h"
#include "registers.h"

enum {
	PAGE	= 4096,
	PAGES	= 16,
	BROKEN	= 5,		/* the page that is */
};

static uint64_t unreadable_pages(int fd)
{
	return live_info_of(fd).unreadable_pages;
}

/* Where @address is in the file. */
static off_t offset_of(const struct image *image, uint64_t address)
{
	const unsigned char *bytes = image_at(image, address, PAGE);

	return bytes ? bytes - image->data : -1;
}

static bool is_all(const struct image *image, uint64_t address, unsigned char byte)
{
	const unsigned char *bytes = image_at(image, address, PAGE);

	for (int i = 0; bytes && i < PAGE; i++)
		if (bytes[i] != byte)
			return false;
	return bytes;
}

static unsigned char *region(int flags, int fd)
{
	unsigned char *bytes = CHECK_POINTER(mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
						  flags, fd, 0));

	target_small_pages(bytes, PAGES * PAGE);
	memset(bytes, 'r', PAGES * PAGE);
	return bytes;
}

static void outlive(int signal)
{
	(void)signal;
}

TARGET(poisoned)
{
	unsigned char *own = region(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	unsigned char *shared = region(MAP_SHARED | MAP_ANONYMOUS, -1);

	/* Whoever has such a page is told so. */
	signal(SIGBUS, outlive);
	CHECK(madvise(own + BROKEN * PAGE, PAGE, MADV_HWPOISON));
	CHECK(madvise(shared + BROKEN * PAGE, PAGE, MADV_HWPOISON));
	self->page->value[0] = (uint64_t)own;
	self->page->value[1] = (uint64_t)shared;
	return target_serve(self);
}

CORE_TEST(poisoned_pages_are_zeros)
{
	struct image image;
	struct target t;
	int fd;

	target_start(&t, "poisoned", NULL);
	target_settle(&t);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, image_read(&image, fd));
	EXPECT_EQ(2, unreadable_pages(fd));
	for (int i = 0; i < 2; i++) {
		for (int page = 0; page < PAGES; page++) {
			uint64_t address = t.page->value[i] + page * PAGE;
			off_t at = offset_of(&image, address);

			EXPECT_TRUE(is_all(&image, address, page == BROKEN ? 0 : 'r'))
				TH_LOG("region %d, page %d", i, page);
			/* There was something. */
			EXPECT_EQ(at, lseek(fd, at, SEEK_DATA));
		}
	}
	/* As often as they are read: by their first byte. */
	CHECK(lseek(fd, offset_of(&image, t.page->value[0] + BROKEN * PAGE), SEEK_SET));
	for (int i = 0; i < PAGE / 64; i++) {
		char bytes[64];

		ASSERT_EQ(64, read(fd, bytes, 64));
	}
	EXPECT_EQ(3, unreadable_pages(fd));
	image_free(&image);
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

static int unmap_when_told(void *argument)
{
	struct target_page *page = argument;

	while (!LOAD(page->value[1]))
		sched_yield();
	return munmap((void *)page->value[0], PAGES * PAGE) ? 1 : 0;
}

/* A process of its own, with the same memory: it is not held. */
TARGET(with_peer)
{
	unsigned char *stack = CHECK_POINTER(malloc(16 * PAGE));
	pid_t peer;

	self->page->value[0] = (uint64_t)region(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	peer = CHECK(clone(unmap_when_told, stack + 16 * PAGE, CLONE_VM | SIGCHLD, self->page));
	self->page->value[2] = peer;
	return target_serve(self);
}

static bool is_mapped(pid_t pid, uint64_t address)
{
	struct mapping *list;
	bool found = false;
	size_t count;

	list = mapping_list(pid, &count);
	for (size_t i = 0; i < count; i++)
		found |= list[i].start <= address && address < list[i].end;
	free(list);
	return found;
}

CORE_TEST(what_a_peer_unmaps_is_zeros)
{
	struct image before, after;
	struct target t;
	uint64_t address;
	off_t at;
	int fd;

	target_start(&t, "with_peer", NULL);
	target_settle(&t);
	address = t.page->value[0];
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, image_read(&before, fd));
	EXPECT_EQ(0, unreadable_pages(fd));
	at = offset_of(&before, address);
	ASSERT_LT(0, at);
	STORE(t.page->value[1], 1);
	ASSERT_TRUE(EVENTUALLY(!is_mapped(t.pid, address)));

	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	ASSERT_EQ(0, image_read(&after, fd));
	EXPECT_EQ(before.size, after.size);
	for (int page = 0; page < PAGES; page++) {
		EXPECT_TRUE(is_all(&before, address + page * PAGE, 'r'));
		EXPECT_TRUE(is_all(&after, address + page * PAGE, 0));
	}
	EXPECT_EQ(PAGES, unreadable_pages(fd));
	EXPECT_EQ(at, lseek(fd, at, SEEK_DATA));
	EXPECT_LE(at + PAGES * PAGE, lseek(fd, at, SEEK_HOLE));
	image_free(&before);
	image_free(&after);
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

static int uffd;

static void *monitor(void *argument)
{
	struct target_slot *slot = argument;
	struct uffd_msg message;

	STORE(slot->tid, gettid());
	slot->result = syscall(SYS_read, uffd, &message, sizeof(message));
	return NULL;
}

/* With a monitor, which is held with everybody else. */
TARGET(watched)
{
	struct target_slot *slot = target_slot(self);
	unsigned char *bytes = region(MAP_PRIVATE | MAP_ANONYMOUS, -1);

	CHECK(madvise(bytes + BROKEN * PAGE, PAGE, MADV_DONTNEED));
	uffd = missing_page_at((char *)bytes + BROKEN * PAGE);
	self->page->value[0] = (uint64_t)bytes;
	slot->nr = SYS_read;
	target_thread(slot, monitor);
	return target_serve(self);
}

CORE_TEST(a_watched_page_is_a_hole)
{
	const char *before;
	struct image image;
	struct target t;
	int fd;

	target_start(&t, "watched", NULL);
	target_settle(&t);
	before = fingerprint(t.pid);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, image_read(&image, fd));
	EXPECT_EQ(0, unreadable_pages(fd));
	for (int page = 0; page < PAGES; page++) {
		uint64_t address = t.page->value[0] + page * PAGE;
		off_t at = offset_of(&image, address);

		EXPECT_TRUE(is_all(&image, address, page == BROKEN ? 0 : 'r'))
			TH_LOG("page %d", page);
		EXPECT_EQ(at, lseek(fd, at, page == BROKEN ? SEEK_HOLE : SEEK_DATA))
			TH_LOG("page %d", page);
	}
	image_free(&image);
	close(fd);
	/* Its monitor has not been told of anything: it sleeps on. */
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	EXPECT_EQ(0, LOAD(t.page->slot[1].result));
	target_kill(&t);
}

enum { SECRET_PAGES = 4 };

TARGET(secret)
{
	int fd = CHECK(syscall(SYS_memfd_secret, O_CLOEXEC));
	unsigned char *secret[2];

	CHECK(ftruncate(fd, SECRET_PAGES * PAGE));
	for (int i = 0; i < 2; i++) {
		secret[i] = CHECK_POINTER(mmap(NULL, SECRET_PAGES * PAGE, PROT_READ | PROT_WRITE,
					       MAP_SHARED, fd, 0));
		memset(secret[i], 's', SECRET_PAGES * PAGE);
		self->page->value[i] = (uint64_t)secret[i];
	}
	/* One of them asks for it. */
	CHECK(madvise(secret[1], SECRET_PAGES * PAGE, MADV_DODUMP));
	return target_serve(self);
}

CORE_TEST(secrets_are_kept)
{
	struct image image;
	struct target t;
	int fd;

	target_start(&t, "secret", NULL);
	target_settle(&t);
	/* They are shared mappings of a file, which the default filter leaves out. */
	coredump_filter_set(t.pid, 0x7f);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, image_read(&image, fd));
	EXPECT_EQ(NULL, image_at(&image, t.page->value[0], PAGE));
	for (int page = 0; page < SECRET_PAGES; page++)
		EXPECT_TRUE(is_all(&image, t.page->value[1] + page * PAGE, 0));
	EXPECT_EQ(SECRET_PAGES, unreadable_pages(fd));
	image_free(&image);
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

FIXTURE(held_fs)
{
	struct sysctl_values sysctls;
	char path[40];
	struct target target;
};

FIXTURE_SETUP(held_fs)
{
	int fd;

	sysctl_prepare(&self->sysctls);
	strcpy(self->path, "/tmp/livecore-held-XXXXXX");
	fd = CHECK(mkstemp(self->path));
	close(fd);
}

FIXTURE_TEARDOWN_PARENT(held_fs)
{
	/* The target has died with its test. */
	umount2(self->path, MNT_DETACH);
	unlink(self->path);
	sysctl_restore(&self->sysctls);
}

/* Maps a file that one of its own threads serves, and has seen one page of it. */
TARGET(serving_itself)
{
	unsigned char *bytes;
	int fd;

	held_fs_mount(self, self->argument, PAGES);
	fd = CHECK(open(self->argument, O_RDONLY | O_CLOEXEC));
	bytes = CHECK_POINTER(mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
	/* Nothing is to be read ahead. */
	CHECK(madvise(bytes, PAGES * PAGE, MADV_RANDOM));
	target_small_pages(bytes, PAGES * PAGE);
	if (LOAD(bytes[BROKEN * PAGE]) != 'f')
		FAIL("a file of something else");
	/* So it is dumped as a whole. */
	bytes[0] = 'w';
	self->page->value[0] = (uint64_t)bytes;
	return target_serve(self);
}

/*
 * What is cached is read. For the rest a held thread would have to answer:
 * until the watchdog lets it go.
 */
TEST_F_TIMEOUT(held_fs, a_held_server_is_let_go, CORE_TEST_SECONDS)
{
	static unsigned char head[1 << 16];
	const Elf64_Phdr *phdr = NULL;
	const Elf64_Ehdr *ehdr = (const Elf64_Ehdr *)head;
	unsigned char byte = 0;
	struct target t;
	off_t at;
	int fd;

	target_start(&t, "serving_itself", self->path);
	target_settle(&t);
	sysctl_set("livecore_stall_ms", 2000);
	fd = core_open_in_time(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_EQ(sizeof(head), pread(fd, head, sizeof(head), 0));
	for (int i = 1; i < ehdr->e_phnum; i++) {
		const Elf64_Phdr *p = (const Elf64_Phdr *)(head + ehdr->e_phoff) + i;

		if (p->p_vaddr == t.page->value[0])
			phdr = p;
	}
	ASSERT_NE(NULL, phdr);
	ASSERT_EQ(PAGES * PAGE, phdr->p_filesz);
	at = phdr->p_offset;
	/* Asking where the data is asks nobody for it. */
	EXPECT_EQ(at, lseek(fd, at, SEEK_DATA));
	EXPECT_LE(at + PAGES * PAGE, lseek(fd, at, SEEK_HOLE));
	ASSERT_EQ(1, pread(fd, &byte, 1, at));
	EXPECT_EQ('w', byte);
	ASSERT_EQ(1, pread(fd, &byte, 1, at + BROKEN * PAGE));
	EXPECT_EQ('f', byte);

	/* The thread is free to answer, and the dump is over. */
	EXPECT_EQ(-1, pread(fd, &byte, 1, at + (BROKEN + 3) * PAGE));
	EXPECT_EQ(ETIMEDOUT, errno);
	close(fd);
	target_kill(&t);
}

static void *touch(void *argument)
{
	struct target_slot *slot = argument;

	STORE(slot->tid, gettid());
	STORE(slot->result, LOAD(*(char *)slot->value[0]));
	STORE(slot->counter, 1);
	return NULL;
}

/* Slot 1 serves a file; slot 2 touches a page of it on 'f', and is to get it on 'p'. */
TARGET(faulting)
{
	struct target_slot *slot;
	char command;
	void *page;
	int fd;

	self->page->value[0] = (uint64_t)region(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	held_fs_mount(self, self->argument, PAGES);
	held_fs_pause(true);
	held_fs_fail_next();
	slot = target_slot(self);
	/* In no system call. */
	slot->nr = -1;
	fd = CHECK(open(self->argument, O_RDONLY | O_CLOEXEC));
	page = CHECK_POINTER(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, BROKEN * PAGE));
	/* Nothing is to be read ahead. */
	CHECK(madvise(page, PAGE, MADV_RANDOM));
	slot->value[0] = (uint64_t)page;
	target_event(self, 'R');
	while ((command = target_command(self))) {
		if (command == 'f')
			target_thread(slot, touch);
		if (command == 'p')
			held_fs_pause(false);
		target_event(self, command);
	}
	return 0;
}

static void expect_region(struct __test_metadata *_metadata, const struct target *t, int fd,
			  struct image *image)
{
	ASSERT_EQ(0, image_read(image, fd));
	for (int page = 0; page < PAGES; page++)
		EXPECT_TRUE(is_all(image, t->page->value[0] + page * PAGE, 'r'));
	EXPECT_EQ(0, unreadable_pages(fd));
}

/* It is read where it sleeps, and its lock is in nobody's way but that of a copy. */
static void expect_fault(struct __test_metadata *_metadata, struct target *t, int fd)
{
	const struct target_slot *slot = &t->page->slot[2];
	const struct image_thread *thread;
	struct thread_syscall now;
	struct image image;

	expect_region(_metadata, t, fd, &image);
	thread = image_thread(&image, slot->tid);
	ASSERT_NE(NULL, thread);
	ASSERT_TRUE(thread_syscall(t->pid, slot->tid, &now));
	EXPECT_EQ(-1, now.nr);
	EXPECT_EQ(now.pc, registers_of(thread).rip);
	EXPECT_EQ(now.sp, registers_of(thread).rsp);
	EXPECT_EQ(LIVECORE_THREAD_IN_PLACE, live_thread(&image, slot->tid)->how);
	EXPECT_EQ(0, live_count(&image, LIVECORE_THREAD_ZEROED));
	image_free(&image);
}

/*
 * A thread sleeps in a page fault, with the process's mappings locked, until a
 * held one gives it the page. A copy made before has locks of its own.
 */
TEST_F_TIMEOUT(held_fs, a_fault_that_a_held_thread_serves, CORE_TEST_SECONDS)
{
	const struct target_slot *server, *faulting;
	struct image image;
	int fd, snapshot;
	struct target t;

	target_start(&t, "faulting", self->path);
	server = &t.page->slot[1];
	faulting = &t.page->slot[2];
	sysctl_set("livecore_mode", 1);
	snapshot = core_open(t.pid);
	ASSERT_LE(0, snapshot);
	EXPECT_EQ(LIVECORE_STATE_SNAPSHOT, live_info_of(snapshot).state);
	target_do(&t, 'f');
	/* It has failed once, and is asked again. */
	ASSERT_TRUE(EVENTUALLY(thread_rests_in(t.pid, server->tid, SYS_clock_nanosleep)));
	ASSERT_TRUE(EVENTUALLY(target_has_settled(&t, 2)));
	expect_region(_metadata, &t, snapshot, &image);
	image_free(&image);

	for (int mode = 0; mode < 2; mode++) {
		sysctl_set("livecore_mode", mode);
		fd = core_open(t.pid);
		ASSERT_LE(0, fd);
		EXPECT_EQ(LIVECORE_STATE_HELD, live_info_of(fd).state);
		EXPECT_EQ(mode ? LIVECORE_FALLBACK_BUSY : 0, live_info_of(fd).fallback);
		expect_fault(_metadata, &t, fd);
		if (mode) {
			/* It may serve, and does not run. */
			target_send(&t, 'p');
			EXPECT_TRUE(EVENTUALLY(thread_is_parked(t.pid, server->tid)));
			EXPECT_TRUE(EVENTUALLY(thread_is_parked(t.pid, t.pid)));
			EXPECT_TRUE(target_has_settled(&t, 2));
		}
		EXPECT_EQ(0, LOAD(faulting->counter));
		EXPECT_EQ(LIVECORE_STATE_HELD, live_info_of(fd).state);
		close(fd);
	}
	target_expect(&t, 'p');
	EXPECT_TRUE(EVENTUALLY(LOAD(faulting->counter)));
	EXPECT_EQ('f', faulting->result);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(LIVECORE_STATE_SNAPSHOT, live_info_of(fd).state);
	close(fd);
	close(snapshot);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
