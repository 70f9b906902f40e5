// SPDX-License-Identifier: GPL-2.0
/*
 * The lock of the registry of dumps. It is taken by the signal:signal_generate
 * probe, under siglock with interrupts off, so interrupts are off under it
 * everywhere, and nothing but wait queues, workqueues and task lists is
 * touched while it is held.
 */
#include <linux/spinlock.h>
#include <livecore/helpers.h>

static DEFINE_SPINLOCK(registry_lock);

unsigned long livecore_registry_lock(void)
	__acquires(&registry_lock)
{
	unsigned long flags;

	spin_lock_irqsave(&registry_lock, flags);
	return flags;
}

void livecore_registry_unlock(unsigned long flags)
	__releases(&registry_lock)
{
	spin_unlock_irqrestore(&registry_lock, flags);
}
