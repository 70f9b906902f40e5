// SPDX-License-Identifier: GPL-2.0
/*
 * Snapshots: the process runs on while its core is read, which is that of one
 * instant.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "fixture.h"
#include "live.h"
#include "race.h"
#include "registers.h"
#include "sleepers.h"
#include "tally.h"

enum {
	PAGE	= 4096,
	SIZE	= 4 << 20,
	WORDS	= SIZE / sizeof(uint64_t),
	ROUNDS	= 8,
	ENDS	= 100,		/* of holds */
};

#define OLD	0x1111111111111111ULL
#define NEW	0x2222222222222222ULL

/* target_page.value[] of a writer. */
enum { MEMORY };

static void fill(uint64_t *memory, uint64_t with)
{
	for (size_t i = 0; i < WORDS; i++)
		memory[i] = with ^ i;
}

static uint64_t *map_memory(struct target_self *self)
{
	uint64_t *memory = CHECK_POINTER(mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
					      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	self->page->value[MEMORY] = (uintptr_t)memory;
	return memory;
}

static void execute_another(void)
{
	char *const arguments[] = { "cat", NULL };

	execv("/bin/cat", arguments);
	FAIL("execv");
}

/*
 * Does what it is told to: write new bytes over all of its old ones, unmap
 * them, execute another program, exit.
 */
TARGET(writer)
{
	uint64_t *memory = map_memory(self);
	char command;

	fill(memory, OLD);
	target_spinners(self, 2);
	target_event(self, 'R');
	while ((command = target_command(self))) {
		if (command == 'w')
			fill(memory, NEW);
		if (command == 'u')
			CHECK(munmap(memory, SIZE));
		if (command == 'e')
			execute_another();
		if (command == 'x')
			_exit(0);
		target_event(self, command);
	}
	return 0;
}

static size_t differing_words(const struct image *image, uint64_t address, uint64_t from)
{
	const uint64_t *memory = image_at(image, address, SIZE);
	size_t differing = 0;

	if (!memory)
		FAIL("not in the image");
	for (size_t i = 0; i < WORDS; i++)
		differing += memory[i] != (from ^ i);
	return differing;
}

CORE_TEST(is_of_one_instant)
{
	struct image image;
	struct target t;
	int fd;

	target_start(&t, "writer", NULL);
	target_settle(&t);
	sysctl_set("livecore_mode", 1);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(LIVECORE_STATE_SNAPSHOT, live_info_of(fd).state);
	EXPECT_EQ(LIVECORE_MODE_SNAPSHOT, live_info_of(fd).mode);
	EXPECT_EQ(0, live_info_of(fd).fallback);
	/* It runs, and changes everything before the first byte is read. */
	EXPECT_TRUE(target_runs(&t));
	target_do(&t, 'w');
	ASSERT_EQ(0, image_read(&image, fd));
	EXPECT_EQ(0, differing_words(&image, t.page->value[MEMORY], OLD));
	EXPECT_EQ(LIVECORE_MODE_SNAPSHOT, live_note(&image)->mode);
	EXPECT_EQ(0, live_note(&image)->fallback);
	EXPECT_EQ(LIVECORE_INEXACT_SHARED_MEMORY, live_note(&image)->inexact);
	image_free(&image);
	ASSERT_EQ(0, close(fd));
	/* And the next one is of what there is now. */
	ASSERT_EQ(0, image_dump(&image, t.pid));
	EXPECT_EQ(0, differing_words(&image, t.page->value[MEMORY], NEW));
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

static void *write_generations(void *argument)
{
	struct target_slot *slot = argument;
	uint64_t *memory = (void *)slot->value[0];

	STORE(slot->tid, gettid());
	for (uint64_t generation = 1;; generation++)
		for (size_t i = 0; i < WORDS; i++) {
			STORE(memory[i], generation);
			STORE(slot->counter, slot->counter + 1);
		}
	return NULL;
}

/* Writes one word after the other, over and over, and never stops. */
TARGET(generations)
{
	struct target_slot *slot = target_slot(self);

	slot->value[0] = (uintptr_t)map_memory(self);
	/* So that a copy takes its time. */
	target_small_pages((void *)slot->value[0], SIZE);
	slot->nr = SPINS;
	target_thread(slot, write_generations);
	return target_serve(self);
}

/*
 * At any instant the memory is some words of one generation, and then the rest
 * of the one before.
 */
CORE_TEST(is_of_one_instant_while_written)
{
	struct target t;

	target_start(&t, "generations", NULL);
	target_settle(&t);
	sysctl_set("livecore_mode", 1);
	for (int round = 0; round < ROUNDS; round++) {
		size_t same = 1, before = 0;
		const uint64_t *memory;
		struct image image;

		EXPECT_TRUE(target_runs(&t));
		ASSERT_EQ(0, image_dump(&image, t.pid));
		memory = image_at(&image, t.page->value[MEMORY], SIZE);
		ASSERT_NE(NULL, memory);
		while (same < WORDS && memory[same] == memory[0])
			same++;
		for (size_t i = same; i < WORDS; i++)
			before += memory[i] == memory[0] - 1;
		EXPECT_EQ(WORDS, same + before);
		image_free(&image);
	}
	EXPECT_EQ(0, target_finish(&t));
}

static void *count_in_a_register(void *argument)
{
	struct target_slot *slot = argument;

	STORE(slot->tid, gettid());
	asm volatile("1:	incq	%%rcx\n"
		     "	movq	%%rcx, (%0)\n"
		     "	movq	%%rcx, (%1)\n"
		     "	jmp	1b\n"
		     : : "r" (slot->value[0]), "r" (&slot->counter), "c" (0UL) : "memory");
	return NULL;
}

static void handle(int signal)
{
	(void)signal;
}

/* Counts in rcx, and has the count in the last word of its memory right after. */
TARGET(counter)
{
	struct sigaction action = { .sa_handler = handle, .sa_flags = SA_RESTART };
	struct target_slot *slot = target_slot(self);
	uint64_t *memory = map_memory(self);

	CHECK(sigaction(SIGTERM, &action, NULL));
	/* So that it takes its time until that one is copied. */
	target_small_pages(memory, SIZE);
	fill(memory, OLD);
	slot->value[0] = (uintptr_t)&memory[WORDS - 1];
	slot->nr = SPINS;
	target_thread(slot, count_in_a_register);
	return target_serve(self);
}

static void expect_one_instant(struct __test_metadata *_metadata, const struct target *t,
			       const struct image *image)
{
	const struct target_slot *slot = &t->page->slot[1];
	const struct image_thread *thread = image_thread(image, slot->tid);
	const uint64_t *memory = image_at(image, slot->value[0], sizeof(*memory));
	uint64_t count;

	ASSERT_NE(NULL, thread);
	ASSERT_NE(NULL, memory);
	count = registers_of(thread).rcx;
	EXPECT_LE(*memory, count);
	EXPECT_GE(*memory + 1, count);
}

/* The memory is that of the instant at which the registers were taken, and of no later one. */
CORE_TEST(registers_and_memory_agree)
{
	struct target t;

	target_start(&t, "counter", NULL);
	target_settle(&t);
	sysctl_set("livecore_mode", 1);
	for (int round = 0; round < ROUNDS; round++) {
		struct image image;

		EXPECT_TRUE(target_runs(&t));
		ASSERT_EQ(0, image_dump(&image, t.pid));
		expect_one_instant(_metadata, &t, &image);
		image_free(&image);
	}
	EXPECT_EQ(0, target_finish(&t));
}

struct ender {
	struct target *target;
	struct race_start start;
	unsigned long rounds;
};

/* Ends each hold, at any moment of it, by a signal or by the gate. */
static int end_holds(void *argument)
{
	struct ender *ender = argument;

	for (unsigned long round = 0; round < ender->rounds; round++) {
		race_meet(&ender->start, 2);
		race_delay();
		if (round % 2)
			CHECK(kill(ender->target->pid, SIGTERM));
		else
			sysctl_set("livecore_enable", 0);
		race_meet(&ender->start, 2);
		sysctl_set("livecore_enable", 1);
	}
	return 0;
}

/*
 * The copy may be made over a process that has been let go meanwhile: then there
 * is none. The last page is copied last, and what runs on writes there.
 */
CORE_TEST(ended_while_it_is_copied)
{
	struct ender *ender = CHECK_POINTER(mmap(NULL, sizeof(*ender), PROT_READ | PROT_WRITE,
						 MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	unsigned long ended = 0, read = 0;
	struct target t;
	pid_t pid;

	target_start(&t, "counter", NULL);
	target_settle(&t);
	sysctl_set("livecore_mode", 1);
	ender->target = &t;
	ender->rounds = rounds(ENDS);
	pid = race_process(end_holds, ender);
	for (unsigned long round = 0; round < ender->rounds; round++) {
		struct image image;
		int fd, result;

		race_meet(&ender->start, 2);
		fd = core_open(t.pid);
		result = fd < 0 ? fd : image_read(&image, fd);
		race_meet(&ender->start, 2);
		if (!result) {
			EXPECT_EQ(LIVECORE_MODE_SNAPSHOT, live_note(&image)->mode);
			expect_one_instant(_metadata, &t, &image);
			image_free(&image);
			read++;
		} else if (result != -EPERM) {
			/* Not by a gate that was shut before. */
			EXPECT_EQ(-ECANCELED, result);
			ended++;
		}
		if (fd >= 0)
			close(fd);
		EXPECT_TRUE(race_nobody_parked(t.pid));
	}
	EXPECT_EQ(0, race_process_end(pid));
	EXPECT_TRUE(target_runs(&t));
	EXPECT_LT(0, read);
	EXPECT_LT(0, ended);
	TH_LOG("%lu read, %lu ended", read, ended);
	tally("dumps", ender->rounds);
	tally("races provoked", ended);
	EXPECT_EQ(0, target_finish(&t));
}

/* What the process does with its mappings afterwards is no matter, either. */
CORE_TEST(outlives_the_mappings)
{
	static const char commands[] = "uex";

	sysctl_set("livecore_mode", 1);
	for (const char *command = commands; *command; command++) {
		struct image image;
		struct target t;
		uint64_t address;
		int fd;

		target_start(&t, "writer", NULL);
		target_settle(&t);
		address = t.page->value[MEMORY];
		fd = core_open(t.pid);
		ASSERT_LE(0, fd);
		target_send(&t, *command);
		if (*command == 'u')
			target_expect(&t, 'u');
		if (*command == 'e')
			EXPECT_TRUE(EVENTUALLY(proc_text_of(t.pid, "comm")[0] == 'c'));
		if (*command == 'x')
			EXPECT_EQ(0, target_dies_within(&t, EVENT_SECONDS));
		ASSERT_EQ(0, image_read(&image, fd));
		EXPECT_EQ(3, image.nr_threads);
		EXPECT_EQ(0, differing_words(&image, address, OLD));
		EXPECT_EQ(0, live_info_of(fd).unreadable_pages);
		image_free(&image);
		close(fd);
		if (*command != 'x')
			target_kill(&t);
	}
}

TARGET(sleepers_and_spinners)
{
	sleepers_start(self);
	target_spinners(self, 2);
	target_serve(self);
	sleepers_clean();
	return 0;
}

/* Nobody is woken, and a process that does not write is as it was. */
CORE_TEST(leaves_no_trace)
{
	const char *before;
	struct target t;

	target_start(&t, "sleepers_and_spinners", NULL);
	target_settle(&t);
	before = fingerprint(t.pid);
	sysctl_set("livecore_mode", 1);
	for (int round = 0; round < 5; round++) {
		struct image image;

		ASSERT_EQ(0, image_dump(&image, t.pid));
		EXPECT_EQ(t.page->nr_slots, image.nr_threads);
		EXPECT_EQ(LIVECORE_MODE_SNAPSHOT, live_note(&image)->mode);
		image_free(&image);
	}
	EXPECT_TRUE(target_runs(&t));
	for (uint32_t i = 0; i < t.page->nr_slots; i++)
		if (t.page->slot[i].nr != SPINS)
			EXPECT_EQ(0, LOAD(t.page->slot[i].counter));
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	EXPECT_EQ(0, target_finish(&t));
}

/* Any number, each of its own instant: nobody is kept from a dump. */
CORE_TEST(several_at_a_time)
{
	struct image image;
	int fd[3], held;
	struct target t;

	target_start(&t, "writer", NULL);
	target_settle(&t);
	sysctl_set("livecore_mode", 1);
	for (int i = 0; i < 3; i++) {
		fd[i] = core_open(t.pid);
		ASSERT_LE(0, fd[i]);
		target_do(&t, 'w');
	}
	sysctl_set("livecore_mode", 0);
	held = core_open(t.pid);
	ASSERT_LE(0, held);
	EXPECT_EQ(LIVECORE_STATE_HELD, live_info_of(held).state);
	/* Also while it is held by another one. */
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, image_read(&image, fd[i]));
		EXPECT_EQ(0, differing_words(&image, t.page->value[MEMORY], i ? NEW : OLD));
		image_free(&image);
		close(fd[i]);
	}
	EXPECT_FALSE(thread_sleeps_in(t.pid, t.page->slot[1].tid, SYS_pause));
	close(held);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

static uint64_t data_bytes(int fd)
{
	off_t data, hole = 0;
	uint64_t bytes = 0;

	while ((data = lseek(fd, hole, SEEK_DATA)) >= 0) {
		hole = CHECK(lseek(fd, data, SEEK_HOLE));
		bytes += hole - data;
	}
	if (errno != ENXIO)
		FAIL("SEEK_DATA");
	return bytes;
}

/* What each of the contents has; of the registers alone, nothing need be copied. */
CORE_TEST(contents)
{
	struct livecore_config config = {
		.size = sizeof(config),
		.set = LIVECORE_SET_MODE | LIVECORE_SET_CONTENTS,
		.mode = LIVECORE_MODE_SNAPSHOT,
	};
	uint64_t size[3];
	struct target t;

	target_start(&t, "writer", NULL);
	target_settle(&t);
	for (unsigned int contents = 0; contents <= LIVECORE_CONTENTS_FULL; contents++) {
		struct image image;
		int fd;

		config.contents = contents;
		fd = live_dump(t.pid, &config);
		ASSERT_LE(0, fd);
		EXPECT_EQ(LIVECORE_STATE_SNAPSHOT, live_info_of(fd).state);
		EXPECT_TRUE(target_runs(&t));
		EXPECT_EQ(0, live_release(fd));
		EXPECT_EQ(LIVECORE_STATE_SNAPSHOT, live_info_of(fd).state);
		size[contents] = data_bytes(fd);
		ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
		ASSERT_EQ(0, image_read(&image, fd));
		EXPECT_EQ(3, image.nr_threads);
		EXPECT_EQ(contents, live_note(&image)->contents);
		EXPECT_EQ(0, live_info_of(fd).unreadable_pages);
		image_free(&image);
		close(fd);
	}
	EXPECT_LT(size[0], size[1]);
	EXPECT_LT(size[1], size[2]);
	EXPECT_LT(SIZE, size[2]);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(ends_with_the_gate)
{
	struct target t;
	char byte;
	int fd;

	target_start(&t, "writer", NULL);
	target_settle(&t);
	sysctl_set("livecore_mode", 1);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(1, pread(fd, &byte, 1, 0));
	sysctl_set("livecore_enable", 0);
	EXPECT_EQ(-1, pread(fd, &byte, 1, 0));
	EXPECT_EQ(ECANCELED, errno);
	EXPECT_EQ(LIVECORE_STATE_ENDED, live_info_of(fd).state);
	close(fd);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

/* Nothing stands still for a reader that does nothing, so nothing ends it. */
CORE_TEST(waits_for_an_idle_reader)
{
	struct image image;
	struct target t;
	double begin;
	int fd;

	target_start(&t, "writer", NULL);
	target_settle(&t);
	sysctl_set("livecore_mode", 1);
	sysctl_set("livecore_stall_ms", 1000);
	fd = core_open_in_time(t.pid);
	ASSERT_LE(0, fd);
	begin = seconds_now();
	/* That a hold would have ended. */
	EXPECT_TRUE(EVENTUALLY(seconds_now() - begin > 4));
	ASSERT_EQ(0, image_read(&image, fd));
	EXPECT_EQ(0, differing_words(&image, t.page->value[MEMORY], OLD));
	image_free(&image);
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

/* The opener of a descriptor that is passed on may die, and the copy is nobody's. */
CORE_TEST(outlives_its_opener)
{
	struct image image;
	int status, pair[2];
	struct target t;
	pid_t opener;
	char byte;
	int fd;

	target_start(&t, "writer", NULL);
	target_settle(&t);
	sysctl_set("livecore_mode", 1);
	ASSERT_EQ(0, pipe(pair));
	opener = fork();
	ASSERT_LE(0, opener);
	if (!opener) {
		fd = core_open(t.pid);
		dprintf(pair[1], "%c", fd < 0 ? 'n' : fd);
		pause();
	}
	ASSERT_EQ(1, read(pair[0], &byte, 1));
	ASSERT_NE('n', byte);
	status = CHECK(syscall(SYS_pidfd_open, opener, 0));
	fd = CHECK(syscall(SYS_pidfd_getfd, status, byte, 0));
	close(status);
	ASSERT_EQ(0, kill(opener, SIGKILL));
	ASSERT_EQ(opener, waitpid(opener, &status, 0));
	target_do(&t, 'w');
	ASSERT_EQ(0, image_read(&image, fd));
	EXPECT_EQ(0, differing_words(&image, t.page->value[MEMORY], OLD));
	image_free(&image);
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
