/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Things that happen at the same time, at points that nobody chooses.
 */
#ifndef LIVECORE_RACE_H
#define LIVECORE_RACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Below @limit. Each thread has its own stream of lib/random.h: @number, or else that of 0. */
void race_seed(unsigned int number);
uint32_t race_random(uint32_t limit);

/* Turns for a random while: mostly short, at most about as long as an open takes. */
void race_delay(void);

/*
 * Where @parties processes or threads meet before they go on at once, time and
 * again. In memory that all of them have, and of zeros.
 */
struct race_start {
	uint32_t arrived;
	uint32_t round;
};

void race_meet(struct race_start *start, uint32_t parties);

/* What open, or START, and read may fail with, by design. */
bool race_open_says(int error);
bool race_read_says(int error);

/* Is no thread of the process kept by livecore? */
bool race_nobody_parked(pid_t pid);

/* A forked process that calls @run, and ends with what that returns; it dies with the test. */
pid_t race_process(int (*run)(void *argument), void *argument);

/* Waits for its end: its exit status; FAIL()s if it was killed. */
int race_process_end(pid_t pid);

#endif /* LIVECORE_RACE_H */
