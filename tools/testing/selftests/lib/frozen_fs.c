// SPDX-License-Identifier: GPL-2.0
/*
 * An ext4 on a loop device on a file on tmpfs.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#include "check.h"
#include "frozen_fs.h"
#include "proc.h"

#define SIZE	(16 << 20)

static void run(const char *format, const char *argument)
{
	char command[160];

	snprintf(command, sizeof(command), format, argument);
	if (system(command))
		FAIL("%s failed", command);
}

/* Modules on a stock kernel, built in on others: mount() tells. */
static void load_drivers(void)
{
	if (system("modprobe -q loop; modprobe -q ext4"))
		return;
}

static void attach_loop(struct frozen_fs *fs)
{
	int control = CHECK(open("/dev/loop-control", O_RDWR | O_CLOEXEC));
	int number = CHECK(ioctl(control, LOOP_CTL_GET_FREE));
	int image = CHECK(open(fs->image, O_RDWR | O_CLOEXEC));
	struct loop_config config = { .fd = image };
	int device;

	snprintf(fs->device, sizeof(fs->device), "/dev/loop%d", number);
	device = CHECK(open(fs->device, O_RDWR | O_CLOEXEC));
	CHECK(ioctl(device, LOOP_CONFIGURE, &config));
	/* Some kernels mount no device that somebody may write to. */
	close(device);
	close(image);
	close(control);
}

static void mount_image(struct frozen_fs *fs)
{
	int device;

	CHECK(mount(fs->device, fs->directory, "ext4", 0, NULL));
	fs->mounted = true;
	/* In use, so this takes effect when it is mounted no more. */
	device = CHECK(open(fs->device, O_RDONLY | O_CLOEXEC));
	CHECK(ioctl(device, LOOP_CLR_FD));
	close(device);
}

void frozen_fs_create(struct frozen_fs *fs)
{
	int image;

	memset(fs, 0, sizeof(*fs));
	load_drivers();
	strcpy(fs->directory, "/tmp/livecore-fs-XXXXXX");
	CHECK_POINTER(mkdtemp(fs->directory));
	snprintf(fs->image, sizeof(fs->image), "%s.img", fs->directory);
	image = CHECK(open(fs->image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
	CHECK(ftruncate(image, SIZE));
	close(image);
	run("/usr/sbin/mkfs.ext4 -q -F -O ^has_journal %s", fs->image);
	attach_loop(fs);
	mount_image(fs);
}

/* The descriptor is closed at once, for it would keep the mount busy. */
static void set_frozen(struct frozen_fs *fs, bool frozen)
{
	int directory = CHECK(open(fs->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC));

	CHECK(ioctl(directory, frozen ? FIFREEZE : FITHAW, 0));
	close(directory);
	fs->frozen = frozen;
}

void frozen_fs_freeze(struct frozen_fs *fs)
{
	set_frozen(fs, true);
}

void frozen_fs_thaw(struct frozen_fs *fs)
{
	set_frozen(fs, false);
}

void frozen_fs_destroy(struct frozen_fs *fs)
{
	if (fs->frozen)
		frozen_fs_thaw(fs);
	if (fs->mounted) {
		/* A target that is still dying may keep it busy. */
		if (!EVENTUALLY(!umount2(fs->directory, UMOUNT_NOFOLLOW)))
			FAIL("umount %s: %s", fs->directory, strerror(errno));
		fs->mounted = false;
	}
	if (fs->image[0])
		unlink(fs->image);
	if (fs->directory[0])
		rmdir(fs->directory);
}
