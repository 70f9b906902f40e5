// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/livecore_unset: who reads it gets bytes that were allocated, and that
 * nobody has written. For core-poison, which has to find them.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

static ssize_t hand_out(struct file *file, char __user *to, size_t size, loff_t *position)
{
	void *bytes;

	if (!size || size > SZ_1M)
		return -EINVAL;
	/* Of a slab where they are few, else of pages. */
	bytes = kvmalloc(size, GFP_KERNEL);
	if (!bytes)
		return -ENOMEM;
	if (copy_to_user(to, bytes, size))
		size = -EFAULT;
	kvfree(bytes);
	return size;
}

static const struct file_operations operations = {
	.owner	= THIS_MODULE,
	.read	= hand_out,
};

static struct miscdevice device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "livecore_unset",
	.fops	= &operations,
	.mode	= 0600,
};

module_misc_device(device);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Hands out memory as it was allocated, for livecore's selftests");
