// SPDX-License-Identifier: GPL-2.0
/* Structures from and to user space that begin with their own size. */
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/sched.h>
#include <linux/uaccess.h>
#include <livecore/helpers.h>

static int user_size(const u32 __user *user, size_t min, size_t *size)
{
	u32 told;

	if (get_user(told, user))
		return -EFAULT;
	if (told < min)
		return -EINVAL;
	if (told > PAGE_SIZE)
		return -E2BIG;
	*size = told;
	return 0;
}

/**
 * livecore_get_struct() - Copy such a structure from user space.
 * @to: where to
 * @size: its size here, in bytes; what the caller does not have of it is zero
 * @min: the size of its first version
 * @user: where from
 *
 * Return: 0, -EINVAL if it is too small, -E2BIG if it has more in it than we
 * know, -EFAULT.
 */
int livecore_get_struct(void *to, size_t size, size_t min, const void __user *user)
{
	size_t user_bytes;
	int err = user_size(user, min, &user_bytes);

	return err ?: copy_struct_from_user(to, size, user, user_bytes);
}

/**
 * livecore_put_struct() - Copy such a structure to user space.
 * @user: where to; the size it has there stays
 * @min: the size of its first version
 * @from: where from
 * @size: its size here, in bytes; what there is more of it there is zeroed
 *
 * Return: 0, -EINVAL if it is too small, -E2BIG if it is no structure of ours,
 * -EFAULT.
 */
int livecore_put_struct(void __user *user, size_t min, void *from, size_t size)
{
	size_t user_bytes;
	int err = user_size(user, min, &user_bytes);

	if (err)
		return err;
	*(u32 *)from = user_bytes;
	return copy_struct_to_user(user, user_bytes, from, size, NULL);
}

/* As proc_pid_attr_write(), fs/proc/base.c: a task may only use what it has opened. */
bool livecore_file_is_callers(const struct file *file)
{
	return file->f_cred == current_real_cred();
}
