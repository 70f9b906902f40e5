// SPDX-License-Identifier: GPL-2.0
/*
 * What is dumped in both classes: a program of its own, built with -m32 and
 * with -m64 (see known.h). Its memory is of every kind, and nothing in it
 * changes by itself.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include "check.h"
#include "known.h"
#include "proc.h"
#include "regions.h"
#include "target.h"

#ifdef __x86_64__
/* The arguments of a system call, and its number; the fourth is r10. */
static const int call_registers[] = { KNOWN_RDI, KNOWN_RSI, KNOWN_RDX, KNOWN_R10 };
enum { NUMBER = KNOWN_RAX };
#else
static const int call_registers[] = { KNOWN_EBX, KNOWN_ECX, KNOWN_EDX, KNOWN_ESI };
enum { NUMBER = KNOWN_EAX };
#endif

/* With 32 bits the calls of the plain names take ids of 16. */
#ifdef SYS_setresuid32
#undef SYS_setresuid
#undef SYS_setresgid
#define SYS_setresuid	SYS_setresuid32
#define SYS_setresgid	SYS_setresgid32
#endif

/* And those of times of 32 bits, which not every kernel has. */
#ifdef SYS_futex_time64
#undef SYS_futex
#undef SYS_clock_nanosleep
#undef SYS_rt_sigtimedwait
#define SYS_futex		SYS_futex_time64
#define SYS_clock_nanosleep	SYS_clock_nanosleep_time64
#define SYS_rt_sigtimedwait	SYS_rt_sigtimedwait_time64
#endif

enum { PAGE = 4096, HUGE = 2 << 20 };

static struct known known[KNOWN_THREADS];
static struct target_slot *slots[KNOWN_THREADS];
static struct { int64_t seconds, nanoseconds; } day = { .seconds = 86400 };
static uint64_t awaited = UINT64_C(1) << (SIGUSR2 - 1);
static int silent[2];
static uint32_t word;
static char byte;

static void set_call(struct known *k, int32_t nr, long a, long b, long c, long d)
{
	const long arguments[] = { a, b, c, d };

	k->reg[NUMBER] = nr;
	for (int i = 0; i < 4; i++)
		k->reg[call_registers[i]] = arguments[i];
}

/* The system call that each of them sleeps in. */
static int32_t prepare(enum known_thread n)
{
	struct known *k = &known[n];

	known_fill(k, n);
	switch (n) {
	case KNOWN_READS:
	case KNOWN_READS_WITH_IOPERM:
		set_call(k, SYS_read, silent[0], (long)&byte, 1, 0x1234);
		return SYS_read;
	case KNOWN_WAITS_FOR_FUTEX:
		set_call(k, SYS_futex, (long)&word, FUTEX_WAIT_PRIVATE, 0, 0);
		return SYS_futex;
	case KNOWN_SLEEPS:
		set_call(k, SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, (long)&day, 0);
		return SYS_clock_nanosleep;
	case KNOWN_WAITS_FOR_SIGNAL:
		set_call(k, SYS_rt_sigtimedwait, (long)&awaited, 0, 0, 8);
		return SYS_rt_sigtimedwait;
	case KNOWN_PAUSES:
		set_call(k, SYS_pause, 0, 0, 0, 0);
		return SYS_pause;
	default:
		return SPINS;
	}
}

/* Protection keys, where the CPU has them: those that nobody uses. */
static void set_pkru(unsigned int value)
{
	unsigned int eax, ebx, ecx = 0, edx;

	if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && ecx & bit_OSPKE)
		asm volatile(".byte 0x0f, 0x01, 0xef" : : "a" (value), "c" (0), "d" (0));
}

static void *stay(void *argument)
{
	enum known_thread n = 0;

	while (slots[n] != argument)
		n++;
	if (n == KNOWN_READS_WITH_IOPERM)
		CHECK(ioperm(KNOWN_PORT, 1, 1));
	set_pkru(0x55555554 ^ (n + 1) << 8);
	STORE(slots[n]->tid, gettid());
	if (known_spins(n))
		known_spin(&known[n]);
	else
		known_call(&known[n]);
	return NULL;
}

/* Of hugetlbfs; one page is not touched. */
static void make_huge_pages(int sharing)
{
	memset(CHECK_POINTER(mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE,
				  sharing | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0)), 0x5a, HUGE);
}

static void make_memfd_with_holes(void)
{
	int fd = CHECK(memfd_create("known", MFD_CLOEXEC));
	unsigned char *bytes;

	CHECK(ftruncate(fd, 16 * PAGE));
	bytes = CHECK_POINTER(mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	for (int page = 0; page < 16; page += 3)
		memset(bytes + page * PAGE, 0xa0 + page, PAGE);
}

static void set_filter(const char *filter)
{
	int fd = CHECK(open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC));

	CHECK(write(fd, filter, strlen(filter)));
	close(fd);
}

/*
 * The leader alone, whose ids are those of the process; by the calls themselves,
 * for glibc tells every thread, and that wakes them.
 */
static void become_somebody(void)
{
	long uid = KNOWN_UID, gid = KNOWN_GID;

	CHECK(syscall(SYS_setresgid, gid, gid, gid));
	CHECK(syscall(SYS_setresuid, uid, uid, uid));
	CHECK(prctl(PR_SET_DUMPABLE, 1));
	CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL));
}

static void serve(void *argument)
{
	struct target_self *self = argument;
	uint64_t *value = self->page->value;
	uint64_t blocked = awaited;

	value[0] = (uintptr_t)known_spin_here;
	value[1] = (uintptr_t)known_call_return;
	CHECK(pipe2(silent, O_CLOEXEC));
	CHECK(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &blocked, NULL, 8));
	for (int n = 0; n < KNOWN_THREADS; n++) {
		slots[n] = target_slot(self);
		slots[n]->nr = prepare(n);
	}
	for (int n = 0; n < KNOWN_THREADS; n++) {
		target_thread(slots[n], stay);
		if (!EVENTUALLY(known_spins(n) ? known_has_arrived(&known[n]) :
						 LOAD(known[n].loaded)))
			FAIL("thread %d does not get there", n);
		STORE(slots[n]->counter, 1);
	}
	become_somebody();
	target_serve(self);
}

/* The argument: a folder for files, the bits of coredump_filter, and "huge" or nothing. */
TARGET(known_states)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	static struct region_account accounts[REGIONS];
	char directory[256], filter[16], huge[16];
	int words = sscanf(self->argument, "%255s %15s %15s", directory, filter, huge);

	if (words < 2)
		FAIL("what is '%s'?", self->argument);
	CHECK(setrlimit(RLIMIT_CORE, &unlimited));
	set_filter(filter);
	make_memfd_with_holes();
	if (words == 3) {
		make_huge_pages(MAP_PRIVATE);
		make_huge_pages(MAP_SHARED);
	}
	regions_make(accounts, directory, serve, self);
	return 0;
}

int main(int argc, char **argv)
{
	target_dispatch(argc, argv);
	return 1;
}
