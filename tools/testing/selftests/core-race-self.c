// SPDX-License-Identifier: GPL-2.0
/*
 * Processes that dump themselves from wherever they are, that dump each other
 * in rings, and that are given the descriptor by which they are held: nobody
 * waits for itself for longer than the watchdog does.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fixture.h"
#include "live.h"
#include "race.h"
#include "tally.h"

enum {
	PAGE		= 4096,
	STALL_MS	= 1000,
	/* Ten times that, and what emulation takes. */
	END_SECONDS	= 30,
	DUMPERS		= 3,
	ROUNDS		= 20,
	STACK		= 64 * 1024,

	/* The longest ring that is found: MAX_RING dumps, and the one that closes it. */
	LONGEST_FOUND	= 17,
	RING		= LONGEST_FOUND + 1,
};

/* target_page.value[] */
enum {
	DUMPED,			/* how many dumps of itself were made */
	BUSY,			/* how often there was another one already */
	WRONG,			/* the line where something was not as it should be */
	ERROR,			/* errno of the last read, or of open */
	FD,
	TWIN_PID,
	VICTIM,			/* whom the twin is to dump; 0: to close what it has */
	TURN,			/* of the twin: what it was told, and has done */
	DONE,
	CHILD_CLOSES,
	EXECUTED,
};

static struct target_page *our_page;

/* What a process can do in a signal handler, too. */

static void is_wrong(int line)
{
	STORE(our_page->value[WRONG], line);
}

#define WRONG_UNLESS(condition)						\
do {									\
	if (!(condition))						\
		is_wrong(__LINE__);					\
} while (0)

static int open_self(void)
{
	return open("/proc/self/core", O_RDWR | O_CLOEXEC);
}

/* The core's first thread is that which dumps. */
static void check_head(int fd)
{
	struct elf_prstatus prstatus;
	Elf64_Nhdr note;
	Elf64_Phdr phdr;
	Elf64_Ehdr ehdr;

	WRONG_UNLESS(pread(fd, &ehdr, sizeof(ehdr), 0) == sizeof(ehdr));
	WRONG_UNLESS(!memcmp(ehdr.e_ident, ELFMAG, SELFMAG));
	WRONG_UNLESS(pread(fd, &phdr, sizeof(phdr), ehdr.e_phoff) == sizeof(phdr));
	WRONG_UNLESS(pread(fd, &note, sizeof(note), phdr.p_offset) == sizeof(note));
	WRONG_UNLESS(note.n_type == NT_PRSTATUS);
	/* Behind "CORE". */
	WRONG_UNLESS(pread(fd, &prstatus, sizeof(prstatus), phdr.p_offset + sizeof(note) + 8) ==
		     sizeof(prstatus));
	WRONG_UNLESS(prstatus.pr_pid == gettid());
}

static void dump_self(bool snapshot)
{
	struct livecore_config config = {
		.size = sizeof(config),
		.set = LIVECORE_SET_MODE,
		.mode = snapshot ? LIVECORE_MODE_SNAPSHOT : LIVECORE_MODE_HOLD,
	};
	char bytes[4 * PAGE];
	ssize_t got;
	int fd;

	fd = open_self();
	if (fd < 0) {
		is_wrong(__LINE__);
		return;
	}
	WRONG_UNLESS(!ioctl(fd, LIVECORE_IOC_CONFIG, &config));
	if (ioctl(fd, LIVECORE_IOC_START, 0)) {
		WRONG_UNLESS(errno == EBUSY);
		__atomic_add_fetch(&our_page->value[BUSY], 1, __ATOMIC_SEQ_CST);
	} else {
		check_head(fd);
		while ((got = read(fd, bytes, sizeof(bytes))) > 0)
			;
		WRONG_UNLESS(!got);
		__atomic_add_fetch(&our_page->value[DUMPED], 1, __ATOMIC_SEQ_CST);
	}
	close(fd);
}

/* All of its threads dump it, and so do their signal handlers. */

static void dump_in_handler(int signal)
{
	int error = errno;

	(void)signal;
	dump_self(LOAD(our_page->value[DUMPED]) % 2);
	errno = error;
}

static void *dump_all_the_time(void *argument)
{
	struct target_slot *slot = argument;

	STORE(slot->tid, gettid());
	race_seed(slot->tid);
	while (!LOAD(our_page->stop)) {
		dump_self(race_random(2));
		STORE(slot->counter, slot->counter + 1);
		race_delay();
	}
	return NULL;
}

/* The argument is how many threads dump. */
TARGET(self_dumper)
{
	struct sigaction action = { .sa_handler = dump_in_handler, .sa_flags = SA_RESTART };

	our_page = self->page;
	CHECK(sigaction(SIGUSR1, &action, NULL));
	target_spinners(self, 1);
	for (int i = atoi(self->argument); i > 0; i--) {
		struct target_slot *slot = target_slot(self);

		slot->nr = SPINS;
		target_thread(slot, dump_all_the_time);
	}
	return target_serve(self);
}

CORE_TEST(from_signal_handlers)
{
	unsigned long n = rounds(ROUNDS);
	struct target t;

	sysctl_set("livecore_enable", 3);
	target_start(&t, "self_dumper", "0");
	target_settle(&t);
	for (unsigned long i = 0; i < n; i++) {
		uint64_t done = LOAD(t.page->value[DUMPED]) + LOAD(t.page->value[BUSY]);
		pid_t tid = t.page->slot[i % t.page->nr_slots].tid;

		CHECK(tgkill(t.pid, tid, SIGUSR1));
		/* Sometimes both at once: one of them finds the other one. */
		if (i % 4 == 3)
			CHECK(tgkill(t.pid, t.page->slot[(i + 1) % t.page->nr_slots].tid,
				     SIGUSR1));
		ASSERT_TRUE(EVENTUALLY(LOAD(t.page->value[DUMPED]) + LOAD(t.page->value[BUSY]) >=
				       done + 1 + (i % 4 == 3)));
	}
	EXPECT_EQ(0, t.page->value[WRONG]);
	EXPECT_LT(n / 2, t.page->value[DUMPED]);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_TRUE(race_nobody_parked(t.pid));
	tally("dumps", t.page->value[DUMPED]);
	tally("races provoked", n);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(by_all_threads)
{
	unsigned long n = rounds(2 * ROUNDS);
	struct target t;

	sysctl_set("livecore_enable", 3);
	race_seed(0);
	target_start(&t, "self_dumper", "3");
	target_settle(&t);
	/* And by a handler in whichever of them. */
	for (unsigned long i = 0; LOAD(t.page->value[DUMPED]) < n; i++) {
		uint64_t done = LOAD(t.page->value[DUMPED]);

		CHECK(tgkill(t.pid, t.page->slot[i % t.page->nr_slots].tid, SIGUSR1));
		ASSERT_TRUE(EVENTUALLY(LOAD(t.page->value[DUMPED]) != done));
	}
	EXPECT_EQ(0, t.page->value[WRONG]);
	EXPECT_TRUE(target_runs(&t));
	TH_LOG("%ju dumps, busy %ju times", (uintmax_t)t.page->value[DUMPED],
	       (uintmax_t)t.page->value[BUSY]);
	tally("dumps", t.page->value[DUMPED]);
	tally("races provoked", t.page->value[DUMPED]);
	EXPECT_EQ(0, target_finish(&t));
}

/* Who has opened it goes away, or becomes another, without closing it. */

static void *open_and_exit(void *argument)
{
	struct target_slot *slot = argument;

	STORE(our_page->value[FD], core_open_in_time(getpid()));
	STORE(slot->tid, gettid());
	return NULL;
}

static char **our_arguments;

static void open_and_execute(int flags)
{
	STORE(our_page->value[FD], open("/proc/self/core", O_RDONLY | flags));
	execv("/proc/self/exe", our_arguments);
	FAIL("execv: %s", strerror(errno));
}

static void *execute_with_it(void *argument)
{
	open_and_execute(0);
	return argument;
}

static void *execute_without_it(void *argument)
{
	open_and_execute(O_CLOEXEC);
	return argument;
}

static void note_read_error(void)
{
	char byte;

	STORE(our_page->value[ERROR], pread(our_page->value[FD], &byte, 1, 0) < 0 ? errno : 0);
}

/* What it has become, with the same page. */
TARGET(executed)
{
	our_page = self->page;
	note_read_error();
	close(our_page->value[FD]);
	STORE(our_page->value[EXECUTED], 1);
	target_command(self);
	return 0;
}

static void fork_with_it(void)
{
	int fd = CHECK(open("/proc/self/core", O_RDONLY));

	if (!CHECK(fork())) {
		while (!LOAD(our_page->value[CHILD_CLOSES]))
			usleep(1000);
		_exit(0);
	}
	close(fd);
}

/* The argument: how many threads turn, but for the leader. */
TARGET(careless)
{
	char *arguments[] = { "executed", "--target", "executed", "", NULL };
	char command;

	our_page = self->page;
	our_arguments = arguments;
	target_spinners(self, atoi(self->argument));
	target_event(self, 'R');
	while ((command = target_command(self))) {
		struct target_slot *slot = &self->page->slot[TARGET_SLOTS - 1];

		switch (command) {
		case 'x':
			target_thread(slot, open_and_exit);
			break;
		case 'e':
			target_thread(slot, execute_with_it);
			break;
		case 'E':
			target_thread(slot, execute_without_it);
			break;
		case 'r':
			note_read_error();
			close(our_page->value[FD]);
			break;
		case 'f':
			fork_with_it();
			break;
		}
		if (command != 'e' && command != 'E')
			target_event(self, command);
	}
	return 0;
}

/* Nobody is left who could close it: all are held, until the watchdog looks. */
CORE_RACE(by_a_thread_that_exits, 1)
{
	struct target_slot *thread;
	struct target t;

	sysctl_set("livecore_enable", 3);
	sysctl_set("livecore_stall_ms", STALL_MS);
	target_start(&t, "careless", "2");
	target_settle(&t);
	target_do(&t, 'x');
	thread = &t.page->slot[TARGET_SLOTS - 1];
	ASSERT_TRUE(EVENTUALLY(LOAD(thread->tid) && !thread_state(t.pid, thread->tid)));
	target_do(&t, 'r');
	EXPECT_EQ(ETIMEDOUT, t.page->value[ERROR]);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

/*
 * Its threads end with execve(), and with them the hold: nothing is waited for.
 * Those that turn are parked then; the leader wakes from its sleep to die.
 */
CORE_RACE(by_a_thread_that_execs, 4)
{
	static const char commands[] = "eEeE";

	sysctl_set("livecore_enable", 3);
	for (const char *command = commands; *command; command++) {
		struct target t;
		double begin;

		target_start(&t, "careless", command < commands + 2 ? "2" : "0");
		target_settle(&t);
		begin = seconds_now();
		target_send(&t, *command);
		EXPECT_TRUE(EVENTUALLY(LOAD(t.page->value[EXECUTED])));
		EXPECT_GT(sysctl_get("livecore_stall_ms") / 1000, seconds_now() - begin);
		EXPECT_EQ(*command == 'e' ? ESRCH : EBADF, t.page->value[ERROR]);
		EXPECT_EQ(0, target_finish(&t));
	}
}

/* Its child has it, too, and is the last. */
CORE_RACE(by_a_thread_that_forks, 1)
{
	struct target t;
	uint64_t turns;

	sysctl_set("livecore_enable", 3);
	target_start(&t, "careless", "2");
	target_settle(&t);
	target_do(&t, 'f');
	turns = target_turns(&t) - LOAD(t.page->slot[0].counter);
	/* The leader goes on, since it has opened it; and nobody else. */
	target_do(&t, 'n');
	EXPECT_EQ(turns, target_turns(&t) - LOAD(t.page->slot[0].counter));
	EXPECT_TRUE(EVENTUALLY(thread_is_parked(t.pid, t.page->slot[1].tid)));
	STORE(t.page->value[CHILD_CLOSES], 1);
	EXPECT_TRUE(target_runs(&t));
	EXPECT_EQ(0, target_finish(&t));
}

/*
 * A process that has the same memory as another one, and is not held with it:
 * so it can do what the other one would.
 */

static inline long raw_syscall(long nr, long a, long b, long c)
{
	register long r10 asm("r10") = 0;
	long result;

	asm volatile("syscall"
		     : "=a" (result)
		     : "0" (nr), "D" (a), "S" (b), "d" (c), "r" (r10)
		     : "rcx", "r11", "memory");
	return result;
}

/* Nothing of libc: errno is the other one's. */
static long open_core(pid_t pid)
{
	char path[] = "/proc/0000000000/core";

	for (char *digit = path + 15; digit > path + 5; pid /= 10)
		*digit-- = '0' + pid % 10;
	/* The numbers of /proc have no zeros in front. */
	for (char *from = path + 6, *to = from; ; from++) {
		if (to == path + 6 && *from == '0')
			continue;
		*to++ = *from;
		if (!*from)
			break;
	}
	return raw_syscall(SYS_open, (long)path, O_RDONLY, 0);
}

static void read_whole(long fd)
{
	static char bytes[4 * PAGE];
	long got;

	do
		got = raw_syscall(SYS_read, fd, (long)bytes, sizeof(bytes));
	while (got > 0);
	STORE(our_page->value[ERROR], -got);
}

/* Dumps whom it is told to, and closes that when it is told so. */
static int be_twin(void *argument)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	long fd = -1;

	for (uint64_t turn = 1; ; turn++) {
		while (LOAD(our_page->value[TURN]) < turn)
			raw_syscall(SYS_nanosleep, (long)&pause, 0, 0);
		if (our_page->value[VICTIM]) {
			fd = open_core(our_page->value[VICTIM]);
			STORE(our_page->value[FD], fd);
			if (fd >= 0 && our_page->value[VICTIM] == (uint64_t)(uintptr_t)argument)
				read_whole(fd);
		} else if (fd >= 0) {
			raw_syscall(SYS_close, fd, 0, 0);
		}
		STORE(our_page->value[DONE], turn);
	}
	return 0;
}

TARGET(with_open_twin)
{
	static char stack[STACK];

	our_page = self->page;
	self->page->value[TWIN_PID] = CHECK(clone(be_twin, stack + sizeof(stack),
						  CLONE_VM | SIGCHLD, (void *)(long)getpid()));
	target_spinners(self, 1);
	target_serve(self);
	kill(self->page->value[TWIN_PID], SIGKILL);
	return 0;
}

/* Tells the twin whom to dump: a descriptor of it, or a negative errno. */
static int64_t twin_opens(struct target *t, pid_t victim)
{
	uint64_t turn = LOAD(t->page->value[TURN]) + 1;

	t->page->value[VICTIM] = victim;
	STORE(t->page->value[TURN], turn);
	if (!EVENTUALLY(LOAD(t->page->value[DONE]) == turn))
		FAIL("the twin of %d does not come back", t->pid);
	return t->page->value[FD];
}

static void twin_closes(struct target *t)
{
	twin_opens(t, 0);
}

static void finish_with_twin(struct __test_metadata *_metadata, struct target *t)
{
	EXPECT_TRUE(target_runs(t));
	EXPECT_EQ(0, target_finish(t));
}

/* Its own memory, as far as the gate is concerned; and its twin is held, and all of it read. */
CORE_RACE(by_its_twin, 1)
{
	struct target t;
	uint64_t turns;

	target_start(&t, "with_open_twin", NULL);
	target_settle(&t);
	EXPECT_EQ(-EPERM, twin_opens(&t, t.pid));
	sysctl_set("livecore_enable", 3);
	ASSERT_LE(0, twin_opens(&t, t.pid));
	EXPECT_EQ(0, t.page->value[ERROR]);
	turns = target_turns(&t);
	EXPECT_TRUE(EVENTUALLY(thread_is_parked(t.pid, t.page->slot[1].tid)));
	EXPECT_EQ(-EBUSY, core_open(t.page->value[TWIN_PID]));
	EXPECT_EQ(turns, target_turns(&t));
	twin_closes(&t);
	EXPECT_TRUE(race_nobody_parked(t.pid));
	sysctl_set("livecore_enable", 1);
	finish_with_twin(_metadata, &t);
}

/*
 * Each dumps the next one, by its twin, since it is held itself; the last one
 * closes the ring. The order is any.
 */
static void expect_ring(struct __test_metadata *_metadata, struct target *t, int size)
{
	int order[RING], last = size - 1;
	int64_t fd;

	for (int i = 0; i < size; i++) {
		int other = race_random(i + 1);

		order[i] = order[other];
		order[other] = i;
	}
	for (int i = 0; i < last; i++) {
		fd = twin_opens(&t[order[i]], t[(order[i] + 1) % size].pid);
		ASSERT_LE(0, fd)
			TH_LOG("%d of %d: %jd", i, size, (intmax_t)fd);
	}
	fd = twin_opens(&t[order[last]], t[(order[last] + 1) % size].pid);
	EXPECT_TRUE(size > LONGEST_FOUND ? fd >= 0 : fd == -EDEADLK)
		TH_LOG("%d: %jd", size, (intmax_t)fd);
	/* Where nobody has seen it, all go on nevertheless. */
	for (int i = 0; i < size && size > LONGEST_FOUND; i++)
		EXPECT_TRUE(target_runs(&t[i]));
	for (int i = 0; i < size; i++)
		twin_closes(&t[i]);
	for (int i = 0; i < size; i++)
		EXPECT_TRUE(target_runs(&t[i]));
}

CORE_TEST(rings)
{
	static const int sizes[] = { 2, 3, LONGEST_FOUND, RING };
	unsigned long n = rounds(1) * ARRAY_SIZE(sizes), dumps = 0;
	struct target t[RING];

	for (int i = 0; i < RING; i++)
		target_start(&t[i], "with_open_twin", NULL);
	for (int i = 0; i < RING; i++)
		target_settle(&t[i]);
	for (unsigned long i = 0; i < n; i++) {
		int size = sizes[i % ARRAY_SIZE(sizes)];

		/* Time enough to make it; where it is not found, it is this that ends it. */
		sysctl_set("livecore_stall_ms", size > LONGEST_FOUND ? 10000 : 60000);
		expect_ring(_metadata, t, size);
		/* What would close one that is found is refused. */
		dumps += size - (size <= LONGEST_FOUND);
	}
	tally("dumps", dumps);
	tally("races provoked", n);
	for (int i = 0; i < RING; i++)
		finish_with_twin(_metadata, &t[i]);
}

/* Descriptors that are passed on. */

static void send_descriptor(int socket, int fd)
{
	char control[CMSG_SPACE(sizeof(fd))] = "";
	struct iovec iov = { "", 1 };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	CHECK(sendmsg(socket, &message, 0));
}

static int receive_descriptor(int socket)
{
	char control[CMSG_SPACE(sizeof(int))] = "", byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	int fd;

	CHECK(recvmsg(socket, &message, 0));
	/* The other end was closed. */
	if (!CMSG_FIRSTHDR(&message))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

static void *receive(void *argument)
{
	struct target_slot *slot = argument;
	int fd;

	STORE(slot->tid, gettid());
	fd = receive_descriptor(slot->value[0]);
	if (fd < 0)
		return NULL;
	STORE(our_page->value[FD], fd);
	note_read_error();
	CHECK(close(our_page->value[FD]));
	STORE(slot->counter, 1);
	return NULL;
}

/*
 * A thread of it receives a descriptor from the socket of that number; and it
 * dumps whom it is told to.
 */
TARGET(receiver)
{
	struct target_slot *slot;
	int held = -1;
	pid_t child;

	our_page = self->page;
	target_spinners(self, 1);
	slot = target_slot(self);
	slot->nr = SYS_recvmsg;
	slot->value[0] = atoi(self->argument);
	target_thread(slot, receive);
	child = CHECK(fork());
	if (!child) {
		/* It has sockets of its own: the next number. */
		int fd = receive_descriptor(atoi(self->argument) + 1);

		STORE(our_page->value[DONE], 1);
		while (!LOAD(our_page->value[CHILD_CLOSES]))
			usleep(1000);
		close(fd);
		_exit(0);
	}
	target_event(self, 'R');
	while (target_command(self)) {
		held = CHECK(core_open_in_time(self->page->value[VICTIM]));
		target_event(self, 'd');
	}
	kill(child, SIGKILL);
	return held < 0 ? 0 : !!close(held);
}

struct receiver {
	struct target t;
	int to_itself;
	int to_child;
};

/* Above all that the test has. */
enum { SOCKETS = 200 };

static void start_receiver(struct receiver *r, int number)
{
	int itself[2], child[2], at = SOCKETS + 2 * number;
	char argument[16];

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, itself));
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, child));
	CHECK(dup2(itself[1], at));
	CHECK(dup2(child[1], at + 1));
	close(itself[1]);
	close(child[1]);
	snprintf(argument, sizeof(argument), "%d", at);
	target_start(&r->t, "receiver", argument);
	close(at);
	close(at + 1);
	r->to_itself = itself[0];
	r->to_child = child[0];
	target_settle(&r->t);
}

static void finish_receiver(struct __test_metadata *_metadata, struct receiver *r)
{
	EXPECT_TRUE(target_runs(&r->t));
	close(r->to_itself);
	close(r->to_child);
	EXPECT_EQ(0, target_finish(&r->t));
}

/* The process that is held has the only descriptor, and cannot close it. */
CORE_RACE(given_to_the_process_itself, 1)
{
	struct receiver r;
	double begin;
	int fd;

	sysctl_set("livecore_stall_ms", STALL_MS);
	start_receiver(&r, 0);
	fd = core_open_in_time(r.t.pid);
	ASSERT_LE(0, fd);
	begin = seconds_now();
	send_descriptor(r.to_itself, fd);
	close(fd);
	ASSERT_TRUE(EVENTUALLY(LOAD(r.t.page->slot[2].counter)));
	EXPECT_GT(END_SECONDS, seconds_now() - begin);
	EXPECT_EQ(ETIMEDOUT, r.t.page->value[ERROR]);
	finish_receiver(_metadata, &r);
}

/* It is held until its child closes it. */
CORE_RACE(given_to_its_child, 1)
{
	struct receiver r;
	uint64_t turns;
	int fd;

	start_receiver(&r, 0);
	fd = core_open(r.t.pid);
	ASSERT_LE(0, fd);
	send_descriptor(r.to_child, fd);
	close(fd);
	ASSERT_TRUE(EVENTUALLY(LOAD(r.t.page->value[DONE])));
	turns = target_turns(&r.t);
	EXPECT_TRUE(EVENTUALLY(thread_is_parked(r.t.pid, r.t.page->slot[1].tid)));
	EXPECT_EQ(turns, target_turns(&r.t));
	STORE(r.t.page->value[CHILD_CLOSES], 1);
	EXPECT_TRUE(target_runs(&r.t));
	finish_receiver(_metadata, &r);
}

/* Each is held by a descriptor that only the other one has, or will have. */
CORE_RACE(given_to_whom_it_holds, 2)
{
	struct receiver holder, held;
	double begin;
	int fd;

	/* Much later than the other one: who is let go first could read what he got. */
	sysctl_set("livecore_stall_ms", 5 * STALL_MS);
	start_receiver(&held, 0);
	start_receiver(&holder, 1);
	holder.t.page->value[VICTIM] = held.t.pid;
	target_send(&holder.t, 'd');
	target_expect(&holder.t, 'd');
	sysctl_set("livecore_stall_ms", STALL_MS);
	fd = core_open_in_time(holder.t.pid);
	ASSERT_LE(0, fd);
	begin = seconds_now();
	send_descriptor(held.to_itself, fd);
	close(fd);
	ASSERT_TRUE(EVENTUALLY(LOAD(held.t.page->slot[2].counter)));
	EXPECT_GT(END_SECONDS, seconds_now() - begin);
	EXPECT_EQ(ETIMEDOUT, held.t.page->value[ERROR]);
	finish_receiver(_metadata, &held);
	finish_receiver(_metadata, &holder);
}

CORE_TEST_MAIN
