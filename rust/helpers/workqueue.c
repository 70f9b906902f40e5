// SPDX-License-Identifier: GPL-2.0
/*
 * The module's workqueue and the watchdog's tick: kernel::workqueue cannot
 * create a queue, nor cancel a delayed work and wait for it, and unloading
 * needs both.
 */
#include <linux/workqueue.h>
#include <livecore/helpers.h>

static struct workqueue_struct *livecore_wq;
static struct delayed_work watchdog;

/*
 * Prompt, however busy the system's queues are, and with a rescuer: what is
 * held may be what reclaim waits for.
 */
int livecore_create_workqueue(void)
{
	livecore_wq = alloc_workqueue("livecore", WQ_UNBOUND | WQ_HIGHPRI | WQ_MEM_RECLAIM, 0);
	return livecore_wq ? 0 : -ENOMEM;
}

/* What is queued runs before this returns. */
void livecore_destroy_workqueue(void)
{
	destroy_workqueue(livecore_wq);
}

struct workqueue_struct *livecore_workqueue(void)
{
	return livecore_wq;
}

/* Once, at load. @tick runs in process context and may kick again. */
void livecore_watchdog_init(work_func_t tick)
{
	INIT_DELAYED_WORK(&watchdog, tick);
}

void livecore_watchdog_kick(unsigned int delay_ms)
{
	queue_delayed_work(livecore_wq, &watchdog, msecs_to_jiffies(delay_ms));
}

/* No tick is running, and none starts, when this returns. */
void livecore_watchdog_stop(void)
{
	cancel_delayed_work_sync(&watchdog);
}
