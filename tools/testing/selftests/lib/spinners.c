// SPDX-License-Identifier: GPL-2.0
/*
 * pattern_spin() in each.
 */
#define _GNU_SOURCE
#include <stddef.h>

#include "check.h"
#include "pattern.h"
#include "proc.h"
#include "registers.h"
#include "spinners.h"

enum { MOST = 64 };

/* target_slot.value[]: of the thread; where pattern_spin() is, and target_page.stop. */
enum { RSP, FS_BASE, BEGIN, STOP };

struct spinner {
	struct target_slot *slot;
	struct pattern pattern;
	struct pattern after;
};

static struct spinner spinners[MOST];
static struct target_page *page;

static void *spin(void *argument)
{
	struct spinner *s = argument;

	s->slot->value[FS_BASE] = (uint64_t)pthread_self();
	STORE(s->slot->tid, gettid());
	pattern_spin(&s->pattern, &s->after, &s->slot->counter, &page->stop);
	return NULL;
}

void spinners_start(struct target_self *self, int count)
{
	page = self->page;
	for (int i = 0; i < count; i++) {
		struct spinner *s = &spinners[i];
		pthread_t thread;

		if (i == MOST)
			FAIL("more than %d spinners", MOST);
		s->slot = target_slot(self);
		s->slot->nr = SPINS;
		s->slot->value[BEGIN] = (uint64_t)pattern_spin_begin;
		s->slot->value[STOP] = (uint64_t)&page->stop;
		pattern_fill(&s->pattern, s->slot - page->slot);
		CHECK_ZERO(pthread_create(&thread, NULL, spin, s));
		/* Known once the other registers are about to be loaded. */
		if (!EVENTUALLY(LOAD(s->pattern.rsp)))
			FAIL("a spinner does not start");
		s->slot->value[RSP] = s->pattern.rsp;
	}
}

static bool differs(const struct target *target, uint32_t number, const struct image *image)
{
	const struct target_slot *slot = &target->page->slot[number];
	const struct image_thread *thread = image_thread(image, slot->tid);
	struct user_regs_struct expected, seen;
	struct pattern pattern;

	if (!thread)
		return true;
	pattern_fill(&pattern, number);
	seen = registers_of(thread);
	expected = registers_of_pattern(&pattern);
	expected.rdi = slot->value[STOP] - offsetof(struct target_page, stop) +
		       offsetof(struct target_page, slot[number].counter);
	expected.rsi = slot->value[STOP];
	expected.rsp = slot->value[RSP];
	expected.fs_base = slot->value[FS_BASE];
	expected.rip = slot->value[BEGIN];
	/* Anywhere in the loop. */
	if (seen.rip - expected.rip < (uint64_t)(pattern_spin_end - pattern_spin_begin))
		expected.rip = seen.rip;
	return registers_differ(&expected, &seen) || !thread->fpregs ||
	       thread->fpregs->mxcsr != pattern.mxcsr;
}

size_t spinners_differ(const struct target *target, const struct image *image)
{
	size_t count = 0;

	for (uint32_t i = 1; i < target->page->nr_slots; i++)
		if (target->page->slot[i].nr == SPINS)
			count += differs(target, i, image);
	return count;
}
