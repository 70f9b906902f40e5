# SPDX-License-Identifier: GPL-2.0
"""Builds livecore.ko for a kernel, outside of the sources so that kernels do not collide."""

import os
from pathlib import Path

from . import cache
from .kernels import Kernel
from .paths import BUILD, CHECKOUT, LOGS
from .progress import must


def build(kernel: Kernel) -> Path:
    """Brings build/<kernel>/livecore.ko up to date and returns it."""
    output = BUILD / kernel.name
    log = LOGS / f"module-{kernel.name}.log"
    with cache.locked(output / ".lock"):
        log.unlink(missing_ok=True)
        must(make(kernel, output, "modules"), log, f"the module does not build on {kernel.name}")
    return output / "livecore.ko"


def make(kernel: Kernel, output: Path, *words: str) -> list[str]:
    """The make command that builds in `output` on a kernel's tree."""
    return [
        "make", "-s", "-C", str(kernel.tree), f"M={CHECKOUT}", f"MO={output}",
        f"-j{os.cpu_count()}", *kernel.toolchain, *words,
    ]
