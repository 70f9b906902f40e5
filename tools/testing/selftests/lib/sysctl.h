/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kernel.livecore_* (and Yama's): setting them, and putting back what was there.
 */
#ifndef LIVECORE_SYSCTL_H
#define LIVECORE_SYSCTL_H

#define YAMA_SCOPE	"yama/ptrace_scope"

/* -1 when the kernel has no such sysctl. */
long sysctl_get(const char *name);

/* Fails when it is refused. */
void sysctl_set(const char *name, long value);

/* Writes @text; 0 or a negative errno. */
int sysctl_try(const char *name, const char *text);

enum {
	SYSCTL_COUNT	= 11,
	/* livecore_stall_ms at most, an hour: it is not the watchdog that ends a dump. */
	NEVER_MS	= 3600000,
};

struct sysctl_values {
	long value[SYSCTL_COUNT];
};

/* Saves them, and sets them for a test: the gate is open for root. */
void sysctl_prepare(struct sysctl_values *values);
void sysctl_restore(const struct sysctl_values *values);

#endif /* LIVECORE_SYSCTL_H */
