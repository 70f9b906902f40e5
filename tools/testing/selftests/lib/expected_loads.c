// SPDX-License-Identifier: GPL-2.0
/*
 * vma_dump_size() as seen from outside. A private mapping has an anon_vma once
 * it has been written to; smaps shows the pages.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/stat.h>

#include "check.h"
#include "expected_loads.h"

enum { PAGE = 4096 };

uint32_t expected_flags(const struct mapping *mapping)
{
	const char *permissions = mapping->permissions;

	return (permissions[0] == 'r' ? PF_R : 0) | (permissions[1] == 'w' ? PF_W : 0) |
	       (permissions[2] == 'x' ? PF_X : 0);
}

static bool has_flag(const struct mapping *mapping, const char *flag)
{
	const char *at = mapping->flags;

	while ((at = strstr(at, flag))) {
		if ((at == mapping->flags || at[-1] == ' ') && at[2] == ' ')
			return true;
		at += 2;
	}
	return false;
}

/* The mapped file itself, deleted or not. */
static int open_mapped(pid_t pid, const struct mapping *mapping, struct stat *st)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/map_files/%lx-%lx", pid, mapping->start,
		 mapping->end);
	fd = CHECK(open(path, O_RDONLY | O_CLOEXEC));
	CHECK(fstat(fd, st));
	return fd;
}

/* Names that a mapping has from the kernel: always dumped. */
static bool is_special(const struct mapping *mapping)
{
	return !strncmp(mapping->path, "[vdso", 5) || !strncmp(mapping->path, "[vvar", 5) ||
	       !strcmp(mapping->path, "[uprobes]");
}

uint64_t expected_filesz(pid_t pid, const struct mapping *mapping, unsigned int filter)
{
	bool shared = mapping->permissions[3] == 's';
	uint64_t whole = mapping->end - mapping->start;
	char magic[4] = "";
	struct stat st;
	int fd;

	if (is_special(mapping))
		return whole;
	if (has_flag(mapping, "dd"))
		return 0;
	if (has_flag(mapping, "ht"))
		return filter & (shared ? FILTER_HUGETLB_SHARED : FILTER_HUGETLB_PRIVATE) ?
		       whole : 0;
	if (has_flag(mapping, "io"))
		return 0;
	if (mapping->anonymous && !shared && filter & FILTER_ANON_PRIVATE)
		return whole;
	if (!mapping->inode)
		return 0;
	fd = open_mapped(pid, mapping, &st);
	CHECK(pread(fd, magic, sizeof(magic), 0));
	close(fd);
	if (shared)
		return filter & (st.st_nlink ? FILTER_MAPPED_SHARED : FILTER_ANON_SHARED) ?
		       whole : 0;
	if (filter & FILTER_MAPPED_PRIVATE)
		return whole;
	if (filter & FILTER_ELF_HEADERS && !mapping->offset && mapping->permissions[0] == 'r' &&
	    (st.st_mode & 0111 || !memcmp(magic, "\177ELF", 4)))
		return PAGE;
	return 0;
}
