/* SPDX-License-Identifier: GPL-2.0 */
/* What those who look for pages, of processes and of files, share. */
#ifndef LIVECORE_PAGES_H
#define LIVECORE_PAGES_H

#include <linux/io.h>
#include <linux/mm.h>

/* How many steps a look for what is there may take, under mmap_lock. */
#define MAX_STEPS	4096

/* A run of pages of one folio, on which it owns one reference. */
static inline u64 page_run(struct page *page, unsigned long pages)
{
	return page_to_phys(page) | pages;
}

static inline struct page *run_page(u64 run)
{
	return pfn_to_page(PHYS_PFN(run));
}

#endif /* LIVECORE_PAGES_H */
