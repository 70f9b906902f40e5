// SPDX-License-Identifier: GPL-2.0
/*
 * The module's workqueue and the watchdog's tick: kernel::workqueue cannot
 * create a queue, nor cancel a delayed work and wait for it, and unloading
 * needs both.
 */
#include <linux/workqueue.h>
#include <livecore/helpers.h>

static struct delayed_work watchdog;

/* For the ends of dumps: prompt, however busy the system's queues are. */
struct workqueue_struct *livecore_alloc_workqueue(void)
{
	return alloc_workqueue("livecore", WQ_UNBOUND | WQ_HIGHPRI | WQ_MEM_RECLAIM, 0);
}

/* Once, at load. @tick runs in process context and may kick again. */
void livecore_watchdog_init(work_func_t tick)
{
	INIT_DELAYED_WORK(&watchdog, tick);
}

void livecore_watchdog_kick(unsigned int delay_ms)
{
	schedule_delayed_work(&watchdog, msecs_to_jiffies(delay_ms));
}

/* No tick is running, and none starts, when this returns. */
void livecore_watchdog_stop(void)
{
	cancel_delayed_work_sync(&watchdog);
}
