# SPDX-License-Identifier: GPL-2.0
"""The table of what may happen to a dump, and the tests of its cells: do they say the same?"""

import re
from collections.abc import Iterator

from ..paths import CHECKOUT

_TABLE = CHECKOUT / "Documentation/internals/races.rst"
_TESTS = CHECKOUT / "tools/testing/selftests/core-states.c"
_SELFTESTS = _TESTS.parent

_STATES = ("holding", "held", "snapshot", "released")
# CELL(event, state, argument, config, happen, error, fate)
_CELL = re.compile(r"^CELL\((\w+), (\w+), .*, (\w+), (\w+)\)$", re.MULTILINE)
# What the table has for what is no errno.
_SAYS = {"0": "read", "NOBODY": "nobody"}
# A row: the event, and for each state an outcome, or - where it cannot happen.
_ROW = re.compile(r"^(\w+)" + r" +(\\?-|\w+, \w+)" * len(_STATES) + r"$", re.MULTILINE)
_TEST = re.compile(r"``(core-[\w-]+)(?:/(\w+))?``")


def complaints() -> list[str]:
    """Cells that differ, or are on one side alone; tests that are named and not there."""
    written = dict(_cells_of_table())
    tested = {
        (event, state): f"{_SAYS.get(error, error)}, {fate.lower()}"
        for event, state, error, fate in _CELL.findall(_TESTS.read_text(encoding="utf-8"))
    }
    differing = [
        f"races.rst: {event} while {state}: {written.get(cell, '-')}, but core-states has"
        f" {tested.get(cell, 'no such test')}"
        for cell in sorted(written.keys() | tested.keys())
        for event, state in (cell,)
        if written.get(cell) != tested.get(cell)
    ]
    return [*differing, *_missing_tests()]


def _cells_of_table() -> Iterator[tuple[tuple[str, str], str]]:
    for event, *outcomes in _ROW.findall(_TABLE.read_text(encoding="utf-8")):
        for state, outcome in zip(_STATES, outcomes, strict=True):
            if not outcome.endswith("-"):
                yield (event, state), outcome


def _missing_tests() -> Iterator[str]:
    for program, test in sorted(set(_TEST.findall(_TABLE.read_text(encoding="utf-8")))):
        path = _SELFTESTS / program
        path = path if path.exists() else path.with_suffix(".c")
        if not path.exists():
            yield f"races.rst: there is no {program}"
        elif test and not re.search(rf"\b{test}\b", path.read_text(encoding="utf-8")):
            yield f"races.rst: {program} has no {test}"
