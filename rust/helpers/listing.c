// SPDX-License-Identifier: GPL-2.0
/* /proc/livecore, as far as it takes C. */
#include <linux/fs.h>
#include <linux/pid_namespace.h>
#include <linux/proc_fs.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <livecore/helpers.h>

/* Adds the file; NULL without memory. Whoever reads it has @show called. */
struct proc_dir_entry *livecore_listing_create(int (*show)(struct seq_file *, void *))
{
	return proc_create_single("livecore", 0444, NULL, show);
}

/* Removes it. Nobody is in @show, and nobody gets there, when this returns. */
void livecore_listing_remove(struct proc_dir_entry *entry)
{
	proc_remove(entry);
}

/* The process of @task, as the mount of proc numbers it that is read; or 0. */
int livecore_listing_pid(const struct seq_file *file, struct task_struct *task)
{
	return task_tgid_nr_ns(task, proc_pid_ns(file_inode(file->file)->i_sb));
}

/* Is it read by who has opened it, with the credentials of that time? */
bool livecore_listing_is_callers(const struct seq_file *file)
{
	return livecore_file_is_callers(file->file);
}
