// SPDX-License-Identifier: GPL-2.0
/*
 * A copy-on-write copy of an address space, which belongs to no task: dup_mm(),
 * kernel/fork.c.
 */
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/oom.h>
#include <linux/sched/mm.h>
#include <linux/static_call.h>
#include <linux/uprobes.h>
#include <livecore/helpers.h>

/* mm/internal.h */
int dup_mmap(struct mm_struct *mm, struct mm_struct *oldmm);

DEFINE_STATIC_CALL_RET0(livecore_mm_alloc_call, mm_alloc);
DEFINE_STATIC_CALL_RET0(livecore_dup_mmap_call, dup_mmap);
DEFINE_STATIC_CALL_NULL(livecore_uprobe_start_call, uprobe_start_dup_mmap);
DEFINE_STATIC_CALL_NULL(livecore_uprobe_end_call, uprobe_end_dup_mmap);

/* The addresses of the functions of these names; 0 where the last two are not there. */
void livecore_set_mm_copy(const unsigned long addresses[4])
{
	static_call_update(livecore_mm_alloc_call, (typeof(mm_alloc) *)addresses[0]);
	static_call_update(livecore_dup_mmap_call, (typeof(dup_mmap) *)addresses[1]);
	static_call_update(livecore_uprobe_start_call,
			   (typeof(uprobe_start_dup_mmap) *)addresses[2]);
	static_call_update(livecore_uprobe_end_call,
			   (typeof(uprobe_end_dup_mmap) *)addresses[3]);
}

/*
 * Room for a copy: an address space with nothing in it, and one user; NULL
 * without memory. No binfmt is set, so that none is given back. Nobody owns it,
 * so that no task is found by it: pages that are new in it are charged to the
 * root memory cgroup, but for those that were swapped out, or are copied since
 * they are pinned, which stay where they were.
 */
struct mm_struct *livecore_mm_alloc(void)
{
	struct mm_struct *mm = static_call(livecore_mm_alloc_call)();

#ifdef CONFIG_MEMCG
	/* mm_init() took current, which may be gone before the copy is. */
	if (mm)
		WRITE_ONCE(mm->owner, NULL);
#endif
	return mm;
}

/**
 * livecore_mm_copy() - Copy an address space, copy-on-write.
 * @mm: livecore_mm_alloc(), and nothing since
 * @old: the original, with a reference on mm_users
 *
 * dup_mm(), kernel/fork.c. Waits for mmap_lock of @old for write, killable,
 * and for every fault under way.
 *
 * Return: 0, or a negative errno; then @mm is of no more use. -EINTR if the
 * caller is being killed, -ENOMEM, or what a page makes of it.
 */
int livecore_mm_copy(struct mm_struct *mm, struct mm_struct *old)
{
	int err;

	__mm_flags_overwrite_word(mm, mmf_init_legacy_flags(__mm_flags_get_word(old)));
	/* khugepaged is not to work for it. */
	mm_flags_set(MMF_DISABLE_THP_COMPLETELY, mm);
	/* dup_mm() copies these with the whole structure: where the vdso is, and of what bits. */
	mm->context.vdso = old->context.vdso;
	mm->context.vdso_image = old->context.vdso_image;
	mm->context.flags = old->context.flags;
	static_call_cond(livecore_uprobe_start_call)();
	err = static_call(livecore_dup_mmap_call)(mm, old);
	static_call_cond(livecore_uprobe_end_call)();
	return err;
}

/* Gives the user that it came with back: its memory goes later, and elsewhere. Any context. */
void livecore_mm_copy_put(struct mm_struct *mm)
{
	mmput_async(mm);
}

/* How many pages of its own an address space has, about. */
unsigned long livecore_mm_anon_pages(struct mm_struct *mm)
{
	return get_mm_counter_sum(mm, MM_ANONPAGES) + get_mm_counter_sum(mm, MM_SWAPENTS);
}

/* How many pages its page tables take. */
unsigned long livecore_mm_table_pages(struct mm_struct *mm)
{
	return mm_pgtables_bytes(mm) >> PAGE_SHIFT;
}

/* Has an address space a user left? */
bool livecore_mm_has_users(struct mm_struct *mm)
{
	return atomic_read(&mm->mm_users) > 0;
}

/*
 * How many pages more the memory cgroups of @task allow, or allow @unslowed;
 * ULONG_MAX if there is no limit.
 */
unsigned long livecore_memcg_margin(struct task_struct *task, bool unslowed)
{
	unsigned long margin = ULONG_MAX;
#ifdef CONFIG_MEMCG
	struct mem_cgroup *memcg;

	if (mem_cgroup_disabled())
		return margin;
	rcu_read_lock();
	for (memcg = mem_cgroup_from_task(task); memcg; memcg = parent_mem_cgroup(memcg)) {
		unsigned long max = READ_ONCE(memcg->memory.max);
		unsigned long used = page_counter_read(&memcg->memory);

		if (unslowed)
			max = min(max, READ_ONCE(memcg->memory.high));
		if (max != PAGE_COUNTER_MAX)
			margin = min(margin, max > used ? max - used : 0);
	}
	rcu_read_unlock();
#endif
	return margin;
}

static struct notifier_block oom_block;

/* Once, at load. @call gets an unsigned long for the pages that it frees. */
int livecore_oom_register(notifier_fn_t call)
{
	oom_block.notifier_call = call;
	return register_oom_notifier(&oom_block);
}

/* No call is running, and none starts, when this returns. */
void livecore_oom_unregister(void)
{
	unregister_oom_notifier(&oom_block);
}
