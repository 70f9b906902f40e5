/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * livecore: dumping a running process through /proc/<pid>/core.
 *
 * Documentation/ABI/testing/procfs-core has the rules. Not stable before 1.0.
 */
#ifndef _UAPI_LINUX_LIVECORE_H
#define _UAPI_LINUX_LIVECORE_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * Each ioctl takes a pointer to a structure that begins with its own size in
 * bytes, as the caller knows it; START and RELEASE take nothing, and want 0.
 * The layout is the same for 32-bit callers.
 *
 * A structure may be shorter than the kernel's, down to its first version:
 * what is missing is as if it were not set (_CONFIG), or is not told (_INFO).
 * It may be longer: _CONFIG fails with E2BIG unless all that the kernel does
 * not know is zero, _INFO sets it to zero.
 */
#define LIVECORE_IOC_TYPE	'L'

/* What one dump is to be; only before START. Each one replaces the former. */
#define LIVECORE_IOC_CONFIG	_IO(LIVECORE_IOC_TYPE, 0x80)
/* Holds the process, as open(O_RDONLY) does. */
#define LIVECORE_IOC_START	_IO(LIVECORE_IOC_TYPE, 0x81)
/*
 * Lets the threads go now. Registers stay what they are; memory that is read
 * afterwards is whatever it is by then.
 */
#define LIVECORE_IOC_RELEASE	_IO(LIVECORE_IOC_TYPE, 0x82)
/* Tells what has happened so far. */
#define LIVECORE_IOC_INFO	_IO(LIVECORE_IOC_TYPE, 0x83)

/* livecore_config.mode, and kernel.livecore_mode */
#define LIVECORE_MODE_HOLD		0 /* held until close */
#define LIVECORE_MODE_SNAPSHOT		1 /* held while the memory is copied */

/* Why a snapshot was asked for, and the process is held nevertheless */
#define LIVECORE_FALLBACK_HUGETLB	(1U << 0) /* huge pages of hugetlb */
#define LIVECORE_FALLBACK_USERFAULTFD	(1U << 1)
#define LIVECORE_FALLBACK_SYSV		(1U << 2) /* a System V segment is attached */
#define LIVECORE_FALLBACK_DONTFORK	(1U << 3) /* MADV_DONTFORK */
#define LIVECORE_FALLBACK_WIPEONFORK	(1U << 4) /* MADV_WIPEONFORK */
#define LIVECORE_FALLBACK_MEMORY	(1U << 5) /* no room in the memory cgroups, or at all */
#define LIVECORE_FALLBACK_IN_USE	(1U << 6) /* others are told who maps something */
#define LIVECORE_FALLBACK_LOCKED	(1U << 7) /* a mapped file is locked while it is open */
#define LIVECORE_FALLBACK_FAILED	(1U << 8) /* some page cannot be copied */
#define LIVECORE_FALLBACK_BUSY		(1U << 9) /* its mappings stayed locked, or changed */

/* livecore_config.contents, and kernel.livecore_contents */
#define LIVECORE_CONTENTS_REGISTERS	0 /* notes alone */
#define LIVECORE_CONTENTS_STACKS	1 /* what backtraces of all threads need */
#define LIVECORE_CONTENTS_FULL		2 /* what coredump_filter says */

/* livecore_config.blocked, and kernel.livecore_blocked */
#define LIVECORE_BLOCKED_WAIT		0 /* waited for, zeroed after the timeout */
#define LIVECORE_BLOCKED_IN_PLACE	1 /* read where they sleep */

/* livecore_config.abort, and kernel.livecore_abort */
#define LIVECORE_ABORT_FATAL		0 /* signals that end the process */
#define LIVECORE_ABORT_OUTSIDE		1 /* also others' wish to stop or end it */
#define LIVECORE_ABORT_ANY		2 /* any signal */

/* livecore_config.set: which of the members that follow count */
#define LIVECORE_SET_MODE		(1U << 0)
#define LIVECORE_SET_CONTENTS		(1U << 1)
#define LIVECORE_SET_BLOCKED		(1U << 2)
#define LIVECORE_SET_TIMEOUT_MS		(1U << 3)
#define LIVECORE_SET_STALL_MS		(1U << 4)
#define LIVECORE_SET_FILTER_MASK	(1U << 5)
#define LIVECORE_SET_ABORT		(1U << 6)
#define LIVECORE_SET_HOLD_MAX_MS	(1U << 7)

/*
 * Values are those of the sysctls of the same names. What is not set is as in
 * the sysctls when the dump starts. Those of contents, timeout_ms, stall_ms and
 * hold_max_ms are also the limits for callers without CAP_SYS_PTRACE in the
 * initial user namespace: less is allowed, more gets EPERM; and of abort, more
 * is allowed, and less is not. That of filter_mask is so in its effect: nothing
 * is dumped for them that it does not give.
 */
struct livecore_config {
	__u32 size;
	__u32 set;		/* LIVECORE_SET_* */
	__u32 mode;
	__u32 contents;
	__u32 blocked;
	__u32 timeout_ms;
	__u32 stall_ms;
	__u32 filter_mask;
	__u32 abort;
	__u32 hold_max_ms;	/* 0: no limit */
};

#define LIVECORE_CONFIG_SIZE_VER0	40

/* livecore_info.state */
#define LIVECORE_STATE_IDLE		0 /* before START */
#define LIVECORE_STATE_HELD		1
#define LIVECORE_STATE_RELEASED		2 /* by _RELEASE */
#define LIVECORE_STATE_ENDED		3 /* early: error says why */
#define LIVECORE_STATE_SNAPSHOT		4 /* the process runs; the copy is read */

struct livecore_info {
	__u32 size;
	__u32 state;		/* LIVECORE_STATE_* */
	__u32 error;		/* errno of reads, where the dump ended early */
	__u32 mode;		/* as it was done, not as it was asked for */
	__u32 contents;
	__u32 threads;		/* with notes: the sum of the next six */
	__u32 parked;		/* LIVECORE_THREAD_*, each */
	__u32 in_place;
	__u32 running;
	__u32 zeroed;
	__u32 caller;
	__u32 moved;
	__u64 image_size;	/* in bytes */
	__u64 hold_ns;		/* from the first work queued until all were held */
	__u64 held_ns;		/* from the first work queued until now, or the end */
	__u64 read_bytes;	/* data and holes, as often as they were read */
	__u64 hole_bytes;	/* of these: zeros for memory that was never touched */
	__u64 unreadable_pages;	/* zeros for pages that should have been there */
	__u32 fallback;		/* LIVECORE_FALLBACK_*: why it is no snapshot */
	__u32 reserved;
};

#define LIVECORE_INFO_SIZE_VER0		104

/*
 * The note that only a live dump has: owner "LIVECORE", type
 * NT_LIVECORE_DUMP; a livecore_note, and thread_count times a
 * livecore_note_thread, in the order of the NT_PRSTATUS notes. Little endian,
 * the same in ELF32 and ELF64. A reader goes by header_size and thread_size,
 * and ignores what it does not know at the end of either. The type is no other
 * note's: there are readers that do not look at the owner.
 */
#define NT_LIVECORE_DUMP	0x4c495645 /* "LIVE" */

/* livecore_note.inexact: what of the image is not of one instant */
#define LIVECORE_INEXACT_REGISTERS	(1U << 0) /* a thread is not exact; see its record */
#define LIVECORE_INEXACT_SHARED_MM	(1U << 1) /* another process shares the memory */
#define LIVECORE_INEXACT_WORKERS	(1U << 2) /* io_uring or vhost workers went on */
#define LIVECORE_INEXACT_SHARED_MEMORY	(1U << 3) /* snapshot: shared memory is as of reading */

struct livecore_note {
	__u32 header_size;
	__u32 thread_size;
	__u32 thread_count;
	__u32 inexact;		/* LIVECORE_INEXACT_* */
	__u32 mode;		/* LIVECORE_MODE_* */
	__u32 contents;		/* LIVECORE_CONTENTS_* */
	__u32 filter;		/* coredump_filter that was used */
	__u32 fallback;		/* LIVECORE_FALLBACK_* */
	__u64 time_ns;		/* CLOCK_REALTIME when all were held */
	__u64 hold_ns;		/* from the first work queued until then */
};

/* livecore_note_thread.how: how a thread was captured */
#define LIVECORE_THREAD_PARKED		0 /* by itself, at the boundary to user mode */
#define LIVECORE_THREAD_IN_PLACE	1 /* asleep in the kernel, not woken */
#define LIVECORE_THREAD_RUNNING		2 /* running in the kernel: general registers only */
#define LIVECORE_THREAD_ZEROED		3 /* not captured: registers are zeros */
#define LIVECORE_THREAD_CALLER		4 /* the thread that dumps itself */
#define LIVECORE_THREAD_MOVED		5 /* in place; arrived while the notes were made */

/* livecore_note_thread.flags */
/* In KVM_RUN: no floating point; on Intel, gs_base may be the guest's. */
#define LIVECORE_THREAD_GUEST_FPU	(1U << 0)

struct livecore_note_thread {
	__u32 tid;		/* in the pid namespace of the process */
	__u16 how;		/* LIVECORE_THREAD_* */
	__u16 flags;
	__s64 syscall;		/* that the thread is in, by the process's own table; or -1 */
	__u64 args[6];		/* of that system call */
};

#endif /* _UAPI_LINUX_LIVECORE_H */
