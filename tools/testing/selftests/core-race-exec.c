// SPDX-License-Identifier: GPL-2.0
/*
 * A process that executes one program after the other, set-uid ones too, with
 * requests in a ring, or under a tracer, while one or two others dump it, all
 * the time. Whatever they catch it at: each core is of one program, and has
 * every thread of it once; who has become another program is not held; and a
 * user sees nothing of what a set-uid program knows.
 */
#define _GNU_SOURCE
#include <sys/wait.h>

#include "dumpers.h"
#include "dumpers_storm.h"
#include "frame.h"
#include "live.h"
#include "program.h"
#include "race.h"
#include "ring.h"
#include "tracer.h"
#include "user.h"

enum {
	PAGE		= 4096,
	EXECUTED_LAST	= 78,	/* the last program's exit status */

	/* target_page.slot[] of a thread that is none of the spinners. */
	EXECUTER	= 512,
};

/* target_page.value[] */
enum {
	EXECUTED = MADE,	/* how many programs were */
	SECRET_SEED,		/* of what a set-uid program knows */
};

/* What a set-uid program knows, and its user must not. */
static uint64_t secret[PAGE / sizeof(uint64_t)];

static uint64_t secret_of(const struct target_page *page)
{
	return (page->value[SECRET_SEED] ^ 0x736563726574ULL) * 0x9e3779b97f4a7c15ULL;
}

static void be_privileged(struct target_page *page)
{
	for (size_t i = 0; i < ARRAY_SIZE(secret); i++)
		STORE(secret[i], secret_of(page));
	race_delay();
	explicit_bzero(secret, sizeof(secret));
	become_dumpable(getuid());
}

static char *const *our_arguments;
static const char *our_program;
static bool with_a_ring;

static void *execute(void *argument)
{
	struct ring ring;

	/* Whose requests are cancelled, where task works run. */
	if (with_a_ring) {
		ring_create(&ring, 0);
		ring_wait_for_itself(&ring);
	}
	execv(our_program, our_arguments);
	FAIL("execv %s: %s", our_program, strerror(errno));
	return argument;
}

/* "user path": the program there, which is this, as that user; by one thread or another. */
TARGET(executes)
{
	char *arguments[] = { "again", "--target", "executes", (char *)self->argument, NULL };
	uint64_t turn = LOAD(self->page->value[EXECUTED]);
	char path[64];
	int uid;

	if (sscanf(self->argument, "%d %63s", &uid, path) != 2)
		FAIL("argument %s", self->argument);
	our_program = path;
	our_arguments = arguments;
	race_seed(turn);
	with_a_ring = race_random(2);
	if (getuid() != geteuid())
		be_privileged(self->page);
	else if (getuid() != (uid_t)uid)
		become_dumpable(uid);
	STORE(self->page->value[EXECUTED], turn + 1);
	if (!turn) {
		target_event(self, 'R');
		target_command(self);
	}
	if (LOAD(self->page->stop))
		return EXECUTED_LAST;
	target_spinners(self, turn % 3);
	race_delay();
	/* The next one begins anew. */
	STORE(self->page->nr_slots, 0);
	if (turn % 2)
		execute(NULL);
	target_thread(&self->page->slot[EXECUTER], execute);
	for (;;)
		pause();
}

/* It runs, and executes the next program, and so on. */
static bool goes_on(struct target_page *page)
{
	uint64_t turn = LOAD(page->value[EXECUTED]);

	return EVENTUALLY(LOAD(page->value[EXECUTED]) >= turn + 2);
}

/* Another one for each program; 0 where the caller has no right to know. */
static unsigned long stack_of(pid_t pid)
{
	char *text = proc_text("%d/stat", pid);
	unsigned long stack = 0;
	char *rest = text ? strrchr(text, ')') : NULL;

	/* The 28th field; the name is the second. */
	for (int field = 2; rest && field < 28; field++)
		rest = strchr(rest + 1, ' ');
	if (rest)
		stack = strtoul(rest, NULL, 10);
	free(text);
	return stack;
}

static size_t words_of_secret(const struct target_page *page, const struct image *image)
{
	uint64_t word, known = secret_of(page);
	size_t n = 0;

	for (size_t at = 0; at + sizeof(word) <= image->size; at += sizeof(word)) {
		memcpy(&word, image->data + at, sizeof(word));
		n += word == known;
	}
	return n;
}

/* Dumps what executes one program after the other. */
static void dump_program(struct dumper *dumper)
{
	struct livecore_config config = {
		.size = sizeof(config),
		.set = LIVECORE_SET_MODE | LIVECORE_SET_CONTENTS,
		.mode = race_random(2) ? LIVECORE_MODE_SNAPSHOT : LIVECORE_MODE_HOLD,
		.contents = race_random(3),
	};
	struct target_page *page = dumper->target->page;
	pid_t pid = dumper->target->pid;
	uint64_t executed, turns;
	unsigned long stack;
	struct image image;
	int fd, error;
	bool held;

	/* It waits for about as long as we do before it executes the next one. */
	executed = LOAD(page->value[EXECUTED]);
	if (!EVENTUALLY(LOAD(page->value[EXECUTED]) != executed))
		FAIL("%d does not go on", pid);
	race_delay();
	executed = LOAD(page->value[EXECUTED]);
	fd = live_dump(pid, &config);
	if (fd < 0) {
		if (!(fd == -EACCES && dumper->uid) && !race_open_says(-fd))
			FAIL("open of %d: %s", pid, strerror(-fd));
		/* Until it has done with its rights. */
		if (fd == -EACCES && !EVENTUALLY(LOAD(page->value[EXECUTED]) != executed))
			FAIL("%d does not go on", pid);
		if (fd == -EBUSY)
			pause_briefly();
		dumper->counts->failed++;
		return;
	}
	held = is_held(fd);
	executed = LOAD(page->value[EXECUTED]);
	turns = target_turns(dumper->target);
	stack = stack_of(pid);
	race_delay();
	/* Nobody reads, which would end it, too. */
	if (held && stack != stack_of(pid) && !EVENTUALLY(!is_held(fd)))
		FAIL("%d is held, and is another program", pid);
	error = -image_read(&image, fd);
	if (error && (!race_read_says(error) || is_held(fd)))
		FAIL("read of %d: %s", pid, strerror(error));
	/* One that has become another after the last read is not that which is held. */
	if (held && (executed != LOAD(page->value[EXECUTED]) ||
		     turns != target_turns(dumper->target)) && is_held(fd) &&
	    stack == stack_of(pid))
		FAIL("%d runs while it is held", pid);
	if (!error && words_of_secret(page, &image) > 64)
		FAIL("the secret of another program in the core of %d", pid);
	if (!error)
		check_notes(fd, pid, &image);
	/* Who has become another program is not held: we are in nobody's way. */
	if (!is_held(fd) && !goes_on(page))
		FAIL("%d is held, and its dump has ended", pid);
	if (!error)
		image_free(&image);
	else
		dumper->counts->ended++;
	dumper->counts->dumps++;
	close(fd);
}

FIXTURE(programs)
{
	struct sysctl_values sysctls;
	struct program program;
};

FIXTURE_VARIANT(programs)
{
	mode_t mode;
	uid_t uid;		/* who executes, and dumps */
	bool followed;		/* by a tracer */
};

FIXTURE_VARIANT_ADD(programs, plain)
{
	.mode = 0755,
};

FIXTURE_VARIANT_ADD(programs, setuid)
{
	.mode = 04755,
	.uid = USER_A,
};

FIXTURE_VARIANT_ADD(programs, followed)
{
	.mode = 0755,
	.followed = true,
};

FIXTURE_SETUP(programs)
{
	sysctl_prepare(&self->sysctls);
	sysctl_set("livecore_enable", 2);
	program_create(&self->program, variant->mode);
}

FIXTURE_TEARDOWN_PARENT(programs)
{
	sysctl_restore(&self->sysctls);
	program_destroy(&self->program);
}

TEST_F_TIMEOUT(programs, one_after_the_other, CORE_TEST_SECONDS)
{
	struct target t;
	struct dumper dumper = {
		.target = &t,
		.dump = dump_program,
		.uid = variant->uid,
	};
	struct follower follower;
	char argument[96];
	int status;

	snprintf(argument, sizeof(argument), "%d %s", variant->uid, self->program.path);
	target_start(&t, "executes", argument);
	t.page->value[SECRET_SEED] = race_random(UINT32_MAX);
	if (variant->followed)
		follower_start(&follower, t.pid);
	target_send(&t, 'e');
	dump_storm(_metadata, &dumper);
	EXPECT_TRUE(goes_on(t.page));
	if (variant->followed) {
		/* Of those who execute the next one, and of those who end for that. */
		EXPECT_LE(t.page->value[EXECUTED], follower.told[PTRACE_EVENT_EXEC] + 2);
		EXPECT_LT(0, follower.told[PTRACE_EVENT_EXIT]);
		follower_end(&follower);
	}
	STORE(t.page->stop, 1);
	status = target_dies_within(&t, EVENT_SECONDS);
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(EXECUTED_LAST, WEXITSTATUS(status));
}

CORE_TEST_MAIN
