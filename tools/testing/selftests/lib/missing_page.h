/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A page of memory that is not there: whoever touches it, the kernel on behalf
 * of a system call included, sleeps until somebody supplies it.
 */
#ifndef LIVECORE_MISSING_PAGE_H
#define LIVECORE_MISSING_PAGE_H

#include <stdint.h>

struct missing_page {
	char *address;
	int fd;			/* the userfaultfd */
};

/* Needs root, for only root may make the kernel wait. */
void missing_page_create(struct missing_page *page);

/* The same of a page that is mapped, and untouched: the userfaultfd. */
int missing_page_at(char *address);

/* Through any descriptor of the same userfaultfd; @bytes is a whole page. */
void missing_page_supply(int fd, uint64_t address, const void *bytes);

#endif /* LIVECORE_MISSING_PAGE_H */
