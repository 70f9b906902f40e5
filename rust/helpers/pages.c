// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of a process, without changing it: no page table grows, no page is
 * allocated or mapped. What its page tables have is taken from there. What
 * they do not have is nothing, in anonymous memory, and in the page cache,
 * for a file. Only what was swapped out is faulted in.
 */
#include <linux/dax.h>
#include <linux/file.h>
#include <linux/hugetlb.h>
#include <linux/leafops.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/pagemap.h>
#include <linux/pgtable.h>
#include <linux/shmem_fs.h>
#include <linux/userfaultfd_k.h>
#include <asm/vdso.h>
#include <livecore/helpers.h>

/* How many steps a look for what is there may take, under mmap_lock. */
#define MAX_STEPS	4096

/* What a page table says of an address. */
enum entry {
	ENTRY_NONE,	/* nothing, or no more than that something was there */
	ENTRY_SWAP,	/* a page that has to be brought, or waited for */
	ENTRY_MAPPED,
};

static enum entry pte_entry(pte_t pte)
{
	if (pte_none(pte) || pte_is_marker(pte))
		return ENTRY_NONE;
	return pte_present(pte) ? ENTRY_MAPPED : ENTRY_SWAP;
}

/*
 * What is there for @addr? *@next is where the table, or the entry, that says
 * so ends.
 *
 * Under mmap_lock no table goes but by RCU: those of PTEs, when khugepaged
 * or PT_RECLAIM finds them empty. The answer may be old when it comes. Not for
 * hugetlb, whose tables are shared with others, who do not take our lock.
 */
static enum entry look_up(struct mm_struct *mm, unsigned long addr, unsigned long *next)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	enum entry entry;
	p4d_t *p4d;
	pud_t pud;
	pmd_t pmd;

	*next = (addr & PGDIR_MASK) + PGDIR_SIZE;
	if (pgd_none(*pgd))
		return ENTRY_NONE;
	p4d = p4d_offset(pgd, addr);
	*next = (addr & P4D_MASK) + P4D_SIZE;
	if (p4d_none(*p4d))
		return ENTRY_NONE;
	pud = READ_ONCE(*pud_offset(p4d, addr));
	*next = (addr & PUD_MASK) + PUD_SIZE;
	if (pud_none(pud))
		return ENTRY_NONE;
	if (!pud_present(pud) || pud_leaf(pud))
		return pud_present(pud) ? ENTRY_MAPPED : ENTRY_SWAP;
	rcu_read_lock();
	pmd = pmdp_get_lockless(pmd_offset(&pud, addr));
	*next = (addr & PMD_MASK) + PMD_SIZE;
	if (pmd_none(pmd)) {
		entry = ENTRY_NONE;
	} else if (!pmd_present(pmd) || pmd_leaf(pmd)) {
		entry = pmd_present(pmd) ? ENTRY_MAPPED : ENTRY_SWAP;
	} else {
		*next = (addr & PAGE_MASK) + PAGE_SIZE;
		entry = pte_entry(ptep_get_lockless(pte_offset_kernel(&pmd, addr)));
	}
	rcu_read_unlock();
	return entry;
}

/* Where the stretch from @addr to at most @end ends that has this entry. */
static unsigned long stretch_end(struct mm_struct *mm, unsigned long addr, unsigned long end,
				 enum entry entry)
{
	unsigned int steps;
	unsigned long next;

	for (steps = 0; steps < MAX_STEPS && addr < end; steps++) {
		if (look_up(mm, addr, &next) != entry)
			break;
		/* The end of the address space wraps. */
		addr = next > addr ? next : end;
	}
	return min(addr, end);
}

/* Will a later try, or another reader, find a page where this one did not? */
static bool is_callers_error(long err)
{
	return err == -EINTR || err == -ENOMEM || err == -EAGAIN;
}

/* The page of a referenced folio, unless it is poisoned, as read(2) does it. */
static struct page *sound_page(struct folio *folio, pgoff_t index)
{
	struct page *page = folio_file_page(folio, index);

	if (PageHWPoison(page)) {
		folio_put(folio);
		return NULL;
	}
	return page;
}

/* A page of a shmem file, by its index; NULL for a hole, which is not filled. */
static struct page *shmem_file_page(struct address_space *mapping, pgoff_t index)
{
	struct folio *folio = filemap_get_folio(mapping, index);

	if (IS_ERR(folio)) {
		if (!xa_is_value(xa_load(&mapping->i_pages, index)))
			return NULL;
		/* Swapped out: into the page cache, which is nobody's in particular. */
		folio = shmem_read_folio_gfp(mapping, index, mapping_gfp_mask(mapping));
	}
	if (IS_ERR(folio))
		return ERR_CAST(folio);
	if (!folio_test_uptodate(folio)) {
		folio_put(folio);
		return NULL;
	}
	return sound_page(folio, index);
}

/* A page of a file, by its index, as a page fault would find it; or NULL. */
static struct page *file_page(struct file *file, pgoff_t index)
{
	struct address_space *mapping = file->f_mapping;
	struct folio *folio;

	if (index >= DIV_ROUND_UP(i_size_read(mapping->host), PAGE_SIZE))
		return NULL;
	if (shmem_mapping(mapping))
		return shmem_file_page(mapping, index);
	/* As filemap_fault() does: a hole that is being punched stays one. */
	filemap_invalidate_lock_shared(mapping);
	folio = read_mapping_folio(mapping, index, file);
	filemap_invalidate_unlock_shared(mapping);
	return IS_ERR(folio) ? ERR_CAST(folio) : sound_page(folio, index);
}

/* Are the pages of this mapping those of its file, as far as nobody wrote? */
static bool is_of_file(struct vm_area_struct *vma)
{
	const struct address_space *mapping = vma->vm_file ? vma->vm_file->f_mapping : NULL;

	return mapping && !vma_is_dax(vma) &&
	       (shmem_mapping((struct address_space *)mapping) || mapping->a_ops->read_folio);
}

/* Has a file, or a driver, that only a fault can ask for a page: DAX, for one. */
static bool must_fault(struct vm_area_struct *vma)
{
	return vma->vm_file && !is_of_file(vma) && vma->vm_ops && vma->vm_ops->fault;
}

/* How much of the huge page that @addr is in follows, @addr's own page included. */
static unsigned long huge_page_left(struct vm_area_struct *vma, unsigned long addr)
{
	unsigned long size = huge_page_size(hstate_vma(vma));

	return size - (addr & (size - 1));
}

/* The vdso's pages are the kernel's, and mapped one by one as they are used. */
static struct page *vdso_page(struct vm_area_struct *vma, unsigned long addr)
{
	const struct vdso_image *image = vma->vm_mm->context.vdso_image;

	/* What was mapped over it is something else. */
	if (!image || vma->vm_start != (unsigned long)vma->vm_mm->context.vdso ||
	    addr - vma->vm_start >= image->size ||
	    !vma->vm_ops || !vma->vm_ops->name || !vma->vm_ops->name(vma))
		return NULL;
	return virt_to_page(image->data + (addr - vma->vm_start));
}

/*
 * Takes what has an entry. A fault may be needed only to bring a swapped
 * page: else, where userfaultfd watches, its monitor may be parked.
 */
static long pin_mapped(struct vm_area_struct *vma, unsigned long addr, unsigned int count,
		       enum entry entry, struct page **pages, int *locked)
{
	unsigned int flags = FOLL_FORCE | FOLL_DUMP;

	if (userfaultfd_armed(vma) && entry != ENTRY_SWAP)
		flags |= FOLL_NOFAULT;
	return get_user_pages_remote(vma->vm_mm, addr, count, flags, pages, locked);
}

static long pin_file(struct file *file, pgoff_t index, unsigned int count,
		     struct page **pages)
{
	struct page *page;
	long pinned;

	for (pinned = 0; pinned < count; pinned++) {
		if (fatal_signal_pending(current))
			return pinned ?: -EINTR;
		page = file_page(file, index + pinned);
		if (IS_ERR_OR_NULL(page))
			return pinned ?: PTR_ERR(page);
		pages[pinned] = page;
	}
	return pinned;
}

/**
 * livecore_pin_pages() - Take references on pages of a process.
 * @mm: the memory, with a reference on mm_users
 * @addr: an address in the first page
 * @count: how many pages, at most
 * @pages: where to put them
 * @missing: if there is no page: how many bytes are missing, at least
 *
 * get_dump_page(), mm/gup.c, of a foreign mm and without its faults.
 *
 * Return: how many pages, 0 if the first is missing or cannot be read, -EINTR
 * if the caller is being killed, -ENOMEM.
 */
long livecore_pin_pages(struct mm_struct *mm, unsigned long addr, unsigned int count,
			struct page **pages, unsigned long *missing)
{
	struct vm_area_struct *vma;
	enum entry entry = ENTRY_MAPPED;
	struct file *file = NULL;
	unsigned long end;
	int locked = 1;
	long pinned = 0;
	pgoff_t index;

	addr &= PAGE_MASK;
	*missing = PAGE_SIZE;
	if (mmap_read_lock_killable(mm))
		return -EINTR;
	vma = find_vma(mm, addr);
	if (!vma || vma->vm_start > addr) {
		*missing = (vma ? vma->vm_start : ULONG_MAX & PAGE_MASK) - addr;
		goto unlock;
	}
	end = vma->vm_end;
	if (!is_vm_hugetlb_page(vma)) {
		entry = look_up(mm, addr, &end);
		end = vma->vm_end;
		if (entry != ENTRY_NONE || is_of_file(vma))
			end = min(end, addr + count * PAGE_SIZE);
		/* One step at least, whatever changed meanwhile. */
		end = max(stretch_end(mm, addr, end, entry), addr + PAGE_SIZE);
	}
	count = min_t(unsigned long, count, (end - addr) >> PAGE_SHIFT);
	if (entry != ENTRY_NONE || must_fault(vma)) {
		if (is_vm_hugetlb_page(vma))
			*missing = huge_page_left(vma, addr);
		pinned = pin_mapped(vma, addr, count, entry, pages, &locked);
	} else if (is_of_file(vma)) {
		file = get_file(vma->vm_file);
		index = linear_page_index(vma, addr);
	} else {
		pages[0] = vdso_page(vma, addr);
		if (pages[0]) {
			get_page(pages[0]);
			pinned = 1;
		}
		*missing = end - addr;
	}
unlock:
	if (locked)
		mmap_read_unlock(mm);
	if (file) {
		pinned = pin_file(file, index, count, pages);
		fput(file);
	}
	if (pinned < 0 && fatal_signal_pending(current))
		return -EINTR;
	return pinned < 0 && !is_callers_error(pinned) ? 0 : pinned;
}
