# SPDX-License-Identifier: GPL-2.0
"""What a kernel log must not hold."""

import re
from collections.abc import Iterator
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
_STACK_END = re.compile(r"</TASK>")

# KCSAN tells of all races, and most are the kernel's own. Ours have a function of ours in one of
# the stacks, which are between the first line and a line of = signs.
_RACE = re.compile(r"BUG: KCSAN:")
_RACE_END = re.compile(r"={60}")
_OURS = re.compile(r"\[livecore\]")

# lib/oom.c says so, where a test wants a memory cgroup to kill somebody.
_KILLS = re.compile(r"livecore-lab: a cgroup runs out of memory")
_KILLS_END = re.compile(r"livecore-lab: nobody else is killed")
_KILLED = "Memory cgroup out of memory"
# Until the memory is there, one stack follows another, and a slow console misses the first lines
# of some.
_DROPPED = re.compile(r"\*\* \d+ printk messages dropped \*\*")

# lib/faults.c says so, where a test lets allocations fail. Of those vmalloc() shows the stack, as
# the kernel does of whoever runs out of memory.
_FAULTS = re.compile(r"livecore-lab: allocations are made to fail")
_FAULTS_END = re.compile(r"livecore-lab: no allocation is made to fail")
_FAILED = re.compile(r": vmalloc error: size \d+, ")

# guest/selftests says so before each test.
_TEST = re.compile(r"livecore-lab: test (\S+)")


def find_splat(log: Path) -> str | None:
    """The first line of a kernel log that tells of a bug, and what ran at that time."""
    return next((line for line, counts in _told(log) if counts), None)


def count_foreign_races(log: Path) -> int:
    """How many races KCSAN tells of that we have no part in."""
    return sum(not counts for _, counts in _told(log))


def _told(log: Path) -> Iterator[tuple[str, bool]]:
    """The lines that tell of a bug, and whether they count against us."""
    if not log.exists():
        return
    during = race = ""
    ours = shows_stack = kills = faults = False
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if match := _TEST.search(line):
                during = f" (during {match.group(1)})"
                shows_stack = kills = faults = False
            if _KILLS.search(line) or _KILLS_END.search(line):
                kills = bool(_KILLS.search(line))
            if _FAULTS.search(line) or _FAULTS_END.search(line):
                faults = bool(_FAULTS.search(line))
            if (
                _OOM.search(line)
                or (faults and _FAILED.search(line))
                or (kills and _DROPPED.search(line))
            ):
                shows_stack = True
            elif _STACK_END.search(line):
                shows_stack = False
            if _RACE.search(line):
                race, ours = line.strip() + during, False
                continue
            ours = ours or bool(_OURS.search(line))
            if race and _RACE_END.search(line):
                yield race, ours
                race = ""
            harmless = (
                _HARMLESS.search(line)
                or (shows_stack and "Call Trace" in line)
                or (kills and _KILLED in line)
            )
            if _SPLAT.search(line) and not harmless:
                yield line.strip() + during, True
    if race:
        yield race, ours
