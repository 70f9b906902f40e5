/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Loading and unloading livecore, and the modules of tools/testing/modules.
 */
#ifndef LIVECORE_MODULE_H
#define LIVECORE_MODULE_H

#include <stdbool.h>

/* From the file that LIVECORE_KO names: 0 or a negative errno. */
int module_load(void);

/* Once, without waiting: 0 or a negative errno. */
int module_unload(void);

/*
 * Tries until threads that have been let go are out of the module's code: that
 * takes them as long as it takes to be scheduled. False if they never are.
 */
bool module_unloads(void);

bool module_is_loaded(void);

/* For those who come after a test that has failed while it was not loaded. */
void module_put_back(void);

/* From the folder that LIVECORE_TEST_MODULES names. */
void test_module_load(const char *name);

/* Waits until nobody uses it; nothing if it is not loaded. */
void test_module_unload(const char *name);

#endif /* LIVECORE_MODULE_H */
