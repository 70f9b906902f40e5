# SPDX-License-Identifier: GPL-2.0
"""Gates of the C files: the kernel's checkpatch, and sparse."""

import shutil
from pathlib import Path

from .. import module
from ..kernels import Kernel
from ..paths import BUILD, CHECKOUT
from . import files
from .command import complaints

# Debian's sparse does not know what the kernel has begun to use.
_SPARSE = "sparse -D__typeof_unqual__=__typeof__"
_IGNORED = CHECKOUT / "tools/lint/checkpatch-ignore"


def checkpatch(kernel: Kernel) -> list[str]:
    """Strict, but for what tools/lint/checkpatch-ignore names and explains."""
    ignored = [
        line.split()[0]
        for line in _IGNORED.read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    return complaints(
        [
            "perl", kernel.source / "scripts/checkpatch.pl", "--no-tree", "--strict", "--terse",
            "--no-summary", "--show-types", f"--ignore={','.join(ignored)}", "--file",
            *files.ending(".c", ".h", ".S"),
        ],
        r":\d+: ",
        "checkpatch",
        # It leaves a file where it is called.
        cwd=Path("/tmp"),
    )


def sparse(kernel: Kernel) -> list[str]:
    """Sparse on the module's C files; what it says of the kernel's headers is not ours."""
    output = BUILD / "sparse"
    # It runs only as files are compiled.
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    command = module.make(kernel, output, "C=2", f"CHECK={_SPARSE}", "modules")
    # Our files are named from the checkout on, those of the kernel by whole paths.
    return complaints(command, r"^\w[^ ]*:\d+:|sparse is not available", "sparse")
