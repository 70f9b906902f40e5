# SPDX-License-Identifier: GPL-2.0
"""Reads KTAP with the kernel's own parser, tools/testing/kunit/kunit_parser.py."""

import importlib.util
import io
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from .report import Result

_lock = threading.Lock()


@dataclass(frozen=True)
class Point:
    """One test point: a test with no tests below it."""

    name: str
    """Its own name after the names of what it is part of, with slashes."""
    result: Result
    detail: str = ""


def parse(text: str, source: Path) -> list[Point]:
    """The test points of a text that must hold one complete KTAP document.

    What is wrong with the document itself is a point too, and a failure.
    """
    parser = _load(source)
    messages = io.StringIO()
    printer = parser.Printer(output=messages)
    main = parser.parse_run_tests(text.splitlines(), printer)
    points = list(_points(parser, main, ""))
    if text.lstrip().startswith("1..0 # SKIP") or "\n1..0 # SKIP" in text:
        reason = text.split("1..0 # SKIP", 1)[1].splitlines()[0].strip()
        return [Point("all", Result.SKIPPED, reason)]
    errors = [
        line.split("[ERROR]", 1)[1].strip()
        for line in messages.getvalue().splitlines()
        if "[ERROR]" in line
    ]
    if main.expected_count is None:
        errors.append("no plan")
    if errors or not points:
        points.append(Point("KTAP", Result.FAILED, errors[0] if errors else "no test points"))
    return points


def _points(parser: Any, test: Any, path: str) -> Any:
    if test.subtests:
        for subtest in test.subtests:
            below = f"{path}/{subtest.name}" if path else subtest.name
            yield from _points(parser, subtest, below)
        return
    status = parser.TestStatus
    if path and test.status not in (status.NO_TESTS, status.FAILURE_TO_PARSE_TESTS):
        result = {status.SUCCESS: Result.PASSED, status.SKIPPED: Result.SKIPPED}.get(
            test.status, Result.FAILED
        )
        detail = test.skip_reason if result is Result.SKIPPED else " ".join(test.log[-3:])
        yield Point(path, result, detail)


def _load(source: Path) -> ModuleType:
    """Imports the parser from a kernel's source, whichever comes first."""
    with _lock:
        if "kunit_parser" not in sys.modules:
            folder = source / "tools/testing/kunit"
            for name in ("kunit_printer", "kunit_parser"):
                spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
                assert spec and spec.loader
                module = importlib.util.module_from_spec(spec)
                sys.modules[name] = module
                spec.loader.exec_module(module)
        return sys.modules["kunit_parser"]
