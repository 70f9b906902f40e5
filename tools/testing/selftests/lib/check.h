/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A step that a test stands on without being about it: when it fails, the
 * process says where, and ends as failed. What a test is about is asserted
 * with the harness's ASSERT_*() and EXPECT_*().
 */
#ifndef LIVECORE_CHECK_H
#define LIVECORE_CHECK_H

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FAIL(format, ...)						\
do {									\
	fprintf(stderr, "# %s:%d: " format "\n", __FILE__, __LINE__,	\
		##__VA_ARGS__);						\
	_exit(1);							\
} while (0)

/* The value of a system call that must not fail. */
#define CHECK(call)							\
({									\
	__typeof__(call) check_value_ = (call);				\
									\
	if (check_value_ < 0)						\
		FAIL("%s: %s", #call, strerror(errno));			\
	check_value_;							\
})

/* The same for what returns a pointer. */
#define CHECK_POINTER(call)						\
({									\
	__typeof__(call) check_value_ = (call);				\
									\
	if (!check_value_ || (void *)check_value_ == (void *)-1)	\
		FAIL("%s: %s", #call, strerror(errno));			\
	check_value_;							\
})

/* For what returns an error number instead of setting errno. */
#define CHECK_ZERO(call)						\
do {									\
	int check_value_ = (call);					\
									\
	if (check_value_)						\
		FAIL("%s: %d", #call, check_value_);			\
} while (0)

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))
#endif

/* What another process or thread writes. */
#define LOAD(object)		__atomic_load_n(&(object), __ATOMIC_SEQ_CST)
#define STORE(object, value)	__atomic_store_n(&(object), (value), __ATOMIC_SEQ_CST)

#endif /* LIVECORE_CHECK_H */
