// SPDX-License-Identifier: GPL-2.0
/*
 * See live.h.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/ioctl.h>

#include "check.h"
#include "live.h"
#include "proc.h"

int live_open(pid_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/core", pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int live_config(int fd, const struct livecore_config *config)
{
	return ioctl(fd, LIVECORE_IOC_CONFIG, config) ? -errno : 0;
}

int live_start(int fd)
{
	double begin = seconds_now();
	int error = ioctl(fd, LIVECORE_IOC_START, 0) ? -errno : 0;

	tell_if_slow(begin, __FILE__, __LINE__, "START");
	return error;
}

int live_release(int fd)
{
	return ioctl(fd, LIVECORE_IOC_RELEASE, 0) ? -errno : 0;
}

int live_info(int fd, struct livecore_info *info)
{
	/* Not zeros: what is not written shows. */
	memset(info, 0xa5, sizeof(*info));
	info->size = sizeof(*info);
	return ioctl(fd, LIVECORE_IOC_INFO, info) ? -errno : 0;
}

struct livecore_info live_info_of(int fd)
{
	struct livecore_info info;
	int error = live_info(fd, &info);

	if (error)
		FAIL("LIVECORE_IOC_INFO: %s", strerror(-error));
	return info;
}

int live_dump(pid_t pid, const struct livecore_config *config)
{
	int fd = live_open(pid);
	int error = 0;

	if (fd < 0)
		return fd;
	if (config)
		error = live_config(fd, config);
	if (!error)
		error = live_start(fd);
	if (error) {
		close(fd);
		return error;
	}
	return fd;
}

const struct livecore_note *live_note(const struct image *image)
{
	const struct note *note = image_note(image, "LIVECORE", NT_LIVECORE_DUMP);
	const struct livecore_note *live;

	if (!note || note->size < sizeof(*live))
		return NULL;
	live = note->desc;
	if (live->header_size != sizeof(*live) ||
	    live->thread_size != sizeof(struct livecore_note_thread) ||
	    note->size - live->header_size !=
	    (uint64_t)live->thread_count * live->thread_size)
		return NULL;
	return live;
}

static const struct livecore_note_thread *threads_of(const struct livecore_note *live)
{
	return (const void *)((const char *)live + live->header_size);
}

const struct livecore_note_thread *live_thread(const struct image *image, pid_t tid)
{
	const struct livecore_note *live = live_note(image);

	for (uint32_t i = 0; live && i < live->thread_count; i++)
		if (threads_of(live)[i].tid == (uint32_t)tid)
			return &threads_of(live)[i];
	return NULL;
}

unsigned int live_count(const struct image *image, unsigned int how)
{
	const struct livecore_note *live = live_note(image);
	unsigned int n = 0;

	for (uint32_t i = 0; live && i < live->thread_count; i++)
		if (threads_of(live)[i].how == how)
			n++;
	return n;
}
