/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Copies of structures that fs/proc/ keeps to itself. They are compared with
 * the running kernel's BTF at load, member by member (symbols.c), and the
 * module does not load where they differ.
 */
#ifndef _LIVECORE_PROC_H
#define _LIVECORE_PROC_H

#include <linux/fs.h>
#include <linux/pid.h>

/* union proc_op, fs/proc/internal.h: function pointers and one int. */
union livecore_proc_op {
	void *func;
	int lsmid;
};

/* struct pid_entry, fs/proc/base.c */
struct livecore_pid_entry {
	const char *name;
	unsigned int len;
	umode_t mode;
	const struct inode_operations *iop;
	const struct file_operations *fop;
	union livecore_proc_op op;
};

/* struct proc_inode, fs/proc/internal.h */
struct livecore_proc_inode {
	struct pid *pid;
	unsigned int fd;
	union livecore_proc_op op;
	void *pde;
	void *sysctl;
	const void *sysctl_entry;
	struct hlist_node sibling_inodes;
	const void *ns_ops;
	struct inode vfs_inode;
};

/* procfs's operations for /proc/<pid>/mem; set before `core` can be opened. */
extern const struct file_operations *livecore_mem_fops;

static inline struct pid *livecore_proc_pid(const struct inode *inode)
{
	return container_of(inode, struct livecore_proc_inode, vfs_inode)->pid;
}

#endif /* _LIVECORE_PROC_H */
