/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Those who dump a target all the time, whatever it does.
 */
#ifndef LIVECORE_DUMPERS_H
#define LIVECORE_DUMPERS_H

#include <stdbool.h>
#include <sys/types.h>

#include "image.h"
#include "target.h"

/* target_page.value[]: how many of what it makes were made. */
enum { MADE };

struct counts {
	unsigned long dumps, failed, ended;
};

struct dumper {
	struct target *target;
	void (*dump)(struct dumper *dumper);	/* once, and counts it */
	const void *argument;	/* for @dump */
	struct counts *counts;
	uid_t uid;		/* 0: root; else USER_A */
	bool alone;
};

bool is_held(int fd);

/* Every live thread has its notes, and once; those that the kernel lists meanwhile, too. */
void check_notes(int fd, pid_t pid, const struct image *image);

/* For race_process(): a struct dumper, that does this as often as rounds() says. */
int dumper_run(void *argument);

#endif /* LIVECORE_DUMPERS_H */
