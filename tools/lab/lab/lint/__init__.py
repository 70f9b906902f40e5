# SPDX-License-Identifier: GPL-2.0
"""Gates that read rather than run: each is one test that passes or says what is wrong."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from .. import module, trees
from ..kernels import Kernel
from ..progress import LabError, say
from ..report import Report, Result
from . import c, layout, objects, races, rust, scripts

# What a gate returns: what it objects to, one complaint a line. None of them: it passes.
Complaints = Sequence[str]


def sources(name: str, report: Report) -> None:
    """The gates of the source files; those that need a kernel's tree take the named one."""
    say("lint: the sources")
    for gate, found in (
        ("layout", layout.complaints),
        ("races", races.complaints),
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
        _judge(report, f"lint/{gate}", partial(found_on, kernel))


def objects_of(kernel: Kernel, report: Report) -> None:
    """The gates of the built module. The debug kernel's checkers are in it, so it is exempt."""
    if kernel.is_debug:
        return
    for gate, found in (
        ("panics", objects.panics),
        ("indirect-calls", objects.indirect_calls),
    ):
        _judge(report, f"lint/{kernel.name}/{gate}", partial(_of_module, kernel, found))


def _of_module(kernel: Kernel, gate: Callable[[Path], Complaints]) -> Complaints:
    return gate(module.build(kernel))


def _judge(report: Report, name: str, gate: Callable[[], Complaints]) -> None:
    try:
        complaints = gate()
    except LabError as error:
        report.add(name, Result.BROKEN, str(error))
        return
    for complaint in complaints[1:]:
        report.note(f"{name}: {complaint}")
    report.add(
        name,
        Result.FAILED if complaints else Result.PASSED,
        complaints[0] if complaints else "",
    )
