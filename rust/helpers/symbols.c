// SPDX-License-Identifier: GPL-2.0
/*
 * Addresses of symbols that are not exported, and the layouts of structures
 * that only fs/proc/ declares.
 */
#include <linux/kprobes.h>
#include <linux/memcontrol.h>
#include <linux/mm_types.h>
#include <linux/sched.h>
#include <livecore/helpers.h>
#include <livecore/proc.h>

/* What stands at the entry of a function that may be called indirectly … */
#define LIVECORE_ENDBR64	0xfa1e0ff3U
/* … and what apply_seal_endbr() leaves there when nothing takes its address. */
#define LIVECORE_ENDBR_POISON	0xd6401f0fU

/**
 * livecore_resolve() - The address of a symbol, function or data.
 * @name: the symbol's name; must not be ambiguous.
 *
 * A disabled kprobe arms nothing: register_kprobe() resolves the address,
 * and fails afterwards for data. Process context.
 *
 * Return: the address, 0 if the kernel has no such symbol.
 */
unsigned long livecore_resolve(const char *name)
{
	struct kprobe kp = {
		.symbol_name = name,
		.flags = KPROBE_FLAG_DISABLED,
	};
	unsigned long address;
	u32 entry;

	if (!register_kprobe(&kp))
		unregister_kprobe(&kp);
	address = (unsigned long)kp.addr;
	if (!address)
		return 0;

	/* arch_adjust_kprobe_addr() steps over an ENDBR: step back. */
	if (get_kernel_nofault(entry, (u32 *)(address - 4)))
		return address;
	if (entry == LIVECORE_ENDBR64 || entry == LIVECORE_ENDBR_POISON)
		address -= 4;
	return address;
}

#define LAYOUT_SIZE(t) { #t, NULL, sizeof(struct t) }
#define LAYOUT(t, m) { #t, #m, offsetof(struct t, m) }
#define LAYOUT_AS(name, t, m) { name, #m, offsetof(struct t, m) }

static const struct livecore_layout layouts[] = {
	/* Private to fs/proc/: our copies must be the kernel's. */
	LAYOUT_AS("pid_entry", livecore_pid_entry, name),
	LAYOUT_AS("pid_entry", livecore_pid_entry, len),
	LAYOUT_AS("pid_entry", livecore_pid_entry, mode),
	LAYOUT_AS("pid_entry", livecore_pid_entry, iop),
	LAYOUT_AS("pid_entry", livecore_pid_entry, fop),
	LAYOUT_AS("pid_entry", livecore_pid_entry, op),
	LAYOUT_AS("proc_inode", livecore_proc_inode, pid),
	LAYOUT_AS("proc_inode", livecore_proc_inode, vfs_inode),
	/* Public, but MODVERSIONS is off: is this the kernel we were built for? */
	LAYOUT_SIZE(task_struct),
	LAYOUT(task_struct, __state),
	LAYOUT(task_struct, on_cpu),
	LAYOUT(task_struct, flags),
	LAYOUT(task_struct, mm),
	LAYOUT(task_struct, signal),
	LAYOUT(task_struct, pi_lock),
	LAYOUT(task_struct, task_works),
	LAYOUT(task_struct, thread),
	LAYOUT(thread_struct, io_bitmap),
	LAYOUT(signal_struct, thread_head),
	LAYOUT(signal_struct, cutime),
	LAYOUT_SIZE(mm_struct),
	LAYOUT(mm_struct, task_size),
	LAYOUT(mm_struct, saved_auxv),
	LAYOUT(mm_struct, arg_start),
	LAYOUT(mm_struct, context),
#ifdef CONFIG_MEMCG
	LAYOUT(mm_struct, owner),
	LAYOUT(mem_cgroup, memory),
	LAYOUT(page_counter, max),
	LAYOUT(page_counter, high),
#endif
	LAYOUT(vm_area_struct, vm_file),
	LAYOUT(vm_area_struct, vm_ops),
#ifdef CONFIG_PER_VMA_LOCK
	LAYOUT(vm_area_struct, vm_refcnt),
#endif
	LAYOUT(vm_operations_struct, open),
	LAYOUT(vm_operations_struct, close),
	LAYOUT(callback_head, func),
	LAYOUT(dentry, d_children),
	LAYOUT(file, f_op),
	LAYOUT(file, private_data),
	LAYOUT(file_operations, release),
};

/* The layouts to compare with BTF; the table lives as long as the module. */
const struct livecore_layout *livecore_layouts(unsigned int *count)
{
	*count = ARRAY_SIZE(layouts);
	return layouts;
}
