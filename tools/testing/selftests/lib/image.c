// SPDX-License-Identifier: GPL-2.0
/*
 * A reader of ELF cores that believes nothing: every offset is checked.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "check.h"
#include "image.h"

#define CHUNK	(256 * 1024)

int core_open(pid_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/core", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static bool bad(const char *what)
{
	fprintf(stderr, "# not a core: %s\n", what);
	return false;
}

static bool parse_headers(struct image *image)
{
	static const unsigned char ident[EI_NIDENT] = {
		ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT,
	};
	const Elf64_Ehdr *ehdr = (const Elf64_Ehdr *)image->data;
	size_t table;

	if (image->size < sizeof(*ehdr))
		return bad("shorter than a header");
	if (memcmp(ehdr->e_ident, ident, sizeof(ident)))
		return bad("e_ident");
	if (ehdr->e_type != ET_CORE || ehdr->e_machine != EM_X86_64 ||
	    ehdr->e_version != EV_CURRENT || ehdr->e_flags ||
	    ehdr->e_ehsize != sizeof(*ehdr) || ehdr->e_phentsize != sizeof(Elf64_Phdr))
		return bad("header");
	if (ehdr->e_phoff != sizeof(*ehdr) || ehdr->e_phnum < 1 || ehdr->e_phnum == PN_XNUM)
		return bad("program headers");
	table = ehdr->e_phoff + ehdr->e_phnum * sizeof(Elf64_Phdr);
	if (image->size < table)
		return bad("program headers behind the end");
	image->ehdr = ehdr;
	image->phdr = (const Elf64_Phdr *)(image->data + ehdr->e_phoff);
	if (image->phdr[0].p_type != PT_NOTE)
		return bad("no PT_NOTE in front");
	for (size_t i = 0; i < ehdr->e_phnum; i++) {
		const Elf64_Phdr *p = &image->phdr[i];

		if (i && p->p_type != PT_LOAD)
			return bad("a segment that is no PT_LOAD");
		if (p->p_offset > image->size || p->p_filesz > image->size - p->p_offset)
			return bad("a segment behind the end");
	}
	return true;
}

static size_t round_up4(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

static bool parse_notes(struct image *image)
{
	const unsigned char *at = image->data + image->phdr[0].p_offset;
	size_t left = image->phdr[0].p_filesz;

	while (left) {
		Elf64_Nhdr header;
		struct note *note;
		size_t name, desc;

		if (left < sizeof(header))
			return bad("half a note");
		memcpy(&header, at, sizeof(header));
		at += sizeof(header);
		left -= sizeof(header);
		name = round_up4(header.n_namesz);
		desc = round_up4(header.n_descsz);
		if (name > left || desc > left - name)
			return bad("a note behind the end");
		if (!header.n_namesz || at[header.n_namesz - 1])
			return bad("a note without a name");
		image->notes = CHECK_POINTER(reallocarray(image->notes, image->nr_notes + 1,
							  sizeof(*note)));
		note = &image->notes[image->nr_notes++];
		note->name = (const char *)at;
		note->type = header.n_type;
		note->desc = at + name;
		note->size = header.n_descsz;
		at += name + desc;
		left -= name + desc;
	}
	return true;
}

static bool add_thread(struct image *image, const struct note *note)
{
	const struct elf_prstatus *prstatus = note->desc;
	struct image_thread *thread;
	size_t before = 0;

	if (note->size != sizeof(*prstatus))
		return bad("size of NT_PRSTATUS");
	for (size_t i = 0; i < image->nr_threads; i++) {
		if (image->threads[i].tid == prstatus->pr_pid) {
			image->threads[i].nr_prstatus++;
			before++;
		}
	}
	image->threads = CHECK_POINTER(reallocarray(image->threads, image->nr_threads + 1,
						    sizeof(*thread)));
	thread = &image->threads[image->nr_threads++];
	memset(thread, 0, sizeof(*thread));
	thread->tid = prstatus->pr_pid;
	thread->prstatus = prstatus;
	thread->nr_prstatus = before + 1;
	return true;
}

/* A thread's notes are its NT_PRSTATUS and what follows it up to the next. */
static bool parse_threads(struct image *image)
{
	for (size_t i = 0; i < image->nr_notes; i++) {
		const struct note *note = &image->notes[i];
		struct image_thread *thread = NULL;

		if (image->nr_threads)
			thread = &image->threads[image->nr_threads - 1];
		if (note->type == NT_PRSTATUS) {
			if (!add_thread(image, note))
				return false;
		} else if (note->type == NT_PRFPREG) {
			if (!thread || thread->fpregs ||
			    note->size != sizeof(*thread->fpregs))
				return bad("NT_PRFPREG");
			thread->fpregs = note->desc;
		} else if (note->type == NT_X86_XSTATE) {
			if (!thread || thread->xstate)
				return bad("NT_X86_XSTATE");
			thread->xstate = note->desc;
			thread->xstate_size = note->size;
		}
	}
	return true;
}

int image_read(struct image *image, int fd)
{
	size_t room = 0;
	ssize_t got;

	memset(image, 0, sizeof(*image));
	do {
		if (room - image->size < CHUNK) {
			room = room ? 2 * room : 16 * CHUNK;
			image->data = CHECK_POINTER(realloc(image->data, room));
		}
		got = read(fd, image->data + image->size, CHUNK);
		if (got > 0)
			image->size += got;
	} while (got > 0);
	if (got < 0) {
		got = -errno;
		image_free(image);
		return got;
	}
	if (!parse_headers(image) || !parse_notes(image) || !parse_threads(image)) {
		image_free(image);
		return -EBADMSG;
	}
	return 0;
}

int image_dump(struct image *image, pid_t pid)
{
	int fd = core_open(pid);
	int error;

	if (fd < 0)
		return fd;
	error = image_read(image, fd);
	CHECK(close(fd));
	return error;
}

void image_free(struct image *image)
{
	free(image->data);
	free(image->notes);
	free(image->threads);
	memset(image, 0, sizeof(*image));
}

const struct note *image_note(const struct image *image, const char *name, uint32_t type)
{
	const struct note *found = NULL;

	for (size_t i = 0; i < image->nr_notes; i++) {
		const struct note *note = &image->notes[i];

		if (note->type != type || strcmp(note->name, name))
			continue;
		if (found)
			return NULL;
		found = note;
	}
	return found;
}

const struct image_thread *image_thread(const struct image *image, pid_t tid)
{
	for (size_t i = 0; i < image->nr_threads; i++)
		if (image->threads[i].tid == tid)
			return image->threads[i].nr_prstatus == 1 ? &image->threads[i] : NULL;
	return NULL;
}

const void *image_at(const struct image *image, uint64_t address, size_t size)
{
	for (size_t i = 0; i < image_nr_loads(image); i++) {
		const Elf64_Phdr *p = image_load(image, i);

		if (address < p->p_vaddr || address - p->p_vaddr >= p->p_filesz)
			continue;
		if (size > p->p_filesz - (address - p->p_vaddr))
			return NULL;
		return image->data + p->p_offset + (address - p->p_vaddr);
	}
	return NULL;
}
