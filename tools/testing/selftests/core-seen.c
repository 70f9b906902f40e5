// SPDX-License-Identifier: GPL-2.0
/*
 * Who looks can see who dumps whom: /proc/livecore, the kernel log, the audit;
 * and who waits is told (poll).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "fixture.h"
#include "listing.h"
#include "live.h"
#include "log.h"
#include "user.h"

/* "uid name": a user's process of that name, with one thread that turns. */
TARGET(named)
{
	char name[16];
	unsigned int uid;

	if (sscanf(self->argument, "%u %15[^\n]", &uid, name) != 2)
		FAIL("argument %s", self->argument);
	if (uid)
		become_dumpable(uid);
	/* What a line of the log must not be cut by. */
	for (char *c = name; *c; c++)
		if (*c == '/')
			*c = '\n';
	CHECK(prctl(PR_SET_NAME, name));
	target_spinners(self, 1);
	return target_serve(self);
}

static double now(void)
{
	struct timespec time;

	CHECK(clock_gettime(CLOCK_REALTIME, &time));
	return time.tv_sec + time.tv_nsec / 1e9;
}

CORE_TEST(listed_from_open_to_close)
{
	double before = now(), after;
	struct livecore_info info;
	struct target t;
	struct listing_row row;
	char bytes[100];
	int fd;

	target_start(&t, "named", "0 plain");
	target_settle(&t);
	EXPECT_FALSE(listing_of(t.pid, &row));
	fd = live_dump(t.pid, NULL);
	ASSERT_LE(0, fd);
	after = now();
	info = live_info_of(fd);
	ASSERT_TRUE(listing_of(t.pid, &row));
	EXPECT_EQ(getpid(), row.reader);
	EXPECT_EQ(0, row.uid);
	EXPECT_STREQ("hold", row.mode);
	EXPECT_STREQ("held", row.state);
	/* Milliseconds are cut off. */
	EXPECT_LE(before - 0.001, row.since);
	EXPECT_GE(after, row.since);
	EXPECT_EQ(1, row.parked);
	EXPECT_EQ(1, row.in_place);
	EXPECT_EQ(info.parked, row.parked);
	EXPECT_EQ(info.in_place, row.in_place);
	EXPECT_EQ(0, row.running + row.zeroed + row.caller + row.moved);
	EXPECT_EQ(0, row.read);
	ASSERT_EQ(sizeof(bytes), read(fd, bytes, sizeof(bytes)));
	ASSERT_TRUE(listing_of(t.pid, &row));
	EXPECT_EQ(sizeof(bytes), row.read);
	EXPECT_EQ(0, live_release(fd));
	ASSERT_TRUE(listing_of(t.pid, &row));
	EXPECT_STREQ("released", row.state);
	sysctl_set("livecore_enable", 0);
	ASSERT_TRUE(listing_of(t.pid, &row));
	EXPECT_STREQ("ended", row.state);
	close(fd);
	EXPECT_FALSE(listing_of(t.pid, &row));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(listed_with_its_user_and_mode)
{
	struct listing_row row;
	struct target t;
	int fd;

	target_start(&t, "named", "1000 of-a");
	sysctl_set("livecore_enable", 2);
	sysctl_set("livecore_mode", 1);
	fd = core_open_as(USER_A, t.pid);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(listing_of(t.pid, &row));
	EXPECT_EQ(getpid(), row.reader);
	EXPECT_EQ(USER_A, row.uid);
	EXPECT_STREQ("snapshot", row.mode);
	EXPECT_STREQ("snapshot", row.state);
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

/* By somebody whose descriptors are ours, and who is gone then. */
static int opened_by_child(pid_t pid)
{
	pid_t child = CHECK(syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0L, 0L, 0L, 0L));
	int status;

	if (!child)
		_exit(core_open(pid));
	CHECK(waitpid(child, &status, 0));
	return WIFEXITED(status) ? (signed char)WEXITSTATUS(status) : -1;
}

CORE_TEST(listed_when_its_reader_is_gone)
{
	struct listing_row row;
	struct target t;
	int fd;

	target_start(&t, "named", "0 passed-on");
	fd = opened_by_child(t.pid);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(listing_of(t.pid, &row));
	EXPECT_EQ(0, row.reader);
	EXPECT_EQ(0, row.uid);
	EXPECT_STREQ("held", row.state);
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

/* How many of two targets somebody sees in the list. */
static int seen_by(become_t become, pid_t one, pid_t other)
{
	pid_t child;
	int status;

	fflush(NULL);
	child = CHECK(fork());
	if (!child) {
		struct listing_row row;

		become();
		_exit(listing_of(one, &row) | listing_of(other, &row) << 1);
	}
	CHECK(waitpid(child, &status, 0));
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

CORE_TEST(seen_by_those_who_may_look)
{
	struct target root, a;
	int fd[2];

	target_start(&root, "named", "0 of-root");
	target_start(&a, "named", "1000 of-a");
	fd[0] = core_open(root.pid);
	fd[1] = core_open(a.pid);
	ASSERT_LE(0, fd[0]);
	ASSERT_LE(0, fd[1]);
	EXPECT_EQ(3, seen_by(become_root, root.pid, a.pid));
	EXPECT_EQ(2, seen_by(become_a, root.pid, a.pid));
	EXPECT_EQ(0, seen_by(become_b, root.pid, a.pid));
	EXPECT_EQ(3, seen_by(become_a_with_ptrace, root.pid, a.pid));
	EXPECT_EQ(0, seen_by(become_root_without_caps, root.pid, a.pid));
	close(fd[0]);
	close(fd[1]);
	EXPECT_EQ(0, target_finish(&root));
	EXPECT_EQ(0, target_finish(&a));
}

/* What root has opened, A does not get to read. */
CORE_TEST(not_for_whom_it_is_passed_to)
{
	int fd = open(LISTING, O_RDONLY);
	pid_t child;
	int status;

	ASSERT_LE(0, fd);
	child = CHECK(fork());
	if (!child) {
		char byte;

		become_a();
		_exit(read(fd, &byte, 1) < 0 ? errno : 0);
	}
	CHECK(waitpid(child, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(EACCES, WEXITSTATUS(status));
	close(fd);
}

/* 1 if a namespace of its own sees its own process, by its own number, and 2 if another's. */
static int seen_in_namespace(pid_t outside)
{
	struct listing_row row;
	struct target t;
	int seen = 0, fd;

	CHECK(mount("proc", "/proc", "proc", 0, NULL));
	target_start(&t, "named", "0 inside");
	fd = core_open(t.pid);
	if (fd < 0)
		FAIL("open in the namespace: %d", fd);
	if (listing_of(t.pid, &row) && row.reader == getpid())
		seen |= 1;
	if (t.pid != outside && listing_of(outside, &row))
		seen |= 2;
	close(fd);
	target_finish(&t);
	return seen;
}

CORE_TEST(numbers_are_those_of_the_namespace)
{
	struct target t;
	pid_t child;
	int fd, status;

	target_start(&t, "named", "0 outside");
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	child = CHECK(fork());
	if (!child) {
		CHECK(unshare(CLONE_NEWPID | CLONE_NEWNS));
		CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
		child = CHECK(fork());
		if (!child)
			_exit(seen_in_namespace(t.pid));
		CHECK(waitpid(child, &status, 0));
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 255);
	}
	CHECK(waitpid(child, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(1, WEXITSTATUS(status));
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

/* 1 if a namespace's init is listed there, without the reader, who is outside. */
static int seen_from_inside(void)
{
	struct listing_row row;

	CHECK(mount("proc", "/proc", "proc", 0, NULL));
	return listing_of(1, &row) && !row.reader && !strcmp(row.state, "held");
}

CORE_TEST(reader_of_another_namespace_is_nobody)
{
	struct target t;
	int fd;

	CHECK(unshare(CLONE_NEWPID | CLONE_NEWNS));
	CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	target_start(&t, "named", "0 init");
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(1, outcome_as(become_root, seen_from_inside));
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

/* Of A's dump, as A sees them who is root of a namespace: of nobody first, then of one. */
static int wrong_uids_in_namespace(void)
{
	struct listing_row before, after;
	struct target t;
	int fd;

	target_start(&t, "named", "0 of-a");
	fd = core_open(t.pid);
	if (fd < 0)
		FAIL("open in the namespace: %d", fd);
	if (!listing_of(t.pid, &before))
		FAIL("it is not listed");
	write_text("/proc/self/uid_map", "7 1000 1");
	if (!listing_of(t.pid, &after))
		FAIL("it is not listed any more");
	close(fd);
	target_finish(&t);
	return (before.uid != UINT32_MAX) + (after.uid != 7);
}

CORE_TEST(uids_are_those_of_the_namespace)
{
	sysctl_set("livecore_enable", 2);
	EXPECT_EQ(0, outcome_as(become_a_as_root_of_userns, wrong_uids_in_namespace));
}

/* The kernel lets so many such lines pass at a time: again, until one has. */
static bool dump_is_logged(pid_t pid, int log, const char *one, const char *other)
{
	close(CHECK(core_open(pid)));
	return log_has(log, one, other);
}

CORE_TEST(logged_if_it_is_another_users)
{
	char whom[64];
	struct target t;
	int log;

	target_start(&t, "named", "1000 a/b");
	log = log_open();
	/* One line, whatever its name; /dev/kmsg writes a backslash as \x5c. */
	snprintf(whom, sizeof(whom), " of uid 0 dumps pid %d of uid 1000 (", t.pid);
	EXPECT_TRUE(EVENTUALLY(dump_is_logged(t.pid, log, "dumps \"a\\x5cnb\")", whom)));
	EXPECT_EQ(0, target_finish(&t));
	close(log);
}

CORE_TEST(not_logged_if_it_is_ones_own)
{
	char whom[32];
	struct target t;
	int log;

	target_start(&t, "named", "0 own");
	log = log_open();
	snprintf(whom, sizeof(whom), "dumps pid %d of", t.pid);
	EXPECT_FALSE(dump_is_logged(t.pid, log, "livecore: ", whom));
	EXPECT_EQ(0, target_finish(&t));
	close(log);
}

static void audit_enable(unsigned int enabled)
{
	struct {
		struct nlmsghdr header;
		struct audit_status status;
	} request = {
		.header = {
			.nlmsg_len = sizeof(request),
			.nlmsg_type = AUDIT_SET,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
		},
		.status = { .mask = AUDIT_STATUS_ENABLED, .enabled = enabled },
	};
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
	} answer;
	int fd = CHECK(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT));

	CHECK(send(fd, &request, sizeof(request), 0));
	CHECK(recv(fd, &answer, sizeof(answer), 0));
	if (answer.header.nlmsg_type != NLMSG_ERROR || answer.error.error)
		FAIL("audit: %d", answer.error.error);
	close(fd);
}

CORE_TEST(audited)
{
	char whom[64];
	struct target t;
	int log;

	target_start(&t, "named", "1000 audited");
	log = log_open();
	snprintf(whom, sizeof(whom), "opid=%d ouid=1000", t.pid);
	audit_enable(1);
	/* Nobody takes the records, so they are in the log. */
	EXPECT_TRUE(EVENTUALLY(dump_is_logged(t.pid, log, "type=1316 ", whom)));
	audit_enable(0);
	EXPECT_EQ(0, target_finish(&t));
	close(log);
}

/* What poll() returned once it did, in another thread. */
struct poller {
	pthread_t thread;
	pid_t tid;
	int fd;
	short events;
	short revents;
};

static void *wait_in_poll(void *argument)
{
	struct poller *poller = argument;
	struct pollfd poll_core = { .fd = poller->fd, .events = poller->events };

	STORE(poller->tid, gettid());
	CHECK(poll(&poll_core, 1, EVENT_SECONDS * 1000));
	poller->revents = poll_core.revents;
	return NULL;
}

static void poller_start(struct poller *poller, int fd, short events)
{
	*poller = (struct poller){ .fd = fd, .events = events };
	CHECK_ZERO(pthread_create(&poller->thread, NULL, wait_in_poll, poller));
	if (!EVENTUALLY(LOAD(poller->tid) && thread_sleeps_in(getpid(), poller->tid, SYS_poll)))
		FAIL("it does not wait in poll()");
}

static short poller_revents(struct poller *poller)
{
	CHECK_ZERO(pthread_join(poller->thread, NULL));
	return poller->revents;
}

CORE_TEST(poll_waits_for_the_start_and_the_end)
{
	struct poller start, end;
	struct target t;
	int fd;

	target_start(&t, "named", "0 polled");
	fd = live_open(t.pid);
	ASSERT_LE(0, fd);
	poller_start(&start, fd, POLLIN | POLLRDNORM);
	EXPECT_EQ(0, live_start(fd));
	EXPECT_EQ(POLLIN | POLLRDNORM, poller_revents(&start));
	/* POLLERR is never asked for. */
	poller_start(&end, fd, 0);
	sysctl_set("livecore_enable", 0);
	EXPECT_EQ(POLLERR, poller_revents(&end));
	close(fd);
	EXPECT_EQ(0, target_finish(&t));
}

/* Nobody is held by it any more: its end is told nevertheless. */
CORE_TEST(epoll_hears_of_the_end_of_a_snapshot)
{
	struct epoll_event event = { .events = 0 };
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct target t;
	int fd;

	target_start(&t, "named", "0 epolled");
	sysctl_set("livecore_mode", 1);
	fd = core_open(t.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(LIVECORE_STATE_SNAPSHOT, live_info_of(fd).state);
	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	EXPECT_EQ(0, epoll_wait(epoll, &event, 1, 0));
	sysctl_set("livecore_enable", 0);
	EXPECT_EQ(1, epoll_wait(epoll, &event, 1, EVENT_SECONDS * 1000));
	EXPECT_EQ(EPOLLERR, event.events);
	close(fd);
	close(epoll);
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
