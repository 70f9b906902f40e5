# SPDX-License-Identifier: GPL-2.0
"""What core-gdb has left, and the truth about it, for all the debuggers that read that core."""

from collections.abc import Iterator
from dataclasses import dataclass

from verdicts import left_by

FOLDER = left_by("gdb")


@dataclass
class Thread:
    """What one thread was doing."""

    tid: int
    chain: list[str]
    ymm0: bytes
    st0: int
    mxcsr: int


def read_threads() -> list[Thread]:
    """All threads; the leader has no chain, and no registers are known of it."""
    threads = []
    for line in (FOLDER / "threads").read_text(encoding="ascii").splitlines():
        tid, *rest = line.split()
        if rest:
            ymm0, st0, mxcsr = rest[3:]
            values = (bytes.fromhex(ymm0), int(st0), int(mxcsr, 16))
        else:
            values = (b"", 0, 0)
        threads.append(Thread(int(tid), rest[:3], *values))
    return threads


def read_maps() -> list[tuple[int, int, int, str]]:
    """start, end, offset, file of the mappings that have one."""
    maps = []
    for line in (FOLDER / "maps").read_text(encoding="utf-8").splitlines():
        span, _, offset, _, _, *path = line.split(maxsplit=5)
        if path and path[0].startswith("/"):
            start, end = (int(bound, 16) for bound in span.split("-"))
            maps.append((start, end, int(offset, 16), path[0]))
    return maps


def stack_complaints(thread: Thread, names: list[str]) -> Iterator[str]:
    """What is wrong with the functions that a debugger has found on a thread's stack."""
    if thread.chain:
        if names[:3] != thread.chain or "start_thread" not in names:
            yield f"thread {thread.tid}: {names} instead of {thread.chain}"
    elif "main" not in names or "target_command" not in names:
        yield f"leader: {names}"
