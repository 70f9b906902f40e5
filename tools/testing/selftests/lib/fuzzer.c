// SPDX-License-Identifier: GPL-2.0
/*
 * What the threads of core-fuzz have in common (fuzzer.h).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "fuzzer.h"
#include "live.h"

enum {
	PAGE		= 4096,
	MAX_COMPLAINTS	= 20,
	SLOTS		= 6,
};

struct fuzzed *fuzzed;
struct target fuzz_survivors[FUZZ_SURVIVORS];
int fuzz_mail[2];

/* Of this process; each closed by who takes its number out. */
static int slots[SLOTS] = { [0 ... SLOTS - 1] = -1 };

void complain(struct fuzzer *f, const char *format, ...)
{
	char text[256];
	va_list arguments;

	if (__atomic_fetch_add(&fuzzed->complaints, 1, __ATOMIC_SEQ_CST) >= MAX_COMPLAINTS)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	fprintf(stderr, "# fuzzer %d: %s\n", f->number, text);
}

static bool is_among(int error, const int *errors)
{
	static const int ended[] = { ECANCELED, ESRCH, ETIMEDOUT, ENOMEM, 0 };
	static const int reading[] = { FUZZ_ENDED, EFAULT, EINVAL, EAGAIN, 0 };

	for (; *errors; errors++)
		if (error == *errors || (*errors == FUZZ_ENDED && is_among(error, ended)) ||
		    (*errors == FUZZ_READING && is_among(error, reading)))
			return true;
	return false;
}

bool fuzzer_failed(struct fuzzer *f, const char *where, const char *call, long result,
		   const int *errors)
{
	int error = errno;

	if (result >= 0)
		return false;
	if (!is_among(error, errors))
		complain(f, "%s: %s: %s (%d)", where, call, strerror(error), error);
	return true;
}

size_t some_size(struct fuzzer *f)
{
	switch (random_below(&f->random, 8)) {
	case 0:
		return 0;
	case 1:
		return random_below(&f->random, 16);
	case 2:
		return FUZZ_BUFFER;
	case 3:
		return random_next(&f->random) >> random_below(&f->random, 64);
	case 4:
		return PAGE * random_below(&f->random, FUZZ_BUFFER / PAGE);
	default:
		return random_below(&f->random, FUZZ_BUFFER);
	}
}

off_t some_offset(struct fuzzer *f, uint64_t size)
{
	switch (random_below(&f->random, 10)) {
	case 0:
		return 0;
	case 1:
		return size;
	case 2:
		return size - random_below(&f->random, 2 * PAGE);
	case 3:
		return size + random_below(&f->random, 2 * PAGE);
	case 4:
		return random_next(&f->random) >> random_below(&f->random, 64);
	case 5:
		return -(off_t)random_below(&f->random, PAGE);
	case 6:
		return INT64_MAX - random_below(&f->random, PAGE);
	case 7:
		return (size ? random_below(&f->random, size) : 0) & ~(off_t)(PAGE - 1);
	default:
		return size ? random_below(&f->random, size) : 0;
	}
}

void *some_buffer(struct fuzzer *f)
{
	void * const bad[] = {
		NULL, (void *)8, (void *)0xffffffff81000000, (void *)0x800000000000,
		(void *)-1L, f->buffer + FUZZ_BUFFER, f->read_only,
	};

	switch (random_below(&f->random, 10)) {
	case 0:
		return RANDOM_OF(&f->random, bad);
	case 1:
		return f->buffer + FUZZ_BUFFER - random_below(&f->random, 3 * PAGE);
	case 2:
		return f->buffer + random_below(&f->random, PAGE);
	default:
		return f->buffer;
	}
}

uint32_t some_value(struct fuzzer *f)
{
	static const uint32_t values[] = {
		0, 1, 2, 3, FUZZ_WAIT_MS, 999, 1000, FUZZ_STALL_MS, UINT32_MAX,
	};

	return RANDOM_OF(&f->random, values);
}

pid_t somebody(struct fuzzer *f)
{
	const pid_t special[] = {
		1, 2, 0, -1, getpid(), getppid(), gettid(), random_below(&f->random, 1 << 22),
	};

	if (random_one_in(&f->random, 100))
		return RANDOM_OF(&f->random, special);
	if (random_one_in(&f->random, 40))
		return LOAD(fuzzed->pid[WORKER + random_below(&f->random, FUZZ_WORKERS)]);
	if (!f->privileged && random_one_in(&f->random, 2))
		return LOAD(fuzzed->pid[OF_A]);
	return LOAD(fuzzed->pid[random_below(&f->random, WORKER)]);
}

int some_flags(struct fuzzer *f)
{
	static const int flags[] = {
		O_RDWR, O_RDWR, O_RDWR, O_WRONLY, O_ACCMODE, O_PATH, O_NONBLOCK,
		O_RDWR | O_TRUNC, O_TRUNC, O_DIRECT, O_DIRECTORY, O_CREAT, O_CREAT | O_EXCL,
		O_TMPFILE | O_RDWR, O_NOFOLLOW, O_NOATIME, O_RDWR | O_APPEND | O_SYNC, O_ASYNC,
		O_PATH | O_RDWR | O_NOFOLLOW, O_RDWR | O_DIRECT,
	};

	if (random_one_in(&f->random, 2))
		return O_RDONLY;
	if (random_one_in(&f->random, 10))
		return random_next(&f->random) & 0xffffff;
	return RANDOM_OF(&f->random, flags);
}

void keep_dump(struct fuzzer *f, int fd)
{
	int *slot = &slots[random_below(&f->random, SLOTS)];
	int former = __atomic_exchange_n(slot, fd, __ATOMIC_SEQ_CST);

	if (former >= 0)
		close(former);
}

int some_dump(struct fuzzer *f)
{
	return LOAD(slots[random_below(&f->random, SLOTS)]);
}

int take_dump(struct fuzzer *f, struct livecore_info *info)
{
	int fd = some_dump(f);

	if (fd < 0)
		return -1;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	/* The number may be something else's by now. */
	if (fd >= 0 && live_info(fd, info)) {
		close(fd);
		return -1;
	}
	return fd;
}
