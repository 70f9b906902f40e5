/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The descriptors that a target inherits, by number: known to both sides.
 */
#ifndef LIVECORE_TARGET_FDS_H
#define LIVECORE_TARGET_FDS_H

enum {
	TARGET_PAGE_FD		= 100,
	TARGET_COMMAND_FD	= 101,
	TARGET_EVENT_FD		= 102,
};

#endif /* LIVECORE_TARGET_FDS_H */
