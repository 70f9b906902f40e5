// SPDX-License-Identifier: GPL-2.0
/* Register sets, of current and of threads that are asleep. */
#include <linux/elf.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/regset.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/smp.h>
#include <asm/cpufeature.h>
#include <asm/cpuid/api.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xcr.h>
#include <asm/mmu_context.h>
#include <asm/segment.h>
#include <livecore/helpers.h>

static const struct user_regset_view *to_view(const struct livecore_view *view)
{
	return (const struct user_regset_view *)view;
}

static const struct user_regset_view *view_64, *view_ia32;

static bool is_view(const struct user_regset_view *view, unsigned int machine)
{
	return view->e_machine == machine && view->n &&
	       view->regsets->core_note_type == NT_PRSTATUS;
}

/**
 * livecore_set_views() - Where the kernel's two views are.
 * @address_64: of user_x86_64_view, arch/x86/kernel/ptrace.c
 * @address_ia32: of user_x86_32_view, 0 on a kernel that has none
 *
 * task_user_regset_view() goes by the code segment that a thread is in at the
 * moment, and a program may change that; its core is what the program is.
 *
 * Return: whether they are these views.
 */
bool livecore_set_views(unsigned long address_64, unsigned long address_ia32)
{
	view_64 = (const struct user_regset_view *)address_64;
	view_ia32 = (const struct user_regset_view *)address_ia32;
	return is_view(view_64, EM_X86_64) && (!view_ia32 || is_view(view_ia32, EM_386));
}

/*
 * All three are what execve() has left in the memory, and stay so: task_size
 * is that of TIF_ADDR32 for the two with 32-bit addresses, of which
 * __set_personality_ia32() marks one, arch/x86/kernel/process_64.c.
 */
unsigned int livecore_mm_abi(struct mm_struct *mm)
{
	if (!is_64bit_mm(mm))
		return LIVECORE_ABI_IA32;
	return mm->task_size > SZ_4G ? LIVECORE_ABI_64 : LIVECORE_ABI_X32;
}

/* NULL for x32, of which the kernel has none either. */
const struct livecore_view *livecore_view(unsigned int abi)
{
	switch (abi) {
	case LIVECORE_ABI_64:
		return (const struct livecore_view *)view_64;
	case LIVECORE_ABI_IA32:
		return (const struct livecore_view *)view_ia32;
	default:
		return NULL;
	}
}

unsigned int livecore_view_count(const struct livecore_view *view)
{
	return to_view(view)->n;
}

/* Describes a register set; note_type 0: it makes no note. */
void livecore_view_describe(const struct livecore_view *view, unsigned int index,
			    struct livecore_regset *out)
{
	const struct user_regset *regset = &to_view(view)->regsets[index];

	out->note_type = regset->core_note_type;
	out->size = regset->n * regset->size;
	out->note_name = regset->core_note_name;
}

/*
 * x86_task_fpu() is a function where X86_DEBUG_FPU is on, and not exported; the
 * structure follows the task_struct.
 */
static const struct fpu *fpu_of(const struct task_struct *task)
{
	return (const void *)task + sizeof(*task);
}

/*
 * A vCPU thread inside KVM_RUN: the registers are the guest's (struct fpu,
 * asm/fpu/types.h).
 */
bool livecore_fpu_is_guests(struct task_struct *task)
{
	return fpu_of(task)->__task_fpstate;
}

/*
 * Has a thread that sleeps a shadow stack pointer? Amid execve() and
 * ARCH_SHSTK_DISABLE the registers have none any more, and the thread has the
 * feature still: ssp_get(), arch/x86/kernel/fpu/regset.c, would warn of it.
 */
static bool has_ssp(const struct task_struct *task)
{
	return fpu_of(task)->fpstate->regs.xsave.header.xfeatures & XFEATURE_MASK_CET_USER;
}

/* The others are in the thread_struct. */
static bool is_in_fpu(const struct user_regset *regset)
{
	switch (regset->core_note_type) {
	case NT_PRFPREG:
	case NT_PRXFPREG:
	case NT_X86_XSTATE:
	case NT_X86_SHSTK:
		return true;
	default:
		return false;
	}
}

/**
 * livecore_regset_get() - Read one register set.
 * @view: of which view
 * @index: which of its sets
 * @task: current, a thread locked by livecore_lock_blocked(), or one that
 *	  livecore_regset_get_running() has seen off its CPU
 * @data: where to, @size bytes
 * @size: what livecore_view_describe() told
 *
 * fill_thread_core_info(), fs/binfmt_elf.c. Sleeps only where the segment
 * bases have to be looked up (needs_ldt()).
 *
 * Return: bytes read, 0 if the set is not active, or an errno.
 */
int livecore_regset_get(const struct livecore_view *view, unsigned int index,
			struct task_struct *task, void *data, unsigned int size)
{
	const struct user_regset *regset = &to_view(view)->regsets[index];

	if (is_in_fpu(regset) && livecore_fpu_is_guests(task))
		return 0;
	if (regset->core_note_type == NT_X86_SHSTK && task != current && !has_ssp(task))
		return 0;
	if (regset->active && regset->active(task, regset) <= 0)
		return 0;
	return regset_get(task, regset, size, data);
}

/*
 * Is the thread in execve() where it has the new memory, which others may see,
 * and still what the program before had in its registers: from the end of
 * setup_new_exec() to START_THREAD(), fs/binfmt_elf.c? execve() has
 * cred_guard_mutex before that; as others may take it, the address of the stack
 * tells, too, which new memory is told late. Nothing changes task->mm meanwhile.
 */
static bool is_between_programs(struct task_struct *task)
{
	/* Others of the same word are the thread's own, too. */
	bool in_execve = data_race(!!task->in_execve);

	return in_execve && task->mm &&
	       (!mutex_is_locked(&task->signal->cred_guard_mutex) ||
		!READ_ONCE(task->mm->start_stack));
}

/* How often a thread may be missed that goes from CPU to CPU. */
#define MAX_MISSES	16

struct read_running {
	const struct livecore_view *view;
	struct task_struct *task;
	unsigned int index;
	unsigned int size;
	void *data;
	int read;
};

/* On the CPU where the thread was seen, with interrupts off. */
static void read_if_current(void *info)
{
	struct read_running *read = info;

	if (current == read->task)
		read->read = livecore_regset_get(read->view, read->index, current,
						 read->data, read->size);
}

/**
 * livecore_regset_get_running() - Read the general registers of a thread that
 * does not sleep.
 * @view: of which view
 * @index: of the general registers
 * @task: the thread, referenced; not current
 * @data: where to, @size bytes
 * @size: what livecore_view_describe() told
 *
 * A work was queued for @task, which the caller keeps from getting past it:
 * once seen off its CPU it is in the kernel until then, what it has saved
 * stays, and the frame that it entered with too. On its CPU it reads its own,
 * in the kernel or just interrupted in user mode, where the work is what comes
 * next. Sleeps; the CPUs have their interrupts on soon.
 *
 * One that is in execve(), and of the new memory already, is not read.
 *
 * Without FSGSBASE, the bases of the segments of another thread may have to be
 * looked up in the LDT of task->mm, which exit_mm() and execve() change before
 * the work is reached: such CPUs read a thread on its CPU alone.
 *
 * Return: bytes read, 0 if the thread could not be met, or an errno.
 */
int livecore_regset_get_running(const struct livecore_view *view, unsigned int index,
				struct task_struct *task, void *data, unsigned int size)
{
	struct read_running read = {
		.view = view, .task = task, .index = index, .size = size, .data = data,
	};
	bool is_between;
	int i;

	task_lock(task);
	is_between = is_between_programs(task);
	task_unlock(task);
	if (is_between)
		return 0;
	for (i = 0; i < MAX_MISSES && !read.read; i++) {
		/* Pairs with finish_task(), kernel/sched/core.c: its registers are saved. */
		if (!smp_load_acquire(&task->on_cpu))
			return boot_cpu_has(X86_FEATURE_FSGSBASE) ?
				livecore_regset_get(view, index, task, data, size) : 0;
		smp_call_function_single(task_cpu(task), read_if_current, &read, 1);
	}
	return read.read;
}

/*
 * Has the thread called ioperm()? Only the thread itself changes the pointer,
 * and never a bitmap that it shares (ksys_ioperm(), arch/x86/kernel/ioport.c).
 */
bool livecore_has_io_bitmap(struct task_struct *task)
{
	return READ_ONCE(task->thread.io_bitmap);
}

/**
 * livecore_xsave_layout() - What NT_X86_XSAVE_LAYOUT says of one feature.
 * @feature: its number in XCR0, from 2 on
 * @size: of its state, in bytes
 * @offset: in the uncompacted format, in bytes
 *
 * dump_xsave_layout_desc(), arch/x86/kernel/fpu/xstate.c, which takes the
 * same from the same CPUID leaf.
 *
 * Return: whether user mode has it.
 */
bool livecore_xsave_layout(unsigned int feature, unsigned int *size, unsigned int *offset)
{
	unsigned int ecx, edx;

	if (!boot_cpu_has(X86_FEATURE_OSXSAVE) ||
	    !(xgetbv(XCR_XFEATURE_ENABLED_MASK) & BIT_ULL(feature)))
		return false;
	cpuid_count(0xd, feature, size, offset, &ecx, &edx);
	return true;
}

/*
 * Without FSGSBASE the base of a segment in the LDT is read under a mutex
 * (x86_fsgsbase_read_task(), arch/x86/kernel/process_64.c).
 */
static bool needs_ldt(const struct task_struct *task)
{
	return !boot_cpu_has(X86_FEATURE_FSGSBASE) &&
	       (task->thread.fsindex | task->thread.gsindex) & SEGMENT_TI_MASK;
}

/**
 * livecore_lock_blocked() - Keep a sleeping thread asleep.
 * @task: the thread, referenced by the caller
 * @flags: for livecore_unlock_blocked()
 *
 * try_to_wake_up() takes pi_lock, so a blocked thread cannot start to run
 * while we hold it; task_call_func() is this, unexported. The order of the
 * loads is that of try_to_wake_up(), kernel/sched/core.c.
 *
 * Return: true, with pi_lock held and interrupts off, if it is blocked and
 * its registers can be read so.
 */
bool livecore_lock_blocked(struct task_struct *task, unsigned long *flags)
	__cond_acquires(true, &task->pi_lock)
{
	unsigned int state;
	bool blocked;

	raw_spin_lock_irqsave(&task->pi_lock, *flags);
	state = READ_ONCE(task->__state);
	blocked = state != TASK_RUNNING && state != TASK_WAKING && state != TASK_DEAD;
	/* on_rq is not older than the state. */
	smp_rmb();
	blocked = blocked && !task_is_runnable(task);
	/* on_cpu is not older than on_rq. */
	smp_rmb();
	/* As in try_to_wake_up(): its registers are saved. */
	blocked = blocked && !smp_load_acquire(&task->on_cpu);
	blocked = blocked && !needs_ldt(task) && !is_between_programs(task);
	if (!blocked)
		raw_spin_unlock_irqrestore(&task->pi_lock, *flags);
	return blocked;
}

void livecore_unlock_blocked(struct task_struct *task, unsigned long flags)
	__releases(&task->pi_lock)
{
	raw_spin_unlock_irqrestore(&task->pi_lock, flags);
}
