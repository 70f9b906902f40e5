// SPDX-License-Identifier: GPL-2.0
/*
 * kernel.livecore_* by way of /proc/sys.
 */
#include <fcntl.h>
#include <stdlib.h>

#include "check.h"
#include "proc.h"
#include "sysctl.h"

/* The gate comes first: closing it ends what a failed test has left open. */
static const char * const names[SYSCTL_COUNT] = {
	"livecore_enable",
	"livecore_timeout_ms",
	"livecore_stall_ms",
	"livecore_max_dumps",
	"livecore_mode",
	"livecore_contents",
	"livecore_blocked",
	"livecore_filter_mask",
	"livecore_abort",
	"livecore_hold_max_ms",
	YAMA_SCOPE,
};

long sysctl_get(const char *name)
{
	char *text = proc_text("sys/kernel/%s", name);
	long value;

	if (!text)
		return -1;
	value = strtol(text, NULL, 10);
	free(text);
	return value;
}

int sysctl_try(const char *name, const char *text)
{
	char path[128];
	int error = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/kernel/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		error = -errno;
	close(fd);
	return error;
}

void sysctl_set(const char *name, long value)
{
	char text[32];
	int error;

	snprintf(text, sizeof(text), "%ld", value);
	error = sysctl_try(name, text);
	if (error)
		FAIL("kernel.%s=%ld: %s", name, value, strerror(-error));
}

void sysctl_prepare(struct sysctl_values *values)
{
	for (int i = 0; i < SYSCTL_COUNT; i++)
		values->value[i] = sysctl_get(names[i]);
	if (values->value[0] < 0)
		FAIL("kernel.%s is not there: is livecore loaded?", names[0]);
	sysctl_set("livecore_enable", 1);
	/* An emulated, busy machine is no reason to leave a thread out. */
	sysctl_set("livecore_timeout_ms", 60000);
	/* The gate is what decides, but for the test of Yama. */
	if (sysctl_get(YAMA_SCOPE) > 0)
		sysctl_set(YAMA_SCOPE, 0);
}

void sysctl_restore(const struct sysctl_values *values)
{
	for (int i = 0; i < SYSCTL_COUNT; i++)
		if (values->value[i] >= 0)
			sysctl_set(names[i], values->value[i]);
}
