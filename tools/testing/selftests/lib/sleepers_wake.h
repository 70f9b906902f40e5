/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a test expects of the sleepers (sleepers.h) of its target; in a header,
 * since the harness's macros want the test's own metadata.
 */
#ifndef LIVECORE_SLEEPERS_WAKE_H
#define LIVECORE_SLEEPERS_WAKE_H

#include "frame.h"
#include "sleepers.h"

/* Nobody has returned from its call; and then each does, with what it is to return. */
static inline void expect_sleepers(struct __test_metadata *_metadata, struct target *t)
{
	const struct sleeper_kind *kind;

	for (unsigned int i = 0; (kind = sleeper_kind(i)); i++) {
		EXPECT_EQ(0, LOAD(t->page->slot[1 + i].counter))
			TH_LOG("%s returned", kind->name);
	}
	target_send(t, 'w');
	target_expect(t, 'w');
	for (unsigned int i = 0; (kind = sleeper_kind(i)); i++) {
		struct target_slot *slot = &t->page->slot[1 + i];

		if (!kind->wake)
			continue;
		EXPECT_TRUE(EVENTUALLY(LOAD(slot->counter)))
			TH_LOG("%s does not return", kind->name);
		EXPECT_EQ(kind->returns, slot->result)
			TH_LOG("%s", kind->name);
	}
}

#endif /* LIVECORE_SLEEPERS_WAKE_H */
