// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of a process, without changing it: no page table grows, no page is
 * allocated or mapped for it, and none is marked as accessed. What is where,
 * and references on it; which of these to ask is target/memory.rs's to decide.
 */
#include <linux/dax.h>
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
#include "pages.h"

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
	else if (vma_is_anonymous(vma))
		traits |= LIVECORE_VMA_ANON;
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
 * A reference on the folio of a page that an entry named a moment ago. The
 * caller looks at the entry again: try_get_folio(), mm/gup.c.
 */
static struct folio *try_get(struct page *page)
{
	struct folio *folio = page_folio(page);

	if (!folio_try_get(folio))
		return NULL;
	if (page_folio(page) == folio)
		return folio;
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
 * The PMD entry for @addr; or NULL, and what a level above has there, *@entry,
 * up to *@next.
 *
 * Under mmap_lock no table goes but by RCU: those of PTEs, when khugepaged
 * or PT_RECLAIM finds them empty. Not for hugetlb, whose tables are shared
 * with others, who do not take our lock.
 */
static pmd_t *find_pmd(struct mm_struct *mm, unsigned long addr, unsigned long *next,
		       enum livecore_entry *entry)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;
	pud_t pud;

	*entry = LIVECORE_ENTRY_NONE;
	*next = (addr & PGDIR_MASK) + PGDIR_SIZE;
	if (pgd_none(*pgd))
		return NULL;
	p4d = p4d_offset(pgd, addr);
	*next = (addr & P4D_MASK) + P4D_SIZE;
	if (p4d_none(*p4d))
		return NULL;
	pud = READ_ONCE(*pud_offset(p4d, addr));
	*next = (addr & PUD_MASK) + PUD_SIZE;
	if (pud_none(pud))
		return NULL;
	if (!pud_present(pud) || pud_leaf(pud)) {
		*entry = pud_present(pud) ? LIVECORE_ENTRY_MAPPED : LIVECORE_ENTRY_SWAP;
		return NULL;
	}
	*next = (addr & PMD_MASK) + PMD_SIZE;
	return pmd_offset(&pud, addr);
}

/*
 * What is there for @addr? *@next is where the table, or the entry, that says
 * so ends. The answer may be old when it comes, but it was true.
 */
static enum livecore_entry walk(struct mm_struct *mm, unsigned long addr, unsigned long *next)
{
	enum livecore_entry entry;
	pmd_t *pmdp, pmd;
	pte_t pte;

	pmdp = find_pmd(mm, addr, next, &entry);
	if (!pmdp)
		return entry;
	rcu_read_lock();
again:
	pmd = settled_pmd(mm, pmdp);
	if (pmd_none(pmd)) {
		entry = LIVECORE_ENTRY_NONE;
	} else if (!pmd_present(pmd) || pmd_leaf(pmd)) {
		entry = pmd_entry(pmd);
	} else {
		if (!settled_pte(mm, pmdp, pmd, pte_offset_kernel(&pmd, addr), &pte))
			goto again;
		entry = pte_entry(pte);
		*next = (addr & PAGE_MASK) + PAGE_SIZE;
	}
	rcu_read_unlock();
	return entry;
}

/* What do the page tables have for @addr? Under mmap_lock; not for hugetlb. */
enum livecore_entry livecore_entry_at(struct mm_struct *mm, unsigned long addr)
{
	unsigned long next;

	return walk(mm, addr, &next);
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
		if (walk(mm, addr, &next) != entry)
			break;
		/* The end of the address space wraps. */
		addr = next > addr ? next : end;
	}
	return min(addr, end);
}

/* Runs that are being taken. */
struct taker {
	struct mm_struct *mm;
	unsigned long addr;	/* up to here there are */
	unsigned long end;
	bool none_is_hole;
	u64 *runs;
	unsigned int count, max;
};

static bool add_run(struct taker *taker, u64 run)
{
	if (taker->count == taker->max)
		return false;
	taker->runs[taker->count++] = run;
	taker->addr += (run & ~PAGE_MASK) << PAGE_SHIFT;
	return true;
}

/* All holes together are less than a run may have: LIVECORE_ROUND_PAGES. */
static bool add_hole(struct taker *taker, unsigned long pages)
{
	u64 *last = taker->count ? &taker->runs[taker->count - 1] : NULL;

	if (!last || *last & PAGE_MASK)
		return add_run(taker, pages);
	*last += pages;
	taker->addr += pages << PAGE_SHIFT;
	return true;
}

/* What *@pmdp, @pmd a moment ago, maps up to @end; false if that is not there any more. */
static bool take_huge(struct taker *taker, pmd_t *pmdp, pmd_t pmd, unsigned long end)
{
	struct page *page = pmd_page(pmd) + ((taker->addr & ~PMD_MASK) >> PAGE_SHIFT);
	struct folio *folio = try_get(page);

	if (!folio)
		return false;
	if (pmd_val(pmdp_get_lockless(pmdp)) == pmd_val(pmd) &&
	    add_run(taker, page_run(page, (end - taker->addr) >> PAGE_SHIFT)))
		return true;
	folio_put(folio);
	return false;
}

/*
 * What *@ptep, @pte a moment ago, and those after it map, up to @end, as far as
 * it is one folio's pages in a row; 0 if that is not there any more. How many?
 *
 * As gup_fast_pte_range() does it: with the reference taken, an entry that names
 * a page of this folio, in a table that is in place, says that it was there.
 */
static unsigned long take_ptes(struct taker *taker, pmd_t *pmdp, pmd_t pmd, pte_t *ptep,
			       pte_t pte, unsigned long end)
{
	unsigned long pages = (end - taker->addr) >> PAGE_SHIFT;
	struct page *page = pte_page(pte);
	struct folio *folio = try_get(page);
	unsigned long run;

	if (!folio)
		return 0;
	if (pte_val(ptep_get_lockless(ptep)) != pte_val(pte))
		goto put;
	pages = min(pages, folio_nr_pages(folio) - folio_page_idx(folio, page));
	for (run = 1; run < pages; run++) {
		pte_t next = ptep_get_lockless(ptep + run);

		if (pte_entry(next) != LIVECORE_ENTRY_MAPPED ||
		    pte_pfn(next) != pte_pfn(pte) + run)
			break;
	}
	if (pmd_val(pmdp_get_lockless(pmdp)) == pmd_val(pmd) &&
	    add_run(taker, page_run(page, run)))
		return run;
put:
	folio_put(folio);
	return 0;
}

/* How many entries from *@ptep on are empty? -1 if the table is not in place any more. */
static long settled_none(struct mm_struct *mm, pmd_t *pmdp, pmd_t pmd, pte_t *ptep,
			 unsigned long max)
{
	spinlock_t *ptl = pte_lockptr(mm, &pmd); /* of the whole table */
	long none = 0;

	spin_lock(ptl);
	while (none < max && pte_none(ptep_get(ptep + none)))
		none++;
	if (!pmd_same(pmd, pmdp_get_lockless(pmdp)))
		none = -1;
	spin_unlock(ptl);
	return none;
}

/* What the table that @pmd, *@pmdp a moment ago, names has up to @end; false: no further. */
static bool take_table(struct taker *taker, pmd_t *pmdp, pmd_t pmd, unsigned long end)
{
	pte_t *ptep = pte_offset_kernel(&pmd, taker->addr);
	long pages;

	for (; taker->addr < end; ptep += pages) {
		pte_t pte = ptep_get_lockless(ptep);

		pages = 1;
		switch (pte_entry(pte)) {
		case LIVECORE_ENTRY_MAPPED:
			pages = take_ptes(taker, pmdp, pmd, ptep, pte, end);
			if (!pages)
				return false;
			break;
		case LIVECORE_ENTRY_NONE:
			if (!taker->none_is_hole)
				return false;
			if (pte_none(pte))
				pages = settled_none(taker->mm, pmdp, pmd, ptep,
						     (end - taker->addr) >> PAGE_SHIFT);
			if (pages < 0)
				return true;
			fallthrough;
		case LIVECORE_ENTRY_SPECIAL:
			if (pages && !add_hole(taker, pages))
				return false;
			break;
		default:
			return false;
		}
	}
	return true;
}

/* What one PMD entry, or one above it, has; false: no further. Under RCU. */
static bool take_step(struct taker *taker)
{
	enum livecore_entry entry;
	unsigned long next, end;
	pmd_t *pmdp, pmd;

	pmdp = find_pmd(taker->mm, taker->addr, &next, &entry);
	/* The end of the address space wraps. */
	end = next > taker->addr ? min(next, taker->end) : taker->end;
	if (pmdp) {
		pmd = settled_pmd(taker->mm, pmdp);
		if (pmd_present(pmd) && !pmd_leaf(pmd))
			return take_table(taker, pmdp, pmd, end);
		entry = pmd_none(pmd) ? LIVECORE_ENTRY_NONE : pmd_entry(pmd);
		if (entry == LIVECORE_ENTRY_MAPPED)
			return take_huge(taker, pmdp, pmd, end);
	}
	return (entry == LIVECORE_ENTRY_SPECIAL ||
		(entry == LIVECORE_ENTRY_NONE && taker->none_is_hole)) &&
	       add_hole(taker, (end - taker->addr) >> PAGE_SHIFT);
}

/**
 * livecore_take_runs() - Take references on what the page tables have.
 * @mm: the memory; mmap_lock is held
 * @addr: the first page, in a mapping that is LIVECORE_VMA_PLAIN
 * @pages: how many, at most, in that mapping, and no more than LIVECORE_ROUND_PAGES
 * @none_is_hole: is what they do not have a hole, or not to be told from here?
 * @runs: where to put them, in order
 * @max: how many runs fit
 *
 * Nothing is marked as accessed, other than by get_user_pages_fast().
 *
 * Return: how many runs, up to what has to be brought, or changes right now.
 */
unsigned int livecore_take_runs(struct mm_struct *mm, unsigned long addr, unsigned long pages,
				bool none_is_hole, u64 *runs, unsigned int max)
{
	struct taker taker = {
		.mm = mm,
		.addr = addr,
		.end = addr + (pages << PAGE_SHIFT),
		.none_is_hole = none_is_hole,
		.runs = runs,
		.max = max,
	};
	bool more = true;

	while (more && taker.addr < taker.end) {
		rcu_read_lock();
		more = take_step(&taker);
		rcu_read_unlock();
	}
	return taker.count;
}

/**
 * livecore_fault_runs() - Take references, and bring what is not there.
 * @mm: the memory; mmap_lock is held
 * @addr: the first page
 * @pages: how many, at most, and no more than LIVECORE_ROUND_PAGES
 * @may_fault: bring them?
 * @runs: where to put them, in order
 * @max: how many runs fit
 *
 * get_dump_page(), mm/gup.c, of a foreign mm. Drops mmap_lock.
 *
 * Return: how many runs, or a negative errno if the first page cannot be had:
 * -EINTR if the caller is being killed, -EHWPOISON if it is broken.
 */
long livecore_fault_runs(struct mm_struct *mm, unsigned long addr, unsigned long pages,
			 bool may_fault, u64 *runs, unsigned int max)
{
	unsigned int flags = FOLL_FORCE | FOLL_DUMP | FOLL_HWPOISON;
	struct page **taken_pages = (struct page **)runs;
	int locked = 1;
	long taken, i;

	BUILD_BUG_ON(sizeof(*taken_pages) != sizeof(*runs));
	if (!may_fault)
		flags |= FOLL_NOFAULT;
	taken = get_user_pages_remote(mm, addr, min_t(unsigned long, pages, max), flags,
				      taken_pages, &locked);
	if (locked)
		mmap_read_unlock(mm);
	if (taken < 0 && fatal_signal_pending(current))
		return -EINTR;
	for (i = 0; i < taken; i++)
		runs[i] = page_run(taken_pages[i], 1);
	return taken ?: -EFAULT;
}

/**
 * livecore_fault_huge() - Take a reference on a page of hugetlb.
 * @mm: the memory; mmap_lock is held
 * @addr: the first small page
 * @pages: how many, at most, of this huge page
 * @may_fault: bring it, if it is swapped out, or migrating?
 * @run: where to put it
 *
 * Return: 1, or a negative errno, as livecore_fault_runs(), which this is but
 * for the size: a huge page is mapped as a whole.
 */
long livecore_fault_huge(struct mm_struct *mm, unsigned long addr, unsigned long pages,
			 bool may_fault, u64 *run)
{
	long taken = livecore_fault_runs(mm, addr, 1, may_fault, run, 1);
	struct page *page;
	struct folio *folio;

	if (taken != 1)
		return taken;
	page = run_page(*run);
	folio = page_folio(page);
	*run = page_run(page, min(pages, folio_nr_pages(folio) - folio_page_idx(folio, page)));
	return 1;
}

/*
 * Is there a page of the vdso at @addr? They are the kernel's, and mapped one by
 * one as they are used.
 */
bool livecore_is_vdso(struct vm_area_struct *vma, unsigned long addr)
{
	const struct vdso_image *image = vma->vm_mm->context.vdso_image;

	/* What was mapped over it is something else. */
	return image && vma->vm_start == (unsigned long)vma->vm_mm->context.vdso &&
	       addr - vma->vm_start < image->size &&
	       vma->vm_ops && vma->vm_ops->name && vma->vm_ops->name(vma);
}

/* Takes a reference on that page: 1, or 0 if there is none. */
unsigned int livecore_take_vdso(struct vm_area_struct *vma, unsigned long addr, u64 *run)
{
	struct page *page;

	if (!livecore_is_vdso(vma, addr))
		return 0;
	page = virt_to_page(vma->vm_mm->context.vdso_image->data +
			    ((addr - vma->vm_start) & PAGE_MASK));
	get_page(page);
	*run = page_run(page, 1);
	return 1;
}
