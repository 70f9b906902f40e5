// SPDX-License-Identifier: GPL-2.0
/*
 * Races.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "check.h"
#include "proc.h"
#include "race.h"
#include "random.h"

/* Turns of the longest delay: some milliseconds where it is emulated. */
#define LONGEST	(1U << 20)

static __thread struct random numbers;

static uint64_t seed;

static void choose_seed(void)
{
	char text[32];

	seed = random_seed();
	snprintf(text, sizeof(text), "%#jx", (uintmax_t)seed);
	CHECK(setenv("LIVECORE_SEED", text, 1));
}

/* The same in all processes of a test, so that what failed can be had again. */
static uint64_t seed_of_all(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	CHECK_ZERO(pthread_once(&once, choose_seed));
	return seed;
}

void race_seed(unsigned int number)
{
	numbers = random_stream(seed_of_all(), number);
}

uint32_t race_random(uint32_t limit)
{
	if (!numbers.state)
		race_seed(0);
	return random_below(&numbers, limit);
}

void race_delay(void)
{
	/* Each length from one turn on is as likely as its double. */
	uint32_t turns = race_random(LONGEST) >> race_random(21);

	for (uint32_t i = 0; i < turns; i++)
		asm volatile("" : : : "memory");
}

void race_meet(struct race_start *start, uint32_t parties)
{
	uint32_t round = LOAD(start->round);
	double end = seconds_now() + EVENT_SECONDS;

	if (__atomic_add_fetch(&start->arrived, 1, __ATOMIC_SEQ_CST) == parties) {
		STORE(start->arrived, 0);
		STORE(start->round, round + 1);
		return;
	}
	while (LOAD(start->round) == round) {
		if (seconds_now() > end)
			FAIL("of %u only %u come", parties, LOAD(start->arrived));
		sched_yield();
	}
}

bool race_open_says(int error)
{
	switch (error) {
	case ENOENT:		/* of the path, when the process was reaped */
	case ESRCH:
	case EBUSY:
	case EDEADLK:
	case EINTR:
	case ECANCELED:		/* whatever ends a dump, while it opens */
		return true;
	default:
		return false;
	}
}

bool race_read_says(int error)
{
	return error == ESRCH || error == ECANCELED;
}

bool race_nobody_parked(pid_t pid)
{
	struct dirent *entry;
	bool parked = false;
	char path[64];
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	directory = opendir(path);
	if (!directory)
		return true;
	while (!parked && (entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			parked = thread_waits_in(pid, atoi(entry->d_name), "livecore_park");
	closedir(directory);
	return !parked;
}

pid_t race_process(int (*run)(void *argument), void *argument)
{
	static unsigned int number;
	pid_t test = getpid(), child;

	/* Before there are several who would each make one. */
	seed_of_all();
	number++;
	fflush(NULL);
	child = CHECK(fork());
	if (!child) {
		CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL));
		if (getppid() != test)
			_exit(1);
		race_seed(number);
		_exit(run(argument));
	}
	return child;
}

int race_process_end(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0));
	if (!WIFEXITED(status))
		FAIL("process %d: status %#x", pid, status);
	return WEXITSTATUS(status);
}
