// SPDX-License-Identifier: GPL-2.0
/*
 * A copy of /proc/self/exe.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "check.h"
#include "program.h"
#include "target.h"

void program_create(struct program *program, mode_t mode)
{
	strcpy(program->directory, "/tmp/livecore-XXXXXX");
	CHECK_POINTER(mkdtemp(program->directory));
	CHECK(chmod(program->directory, 0755));
	/* Our own, for /tmp may be mounted nosuid. */
	CHECK(mount("tmpfs", program->directory, "tmpfs", 0, "mode=755"));
	snprintf(program->path, sizeof(program->path), "%s/program", program->directory);
	target_copy_program(program->path, 0, mode);
}

void program_destroy(struct program *program)
{
	umount2(program->directory, MNT_DETACH);
	rmdir(program->directory);
}
