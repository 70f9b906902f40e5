// SPDX-License-Identifier: GPL-2.0
/* The target's mappings, and copying from its pages. */
#include <linux/dax.h>
#include <linux/file.h>
#include <linux/filelock.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/sched/coredump.h>
#include <linux/shmem_fs.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/userfaultfd_k.h>
#include <livecore/helpers.h>

/* How many locks of a file are looked at: it may have any number. */
#define MAX_LOCKS	1024

/* Is one of these locks on this file as it was opened, until its last user is gone? */
static bool has_lock(const struct list_head *locks, const struct file *file)
{
	const struct file_lock_core *lock;
	unsigned int seen = 0;

	list_for_each_entry(lock, locks, flc_list)
		if (++seen > MAX_LOCKS ||
		    (lock->flc_file == file &&
		     lock->flc_flags & (FL_FLOCK | FL_OFDLCK | FL_LEASE)))
			return true;
	return false;
}

/* Or may it be? */
bool livecore_file_is_locked(const struct file *file)
{
	struct file_lock_context *locks = locks_inode_context(file_inode(file));
	bool found;

	if (!locks)
		return false;
	spin_lock(&locks->flc_lock);
	found = has_lock(&locks->flc_flock, file) || has_lock(&locks->flc_posix, file) ||
		has_lock(&locks->flc_lease, file);
	spin_unlock(&locks->flc_lock);
	return found;
}

/*
 * Would others be told of one more who maps this, or wait for it to go? Drivers
 * count, or have something open until then; FUSE writes back what was shared.
 */
static bool is_counted(struct vm_area_struct *vma)
{
	const struct vm_operations_struct *ops = vma->vm_ops;

	/* Huge pages of hugetlb speak for themselves. */
	if (!vma->vm_file || is_vm_hugetlb_page(vma))
		return false;
	if (!S_ISREG(file_inode(vma->vm_file)->i_mode) && !vma_is_anonymous(vma))
		return true;
	return ops && (ops->open || (vma->vm_flags & VM_SHARED && ops->close));
}

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

/* What vma_dump_size(), fs/coredump.c, looks at, and what speaks against a copy. */
static unsigned int vma_traits(struct vm_area_struct *vma)
{
	static const struct { vm_flags_t flag; unsigned int trait; } map[] = {
		{ VM_READ,	LIVECORE_MAP_READ },
		{ VM_WRITE,	LIVECORE_MAP_WRITE },
		{ VM_EXEC,	LIVECORE_MAP_EXEC },
		{ VM_SHARED,	LIVECORE_MAP_SHARED },
		{ VM_DONTDUMP,	LIVECORE_MAP_DONTDUMP },
		{ VM_IO,	LIVECORE_MAP_IO },
		{ VM_DONTCOPY,	LIVECORE_MAP_DONTCOPY },
		{ VM_WIPEONFORK, LIVECORE_MAP_WIPEONFORK },
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
	if (userfaultfd_armed(vma))
		traits |= LIVECORE_MAP_USERFAULTFD;
	/* Nobody else who is told of mappings has files of tmpfs. */
	if (is_counted(vma))
		traits |= shmem_mapping(vma->vm_file->f_mapping) ? LIVECORE_MAP_SYSV :
								    LIVECORE_MAP_COUNTED;
	if (vma_is_dax(vma))
		traits |= LIVECORE_MAP_DAX;
	/* special_mapping_name() and gate_vma_name() may be called so. */
	if (vma->vm_ops && vma->vm_ops->name && vma->vm_ops->name(vma))
		traits |= LIVECORE_MAP_SPECIAL;
	return traits;
}

/* As it is now; the file without a reference. Under mmap_lock. */
static struct livecore_mapping mapping_of(struct vm_area_struct *vma)
{
	return (struct livecore_mapping) {
		.start = vma->vm_start,
		.end = vma->vm_end,
		.pgoff = vma->vm_pgoff,
		.file = vma->vm_file,
		.traits = vma_traits(vma),
	};
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
	struct vma_iterator vmi;
	unsigned long count = 0;

	if (!mmap_read_trylock(mm))
		return -EAGAIN;
	if (mm->map_count > max) {
		count = mm->map_count;
		goto unlock;
	}
	vma_iter_init(&vmi, mm, 0);
	for_each_vma(vmi, vma) {
		if (WARN_ON_ONCE(count == max))
			break;
		out[count] = mapping_of(vma);
		if (out[count].file)
			get_file(out[count].file);
		count++;
	}
unlock:
	mmap_read_unlock(mm);
	return count;
}

/*
 * Is somebody in the midst of a page fault who has locked this mapping alone?
 * Who is held will not be; who sleeps there may wait for one who is.
 */
static bool is_being_faulted(const struct vm_area_struct *vma)
{
#ifdef CONFIG_PER_VMA_LOCK
	return refcount_read(&vma->vm_refcnt) > 1;
#else
	return false;
#endif
}

/* Does anybody wait for mmap_lock, which we have for writing? */
static bool is_waited_for(struct mm_struct *mm)
{
#ifdef CONFIG_PREEMPT_RT
	/* There, mmap_lock_is_contended() tells whether anybody has it. */
	return !RB_EMPTY_ROOT(&mm->mmap_lock.rwbase.rtmutex.waiters.rb_root);
#else
	/* Writers spin first, where there is another CPU. */
#ifdef CONFIG_RWSEM_SPIN_ON_OWNER
	if (osq_is_locked(&mm->mmap_lock.osq))
		return true;
#endif
	return mmap_lock_is_contended(mm);
#endif
}

/**
 * livecore_mappings_same() - Are the mappings still those of a list?
 * @mm: the memory, with a reference on mm_users
 * @list: what livecore_mappings() wrote, its files referenced
 * @count: how many it has
 * @seq: NULL, or try for the locks as who copies the memory takes them, and tell
 *	where the sequence of mmap_lock is
 *
 * Return: 1 if they are, 0 if not, -EAGAIN if a lock was taken. With @seq
 * always that on a kernel that does not count (PER_VMA_LOCK).
 */
int livecore_mappings_same(struct mm_struct *mm, const struct livecore_mapping *list,
			   unsigned long count, unsigned int *seq)
{
	struct livecore_mapping now;
	struct vm_area_struct *vma;
	struct vma_iterator vmi;
	unsigned long at = 0;
	bool alone = seq;
	int same = 0;

	/* Nothing is written: those who look without the lock need not know. */
	if (!(alone ? down_write_trylock(&mm->mmap_lock) : mmap_read_trylock(mm)))
		return -EAGAIN;
	if (mm->map_count != count)
		goto unlock;
	vma_iter_init(&vmi, mm, 0);
	for_each_vma(vmi, vma) {
		now = mapping_of(vma);
		if (at == count || now.start != list[at].start || now.end != list[at].end ||
		    now.pgoff != list[at].pgoff || now.file != list[at].file ||
		    now.traits != list[at].traits)
			goto unlock;
		if (alone && is_being_faulted(vma)) {
			same = -EAGAIN;
			goto unlock;
		}
		at++;
	}
	same = at == count;
	/* Who waits is in before we come back. */
	if (alone && same &&
	    (is_waited_for(mm) || !mmap_lock_speculate_try_begin(mm, seq)))
		same = -EAGAIN;
unlock:
	if (alone)
		up_write(&mm->mmap_lock);
	else
		mmap_read_unlock(mm);
	return same;
}

/*
 * Has mmap_lock been taken for writing once since @seq, and given back? Then
 * nobody but who did so has changed a mapping, nor has changed it back.
 */
bool livecore_mm_was_written_once(struct mm_struct *mm, unsigned int seq)
{
	unsigned int now;

	return mmap_lock_speculate_try_begin(mm, &now) && now - seq == 2;
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

/*
 * Copies the auxiliary vector, zeros behind it. prctl(PR_SET_MM_AUXV) may be
 * writing it; the kernel's dumper does not mind either.
 */
void livecore_mm_auxv(struct mm_struct *mm, unsigned long *out, unsigned int words)
{
	unsigned int i;

	for (i = 0; i < words; i++)
		out[i] = i < ARRAY_SIZE(mm->saved_auxv) ? READ_ONCE(mm->saved_auxv[i]) : 0;
}

/*
 * As fs/coredump.c does: memory that turns out to be broken is no machine check
 * in the kernel, but zeros.
 */
void livecore_copy_from_page(struct page *page, size_t offset, void *to, size_t len)
{
	unsigned long left = copy_mc_to_kernel(to, page_address(page) + offset, len);

	memset(to + len - left, 0, left);
}

/**
 * livecore_peek() - Copy memory of a process that is held.
 * @mm: the memory, with a reference on mm_users
 * @addr: from where
 * @to: @len bytes of room
 * @len: how many bytes
 *
 * Neither mmap_lock nor a fault is waited for: both may wait for a thread that
 * is parked. What is not to be had so is left as it is in @to.
 */
void livecore_peek(struct mm_struct *mm, unsigned long addr, void *to, size_t len)
{
	unsigned int flags = FOLL_FORCE | FOLL_DUMP | FOLL_NOFAULT;
	struct page *page;
	size_t step;

	if (!mmap_read_trylock(mm))
		return;
	for (; len; addr += step, to += step, len -= step) {
		step = min(len, PAGE_SIZE - offset_in_page(addr));
		/* Below a stack, GUP would tell the log that it does not grow it. */
		if (!vma_lookup(mm, addr))
			continue;
		if (get_user_pages_remote(mm, addr, 1, flags, &page, NULL) != 1)
			continue;
		livecore_copy_from_page(page, offset_in_page(addr), to, step);
		put_page(page);
	}
	mmap_read_unlock(mm);
}

void livecore_read_barrier(void)
{
	/* Pairs with what the callers say. */
	smp_rmb();
}
