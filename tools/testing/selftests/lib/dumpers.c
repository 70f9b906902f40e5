// SPDX-License-Identifier: GPL-2.0
/*
 * See dumpers.h.
 */
#define _GNU_SOURCE
#include "check.h"
#include "dumpers.h"
#include "live.h"
#include "proc.h"
#include "race.h"
#include "tally.h"
#include "user.h"

/* By each dumper. */
#define DUMPS	12

static bool is_gone(pid_t pid, pid_t tid)
{
	char state = thread_state(pid, tid);

	return !state || state == 'X' || state == 'Z';
}

bool is_held(int fd)
{
	return live_info_of(fd).state == LIVECORE_STATE_HELD;
}

void check_notes(int fd, pid_t pid, const struct image *image)
{
	const struct livecore_note *note = live_note(image);
	pid_t tid[1024];
	size_t n;

	if (!note || note->thread_count != image->nr_threads)
		FAIL("%zu threads, and not in the note LIVECORE", image->nr_threads);
	for (size_t i = 0; i < image->nr_threads; i++)
		if (image->threads[i].nr_prstatus != 1)
			FAIL("thread %d comes twice", image->threads[i].tid);
	if (live_count(image, LIVECORE_THREAD_ZEROED))
		FAIL("a thread was not captured");
	if (!is_held(fd))
		return;
	n = thread_list(pid, tid, ARRAY_SIZE(tid));
	for (size_t i = 0; i < n && i < ARRAY_SIZE(tid); i++)
		if (!image_thread(image, tid[i]) &&
		    !EVENTUALLY(is_gone(pid, tid[i]) || !is_held(fd)))
			FAIL("thread %d has no notes", tid[i]);
}

int dumper_run(void *argument)
{
	struct dumper *dumper = argument;
	unsigned long dumps = rounds(DUMPS);

	if (dumper->uid)
		become_a();
	while (dumper->counts->dumps < dumps) {
		dumper->dump(dumper);
		race_delay();
	}
	return 0;
}
