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
#include "proc.h"

#define CHUNK	(256 * 1024)

int core_open(pid_t pid)
{
	double begin = seconds_now();
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/core", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	tell_if_slow(begin, __FILE__, __LINE__, "open");
	return fd;
}

int core_open_in_time(pid_t pid)
{
	int fd;

	do
		fd = core_open(pid);
	while (fd == -ETIMEDOUT);
	return fd;
}

static bool bad(const char *what)
{
	fprintf(stderr, "# not a core: %s\n", what);
	return false;
}

/* The header of a 32-bit core, in 64 bits. */
static Elf64_Ehdr *widen_header(const Elf32_Ehdr *from)
{
	Elf64_Ehdr *to = CHECK_POINTER(calloc(1, sizeof(*to)));

	memcpy(to->e_ident, from->e_ident, sizeof(to->e_ident));
	to->e_type = from->e_type;
	to->e_machine = from->e_machine;
	to->e_version = from->e_version;
	to->e_entry = from->e_entry;
	to->e_phoff = from->e_phoff;
	to->e_shoff = from->e_shoff;
	to->e_flags = from->e_flags;
	to->e_ehsize = from->e_ehsize;
	to->e_phentsize = from->e_phentsize;
	to->e_phnum = from->e_phnum;
	to->e_shentsize = from->e_shentsize;
	to->e_shnum = from->e_shnum;
	to->e_shstrndx = from->e_shstrndx;
	return to;
}

static Elf64_Phdr *widen_program_headers(const Elf32_Phdr *from, size_t count)
{
	Elf64_Phdr *to = CHECK_POINTER(calloc(count, sizeof(*to)));

	for (size_t i = 0; i < count; i++)
		to[i] = (Elf64_Phdr) {
			.p_type = from[i].p_type,
			.p_flags = from[i].p_flags,
			.p_offset = from[i].p_offset,
			.p_vaddr = from[i].p_vaddr,
			.p_paddr = from[i].p_paddr,
			.p_filesz = from[i].p_filesz,
			.p_memsz = from[i].p_memsz,
			.p_align = from[i].p_align,
		};
	return to;
}

static bool parse_headers(struct image *image)
{
	unsigned char ident[EI_NIDENT] = {
		ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT,
	};
	size_t ehdr_size, phdr_size, table;
	const Elf64_Ehdr *ehdr;

	if (image->size < sizeof(*ehdr))
		return bad("shorter than a header");
	image->is_32bit = image->data[EI_CLASS] == ELFCLASS32;
	if (image->is_32bit)
		ident[EI_CLASS] = ELFCLASS32;
	if (memcmp(image->data, ident, sizeof(ident)))
		return bad("e_ident");
	ehdr_size = image->is_32bit ? sizeof(Elf32_Ehdr) : sizeof(Elf64_Ehdr);
	phdr_size = image->is_32bit ? sizeof(Elf32_Phdr) : sizeof(Elf64_Phdr);
	image->ehdr = image->is_32bit ? widen_header((const Elf32_Ehdr *)image->data) :
					(const Elf64_Ehdr *)image->data;
	ehdr = image->ehdr;
	if (ehdr->e_type != ET_CORE ||
	    ehdr->e_machine != (image->is_32bit ? EM_386 : EM_X86_64) ||
	    ehdr->e_version != EV_CURRENT || ehdr->e_flags ||
	    ehdr->e_ehsize != ehdr_size || ehdr->e_phentsize != phdr_size)
		return bad("header");
	if (ehdr->e_phoff != ehdr_size || ehdr->e_phnum < 1 || ehdr->e_phnum == PN_XNUM)
		return bad("program headers");
	table = ehdr->e_phoff + ehdr->e_phnum * phdr_size;
	if (image->size < table)
		return bad("program headers behind the end");
	image->phdr = image->is_32bit ?
		widen_program_headers((const Elf32_Phdr *)(image->data + ehdr->e_phoff),
				      ehdr->e_phnum) :
		(const Elf64_Phdr *)(image->data + ehdr->e_phoff);
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
	struct image_thread *thread;
	size_t before = 0;
	pid_t tid;

	if (note->size != (image->is_32bit ? sizeof(*thread->prstatus32) :
					     sizeof(*thread->prstatus)))
		return bad("size of NT_PRSTATUS");
	tid = image->is_32bit ? ((const struct prstatus32 *)note->desc)->pr_pid :
				((const struct elf_prstatus *)note->desc)->pr_pid;
	for (size_t i = 0; i < image->nr_threads; i++) {
		if (image->threads[i].tid == tid) {
			image->threads[i].nr_prstatus++;
			before++;
		}
	}
	image->threads = CHECK_POINTER(reallocarray(image->threads, image->nr_threads + 1,
						    sizeof(*thread)));
	thread = &image->threads[image->nr_threads++];
	memset(thread, 0, sizeof(*thread));
	thread->tid = tid;
	thread->first = note;
	if (image->is_32bit)
		thread->prstatus32 = note->desc;
	else
		thread->prstatus = note->desc;
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
		} else if (note->type == NT_PRFPREG && !image->is_32bit) {
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
	if (image->is_32bit) {
		free((void *)image->ehdr);
		free((void *)image->phdr);
	}
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

const struct note *image_thread_note(const struct image *image,
				     const struct image_thread *thread, uint32_t type)
{
	const struct note *found = NULL, *note = thread->first;

	while (++note < image->notes + image->nr_notes && note->type != NT_PRSTATUS) {
		if (note->type != type)
			continue;
		if (found)
			return NULL;
		found = note;
	}
	return found;
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
