/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An ELF core read into memory, and its parts.
 */
#ifndef LIVECORE_IMAGE_H
#define LIVECORE_IMAGE_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/procfs.h>
#include <sys/types.h>
#include <sys/user.h>

struct note {
	const char *name;
	uint32_t type;
	const void *desc;
	size_t size;
};

/* What the notes say about one thread. */
struct image_thread {
	pid_t tid;
	size_t nr_prstatus;	/* how many notes there are of this thread */
	const struct elf_prstatus *prstatus;
	const struct user_fpregs_struct *fpregs;
	const unsigned char *xstate;
	size_t xstate_size;
};

struct image {
	unsigned char *data;
	size_t size;
	const Elf64_Ehdr *ehdr;
	const Elf64_Phdr *phdr;
	struct note *notes;
	size_t nr_notes;
	struct image_thread *threads;	/* in the order of the notes */
	size_t nr_threads;
};

/* Opens /proc/@pid/core: a descriptor or a negative errno. */
int core_open(pid_t pid);

/*
 * Reads from the file's position to its end. A negative errno is what read()
 * said, or -EBADMSG for what is not a core of a 64-bit x86 process.
 */
int image_read(struct image *image, int fd);

/* Opens, reads, closes. */
int image_dump(struct image *image, pid_t pid);

void image_free(struct image *image);

/* The only note of that kind, NULL if there is none or more than one. */
const struct note *image_note(const struct image *image, const char *name, uint32_t type);

/* NULL unless there is exactly one. */
const struct image_thread *image_thread(const struct image *image, pid_t tid);

/* The PT_LOADs begin behind the PT_NOTE. */
static inline size_t image_nr_loads(const struct image *image)
{
	return image->ehdr->e_phnum - 1;
}

static inline const Elf64_Phdr *image_load(const struct image *image, size_t index)
{
	return &image->phdr[1 + index];
}

/* The bytes of memory at @address, NULL if not all of them are in the file. */
const void *image_at(const struct image *image, uint64_t address, size_t size);

#endif /* LIVECORE_IMAGE_H */
