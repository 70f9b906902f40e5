// SPDX-License-Identifier: GPL-2.0
/*
 * Reading /proc, and writing to what is like it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include "check.h"
#include "proc.h"

double seconds_now(void)
{
	struct timespec now;

	CHECK(clock_gettime(CLOCK_MONOTONIC, &now));
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* Between two looks: long enough to leave an emulated CPU to the others. */
void pause_briefly(void)
{
	struct timespec pause = { .tv_nsec = 2000000 };

	nanosleep(&pause, NULL);
}

void tell_if_slow(double begin, const char *file, int line, const char *what)
{
	double seconds = seconds_now() - begin;

	if (seconds > EVENT_SECONDS / 4)
		fprintf(stderr, "# %s:%d: %s took %.0f s\n", file, line, what, seconds);
}

void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		FAIL("%s into %s: %s", text, path, strerror(errno));
	close(fd);
}

static char *read_text(const char *path)
{
	size_t size = 0, room = 4096;
	char *text = NULL;
	ssize_t got = -1;
	int fd, error;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	do {
		if (size + 1 >= room || !text) {
			room *= 4;
			text = CHECK_POINTER(realloc(text, room));
		}
		got = read(fd, text + size, room - size - 1);
		if (got > 0)
			size += got;
	} while (got > 0);
	error = errno;
	close(fd);
	if (got < 0) {
		free(text);
		errno = error;
		return NULL;
	}
	text[size] = '\0';
	return text;
}

char *proc_text(const char *format, ...)
{
	char path[256] = "/proc/";
	size_t prefix = strlen(path);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(path + prefix, sizeof(path) - prefix, format, arguments);
	va_end(arguments);
	return read_text(path);
}

char *proc_text_of(pid_t pid, const char *name)
{
	char *text = proc_text("%d/%s", pid, name);

	if (!text)
		FAIL("/proc/%d/%s: %s", pid, name, strerror(errno));
	return text;
}

bool proc_lists(const char *name, const char *format, ...)
{
	char path[256] = "/proc/";
	size_t prefix = strlen(path);
	struct dirent *entry;
	va_list arguments;
	int found = 0;
	DIR *directory;

	va_start(arguments, format);
	vsnprintf(path + prefix, sizeof(path) - prefix, format, arguments);
	va_end(arguments);
	directory = CHECK_POINTER(opendir(path));
	while ((entry = readdir(directory)))
		if (!strcmp(entry->d_name, name))
			found++;
	closedir(directory);
	if (found > 1)
		FAIL("%s lists %s %d times", path, name, found);
	return found;
}

void coredump_filter_set(pid_t pid, unsigned int filter)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/coredump_filter", pid);
	fd = CHECK(open(path, O_WRONLY | O_CLOEXEC));
	CHECK(dprintf(fd, "%#x", filter));
	close(fd);
}

long long text_number(const char *text, const char *key)
{
	size_t length = strlen(key);
	const char *line = text;

	while (line) {
		if (!strncmp(line, key, length) && line[length] == ':')
			return strtoll(line + length + 1, NULL, 10);
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	return -1;
}

char thread_state(pid_t pid, pid_t tid)
{
	char *text = proc_text("%d/task/%d/stat", pid, tid);
	char *after_name;
	char state = 0;

	if (!text)
		return 0;
	/* The name between the parentheses may contain anything. */
	after_name = strrchr(text, ')');
	if (after_name)
		state = after_name[2];
	free(text);
	return state;
}

bool thread_waits_in(pid_t pid, pid_t tid, const char *name)
{
	char *text = proc_text("%d/task/%d/wchan", pid, tid);
	bool same = text && !strcmp(text, name);

	free(text);
	return same;
}

bool thread_is_parked(pid_t pid, pid_t tid)
{
	return thread_waits_in(pid, tid, "livecore_park") &&
	       thread_state(pid, tid) == 'I';
}

bool thread_syscall(pid_t pid, pid_t tid, struct thread_syscall *syscall)
{
	char *text = proc_text("%d/task/%d/syscall", pid, tid);
	unsigned long long v[8] = {};
	int fields;

	memset(syscall, 0, sizeof(*syscall));
	if (!text)
		return false;
	fields = sscanf(text, "%ld %llx %llx %llx %llx %llx %llx %llx %llx",
			&syscall->nr, &v[0], &v[1], &v[2], &v[3], &v[4], &v[5],
			&v[6], &v[7]);
	free(text);
	if (fields == 9) {
		for (int i = 0; i < 6; i++)
			syscall->argument[i] = v[i];
		syscall->sp = v[6];
		syscall->pc = v[7];
		return true;
	}
	if (fields == 3) {
		syscall->sp = v[0];
		syscall->pc = v[1];
		return true;
	}
	return false;
}

bool thread_sleeps_in(pid_t pid, pid_t tid, long nr)
{
	struct thread_syscall now;
	char state;

	if (!thread_syscall(pid, tid, &now) || now.nr != nr)
		return false;
	state = thread_state(pid, tid);
	return state == 'S' || state == 'D';
}

bool thread_rests_in(pid_t pid, pid_t tid, long nr)
{
	struct thread_syscall now;

	/* The middle one waits until the thread is off its CPU. */
	return thread_state(pid, tid) == 'S' && thread_syscall(pid, tid, &now) &&
	       now.nr == nr && thread_state(pid, tid) == 'S';
}

size_t thread_list(pid_t pid, pid_t *tid, size_t max)
{
	struct dirent *entry;
	DIR *directory;
	char path[64];
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	directory = opendir(path);
	if (!directory)
		return 0;
	while ((entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		if (n < max)
			tid[n] = atoi(entry->d_name);
		n++;
	}
	closedir(directory);
	return n;
}

static bool parse_mapping(const char *line, struct mapping *m)
{
	int path = 0;

	memset(m, 0, sizeof(*m));
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*x:%*x %lu %n",
		   &m->start, &m->end, m->permissions, &m->offset, &m->inode, &path) < 5)
		return false;
	if (path)
		snprintf(m->path, sizeof(m->path), "%s", line + path);
	return true;
}

struct mapping *mapping_list(pid_t pid, size_t *count)
{
	char *text = proc_text_of(pid, "smaps");
	struct mapping *list = NULL;
	size_t n = 0, room = 0;
	char *rest = text;
	char *line;

	while ((line = strsep(&rest, "\n"))) {
		struct mapping m;

		if (parse_mapping(line, &m)) {
			if (n == room) {
				room = room ? 2 * room : 64;
				list = CHECK_POINTER(realloc(list, room * sizeof(m)));
			}
			list[n++] = m;
		} else if (n && !strncmp(line, "Anonymous:", 10)) {
			list[n - 1].anonymous = strtoul(line + 10, NULL, 10) * 1024;
		} else if (n && !strncmp(line, "VmFlags: ", 9)) {
			snprintf(list[n - 1].flags, sizeof(list->flags), "%s", line + 9);
		}
	}
	free(text);
	if (n && !strcmp(list[n - 1].path, "[vsyscall]"))
		n--;
	*count = n;
	return list;
}
