// SPDX-License-Identifier: GPL-2.0
/*
 * Whatever the module hands out was written before. The kernel is booted so that
 * memory, when it is allocated, has values that are known (mm/page_poison.c and
 * mm/slub.c): they are looked for in all that can be read.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "frame.h"
#include "known.h"
#include "live.h"
#include "module.h"
#include "sleepers.h"

enum {
	PAGE		= 4096,
	PAGES		= 16,
	SPINNERS	= 2,
	TIMEOUT_MS	= 200,
	FILTER_ALL	= 0x1ff,
	/* So many of the same, one after the other, are no chance. */
	RUN		= 4,
	/* include/linux/poison.h: of what is free in a slab, is a slab's own, is a free page. */
	POISON_FREE	= 0x6b,
	POISON_INUSE	= 0x5a,
	PAGE_POISON	= 0xaa,
	/* What livecore_unset takes from a slab, and what from pages. */
	SMALL		= 192,
	LARGE		= 64 * PAGE,
};

#define STAY	"livecore_stay"
#define UNSET	"livecore_unset"

FIXTURE(poison)
{
	struct sysctl_values sysctls;
};

FIXTURE_SETUP(poison)
{
	sysctl_prepare(&self->sysctls);
	test_module_load(STAY);
	test_module_load(UNSET);
}

FIXTURE_TEARDOWN_PARENT(poison)
{
	sysctl_restore(&self->sysctls);
	test_module_unload(UNSET);
	test_module_unload(STAY);
}

#define POISON_TEST(name)	TEST_F_TIMEOUT(poison, name, CORE_TEST_SECONDS)

static bool is_poison(unsigned char byte)
{
	return byte == POISON_FREE || byte == POISON_INUSE || byte == PAGE_POISON;
}

/* Where it begins; @size if there is none. */
static size_t find_poison(const unsigned char *bytes, size_t size)
{
	size_t run = 0;

	for (size_t i = 0; i < size; i++) {
		run = run && bytes[i] == bytes[i - 1] ? run + 1 : 1;
		if (run == RUN && is_poison(bytes[i]))
			return i + 1 - RUN;
	}
	return size;
}

static void expect_none(struct __test_metadata *_metadata, const char *what,
			const void *bytes, size_t size)
{
	size_t at = find_poison(bytes, size);

	EXPECT_EQ(size, at)
		TH_LOG("%s has %#x at %zu of %zu", what, ((const uint8_t *)bytes)[at], at, size);
}

/* What of the process's memory looks like it is in the process, too. */
static void expect_its_own(struct __test_metadata *_metadata, const struct image *image,
			   pid_t pid)
{
	unsigned char page[PAGE];
	char path[64];
	int mem;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = CHECK(open(path, O_RDONLY | O_CLOEXEC));
	for (size_t i = 0; i < image_nr_loads(image); i++) {
		const Elf64_Phdr *p = image_load(image, i);

		for (uint64_t at = 0; at < p->p_filesz; at += PAGE) {
			const unsigned char *bytes = image->data + p->p_offset + at;

			if (find_poison(bytes, PAGE) == PAGE)
				continue;
			ASSERT_EQ(PAGE, pread(mem, page, PAGE, p->p_vaddr + at))
				TH_LOG("%llx cannot be read", (long long)(p->p_vaddr + at));
			EXPECT_EQ(0, memcmp(page, bytes, PAGE));
		}
	}
	close(mem);
}

/* What is before, and between, the process's memory; the file ends with that. */
static void expect_clean_image(struct __test_metadata *_metadata, const char *what,
			       const struct image *image, pid_t pid)
{
	size_t end = image->size;

	for (size_t i = 0; i < image_nr_loads(image); i++) {
		const Elf64_Phdr *p = image_load(image, i);

		if (p->p_filesz && p->p_offset < end)
			end = p->p_offset;
	}
	expect_none(_metadata, what, image->data, end);
	expect_its_own(_metadata, image, pid);
}

/* Asked for more than there is: the kernel's own size, or one that is longer. */
static void expect_clean_info(struct __test_metadata *_metadata, const char *what, int fd)
{
	struct {
		struct livecore_info info;
		unsigned char behind[64];
	} asked;

	memset(&asked, 0xff, sizeof(asked));
	asked.info.size = sizeof(asked);
	ASSERT_EQ(0, ioctl(fd, LIVECORE_IOC_INFO, &asked));
	expect_none(_metadata, what, &asked, sizeof(asked));
}

static void expect_clean_list(struct __test_metadata *_metadata)
{
	char *text = CHECK_POINTER(proc_text("livecore"));

	expect_none(_metadata, "/proc/livecore", text, strlen(text));
	free(text);
}

/* A dump as the sysctls say, whatever of it there is to read; it has @how threads so captured. */
static void expect_clean_dump(struct __test_metadata *_metadata, const char *what, pid_t pid,
			      unsigned int how, unsigned int threads)
{
	struct image image;
	int fd = core_open(pid);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, image_read(&image, fd));
	EXPECT_EQ(threads, live_count(&image, how));
	expect_clean_image(_metadata, what, &image, pid);
	expect_clean_info(_metadata, what, fd);
	expect_clean_list(_metadata);
	close(fd);
	image_free(&image);
}

/* Sees to it that the tests below can find something. */
POISON_TEST(the_kernel_poisons)
{
	static unsigned char bytes[LARGE];
	int fd = CHECK(open("/dev/" UNSET, O_RDONLY | O_CLOEXEC));

	ASSERT_EQ(SMALL, read(fd, bytes, SMALL));
	EXPECT_EQ(0, find_poison(bytes, SMALL));
	EXPECT_EQ(POISON_FREE, bytes[0]);
	ASSERT_EQ(LARGE, read(fd, bytes, LARGE));
	for (size_t at = 0; at < LARGE; at += PAGE) {
		EXPECT_EQ(0, find_poison(bytes + at, PAGE));
		EXPECT_EQ(PAGE_POISON, bytes[at]);
	}
	close(fd);
}

static void *stay(void *argument)
{
	struct target_slot *slot = argument;
	int fd = CHECK(open("/dev/" STAY, O_RDONLY | O_CLOEXEC));

	STORE(slot->tid, gettid());
	/* A byte comes at once, the end of the call later. */
	STORE(slot->result, read(fd, &slot->counter, 1));
	return NULL;
}

/* Threads of many kinds; memory that was never written, and some that its file no longer has. */
TARGET(mixed)
{
	int fd = CHECK(memfd_create("short", MFD_CLOEXEC));
	char *gone;

	sleepers_start(self);
	target_spinners(self, SPINNERS);
	CHECK_POINTER(mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	CHECK(ftruncate(fd, PAGES * PAGE));
	gone = CHECK_POINTER(mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	memset(gone, 1, PAGES * PAGE);
	CHECK(ftruncate(fd, PAGE + 1));
	target_serve(self);
	sleepers_clean();
	return 0;
}

POISON_TEST(of_all_contents)
{
	static const char * const modes[] = {
		[LIVECORE_MODE_HOLD] = "hold", [LIVECORE_MODE_SNAPSHOT] = "snapshot",
	};
	struct target t;

	target_start(&t, "mixed", NULL);
	target_settle(&t);
	coredump_filter_set(t.pid, FILTER_ALL);
	for (int mode = LIVECORE_MODE_HOLD; mode <= LIVECORE_MODE_SNAPSHOT; mode++) {
		sysctl_set("livecore_mode", mode);
		for (int contents = 0; contents <= LIVECORE_CONTENTS_FULL; contents++) {
			sysctl_set("livecore_contents", contents);
			expect_clean_dump(_metadata, modes[mode], t.pid,
					  LIVECORE_THREAD_PARKED, SPINNERS);
		}
	}
	EXPECT_EQ(0, target_finish(&t));
}

POISON_TEST(of_32_bits)
{
	char directory[] = "/tmp/livecore-XXXXXX", text[64];
	struct target t;

	CHECK_POINTER(mkdtemp(directory));
	snprintf(text, sizeof(text), "%s 0x33", directory);
	target_start_known(&t, TARGET_32, text);
	target_settle(&t);
	for (int mode = LIVECORE_MODE_HOLD; mode <= LIVECORE_MODE_SNAPSHOT; mode++) {
		sysctl_set("livecore_mode", mode);
		expect_clean_dump(_metadata, "32 bits", t.pid, LIVECORE_THREAD_PARKED,
				  KNOWN_SPINS_TOO + 1);
	}
	EXPECT_EQ(0, target_finish(&t));
	snprintf(text, sizeof(text), "rm -r %s", directory);
	CHECK(system(text));
}

/* Nobody has written the registers of those that are not waited for any longer. */
POISON_TEST(of_the_given_up)
{
	struct target t;

	target_start(&t, "mixed", NULL);
	target_settle(&t);
	sysctl_set("livecore_blocked", LIVECORE_BLOCKED_WAIT);
	sysctl_set("livecore_timeout_ms", TIMEOUT_MS);
	expect_clean_dump(_metadata, "given up", t.pid, LIVECORE_THREAD_ZEROED,
			  t.page->nr_slots - SPINNERS);
	EXPECT_EQ(0, target_finish(&t));
}

TARGET(busy)
{
	struct target_slot *slot = target_slot(self);

	slot->nr = SYS_read;
	target_thread(slot, stay);
	return target_serve(self);
}

/* Of these the general registers alone are known. */
POISON_TEST(of_the_running)
{
	int let_go = CHECK(open("/dev/" STAY, O_WRONLY | O_CLOEXEC));
	struct target t;

	target_start(&t, "busy", NULL);
	ASSERT_TRUE(EVENTUALLY(LOAD(t.page->slot[1].counter)));
	sysctl_set("livecore_timeout_ms", TIMEOUT_MS);
	expect_clean_dump(_metadata, "running", t.pid, LIVECORE_THREAD_RUNNING, 1);
	CHECK(write(let_go, "", 1));
	close(let_go);
	EXPECT_EQ(0, target_finish(&t));
}

POISON_TEST(of_the_caller)
{
	sysctl_set("livecore_enable", 3);
	expect_clean_dump(_metadata, "self", getpid(), LIVECORE_THREAD_CALLER, 1);
}

/* In each of its states. */
POISON_TEST(of_its_states)
{
	struct target t;
	int fd;

	target_start(&t, "mixed", NULL);
	target_settle(&t);
	fd = CHECK(live_open(t.pid));
	expect_clean_info(_metadata, "idle", fd);
	expect_clean_list(_metadata);
	ASSERT_EQ(0, live_start(fd));
	expect_clean_info(_metadata, "held", fd);
	ASSERT_EQ(0, live_release(fd));
	expect_clean_info(_metadata, "released", fd);
	expect_clean_list(_metadata);
	close(fd);
	fd = CHECK(live_dump(t.pid, NULL));
	sysctl_set("livecore_enable", 0);
	EXPECT_EQ(LIVECORE_STATE_ENDED, live_info_of(fd).state);
	expect_clean_info(_metadata, "ended", fd);
	expect_clean_list(_metadata);
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
