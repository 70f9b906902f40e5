/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the C shims in rust/helpers/ offer to rust/sys/. Both compilers read
 * this file: C for the definitions, bindgen for the declarations. Nothing
 * outside rust/sys/ may use it.
 */
#ifndef _LIVECORE_HELPERS_H
#define _LIVECORE_HELPERS_H

#include <linux/fs.h>
#include <linux/livecore.h>
#include <linux/mm_types.h>
#include <linux/notifier.h>
#include <linux/proc_fs.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/swait.h>
#include <linux/task_work.h>
#include <linux/uio.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

/* symbols.c: the kernel as it is, found and checked at load. */

/*
 * The offset of a structure member that we rely on, or, without a member, the
 * size of a structure; to be compared with the kernel's BTF.
 */
struct livecore_layout {
	const char *type;
	const char *member;
	unsigned int bytes;
};

unsigned long livecore_resolve(const char *name);
const struct livecore_layout *livecore_layouts(unsigned int *count);

/* unexported.c: functions that only a static call may reach. */
void livecore_set_task_work(unsigned long add, unsigned long cancel);
int livecore_task_work_add(struct task_struct *task, struct callback_head *work);
bool livecore_task_work_cancel(struct task_struct *task, struct callback_head *work);
void livecore_set_ptrace_may_access(unsigned long address);
bool livecore_may_read(struct task_struct *task);

/* module.c: references to this module. */
bool livecore_module_tryget(void);
void livecore_module_get(void);
void livecore_module_put(void);

/* pident.c: the entry `core` in /proc/<pid>/. */

/* The enlarged table and all that it points to; one per load, never freed. */
struct livecore_pident;

int livecore_pident_hook(unsigned long table, unsigned long lookup,
			 unsigned long readdir);
void livecore_pident_unhook(void);
struct livecore_pident *livecore_pident_create(const struct file_operations *fops);
int livecore_pident_learn(void);
void livecore_pident_publish(struct livecore_pident *pident);
int livecore_pident_selftest(const struct livecore_pident *pident);
void livecore_pident_retire(struct livecore_pident *pident);

/* dentries.c */
void livecore_drop_core_dentries(void);

/* procfs.c: what a file below /proc/<pid>/ stands for. */
struct task_struct *livecore_proc_task(struct file *file);
struct mm_struct *livecore_proc_mm(struct file *file, struct task_struct *task);
void livecore_file_set_size(struct file *file, loff_t size);

/* uaccess.c */
int livecore_get_struct(void *to, size_t size, size_t min, const void __user *user);
int livecore_put_struct(void __user *user, size_t min, void *from, size_t size);
bool livecore_file_is_callers(const struct file *file);

/* announcement.c */
void livecore_announce(struct task_struct *target);

/* listing.c: /proc/livecore. */
struct proc_dir_entry *livecore_listing_create(int (*show)(struct seq_file *file, void *data));
void livecore_listing_remove(struct proc_dir_entry *entry);
int livecore_listing_pid(const struct seq_file *file, struct task_struct *task);
bool livecore_listing_is_callers(const struct seq_file *file);

/* threads.c */

/* In the pid namespace of the thread itself. */
struct livecore_ids {
	int pid, ppid, pgrp, sid;
};

/* What the notes say of one thread; times in nanoseconds. */
struct livecore_thread_info {
	struct livecore_ids ids;
	unsigned long sigpend, sighold;
	u64 utime, stime, cutime, cstime;
};

/* What NT_PRPSINFO says of the process. */
struct livecore_process_info {
	struct livecore_ids ids;
	unsigned int uid, gid;
	unsigned long flags;
	int nice;
	unsigned int state;
	char comm[16];
};

unsigned int livecore_threads(struct task_struct *any, struct task_struct **out,
			      unsigned int max);
char *livecore_task_root(struct task_struct *task, const struct mm_struct *mm, char *buffer,
			 int size);
void livecore_thread_info(struct task_struct *task, struct livecore_thread_info *info);
void livecore_process_info(struct task_struct *any, bool short_ids,
			   struct livecore_process_info *info);
struct mm_struct *livecore_task_mm(struct task_struct *task);
bool livecore_mm_is_shared(struct mm_struct *mm, struct task_struct *any);
bool livecore_current_unparkable(void);
bool livecore_current_in_execve(void);
bool livecore_task_is_user_worker(struct task_struct *task);
bool livecore_fatal_signal_pending(void);
bool livecore_fatal_signal_queued(void);
bool livecore_signal_ends_current(void);
bool livecore_signal_is_fatal(int sig, struct task_struct *task, bool group);
bool livecore_signal_is_job_control(int sig, bool sent);
bool livecore_signal_is_from_outside(const struct kernel_siginfo *info,
				     struct task_struct *task);

/* registers.c */

/* What a process was executed as. */
#define LIVECORE_ABI_64			0
#define LIVECORE_ABI_IA32		1
#define LIVECORE_ABI_X32		2

/* A struct user_regset_view. */
struct livecore_view;

/* One register set of a view, as the kernel's dumper names it. */
struct livecore_regset {
	unsigned int note_type;
	unsigned int size;
	const char *note_name;
};

bool livecore_set_views(unsigned long view_64, unsigned long view_ia32);
unsigned int livecore_mm_abi(struct mm_struct *mm);
const struct livecore_view *livecore_view(unsigned int abi);
unsigned int livecore_view_count(const struct livecore_view *view);
void livecore_view_describe(const struct livecore_view *view, unsigned int index,
			    struct livecore_regset *out);
int livecore_regset_get(const struct livecore_view *view, unsigned int index,
			struct task_struct *task, void *data, unsigned int size);
int livecore_regset_get_running(const struct livecore_view *view, unsigned int index,
				struct task_struct *task, void *data, unsigned int size);
bool livecore_fpu_is_guests(struct task_struct *task);
bool livecore_has_io_bitmap(struct task_struct *task);
bool livecore_xsave_layout(unsigned int feature, unsigned int *size, unsigned int *offset);
bool livecore_lock_blocked(struct task_struct *task, unsigned long *flags);
void livecore_unlock_blocked(struct task_struct *task, unsigned long flags);

/* park.c */
struct poll_table_struct;

int livecore_park(struct swait_queue_head *queue, const bool *open);
void livecore_init_swait_queue(struct swait_queue_head *queue);
void livecore_unpark_all(struct swait_queue_head *queue);
void livecore_init_waitqueue(struct wait_queue_head *queue);
void livecore_wake_all(struct wait_queue_head *queue);
long livecore_wait_for_zero(struct wait_queue_head *queue, const int *count,
			    unsigned int timeout_ms);
void livecore_poll_wait(struct file *file, struct wait_queue_head *queue,
			struct poll_table_struct *table);
void livecore_wake_pollers(struct wait_queue_head *queue);

/* memory.c */
#define LIVECORE_MAP_READ		0x0001
#define LIVECORE_MAP_WRITE		0x0002
#define LIVECORE_MAP_EXEC		0x0004
#define LIVECORE_MAP_SHARED		0x0008
#define LIVECORE_MAP_ANON		0x0010 /* has private pages of its own */
#define LIVECORE_MAP_FILE		0x0020
#define LIVECORE_MAP_UNLINKED		0x0040 /* the file has no name any more */
#define LIVECORE_MAP_EXEC_FILE		0x0080 /* the file's mode has an x bit */
#define LIVECORE_MAP_DONTDUMP		0x0100
#define LIVECORE_MAP_IO			0x0200
#define LIVECORE_MAP_HUGETLB		0x0400
#define LIVECORE_MAP_DAX		0x0800
#define LIVECORE_MAP_SPECIAL		0x1000 /* vdso and the like: always dumped */
/* What fork() does not copy, or not without harm. */
#define LIVECORE_MAP_DONTCOPY		0x2000
#define LIVECORE_MAP_WIPEONFORK		0x4000
#define LIVECORE_MAP_USERFAULTFD	0x8000
#define LIVECORE_MAP_SYSV		0x10000
#define LIVECORE_MAP_COUNTED		0x20000 /* others are told who maps it */

struct livecore_mapping {
	unsigned long start;
	unsigned long end;
	unsigned long pgoff;
	struct file *file;
	unsigned int traits;
};

long livecore_mappings(struct mm_struct *mm, struct livecore_mapping *out, unsigned long max);
int livecore_mappings_same(struct mm_struct *mm, const struct livecore_mapping *list,
			   unsigned long count, unsigned int *seq);
bool livecore_mm_was_written_once(struct mm_struct *mm, unsigned int seq);
bool livecore_file_is_locked(const struct file *file);
unsigned long livecore_mm_map_count(struct mm_struct *mm);
unsigned long livecore_mm_dump_filter(struct mm_struct *mm);
void livecore_mm_args(struct mm_struct *mm, unsigned long *start, unsigned long *end);
void livecore_mm_auxv(struct mm_struct *mm, unsigned long *out, unsigned int words);
void livecore_copy_from_page(struct page *page, size_t offset, void *to, size_t len);
void livecore_peek(struct mm_struct *mm, unsigned long addr, void *to, size_t len);
void livecore_read_barrier(void);

/* pages.c */

/* What the page tables have for an address. */
enum livecore_entry {
	LIVECORE_ENTRY_NONE,	/* nothing, or no more than that something was there */
	LIVECORE_ENTRY_SPECIAL,	/* in plain memory: zeros of nobody's own, or a guard */
	LIVECORE_ENTRY_SWAP,	/* a page that has to be brought, or waited for */
	LIVECORE_ENTRY_MAPPED,
};

#define LIVECORE_VMA_DEVICE		0x01 /* not of memory, as far as anybody knows */
#define LIVECORE_VMA_HUGETLB		0x02
#define LIVECORE_VMA_PLAIN		0x04 /* mapped pages may be taken as they are */
#define LIVECORE_VMA_FILE		0x08 /* what is not mapped is the page cache's */
#define LIVECORE_VMA_FAULTS		0x10 /* what is not mapped only a fault finds */
#define LIVECORE_VMA_WATCHED		0x20 /* userfaultfd */
#define LIVECORE_VMA_WATCHED_READS	0x40 /* userfaultfd, whatever is mapped (7.3) */
#define LIVECORE_VMA_ANON		0x80 /* what is not mapped is nowhere */

/*
 * Pages in a row, as one u64: the physical address of the first, 0 for a hole,
 * and in the low bits how many. Those of a folio own one reference on it.
 */
#define LIVECORE_ROUND_PAGES		512 /* of all runs of one round; less than PAGE_SIZE */

/* A mapping, while mmap_lock is held. */
struct livecore_vma {
	struct vm_area_struct *vma;
	unsigned long end;
	unsigned int traits;
};

int livecore_lock_mm(struct mm_struct *mm);
void livecore_unlock_mm(struct mm_struct *mm);
bool livecore_find_vma(struct mm_struct *mm, unsigned long addr, struct livecore_vma *out);
unsigned long livecore_huge_page_left(struct vm_area_struct *vma, unsigned long addr);
enum livecore_entry livecore_entry_at(struct mm_struct *mm, unsigned long addr);
unsigned long livecore_entry_end(struct mm_struct *mm, unsigned long addr, unsigned long end,
				 enum livecore_entry entry);
unsigned int livecore_take_runs(struct mm_struct *mm, unsigned long addr, unsigned long pages,
				bool none_is_hole, u64 *runs, unsigned int max);
long livecore_fault_runs(struct mm_struct *mm, unsigned long addr, unsigned long pages,
			 bool may_fault, u64 *runs, unsigned int max);
long livecore_fault_huge(struct mm_struct *mm, unsigned long addr, unsigned long pages,
			 bool may_fault, u64 *run);
bool livecore_is_vdso(struct vm_area_struct *vma, unsigned long addr);
unsigned int livecore_take_vdso(struct vm_area_struct *vma, unsigned long addr, u64 *run);

/* file_pages.c */
struct file *livecore_vma_file(struct vm_area_struct *vma, unsigned long addr,
			       unsigned long *index);
unsigned long livecore_file_data(struct vm_area_struct *vma, unsigned long addr,
				 unsigned long end);
unsigned long livecore_file_hole(struct vm_area_struct *vma, unsigned long addr,
				 unsigned long end);
long livecore_file_runs(struct file *file, unsigned long index, unsigned long pages,
			u64 *runs, unsigned int max);

/* runs.c */
void livecore_put_run(u64 run);
size_t livecore_copy_run_to_iter(u64 run, size_t offset, size_t len, struct iov_iter *to);
void livecore_copy_run(u64 run, size_t offset, void *to, size_t len);

/* snapshot.c */
void livecore_set_mm_copy(const unsigned long addresses[4]);
struct mm_struct *livecore_mm_alloc(void);
int livecore_mm_copy(struct mm_struct *mm, struct mm_struct *old);
void livecore_mm_copy_put(struct mm_struct *mm);
unsigned long livecore_mm_anon_pages(struct mm_struct *mm);
unsigned long livecore_mm_table_pages(struct mm_struct *mm);
bool livecore_mm_has_users(struct mm_struct *mm);
unsigned long livecore_memcg_margin(struct task_struct *task, bool unslowed);
int livecore_oom_register(notifier_fn_t call);
void livecore_oom_unregister(void);

/* tracepoints.c */
void livecore_tracepoint_synchronize(void);
bool livecore_signal_was_sent(int result);

/* registry.c: the one lock of the registry of dumps. */
unsigned long livecore_registry_lock(void);
void livecore_registry_unlock(unsigned long flags);

/* workqueue.c: the module's workqueue, and the tick of the watchdog. */
int livecore_create_workqueue(void);
void livecore_destroy_workqueue(void);
struct workqueue_struct *livecore_workqueue(void);
void livecore_watchdog_init(work_func_t tick);
void livecore_watchdog_kick(unsigned int delay_ms);
void livecore_watchdog_stop(void);

#endif /* _LIVECORE_HELPERS_H */
