/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Rings of io_uring, as who makes requests sees them.
 */
#ifndef LIVECORE_RING_H
#define LIVECORE_RING_H

#include <linux/io_uring.h>
#include <stddef.h>
#include <stdint.h>

enum { RING_ENTRIES = 64 };

struct ring {
	int fd;
	char *rings;
	size_t size;
	struct io_uring_sqe *sqes;
	struct io_uring_params params;
};

#define RING(ring, queue, field)					\
	(*(uint32_t *)((ring)->rings + (ring)->params.queue##_off.field))

/* @flags: IORING_SETUP_*; a thread that polls sleeps after 10 ms. */
void ring_create(struct ring *ring, unsigned int flags);
void ring_destroy(struct ring *ring);

/* Puts one request into the ring; the kernel is not told. */
void ring_put(struct ring *ring, const struct io_uring_sqe *request);

/*
 * The ring waits for itself, RING_ENTRIES times. Whoever exits or executes while
 * such a request of his is in flight cancels it, and runs task works for that.
 */
void ring_wait_for_itself(struct ring *ring);

#endif /* LIVECORE_RING_H */
