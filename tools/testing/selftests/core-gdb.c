// SPDX-License-Identifier: GPL-2.0
/*
 * Leaves a core for the debuggers that judge it (tools/testing/judges), with
 * the truth next to it: in $RESULTS/gdb are the program, the core, auxv and
 * maps as they were in /proc, and the call chain and registers per thread.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "fixture.h"

/* Each function its own frame, and no other name than its own. */
#define noinline	__attribute__((__noinline__, __noclone__))

enum {
	CHAINS		= 20,

	MXCSR_DEFAULT	= 0x1f80,
	MXCSR_ROUNDING	= 13,
};

struct chain {
	struct target_slot *slot;
	unsigned char ymm0[32];
	long st0;
	unsigned int mxcsr;
	int fd;
	int number;
};

static struct chain chains[CHAINS];
static uint32_t *stop;

/* What the ABI wants of the floating point when a function returns. */
#define FP_PUT_BACK	"fninit\n\tldmxcsr default_mxcsr(%%rip)"

static const unsigned int __attribute__((used))
default_mxcsr asm("default_mxcsr") = MXCSR_DEFAULT;

static __always_inline void spin_here(struct chain *chain)
{
	asm volatile("fildq %3\n\t"
		     "ldmxcsr %4\n\t"
		     "vmovdqu %2, %%ymm0\n"
		     "1: incq %0\n\t"
		     "cmpl $0, %1\n\t"
		     "je 1b\n\t"
		     FP_PUT_BACK
		     : "+m" (chain->slot->counter)
		     : "m" (*stop), "m" (chain->ymm0), "m" (chain->st0), "m" (chain->mxcsr)
		     : "xmm0", "memory", "cc");
}

static __always_inline void sleep_here(struct chain *chain)
{
	long result;
	char byte;

	asm volatile("fildq %6\n\t"
		     "ldmxcsr %7\n\t"
		     "vmovdqu %5, %%ymm0\n\t"
		     "syscall\n\t"
		     FP_PUT_BACK
		     : "=a" (result)
		     : "0" (SYS_read), "D" ((long)chain->fd), "S" (&byte), "d" (1L),
		       "m" (chain->ymm0), "m" (chain->st0), "m" (chain->mxcsr)
		     : "xmm0", "rcx", "r11", "memory", "cc");
	STORE(chain->slot->result, result);
}

/*
 * Three functions of its own for every thread. What they do after the call
 * keeps the compiler from leaving their frames out.
 */
#define CHAIN(n, stay)							\
static noinline int				\
chain_##n##_inner(struct chain *chain)					\
{									\
	stay(chain);							\
	return n;							\
}									\
									\
static noinline int				\
chain_##n##_middle(struct chain *chain)					\
{									\
	int value = chain_##n##_inner(chain);				\
									\
	asm volatile("" : "+r" (value));				\
	return value + 1;						\
}									\
									\
static noinline int				\
chain_##n##_outer(struct chain *chain)					\
{									\
	int value = chain_##n##_middle(chain);				\
									\
	asm volatile("" : "+r" (value));				\
	return value + 1;						\
}

CHAIN(0, spin_here)
CHAIN(1, sleep_here)
CHAIN(2, sleep_here)
CHAIN(3, sleep_here)
CHAIN(4, sleep_here)
CHAIN(5, sleep_here)
CHAIN(6, spin_here)
CHAIN(7, sleep_here)
CHAIN(8, sleep_here)
CHAIN(9, sleep_here)
CHAIN(10, sleep_here)
CHAIN(11, sleep_here)
CHAIN(12, spin_here)
CHAIN(13, sleep_here)
CHAIN(14, sleep_here)
CHAIN(15, sleep_here)
CHAIN(16, sleep_here)
CHAIN(17, sleep_here)
CHAIN(18, spin_here)
CHAIN(19, sleep_here)

static int (* const outer[CHAINS])(struct chain *chain) = {
	chain_0_outer, chain_1_outer, chain_2_outer, chain_3_outer, chain_4_outer,
	chain_5_outer, chain_6_outer, chain_7_outer, chain_8_outer, chain_9_outer,
	chain_10_outer, chain_11_outer, chain_12_outer, chain_13_outer, chain_14_outer,
	chain_15_outer, chain_16_outer, chain_17_outer, chain_18_outer, chain_19_outer,
};

static bool spins(int n)
{
	return n % 6 == 0;
}

/* No two threads have the same values; of the rounding, there are but four kinds. */
static void values_of(int n, struct chain *chain)
{
	for (int i = 0; i < 32; i++)
		chain->ymm0[i] = 13 * n + 5 * i + 1;
	chain->st0 = 1000003 * (n + 1);
	chain->mxcsr = MXCSR_DEFAULT | (n % 4) << MXCSR_ROUNDING;
}

static void *run_chain(void *argument)
{
	struct target_slot *slot = argument;
	struct chain *chain = chains;

	while (chain->slot != slot)
		chain++;
	STORE(slot->tid, gettid());
	outer[chain->number](chain);
	return NULL;
}

TARGET(chains)
{
	int ends[2];

	stop = &self->page->stop;
	CHECK(pipe2(ends, O_CLOEXEC));
	for (int n = 0; n < CHAINS; n++) {
		struct chain *chain = &chains[n];

		chain->number = n;
		chain->fd = ends[0];
		values_of(n, chain);
		chain->slot = target_slot(self);
		chain->slot->nr = spins(n) ? SPINS : SYS_read;
		target_thread(chain->slot, run_chain);
	}
	return target_serve(self);
}

/* Where the judges look: made anew. */
static void make_folder(char *folder, size_t size)
{
	const char *results = getenv("RESULTS");

	if (!results)
		FAIL("RESULTS does not say where the core is to go");
	snprintf(folder, size, "%s/gdb", results);
	if (mkdir(folder, 0755) && errno != EEXIST)
		FAIL("mkdir %s: %s", folder, strerror(errno));
}

static FILE *create(const char *folder, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return CHECK_POINTER(fopen(path, "we"));
}

/* A file of /proc/@pid, as it is. */
static void keep(const char *folder, pid_t pid, const char *name)
{
	FILE *to = create(folder, name);
	unsigned char bytes[4096];
	char path[64];
	ssize_t got;
	int from;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	from = CHECK(open(path, O_RDONLY | O_CLOEXEC));
	while ((got = CHECK(read(from, bytes, sizeof(bytes)))))
		CHECK(fwrite(bytes, 1, got, to) == (size_t)got ? 0 : -1);
	close(from);
	CHECK(fclose(to));
}

/* tid, the innermost function first, the bytes of ymm0, st0, mxcsr. */
static void keep_threads(const char *folder, const struct target *t)
{
	FILE *to = create(folder, "threads");

	for (int n = 0; n < CHAINS; n++) {
		struct chain chain;

		values_of(n, &chain);
		fprintf(to, "%d chain_%d_inner chain_%d_middle chain_%d_outer ",
			t->page->slot[1 + n].tid, n, n, n);
		for (int i = 0; i < 32; i++)
			fprintf(to, "%02x", chain.ymm0[i]);
		fprintf(to, " %ld %x\n", chain.st0, chain.mxcsr);
	}
	fprintf(to, "%d\n", t->pid);
	CHECK(fclose(to));
}

static void keep_core(const char *folder, const struct image *image)
{
	FILE *to = create(folder, "core");

	CHECK(fwrite(image->data, 1, image->size, to) == image->size ? 0 : -1);
	CHECK(fclose(to));
}

CORE_TEST(leaves_a_core)
{
	const char *before;
	struct image image;
	char folder[256];
	struct target t;

	if (!__builtin_cpu_supports("avx"))
		SKIP(return, "a CPU without AVX");
	make_folder(folder, sizeof(folder));
	target_start(&t, "chains", NULL);
	target_settle(&t);
	before = fingerprint(t.pid);
	keep(folder, t.pid, "exe");
	keep(folder, t.pid, "auxv");
	keep(folder, t.pid, "maps");
	keep_threads(folder, &t);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	EXPECT_EQ(1 + CHAINS, image.nr_threads);
	keep_core(folder, &image);
	image_free(&image);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
