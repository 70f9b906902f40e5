// SPDX-License-Identifier: GPL-2.0
/*
 * Kernel functions that are not exported, behind static calls.
 *
 * Their entry points are sealed: a call through a pointer is a control
 * protection fault where IBT or FineIBT is on. A static call is a direct one.
 * Each declaration takes its type from the kernel's own prototype, so that a
 * changed signature breaks the build and not the machine.
 */
#include <linux/static_call.h>
#include <linux/task_work.h>
#include <livecore/helpers.h>

DEFINE_STATIC_CALL_RET0(livecore_task_work_cancel_call, task_work_cancel);

void livecore_set_task_work_cancel(unsigned long address)
{
	static_call_update(livecore_task_work_cancel_call,
			   (typeof(task_work_cancel) *)address);
}

/* kernel/task_work.c; true: it was removed and will not run. */
bool livecore_task_work_cancel(struct task_struct *task, struct callback_head *work)
{
	return static_call(livecore_task_work_cancel_call)(task, work);
}
