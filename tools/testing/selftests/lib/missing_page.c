// SPDX-License-Identifier: GPL-2.0
/*
 * userfaultfd.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "check.h"
#include "missing_page.h"

#define PAGE	4096

void missing_page_create(struct missing_page *page)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range.len = PAGE,
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	page->address = CHECK_POINTER(mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	page->fd = CHECK(syscall(SYS_userfaultfd, O_CLOEXEC));
	CHECK(ioctl(page->fd, UFFDIO_API, &api));
	range.range.start = (uint64_t)page->address;
	CHECK(ioctl(page->fd, UFFDIO_REGISTER, &range));
}

void missing_page_supply(int fd, uint64_t address, const void *bytes)
{
	struct uffdio_copy copy = {
		.dst = address,
		.src = (uint64_t)bytes,
		.len = PAGE,
	};

	CHECK(ioctl(fd, UFFDIO_COPY, &copy));
}
