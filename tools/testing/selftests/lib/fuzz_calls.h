/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Any call on any descriptor of `core`, with arguments of any kind.
 */
#ifndef LIVECORE_FUZZ_CALLS_H
#define LIVECORE_FUZZ_CALLS_H

#include "fuzzer.h"

/* Makes one, and complains if it did not do what it is meant to do. */
void fuzz_once(struct fuzzer *f);

#endif /* LIVECORE_FUZZ_CALLS_H */
