/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the threads of core-fuzz have in common: what all of them see, the
 * descriptors that those of a process share, arguments of any kind, and what is
 * said of a call that did not do what it is meant to do.
 */
#ifndef LIVECORE_FUZZER_H
#define LIVECORE_FUZZER_H

#include <linux/livecore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "random.h"
#include "target.h"

enum {
	FUZZ_BUFFER	= 64 * 4096,	/* bytes to read into, and an unmapped page behind them */
	FUZZ_LOOK	= 2 * 4096,	/* bytes that are compared at a time */
	FUZZ_WORKERS	= 4,		/* processes that make calls */
	FUZZ_VICTIMS	= 2,
	FUZZ_STALL_MS	= 5000,		/* for no longer is anybody held by one who forgets */
	FUZZ_WAIT_MS	= 100,
};

/* Who is dumped, in fuzzed->pid[]. */
enum {
	SLEEPY, RESTLESS, OF_A, OF_32_BITS, FUZZ_SURVIVORS,
	VICTIM = FUZZ_SURVIVORS,
	WORKER = VICTIM + FUZZ_VICTIMS,
	FUZZ_PIDS = WORKER + FUZZ_WORKERS,
};

/* What all processes see. */
struct fuzzed {
	uint32_t stop;
	uint32_t complaints;
	uint64_t calls;
	uint64_t dumps;
	pid_t pid[FUZZ_PIDS];
};

extern struct fuzzed *fuzzed;

/* Whoever is not a victim. */
extern struct target fuzz_survivors[FUZZ_SURVIVORS];

/* Sockets, for descriptors on their way from one to another. */
extern int fuzz_mail[2];

/* One thread of a worker. */
struct fuzzer {
	struct random random;
	int number;
	bool privileged;
	char *buffer;
	char *read_only;
	char bytes[2][FUZZ_LOOK];
};

/* Instead of an errno in a list: those of several. */
enum {
	/* What any call on a dump may say once that has ended. */
	FUZZ_ENDED = -1,
	/* Reading: those, and the buffer; before the file, or not started; no page just now. */
	FUZZ_READING = -2,
};

/* A bug: the first ones are shown, and the test fails. */
void __attribute__((format(printf, 2, 3)))
complain(struct fuzzer *f, const char *format, ...);

/* Has the call failed? It is a bug if it did with another errno than those. */
#define FAILED(f, result, ...)							\
	fuzzer_failed(f, __func__, #result, result, (const int[]){ __VA_ARGS__, 0 })

bool fuzzer_failed(struct fuzzer *f, const char *where, const char *call, long result,
		   const int *errors);

/* Arguments. A buffer has room, mostly; a value, as a limit, keeps nobody for long. */
size_t some_size(struct fuzzer *f);
off_t some_offset(struct fuzzer *f, uint64_t size);
void *some_buffer(struct fuzzer *f);
uint32_t some_value(struct fuzzer *f);
pid_t somebody(struct fuzzer *f);
int some_flags(struct fuzzer *f);

/* Puts a descriptor, or -1, into one of the slots, and closes what was there. */
void keep_dump(struct fuzzer *f, int fd);

/* What is in one of the slots: -1, or a number that others may close. */
int some_dump(struct fuzzer *f);

/* A descriptor of the caller's own of some dump, as it is now; -1 if none was found. */
int take_dump(struct fuzzer *f, struct livecore_info *info);

#endif /* LIVECORE_FUZZER_H */
