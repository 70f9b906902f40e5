# SPDX-License-Identifier: GPL-2.0
"""Reads the cores that selftests left, with debuggers that run natively: emulation is slow.

Each executable in tools/testing/judges is called with a kernel's folder of results and prints
KTAP, as a selftest does.
"""

import fnmatch
import os
import subprocess

from . import ktap
from .kernels import Kernel
from .paths import BUILD, CHECKOUT
from .report import Report, Result

_FOLDER = CHECKOUT / "tools/testing/judges"
_TIMEOUT_S = 300


def names() -> list[str]:
    """The judges there are."""
    return sorted(
        path.name for path in _FOLDER.glob("*") if path.is_file() and os.access(path, os.X_OK)
    )


def run(kernel: Kernel, pattern: str, report: Report) -> None:
    """Lets every judge see the results of a kernel's selftests."""
    results = BUILD / "results" / kernel.name
    for judge in (_FOLDER / name for name in fnmatch.filter(names(), pattern)):
        group = f"judges/{kernel.name}/{judge.name}"
        environment = {
            **os.environ,
            "LIVECORE_KERNEL": kernel.name,
            "LIVECORE_OUT": str(BUILD / "selftests"),
        }
        try:
            done = subprocess.run(
                [judge, results], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                errors="replace", timeout=_TIMEOUT_S, check=False, env=environment, cwd=CHECKOUT,
            )
        except subprocess.TimeoutExpired:
            report.add(group, Result.FAILED, f"not done within {_TIMEOUT_S} s")
            continue
        (results / f"{judge.name}.tap").write_text(done.stdout + done.stderr, encoding="utf-8")
        points = ktap.parse(done.stdout, kernel.source)
        for point in points:
            # A judge that has nothing to judge has found that a core is missing.
            skipped = point.result is Result.SKIPPED
            result = Result.FAILED if skipped else point.result
            report.add(f"{group}/{point.name}", result, point.detail)
        if done.returncode and all(point.result is Result.PASSED for point in points):
            report.add(f"{group}/end", Result.FAILED, f"exit status {done.returncode}")
