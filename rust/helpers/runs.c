// SPDX-License-Identifier: GPL-2.0
/* Runs of pages that were taken: copied out of, and put. */
#include <linux/mm.h>
#include <linux/uio.h>
#include <livecore/helpers.h>
#include "pages.h"

void livecore_put_run(u64 run)
{
	put_page(run_page(run));
}

/**
 * livecore_copy_run_to_iter() - Copy of a run's memory.
 * @run: the run, no hole
 * @offset: from which byte of it
 * @len: how many bytes, all in it
 * @to: where to
 *
 * As fs/coredump.c does it: memory that turns out to be broken is no machine
 * check in the kernel, but zeros up to the end of its page. No lock may be held.
 *
 * Return: how many bytes; fewer than @len if @to takes no more.
 */
size_t livecore_copy_run_to_iter(u64 run, size_t offset, size_t len, struct iov_iter *to)
{
	const void *from = page_address(run_page(run)) + offset;
	size_t copied = 0, step, zeros;
	u64 byte;

	for (;;) {
		step = _copy_mc_to_iter(from + copied, len - copied, to);
		copied += step;
		if (copied == len)
			return copied;
		/* Was it the memory, or could the destination not be written? */
		zeros = min(len - copied, PAGE_SIZE - offset_in_page(from + copied));
		if (!copy_mc_to_kernel(&byte, from + copied, min(zeros, sizeof(byte))))
			return copied;
		step = iov_iter_zero(zeros, to);
		copied += step;
		if (step < zeros || copied == len)
			return copied;
	}
}

/* The same into kernel memory, all of it. */
void livecore_copy_run(u64 run, size_t offset, void *to, size_t len)
{
	size_t step;

	for (; len; offset += step, to += step, len -= step) {
		step = min(len, PAGE_SIZE - offset_in_page(offset));
		livecore_copy_from_page(run_page(run) + (offset >> PAGE_SHIFT),
					offset_in_page(offset), to, step);
	}
}
