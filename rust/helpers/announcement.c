// SPDX-License-Identifier: GPL-2.0
/* Telling the log, and the audit, who has dumped whom. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/audit.h>
#include <linux/cred.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <livecore/helpers.h>

/**
 * livecore_announce() - The caller has dumped the process of @target.
 * @target: a thread of it
 *
 * Says so if it is another user's; not more often than the kernel's default
 * limit of such lines, but to the audit each time. Names are escaped: they are
 * whatever their processes want. Pids are those of the initial namespace.
 */
void livecore_announce(struct task_struct *target)
{
	const struct cred *owner = get_task_cred(target);
	kuid_t uid = owner->euid;
	char from[TASK_COMM_LEN], to[TASK_COMM_LEN];

	put_cred(owner);
	if (uid_eq(uid, current_euid()))
		return;
	get_task_comm(from, current);
	get_task_comm(to, target);
	pr_notice_ratelimited("%*pE[%d] of uid %u has dumped %*pE[%d] of uid %u\n",
			      (int)strlen(from), from, task_tgid_nr(current),
			      from_kuid(&init_user_ns, current_euid()),
			      (int)strlen(to), to, task_tgid_nr(target),
			      from_kuid(&init_user_ns, uid));
	if (audit_enabled)
		audit_log(audit_context(), GFP_KERNEL, AUDIT_KERNEL_OTHER,
			  "op=livecore pid=%d uid=%u auid=%u ses=%u opid=%d ouid=%u res=1",
			  task_tgid_nr(current),
			  from_kuid(&init_user_ns, current_euid()),
			  from_kuid(&init_user_ns, audit_get_loginuid(current)),
			  audit_get_sessionid(current), task_tgid_nr(target),
			  from_kuid(&init_user_ns, uid));
}
