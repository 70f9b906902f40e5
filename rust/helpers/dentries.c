// SPDX-License-Identifier: GPL-2.0
/*
 * Forgetting the `core` entries that lookups left in the dentry cache.
 *
 * Dentries outlive a load of the module: an O_PATH descriptor or a cached
 * name keeps the old file operations, and pid_revalidate() finds nothing
 * wrong with them. So every instantiated `core` is unhashed at unload, and
 * at load, for those that a lookup in flight added after the unload.
 */
#include <linux/dcache.h>
#include <linux/fs.h>
#include <livecore/helpers.h>
#include <livecore/proc.h>

/* How many dentries are taken in one walk under the locks. */
#define BATCH	64

struct batch {
	struct dentry *dentries[BATCH];
	unsigned int count;
};

/* Is this /proc/<pid>/core? The caller holds @dentry's lock. */
static bool is_core(const struct dentry *dentry)
{
	static const struct qstr core = QSTR_INIT("core", 4);
	const struct inode *inode = d_inode(dentry);

	return !d_unhashed(dentry) && inode && S_ISREG(inode->i_mode) &&
	       livecore_proc_pid(inode) && dentry->d_name.len == core.len &&
	       !memcmp(dentry->d_name.name, core.name, core.len);
}

/* Takes a reference on each `core` below @dir, whose lock is held. */
static void collect_in(struct dentry *dir, struct batch *batch)
{
	struct dentry *child;

	hlist_for_each_entry(child, &dir->d_children, d_sib) {
		if (batch->count == BATCH)
			return;
		spin_lock_nested(&child->d_lock, 2);
		if (is_core(child))
			batch->dentries[batch->count++] = dget_dlock(child);
		spin_unlock(&child->d_lock);
	}
}

static void collect(struct dentry *root, struct batch *batch)
{
	struct dentry *dir;

	batch->count = 0;
	spin_lock(&root->d_lock);
	hlist_for_each_entry(dir, &root->d_children, d_sib) {
		spin_lock_nested(&dir->d_lock, DENTRY_D_LOCK_NESTED);
		collect_in(dir, batch);
		spin_unlock(&dir->d_lock);
		if (batch->count == BATCH)
			break;
	}
	spin_unlock(&root->d_lock);
}

static void drop_on(struct super_block *sb, void *unused)
{
	struct batch batch;
	unsigned int i;

	/* Ends: what one round drops is unhashed, and no round finds it again. */
	do {
		collect(sb->s_root, &batch);
		for (i = 0; i < batch.count; i++) {
			d_drop(batch.dentries[i]);
			dput(batch.dentries[i]);
		}
		cond_resched();
	} while (batch.count);
}

/* Unhashes every /proc/<pid>/core on every proc superblock. May sleep. */
void livecore_drop_core_dentries(void)
{
	struct file_system_type *proc = get_fs_type("proc");

	if (proc)
		iterate_supers_type(proc, drop_on, NULL);
}
