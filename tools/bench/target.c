// SPDX-License-Identifier: GPL-2.0
/*
 * The process that is dumped:
 *
 *	target PAGE BYTES dense|sparse|thp|dirty THREADS
 *
 * One thread is busy: it reads the clock again and again, notes the longest
 * time between two readings, and, with "dirty", writes to one page of the heap
 * after the other. All other threads sleep, and count how often their system
 * call has returned, which none has a reason to do.
 *
 * What it knows of itself is in the file PAGE, which is mapped by both sides:
 * whoever measures disturbs nothing. Commands come by the same page.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE_BYTES	4096UL
#define MIB		(1UL << 20)
#define HUGE_BYTES	(2 * MIB)
/* Of a sparse heap, the first MiB of so many is touched. */
#define SPARSE_MIB	16
#define STACK_BYTES	(64UL << 10)
/* What counts as a time in which the busy thread stood still. */
#define STALL_NS	1000000
#define DAY_S		86400
#define REST_NS		10000000

enum kind { FUTEX, POLL, EPOLL_WAIT, SEMOP, NANOSLEEP, KINDS };

/* The low byte of page.command; the rest makes each command another number. */
enum command {
	START = 1,	/* begin to measure, with the counters as they are now */
	SAMPLE,		/* the counters as they are now */
	FORK,		/* fork(); the child exits at once */
	CRASH,
	LEAVE,
	REST,		/* sleep until the next command */
};

/* Words of 64 bits only; the driver has the same list. */
struct page {
	unsigned long bytes;		/* of this structure */
	atomic_ulong command;		/* by the driver */
	atomic_ulong done;		/* the command that was done last */
	atomic_ulong asleep;		/* threads that have begun to sleep */
	atomic_ulong early[KINDS];	/* calls that returned, by kind */
	atomic_ulong rounds;		/* of the busy thread */
	atomic_ulong longest_ns;	/* between two readings, since START */
	atomic_ulong stalled_ns;	/* sum of those of at least STALL_NS, since START */
	atomic_ulong fork_ns;		/* what fork() took */
	unsigned long touched;		/* bytes of the heap that have been written to */
	/* At the last START or SAMPLE: */
	unsigned long switches;		/* voluntary ones, of the sleepers */
	unsigned long minor_faults;	/* of all threads */
	unsigned long major_faults;
};

static struct page *page;
static char *heap;
static uint64_t heap_bytes;
static bool dirty;
static int semaphore;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static void map_page(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, sizeof(*page)))
		err(1, "%s", path);
	page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		err(1, "mmap %s", path);
	close(fd);
}

/* Pages differ, and none is zeros: some tools leave such pages out. */
static void touch(uint64_t from, uint64_t bytes)
{
	for (uint64_t at = from; at < from + bytes; at += PAGE_BYTES) {
		memset(heap + at, 0xa5, PAGE_BYTES);
		memcpy(heap + at, &at, sizeof(at));
	}
	page->touched += bytes;
}

static void make_heap(const char *layout)
{
	bool huge = !strcmp(layout, "thp");
	char *mapping = mmap(NULL, heap_bytes + HUGE_BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mapping == MAP_FAILED)
		err(1, "mmap of %lu bytes", heap_bytes);
	heap = (char *)(((uintptr_t)mapping + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1));
	munmap(heap + heap_bytes, mapping + HUGE_BYTES - heap);
	if (madvise(heap, heap_bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		err(1, "madvise");
	dirty = !strcmp(layout, "dirty");
	if (!strcmp(layout, "sparse"))
		for (uint64_t at = 0; at < heap_bytes; at += SPARSE_MIB * MIB)
			touch(at, MIB);
	else if (huge || dirty || !strcmp(layout, "dense"))
		touch(0, heap_bytes);
	else
		errx(2, "there is no layout %s", layout);
}

static void sleep_once(enum kind kind, int epoll)
{
	static uint32_t word;
	struct timespec day = { .tv_sec = DAY_S };
	struct sembuf take = { .sem_op = -1 };
	struct epoll_event event;

	switch (kind) {
	case FUTEX:
		syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
		break;
	case POLL:
		poll(NULL, 0, -1);
		break;
	case EPOLL_WAIT:
		epoll_wait(epoll, &event, 1, -1);
		break;
	case SEMOP:
		semop(semaphore, &take, 1);
		break;
	default:
		nanosleep(&day, NULL);
		break;
	}
}

static void *sleeper(void *index)
{
	enum kind kind = (uintptr_t)index % KINDS;
	int epoll = kind == EPOLL_WAIT ? epoll_create1(EPOLL_CLOEXEC) : -1;

	atomic_fetch_add(&page->asleep, 1);
	for (;;) {
		sleep_once(kind, epoll);
		atomic_fetch_add(&page->early[kind], 1);
	}
	return NULL;
}

static void start_sleepers(unsigned long count)
{
	struct rlimit files = { .rlim_cur = 65536, .rlim_max = 65536 };
	pthread_attr_t attributes;
	pthread_t thread;

	if (setrlimit(RLIMIT_NOFILE, &files))
		err(1, "setrlimit");
	semaphore = semget(IPC_PRIVATE, 1, 0600);
	if (semaphore < 0)
		err(1, "semget");
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	for (uintptr_t i = 0; i < count; i++) {
		errno = pthread_create(&thread, &attributes, sleeper, (void *)i);
		if (errno)
			err(1, "thread %lu", i);
	}
}

/* The first CPU is for the busy thread; the driver keeps everything else off it. */
static void take_first_cpu(void)
{
	cpu_set_t first;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	if (sched_setaffinity(0, sizeof(first), &first))
		err(1, "sched_setaffinity");
}

static void sample(void)
{
	struct rusage all, own;

	getrusage(RUSAGE_THREAD, &own);
	getrusage(RUSAGE_SELF, &all);
	page->switches = all.ru_nvcsw - own.ru_nvcsw;
	page->minor_faults = all.ru_minflt;
	page->major_faults = all.ru_majflt;
}

static void fork_once(void)
{
	uint64_t start = now_ns();
	pid_t child = fork();

	if (!child)
		_exit(0);
	page->fork_ns = child < 0 ? 0 : now_ns() - start;
}

static void rest(uint64_t command)
{
	struct timespec while_resting = { .tv_nsec = REST_NS };

	page->done = command;
	while (page->command == command)
		nanosleep(&while_resting, NULL);
}

/* Returns the time from which on the next gap counts. */
static uint64_t obey(uint64_t command, uint64_t last)
{
	switch ((enum command)(command & 0xff)) {
	case START:
		sample();
		page->longest_ns = 0;
		page->stalled_ns = 0;
		last = now_ns();
		break;
	case SAMPLE:
		sample();
		last = now_ns();
		break;
	case FORK:
		fork_once();
		break;
	case CRASH:
		semctl(semaphore, 0, IPC_RMID);
		abort();
	case LEAVE:
		_exit(semctl(semaphore, 0, IPC_RMID));
	case REST:
		rest(command);
		last = now_ns();
		break;
	}
	page->done = command;
	return last;
}

static void be_busy(void)
{
	uint64_t last = now_ns(), next = 0, command, now;

	for (;;) {
		now = now_ns();
		if (now - last > page->longest_ns)
			page->longest_ns = now - last;
		if (now - last >= STALL_NS)
			page->stalled_ns += now - last;
		last = now;
		if (dirty) {
			*(volatile uint64_t *)(heap + next) = now;
			next = next + PAGE_BYTES < heap_bytes ? next + PAGE_BYTES : 0;
		}
		atomic_store_explicit(&page->rounds, page->rounds + 1, memory_order_relaxed);
		command = page->command;
		if (command != page->done)
			last = obey(command, last);
	}
}

int main(int argc, char **argv)
{
	if (argc != 5)
		errx(2, "usage: target PAGE BYTES dense|sparse|thp|dirty THREADS");
	map_page(argv[1]);
	heap_bytes = strtoull(argv[2], NULL, 0) & ~(HUGE_BYTES - 1);
	make_heap(argv[3]);
	/* A child that has exited is nobody's business. */
	signal(SIGCHLD, SIG_IGN);
	start_sleepers(strtoul(argv[4], NULL, 0) - 1);
	take_first_cpu();
	/* Last: when it sees this, the driver goes on. */
	page->bytes = sizeof(*page);
	be_busy();
}
