// SPDX-License-Identifier: GPL-2.0
/*
 * See policy.h.
 */
#define _GNU_SOURCE
#include "check.h"
#include "live.h"
#include "policy.h"
#include "race.h"

static struct target_page *page;

void count_deliveries(struct target_self *self)
{
	page = self->page;
}

void was_delivered(int signal)
{
	__atomic_add_fetch(&page->value[signal], 1, __ATOMIC_SEQ_CST);
}

uint64_t delivered(const struct target *t, int signal)
{
	return LOAD(t->page->value[signal]);
}

unsigned int state_of(int fd)
{
	return live_info_of(fd).state;
}

int dump_with(struct target *t, unsigned int policy)
{
	struct livecore_config config = {
		.size = sizeof(config),
		.set = LIVECORE_SET_ABORT | LIVECORE_SET_CONTENTS,
		.contents = LIVECORE_CONTENTS_REGISTERS,
		.abort = policy,
	};

	return live_dump(t->pid, &config);
}

int dump_all_the_time(void *argument)
{
	struct storm *storm = argument;

	while (!LOAD(storm->stop)) {
		struct livecore_config config = {
			.size = sizeof(config),
			.set = LIVECORE_SET_ABORT | LIVECORE_SET_CONTENTS | LIVECORE_SET_MODE,
			.contents = race_random(3),
			.mode = race_random(2),
			.abort = race_random(3),
		};
		int fd = live_dump(storm->target->pid, &config);
		char bytes[4096];

		if (fd == -EBUSY || fd == -ECANCELED)
			continue;
		if (fd < 0)
			FAIL("open: %s", strerror(-fd));
		__atomic_add_fetch(&storm->dumps, 1, __ATOMIC_SEQ_CST);
		race_delay();
		if (pread(fd, bytes, sizeof(bytes), 0) < 0) {
			if (errno != ECANCELED)
				FAIL("read: %s", strerror(errno));
			__atomic_add_fetch(&storm->ended, 1, __ATOMIC_SEQ_CST);
		}
		close(fd);
		race_delay();
	}
	return 0;
}
