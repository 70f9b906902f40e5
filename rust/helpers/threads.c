// SPDX-License-Identifier: GPL-2.0
/* The threads of a process, and what the notes say of each. */
#include <linux/compat.h>
#include <linux/cred.h>
#include <linux/dcache.h>
#include <linux/err.h>
#include <linux/fs_struct.h>
#include <linux/highuid.h>
#include <linux/path.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/rcupdate.h>
#include <linux/sched/cputime.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/signal.h>
#include <linux/uidgid.h>
#include <linux/version.h>
#include <livecore/helpers.h>

/**
 * livecore_threads() - The threads of a process, each with a reference.
 * @any: one of them
 * @out: room for @max
 * @max: how many fit
 *
 * tasklist_lock is not exported. Under RCU a thread that is linked or
 * unlinked meanwhile is seen or not; task_newtask tells of the former.
 *
 * Return: how many there are, which may be more than @max.
 */
unsigned int livecore_threads(struct task_struct *any, struct task_struct **out,
			      unsigned int max)
{
	struct task_struct *task;
	unsigned int count = 0;

	rcu_read_lock();
	for_each_thread(any, task) {
		if (count < max)
			out[count] = get_task_struct(task);
		count++;
	}
	rcu_read_unlock();
	return count;
}

/* Its own, though it may look for something from another one's root (7.3). */
static struct fs_struct *fs_of(const struct task_struct *task)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0)
	return task->real_fs;
#else
	return task->fs;
#endif
}

/**
 * livecore_task_root() - The path of a thread's root, as the caller sees it.
 * @task: the thread
 * @mm: the memory that it has to have, which the caller may read
 * @buffer: room for the path
 * @size: of the buffer, in bytes
 *
 * What get_task_root() of fs/proc/base.c finds, and nothing has to be allocated
 * for. Who may read a process's memory may follow its `root`, too: that asks for
 * less (PTRACE_MODE_READ). May sleep.
 *
 * Return: the path, somewhere in @buffer; -ESRCH where the thread has other memory
 * by now, or none; -ENAMETOOLONG.
 */
char *livecore_task_root(struct task_struct *task, const struct mm_struct *mm, char *buffer,
			 int size)
{
	struct path root = {};
	struct fs_struct *fs;
	char *path;

	/* Holds ->mm and ->fs; a thread that exits loses the former first. */
	task_lock(task);
	fs = fs_of(task);
	if (task->mm == mm && fs)
		get_fs_root(fs, &root);
	task_unlock(task);
	if (!root.dentry)
		return ERR_PTR(-ESRCH);
	path = d_path(&root, buffer, size);
	path_put(&root);
	return path;
}

/* Under RCU. */
static void get_ids(struct task_struct *task, struct livecore_ids *ids)
{
	struct pid_namespace *ns = task_active_pid_ns(task);

	memset(ids, 0, sizeof(*ids));
	if (!ns)
		return;
	ids->pid = task_pid_nr_ns(task, ns);
	ids->ppid = task_pid_nr_ns(rcu_dereference(task->real_parent), ns);
	ids->pgrp = task_pgrp_nr_ns(task, ns);
	ids->sid = task_session_nr_ns(task, ns);
}

/*
 * fill_prstatus(), fs/binfmt_elf.c, for a thread that is not current. That of
 * the leader looks at all threads.
 */
void livecore_thread_info(struct task_struct *task, struct livecore_thread_info *info)
{
	struct task_struct *thread;
	u64 utime, stime;

	memset(info, 0, sizeof(*info));
	rcu_read_lock();
	get_ids(task, &info->ids);
	task_cputime_adjusted(task, &info->utime, &info->stime);
	if (thread_group_leader(task)) {
		/* The record for the group leader shows the group's times. */
		info->utime += READ_ONCE(task->signal->utime);
		info->stime += READ_ONCE(task->signal->stime);
		for_each_thread(task, thread) {
			if (thread == task)
				continue;
			task_cputime_adjusted(thread, &utime, &stime);
			info->utime += utime;
			info->stime += stime;
		}
	}
	rcu_read_unlock();
	info->sigpend = READ_ONCE(task->pending.signal.sig[0]);
	info->sighold = READ_ONCE(task->blocked.sig[0]);
	info->cutime = READ_ONCE(task->signal->cutime);
	info->cstime = READ_ONCE(task->signal->cstime);
}

/*
 * fill_psinfo(), fs/binfmt_elf.c, but for the arguments; of @any's process.
 * @short_ids: uid and gid have 16 bits, as in struct compat_elf_prpsinfo.
 */
void livecore_process_info(struct task_struct *any, bool short_ids,
			   struct livecore_process_info *info)
{
	struct task_struct *task;
	const struct cred *cred;
	__compat_uid_t uid;
	__compat_gid_t gid;

	/* Once @any was released, what its pointers say is stale. */
	rcu_read_lock();
	task = get_task_struct(pid_alive(any) ? READ_ONCE(any->group_leader) : any);
	rcu_read_unlock();

	memset(info, 0, sizeof(*info));
	rcu_read_lock();
	get_ids(task, &info->ids);
	rcu_read_unlock();
	info->flags = READ_ONCE(task->flags);
	info->nice = task_nice(task);
	info->state = READ_ONCE(task->__state);
	cred = get_task_cred(task);
	info->uid = from_kuid_munged(cred->user_ns, cred->uid);
	info->gid = from_kgid_munged(cred->user_ns, cred->gid);
	put_cred(cred);
	if (short_ids) {
		SET_UID(uid, info->uid);
		SET_GID(gid, info->gid);
		info->uid = uid;
		info->gid = gid;
	}
	get_task_comm(info->comm, task);
	put_task_struct(task);
}

/* For comparison only: what the pointer points to may be gone. */
struct mm_struct *livecore_task_mm(struct task_struct *task)
{
	return READ_ONCE(task->mm);
}

/*
 * Is the memory used by more than the threads of @any's process? Another
 * process, or somebody who looks into it at the moment.
 */
bool livecore_mm_is_shared(struct mm_struct *mm, struct task_struct *any)
{
	struct task_struct *task;
	int users = 0;

	rcu_read_lock();
	for_each_thread(any, task)
		users += READ_ONCE(task->mm) == mm;
	rcu_read_unlock();
	return atomic_read(&mm->mm_users) > users;
}

/* Current runs a task work where it must not be kept: exit, exec. */
bool livecore_current_unparkable(void)
{
	return current->flags & (PF_EXITING | PF_POSTCOREDUMP | PF_USER_WORKER) ||
	       current->in_execve;
}

/*
 * Of execve(), fs/exec.c, works are run by begin_new_exec() at the earliest,
 * when there is no way back; by PTRACE_EVENT_EXEC at the latest.
 */
bool livecore_current_in_execve(void)
{
	return current->in_execve;
}

/* io_uring and vhost workers: they have no user mode, and run works under locks. */
bool livecore_task_is_user_worker(struct task_struct *task)
{
	return READ_ONCE(task->flags) & (PF_USER_WORKER | PF_KTHREAD);
}

bool livecore_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

/* Does nobody handle this signal, and does it end a process then? Under siglock. */
static bool is_fatal_by_default(struct task_struct *task, int sig)
{
	const struct sighand_struct *sighand = rcu_access_pointer(task->sighand);

	/* The init of a pid namespace: get_signal(). What it does itself clears the flag. */
	if (task->signal->flags & SIGNAL_UNKILLABLE)
		return false;
	return !siginmask(sig, SIG_KERNEL_IGNORE_MASK | SIG_KERNEL_STOP_MASK) &&
	       sighand->action[sig - 1].sa.sa_handler == SIG_DFL;
}

static bool takes(struct task_struct *task, int sig)
{
	return !sigismember(&task->blocked, sig) &&
	       !sigismember(&task->real_blocked, sig);
}

/**
 * livecore_signal_is_fatal() - Will this signal end the process?
 * @sig: the signal, 1 to _NSIG
 * @task: whom it was sent to
 * @group: to the process, not to the thread alone
 *
 * The caller holds @task's siglock. A signal that nobody takes is not fatal
 * yet, and cannot become so while all are parked.
 */
bool livecore_signal_is_fatal(int sig, struct task_struct *task, bool group)
{
	struct task_struct *thread;

	if (sig == SIGKILL)
		return true;
	if (!is_fatal_by_default(task, sig))
		return false;
	if (!group)
		return takes(task, sig);
	for_each_thread(task, thread)
		if (takes(thread, sig))
			return true;
	return false;
}

/*
 * Is it one by which processes are stopped, ended, or made to go on? One that
 * is ignored asks for nothing, but for SIGCONT, whose default it is.
 */
bool livecore_signal_is_job_control(int sig, bool sent)
{
	switch (sig) {
	case SIGHUP:
	case SIGINT:
	case SIGQUIT:
	case SIGTERM:
	case SIGSTOP:
	case SIGTSTP:
		return sent;
	case SIGCONT:
		return true;
	default:
		return false;
	}
}

/**
 * livecore_signal_is_from_outside() - Does somebody else send it?
 * @info: as signal_generate has it: SEND_SIG_NOINFO and SEND_SIG_PRIV, too
 * @task: whom it is sent to
 *
 * The terminal is somebody else. What the process has asked the kernel for,
 * timers and the like, is not; they run in whatever context.
 */
bool livecore_signal_is_from_outside(const struct kernel_siginfo *info,
				     struct task_struct *task)
{
	if (info == SEND_SIG_PRIV)
		return true;
	if (info != SEND_SIG_NOINFO) {
		switch (info->si_code) {
		case SI_TIMER:
		case SI_MESGQ:
		case SI_ASYNCIO:
		case SI_SIGIO:
			return false;
		case SI_KERNEL:
			return true;
		}
		/* What the process itself did, or has asked for. */
		if (info->si_code > 0)
			return false;
	}
	return !same_thread_group(current, task);
}

/* Is one of the signals from 1 to _NSIG pending for current that will end it, @except one? */
static bool is_fatal_queued(int except)
{
	struct sighand_struct *sighand = rcu_access_pointer(current->sighand);
	bool fatal = false;
	int sig;

	if (!signal_pending(current))
		return false;
	spin_lock_irq(&sighand->siglock);
	for (sig = 1; sig <= _NSIG && !fatal; sig++)
		fatal = sig != except &&
			(sigismember(&current->pending.signal, sig) ||
			 sigismember(&current->signal->shared_pending.signal, sig)) &&
			livecore_signal_is_fatal(sig, current, false);
	spin_unlock_irq(&sighand->siglock);
	return fatal;
}

/*
 * Is a signal pending for current that will end the process, or SIGKILL, with
 * which exit_group() and execve() of another thread end this one? One that was
 * sent before anybody watched: task works run before signals are delivered.
 * If any signal is pending, who sent it is done with it when this returns.
 */
bool livecore_fatal_signal_queued(void)
{
	return is_fatal_queued(0);
}

/*
 * Current is being killed: does a signal end the process, its core dump
 * included? Else it is exit_group() or execve() of another thread. The code is
 * there before anybody is woken (complete_signal(), zap_process()); what is
 * going to dump core is pending until then.
 */
bool livecore_signal_ends_current(void)
{
	return READ_ONCE(current->signal->group_exit_code) & 0x7f || is_fatal_queued(SIGKILL);
}
