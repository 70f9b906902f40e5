// SPDX-License-Identifier: GPL-2.0
/*
 * The values of registers.
 */
#include "check.h"
#include "known.h"

#define MXCSR_DEFAULT		0x1f80
#define MXCSR_ROUNDING_SHIFT	13

void known_fill(struct known *known, unsigned int number)
{
	*known = (struct known){};
	for (unsigned int i = 0; i < 16; i++)
		known->reg[i] = UINT64_C(0xc0de0000abcd0000) | (uint64_t)number << 32 |
				number << 8 | i;
	known->mxcsr = MXCSR_DEFAULT | (number % 4) << MXCSR_ROUNDING_SHIFT;
	for (unsigned int i = 0; i < 16; i++)
		for (unsigned int byte = 0; byte < 32; byte++)
			known->ymm[i][byte] = 31 * number + 57 * i + 5 * byte + 3;
}

bool known_has_arrived(const struct known *known)
{
	const uint32_t *below = (const void *)(uintptr_t)(known->stack - 8);

	return LOAD(known->loaded) && LOAD(*below) == KNOWN_ARRIVED;
}
