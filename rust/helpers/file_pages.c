// SPDX-License-Identifier: GPL-2.0
/* Pages of the files that are mapped, taken without a page table. */
#include <linux/file.h>
#include <linux/pagemap.h>
#include <linux/shmem_fs.h>
#include <livecore/helpers.h>
#include "pages.h"

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

/* The folio of a shmem file's page; NULL for a hole, which is not filled. */
static struct folio *shmem_file_folio(struct address_space *mapping, pgoff_t index)
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
	return folio;
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

/* The folio of a file's page, as a page fault would find it; or NULL. */
static struct folio *file_folio(struct file *file, pgoff_t index)
{
	struct address_space *mapping = file->f_mapping;
	struct folio *folio;

	if (shmem_mapping(mapping))
		return shmem_file_folio(mapping, index);
	/* Reading marks as accessed, finding does not. */
	folio = filemap_get_folio(mapping, index);
	if (!IS_ERR(folio) && !folio_test_uptodate(folio)) {
		folio_put(folio);
		folio = ERR_PTR(-ENOENT);
	}
	return IS_ERR(folio) ? read_folio(file, index) : folio;
}

/*
 * At most @pages of a referenced folio, which is then the run's, from @index
 * on; 0, if the first is poisoned: it is not looked at, as in read(2).
 */
static u64 sound_run(struct folio *folio, pgoff_t index, unsigned long pages)
{
	unsigned long sound;

	pages = min(pages, folio_next_index(folio) - index);
	for (sound = 0; sound < pages; sound++)
		if (PageHWPoison(folio_file_page(folio, index + sound)))
			break;
	if (sound)
		return page_run(folio_file_page(folio, index), sound);
	folio_put(folio);
	return 0;
}

/**
 * livecore_file_runs() - Take references on pages of a file.
 * @file: the file of a mapping that is LIVECORE_VMA_FILE
 * @index: the first page
 * @pages: how many, at most, and no more than LIVECORE_ROUND_PAGES
 * @runs: where to put them, in order
 * @max: how many runs fit
 *
 * May wait for them to be read. No lock may be held.
 *
 * Return: how many runs, up to the first page that the file does not have; or
 * a negative errno if the first cannot be had: -EINTR if the caller is being
 * killed, -EHWPOISON if it is broken.
 */
long livecore_file_runs(struct file *file, unsigned long index, unsigned long pages,
			u64 *runs, unsigned int max)
{
	struct folio *folio;
	pgoff_t in_file;
	long taken;

	for (taken = 0; taken < max && pages; taken++) {
		if (fatal_signal_pending(current))
			return taken ?: -EINTR;
		in_file = file_pages(file->f_mapping);
		if (index >= in_file)
			return taken;
		folio = file_folio(file, index);
		if (IS_ERR_OR_NULL(folio))
			return taken ?: PTR_ERR(folio);
		runs[taken] = sound_run(folio, index, min(pages, in_file - index));
		if (!runs[taken])
			return taken ?: -EHWPOISON;
		index += runs[taken] & ~PAGE_MASK;
		pages -= runs[taken] & ~PAGE_MASK;
	}
	return taken;
}
