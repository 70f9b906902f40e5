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
    r"|Bad page state|Bad rss-counter|refcount_t:|list_(?:add|del) corruption|rust_kernel: panicked"
)

# What kernels say on any boot in a guest.
_HARMLESS = re.compile(r"Command line:|Kernel command line:|kmemleak: Kernel memory leak detector")

# guest/selftests says so before each test.
_TEST = re.compile(r"livecore-lab: test (\S+)")


def find_splat(log: Path) -> str | None:
    """The first line of a kernel log that tells of a bug, and what ran at that time."""
    if not log.exists():
        return None
    during = ""
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if match := _TEST.search(line):
                during = f" (during {match.group(1)})"
            if _SPLAT.search(line) and not _HARMLESS.search(line):
                return line.strip() + during
    return None
