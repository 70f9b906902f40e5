// SPDX-License-Identifier: GPL-2.0
/*
 * Prints the note LIVECORE of a core file, a line for each thread:
 *
 *	cc -Wall -I../include/uapi note.c -o note
 *	./note FILE
 */
#include <elf.h>
#include <err.h>
#include <linux/livecore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char * const hows[] = {
	[LIVECORE_THREAD_PARKED]	= "parked",
	[LIVECORE_THREAD_IN_PLACE]	= "in place",
	[LIVECORE_THREAD_RUNNING]	= "running",
	[LIVECORE_THREAD_ZEROED]	= "zeroed",
	[LIVECORE_THREAD_CALLER]	= "caller",
	[LIVECORE_THREAD_MOVED]		= "moved",
};

static void read_at(FILE *core, long at, void *to, size_t size)
{
	if (fseek(core, at, SEEK_SET) || fread(to, size, 1, core) != 1)
		errx(1, "not a core file, or only a part of one");
}

/* Where the notes are, in either class. They come first. */
static void find_notes(FILE *core, long *at, size_t *size)
{
	unsigned char ident[EI_NIDENT];

	read_at(core, 0, ident, sizeof(ident));
	if (memcmp(ident, ELFMAG, SELFMAG))
		errx(1, "not an ELF file");
	if (ident[EI_CLASS] == ELFCLASS64) {
		Elf64_Ehdr ehdr;
		Elf64_Phdr phdr;

		read_at(core, 0, &ehdr, sizeof(ehdr));
		read_at(core, ehdr.e_phoff, &phdr, sizeof(phdr));
		*at = phdr.p_offset;
		*size = phdr.p_type == PT_NOTE ? phdr.p_filesz : 0;
	} else {
		Elf32_Ehdr ehdr;
		Elf32_Phdr phdr;

		read_at(core, 0, &ehdr, sizeof(ehdr));
		read_at(core, ehdr.e_phoff, &phdr, sizeof(phdr));
		*at = phdr.p_offset;
		*size = phdr.p_type == PT_NOTE ? phdr.p_filesz : 0;
	}
}

static size_t padded(size_t size)
{
	return (size + 3) & ~(size_t)3;
}

/* A copy of the bytes of our note, which begin with a livecore_note. */
static char *read_note(FILE *core, size_t *size)
{
	size_t left;
	long at;

	find_notes(core, &at, &left);
	while (left >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;	/* the same in both classes */
		char owner[16] = "";
		size_t whole;
		char *bytes;

		read_at(core, at, &note, sizeof(note));
		whole = sizeof(note) + padded(note.n_namesz) + padded(note.n_descsz);
		if (whole > left)
			errx(1, "a note that does not end");
		if (note.n_namesz && note.n_namesz < sizeof(owner))
			read_at(core, at + sizeof(note), owner, note.n_namesz);
		if (note.n_type == NT_LIVECORE_DUMP && !strcmp(owner, "LIVECORE")) {
			if (note.n_descsz < sizeof(struct livecore_note))
				errx(1, "a note that is too short");
			*size = note.n_descsz;
			bytes = malloc(*size);
			if (!bytes)
				err(1, NULL);
			read_at(core, at + sizeof(note) + padded(note.n_namesz), bytes, *size);
			return bytes;
		}
		at += whole;
		left -= whole;
	}
	errx(1, "no note LIVECORE: not a live dump");
}

static void print_thread(const struct livecore_note_thread *thread)
{
	const char *how = "?";

	if (thread->how <= LIVECORE_THREAD_MOVED)
		how = hows[thread->how];
	printf("thread %u: %s", thread->tid, how);
	if (thread->flags & LIVECORE_THREAD_GUEST_FPU)
		printf(", runs a virtual machine");
	if (thread->syscall >= 0) {
		printf(", in system call %lld(", (long long)thread->syscall);
		for (int i = 0; i < 6; i++)
			printf("%s%#llx", i ? ", " : "", (unsigned long long)thread->args[i]);
		printf(")");
	}
	printf("\n");
}

int main(int argc, char **argv)
{
	const struct livecore_note *note;
	size_t size, room;
	char *bytes;
	FILE *core;

	if (argc != 2)
		errx(2, "usage: note FILE");
	core = fopen(argv[1], "rb");
	if (!core)
		err(1, "%s", argv[1]);
	bytes = read_note(core, &size);
	note = (const void *)bytes;

	/* A later version's may be longer: what is known comes first. */
	room = note->header_size <= size ? size - note->header_size : 0;
	if (note->header_size < sizeof(*note) ||
	    note->thread_size < sizeof(struct livecore_note_thread) ||
	    note->thread_count > room / note->thread_size)
		errx(1, "sizes that cannot be");
	printf("%s of %u threads, contents %u, filter %#x, held at %llu.%09llu after %llu us\n",
	       note->mode == LIVECORE_MODE_SNAPSHOT ? "snapshot" : "dump", note->thread_count,
	       note->contents, note->filter,
	       (unsigned long long)note->time_ns / 1000000000,
	       (unsigned long long)note->time_ns % 1000000000,
	       (unsigned long long)note->hold_ns / 1000);
	if (note->inexact & LIVECORE_INEXACT_REGISTERS)
		printf("not exact: registers of some threads\n");
	if (note->inexact & LIVECORE_INEXACT_SHARED_MM)
		printf("not exact: another process shares the memory\n");
	if (note->inexact & LIVECORE_INEXACT_WORKERS)
		printf("not exact: workers of the kernel went on\n");
	if (note->inexact & LIVECORE_INEXACT_SHARED_MEMORY)
		printf("not exact: shared memory is as of reading\n");
	if (note->fallback)
		printf("held until the end: no snapshot, for %#x\n", note->fallback);
	for (__u32 i = 0; i < note->thread_count; i++)
		print_thread((const void *)(bytes + note->header_size +
					    (size_t)i * note->thread_size));
	free(bytes);
	fclose(core);
	return 0;
}
