// SPDX-License-Identifier: GPL-2.0
/*
 * Copies the memory of a process to a file, and says what that took:
 *
 *	dump hold|snapshot|stacks PID FILE	/proc/PID/core
 *	dump mem PID FILE			/proc/PID/mem, its private writable mappings
 *	dump pread|memcpy PID FILE		as many bytes, of a file in memory beside FILE
 *
 * All copy 1 MiB at a time. One line of JSON on stdout: times in nanoseconds.
 * Exits with 77 where the module does not have what is asked for.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/livecore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PIECE		1048576UL
#define NOT_AVAILABLE	77

static char piece[PIECE];
static uint64_t open_ns, read_ns, write_ns, seek_ns, copied;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static void write_piece(int to, size_t bytes, off_t at)
{
	uint64_t start = now_ns();

	if (pwrite(to, piece, bytes, at) != (ssize_t)bytes)
		err(1, "write");
	write_ns += now_ns() - start;
	copied += bytes;
}

/* From @from, the bytes @at up to @end, to the position @put of @to. */
static void copy(int from, off_t at, off_t end, int to, off_t put)
{
	while (at < end) {
		size_t most = end - at < (off_t)PIECE ? (size_t)(end - at) : PIECE;
		uint64_t start = now_ns();
		ssize_t got = pread(from, piece, most, at);

		read_ns += now_ns() - start;
		if (got <= 0)
			err(1, "read at %#lx", at);
		write_piece(to, got, put);
		at += got;
		put += got;
	}
}

static off_t seek(int fd, off_t at, int whence)
{
	uint64_t start = now_ns();
	off_t found = lseek(fd, at, whence);

	seek_ns += now_ns() - start;
	if (found < 0 && errno != ENXIO)
		err(1, "lseek");
	return found;
}

/* Holes stay holes. */
static void copy_data(int from, int to)
{
	off_t size = lseek(from, 0, SEEK_END), end;

	for (off_t at = 0; (at = seek(from, at, SEEK_DATA)) >= 0; at = end) {
		end = seek(from, at, SEEK_HOLE);
		copy(from, at, end, to, at);
	}
	if (ftruncate(to, size))
		err(1, "ftruncate");
}

static struct livecore_info info_of(int core)
{
	struct livecore_info info = { .size = sizeof(info) };

	if (ioctl(core, LIVECORE_IOC_INFO, &info))
		err(1, "LIVECORE_IOC_INFO");
	return info;
}

static void dump_core(const char *how, const char *pid, int to)
{
	struct livecore_config config = {
		.size = sizeof(config),
		.set = LIVECORE_SET_MODE | LIVECORE_SET_CONTENTS,
		.mode = strcmp(how, "snapshot") ? LIVECORE_MODE_HOLD : LIVECORE_MODE_SNAPSHOT,
		.contents = strcmp(how, "stacks") ? LIVECORE_CONTENTS_FULL :
						    LIVECORE_CONTENTS_STACKS,
	};
	struct livecore_info info;
	char path[64];
	int core;

	snprintf(path, sizeof(path), "/proc/%s/core", pid);
	core = open(path, O_RDWR | O_CLOEXEC);
	if (core < 0)
		err(1, "%s", path);
	if (ioctl(core, LIVECORE_IOC_CONFIG, &config)) {
		if (errno == EOPNOTSUPP || errno == EINVAL)
			exit(NOT_AVAILABLE);
		err(1, "LIVECORE_IOC_CONFIG");
	}
	open_ns = now_ns();
	if (ioctl(core, LIVECORE_IOC_START, 0))
		err(1, "LIVECORE_IOC_START");
	open_ns = now_ns() - open_ns;
	copy_data(core, to);
	info = info_of(core);
	if (info.mode != config.mode)
		errx(1, "it was done in another mode");
	close(core);
	printf("\"hold_ns\": %llu, \"held_ns\": %llu, \"in_place\": %u, \"parked\": %u, ",
	       info.hold_ns, info.held_ns, info.in_place, info.parked);
}

/* The private writable mappings, which is where all data of the target is. */
static size_t next_mapping(FILE *maps, off_t *start)
{
	char line[512], flags[5];
	unsigned long from, end;

	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %4s", &from, &end, flags) != 3)
			errx(1, "/proc/PID/maps: %s", line);
		if (strncmp(flags, "rw", 2) || flags[3] != 'p' || strstr(line, "[vvar"))
			continue;
		*start = from;
		return end - from;
	}
	return 0;
}

static FILE *maps_of(const char *pid)
{
	char path[64];
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	maps = fopen(path, "r");
	if (!maps)
		err(1, "%s", path);
	return maps;
}

static void dump_mem(const char *pid, int to)
{
	FILE *maps = maps_of(pid);
	char path[64];
	off_t put = 0, start;
	size_t bytes;
	int mem;

	snprintf(path, sizeof(path), "/proc/%s/mem", pid);
	open_ns = now_ns();
	mem = open(path, O_RDONLY | O_CLOEXEC);
	if (mem < 0)
		err(1, "%s", path);
	open_ns = now_ns() - open_ns;
	while ((bytes = next_mapping(maps, &start))) {
		copy(mem, start, start + bytes, to, put);
		put += bytes;
	}
	fclose(maps);
}

static off_t private_bytes(const char *pid)
{
	FILE *maps = maps_of(pid);
	off_t start, sum = 0;
	size_t bytes;

	while ((bytes = next_mapping(maps, &start)))
		sum += bytes;
	fclose(maps);
	return sum;
}

/* How fast bytes can be had at all: read from a file in memory, or copied from a mapping of it. */
static void copy_memory(const char *how, const char *pid, const char *path, int to)
{
	off_t bytes = private_bytes(pid);
	char name[256];
	char *mapping;
	int from;

	snprintf(name, sizeof(name), "%s.source", path);
	from = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (from < 0)
		err(1, "%s", name);
	unlink(name);
	memset(piece, 0xa5, sizeof(piece));
	for (off_t at = 0; at < bytes; at += PIECE)
		write_piece(from, PIECE, at);
	write_ns = 0;
	copied = 0;

	if (!strcmp(how, "pread")) {
		copy(from, 0, bytes, to, 0);
		return;
	}
	mapping = mmap(NULL, bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, from, 0);
	if (mapping == MAP_FAILED)
		err(1, "mmap");
	for (off_t at = 0; at < bytes; at += PIECE) {
		size_t most = bytes - at < (off_t)PIECE ? (size_t)(bytes - at) : PIECE;
		uint64_t start = now_ns();

		memcpy(piece, mapping + at, most);
		read_ns += now_ns() - start;
		write_piece(to, most, at);
	}
}

int main(int argc, char **argv)
{
	const char *how = argc == 4 ? argv[1] : "";
	int to;

	if (argc != 4)
		errx(2, "usage: dump hold|snapshot|stacks|mem|pread|memcpy PID FILE");
	to = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (to < 0)
		err(1, "%s", argv[3]);
	printf("{");
	if (!strcmp(how, "mem"))
		dump_mem(argv[2], to);
	else if (!strcmp(how, "pread") || !strcmp(how, "memcpy"))
		copy_memory(how, argv[2], argv[3], to);
	else
		dump_core(how, argv[2], to);
	printf("\"open_ns\": %lu, \"read_ns\": %lu, \"seek_ns\": %lu, ", open_ns, read_ns,
	       seek_ns);
	printf("\"write_ns\": %lu, \"copied\": %lu}\n", write_ns, copied);
	return 0;
}
