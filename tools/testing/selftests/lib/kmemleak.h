/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kernel has allocated and nobody knows any more, as kmemleak tells it.
 */
#ifndef LIVECORE_KMEMLEAK_H
#define LIVECORE_KMEMLEAK_H

/* From here on. What others have lost by now is not our affair. */
void kmemleak_start(void);

/* Prints the reports since then; how many have @word in them, NULL for all. */
int kmemleak_reports(const char *word);

#endif /* LIVECORE_KMEMLEAK_H */
