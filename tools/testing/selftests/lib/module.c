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

static int load(const char *path)
{
	int fd = CHECK(open(path, O_RDONLY | O_CLOEXEC));
	int error = 0;

	if (syscall(SYS_finit_module, fd, "", 0))
		error = -errno;
	close(fd);
	return error;
}

int module_load(void)
{
	const char *path = getenv("LIVECORE_KO");

	if (!path)
		FAIL("LIVECORE_KO does not say where the module is");
	return load(path);
}

void test_module_load(const char *name)
{
	const char *folder = getenv("LIVECORE_TEST_MODULES");
	char path[512];
	int error;

	if (!folder)
		FAIL("LIVECORE_TEST_MODULES does not say where %s is", name);
	snprintf(path, sizeof(path), "%s/%s.ko", folder, name);
	error = load(path);
	/* A test that was killed has left it. */
	if (error && error != -EEXIST)
		FAIL("loading %s: %s", path, strerror(-error));
}

static bool is_out(const char *name)
{
	return !syscall(SYS_delete_module, name, O_NONBLOCK) || errno == ENOENT;
}

void test_module_unload(const char *name)
{
	if (!EVENTUALLY(is_out(name)))
		FAIL("unloading %s: %s", name, strerror(errno));
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

void module_put_back(void)
{
	if (!module_is_loaded())
		module_load();
}
