// SPDX-License-Identifier: GPL-2.0
/*
 * See listing.h.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>

#include "check.h"
#include "listing.h"
#include "proc.h"

bool listing_at(int fd, pid_t target, struct listing_row *row)
{
	char text[8192], *line, *rest = text;
	ssize_t size = CHECK(pread(fd, text, sizeof(text) - 1, 0));

	text[size] = 0;
	while ((line = strsep(&rest, "\n"))) {
		int values = sscanf(line, "%d %d %u %15s %15s %lf %u %u %u %u %u %u %llu",
				    &row->target, &row->reader, &row->uid, row->mode, row->state,
				    &row->since, &row->parked, &row->in_place, &row->running,
				    &row->zeroed, &row->caller, &row->moved, &row->read);

		if (values == 13 && row->target == target)
			return true;
	}
	return false;
}

bool listing_of(pid_t target, struct listing_row *row)
{
	int fd = CHECK(open(LISTING, O_RDONLY | O_CLOEXEC));
	bool found = listing_at(fd, target, row);

	close(fd);
	return found;
}

bool listing_shows(pid_t target, const char *state)
{
	struct listing_row row;

	return listing_of(target, &row) && !strcmp(row.state, state);
}

bool listing_is_empty(void)
{
	char *text = CHECK_POINTER(proc_text("livecore"));
	const char *head = strchr(text, '\n');
	bool empty = head && !head[1];

	free(text);
	return empty;
}
