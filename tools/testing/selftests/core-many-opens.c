// SPDX-License-Identifier: GPL-2.0
/*
 * Thousands of dumps, one after the other, leave nothing behind: no memory of
 * the kernel's, nor anything that counts. And what many of them take while they
 * are open, started or not, is charged to whoever has opened them.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "cgroup.h"
#include "frame.h"
#include "kernel_memory.h"
#include "live.h"
#include "module.h"
#include "tally.h"

enum {
	OPENS		= 500,		/* of each kind */
	WARM_UP		= 50,
	LOADS		= 16,		/* of the module */
	WARM_UP_LOADS	= 3,
	IDLE		= 400,		/* at a time */
	HELD		= 400,		/* processes, at a time */
	MAX_CACHES	= 512,
	/* What others may allocate meanwhile, and what is counted late. */
	NOISE		= 2 << 20,
	/* The same while one process alone does little. */
	LITTLE_NOISE	= 512 << 10,
	/* What one load leaves, deliberately. */
	BLOCK		= 4096,
	/* Of a process that has one thread and few mappings. */
	MAX_PER_DUMP	= 32 << 10,
	/* What the kernel needs to know of pages in a row, and what others have taken. */
	MAX_UNCHARGED	= 384,
	MAX_IDLE_UNCHARGED = 100,
};

TARGET(idle)
{
	return target_serve(self);
}

FIXTURE(opens)
{
	struct sysctl_values sysctls;
};

FIXTURE_SETUP(opens)
{
	struct rlimit files = { 4096, 4096 };

	sysctl_prepare(&self->sysctls);
	CHECK(setrlimit(RLIMIT_NOFILE, &files));
	cgroup_create("+memory");
}

FIXTURE_TEARDOWN_PARENT(opens)
{
	module_put_back();
	sysctl_restore(&self->sysctls);
	cgroup_destroy();
}

#define OPENS_TEST(name)	TEST_F_TIMEOUT(opens, name, 24 * 3600)

/* How many objects each of the kernel's caches has. */
struct caches {
	size_t count;
	struct cache {
		char name[64];
		unsigned long objects;
		unsigned long size;
	} cache[MAX_CACHES];
};

static void caches_now(struct caches *caches)
{
	char *text = proc_text("slabinfo");
	char *rest = text, *line;

	caches->count = 0;
	if (!text)
		FAIL("/proc/slabinfo: %s", strerror(errno));
	while ((line = strsep(&rest, "\n")) && caches->count < MAX_CACHES) {
		struct cache *cache = &caches->cache[caches->count];

		if (sscanf(line, "%63s %lu %*u %lu", cache->name, &cache->objects,
			   &cache->size) == 3)
			caches->count++;
	}
	free(text);
	if (!caches->count)
		FAIL("/proc/slabinfo tells of no cache");
}

static unsigned long objects_of(const struct caches *caches, const char *name)
{
	for (size_t i = 0; i < caches->count; i++)
		if (!strcmp(caches->cache[i].name, name))
			return caches->cache[i].objects;
	return 0;
}

/* Those that are charged to nobody. */
static bool is_uncharged(const char *name)
{
	return !strncmp(name, "kmalloc-", 8) && !strstr(name, "-cg-");
}

/* How many caches have grown by as much as @objects; says which, if @tell. */
static int caches_grown(const struct caches *before, unsigned long objects, bool tell)
{
	static struct caches now;
	int grown = 0;

	caches_now(&now);
	for (size_t i = 0; i < now.count; i++) {
		const struct cache *cache = &now.cache[i];
		unsigned long former = objects_of(before, cache->name);

		/* Given back many at a time, and late. */
		if (cache->objects < former + objects || !strcmp(cache->name, "vmap_area"))
			continue;
		if (tell)
			fprintf(stderr, "# %s has %lu objects of %lu bytes, and had %lu\n",
				cache->name, cache->objects, cache->size, former);
		grown++;
	}
	return grown;
}

/* By how much those have grown that are charged to nobody, in bytes. */
static unsigned long uncharged_bytes(const struct caches *before)
{
	static struct caches now;
	unsigned long bytes = 0;

	caches_now(&now);
	for (size_t i = 0; i < now.count; i++) {
		const struct cache *cache = &now.cache[i];
		unsigned long former = objects_of(before, cache->name);

		if (is_uncharged(cache->name) && cache->objects > former)
			bytes += (cache->objects - former) * cache->size;
	}
	return bytes;
}

/* One dump, to the end, of each kind. */
static void open_each(pid_t pid, unsigned long round)
{
	struct livecore_config config = {
		.size = sizeof(config),
		.set = LIVECORE_SET_MODE | LIVECORE_SET_CONTENTS,
		.mode = round % 2 ? LIVECORE_MODE_HOLD : LIVECORE_MODE_SNAPSHOT,
		.contents = round % 3,
	};
	char byte;
	int fd;

	fd = CHECK(core_open(pid));
	CHECK(read(fd, &byte, 1));
	/* Refused, by what comes last. */
	if (core_open(pid) != -EBUSY)
		FAIL("not busy");
	close(fd);
	fd = CHECK(live_open(pid));
	CHECK_ZERO(live_config(fd, &config));
	CHECK_ZERO(live_start(fd));
	close(fd);
	/* Never started. */
	fd = CHECK(live_open(pid));
	CHECK_ZERO(live_config(fd, &config));
	close(fd);
}

OPENS_TEST(leave_nothing)
{
	static struct caches before;
	unsigned long opens = rounds(OPENS);
	unsigned long charged;
	struct target t;
	long memory;

	target_start(&t, "idle", NULL);
	target_settle(&t);
	cgroup_enter();
	for (unsigned long i = 0; i < WARM_UP; i++)
		open_each(t.pid, i);
	charged = cgroup_kernel_bytes();
	memory = kernel_memory();
	caches_now(&before);
	for (unsigned long i = 0; i < opens; i++)
		open_each(t.pid, i);
	tally("dumps", 2 * opens);
	/*
	 * Each kind has allocated more than one object of everything for every open.
	 * Some of it is given back after a grace period, or by a work.
	 */
	EXPECT_TRUE(EVENTUALLY(!caches_grown(&before, opens / 2, false)) ||
		    !caches_grown(&before, opens / 2, true));
	EXPECT_TRUE(EVENTUALLY(kernel_memory_is_below(memory + NOISE)))
		TH_LOG("%ld bytes, before %ld", kernel_memory(), memory);
	EXPECT_TRUE(EVENTUALLY(cgroup_kernel_bytes() < charged + NOISE));
	EXPECT_EQ(0, target_finish(&t));
	EXPECT_TRUE(module_unloads());
	EXPECT_EQ(0, module_load());
}

/* Nor do loads of the module, but for a block each. */
OPENS_TEST(loads_leave_a_block)
{
	struct target t;
	long memory = 0;

	target_start(&t, "idle", NULL);
	target_settle(&t);
	for (int load = 0; load < WARM_UP_LOADS + LOADS; load++) {
		if (load == WARM_UP_LOADS)
			memory = kernel_memory();
		open_each(t.pid, load);
		ASSERT_TRUE(module_unloads());
		ASSERT_EQ(0, module_load());
		sysctl_set("livecore_enable", 1);
		sysctl_set("livecore_timeout_ms", 60000);
	}
	EXPECT_TRUE(EVENTUALLY(kernel_memory_is_below(memory + LITTLE_NOISE + BLOCK * LOADS)))
		TH_LOG("%ld bytes, before %ld", kernel_memory(), memory);
	EXPECT_EQ(0, target_finish(&t));
}

/* As many as anybody wants, before they are started: no limit is on them but this. */
OPENS_TEST(never_started)
{
	static struct caches before;
	static int fd[IDLE];
	unsigned long charged, uncharged;
	struct target t;

	target_start(&t, "idle", NULL);
	target_settle(&t);
	cgroup_enter();
	for (unsigned long i = 0; i < WARM_UP; i++)
		close(CHECK(live_open(t.pid)));
	charged = cgroup_kernel_bytes();
	caches_now(&before);
	for (int i = 0; i < IDLE; i++)
		fd[i] = CHECK(live_open(t.pid));
	uncharged = uncharged_bytes(&before);
	charged = cgroup_kernel_bytes() - charged;
	fprintf(stderr, "# for each that is not started: %lu bytes, and %lu charged to nobody\n",
		charged / IDLE, uncharged / IDLE);
	/* Their files alone are 200 bytes each; counted late, 64 pages on each CPU. */
	EXPECT_LT(IDLE * 200UL / 2, charged);
	EXPECT_GT((unsigned long)IDLE * MAX_PER_DUMP, charged);
	EXPECT_GT((unsigned long)IDLE * MAX_IDLE_UNCHARGED, uncharged);
	for (int i = 0; i < IDLE; i++)
		close(fd[i]);
	EXPECT_EQ(0, target_finish(&t));
}

static pid_t sleeper(void)
{
	pid_t child;

	fflush(NULL);
	child = CHECK(fork());
	if (!child) {
		CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL));
		for (;;)
			syscall(SYS_pause);
	}
	return child;
}

OPENS_TEST(held_at_once)
{
	static struct caches before;
	static pid_t pid[HELD];
	static int fd[HELD];
	unsigned long charged, uncharged;

	for (int i = 0; i < HELD; i++)
		pid[i] = sleeper();
	for (int i = 0; i < HELD; i++)
		ASSERT_TRUE(EVENTUALLY(thread_sleeps_in(pid[i], pid[i], SYS_pause)));
	cgroup_enter();
	for (int mode = LIVECORE_MODE_HOLD; mode <= LIVECORE_MODE_SNAPSHOT; mode++) {
		sysctl_set("livecore_mode", mode);
		for (int i = 0; i < HELD; i++)
			close(CHECK(core_open(pid[i])));
		charged = cgroup_kernel_bytes();
		caches_now(&before);
		for (int i = 0; i < HELD; i++)
			fd[i] = CHECK(core_open(pid[i]));
		uncharged = uncharged_bytes(&before);
		charged = cgroup_kernel_bytes() - charged;
		fprintf(stderr, "# for each that is %s: %lu bytes, and %lu charged to nobody\n",
			mode == LIVECORE_MODE_HOLD ? "held" : "a copy", charged / HELD,
			uncharged / HELD);
		/* A copy has page tables, too, and what the kernel has for any mm. */
		EXPECT_GT((unsigned long)HELD * MAX_PER_DUMP * (1 + 3 * mode), charged);
		EXPECT_LT(HELD * 1024UL, charged);
		EXPECT_TRUE(mode || (unsigned long)HELD * MAX_UNCHARGED > uncharged);
		for (int i = 0; i < HELD; i++)
			close(fd[i]);
	}
	for (int i = 0; i < HELD; i++) {
		CHECK(kill(pid[i], SIGKILL));
		CHECK(waitpid(pid[i], NULL, 0));
	}
}

CORE_TEST_MAIN
