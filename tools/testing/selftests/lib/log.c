// SPDX-License-Identifier: GPL-2.0
/*
 * By way of /dev/kmsg.
 */
#define _GNU_SOURCE
#include <fcntl.h>

#include "check.h"
#include "log.h"

int log_open(void)
{
	int fd = CHECK(open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC));

	CHECK(lseek(fd, 0, SEEK_END));
	return fd;
}

bool log_has(int fd, const char *one, const char *other)
{
	char record[8192];
	bool found = false;
	ssize_t size;

	while ((size = read(fd, record, sizeof(record) - 1)) > 0 || errno == EPIPE) {
		if (size < 0)
			continue;
		record[size] = 0;
		/* Continuation lines are not part of the message. */
		record[strcspn(record, "\n")] = 0;
		found |= strstr(record, one) && strstr(record, other);
	}
	return found;
}
