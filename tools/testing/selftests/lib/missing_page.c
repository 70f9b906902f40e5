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

int missing_page_at(char *address)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range.start = (uint64_t)address,
		.range.len = PAGE,
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = CHECK(syscall(SYS_userfaultfd, O_CLOEXEC));

	CHECK(ioctl(fd, UFFDIO_API, &api));
	CHECK(ioctl(fd, UFFDIO_REGISTER, &range));
	return fd;
}

void missing_page_create(struct missing_page *page)
{
	page->address = CHECK_POINTER(mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	page->fd = missing_page_at(page->address);
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
