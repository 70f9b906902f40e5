// SPDX-License-Identifier: GPL-2.0
/*
 * Proc mounted anew, its entries mounted elsewhere, and other things over them:
 * `core` is that of its process wherever it is, and opens for whom it is to.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#include "bad_input.h"

/* Is the heap in what was dumped as it was in the first dump? */
static bool same_heap(struct target *t, const struct image *a, const struct image *b)
{
	const void *heap_a = image_at(a, t->page->value[MEMORY], HEAP);
	const void *heap_b = image_at(b, t->page->value[MEMORY], HEAP);

	return heap_a && heap_b && !memcmp(heap_a, heap_b, HEAP);
}

static void own_mounts(void)
{
	CHECK(unshare(CLONE_NEWNS));
	CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

/*
 * Another process's mem or core, another file of its own, a device over mem: it is
 * not that which decides, and nothing of it is taken for an address space.
 */
BAD_TEST(something_mounted_over_mem)
{
	char mem[64], others[4][64];
	struct target a, b;

	sysctl_set("livecore_enable", 2);
	target_start(&a, "of_user", "1001");
	target_start(&b, "of_user", "1000");
	own_mounts();
	entry_of(mem, sizeof(mem), a.pid, "mem");
	entry_of(others[0], sizeof(others[0]), b.pid, "mem");
	entry_of(others[1], sizeof(others[1]), b.pid, "core");
	entry_of(others[2], sizeof(others[2]), a.pid, "maps");
	strcpy(others[3], "/dev/zero");
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		CHECK(mount(others[i], mem, NULL, MS_BIND, NULL));
		/* A may open what is mounted there, and not what is below. */
		EXPECT_EQ(EACCES, open_outcome_of(become_a, a.pid, "core"))
			TH_LOG("%s", others[i]);
		/* Not even root is told of another process than it has asked for. */
		EXPECT_EQ(EACCES, open_outcome_of(become_root, a.pid, "core"))
			TH_LOG("%s", others[i]);
		CHECK(umount(mem));
		EXPECT_EQ(0, open_outcome_of(become_root, a.pid, "core"));
		EXPECT_TRUE(target_runs(&a));
		EXPECT_TRUE(target_runs(&b));
	}
	EXPECT_EQ(0, target_finish(&a));
	EXPECT_EQ(0, target_finish(&b));
}

/* `core` of a process bound to another place is that, also where it is read-only. */
BAD_TEST(entry_mounted_elsewhere)
{
	char core[64], elsewhere[64];
	struct image image, bound;
	struct target t;
	int fd;

	begin(_metadata, &t, "0", &image);
	own_mounts();
	entry_of(core, sizeof(core), t.pid, "core");
	snprintf(elsewhere, sizeof(elsewhere), "%s/core", self->directory);
	close(CHECK(open(elsewhere, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)));
	CHECK(mount(core, elsewhere, NULL, MS_BIND, NULL));
	fd = open(elsewhere, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_EQ(EBUSY, ERRNO(open(core, O_RDONLY | O_CLOEXEC)));
	ASSERT_EQ(0, image_read(&bound, fd));
	EXPECT_TRUE(same_heap(&t, &image, &bound));
	image_free(&bound);
	close(fd);
	close(CHECK(open(elsewhere, O_RDWR | O_CLOEXEC)));
	CHECK(mount(NULL, elsewhere, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
	EXPECT_EQ(EROFS, ERRNO(open(elsewhere, O_RDWR | O_CLOEXEC)));
	close(CHECK(open(elsewhere, O_RDONLY | O_CLOEXEC)));
	/* The process may go, and its entry with it. */
	end(_metadata, &t, &image);
	EXPECT_EQ(ESRCH, ERRNO(open(elsewhere, O_RDONLY | O_CLOEXEC)));
	CHECK(umount(elsewhere));
	CHECK(unlink(elsewhere));
}

/* What is mounted over `core` is that, and below it everything goes on. */
BAD_TEST(something_mounted_over_the_entry)
{
	char core[64], bytes[4];
	struct image image;
	struct target t;
	int fd, held;

	begin(_metadata, &t, "0", &image);
	own_mounts();
	entry_of(core, sizeof(core), t.pid, "core");
	held = core_open(t.pid);
	ASSERT_LE(0, held);
	CHECK(mount("/dev/zero", core, NULL, MS_BIND, NULL));
	fd = open(core, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_EQ(4, read(fd, bytes, 4));
	EXPECT_EQ(0, bytes[0]);
	close(fd);
	EXPECT_EQ(4, read(held, bytes, 4));
	EXPECT_EQ(0, memcmp(bytes, ELFMAG, 4));
	close(held);
	EXPECT_TRUE(target_runs(&t));
	/* A mount on an entry that goes away with its module. */
	ASSERT_TRUE(module_unloads());
	ASSERT_EQ(0, module_load());
	sysctl_set("livecore_enable", 1);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(4, read(fd, bytes, 4));
	EXPECT_EQ(0, memcmp(bytes, ELFMAG, 4));
	close(fd);
	umount2(core, MNT_DETACH);
	end(_metadata, &t, &image);
}

static int dump_by(const char *proc, pid_t pid, struct image *image)
{
	char path[96];
	int fd, error;

	snprintf(path, sizeof(path), "%s/%d/core", proc, pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	error = image_read(image, fd);
	close(fd);
	return error;
}

/* Each has an entry of its own, of one and the same process. */
BAD_TEST(mounted_with_options)
{
	static const char * const options[] = {
		"", "subset=pid", "hidepid=invisible", "hidepid=ptraceable", "hidepid=noaccess",
		"subset=pid,hidepid=ptraceable",
	};
	struct image image, other;
	struct target t;
	char path[96];
	int fd;

	begin(_metadata, &t, "1000", &image);
	own_mounts();
	sysctl_set("livecore_enable", 2);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		bool hides = strstr(options[i], "hidepid");
		bool all = !strstr(options[i], "subset");

		CHECK(mount("proc", self->directory, "proc", 0, options[i]));
		ASSERT_EQ(0, dump_by(self->directory, t.pid, &other))
			TH_LOG("%s", options[i]);
		EXPECT_TRUE(same_heap(&t, &image, &other));
		image_free(&other);
		snprintf(path, sizeof(path), "%s/%d/core", self->directory, t.pid);
		EXPECT_EQ(0, open_outcome(become_a, path));
		if (hides) {
			int error = open_outcome(become_b, path);

			EXPECT_TRUE(error == ENOENT || error == EPERM || error == EACCES)
				TH_LOG("%s: %d", options[i], error);
		} else {
			EXPECT_EQ(EACCES, open_outcome(become_b, path));
		}
		/* There are none of the other files. */
		snprintf(path, sizeof(path), "%s/livecore", self->directory);
		EXPECT_EQ(all ? 0 : ENOENT, ERRNO(open(path, O_RDONLY | O_CLOEXEC)));
		/* A dump by one is seen by the other. */
		snprintf(path, sizeof(path), "%s/%d/core", self->directory, t.pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		ASSERT_LE(0, fd);
		EXPECT_EQ(-EBUSY, core_open(t.pid));
		close(fd);
		CHECK(umount2(self->directory, MNT_DETACH));
	}
	end(_metadata, &t, &image);
}

/* In a pid namespace of its own: what its proc shows, by the numbers that it has there. */
static int dump_in_namespace(const char *directory, pid_t outside)
{
	struct image image, none;
	pid_t child;
	int error;

	CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL));
	CHECK(mount("proc", directory, "proc", 0, NULL));
	child = CHECK(fork());
	if (!child) {
		CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL));
		pause();
	}
	error = dump_by(directory, child, &image);
	if (!error && (image.nr_threads != 1 || image.threads[0].tid != child))
		error = 1;
	/* Those outside do not exist. */
	if (!error && dump_by(directory, outside, &none) != -ENOENT)
		error = 2;
	CHECK(kill(child, SIGKILL));
	CHECK(waitpid(child, NULL, 0));
	umount2(directory, MNT_DETACH);
	return error < 0 ? -error : error;
}

BAD_TEST(proc_of_another_namespace)
{
	pid_t outside = getpid(), child = CHECK(fork());
	int status;

	if (!child) {
		CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL));
		CHECK(unshare(CLONE_NEWPID));
		own_mounts();
		child = CHECK(fork());
		if (!child)
			_exit(dump_in_namespace(self->directory, outside));
		CHECK(waitpid(child, &status, 0));
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 255);
	}
	CHECK(waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
}

CORE_TEST_MAIN
