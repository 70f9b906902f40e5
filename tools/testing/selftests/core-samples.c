// SPDX-License-Identifier: GPL-2.0
/*
 * The programs in samples/ do what they say.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "fixture.h"
#include "live.h"
#include "sleepers.h"

enum { SPINNERS = 2 };

static const char * const dumpers[] = { "dump", "dump-rs" };

TARGET(sleepers)
{
	sleepers_start(self);
	target_spinners(self, SPINNERS);
	target_serve(self);
	sleepers_clean();
	return 0;
}

/* Runs a sample with two arguments or three: its exit status. */
static int run(const char *name, const char *first, const char *second, const char *third)
{
	const char *folder = getenv("LIVECORE_SAMPLES");
	char path[512];
	pid_t child;
	int status;

	if (!folder)
		FAIL("LIVECORE_SAMPLES does not say where %s is", name);
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fflush(NULL);
	child = CHECK(fork());
	if (!child) {
		CHECK(dup2(CHECK(creat("stdout", 0600)), STDOUT_FILENO));
		CHECK(dup2(CHECK(creat("stderr", 0600)), STDERR_FILENO));
		execl(path, name, first, second, third, NULL);
		_exit(127);
	}
	CHECK(waitpid(child, &status, 0));
	if (!WIFEXITED(status) || WEXITSTATUS(status) == 127)
		FAIL("%s: status %#x", path, status);
	return WEXITSTATUS(status);
}

/* What it has printed; lives as long as the test. */
static const char *text_of(const char *name)
{
	char *text = CHECK_POINTER(calloc(1, 65536));
	int fd = CHECK(open(name, O_RDONLY | O_CLOEXEC));

	CHECK(read(fd, text, 65535));
	close(fd);
	return text;
}

static const char report[] =
	"threads: %u (parked %u, in place %u, running %u, zeroed %u, caller %u, moved %u)\n"
	"all held after %llu us, held for %llu us\n"
	"image: %llu bytes; read %llu, of these %llu never touched; "
	"%llu unreadable pages\n";

static void expect_report(struct __test_metadata *_metadata, const struct target *t,
			  const char *file)
{
	unsigned long long held_us, hold_us, size, read, holes, unreadable;
	unsigned int threads, parked, in_place, others[4];
	const char *text = text_of("stdout");
	struct stat st;
	int fields;

	fields = sscanf(text, report, &threads, &parked, &in_place, &others[0], &others[1],
			&others[2], &others[3], &hold_us, &held_us, &size, &read, &holes,
			&unreadable);
	ASSERT_EQ(13, fields)
		TH_LOG("%s", text);
	EXPECT_EQ(t->page->nr_slots, threads);
	EXPECT_EQ(SPINNERS, parked);
	EXPECT_EQ(threads - SPINNERS, in_place);
	EXPECT_EQ(0, others[0] + others[1] + others[2] + others[3]);
	EXPECT_LE(hold_us, held_us);
	CHECK(stat(file, &st));
	EXPECT_EQ(st.st_size, (off_t)size);
	EXPECT_EQ(size, read);
	EXPECT_GE(size, holes);
	EXPECT_EQ(0, unreadable);
	EXPECT_EQ(0600, st.st_mode & 0777);
	/* The progress, up to the end. */
	snprintf((char *)text, 64, "\r%llu of %llu KiB\n", size >> 10, size >> 10);
	EXPECT_NE(NULL, strstr(text_of("stderr"), text));
}

/* A line for each thread, and what it is in. */
static void expect_note(struct __test_metadata *_metadata, const struct target *t)
{
	const char *text = text_of("stdout");
	char line[64];

	snprintf(line, sizeof(line), "dump of %u threads, contents 2, filter 0x33, held at ",
		 t->page->nr_slots);
	EXPECT_EQ(text, strstr(text, line))
		TH_LOG("%s", text);
	EXPECT_NE(NULL, strstr(text, "not exact: another process shares the memory\n"));
	EXPECT_EQ(NULL, strstr(text, "not exact: registers"));
	for (uint32_t i = 0; i < t->page->nr_slots; i++) {
		const struct target_slot *slot = &t->page->slot[i];

		if (slot->nr == SPINS)
			snprintf(line, sizeof(line), "\nthread %d: parked\n", slot->tid);
		else
			snprintf(line, sizeof(line), "\nthread %d: in place, in system call %d(",
				 slot->tid, slot->nr);
		EXPECT_NE(NULL, strstr(text, line))
			TH_LOG("no %sin %s", line, text);
	}
}

CORE_TEST(dump_and_note)
{
	struct target t;
	char pid[16];

	target_start(&t, "sleepers", NULL);
	target_settle(&t);
	snprintf(pid, sizeof(pid), "%d", t.pid);
	for (size_t i = 0; i < ARRAY_SIZE(dumpers); i++) {
		EXPECT_EQ(0, run(dumpers[i], pid, "core", NULL))
			TH_LOG("%s: %s", dumpers[i], text_of("stderr"));
		expect_report(_metadata, &t, "core");
		EXPECT_EQ(0, run("note", "core", NULL, NULL));
		expect_note(_metadata, &t);
		EXPECT_TRUE(target_runs(&t));

		EXPECT_EQ(0, run(dumpers[i], pid, "core", "registers"));
		EXPECT_EQ(0, run("note", "core", NULL, NULL));
		EXPECT_NE(NULL, strstr(text_of("stdout"), " threads, contents 0, "));
	}
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(what_cannot_be_done)
{
	struct target t;
	char pid[16];
	int fd;

	target_start(&t, "sleepers", NULL);
	snprintf(pid, sizeof(pid), "%d", t.pid);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	for (size_t i = 0; i < ARRAY_SIZE(dumpers); i++) {
		EXPECT_EQ(2, run(dumpers[i], pid, NULL, NULL));
		EXPECT_EQ(2, run(dumpers[i], pid, "core", "nothing"));
		EXPECT_EQ(1, run(dumpers[i], pid, "core", NULL));
		EXPECT_NE(NULL, strstr(text_of("stderr"), "Device or resource busy"));
	}
	close(fd);
	EXPECT_EQ(1, run("note", "/proc/self/exe", NULL, NULL));
	EXPECT_EQ(1, run("note", "/etc/passwd", NULL, NULL));
	EXPECT_EQ(1, run("note", "/dev/null", NULL, NULL));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
