// SPDX-License-Identifier: GPL-2.0
/*
 * finit_module() and delete_module().
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "check.h"
#include "module.h"
#include "proc.h"

int module_load(void)
{
	const char *path = getenv("LIVECORE_KO");
	int error = 0;
	int fd;

	if (!path)
		FAIL("LIVECORE_KO does not say where the module is");
	fd = CHECK(open(path, O_RDONLY | O_CLOEXEC));
	if (syscall(SYS_finit_module, fd, "", 0))
		error = -errno;
	close(fd);
	return error;
}

int module_unload(void)
{
	return syscall(SYS_delete_module, "livecore", O_NONBLOCK) ? -errno : 0;
}

static bool tried_to_unload(int *error)
{
	*error = module_unload();
	return *error != -EWOULDBLOCK;
}

bool module_unloads(void)
{
	int error = -EWOULDBLOCK;

	if (!EVENTUALLY(tried_to_unload(&error)))
		return false;
	if (error)
		FAIL("delete_module: %s", strerror(-error));
	return true;
}

bool module_is_loaded(void)
{
	return !access("/sys/module/livecore", F_OK);
}
