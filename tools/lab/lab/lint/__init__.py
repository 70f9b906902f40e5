# SPDX-License-Identifier: GPL-2.0
"""Gates that read rather than run: each is one test that passes or says what is wrong."""

from collections.abc import Callable, Sequence
from pathlib import Path

from .. import trees
from ..kernels import Kernel
from ..progress import say
from ..report import Report, Result
from . import c, layout, objects, rust, scripts

# What a gate returns: what it objects to, one complaint a line. None of them: it passes.
Complaints = Sequence[str]


def sources(name: str, report: Report) -> None:
    """The gates of the source files; those that need a kernel's tree take the named one."""
    say("lint: the sources")
    for gate, found in (
        ("layout", layout.complaints),
        ("rustfmt", rust.rustfmt),
        ("shellcheck", scripts.shellcheck),
        ("python", scripts.python),
    ):
        _judge(report, f"lint/{gate}", found)
    kernel = trees.find(name)
    if not kernel:
        report.note(f"lint: no clippy, rustdoc, checkpatch, sparse: the mirror has no {name}")
        return
    for gate, found_on in (
        ("checkpatch", c.checkpatch),
        ("sparse", c.sparse),
        ("clippy", rust.clippy),
        ("rustdoc", rust.rustdoc),
    ):
        _judge(report, f"lint/{gate}", lambda found_on=found_on: found_on(kernel))


def module(kernel: Kernel, built: Path, report: Report) -> None:
    """The gates of a built module. The debug kernel's checkers are in it, so it is exempt."""
    if kernel.is_debug:
        return
    _judge(report, f"lint/{kernel.name}/panics", lambda: objects.panics(built))
    _judge(report, f"lint/{kernel.name}/indirect-calls", lambda: objects.indirect_calls(built))


def _judge(report: Report, name: str, gate: Callable[[], Complaints]) -> None:
    complaints = gate()
    for complaint in complaints[1:]:
        report.note(f"{name}: {complaint}")
    report.add(
        name,
        Result.FAILED if complaints else Result.PASSED,
        complaints[0] if complaints else "",
    )
