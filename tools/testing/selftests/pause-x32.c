// SPDX-License-Identifier: GPL-2.0
/*
 * A program of the ABI x32, which has no libc: it sleeps in pause().
 */
#include <asm/unistd.h>

void _start(void)
{
	long result;

	for (;;)
		asm volatile("syscall"
			     : "=a" (result)
			     : "0" (__NR_pause)
			     : "rcx", "r11", "memory");
}
