# SPDX-License-Identifier: GPL-2.0
"""Builds livecore.ko, and the modules that tests load, for a kernel.

Outside of the sources, so that kernels do not collide.
"""

import os
from pathlib import Path

from . import cache
from .kernels import Kernel
from .paths import BUILD, CHECKOUT, LOGS
from .progress import must

_FOR_TESTS = CHECKOUT / "tools/testing/modules"


def build(kernel: Kernel) -> Path:
    """Brings build/<kernel>/livecore.ko up to date and returns it."""
    output = BUILD / kernel.name
    log = LOGS / f"module-{kernel.name}.log"
    with cache.locked(output / ".lock"):
        log.unlink(missing_ok=True)
        must(make(kernel, output, "modules"), log, f"the module does not build on {kernel.name}")
    return output / "livecore.ko"


def build_for_tests(kernel: Kernel) -> Path:
    """Brings the modules of tools/testing/modules up to date; returns the folder they are in."""
    output = BUILD / kernel.name / "test-modules"
    output.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"test-modules-{kernel.name}.log"
    with cache.locked(output / ".lock"):
        log.unlink(missing_ok=True)
        command = make(kernel, output, "modules", source=_FOR_TESTS)
        must(command, log, f"the modules of the tests do not build on {kernel.name}")
    return output


def make(kernel: Kernel, output: Path, *words: str, source: Path = CHECKOUT) -> list[str]:
    """The make command that builds the modules of `source` in `output`, on a kernel's tree."""
    return [
        "make", "-s", "-C", str(kernel.tree), f"M={source}", f"MO={output}",
        f"-j{os.cpu_count()}", *kernel.toolchain, *words,
    ]
