// SPDX-License-Identifier: GPL-2.0
/*
 * One kind of sleep after the other. The calls are made directly, so that the
 * number in the slot is the one that the kernel sees.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "check.h"
#include "sleepers.h"

static void prepare_pipe(struct sleeper *s)
{
	CHECK(pipe(s->fd));
}

static void wake_pipe(struct sleeper *s)
{
	CHECK(write(s->fd[1], "", 1));
}

static long sleep_read(struct sleeper *s)
{
	char byte;

	return syscall(SYS_read, s->fd[0], &byte, 1);
}

static long sleep_poll(struct sleeper *s)
{
	struct pollfd poll_pipe = { .fd = s->fd[0], .events = POLLIN };

	return syscall(SYS_poll, &poll_pipe, 1, -1);
}

static long sleep_pselect6(struct sleeper *s)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(s->fd[0], &set);
	return syscall(SYS_pselect6, s->fd[0] + 1, &set, NULL, NULL, NULL, NULL);
}

static void prepare_epoll(struct sleeper *s)
{
	struct epoll_event event = { .events = EPOLLIN };

	s->fd[0] = CHECK(epoll_create1(0));
	s->fd[1] = CHECK(eventfd(0, 0));
	CHECK(epoll_ctl(s->fd[0], EPOLL_CTL_ADD, s->fd[1], &event));
}

static long sleep_epoll_wait(struct sleeper *s)
{
	struct epoll_event event;

	return syscall(SYS_epoll_wait, s->fd[0], &event, 1, -1);
}

static void wake_epoll(struct sleeper *s)
{
	CHECK(eventfd_write(s->fd[1], 1));
}

static long sleep_futex(struct sleeper *s)
{
	return syscall(SYS_futex, &s->word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

static void wake_futex(struct sleeper *s)
{
	CHECK(syscall(SYS_futex, &s->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
}

static long sleep_nanosleep(struct sleeper *s)
{
	struct timespec day = { .tv_sec = 86400 };

	(void)s;
	return syscall(SYS_nanosleep, &day, NULL);
}

static void prepare_semop(struct sleeper *s)
{
	s->id = CHECK(semget(IPC_PRIVATE, 1, 0600));
}

static long sleep_semop(struct sleeper *s)
{
	struct sembuf down = { .sem_op = -1 };

	return syscall(SYS_semop, s->id, &down, 1);
}

static void wake_semop(struct sleeper *s)
{
	struct sembuf up = { .sem_op = 1 };

	CHECK(semop(s->id, &up, 1));
}

static void clean_semop(struct sleeper *s)
{
	CHECK(semctl(s->id, 0, IPC_RMID));
}

struct message {
	long type;
	char text;
};

static void prepare_msgrcv(struct sleeper *s)
{
	s->id = CHECK(msgget(IPC_PRIVATE, 0600));
}

static long sleep_msgrcv(struct sleeper *s)
{
	struct message message;

	return syscall(SYS_msgrcv, s->id, &message, sizeof(message.text), 0, 0);
}

static void wake_msgrcv(struct sleeper *s)
{
	struct message message = { .type = 1 };

	CHECK(msgsnd(s->id, &message, sizeof(message.text), 0));
}

static void clean_msgrcv(struct sleeper *s)
{
	CHECK(msgctl(s->id, IPC_RMID, NULL));
}

static void prepare_socket(struct sleeper *s)
{
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s->fd));
}

static long sleep_recvfrom(struct sleeper *s)
{
	char byte;

	return syscall(SYS_recvfrom, s->fd[0], &byte, 1, 0, NULL, NULL);
}

/* SIGUSR2 is blocked in every thread of the target: see sleepers_start(). */
static long sleep_sigtimedwait(struct sleeper *s)
{
	sigset_t set;

	(void)s;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, 8);
}

static void wake_sigtimedwait(struct sleeper *s)
{
	CHECK(tgkill(getpid(), s->slot->tid, SIGUSR2));
}

static inline long raw_syscall(long nr, long a, long b, long c)
{
	long result;

	asm volatile("syscall"
		     : "=a" (result)
		     : "0" (nr), "D" (a), "S" (b), "d" (c)
		     : "rcx", "r11", "memory");
	return result;
}

/*
 * The child borrows the address space until it ends; it must not touch what
 * its parent will look at, errno included, so it makes its calls itself.
 */
static long sleep_vfork(struct sleeper *s)
{
	long fd = s->fd[0];
	pid_t child = vfork();

	if (!child) {
		char byte;

		raw_syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0);
		raw_syscall(SYS_read, fd, (long)&byte, 1);
		_exit(0);
	}
	return child > 0;
}

static const struct sleeper_kind kinds[] = {
	{ "read", SYS_read, 1, prepare_pipe, sleep_read, wake_pipe, NULL },
	{ "poll", SYS_poll, 1, prepare_pipe, sleep_poll, wake_pipe, NULL },
	{ "pselect6", SYS_pselect6, 1, prepare_pipe, sleep_pselect6, wake_pipe, NULL },
	{ "epoll_wait", SYS_epoll_wait, 1, prepare_epoll, sleep_epoll_wait, wake_epoll, NULL },
	{ "futex", SYS_futex, 0, NULL, sleep_futex, wake_futex, NULL },
	{ "nanosleep", SYS_nanosleep, 0, NULL, sleep_nanosleep, NULL, NULL },
	{ "semop", SYS_semop, 0, prepare_semop, sleep_semop, wake_semop, clean_semop },
	{ "msgrcv", SYS_msgrcv, 1, prepare_msgrcv, sleep_msgrcv, wake_msgrcv, clean_msgrcv },
	{ "recvfrom", SYS_recvfrom, 1, prepare_socket, sleep_recvfrom, wake_pipe, NULL },
	{ "sigtimedwait", SYS_rt_sigtimedwait, SIGUSR2, NULL, sleep_sigtimedwait,
	  wake_sigtimedwait, NULL },
	{ "vfork", SYS_vfork, 1, prepare_pipe, sleep_vfork, wake_pipe, NULL },
};

enum { KINDS = ARRAY_SIZE(kinds) };

static struct sleeper sleepers[KINDS];

const struct sleeper_kind *sleeper_kind(unsigned int index)
{
	return index < KINDS ? &kinds[index] : NULL;
}

static void *sleeper_thread(void *argument)
{
	struct target_slot *slot = argument;
	struct sleeper *s = sleepers;
	long result;

	while (s->slot != slot)
		s++;
	STORE(slot->tid, gettid());
	result = s->kind->sleep(s);
	STORE(slot->result, result < 0 ? -errno : result);
	__atomic_add_fetch(&slot->counter, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

void sleepers_start(struct target_self *self)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL));
	for (int i = 0; i < KINDS; i++) {
		struct sleeper *s = &sleepers[i];

		s->kind = &kinds[i];
		if (s->kind->prepare)
			s->kind->prepare(s);
		s->slot = target_slot(self);
		s->slot->nr = s->kind->nr;
	}
	for (int i = 0; i < KINDS; i++)
		target_thread(sleepers[i].slot, sleeper_thread);
}

void sleepers_wake(void)
{
	for (int i = 0; i < KINDS; i++)
		if (kinds[i].wake)
			kinds[i].wake(&sleepers[i]);
}

void sleepers_serve(struct target_self *self)
{
	target_event(self, 'R');
	while (target_command(self)) {
		sleepers_wake();
		target_event(self, 'w');
	}
}

void sleepers_clean(void)
{
	for (int i = 0; i < KINDS; i++)
		if (kinds[i].clean)
			kinds[i].clean(&sleepers[i]);
}
