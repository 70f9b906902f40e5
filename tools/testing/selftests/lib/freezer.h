/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A cgroup whose processes can be frozen.
 */
#ifndef LIVECORE_FREEZER_H
#define LIVECORE_FREEZER_H

#include <stdbool.h>
#include <sys/types.h>

struct freezer {
	int version;		/* of cgroups, 1 or 2 */
	char mount[64];		/* of version 1, empty for 2 */
	char directory[96];
};

void freezer_create(struct freezer *freezer, int version);

/* The process, and whom it starts from then on. */
void freezer_add(const struct freezer *freezer, pid_t pid);

void freezer_freeze(const struct freezer *freezer);
void freezer_thaw(const struct freezer *freezer);

/* All that are in it stand still, as the kernel sees it. */
bool freezer_is_frozen(const struct freezer *freezer);

/* Thaws, and removes it once nobody is in it; also in another process than made it. */
void freezer_destroy(const struct freezer *freezer);

#endif /* LIVECORE_FREEZER_H */
