// SPDX-License-Identifier: GPL-2.0
/*
 * oom_score_adj, /proc/sysrq-trigger, and /dev/kmsg.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>

#include "check.h"
#include "oom.h"
#include "proc.h"

enum { PROCESSES = 4096, NEVER = -1000, FIRST = 1000 };

static struct likelihood {
	pid_t pid;
	int former;
} likelihood[PROCESSES];
static size_t spared;

/* How likely a process is to be killed for want of memory; returns how likely it was. */
static int set_likelihood(pid_t pid, int adj)
{
	char text[16], path[64];
	int former = 0, fd;

	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	/* It may be gone, now or below. */
	if (fd < 0)
		return 0;
	if (pread(fd, text, sizeof(text), 0) > 0)
		former = atoi(text);
	snprintf(text, sizeof(text), "%d", adj);
	if (pwrite(fd, text, strlen(text), 0) < 0)
		errno = 0;
	close(fd);
	return former;
}

void oom_spare_everybody(void)
{
	DIR *proc = CHECK_POINTER(opendir("/proc"));
	struct dirent *entry;

	while ((entry = readdir(proc)) && spared < PROCESSES) {
		pid_t pid = atoi(entry->d_name);

		if (pid > 0)
			likelihood[spared++] = (struct likelihood){
				pid, set_likelihood(pid, NEVER)
			};
	}
	closedir(proc);
}

void oom_prefer(pid_t pid)
{
	set_likelihood(pid, FIRST);
}

void oom_restore(void)
{
	while (spared) {
		spared--;
		set_likelihood(likelihood[spared].pid, likelihood[spared].former);
	}
}

void oom_of_the_system(void)
{
	write_text("/proc/sysrq-trigger", "f");
}

void oom_expected(void)
{
	write_text("/dev/kmsg",
		   "livecore-lab: a cgroup runs out of memory, and somebody is killed");
}

void oom_over(void)
{
	write_text("/dev/kmsg", "livecore-lab: nobody else is killed");
}
