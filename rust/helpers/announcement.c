// SPDX-License-Identifier: GPL-2.0
/* Telling the log, and the audit, who dumps whom. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/audit.h>
#include <linux/cred.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <livecore/helpers.h>

/**
 * livecore_announce() - The caller dumps the process of @target.
 * @target: a thread of it
 *
 * Says so if it is another user's: to the log not more often than the kernel's
 * default limit of such lines, to the audit each time. Pids are those of the
 * initial namespace. Names are whatever their processes want: escaped, and last.
 * audit_log() may sleep, unkillable, until its backlog is shorter.
 */
void livecore_announce(struct task_struct *target)
{
	const struct cred *owner = get_task_cred(target);
	kuid_t reader = current_euid();
	kuid_t uid = owner->uid;
	bool own = uid_eq(reader, owner->uid) && uid_eq(reader, owner->euid) &&
		   uid_eq(reader, owner->suid);
	char from[TASK_COMM_LEN], to[TASK_COMM_LEN];

	put_cred(owner);
	if (own)
		return;
	get_task_comm(from, current);
	get_task_comm(to, target);
	pr_notice_ratelimited("pid %d of uid %u dumps pid %d of uid %u (\"%*pE\" dumps \"%*pE\")\n",
			      task_tgid_nr(current), from_kuid(&init_user_ns, reader),
			      task_tgid_nr(target), from_kuid(&init_user_ns, uid),
			      (int)strlen(from), from, (int)strlen(to), to);
	if (audit_enabled)
		audit_log(audit_context(), GFP_KERNEL, AUDIT_KERNEL_OTHER,
			  "op=livecore pid=%d uid=%u auid=%u ses=%u opid=%d ouid=%u",
			  task_tgid_nr(current), from_kuid(&init_user_ns, reader),
			  from_kuid(&init_user_ns, audit_get_loginuid(current)),
			  audit_get_sessionid(current), task_tgid_nr(target),
			  from_kuid(&init_user_ns, uid));
}
