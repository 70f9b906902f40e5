// SPDX-License-Identifier: GPL-2.0
/*
 * Dumps a process with the ioctls of /proc/PID/core:
 *
 *	cc -Wall -I../include/uapi dump.c -o dump
 *	./dump PID FILE [registers|stacks|full]
 *
 * It needs what opening /proc/PID/core needs: see Documentation/user/guide.rst.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/livecore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static __u32 parse_contents(const char *word)
{
	if (!strcmp(word, "registers"))
		return LIVECORE_CONTENTS_REGISTERS;
	if (!strcmp(word, "stacks"))
		return LIVECORE_CONTENTS_STACKS;
	if (!strcmp(word, "full"))
		return LIVECORE_CONTENTS_FULL;
	errx(2, "contents are registers, stacks, or full; not %s", word);
}

static struct livecore_info info_of(int core)
{
	struct livecore_info info = { .size = sizeof(info) };

	if (ioctl(core, LIVECORE_IOC_INFO, &info))
		err(1, "LIVECORE_IOC_INFO");
	return info;
}

static void write_all(int to, const char *bytes, size_t size)
{
	while (size) {
		ssize_t written = write(to, bytes, size);

		if (written < 0)
			err(1, "write");
		bytes += written;
		size -= written;
	}
}

static void copy(int core, int to, __u64 size)
{
	static char bytes[1 << 20];
	__u64 done = 0;
	ssize_t got;

	while ((got = read(core, bytes, sizeof(bytes))) > 0) {
		write_all(to, bytes, got);
		done += got;
		fprintf(stderr, "\r%llu of %llu KiB", done >> 10, size >> 10);
	}
	fprintf(stderr, "\n");
	/* The process runs again, and what is missing cannot be had. */
	if (got < 0)
		err(1, "the dump ended early");
}

static void report(const struct livecore_info *info)
{
	printf("threads: %u (parked %u, in place %u, running %u, zeroed %u, caller %u, moved %u)\n",
	       info->threads, info->parked, info->in_place, info->running, info->zeroed,
	       info->caller, info->moved);
	printf("all held after %llu us, held for %llu us\n", info->hold_ns / 1000,
	       info->held_ns / 1000);
	if (info->fallback)
		printf("held until the end: no snapshot, for %#x\n", info->fallback);
	printf("image: %llu bytes; read %llu, of these %llu never touched; %llu unreadable pages\n",
	       info->image_size, info->read_bytes, info->hole_bytes, info->unreadable_pages);
}

int main(int argc, char **argv)
{
	struct livecore_config config = {
		.size = sizeof(config),
		/* What is not set is as in the sysctls kernel.livecore_*. */
		.set = LIVECORE_SET_CONTENTS,
		.contents = LIVECORE_CONTENTS_FULL,
	};
	struct livecore_info info;
	char path[64];
	int core, to;

	if (argc < 3 || argc > 4)
		errx(2, "usage: dump PID FILE [registers|stacks|full]");
	if (argc == 4)
		config.contents = parse_contents(argv[3]);
	snprintf(path, sizeof(path), "/proc/%d/core", atoi(argv[1]));

	/* For reading and writing: nothing is held before START. */
	core = open(path, O_RDWR | O_CLOEXEC);
	if (core < 0)
		err(1, "%s", path);
	to = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (to < 0)
		err(1, "%s", argv[2]);
	if (ioctl(core, LIVECORE_IOC_CONFIG, &config))
		err(1, "LIVECORE_IOC_CONFIG");
	if (ioctl(core, LIVECORE_IOC_START, 0))
		err(1, "LIVECORE_IOC_START");

	info = info_of(core);
	copy(core, to, info.image_size);
	info = info_of(core);
	report(&info);
	close(core);
	if (close(to))
		err(1, "%s", argv[2]);
	return 0;
}
