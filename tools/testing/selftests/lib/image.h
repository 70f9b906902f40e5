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

/* struct i386_elf_prstatus, arch/x86/include/asm/elfcore-compat.h */
struct prstatus32 {
	int32_t si_signo, si_code, si_errno;
	int16_t pr_cursig;
	uint32_t pr_sigpend, pr_sighold;
	int32_t pr_pid, pr_ppid, pr_pgrp, pr_sid;
	uint32_t pr_times[4][2];
	/* struct user_regs_struct32, arch/x86/include/asm/user32.h */
	uint32_t ebx, ecx, edx, esi, edi, ebp, eax, ds, es, fs, gs;
	uint32_t orig_eax, eip, cs, eflags, esp, ss;
	int32_t pr_fpvalid;
};

_Static_assert(sizeof(struct prstatus32) == 144, "i386_elf_prstatus");

/* What the notes say about one thread. */
struct image_thread {
	pid_t tid;
	size_t nr_prstatus;	/* how many notes there are of this thread */
	const struct note *first;	/* its NT_PRSTATUS; those up to the next one follow */
	const struct elf_prstatus *prstatus;	/* NULL in a 32-bit core */
	const struct prstatus32 *prstatus32;	/* NULL in a 64-bit one */
	const struct user_fpregs_struct *fpregs;
	const unsigned char *xstate;
	size_t xstate_size;
};

struct image {
	unsigned char *data;
	size_t size;
	bool is_32bit;		/* then the headers are copies in 64 bits */
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
 * The same where kernel.livecore_stall_ms is short: opening itself may take
 * longer on a busy machine, and is tried again then.
 */
int core_open_in_time(pid_t pid);

/*
 * Reads from the file's position to its end. A negative errno is what read()
 * said, or -EBADMSG for what is not a core of an x86 process.
 */
int image_read(struct image *image, int fd);

/* Opens, reads, closes. */
int image_dump(struct image *image, pid_t pid);

void image_free(struct image *image);

/* The only note of that kind, NULL if there is none or more than one. */
const struct note *image_note(const struct image *image, const char *name, uint32_t type);

/* NULL unless there is exactly one. */
const struct image_thread *image_thread(const struct image *image, pid_t tid);

/* The only note of that type among those of a thread, NULL if there is none. */
const struct note *image_thread_note(const struct image *image,
				     const struct image_thread *thread, uint32_t type);

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
