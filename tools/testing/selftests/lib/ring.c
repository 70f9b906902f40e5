// SPDX-License-Identifier: GPL-2.0
/*
 * See ring.h.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "check.h"
#include "ring.h"

#define SQES_SIZE	(RING_ENTRIES * sizeof(struct io_uring_sqe))

static void *ring_map(const struct ring *ring, size_t size, off_t what)
{
	return CHECK_POINTER(mmap(NULL, size, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_POPULATE, ring->fd, what));
}

void ring_create(struct ring *ring, unsigned int flags)
{
	memset(&ring->params, 0, sizeof(ring->params));
	ring->params.flags = flags;
	ring->params.sq_thread_idle = 10;
	ring->fd = CHECK(syscall(SYS_io_uring_setup, RING_ENTRIES, &ring->params));
	ring->size = ring->params.cq_off.cqes +
		     ring->params.cq_entries * sizeof(struct io_uring_cqe);
	ring->rings = ring_map(ring, ring->size, IORING_OFF_SQ_RING);
	ring->sqes = ring_map(ring, SQES_SIZE, IORING_OFF_SQES);
}

void ring_destroy(struct ring *ring)
{
	CHECK(munmap(ring->sqes, SQES_SIZE));
	CHECK(munmap(ring->rings, ring->size));
	close(ring->fd);
}

void ring_put(struct ring *ring, const struct io_uring_sqe *request)
{
	uint32_t tail = RING(ring, sq, tail);
	uint32_t index = tail & RING(ring, sq, ring_mask);

	ring->sqes[index] = *request;
	(&RING(ring, sq, array))[index] = index;
	STORE(RING(ring, sq, tail), tail + 1);
}

void ring_wait_for_itself(struct ring *ring)
{
	const struct io_uring_sqe wait = {
		.opcode = IORING_OP_POLL_ADD,
		.fd = ring->fd,
		.poll32_events = POLLIN,
	};

	for (int i = 0; i < RING_ENTRIES; i++)
		ring_put(ring, &wait);
	if (CHECK(syscall(SYS_io_uring_enter, ring->fd, RING_ENTRIES, 0, 0, NULL, 0)) !=
	    RING_ENTRIES)
		FAIL("the ring takes fewer requests");
}
