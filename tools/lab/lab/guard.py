# SPDX-License-Identifier: GPL-2.0
"""Proves that a debug kernel does not let a call through a pointer to a sealed function pass.

On stock kernels only a machine with IBT punishes such a call: everywhere else it goes well, so
that a module that makes one is found by users. The debug kernels punish it on any machine, as
long as their configuration is what it has to be: therefore the call is made, and the guest has to
die of it, and of nothing else.
"""

import re

from . import module
from .guest import Guest, Outcome, Verdict
from .kernels import Kernel
from .paths import LOGS
from .report import Report, Result, of_guest

NAME = "sealed-calls"

_TIMEOUT_S = 400.0
_PARAMETER = "/sys/module/livecore_sealed/parameters/call"
_OPEN = "jiffies_to_clock_t"
_ALIVE = "a function that is not sealed was called"


def run(kernel: Kernel, report: Report) -> None:
    """Calls each function that has to be sealed on this kernel in a guest of its own."""
    modules = module.build_for_tests(kernel)
    sealed = ["task_work_cancel"]
    if not kernel.has("KUNIT"):
        # Exported for it, and what is exported is not sealed.
        sealed.append("mm_alloc")
    if not re.search(r"\ttask_work_add\t", (kernel.tree / "Module.symvers").read_text("utf-8")):
        sealed.append("task_work_add")
    for function in sealed:
        outcome = Guest(kernel).run(
            f"insmod {modules / 'livecore_sealed.ko'} && echo {_OPEN} >{_PARAMETER}"
            f" && echo '{_ALIVE}' && echo {function} >{_PARAMETER}",
            LOGS / f"guard-{kernel.name}-{function}", _TIMEOUT_S,
        )
        result, detail = _judge(outcome, function)
        report.add(f"guard/{kernel.name}/{NAME}/{function}", result, detail)


def _judge(outcome: Outcome, function: str) -> tuple[Result, str]:
    if _ALIVE not in outcome.stdout():
        return of_guest(outcome.verdict), str(outcome)
    wanted = rf"CFI failure at \w+\S* \[livecore_sealed\] \(target: {function}\+0x0/"
    if outcome.verdict is Verdict.SPLAT and outcome.status is None:
        if re.search(wanted, outcome.detail):
            return Result.PASSED, ""
        return Result.SPLAT, f"not the one that was wanted: {outcome}"
    return Result.FAILED, f"{function} was called through a pointer, and the kernel lived: {outcome}"
