// SPDX-License-Identifier: GPL-2.0
/*
 * Calls a kernel function through a pointer:
 *
 *	echo NAME >/sys/module/livecore_sealed/parameters/call
 *
 * jiffies_to_clock_t is exported, so this is fine. The others are sealed, and a
 * kernel that checks such calls does not survive it, while most machines do
 * not notice. tools/lab/lab/guard.py proves so that the debug kernel checks.
 */
#include <linux/jiffies.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/task_work.h>

/* Before the place of a probe, which arch_adjust_kprobe_addr() puts behind it. */
#define ENDBR_SIZE	4

/* The address of a function that is not static. */
static unsigned long resolve(const char *name)
{
	struct kprobe probe = {
		.symbol_name = name,
		.flags = KPROBE_FLAG_DISABLED,
	};
	int err = register_kprobe(&probe);

	if (err) {
		pr_err("no %s: %d\n", name, err);
		return 0;
	}
	unregister_kprobe(&probe);
	return (unsigned long)probe.addr - ENDBR_SIZE;
}

static int call_jiffies_to_clock_t(unsigned long address)
{
	clock_t (*function)(unsigned long jiffies) = (void *)address;

	return function(HZ) == USER_HZ ? 0 : -EPROTO;
}

static int call_mm_alloc(unsigned long address)
{
	typeof(mm_alloc) *function = (void *)address;
	struct mm_struct *mm = function();

	if (mm)
		mmput(mm);
	return 0;
}

static void nothing(struct callback_head *work)
{
}

/* The work is done before the caller is back in user mode. */
static int call_task_work_add(unsigned long address)
{
	typeof(task_work_add) *function = (void *)address;
	static struct callback_head work;

	init_task_work(&work, nothing);
	return function(current, &work, TWA_RESUME);
}

static int call_task_work_cancel(unsigned long address)
{
	typeof(task_work_cancel) *function = (void *)address;
	struct callback_head none = {};

	return function(current, &none) ? -EPROTO : 0;
}

#define CALL(function) { #function, call_##function }

static const struct {
	const char *name;
	int (*call)(unsigned long address);
} calls[] = {
	CALL(jiffies_to_clock_t),
	CALL(mm_alloc),
	CALL(task_work_add),
	CALL(task_work_cancel),
};

static int call(const char *value, const struct kernel_param *parameter)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		unsigned long address;

		if (!sysfs_streq(value, calls[i].name))
			continue;
		address = resolve(calls[i].name);
		return address ? calls[i].call(address) : -ENOENT;
	}
	return -EINVAL;
}

static const struct kernel_param_ops call_ops = { .set = call };

module_param_cb(call, &call_ops, NULL, 0200);
MODULE_PARM_DESC(call, "the function to call");

static int __init sealed_init(void)
{
	return 0;
}

static void __exit sealed_exit(void)
{
}

module_init(sealed_init);
module_exit(sealed_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Calls sealed functions through pointers, for livecore's guard");
