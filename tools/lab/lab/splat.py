# SPDX-License-Identifier: GPL-2.0
"""What a kernel log must not hold."""

import re
from pathlib import Path

_SPLAT = re.compile(
    r"BUG:|(?:^|\] )WARNING:|Oops|KASAN:|KCSAN:|UBSAN:|Call Trace|Kernel panic|general protection"
    r"|INFO: rcu|rcu: INFO|self-detected stall|possible (?:recursive|circular|irq lock)"
    r"|inconsistent lock state|suspicious RCU usage|INFO: task|blocked for more than"
    r"|soft lockup|hard LOCKUP|workqueue lockup|CFI failure|Missing ENDBR"
    r"|kmemleak: \d+ new suspected|unable to handle|double fault|stack-protector"
    r"|sleeping function called from invalid context|scheduling while atomic"
    r"|Memory cgroup out of memory"
    r"|Bad page state|Bad rss-counter|refcount_t:|list_(?:add|del) corruption|rust_kernel: panicked"
)

# What kernels say on any boot in a guest.
_HARMLESS = re.compile(r"Command line:|Kernel command line:|kmemleak: Kernel memory leak detector")

# The kernel shows the stack of whoever runs out of memory, which is no bug of anybody's: from
# this line up to that. Where a memory cgroup does, something was killed that no test wants dead.
_OOM = re.compile(r"invoked oom-killer:")
_OOM_END = re.compile(r"</TASK>")

# guest/selftests says so before each test.
_TEST = re.compile(r"livecore-lab: test (\S+)")


def find_splat(log: Path) -> str | None:
    """The first line of a kernel log that tells of a bug, and what ran at that time."""
    if not log.exists():
        return None
    during = ""
    out_of_memory = False
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if match := _TEST.search(line):
                during = f" (during {match.group(1)})"
                out_of_memory = False
            if _OOM.search(line) or _OOM_END.search(line):
                out_of_memory = bool(_OOM.search(line))
            harmless = _HARMLESS.search(line) or (out_of_memory and "Call Trace" in line)
            if _SPLAT.search(line) and not harmless:
                return line.strip() + during
    return None
