// SPDX-License-Identifier: GPL-2.0
/* What sys/tracepoints.rs takes from the headers of the tracepoints. */
#include <linux/tracepoint.h>
#include <trace/events/signal.h>
#include <trace/events/task.h>
#include <livecore/helpers.h>

/* No probe is running that was unregistered before. */
void livecore_tracepoint_synchronize(void)
{
	tracepoint_synchronize_unregister();
}

/* The result that signal_generate tells: was it neither ignored nor refused? */
bool livecore_signal_was_sent(int result)
{
	return result != TRACE_SIGNAL_IGNORED && result != TRACE_SIGNAL_OVERFLOW_FAIL;
}

/*
 * Never called: breaks the build where a prototype is no longer the one that
 * the probes in sys/tracepoints.rs are written for.
 */
typedef void signal_generate_probe(void *data, int sig, struct kernel_siginfo *info,
				   struct task_struct *task, int group, int result);
typedef void task_newtask_probe(void *data, struct task_struct *task, u64 clone_flags);

static void __maybe_unused check_prototypes(signal_generate_probe *signal_generate,
					    task_newtask_probe *task_newtask)
{
	check_trace_callback_type_signal_generate(signal_generate);
	check_trace_callback_type_task_newtask(task_newtask);
}
