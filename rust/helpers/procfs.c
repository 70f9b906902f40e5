// SPDX-License-Identifier: GPL-2.0
/* Which task and which memory a file below /proc/<pid>/ stands for. */
#include <linux/dcache.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/path.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/proc_fs.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <livecore/helpers.h>
#include <livecore/proc.h>

/* The task of /proc/<pid>/, with a reference; NULL when it is gone. */
struct task_struct *livecore_proc_task(struct file *file)
{
	return get_pid_task(livecore_proc_pid(file_inode(file)), PIDTYPE_PID);
}

/* The path from /proc/<pid>/ to the entry @name of the thread @pid. */
static void sibling_name(char *path, size_t size, const char *name,
			 const struct inode *core, struct pid *pid)
{
	if (pid == livecore_proc_pid(core))
		strscpy(path, name, size);
	else
		scnprintf(path, size, "task/%d/%s", pid_nr_ns(pid, proc_pid_ns(core->i_sb)),
			  name);
}

/* Opens @name next to @file, with the caller's credentials. */
static struct file *open_sibling(struct file *file, const char *name)
{
	struct path dir = {
		.mnt = file->f_path.mnt,
		.dentry = dget_parent(file->f_path.dentry),
	};
	struct file *sibling = file_open_root(&dir, name, O_RDONLY | O_LARGEFILE, 0);

	dput(dir.dentry);
	return sibling;
}

/*
 * The memory behind an open /proc/<pid>/mem, with a reference (mm_count).
 * The name may have been mounted over: what was opened must be procfs's own
 * `mem`, on the same superblock, of the same pid, before private_data is
 * taken for an mm_struct (mem_open(), fs/proc/base.c).
 */
static struct mm_struct *mm_of_mem(struct file *mem, const struct inode *core,
				   const struct pid *pid)
{
	const struct inode *inode = file_inode(mem);
	struct mm_struct *mm = mem->private_data;

	if (mem->f_op != livecore_mem_fops || inode->i_sb != core->i_sb ||
	    livecore_proc_pid(inode) != pid)
		return ERR_PTR(-EACCES);
	if (!mm)
		return ERR_PTR(-ESRCH);
	mmgrab(mm);
	return mm;
}

/**
 * livecore_proc_mm() - The memory that the caller may read through `mem`.
 * @file: the open `core`
 * @task: a live thread of the process; other than the entry's own task where
 *	  that is a zombie leader
 *
 * Access is procfs's own decision, with the caller's credentials: Yama, LSMs,
 * user namespaces, hidepid. Takes exec_update_lock: nothing may be held yet.
 *
 * Return: the mm with a reference on mm_count, or an error pointer.
 */
struct mm_struct *livecore_proc_mm(struct file *file, struct task_struct *task)
{
	const struct inode *inode = file_inode(file);
	struct pid *pid = get_task_pid(task, PIDTYPE_PID);
	struct mm_struct *mm;
	struct file *mem;
	char name[32];

	sibling_name(name, sizeof(name), "mem", inode, pid);
	mem = open_sibling(file, name);
	if (mem == ERR_PTR(-ENOENT)) {
		/* The entry was found, so it is the thread that has gone since. */
		mm = ERR_PTR(-ESRCH);
	} else if (IS_ERR(mem)) {
		mm = ERR_CAST(mem);
	} else {
		mm = mm_of_mem(mem, inode, pid);
		fput(mem);
	}
	put_pid(pid);
	return mm;
}

/*
 * What stat and fstat show of the entry. Of blocks it has those of its first
 * page: archivers take a file without any for one hole, and tools look for
 * holes in one that has less than its size.
 *
 * procfs has never said how large its files may be, so that 2 GiB are the end of
 * them for sendfile(), and for it alone: do_sendfile(). They are not, from the
 * first time that one is larger.
 */
void livecore_file_set_size(struct file *file, loff_t size)
{
	struct inode *inode = file_inode(file);

	i_size_write(inode, size);
	if (size > READ_ONCE(inode->i_sb->s_maxbytes))
		WRITE_ONCE(inode->i_sb->s_maxbytes, MAX_LFS_FILESIZE);
	inode->i_blocks = min_t(loff_t, size, PAGE_SIZE) >> 9;
}
