# SPDX-License-Identifier: GPL-2.0
"""What a check found: one result for each test, and the last line that counts them."""

import enum
import sys
import threading
from collections import Counter
from dataclasses import dataclass

from .guest import Verdict


class Result(enum.Enum):
    """What came of a test; the text is what the report calls it."""

    PASSED = "passed"
    SKIPPED = "skipped"
    FAILED = "test failed"
    SPLAT = "kernel splat"
    LOST = "VM lost"
    BROKEN = "could not run"

    @property
    def is_failure(self) -> bool:
        """Whether it makes the check fail."""
        return self not in (Result.PASSED, Result.SKIPPED)


def of_guest(verdict: Verdict) -> Result:
    """What a guest that did not do its work means for the test it was to run."""
    return {Verdict.SPLAT: Result.SPLAT, Verdict.LOST: Result.LOST}.get(verdict, Result.BROKEN)


@dataclass(frozen=True)
class Entry:
    """One test's result."""

    name: str
    result: Result
    detail: str = ""


class Report:
    """Collects results from several threads."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._notes: list[str] = []
        self._lock = threading.Lock()

    def add(self, name: str, result: Result, detail: str = "") -> None:
        """Records a result; a failure is shown at once."""
        with self._lock:
            self._entries.append(Entry(name, result, detail))
            if result.is_failure:
                print(f"  {result.value}: {name}: {detail}", file=sys.stderr, flush=True)

    def note(self, line: str) -> None:
        """Something the summary has to say that is no result."""
        with self._lock:
            self._notes.append(line)

    def summarize(self, kernel: str) -> str:
        """The counts of the tests on one kernel: its name is a part of theirs."""
        with self._lock:
            counts = Counter(e.result for e in self._entries if kernel in e.name.split("/"))
        return ", ".join(f"{counts[r]} {r.value}" for r in Result if counts[r]) or "no tests"

    def finish(self) -> int:
        """Prints the summary and returns the exit status."""
        failures = [entry for entry in self._entries if entry.result.is_failure]
        for result in Result:
            entries = [entry for entry in self._entries if entry.result is result]
            if entries and result is not Result.PASSED:
                print(f"{result.value}: {len(entries)}")
                for entry in entries:
                    print(f"  {entry.name}: {entry.detail}")
        for line in self._notes:
            print(line)
        passed = sum(entry.result is Result.PASSED for entry in self._entries)
        print(f"{passed} passed, {len(failures)} failed", flush=True)
        return 1 if failures or not passed else 0
