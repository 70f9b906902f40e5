// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/livecore_stay: who reads it stays in the kernel, running and not asleep,
 * until somebody writes to it. For core-running and core-blocked.
 */
#include <linux/atomic.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/processor.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

/* The end of it, whatever becomes of the test. */
#define LIMIT_SECONDS	100

static atomic_t writes;

/* The byte says that it has begun. */
static ssize_t stay(struct file *file, char __user *to, size_t size, loff_t *position)
{
	unsigned long end = jiffies + LIMIT_SECONDS * HZ;
	int before = atomic_read(&writes);

	if (size != 1)
		return -EINVAL;
	if (put_user(1, to))
		return -EFAULT;
	while (atomic_read(&writes) == before) {
		if (time_after(jiffies, end))
			return -ETIME;
		if (fatal_signal_pending(current))
			return -EINTR;
		cpu_relax();
	}
	return 1;
}

static ssize_t let_go(struct file *file, const char __user *from, size_t size, loff_t *position)
{
	atomic_inc(&writes);
	return size;
}

static const struct file_operations operations = {
	.owner	= THIS_MODULE,
	.read	= stay,
	.write	= let_go,
};

static struct miscdevice device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "livecore_stay",
	.fops	= &operations,
	.mode	= 0666,
};

module_misc_device(device);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Keeps threads running in the kernel, for livecore's selftests");
