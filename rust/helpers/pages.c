// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of a process, without changing it: no page table grows, no page is
 * allocated or mapped for it, and none is marked as accessed. What is where,
 * and references on it; which of these to ask is target/memory.rs's to decide.
 */
#include <linux/dax.h>
#include <linux/file.h>
#include <linux/gfs2_ondisk.h>
#include <linux/hugetlb.h>
#include <linux/leafops.h>
#include <linux/magic.h>
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

/* Killable: -EINTR. */
int livecore_lock_mm(struct mm_struct *mm)
{
	return mmap_read_lock_killable(mm);
}

void livecore_unlock_mm(struct mm_struct *mm)
{
	mmap_read_unlock(mm);
}

/*
 * Has the file system to be asked by a fault? A cluster's takes locks or
 * capabilities there, without which what it reads may be stale for everybody;
 * files of sysfs are drivers.
 */
static bool must_ask(const struct super_block *sb)
{
	return sb->s_magic == GFS2_MAGIC || sb->s_magic == CEPH_SUPER_MAGIC ||
	       sb->s_magic == OCFS2_SUPER_MAGIC || sb->s_magic == SYSFS_MAGIC;
}

/* Are the pages of this mapping those of its file, as far as nobody wrote? */
static bool is_of_file(struct vm_area_struct *vma)
{
	struct address_space *mapping = vma->vm_file ? vma->vm_file->f_mapping : NULL;

	if (!mapping || vma_is_dax(vma))
		return false;
	return shmem_mapping(mapping) ||
	       (mapping->a_ops->read_folio && !must_ask(mapping->host->i_sb));
}

/*
 * Can each of its pages be had from the page tables alone? Not where a driver
 * has put them there, nor where the kernel itself cannot read them
 * (secretmem): GUP decides about those.
 */
static bool is_plain(struct vm_area_struct *vma)
{
	/* A private mapping of /dev/zero has a file, and is anonymous. */
	return (!vma->vm_file || vma_is_anonymous(vma) || is_of_file(vma)) &&
	       !is_vm_hugetlb_page(vma) &&
	       !(vma->vm_flags & (VM_IO | VM_PFNMAP | VM_MIXEDMAP));
}

/**
 * livecore_find_vma() - What is mapped at an address?
 * @mm: the memory; mmap_lock is held
 * @addr: the address
 * @out: the mapping; if there is none: where the next one starts, or the end
 *
 * Return: is there one?
 */
bool livecore_find_vma(struct mm_struct *mm, unsigned long addr, struct livecore_vma *out)
{
	struct vm_area_struct *vma = find_vma(mm, addr);
	unsigned int traits = 0;

	if (!vma || vma->vm_start > addr) {
		*out = (struct livecore_vma) {
			.end = vma ? vma->vm_start : ULONG_MAX & PAGE_MASK,
		};
		return false;
	}
	if (vma->vm_flags & (VM_IO | VM_PFNMAP))
		traits |= LIVECORE_VMA_DEVICE;
	if (is_vm_hugetlb_page(vma))
		traits |= LIVECORE_VMA_HUGETLB;
	if (is_plain(vma))
		traits |= LIVECORE_VMA_PLAIN;
	if (is_of_file(vma))
		traits |= LIVECORE_VMA_FILE;
	else if (vma->vm_file && vma->vm_ops && vma->vm_ops->fault)
		traits |= LIVECORE_VMA_FAULTS;
	if (userfaultfd_armed(vma))
		traits |= LIVECORE_VMA_WATCHED;
#ifdef VM_UFFD_RWP
	if (vma->vm_flags & VM_UFFD_RWP)
		traits |= LIVECORE_VMA_WATCHED_READS;
#endif
	*out = (struct livecore_vma) {
		.vma = vma,
		.end = vma->vm_end,
		.traits = traits,
	};
	return true;
}

/* How much of the huge page that @addr is in follows, @addr's own page included. */
unsigned long livecore_huge_page_left(struct vm_area_struct *vma, unsigned long addr)
{
	unsigned long size = huge_page_size(hstate_vma(vma));

	return size - (addr & (size - 1));
}

static enum livecore_entry pte_entry(pte_t pte)
{
	softleaf_t leaf;

	if (pte_none(pte))
		return LIVECORE_ENTRY_NONE;
	if (pte_present(pte))
		return pte_special(pte) ? LIVECORE_ENTRY_SPECIAL : LIVECORE_ENTRY_MAPPED;
	leaf = softleaf_from_pte(pte);
	if (!softleaf_is_marker(leaf) || softleaf_is_poison_marker(leaf))
		return LIVECORE_ENTRY_SWAP;
	return softleaf_is_guard_marker(leaf) ? LIVECORE_ENTRY_SPECIAL : LIVECORE_ENTRY_NONE;
}

static enum livecore_entry pmd_entry(pmd_t pmd)
{
	if (!pmd_present(pmd))
		return LIVECORE_ENTRY_SWAP;
	return pmd_special(pmd) ? LIVECORE_ENTRY_SPECIAL : LIVECORE_ENTRY_MAPPED;
}

/*
 * A reference on a page that an entry named a moment ago. The caller looks at
 * the entry again: try_get_folio(), mm/gup.c.
 */
static struct page *try_get(struct page *page)
{
	struct folio *folio = page_folio(page);

	if (!folio_try_get(folio))
		return NULL;
	if (page_folio(page) == folio)
		return page;
	folio_put(folio);
	return NULL;
}

/*
 * Reclaim, migration, and whoever changes the rights of a page clear its entry
 * for a moment, under its lock: that there is none is to be believed under
 * that alone.
 */
static pmd_t settled_pmd(struct mm_struct *mm, pmd_t *pmdp)
{
	pmd_t pmd = pmdp_get_lockless(pmdp);
	spinlock_t *ptl; /* of the entries next to it */

	if (pmd_none(pmd)) {
		ptl = pmd_lock(mm, pmdp);
		pmd = pmdp_get(pmdp);
		spin_unlock(ptl);
	}
	return pmd;
}

/*
 * The same for an entry of the table that @pmd, *@pmdp a moment ago, names:
 * pte_offset_map_lock(), mm/pgtable-generic.c. False if the table is not in
 * place any more. Under RCU.
 */
static bool settled_pte(struct mm_struct *mm, pmd_t *pmdp, pmd_t pmd, pte_t *ptep, pte_t *pte)
{
	spinlock_t *ptl; /* of the entries next to it */
	bool in_place;

	*pte = ptep_get_lockless(ptep);
	if (!pte_none(*pte))
		return true;
	ptl = pte_lockptr(mm, &pmd);
	spin_lock(ptl);
	*pte = ptep_get(ptep);
	in_place = pmd_same(pmd, pmdp_get_lockless(pmdp));
	spin_unlock(ptl);
	return in_place;
}

/*
 * What is there for @addr? *@next is where the table, or the entry, that says
 * so ends. With @page: takes a reference on what is mapped; NULL if it could
 * not be taken, since the entry changed.
 *
 * Under mmap_lock no table goes but by RCU: those of PTEs, when khugepaged
 * or PT_RECLAIM finds them empty. The answer may be old when it comes, but it
 * was true, and a page that was taken was there: as gup_fast_pte_range() does it,
 * which marks it as accessed besides. Not for hugetlb, whose tables are shared
 * with others, who do not take our lock.
 */
static enum livecore_entry walk(struct mm_struct *mm, unsigned long addr, unsigned long *next,
				struct page **page)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	enum livecore_entry entry;
	p4d_t *p4d;
	pud_t pud;
	pmd_t *pmdp, pmd;
	pte_t *ptep, pte;

	*next = (addr & PGDIR_MASK) + PGDIR_SIZE;
	if (pgd_none(*pgd))
		return LIVECORE_ENTRY_NONE;
	p4d = p4d_offset(pgd, addr);
	*next = (addr & P4D_MASK) + P4D_SIZE;
	if (p4d_none(*p4d))
		return LIVECORE_ENTRY_NONE;
	pud = READ_ONCE(*pud_offset(p4d, addr));
	*next = (addr & PUD_MASK) + PUD_SIZE;
	if (pud_none(pud))
		return LIVECORE_ENTRY_NONE;
	if (!pud_present(pud) || pud_leaf(pud))
		return pud_present(pud) ? LIVECORE_ENTRY_MAPPED : LIVECORE_ENTRY_SWAP;
	rcu_read_lock();
	pmdp = pmd_offset(&pud, addr);
again:
	pmd = settled_pmd(mm, pmdp);
	*next = (addr & PMD_MASK) + PMD_SIZE;
	if (pmd_none(pmd)) {
		entry = LIVECORE_ENTRY_NONE;
	} else if (!pmd_present(pmd) || pmd_leaf(pmd)) {
		entry = pmd_entry(pmd);
		if (page && entry == LIVECORE_ENTRY_MAPPED) {
			*page = try_get(pmd_page(pmd) + ((addr & ~PMD_MASK) >> PAGE_SHIFT));
			if (*page && pmd_val(pmdp_get_lockless(pmdp)) != pmd_val(pmd)) {
				put_page(*page);
				*page = NULL;
			}
		}
	} else {
		*next = (addr & PAGE_MASK) + PAGE_SIZE;
		ptep = pte_offset_kernel(&pmd, addr);
		if (!settled_pte(mm, pmdp, pmd, ptep, &pte))
			goto again;
		entry = pte_entry(pte);
		if (page && entry == LIVECORE_ENTRY_MAPPED) {
			*page = try_get(pte_page(pte));
			/* A table that is not in place any more says nothing, either. */
			if (*page && (pmd_val(pmdp_get_lockless(pmdp)) != pmd_val(pmd) ||
				      pte_val(ptep_get_lockless(ptep)) != pte_val(pte))) {
				put_page(*page);
				*page = NULL;
			}
		}
	}
	rcu_read_unlock();
	return entry;
}

/* What do the page tables have for @addr? Under mmap_lock; not for hugetlb. */
enum livecore_entry livecore_entry_at(struct mm_struct *mm, unsigned long addr)
{
	unsigned long next;

	return walk(mm, addr, &next, NULL);
}

/**
 * livecore_entry_end() - How far do the page tables go on like this?
 * @mm: the memory; mmap_lock is held
 * @addr: the start, of a page with such an @entry
 * @end: where to stop
 * @entry: livecore_entry_at(@addr)
 *
 * Not for hugetlb.
 *
 * Return: an address, at least a page further; short of the true end where
 * finding that takes too many steps.
 */
unsigned long livecore_entry_end(struct mm_struct *mm, unsigned long addr, unsigned long end,
				 enum livecore_entry entry)
{
	unsigned int steps;
	unsigned long next;

	/* One page at least, whatever changed meanwhile. */
	addr += PAGE_SIZE;
	for (steps = 0; steps < MAX_STEPS && addr < end; steps++) {
		if (walk(mm, addr, &next, NULL) != entry)
			break;
		/* The end of the address space wraps. */
		addr = next > addr ? next : end;
	}
	return min(addr, end);
}

/**
 * livecore_take_pages() - Take references on what the page tables have.
 * @mm: the memory; mmap_lock is held
 * @addr: the first page, in a mapping that is LIVECORE_VMA_PLAIN
 * @count: how many pages, at most, in that mapping
 * @pages: where to put them
 *
 * Return: how many, up to the first that is not mapped, or changes right now.
 */
unsigned int livecore_take_pages(struct mm_struct *mm, unsigned long addr, unsigned int count,
				 struct page **pages)
{
	unsigned int taken;
	unsigned long next;

	for (taken = 0; taken < count; taken++, addr += PAGE_SIZE) {
		pages[taken] = NULL;
		walk(mm, addr, &next, &pages[taken]);
		if (!pages[taken])
			break;
	}
	return taken;
}

/**
 * livecore_fault_pages() - Take references, and bring what is not there.
 * @mm: the memory; mmap_lock is held
 * @addr: the first page
 * @count: how many pages, at most
 * @may_fault: bring them?
 * @pages: where to put them
 *
 * get_dump_page(), mm/gup.c, of a foreign mm. Drops mmap_lock.
 *
 * Return: how many, or a negative errno if the first cannot be had: -EINTR if
 * the caller is being killed, -EHWPOISON if it is broken.
 */
long livecore_fault_pages(struct mm_struct *mm, unsigned long addr, unsigned int count,
			  bool may_fault, struct page **pages)
{
	unsigned int flags = FOLL_FORCE | FOLL_DUMP | FOLL_HWPOISON;
	int locked = 1;
	long taken;

	if (!may_fault)
		flags |= FOLL_NOFAULT;
	taken = get_user_pages_remote(mm, addr, count, flags, pages, &locked);
	if (locked)
		mmap_read_unlock(mm);
	if (taken < 0 && fatal_signal_pending(current))
		return -EINTR;
	return taken ?: -EFAULT;
}

/* The vdso's pages are the kernel's, and mapped one by one as they are used. */
struct page *livecore_vdso_page(struct vm_area_struct *vma, unsigned long addr)
{
	const struct vdso_image *image = vma->vm_mm->context.vdso_image;
	struct page *page;

	/* What was mapped over it is something else. */
	if (!image || vma->vm_start != (unsigned long)vma->vm_mm->context.vdso ||
	    addr - vma->vm_start >= image->size ||
	    !vma->vm_ops || !vma->vm_ops->name || !vma->vm_ops->name(vma))
		return NULL;
	page = virt_to_page(image->data + ((addr - vma->vm_start) & PAGE_MASK));
	get_page(page);
	return page;
}

/* The file of a mapping, with a reference, and the index of @addr's page. */
struct file *livecore_vma_file(struct vm_area_struct *vma, unsigned long addr,
			       unsigned long *index)
{
	*index = linear_page_index(vma, addr);
	return get_file(vma->vm_file);
}

/* How many pages a file has, holes included. */
static pgoff_t file_pages(const struct address_space *mapping)
{
	return DIV_ROUND_UP(i_size_read(mapping->host), PAGE_SIZE);
}

/**
 * livecore_file_data() - Where does the file of a mapping have something?
 * @vma: LIVECORE_VMA_FILE; mmap_lock is held
 * @addr: the first page
 * @end: where to stop, in this mapping, further than @addr
 *
 * Return: the first address of a page that the file has or may have, or @end.
 */
unsigned long livecore_file_data(struct vm_area_struct *vma, unsigned long addr,
				 unsigned long end)
{
	struct address_space *mapping = vma->vm_file->f_mapping;
	unsigned long index = linear_page_index(vma, addr);
	unsigned long last = linear_page_index(vma, end - 1);
	unsigned long first = index;

	if (!shmem_mapping(mapping))
		return index < file_pages(mapping) ? addr : end;
	/* What was swapped out has an entry, too. */
	if (!xa_find(&mapping->i_pages, &index, last, XA_PRESENT))
		return end;
	return index > first ? addr + ((index - first) << PAGE_SHIFT) : addr;
}

/**
 * livecore_file_hole() - Where does the file of a mapping have nothing?
 * @vma: LIVECORE_VMA_FILE; mmap_lock is held
 * @addr: the first page, which is not a hole
 * @end: where to stop, in this mapping, further than @addr
 *
 * Return: an address, at least a page further; short of the true end where
 * finding that takes too many steps.
 */
unsigned long livecore_file_hole(struct vm_area_struct *vma, unsigned long addr,
				 unsigned long end)
{
	struct address_space *mapping = vma->vm_file->f_mapping;
	unsigned long index = linear_page_index(vma, addr);
	unsigned long pages = file_pages(mapping);
	unsigned int steps;

	if (!shmem_mapping(mapping)) {
		pages = pages > index ? pages - index : 1;
		return pages < (end - addr) >> PAGE_SHIFT ? addr + (pages << PAGE_SHIFT) : end;
	}
	for (steps = 0; steps < MAX_STEPS; steps++) {
		addr += PAGE_SIZE;
		if (addr >= end || !xa_load(&mapping->i_pages, ++index))
			break;
	}
	return min(addr, end);
}

/* The page of a referenced folio, unless it is poisoned, as read(2) does it. */
static struct page *sound_page(struct folio *folio, pgoff_t index)
{
	struct page *page = folio_file_page(folio, index);

	if (PageHWPoison(page)) {
		folio_put(folio);
		return ERR_PTR(-EHWPOISON);
	}
	return page;
}

/* A page of a shmem file, by its index; NULL for a hole, which is not filled. */
static struct page *shmem_file_page(struct address_space *mapping, pgoff_t index)
{
	struct folio *folio = filemap_get_folio(mapping, index);
	int err;

	if (IS_ERR(folio)) {
		/* Swapped out: into the page cache, which is nobody's in particular. */
		err = shmem_get_folio(mapping->host, index, 0, &folio, SGP_READ);
		if (err)
			return ERR_PTR(err);
		if (!folio)
			return NULL;
		folio_unlock(folio);
	}
	if (!folio_test_uptodate(folio)) {
		folio_put(folio);
		return NULL;
	}
	return sound_page(folio, index);
}

/* What is not in the page cache yet, as filemap_fault() reads it. */
static struct folio *read_folio(struct file *file, pgoff_t index)
{
	struct address_space *mapping = file->f_mapping;
	struct folio *folio;

	/* A hole that is being punched stays one. */
	filemap_invalidate_lock_shared(mapping);
	folio = read_mapping_folio(mapping, index, file);
	filemap_invalidate_unlock_shared(mapping);
	return folio;
}

/* A page of a file, by its index, as a page fault would find it; or NULL. */
static struct page *file_page(struct file *file, pgoff_t index)
{
	struct address_space *mapping = file->f_mapping;
	struct folio *folio;

	if (index >= file_pages(mapping))
		return NULL;
	if (shmem_mapping(mapping))
		return shmem_file_page(mapping, index);
	/* Reading marks as accessed, finding does not. */
	folio = filemap_get_folio(mapping, index);
	if (!IS_ERR(folio) && !folio_test_uptodate(folio)) {
		folio_put(folio);
		folio = ERR_PTR(-ENOENT);
	}
	if (IS_ERR(folio))
		folio = read_folio(file, index);
	return IS_ERR(folio) ? ERR_CAST(folio) : sound_page(folio, index);
}

/**
 * livecore_file_pages() - Take references on pages of a file.
 * @file: the file of a mapping that is LIVECORE_VMA_FILE
 * @index: the first page
 * @count: how many, at most
 * @pages: where to put them
 *
 * May wait for them to be read. No lock may be held.
 *
 * Return: how many, up to the first that the file does not have; or a negative
 * errno if the first cannot be had: -EINTR if the caller is being killed,
 * -EHWPOISON if it is broken.
 */
long livecore_file_pages(struct file *file, unsigned long index, unsigned int count,
			 struct page **pages)
{
	struct page *page;
	long taken;

	for (taken = 0; taken < count; taken++) {
		if (fatal_signal_pending(current))
			return taken ?: -EINTR;
		page = file_page(file, index + taken);
		if (IS_ERR_OR_NULL(page))
			return taken ?: PTR_ERR(page);
		pages[taken] = page;
	}
	return taken;
}
