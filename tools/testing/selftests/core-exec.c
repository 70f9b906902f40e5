// SPDX-License-Identifier: GPL-2.0
/*
 * A thread that is in execve() when a dump opens leaves its old memory behind,
 * and the dump with it: the new program is neither held nor seen, least of all
 * one with more rights than the user who dumps.
 *
 * execve() is made to sleep where it copies its arguments: one of them is on a
 * page that is not there yet. Who has a ring runs task works in execve(), where
 * nobody must be held: there are locks.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "frame.h"
#include "held_fs.h"
#include "live.h"
#include "missing_page.h"
#include "registers.h"
#include "ring.h"
#include "user.h"

enum {
	PAGE		= 4096,
};

/* target_page.value[] */
enum { UFFD, ADDRESS, NEW_UID };

/* target_page.slot[] of the program that is executed. */
enum { NEW_PROGRAM = TARGET_SLOTS - 1 };

/* The program executed: counts, so that it can be seen running, until told. */
TARGET(new_program)
{
	struct target_slot *slot = &self->page->slot[NEW_PROGRAM];
	struct rlimit none = {};

	CHECK(setrlimit(RLIMIT_CORE, &none));
	STORE(self->page->value[NEW_UID], geteuid() + 1);
	while (!LOAD(self->page->stop))
		__atomic_add_fetch(&slot->counter, 1, __ATOMIC_SEQ_CST);
	return 7;
}

/* "user threads rings path": executes @path with the rights of that user. */
TARGET(executes)
{
	char path[128];
	char *arguments[5] = { "new", "--target", "new_program", NULL, NULL };
	struct missing_page page;
	int uid, threads, rings;
	struct ring ring;

	if (sscanf(self->argument, "%d %d %d %127s", &uid, &threads, &rings, path) != 4)
		FAIL("argument %s", self->argument);
	missing_page_create(&page);
	self->page->value[UFFD] = page.fd;
	self->page->value[ADDRESS] = (uint64_t)page.address;
	/* The new program inherits the page: see target_dispatch(). */
	arguments[3] = page.address;
	self->page->slot[0].nr = SYS_execve;
	target_spinners(self, threads);
	if (uid)
		become_dumpable(uid);
	if (rings) {
		ring_create(&ring, 0);
		ring_wait_for_itself(&ring);
	}
	target_event(self, 'R');
	syscall(SYS_execve, path, arguments, NULL);
	FAIL("execve %s: %s", path, strerror(errno));
}

/* What executes the program at the path that it is told. */
TARGET(executes_it)
{
	char *arguments[] = { "new", "--target", "new_program", "", NULL };

	target_event(self, 'R');
	target_command(self);
	syscall(SYS_execve, self->argument, arguments, NULL);
	FAIL("execve %s: %s", self->argument, strerror(errno));
}

/* Our own program, whose first page alone is to be had until it is told. */
TARGET(serves_it)
{
	int fd = CHECK(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
	struct stat st;
	char byte;

	CHECK(fstat(fd, &st));
	held_fs_contents(fd);
	held_fs_mount(self, self->argument, (st.st_size + PAGE - 1) / PAGE);
	fd = CHECK(open(self->argument, O_RDONLY | O_CLOEXEC));
	CHECK(read(fd, &byte, 1));
	close(fd);
	held_fs_pause(true);
	target_event(self, 'R');
	target_command(self);
	held_fs_pause(false);
	return target_serve(self);
}

FIXTURE(exec)
{
	struct sysctl_values sysctls;
	char directory[32];
	char program[64];
};

FIXTURE_VARIANT(exec)
{
	mode_t mode;		/* of the program */
	uid_t uid;		/* who executes it, and dumps */
	uid_t new_uid;		/* who it is afterwards */
	int threads;		/* that spin meanwhile */
	int rings;		/* that execve() cancels requests of */
};

FIXTURE_VARIANT_ADD(exec, plain)
{
	.mode = 0755,
};

FIXTURE_VARIANT_ADD(exec, plain_with_threads)
{
	.mode = 0755,
	.threads = 2,
};

FIXTURE_VARIANT_ADD(exec, setuid)
{
	.mode = 04755,
	.uid = USER_A,
};

FIXTURE_VARIANT_ADD(exec, setuid_with_threads)
{
	.mode = 04755,
	.uid = USER_A,
	.threads = 2,
};

FIXTURE_VARIANT_ADD(exec, plain_with_a_ring)
{
	.mode = 0755,
	.rings = 1,
};

FIXTURE_SETUP(exec)
{
	strcpy(self->directory, "/tmp/livecore-XXXXXX");
	CHECK_POINTER(mkdtemp(self->directory));
	CHECK(chmod(self->directory, 0755));
	/* Our own, for /tmp may be mounted nosuid. */
	CHECK(mount("tmpfs", self->directory, "tmpfs", 0, "mode=755"));
	snprintf(self->program, sizeof(self->program), "%s/program", self->directory);
	target_copy_program(self->program, 0, variant->mode);
	sysctl_prepare(&self->sysctls);
	sysctl_set("livecore_enable", 2);
	sysctl_set("livecore_stall_ms", NEVER_MS);
}

FIXTURE_TEARDOWN_PARENT(exec)
{
	sysctl_restore(&self->sysctls);
	umount2(self->directory, MNT_DETACH);
	rmdir(self->directory);
}

TEST_F_TIMEOUT(exec, not_held_and_not_seen, CORE_TEST_SECONDS)
{
	static char page[PAGE] = "";
	char argument[192], bytes[64];
	struct target_slot *new_slot;
	int fd, uffd, status;
	struct image image;
	struct target t;

	snprintf(argument, sizeof(argument), "%d %d %d %s", variant->uid, variant->threads,
		 variant->rings, self->program);
	target_start(&t, "executes", argument);
	new_slot = &t.page->slot[NEW_PROGRAM];
	target_settle(&t);
	uffd = target_take_fd(&t, t.page->value[UFFD]);
	fd = core_open_as(variant->uid, t.pid);
	ASSERT_LE(0, fd);
	/* Still the old program, whole. */
	ASSERT_EQ(0, image_read(&image, fd));
	EXPECT_EQ(1 + variant->threads, image.nr_threads);
	ASSERT_NE(NULL, image_thread(&image, t.pid));
	EXPECT_EQ(SYS_execve, ((const struct user_regs_struct *)
		  &image_thread(&image, t.pid)->prstatus->pr_reg)->orig_rax);
	image_free(&image);

	missing_page_supply(uffd, t.page->value[ADDRESS], page);
	/* With the dump open, the new program starts, runs, and ends. */
	EXPECT_TRUE(EVENTUALLY(LOAD(t.page->value[NEW_UID])));
	EXPECT_EQ(variant->new_uid + 1, LOAD(t.page->value[NEW_UID]));
	EXPECT_TRUE(EVENTUALLY(LOAD(new_slot->counter) > 1000));
	EXPECT_FALSE(thread_is_parked(t.pid, t.pid));
	for (off_t at = 0; at < 64 * PAGE; at += PAGE) {
		EXPECT_EQ(-1, pread(fd, bytes, sizeof(bytes), at));
		EXPECT_TRUE(errno == ESRCH || errno == ECANCELED)
			TH_LOG("errno %d", errno);
	}
	/* What it has become is for others to dump, and not in their way. */
	EXPECT_TRUE(!(variant->mode & 04000) || core_open_as(variant->uid, t.pid) == -EACCES);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	EXPECT_EQ(1, image.nr_threads);
	image_free(&image);

	STORE(t.page->stop, 1);
	status = target_dies_within(&t, EVENT_SECONDS);
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(7, WEXITSTATUS(status));
	EXPECT_EQ(-1, pread(fd, bytes, sizeof(bytes), 0));
	EXPECT_EQ(0, close(fd));
	close(uffd);
}

/* A dump of the old program, not closed and never read, is in nobody's way. */
TEST_F_TIMEOUT(exec, next_dump_is_its_own, CORE_TEST_SECONDS)
{
	static char page[PAGE] = "";
	int fd, next, uffd, status;
	char argument[192];
	struct target t;

	snprintf(argument, sizeof(argument), "%d %d %d %s", variant->uid, variant->threads,
		 variant->rings, self->program);
	target_start(&t, "executes", argument);
	target_settle(&t);
	uffd = target_take_fd(&t, t.page->value[UFFD]);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	missing_page_supply(uffd, t.page->value[ADDRESS], page);
	ASSERT_TRUE(EVENTUALLY(LOAD(t.page->slot[NEW_PROGRAM].counter) > 1000));
	next = core_open(t.pid);
	ASSERT_LE(0, next);
	ASSERT_TRUE(EVENTUALLY(thread_is_parked(t.pid, t.pid)));
	/* It is the one that such a signal ends. */
	CHECK(kill(t.pid, SIGABRT));
	status = target_dies_within(&t, EVENT_SECONDS);
	EXPECT_NE(-1, status);
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(-1, pread(next, page, sizeof(page), 0));
	EXPECT_TRUE(errno == ECANCELED || errno == ESRCH)
		TH_LOG("errno %d", errno);
	EXPECT_EQ(-1, pread(fd, page, sizeof(page), 0));
	EXPECT_EQ(ESRCH, errno);
	close(next);
	close(fd);
	close(uffd);
}

FIXTURE(served)
{
	struct sysctl_values sysctls;
	char path[32];
};

FIXTURE_SETUP(served)
{
	strcpy(self->path, "/tmp/livecore-XXXXXX");
	close(CHECK(mkstemp(self->path)));
	sysctl_prepare(&self->sysctls);
}

FIXTURE_TEARDOWN_PARENT(served)
{
	sysctl_restore(&self->sysctls);
	umount2(self->path, MNT_DETACH);
	unlink(self->path);
}

static bool executes(pid_t pid, const char *path)
{
	char link[32], program[64] = "";

	snprintf(link, sizeof(link), "/proc/%d/exe", pid);
	return readlink(link, program, sizeof(program) - 1) > 0 && !strcmp(program, path);
}

/*
 * The new memory is there, and what clears the end of its data sleeps; in the
 * registers is still what the program before had, which is nobody's to see.
 */
TEST_F_TIMEOUT(served, between_two_programs, CORE_TEST_SECONDS)
{
	/* Its memory is not to be had yet. */
	const struct livecore_config config = {
		.size = sizeof(config),
		.set = LIVECORE_SET_CONTENTS,
		.contents = LIVECORE_CONTENTS_REGISTERS,
	};
	const struct livecore_note_thread *thread;
	struct target t, server;
	struct image image;
	int fd;

	sysctl_set("livecore_timeout_ms", 1000);
	target_start(&server, "serves_it", self->path);
	target_start(&t, "executes_it", self->path);
	target_send(&t, 'x');
	ASSERT_TRUE(EVENTUALLY(executes(t.pid, self->path) && thread_state(t.pid, t.pid) != 'R'));
	fd = live_dump(t.pid, &config);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, image_read(&image, fd));
	close(fd);
	thread = live_thread(&image, t.pid);
	ASSERT_NE(NULL, thread);
	EXPECT_EQ(LIVECORE_THREAD_ZEROED, thread->how);
	EXPECT_TRUE(registers_are_zeroed(image_thread(&image, t.pid)));
	image_free(&image);

	target_send(&server, 'c');
	target_expect(&server, 'R');
	sysctl_set("livecore_timeout_ms", 60000);
	ASSERT_TRUE(EVENTUALLY(LOAD(t.page->slot[NEW_PROGRAM].counter) > 1000));
	ASSERT_EQ(0, image_dump(&image, t.pid));
	thread = live_thread(&image, t.pid);
	ASSERT_NE(NULL, thread);
	EXPECT_EQ(LIVECORE_THREAD_PARKED, thread->how);
	image_free(&image);
	STORE(t.page->stop, 1);
	EXPECT_EQ(7, WEXITSTATUS(target_dies_within(&t, EVENT_SECONDS)));
	EXPECT_EQ(0, target_finish(&server));
}

CORE_TEST_MAIN
