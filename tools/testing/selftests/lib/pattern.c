// SPDX-License-Identifier: GPL-2.0
/*
 * The values of a pattern.
 */
#include "pattern.h"

#define MXCSR_DEFAULT		0x1f80
#define MXCSR_ROUNDING_SHIFT	13

/* No two values of one pattern are the same, nor two of different patterns. */
void pattern_fill(struct pattern *pattern, unsigned int number)
{
	uint64_t *gpr = &pattern->rax;

	*pattern = (struct pattern){};
	for (unsigned int i = 0; i <= PATTERN_R15 / 8; i++)
		gpr[i] = UINT64_C(0xc0de000000000000) | (uint64_t)number << 32 |
			 UINT64_C(0xabcd0000) | i;
	pattern->mxcsr = MXCSR_DEFAULT | (number % 4) << MXCSR_ROUNDING_SHIFT;
	for (unsigned int i = 0; i < 16; i++)
		for (unsigned int byte = 0; byte < 32; byte++)
			pattern->ymm[i][byte] = 29 * number + 53 * i + 7 * byte + 1;
}
