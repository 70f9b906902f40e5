// SPDX-License-Identifier: GPL-2.0
/*
 * See dumpers.h.
 */
#define _GNU_SOURCE
#include <sys/syscall.h>

#include "check.h"
#include "dumpers.h"
#include "live.h"
#include "proc.h"
#include "race.h"
#include "registers.h"
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

/*
 * Was it held where task works run in a call that does not come back? There is
 * no result yet then; who begins a new program has that of execve().
 */
static bool is_held_amid(const struct image *image, const struct image_thread *thread)
{
	const struct livecore_note_thread *live = live_thread(image, thread->tid);
	struct user_regs_struct regs = registers_of(thread);

	return live && live->how == LIVECORE_THREAD_PARKED && (long)regs.rax == -ENOSYS &&
	       (regs.orig_rax == SYS_execve || regs.orig_rax == SYS_exit ||
		regs.orig_rax == SYS_exit_group);
}

void check_notes(int fd, pid_t pid, const struct image *image)
{
	const struct livecore_note *note = live_note(image);
	pid_t tid[1024];
	size_t n;

	if (!note || note->thread_count != image->nr_threads)
		FAIL("%zu threads, and not in the note LIVECORE", image->nr_threads);
	for (size_t i = 0; i < image->nr_threads; i++) {
		if (image->threads[i].nr_prstatus != 1)
			FAIL("thread %d comes twice", image->threads[i].tid);
		if (is_held_amid(image, &image->threads[i]))
			FAIL("thread %d is held while it exits or executes", image->threads[i].tid);
	}
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
