/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of what nobody should do have in common: a directory for each,
 * the module put back, and a target that runs before and after.
 */
#ifndef LIVECORE_BAD_INPUT_H
#define LIVECORE_BAD_INPUT_H

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "frame.h"
#include "module.h"
#include "user.h"

enum {
	PAGE	= 4096,
	HEAP	= 64 * PAGE,
};

/* target_page.value[]: where the heap is. */
enum { MEMORY };

/* "user": becomes that user, or stays root for 0. */
TARGET(of_user)
{
	uid_t uid = atoi(self->argument);
	unsigned char *heap;

	if (uid)
		become_dumpable(uid);
	heap = CHECK_POINTER(mmap(NULL, HEAP, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	for (int i = 0; i < HEAP; i++)
		heap[i] = i * 7 + i / PAGE;
	self->page->value[MEMORY] = (uintptr_t)heap;
	target_spinners(self, 1);
	return target_serve(self);
}

FIXTURE(bad)
{
	struct sysctl_values sysctls;
	char directory[32];
};

FIXTURE_SETUP(bad)
{
	sysctl_prepare(&self->sysctls);
	strcpy(self->directory, "/tmp/livecore-XXXXXX");
	CHECK_POINTER(mkdtemp(self->directory));
	CHECK(chmod(self->directory, 0755));
}

FIXTURE_TEARDOWN_PARENT(bad)
{
	module_put_back();
	sysctl_restore(&self->sysctls);
	rmdir(self->directory);
}

#define BAD_TEST(name)	TEST_F_TIMEOUT(bad, name, CORE_TEST_SECONDS)

/* The errno of a call that has to fail, 0 if it does not. */
#define ERRNO(call)	((call) < 0 ? errno : 0)

static inline void begin(struct __test_metadata *_metadata, struct target *t, const char *user,
			 struct image *image)
{
	target_start(t, "of_user", user);
	target_settle(t);
	ASSERT_EQ(0, image_dump(image, t->pid));
}

static inline void end(struct __test_metadata *_metadata, struct target *t, struct image *image)
{
	if (image)
		image_free(image);
	EXPECT_TRUE(target_runs(t));
	EXPECT_EQ(0, target_finish(t));
}

static inline void entry_of(char *path, size_t size, pid_t pid, const char *name)
{
	snprintf(path, size, "/proc/%d/%s", pid, name);
}

#endif /* LIVECORE_BAD_INPUT_H */
