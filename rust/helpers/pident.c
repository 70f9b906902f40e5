// SPDX-License-Identifier: GPL-2.0
/*
 * The entry `core` in /proc/<pid>/.
 *
 * proc_pident_lookup() and proc_pident_readdir() get the table of entries as
 * an argument. Two permanent ftrace_ops replace it by an enlarged copy, told
 * by its address alone: the tables of /proc/<pid>/task/<tid>/ and attr/ go
 * through the same functions. `core` is appended, so that the positions of
 * the other entries stay what they were for a reader of the directory.
 *
 * The functions go on using the table after the callback has returned, and
 * may sleep meanwhile: the enlarged table, with the name and the file
 * operations that it points to, is never freed (one block per load).
 */
#include <linux/cred.h>
#include <linux/dcache.h>
#include <linux/file.h>
#include <linux/ftrace.h>
#include <linux/fs.h>
#include <linux/kmemleak.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/pid.h>
#include <linux/slab.h>
#include <livecore/helpers.h>
#include <livecore/proc.h>

/* Bounds on the number of entries; 55 in 7.2, 54 in its -rt flavour. */
#define PIDENT_MIN	16
#define PIDENT_MAX	256

struct livecore_pident {
	struct file_operations fops;
	char name[8];
	unsigned int count;
	struct livecore_pid_entry entries[] __counted_by(count);
};

/* tgid_base_stuff[]: set before the hooks are registered, then constant. */
static const struct livecore_pid_entry *table;
/* Its length, learned from the calls that pass through the hook. */
static unsigned int table_count;
/* What replaces it, or NULL. */
static struct livecore_pident *published;

const struct file_operations *livecore_mem_fops;

/* The table that replaces the one in @regs, if that is tgid_base_stuff[]. */
static __always_inline struct livecore_pident *replacement(const struct pt_regs *regs)
{
	/* Pairs with livecore_pident_publish(): the table is complete. */
	return regs->dx == (unsigned long)table ? smp_load_acquire(&published) : NULL;
}

static void notrace hook_lookup(unsigned long ip, unsigned long parent_ip,
				struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	struct pt_regs *regs = ftrace_get_regs(fregs);
	struct livecore_pident *to;

	if (!regs)
		return;
	/* proc_pident_lookup(dir, dentry, rdx = first, rcx = end) */
	to = replacement(regs);
	if (!to) {
		if (regs->dx == (unsigned long)table)
			WRITE_ONCE(table_count, (regs->cx - regs->dx) / sizeof(*table));
		return;
	}
	regs->dx = (unsigned long)to->entries;
	regs->cx = (unsigned long)(to->entries + to->count);
}

static void notrace hook_readdir(unsigned long ip, unsigned long parent_ip,
				 struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	struct pt_regs *regs = ftrace_get_regs(fregs);
	struct livecore_pident *to;

	if (!regs)
		return;
	/* proc_pident_readdir(file, ctx, rdx = first, ecx = count) */
	to = replacement(regs);
	if (!to)
		return;
	regs->dx = (unsigned long)to->entries;
	regs->cx = to->count;
}

static struct ftrace_ops lookup_ops = {
	.func = hook_lookup,
	.flags = FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_PERMANENT,
};

static struct ftrace_ops readdir_ops = {
	.func = hook_readdir,
	.flags = FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_PERMANENT,
};

static int hook(struct ftrace_ops *ops, unsigned long address)
{
	int err = ftrace_set_filter_ip(ops, address, 0, 0);

	if (err)
		return err;
	err = register_ftrace_function(ops);
	if (err)
		ftrace_free_filter(ops);
	return err;
}

static void unhook(struct ftrace_ops *ops)
{
	unregister_ftrace_function(ops);
	ftrace_free_filter(ops);
}

/* Hooks both functions; nothing is replaced until livecore_pident_publish(). */
int livecore_pident_hook(unsigned long entries, unsigned long lookup,
			 unsigned long readdir)
{
	int err;

	table = (const struct livecore_pid_entry *)entries;
	err = hook(&lookup_ops, lookup);
	if (err)
		return err;
	err = hook(&readdir_ops, readdir);
	if (err)
		unhook(&lookup_ops);
	return err;
}

/* No callback is running, and none starts, when this returns. */
void livecore_pident_unhook(void)
{
	WRITE_ONCE(published, NULL);
	unhook(&readdir_ops);
	unhook(&lookup_ops);
}

/* Looks @name up in the caller's own directory of @mnt, a private proc mount. */
static int lookup_own(struct vfsmount *mnt, const char *name, struct path *path)
{
	char relative[32];

	scnprintf(relative, sizeof(relative), "%d/%s", task_tgid_vnr(current), name);
	return vfs_path_lookup(mnt->mnt_root, mnt, relative, 0, path);
}

static struct vfsmount *mount_proc(void)
{
	struct file_system_type *proc = get_fs_type("proc");

	return proc ? kern_mount(proc) : ERR_PTR(-ENODEV);
}

/*
 * Makes one lookup pass through the hook, which notes the table's length.
 *
 * Return: -ERANGE where it is not to be believed; where nothing came through,
 * what the lookup says, which is -ENOENT too where procfs has no memory.
 */
int livecore_pident_learn(void)
{
	struct vfsmount *mnt = mount_proc();
	unsigned int count;
	struct path path;
	int err;

	if (IS_ERR(mnt))
		return PTR_ERR(mnt);
	WRITE_ONCE(table_count, 0);
	err = lookup_own(mnt, "livecore-learns", &path);
	if (!err)
		path_put(&path);
	kern_unmount(mnt);
	count = READ_ONCE(table_count);
	if (!count && err)
		return err;
	return count < PIDENT_MIN || count > PIDENT_MAX ? -ERANGE : 0;
}

/* Builds the enlarged table from the learned one; or an error pointer. */
struct livecore_pident *livecore_pident_create(const struct file_operations *fops)
{
	unsigned int i, count = READ_ONCE(table_count);
	const struct livecore_pid_entry *mem = NULL;
	struct livecore_pident *pident;

	for (i = 0; i < count; i++)
		if (table[i].len == 3 && !memcmp(table[i].name, "mem", 3))
			mem = &table[i];
	if (!mem)
		return ERR_PTR(-ENOENT);

	pident = kzalloc(struct_size(pident, entries, count + 1), GFP_KERNEL);
	if (!pident)
		return ERR_PTR(-ENOMEM);
	kmemleak_not_leak(pident);
	pident->fops = *fops;
	/* Without an owner: do_dentry_open() warns of one that is going. */
	pident->fops.owner = NULL;
	livecore_mem_fops = mem->fop;
	strscpy(pident->name, "core");
	pident->count = count + 1;
	memcpy(pident->entries, table, count * sizeof(*table));
	pident->entries[count] = *mem;
	pident->entries[count].name = pident->name;
	pident->entries[count].len = strlen(pident->name);
	pident->entries[count].mode = S_IFREG | 0600;
	pident->entries[count].fop = &pident->fops;
	return pident;
}

void livecore_pident_publish(struct livecore_pident *pident)
{
	/* Pairs with the hooks: who sees the table sees all of it. */
	smp_store_release(&published, pident);
}

/*
 * Ends the use of a table that was published and is hooked no more: entries
 * that somebody still has open by O_PATH find no operation from here on.
 *
 * No file is open. While there is an open operation, it refuses, and nothing
 * else is called. So it goes last: whoever finds none, and so opens a file
 * that we do not know, finds none of the others either.
 */
void livecore_pident_retire(struct livecore_pident *pident)
{
	WRITE_ONCE(pident->fops.read_iter, NULL);
	WRITE_ONCE(pident->fops.splice_read, NULL);
	WRITE_ONCE(pident->fops.llseek, NULL);
	WRITE_ONCE(pident->fops.poll, NULL);
	WRITE_ONCE(pident->fops.unlocked_ioctl, NULL);
	WRITE_ONCE(pident->fops.compat_ioctl, NULL);
	WRITE_ONCE(pident->fops.release, NULL);
	/* Pairs with the order of the loads in do_dentry_open() and __fput(). */
	smp_store_release(&pident->fops.open, NULL);
}

struct find_core {
	struct dir_context ctx;
	const char *name;
	bool found;
};

static bool find_core_actor(struct dir_context *ctx, const char *name, int len,
			    loff_t offset, u64 ino, unsigned int type)
{
	struct find_core *find = container_of(ctx, struct find_core, ctx);

	if (len == strlen(find->name) && !memcmp(name, find->name, len))
		find->found = true;
	return true;
}

static int selftest_readdir(struct vfsmount *mnt, const struct livecore_pident *pident)
{
	struct find_core find = {
		.ctx.actor = find_core_actor,
		.ctx.count = INT_MAX,
		.name = pident->name,
	};
	struct file *dir;
	struct path path;
	int err;

	err = lookup_own(mnt, "", &path);
	if (err)
		return err;
	dir = dentry_open(&path, O_RDONLY | O_DIRECTORY, current_cred());
	path_put(&path);
	if (IS_ERR(dir))
		return PTR_ERR(dir);
	err = iterate_dir(dir, &find.ctx);
	__fput_sync(dir);
	return err ?: find.found ? 0 : -ENOENT;
}

/* Is `core` there, in lookup and in readdir, and is it ours? */
int livecore_pident_selftest(const struct livecore_pident *pident)
{
	struct vfsmount *mnt = mount_proc();
	struct path path;
	int err;

	if (IS_ERR(mnt))
		return PTR_ERR(mnt);
	err = lookup_own(mnt, pident->name, &path);
	if (!err) {
		if (d_inode(path.dentry)->i_fop != &pident->fops)
			err = -EINVAL;
		path_put(&path);
	}
	if (!err)
		err = selftest_readdir(mnt, pident);
	kern_unmount(mnt);
	return err;
}
