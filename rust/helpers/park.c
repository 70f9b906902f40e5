// SPDX-License-Identifier: GPL-2.0
/* Waiting, in states and with conditions that only macros can express. */
#include <linux/poll.h>
#include <linux/swait.h>
#include <linux/wait.h>
#include <livecore/helpers.h>

/*
 * KILLABLE: only a fatal signal ends the wait; a handled one stays pending.
 * FREEZABLE: suspend is not held up. NOLOAD: neither load nor khungtaskd
 * counts it, and ps shows I.
 */
#define PARKED	(TASK_KILLABLE | TASK_FREEZABLE | TASK_NOLOAD)

/**
 * livecore_park() - Keep the calling thread from user mode.
 * @queue: what livecore_unpark_all() wakes
 * @open: set before that
 *
 * This function's name is what wchan shows.
 *
 * Return: 0 when released, -ERESTARTSYS on a fatal signal.
 */
noinline int livecore_park(struct swait_queue_head *queue, const bool *open)
{
	/* Pairs with the release in Turnstile::unlock(). */
	return ___swait_event(*queue, smp_load_acquire(open), PARKED, 0, schedule());
}

void livecore_init_swait_queue(struct swait_queue_head *queue)
{
	init_swait_queue_head(queue);
}

/*
 * Process context. There may be ten thousand: a simple wait queue lets
 * interrupts in after each of them.
 */
void livecore_unpark_all(struct swait_queue_head *queue)
{
	swake_up_all(queue);
}

void livecore_init_waitqueue(struct wait_queue_head *queue)
{
	init_waitqueue_head(queue);
}

void livecore_wake_all(struct wait_queue_head *queue)
{
	wake_up_all(queue);
}

/*
 * Waits until *@count is not above zero, a signal arrives, or @timeout_ms have
 * passed. Return: > 0 reached, 0 timed out, -ERESTARTSYS.
 */
long livecore_wait_for_zero(struct wait_queue_head *queue, const int *count,
			    unsigned int timeout_ms)
{
	/* Pairs with the full barrier in Countdown::arrived(). */
	return wait_event_interruptible_timeout(*queue, smp_load_acquire(count) <= 0,
						msecs_to_jiffies(timeout_ms));
}

/* Makes poll(2) of @file wait for livecore_wake_pollers(). */
void livecore_poll_wait(struct file *file, struct wait_queue_head *queue,
			struct poll_table_struct *table)
{
	poll_wait(file, queue, table);
}

void livecore_wake_pollers(struct wait_queue_head *queue)
{
	/* All, exclusive ones too: it is the state of the file that has changed. */
	__wake_up(queue, TASK_NORMAL, 0, poll_to_key(EPOLLIN | EPOLLRDNORM | EPOLLERR));
}
