// SPDX-License-Identifier: GPL-2.0
/*
 * LIVECORE_IOC_CONFIG: which sizes and values are taken, how far the sysctls are
 * limits of them, and that one dump then is what it was configured to be.
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <sys/ioctl.h>

#include "expected_loads.h"
#include "fixture.h"
#include "live.h"
#include "registers.h"
#include "user.h"

enum { PAGE = 4096 };

/* As user "argument", one that others of that user may dump. */
TARGET(of_user)
{
	uid_t uid = atoi(self->argument);

	if (uid)
		become_dumpable(uid);
	target_spinners(self, 2);
	return target_serve(self);
}

static const struct livecore_config nothing_set = { .size = sizeof(nothing_set) };

/* What a structure of @size bytes gets; what is behind livecore_config is @tail. */
static int config_of_size(int fd, uint32_t size, unsigned char tail)
{
	static unsigned char bytes[PAGE];

	memset(bytes, tail, sizeof(bytes));
	memcpy(bytes, &nothing_set, sizeof(nothing_set));
	memcpy(bytes, &size, sizeof(size));
	return ioctl(fd, LIVECORE_IOC_CONFIG, bytes) ? -errno : 0;
}

static int config_value(int fd, uint32_t set, size_t member, uint32_t value)
{
	struct livecore_config config = { .size = sizeof(config), .set = set };

	memcpy((char *)&config + member, &value, sizeof(value));
	return live_config(fd, &config);
}

#define CONFIG_VALUE(fd, SET, member, value)				\
	config_value(fd, LIVECORE_SET_##SET, offsetof(struct livecore_config, member), value)

CORE_TEST(sizes_of_config)
{
	struct target t;
	int fd;

	target_start(&t, "of_user", "0");
	fd = live_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EINVAL, config_of_size(fd, 0, 0));
	EXPECT_EQ(-EINVAL, config_of_size(fd, 4, 0));
	EXPECT_EQ(-EINVAL, config_of_size(fd, LIVECORE_CONFIG_SIZE_VER0 - 1, 0));
	EXPECT_EQ(0, config_of_size(fd, LIVECORE_CONFIG_SIZE_VER0, 0xff));
	EXPECT_EQ(0, config_of_size(fd, LIVECORE_CONFIG_SIZE_VER0 + 1, 0));
	EXPECT_EQ(0, config_of_size(fd, LIVECORE_CONFIG_SIZE_VER0 + 8, 0));
	EXPECT_EQ(-E2BIG, config_of_size(fd, LIVECORE_CONFIG_SIZE_VER0 + 1, 1));
	EXPECT_EQ(-E2BIG, config_of_size(fd, LIVECORE_CONFIG_SIZE_VER0 + 8, 0x80));
	EXPECT_EQ(-E2BIG, config_of_size(fd, UINT32_MAX, 0));
	EXPECT_EQ(-EFAULT, live_config(fd, NULL));
	EXPECT_EQ(-EFAULT, live_config(fd, (void *)16));
	/* None of that was in the way. */
	EXPECT_EQ(0, live_start(fd));
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(values_of_config)
{
	struct livecore_config config = nothing_set;
	struct target t;
	int fd;

	target_start(&t, "of_user", "0");
	fd = live_open(t.pid);
	ASSERT_LE(0, fd);
	for (unsigned int bit = 8; bit < 32; bit++) {
		config.set = 1U << bit;
		EXPECT_EQ(-EINVAL, live_config(fd, &config))
			TH_LOG("bit %u", bit);
	}
	EXPECT_EQ(0, CONFIG_VALUE(fd, MODE, mode, LIVECORE_MODE_HOLD));
	EXPECT_EQ(0, CONFIG_VALUE(fd, MODE, mode, LIVECORE_MODE_SNAPSHOT));
	EXPECT_EQ(-EINVAL, CONFIG_VALUE(fd, MODE, mode, 2));
	EXPECT_EQ(-EINVAL, CONFIG_VALUE(fd, CONTENTS, contents, 3));
	EXPECT_EQ(0, CONFIG_VALUE(fd, BLOCKED, blocked, 0));
	EXPECT_EQ(0, CONFIG_VALUE(fd, BLOCKED, blocked, 1));
	EXPECT_EQ(-EINVAL, CONFIG_VALUE(fd, BLOCKED, blocked, 2));
	EXPECT_EQ(0, CONFIG_VALUE(fd, TIMEOUT_MS, timeout_ms, 0));
	EXPECT_EQ(0, CONFIG_VALUE(fd, TIMEOUT_MS, timeout_ms, 60000));
	EXPECT_EQ(-EINVAL, CONFIG_VALUE(fd, TIMEOUT_MS, timeout_ms, 60001));
	EXPECT_EQ(-EINVAL, CONFIG_VALUE(fd, STALL_MS, stall_ms, 999));
	EXPECT_EQ(0, CONFIG_VALUE(fd, STALL_MS, stall_ms, 1000));
	EXPECT_EQ(0, CONFIG_VALUE(fd, STALL_MS, stall_ms, 3600000));
	EXPECT_EQ(-EINVAL, CONFIG_VALUE(fd, STALL_MS, stall_ms, 3600001));
	EXPECT_EQ(0, CONFIG_VALUE(fd, FILTER_MASK, filter_mask, 0));
	EXPECT_EQ(0, CONFIG_VALUE(fd, ABORT, abort, LIVECORE_ABORT_ANY));
	EXPECT_EQ(-EINVAL, CONFIG_VALUE(fd, ABORT, abort, 3));
	EXPECT_EQ(0, CONFIG_VALUE(fd, HOLD_MAX_MS, hold_max_ms, 0));
	EXPECT_EQ(-EINVAL, CONFIG_VALUE(fd, HOLD_MAX_MS, hold_max_ms, 3600001));
	/* What is not said to be set may be anything. */
	config = (struct livecore_config){
		sizeof(config), 0, 77, 77, 77, UINT32_MAX, 1, UINT32_MAX, 77, UINT32_MAX
	};
	EXPECT_EQ(0, live_config(fd, &config));
	EXPECT_EQ(0, live_start(fd));
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

/* The last one alone counts. */
CORE_TEST(each_config_replaces_the_former)
{
	struct target t;
	int fd;

	target_start(&t, "of_user", "0");
	fd = live_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, CONFIG_VALUE(fd, CONTENTS, contents, LIVECORE_CONTENTS_REGISTERS));
	EXPECT_EQ(0, live_config(fd, &nothing_set));
	EXPECT_EQ(0, live_start(fd));
	EXPECT_EQ(LIVECORE_CONTENTS_FULL, live_info_of(fd).contents);
	close(fd);
	/* But for one that is refused. */
	fd = live_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, CONFIG_VALUE(fd, CONTENTS, contents, LIVECORE_CONTENTS_REGISTERS));
	EXPECT_EQ(-EINVAL, CONFIG_VALUE(fd, TIMEOUT_MS, timeout_ms, UINT32_MAX));
	EXPECT_EQ(0, live_start(fd));
	EXPECT_EQ(LIVECORE_CONTENTS_REGISTERS, live_info_of(fd).contents);
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

/* Calls @run in a child that is user A, with a descriptor of A's process. */
static int as_a(int (*run)(struct __test_metadata *_metadata, int fd, pid_t pid),
		struct __test_metadata *_metadata, pid_t pid)
{
	pid_t child = CHECK(fork());
	int status;

	if (!child) {
		become_a();
		_exit(run(_metadata, CHECK(live_open(pid)), pid));
	}
	CHECK(waitpid(child, &status, 0));
	return status;
}

static int limits_of_a(struct __test_metadata *_metadata, int fd, pid_t pid)
{
	struct livecore_config config = nothing_set;

	(void)pid;
	/* More. */
	EXPECT_EQ(-EPERM, CONFIG_VALUE(fd, TIMEOUT_MS, timeout_ms, 5001));
	EXPECT_EQ(-EPERM, CONFIG_VALUE(fd, STALL_MS, stall_ms, 20001));
	EXPECT_EQ(-EPERM, CONFIG_VALUE(fd, CONTENTS, contents, LIVECORE_CONTENTS_FULL));
	EXPECT_EQ(-EPERM, CONFIG_VALUE(fd, MODE, mode, LIVECORE_MODE_HOLD));
	/* As much. */
	EXPECT_EQ(0, CONFIG_VALUE(fd, TIMEOUT_MS, timeout_ms, 5000));
	EXPECT_EQ(0, CONFIG_VALUE(fd, STALL_MS, stall_ms, 20000));
	EXPECT_EQ(0, CONFIG_VALUE(fd, CONTENTS, contents, LIVECORE_CONTENTS_REGISTERS));
	/* Neither is more than the other. */
	EXPECT_EQ(0, CONFIG_VALUE(fd, BLOCKED, blocked, 0));
	EXPECT_EQ(0, CONFIG_VALUE(fd, BLOCKED, blocked, 1));
	EXPECT_EQ(0, CONFIG_VALUE(fd, MODE, mode, LIVECORE_MODE_SNAPSHOT));
	/* Less. */
	EXPECT_EQ(0, CONFIG_VALUE(fd, TIMEOUT_MS, timeout_ms, 0));
	EXPECT_EQ(0, CONFIG_VALUE(fd, STALL_MS, stall_ms, 1000));
	/* Out of range is that for everybody. */
	EXPECT_EQ(-EINVAL, CONFIG_VALUE(fd, TIMEOUT_MS, timeout_ms, 60001));
	/* Where one is too much, nothing is taken. */
	config.set = LIVECORE_SET_STALL_MS | LIVECORE_SET_TIMEOUT_MS;
	config.stall_ms = 1000;
	config.timeout_ms = 5001;
	EXPECT_EQ(-EPERM, live_config(fd, &config));
	EXPECT_EQ(0, live_config(fd, &nothing_set));
	EXPECT_EQ(0, live_start(fd));
	return _metadata->exit_code;
}

CORE_TEST(sysctls_are_limits)
{
	struct target t;
	int fd;

	target_start(&t, "of_user", "1000");
	target_settle(&t);
	sysctl_set("livecore_enable", 2);
	sysctl_set("livecore_timeout_ms", 5000);
	sysctl_set("livecore_stall_ms", 20000);
	sysctl_set("livecore_contents", LIVECORE_CONTENTS_REGISTERS);
	sysctl_set("livecore_blocked", 0);
	sysctl_set("livecore_mode", LIVECORE_MODE_SNAPSHOT);
	EXPECT_EQ(0, as_a(limits_of_a, _metadata, t.pid));

	/* Not for who has CAP_SYS_PTRACE. */
	fd = live_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, CONFIG_VALUE(fd, TIMEOUT_MS, timeout_ms, 5001));
	EXPECT_EQ(0, CONFIG_VALUE(fd, STALL_MS, stall_ms, 20001));
	EXPECT_EQ(0, CONFIG_VALUE(fd, CONTENTS, contents, LIVECORE_CONTENTS_FULL));
	EXPECT_EQ(0, CONFIG_VALUE(fd, MODE, mode, LIVECORE_MODE_HOLD));
	close(fd);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

enum { OF_PROCESS = 0x0c, OF_SYSCTL = 0x06 };

/* Which mask A asks for is nobody's business; it gets no more than it would without. */
static int filters_of_a(struct __test_metadata *_metadata, int fd, pid_t pid)
{
	const uint32_t limit = (OF_PROCESS & OF_SYSCTL) | (FILTER_DEFAULT & ~OF_SYSCTL);

	close(fd);
	for (uint32_t mask = 0; mask < 0x80; mask++) {
		struct image image;
		uint32_t filter;

		/* Enough of them. */
		if (mask & (mask - 1) && mask != OF_PROCESS && mask != 0x7f)
			continue;
		fd = CHECK(live_open(pid));
		EXPECT_EQ(0, CONFIG_VALUE(fd, FILTER_MASK, filter_mask, mask));
		EXPECT_EQ(0, live_start(fd));
		ASSERT_EQ(0, image_read(&image, fd));
		filter = live_note(&image)->filter;
		EXPECT_EQ(0, filter & ~limit)
			TH_LOG("mask %#x gives %#x", mask, filter);
		EXPECT_EQ(((OF_PROCESS & mask) | (FILTER_DEFAULT & ~mask)) & limit, filter);
		image_free(&image);
		close(fd);
	}
	return _metadata->exit_code;
}

CORE_TEST(masks_take_away)
{
	struct target t;

	target_start(&t, "of_user", "1000");
	coredump_filter_set(t.pid, OF_PROCESS);
	sysctl_set("livecore_enable", 2);
	sysctl_set("livecore_filter_mask", OF_SYSCTL);
	EXPECT_EQ(0, as_a(filters_of_a, _metadata, t.pid));
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

/* What the configuration says counts, and not what the sysctls say. */
CORE_TEST(configured_dump)
{
	struct livecore_config config = {
		.size = sizeof(config),
		.set = LIVECORE_SET_CONTENTS | LIVECORE_SET_BLOCKED | LIVECORE_SET_TIMEOUT_MS,
		.contents = LIVECORE_CONTENTS_REGISTERS,
		.blocked = LIVECORE_BLOCKED_WAIT,
		.timeout_ms = 3000,
	};
	struct image image;
	struct target t;
	double begin;
	int fd;

	target_start(&t, "of_user", "0");
	target_settle(&t);
	begin = seconds_now();
	/* The sysctls say: everything, read in place, 60 seconds. */
	fd = live_dump(t.pid, &config);
	ASSERT_LE(0, fd);
	EXPECT_LE(3, seconds_now() - begin);
	EXPECT_GT(60, seconds_now() - begin);
	ASSERT_EQ(0, image_read(&image, fd));
	EXPECT_EQ(LIVECORE_THREAD_ZEROED, live_thread(&image, t.pid)->how);
	EXPECT_TRUE(registers_are_zeroed(image_thread(&image, t.pid)));
	EXPECT_EQ(LIVECORE_CONTENTS_REGISTERS, live_note(&image)->contents);
	for (size_t i = 0; i < image_nr_loads(&image); i++)
		EXPECT_EQ(0, image_load(&image, i)->p_filesz);
	image_free(&image);
	close(fd);

	/* The other way round. */
	sysctl_set("livecore_contents", LIVECORE_CONTENTS_REGISTERS);
	sysctl_set("livecore_blocked", 0);
	config.contents = LIVECORE_CONTENTS_FULL;
	config.blocked = LIVECORE_BLOCKED_IN_PLACE;
	config.timeout_ms = 60000;
	fd = live_dump(t.pid, &config);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, image_read(&image, fd));
	EXPECT_EQ(LIVECORE_THREAD_IN_PLACE, live_thread(&image, t.pid)->how);
	EXPECT_NE(NULL, image_at(&image, registers_of(image_thread(&image, t.pid)).rsp, 8));
	image_free(&image);
	close(fd);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

/* The bits that are taken from the process are those of both masks. */
CORE_TEST(configured_filter)
{
	struct livecore_config config = {
		.size = sizeof(config),
		.set = LIVECORE_SET_FILTER_MASK,
	};
	struct image image;
	struct target t;
	int fd;

	target_start(&t, "of_user", "0");
	coredump_filter_set(t.pid, 0xc);
	for (uint32_t mask = 0; mask < 0x80; mask = mask ? 2 * mask : 1) {
		config.filter_mask = mask;
		fd = live_dump(t.pid, &config);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, image_read(&image, fd));
		EXPECT_EQ((0xc & mask) | (FILTER_DEFAULT & ~mask), live_note(&image)->filter)
			TH_LOG("mask %#x", mask);
		image_free(&image);
		close(fd);
	}
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(configured_watchdog)
{
	struct livecore_config config = {
		.size = sizeof(config),
		.set = LIVECORE_SET_STALL_MS,
		.stall_ms = 1000,
	};
	struct livecore_info info;
	struct target t;
	char byte;
	int fd;

	target_start(&t, "of_user", "0");
	sysctl_set("livecore_stall_ms", NEVER_MS);
	/* Until opening takes less. */
	do
		fd = live_dump(t.pid, &config);
	while (fd == -ETIMEDOUT);
	ASSERT_LE(0, fd);
	EXPECT_TRUE(EVENTUALLY(live_info_of(fd).state == LIVECORE_STATE_ENDED));
	EXPECT_EQ(-1, read(fd, &byte, 1));
	EXPECT_EQ(ETIMEDOUT, errno);
	info = live_info_of(fd);
	EXPECT_EQ(ETIMEDOUT, info.error);
	EXPECT_LE(1000000000, info.held_ns);
	EXPECT_TRUE(target_runs(&t));
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

/* A descriptor that waits for long goes by the limits that there are when it starts. */
CORE_TEST(sysctls_are_those_of_start)
{
	struct image image;
	struct target t;
	int fd;

	target_start(&t, "of_user", "0");
	target_settle(&t);
	fd = live_open(t.pid);
	ASSERT_LE(0, fd);
	sysctl_set("livecore_contents", LIVECORE_CONTENTS_REGISTERS);
	EXPECT_EQ(0, live_start(fd));
	ASSERT_EQ(0, image_read(&image, fd));
	EXPECT_EQ(LIVECORE_CONTENTS_REGISTERS, live_note(&image)->contents);
	image_free(&image);
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
