/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The TARGET() with_twin: a process that shares its memory with another one.
 */
#ifndef LIVECORE_TWIN_H
#define LIVECORE_TWIN_H

/* target_page.value[] of it: the other one, which sleeps in pause(). */
enum { TWIN };

#endif /* LIVECORE_TWIN_H */
