// SPDX-License-Identifier: GPL-2.0
/*
 * The instrument of the other tests: the fingerprint of a process stays the
 * same when nothing happens, and shows everything that a dump might do to it.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include "fixture.h"
#include "sleepers.h"

enum { PAGE = 4096, HALF = 64, PAGES = 2 * HALF };

static unsigned char *region;
static int segment;

/* Does to itself what the command says. */
static void change(char command)
{
	switch (command) {
	case 't':	/* touches a page that was not there */
		STORE(region[HALF * PAGE], 1);
		break;
	case 'z':	/* reads one: the zero page is there now */
		(void)LOAD(region[(HALF + 1) * PAGE]);
		break;
	case 'w':	/* writes again to those that are there */
		for (int i = 0; i < HALF; i++)
			STORE(region[i * PAGE], 2);
		break;
	case 'd':	/* drops one */
		CHECK(madvise(region, PAGE, MADV_DONTNEED));
		break;
	case 'm':	/* splits a mapping */
		CHECK(mprotect(region + PAGE, PAGE, PROT_READ));
		break;
	case 'a':	/* attaches a System V segment */
		CHECK_POINTER(shmat(segment, NULL, 0));
		break;
	}
}

TARGET(changing)
{
	char command;

	segment = CHECK(shmget(IPC_PRIVATE, PAGE, 0600));
	region = CHECK_POINTER(mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	for (int i = 0; i < HALF; i++)
		region[i * PAGE] = 1;
	sleepers_start(self);
	target_event(self, 'R');
	while ((command = target_command(self))) {
		change(command);
		target_event(self, command);
	}
	CHECK(shmctl(segment, IPC_RMID, NULL));
	sleepers_clean();
	return 0;
}

static size_t lines_with(const char *text, const char *word)
{
	size_t n = 0;

	while ((text = strstr(text, word))) {
		text += strlen(word);
		n++;
	}
	return n;
}

CORE_TEST(same_when_nothing_happens)
{
	const char *before;
	struct target t;

	target_start(&t, "changing", NULL);
	target_settle(&t);
	before = fingerprint(t.pid);
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	/* A line for every thread, and every value has been found. */
	EXPECT_EQ(t.page->nr_slots, lines_with(before, " switches "));
	EXPECT_EQ(0, lines_with(before, "switches -1"));
	EXPECT_EQ(0, lines_with(before, "smaps Rss: -1"));
	EXPECT_EQ(1, lines_with(before, "status VmPTE:"));
	EXPECT_EQ(1, lines_with(before, "pagemap soft-dirty 0\n"))
		TH_LOG("%s", before);
	EXPECT_EQ(0, target_finish(&t));
}

/* The number in the only line that begins with @key. */
static long number(const char *text, const char *key)
{
	const char *line = strstr(text, key);

	return line ? strtol(line + strlen(key), NULL, 10) : -1;
}

struct expectation {
	char command;
	const char *key;
	long at_least;		/* by how much the number grows */
	long at_most;
};

static const struct expectation expectations[] = {
	/* The leader takes a command: that dirties little, and adds nothing. */
	{ '-', "smaps Rss: ", 0, 0 },
	{ '-', "pagemap soft-dirty ", 0, 20 },
	{ '-', "pagemap mappings ", 0, 0 },
	{ 't', "smaps Rss: ", 4, 4 },
	{ 'w', "pagemap soft-dirty ", HALF, HALF + 20 },
	{ 'd', "smaps Anonymous: ", -4, -4 },
	{ 'm', "pagemap mappings ", 2, 2 },
	{ 'a', "status VmSize:\t", 4, 4 },
};

CORE_TEST(shows_what_the_process_does)
{
	struct target t;

	target_start(&t, "changing", NULL);
	target_settle(&t);
	/* The first command takes the pages that commands take. */
	target_do(&t, '-');
	target_settle(&t);
	for (size_t i = 0; i < ARRAY_SIZE(expectations); i++) {
		const struct expectation *e = &expectations[i];
		const char *before, *now;
		long grown;

		before = fingerprint(t.pid);
		target_do(&t, e->command);
		target_settle(&t);
		now = fingerprint_now(t.pid);
		grown = number(now, e->key) - number(before, e->key);
		EXPECT_LE(e->at_least, grown)
			TH_LOG("command %c: %s", e->command, e->key);
		EXPECT_GE(e->at_most, grown)
			TH_LOG("command %c: %s", e->command, e->key);
		/* The leader's switches, if nothing else. */
		EXPECT_LE(1, fingerprint_changes(t.pid, before));
	}
	EXPECT_EQ(0, target_finish(&t));
}

/* A page of zeros that is only read costs nothing but its entry in a table. */
CORE_TEST(shows_a_zero_page)
{
	const char *before, *now;
	struct target t;

	target_start(&t, "changing", NULL);
	target_settle(&t);
	target_do(&t, '-');
	target_settle(&t);
	before = fingerprint(t.pid);
	target_do(&t, 'z');
	target_settle(&t);
	now = fingerprint_now(t.pid);
	EXPECT_EQ(number(before, "smaps Rss: "), number(now, "smaps Rss: "));
	EXPECT_STRNE(strstr(before, "pagemap mappings"), strstr(now, "pagemap mappings"));
	EXPECT_EQ(number(strstr(before, "pagemap mappings"), "present ") + 1,
		  number(strstr(now, "pagemap mappings"), "present "));
	EXPECT_EQ(0, target_finish(&t));
}

/* What others do to it: a signal that is pending, a stop, a tracer. */
CORE_TEST(shows_what_is_done_to_it)
{
	const char *before;
	struct target t;

	target_start(&t, "changing", NULL);
	target_settle(&t);
	before = fingerprint(t.pid);
	/* Blocked by everybody but the one that waits for it: it wakes, and ends. */
	CHECK(kill(t.pid, SIGUSR2));
	EXPECT_TRUE(EVENTUALLY(fingerprint_changes(t.pid, before)));
	before = fingerprint(t.pid);
	CHECK(kill(t.pid, SIGSTOP));
	EXPECT_TRUE(EVENTUALLY(thread_state(t.pid, t.pid) == 'T'));
	EXPECT_LE(1, fingerprint_changes(t.pid, before));
	CHECK(kill(t.pid, SIGCONT));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
