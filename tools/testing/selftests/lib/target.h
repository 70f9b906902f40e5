/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The processes that are dumped.
 *
 * A target is the test program itself, executed anew with the name of one of
 * its TARGET()s: so it has an address space of its own, of which no page is
 * shared with the test. Both sides see one struct target_page. Commands go to
 * the target through a pipe, in which its leader sleeps between them; events
 * come back through another one. A target never outlives its test.
 */
#ifndef LIVECORE_TARGET_H
#define LIVECORE_TARGET_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	TARGET_SLOTS	= 1024,
	TARGET_VALUES	= 64,
	/* target_slot.nr of a thread that runs in user mode. */
	SPINS		= -2,
};

/* One thread of a target; slot 0 is the leader. */
struct target_slot {
	pid_t tid;
	int32_t nr;		/* the system call it sleeps in, or SPINS */
	uint64_t counter;	/* turns of a loop, or returns of the call */
	int64_t result;		/* what the call returned; a negative errno */
	uint64_t value[5];
};

struct target_page {
	uint32_t stop;		/* tells the spinning threads to end */
	uint32_t nr_slots;
	uint64_t value[TARGET_VALUES];	/* between one test and its target */
	struct target_slot slot[TARGET_SLOTS];
};

/* The test's side. */
struct target {
	pid_t pid;
	int pidfd;
	int command;
	int event;
	struct target_page *page;
};

/* Starts the TARGET() of that name and waits until it says that it is ready. */
void target_start(struct target *target, const char *name, const char *argument);

/* The same of another program than the test's own. */
void target_start_program(struct target *target, const char *program, const char *name,
			  const char *argument);

/* Copies the test's own program to @path, which may be set-uid: @owner is whose it is. */
void target_copy_program(const char *path, uid_t owner, mode_t mode);

enum target_class { TARGET_64, TARGET_32 };

/* Starts what known-states.c is, as a program of that class. */
void target_start_known(struct target *target, enum target_class class, const char *argument);

/* Waits until every thread is where its slot says that it is going to be. */
void target_settle(struct target *target);

/* Whether that one thread is there. */
bool target_has_settled(struct target *target, uint32_t number);

/* Every slot of @target that spins goes on. */
bool target_runs(struct target *target);

/* The turns of all threads together. */
uint64_t target_turns(struct target *target);

void target_send(struct target *target, char command);
void target_expect(struct target *target, char event);

/* Sends @command and waits for the same letter as the answer. */
void target_do(struct target *target, char command);

/* A descriptor of our own of what is one of the target's: it stays when the target is gone. */
int target_take_fd(const struct target *target, int fd);

/* Lets the target end by itself, or kills it: the status of waitpid(). */
int target_finish(struct target *target);
int target_kill(struct target *target);

/* Waits for its death: the status, or -1 if it lives on after @seconds. */
int target_dies_within(struct target *target, int seconds);

/* The target's side. */
struct target_self {
	struct target_page *page;
	const char *argument;
};

/* The next command, or 0 when the test is done with us. */
char target_command(struct target_self *self);
void target_event(struct target_self *self, char event);

/* Ready; then obeys nothing but the end. */
int target_serve(struct target_self *self);

/* A new slot, and a thread that begins in @function with it. */
struct target_slot *target_slot(struct target_self *self);
void target_thread(struct target_slot *slot, void *(*function)(void *slot));

/* @count threads that turn in user mode. */
void target_spinners(struct target_self *self, int count);

/* What is at @memory is to be of small pages, also where there are huge ones. */
void target_small_pages(void *memory, size_t size);

struct target_program {
	const char *name;
	int (*run)(struct target_self *self);
	struct target_program *next;
};

void target_register(struct target_program *program);

/* Runs a target and does not return, if the arguments say so. */
void target_dispatch(int argc, char **argv);

#define TARGET(name_)							\
	static int run_##name_(struct target_self *self);		\
	static struct target_program target_program_##name_ = {		\
		.name = #name_,						\
		.run = run_##name_,					\
	};								\
	static void __attribute__((constructor))			\
	target_register_##name_(void)					\
	{								\
		target_register(&target_program_##name_);		\
	}								\
	static int run_##name_(struct target_self *self			\
			       __attribute__((unused)))

#endif /* LIVECORE_TARGET_H */
