// SPDX-License-Identifier: GPL-2.0
/*
 * As /proc/meminfo has it.
 */
#include <stdlib.h>

#include "check.h"
#include "kernel_memory.h"
#include "proc.h"

long kernel_memory(void)
{
	static const char * const keys[] = {
		"SUnreclaim", "KernelStack", "PageTables", "VmallocUsed", "Percpu",
	};
	char *text = proc_text("meminfo");
	long sum = 0;

	if (!text)
		FAIL("/proc/meminfo: %s", strerror(errno));
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		sum += text_number(text, keys[i]) * 1024;
	free(text);
	return sum;
}

bool kernel_memory_is_below(long bytes)
{
	return kernel_memory() < bytes;
}
