// SPDX-License-Identifier: GPL-2.0
/*
 * Taking and comparing fingerprints.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>

#include "check.h"
#include "fingerprint.h"
#include "proc.h"

enum {
	MAX_THREADS	= 2048,
	PAGE		= 4096,
	LOOKS		= 10,
};

struct text {
	char *data;
	size_t size;
};

static void __attribute__((format(printf, 2, 3)))
add(struct text *text, const char *format, ...)
{
	va_list arguments;
	char line[1024];

	va_start(arguments, format);
	vsnprintf(line, sizeof(line) - 1, format, arguments);
	va_end(arguments);
	strcat(line, "\n");
	text->data = CHECK_POINTER(realloc(text->data, text->size + strlen(line) + 1));
	strcpy(text->data + text->size, line);
	text->size += strlen(line);
}

/*
 * Not Referenced, which any reader of memory sets, and nothing that depends on
 * who else maps the same pages: so clean and dirty pages are counted without
 * asking whether they are shared.
 */
static void add_pages(struct text *text, pid_t pid)
{
	static const char * const keys[] = {
		"Rss", "Pss_Anon", "Anonymous", "KSM", "LazyFree", "AnonHugePages",
		"ShmemPmdMapped", "FilePmdMapped", "Shared_Hugetlb", "Private_Hugetlb",
		"Swap", "SwapPss", "Locked",
	};
	char *rollup = proc_text_of(pid, "smaps_rollup");

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		add(text, "smaps %s: %lld", keys[i], text_number(rollup, keys[i]));
	add(text, "smaps clean: %lld", text_number(rollup, "Shared_Clean") +
	    text_number(rollup, "Private_Clean"));
	add(text, "smaps dirty: %lld", text_number(rollup, "Shared_Dirty") +
	    text_number(rollup, "Private_Dirty"));
	free(rollup);
}

static void add_status(struct text *text, pid_t pid)
{
	static const char * const keys[] = {
		"Tgid", "TracerPid", "Uid", "FDSize", "VmSize", "VmLck", "VmPin", "VmRSS",
		"RssAnon", "RssFile", "RssShmem", "VmData", "VmStk", "VmExe", "VmLib",
		"VmPTE", "VmSwap", "HugetlbPages", "CoreDumping", "THP_enabled", "Threads",
		"SigQ", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "CapEff",
		"NoNewPrivs", "Seccomp", "untag_mask",
	};
	char *status = proc_text_of(pid, "status");
	char *rest = status;
	char *line;

	while ((line = strsep(&rest, "\n")))
		for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
			if (!strncmp(line, keys[i], strlen(keys[i])) &&
			    line[strlen(keys[i])] == ':')
				add(text, "status %s", line);
	free(status);
}

/* True if every thread sleeps. */
static bool add_threads(struct text *text, pid_t pid)
{
	static pid_t tid[MAX_THREADS];
	size_t n = thread_list(pid, tid, MAX_THREADS);
	bool all_sleep = true;

	add(text, "threads %zu", n);
	for (size_t i = 0; i < n && i < MAX_THREADS; i++) {
		char *status = proc_text("%d/task/%d/status", pid, tid[i]);
		char *stat = proc_text("%d/task/%d/stat", pid, tid[i]);
		char *call = proc_text("%d/task/%d/syscall", pid, tid[i]);
		unsigned long minor = 0, major = 0, user = 0, system = 0;
		char state = 0;

		if (stat)
			sscanf(strrchr(stat, ')'),
			       ") %c %*d %*d %*d %*d %*d %*u %lu %*u %lu %*u %lu %lu",
			       &state, &minor, &major, &user, &system);
		/* One that turns may have to wait for a page, or for a lock (-rt). */
		if (state == 'R' || !status || !call || !strncmp(call, "running", 7) ||
		    (state == 'D' && !strncmp(call, "-1 ", 3))) {
			all_sleep = false;
			add(text, "thread %d runs", tid[i]);
		} else {
			add(text,
			    "thread %d %c switches %lld %lld faults %lu %lu ticks %lu %lu in %.*s",
			    tid[i], state, text_number(status, "voluntary_ctxt_switches"),
			    text_number(status, "nonvoluntary_ctxt_switches"),
			    minor, major, user, system, (int)strcspn(call, "\n"), call);
		}
		free(status);
		free(stat);
		free(call);
	}
	return all_sleep;
}

/* The bits of /proc/PID/pagemap, counted over the whole address space. */
static void add_pagemap(struct text *text, pid_t pid, bool all_sleep)
{
	static uint64_t entry[4096];
	unsigned long present = 0, swapped = 0, file = 0, dirty = 0;
	struct mapping *list;
	char path[64];
	size_t count;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = CHECK(open(path, O_RDONLY | O_CLOEXEC));
	list = mapping_list(pid, &count);
	for (size_t i = 0; i < count; i++) {
		uint64_t page = list[i].start / PAGE;
		uint64_t end = list[i].end / PAGE;

		while (page < end) {
			size_t want = end - page < 4096 ? end - page : 4096;
			ssize_t got = CHECK(pread(fd, entry, 8 * want, 8 * page));

			for (ssize_t n = 0; n < got / 8; n++) {
				present += entry[n] >> 63 & 1;
				swapped += entry[n] >> 62 & 1;
				file += entry[n] >> 61 & 1;
				dirty += entry[n] >> 55 & 1;
			}
			if (got <= 0)
				break;
			page += got / 8;
		}
	}
	free(list);
	close(fd);
	add(text, "pagemap mappings %zu present %lu swapped %lu file %lu", count, present,
	    swapped, file);
	if (all_sleep)
		add(text, "pagemap soft-dirty %lu", dirty);
}

static void add_ipc(struct text *text)
{
	static const char * const files[] = { "shm", "sem", "msg" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		char *all = proc_text("sysvipc/%s", files[i]);
		char *rest = all;
		char *line;

		while (all && (line = strsep(&rest, "\n")))
			if (*line)
				add(text, "sysvipc %s: %s", files[i], line);
		free(all);
	}
}

const char *fingerprint_now(pid_t pid)
{
	struct text text = {};
	bool all_sleep;

	add_pages(&text, pid);
	add_status(&text, pid);
	all_sleep = add_threads(&text, pid);
	add_pagemap(&text, pid, all_sleep);
	add_ipc(&text);
	return text.data;
}

/* Nobody is where livecore holds threads, nor about to leave that place. */
static bool all_have_left(pid_t pid)
{
	static pid_t tid[MAX_THREADS];
	size_t n = thread_list(pid, tid, MAX_THREADS);

	for (size_t i = 0; i < n && i < MAX_THREADS; i++)
		/* TASK_IDLE, which no system call sleeps in. */
		if (thread_state(pid, tid[i]) == 'I')
			return false;
	return true;
}

/* A thread that was let go may take its time to get a CPU. */
static void wait_for_those_who_leave(pid_t pid)
{
	if (!EVENTUALLY(all_have_left(pid)))
		FAIL("a thread of %d is still held", pid);
}

/*
 * Of what stands still: the same twice. A thread that is about to sleep has its
 * last switch still to come, and a page that is moved is nowhere.
 */
const char *fingerprint(pid_t pid)
{
	char *before, *now;
	char path[64];
	bool same;
	int fd;

	wait_for_those_who_leave(pid);
	snprintf(path, sizeof(path), "/proc/%d/clear_refs", pid);
	fd = CHECK(open(path, O_WRONLY | O_CLOEXEC));
	/* 4: the soft-dirty bits. */
	CHECK(write(fd, "4", 1));
	close(fd);
	now = (char *)fingerprint_now(pid);
	for (int look = 1; look <= LOOKS; look++) {
		pause_briefly();
		before = now;
		now = (char *)fingerprint_now(pid);
		same = !strcmp(before, now);
		free(before);
		if (same)
			break;
	}
	return now;
}

/* How many lines differ; says which, if @tell. */
static size_t count_changes(const char *before, const char *now, bool tell)
{
	char *old_text = CHECK_POINTER(strdup(before)), *old_rest = old_text;
	char *new_text = CHECK_POINTER(strdup(now)), *new_rest = new_text;
	size_t changes = 0;

	while (old_rest || new_rest) {
		char *old_line = strsep(&old_rest, "\n");
		char *new_line = strsep(&new_rest, "\n");

		if (old_line && new_line && !strcmp(old_line, new_line))
			continue;
		changes++;
		if (tell)
			fprintf(stderr, "# before: %s\n#    now: %s\n",
				old_line ? old_line : "-", new_line ? new_line : "-");
	}
	free(old_text);
	free(new_text);
	return changes;
}

size_t fingerprint_changes(pid_t pid, const char *before)
{
	size_t changes;

	wait_for_those_who_leave(pid);
	/*
	 * What a dump has changed stays so. What the kernel does meanwhile, like
	 * moving a page, passes.
	 */
	for (int look = 1; look <= LOOKS; look++) {
		const char *now = fingerprint_now(pid);

		changes = count_changes(before, now, look == LOOKS);
		free((char *)now);
		if (!changes)
			break;
		pause_briefly();
	}
	return changes;
}
