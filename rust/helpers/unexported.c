// SPDX-License-Identifier: GPL-2.0
/*
 * Kernel functions that are not exported, behind static calls.
 *
 * Their entry points are sealed: a call through a pointer is a control
 * protection fault where IBT or FineIBT is on. A static call is a direct one.
 * Each declaration takes its type from the kernel's own prototype, so that a
 * changed signature breaks the build and not the machine.
 */
#include <linux/ptrace.h>
#include <linux/static_call.h>
#include <linux/task_work.h>
#include <livecore/helpers.h>

DEFINE_STATIC_CALL_RET0(livecore_task_work_cancel_call, task_work_cancel);

/* Until it is known what to call. */
static int refuse_work(struct task_struct *task, struct callback_head *work,
		       enum task_work_notify_mode notify)
{
	return -ESRCH;
}

/* Exported by some kernels, so that nothing but this way works on all. */
DEFINE_STATIC_CALL(livecore_task_work_add_call, refuse_work);

void livecore_set_task_work(unsigned long add, unsigned long cancel)
{
	static_call_update(livecore_task_work_add_call, (typeof(task_work_add) *)add);
	static_call_update(livecore_task_work_cancel_call, (typeof(task_work_cancel) *)cancel);
}

/*
 * kernel/task_work.c. Always TWA_RESUME: nobody who sleeps is woken, and no
 * system call returns early. Return: 0, or -ESRCH for a task that has gone too
 * far on its way out.
 */
int livecore_task_work_add(struct task_struct *task, struct callback_head *work)
{
	return static_call(livecore_task_work_add_call)(task, work, TWA_RESUME);
}

/* kernel/task_work.c; true: it was removed and will not run. */
bool livecore_task_work_cancel(struct task_struct *task, struct callback_head *work)
{
	return static_call(livecore_task_work_cancel_call)(task, work);
}

DEFINE_STATIC_CALL_RET0(livecore_ptrace_may_access_call, ptrace_may_access);

void livecore_set_ptrace_may_access(unsigned long address)
{
	static_call_update(livecore_ptrace_may_access_call,
			   (typeof(ptrace_may_access) *)address);
}

/*
 * kernel/ptrace.c; may the caller see what only the owner of @task may? Not to
 * see it is no offence: as do_task_stat(), fs/proc/array.c.
 */
bool livecore_may_read(struct task_struct *task)
{
	return static_call(livecore_ptrace_may_access_call)(task, PTRACE_MODE_READ_FSCREDS |
							    PTRACE_MODE_NOAUDIT);
}
