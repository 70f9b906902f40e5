/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What /proc tells about a process, and waiting for it to tell something else.
 */
#ifndef LIVECORE_PROC_H
#define LIVECORE_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * How long an event may take that comes at once on any machine: emulated
 * machines are slow, and a test must not fail for that. Reaching it is a failure.
 */
#define EVENT_SECONDS	120

double seconds_now(void);
void pause_briefly(void);

/* Says so if what began at @begin has taken suspiciously long, and goes well nevertheless. */
void tell_if_slow(double begin, const char *file, int line, const char *what);

/* Polls until @condition holds; false if it does not within EVENT_SECONDS. */
#define EVENTUALLY(condition)						\
({									\
	double eventually_begin_ = seconds_now();			\
	bool eventually_ok_;						\
									\
	while (!(eventually_ok_ = (condition)) &&			\
	       seconds_now() < eventually_begin_ + EVENT_SECONDS)	\
		pause_briefly();					\
	tell_if_slow(eventually_begin_, __FILE__, __LINE__, #condition);	\
	eventually_ok_;							\
})

/* Into a file that is there: a sysctl, a cgroup's, the log (/dev/kmsg). */
void write_text(const char *path, const char *text);

/* The whole text of /proc/@format, to be freed; NULL with errno set. */
char *proc_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same of a file that has to be there. */
char *proc_text_of(pid_t pid, const char *name);

/* Whether the directory /proc/@format lists @name. */
bool proc_lists(const char *name, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Sets the bits of /proc/PID/coredump_filter. */
void coredump_filter_set(pid_t pid, unsigned int filter);

/* The number after @key in a "key: value" text; -1 when it has none. */
long long text_number(const char *text, const char *key);

/* The state letter of one thread, 0 when there is no such thread. */
char thread_state(pid_t pid, pid_t tid);

/* Whether the thread waits in the kernel function @name. */
bool thread_waits_in(pid_t pid, pid_t tid, const char *name);

/* Whether livecore holds the thread. */
bool thread_is_parked(pid_t pid, pid_t tid);

/* /proc/PID/task/TID/syscall: what a thread asleep in the kernel is doing. */
struct thread_syscall {
	long nr;		/* -1: asleep in a page fault */
	uint64_t argument[6];
	uint64_t sp;
	uint64_t pc;
};

/* False when the thread is running. */
bool thread_syscall(pid_t pid, pid_t tid, struct thread_syscall *syscall);

/* Whether the thread sleeps in system call @nr. */
bool thread_sleeps_in(pid_t pid, pid_t tid, long nr);

/* The same, and it does not just wait for a lock or a page there (D). */
bool thread_rests_in(pid_t pid, pid_t tid, long nr);

/* The threads of a process: how many there are; at most @max are stored. */
size_t thread_list(pid_t pid, pid_t *tid, size_t max);

/* One line of /proc/PID/maps, with what /proc/PID/smaps says of it. */
struct mapping {
	uint64_t start;
	uint64_t end;
	uint64_t offset;
	char permissions[5];
	unsigned long inode;
	char path[512];
	unsigned long anonymous;	/* bytes of anonymous pages */
	char flags[192];		/* VmFlags, each followed by a space */
};

/* Every mapping in order, to be freed; [vsyscall] is left out. */
struct mapping *mapping_list(pid_t pid, size_t *count);

#endif /* LIVECORE_PROC_H */
