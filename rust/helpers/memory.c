// SPDX-License-Identifier: GPL-2.0
/* The target's mappings and pages. */
#include <linux/dax.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/sched/coredump.h>
#include <linux/userfaultfd_k.h>
#include <livecore/helpers.h>

static unsigned int file_traits(const struct file *file)
{
	const struct inode *inode = file_inode(file);
	unsigned int traits = LIVECORE_MAP_FILE;

	if (!inode->i_nlink)
		traits |= LIVECORE_MAP_UNLINKED;
	if (READ_ONCE(inode->i_mode) & 0111)
		traits |= LIVECORE_MAP_EXEC_FILE;
	return traits;
}

/* What vma_dump_size(), fs/coredump.c, looks at. */
static unsigned int vma_traits(struct vm_area_struct *vma)
{
	static const struct { vm_flags_t flag; unsigned int trait; } map[] = {
		{ VM_READ,	LIVECORE_MAP_READ },
		{ VM_WRITE,	LIVECORE_MAP_WRITE },
		{ VM_EXEC,	LIVECORE_MAP_EXEC },
		{ VM_SHARED,	LIVECORE_MAP_SHARED },
		{ VM_DONTDUMP,	LIVECORE_MAP_DONTDUMP },
		{ VM_IO,	LIVECORE_MAP_IO },
	};
	unsigned int i, traits = 0;

	for (i = 0; i < ARRAY_SIZE(map); i++)
		if (vma->vm_flags & map[i].flag)
			traits |= map[i].trait;
	if (vma->anon_vma)
		traits |= LIVECORE_MAP_ANON;
	if (vma->vm_file)
		traits |= file_traits(vma->vm_file);
	if (is_vm_hugetlb_page(vma))
		traits |= LIVECORE_MAP_HUGETLB;
	if (vma_is_dax(vma))
		traits |= LIVECORE_MAP_DAX;
	/* special_mapping_name() and gate_vma_name() may be called so. */
	if (vma->vm_ops && vma->vm_ops->name && vma->vm_ops->name(vma))
		traits |= LIVECORE_MAP_SPECIAL;
	return traits;
}

/**
 * livecore_mappings() - List the mappings, each file with a reference.
 * @mm: the memory, with a reference on mm_users
 * @out: room for @max
 * @max: how many fit
 *
 * Never waits for mmap_lock: a sleeper may hold it that waits for a thread
 * which is parked.
 *
 * Return: how many there are (if more than @max, nothing was listed),
 * -EAGAIN if the lock was taken.
 */
long livecore_mappings(struct mm_struct *mm, struct livecore_mapping *out, unsigned long max)
{
	struct vm_area_struct *vma;
	unsigned long count = 0;
	VMA_ITERATOR(vmi, mm, 0);

	if (!mmap_read_trylock(mm))
		return -EAGAIN;
	if (mm->map_count > max) {
		count = mm->map_count;
		goto unlock;
	}
	for_each_vma(vmi, vma) {
		out[count++] = (struct livecore_mapping) {
			.start = vma->vm_start,
			.end = vma->vm_end,
			.pgoff = vma->vm_pgoff,
			.file = vma->vm_file ? get_file(vma->vm_file) : NULL,
			.traits = vma_traits(vma),
		};
		if (count == max)
			break;
	}
unlock:
	mmap_read_unlock(mm);
	return count;
}

/* About how many mappings there are. */
unsigned long livecore_mm_map_count(struct mm_struct *mm)
{
	return READ_ONCE(mm->map_count);
}

/* The bits of /proc/<pid>/coredump_filter. */
unsigned long livecore_mm_dump_filter(struct mm_struct *mm)
{
	return (__mm_flags_get_word(mm) & MMF_DUMP_FILTER_MASK) >> MMF_DUMP_FILTER_SHIFT;
}

void livecore_mm_args(struct mm_struct *mm, unsigned long *start, unsigned long *end)
{
	spin_lock(&mm->arg_lock);
	*start = mm->arg_start;
	*end = mm->arg_end;
	spin_unlock(&mm->arg_lock);
}

/* The auxiliary vector; written by execve only, before the mm is in use. */
const unsigned long *livecore_mm_auxv(struct mm_struct *mm, unsigned int *words)
{
	*words = ARRAY_SIZE(mm->saved_auxv);
	return mm->saved_auxv;
}

/**
 * livecore_pin_pages() - Take references on pages of a process.
 * @mm: the memory, with a reference on mm_users
 * @addr: an address in the first page
 * @count: how many pages, at most
 * @pages: where to put them
 *
 * get_dump_page(), mm/gup.c, of a foreign mm: what was never touched is not
 * allocated. A range that userfaultfd watches is not faulted in, since its
 * monitor may be parked; elsewhere a signal to the reader ends the wait.
 *
 * Return: how many pages, fewer where one is missing; 0 if it is the first;
 * -EINTR if the reader is being killed.
 */
long livecore_pin_pages(struct mm_struct *mm, unsigned long addr, unsigned int count,
			struct page **pages)
{
	unsigned int flags = FOLL_FORCE | FOLL_DUMP;
	struct vm_area_struct *vma;
	int locked = 1;
	long pinned;

	addr &= PAGE_MASK;
	if (mmap_read_lock_killable(mm))
		return -EINTR;
	vma = vma_lookup(mm, addr);
	if (vma) {
		count = min_t(unsigned long, count, (vma->vm_end - addr) >> PAGE_SHIFT);
		flags |= userfaultfd_armed(vma) ? FOLL_NOFAULT : FOLL_INTERRUPTIBLE;
	}
	pinned = get_user_pages_remote(mm, addr, count, flags, pages, &locked);
	if (locked)
		mmap_read_unlock(mm);
	if (pinned < 0 && fatal_signal_pending(current))
		return -EINTR;
	return max(pinned, 0L);
}

void livecore_put_page(struct page *page)
{
	put_page(page);
}

void livecore_copy_from_page(struct page *page, size_t offset, void *to, size_t len)
{
	memcpy_from_page(to, page, offset, len);
}
