// SPDX-License-Identifier: GPL-2.0
/* References to this module: kernel::ThisModule has no way to take one. */
#include <linux/module.h>
#include <livecore/helpers.h>

bool livecore_module_tryget(void)
{
	return try_module_get(THIS_MODULE);
}

void livecore_module_get(void)
{
	__module_get(THIS_MODULE);
}

void livecore_module_put(void)
{
	module_put(THIS_MODULE);
}
