# SPDX-License-Identifier: GPL-2.0
"""make demo: a core of a running redis-server, on a stock kernel, while a client waits for it."""

import json
import subprocess
from pathlib import Path

from . import module, trees
from .guest import Guest, Verdict
from .paths import LAB, LOGS, shown
from .progress import LabError, say

_PROGRAM = "/usr/bin/redis-server"
_TIMEOUT_S = 300


def run(name: str) -> int:
    """Runs the demonstration on a kernel; returns the exit status."""
    kernel = trees.get(name)
    built = module.build(kernel)
    say(f"booting the unmodified {kernel.release}, loading livecore.ko, starting redis-server")
    session = LOGS / "demo"
    outcome = Guest(kernel, module=built).run(
        f"{LAB / 'guest/demo'} {session}", session, _TIMEOUT_S
    )
    if outcome.verdict is not Verdict.OK:
        errors = (session / "stderr").read_text(encoding="utf-8") if outcome.status else ""
        raise LabError(f"{outcome} {errors}".strip())
    measured = json.loads((session / "demo.json").read_text(encoding="utf-8"))
    print(f"\n# cat /proc/{measured['pid']}/core > core")
    print(f"# gdb {_PROGRAM} core -ex 'thread apply all bt'\n")
    backtraces = _backtraces(session / "core")
    print(backtraces)
    shown_threads = backtraces.count("\nThread ")
    if shown_threads != measured["threads"]:
        raise LabError(f"gdb shows {shown_threads} threads, redis had {measured['threads']}")
    if not measured["sent_while_held"]:
        raise LabError("the dump was over before a PING could be sent")
    print(
        f"PING was answered in {measured['before_ms']:.1f} ms before the dump and in"
        f" {measured['after_ms']:.1f} ms after it, on one connection.\n"
        f"The PING sent while redis was held was answered {measured['answered_after_ms']:.1f} ms"
        " after the dump was closed, on that connection too."
    )
    print(
        f"\nlivecore dumped a serving redis-server with {shown_threads} threads on stock"
        f" {kernel.release}: a core of {measured['bytes'] / 2**20:.0f} MiB,"
        f" held for {measured['held_ms']:.0f} ms, read by gdb ({shown(session / 'core')})."
    )
    return 0


def _backtraces(core: Path) -> str:
    """What gdb, running natively, makes of the core."""
    result = subprocess.run(
        ["gdb", "--nx", "--batch", "-ex", "thread apply all bt", _PROGRAM, str(core)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )
    if "\nThread " not in result.stdout:
        raise LabError(f"gdb shows no threads: {result.stderr.strip()} {result.stdout[-500:]}")
    return "\nThread " + result.stdout.partition("\nThread ")[2]
