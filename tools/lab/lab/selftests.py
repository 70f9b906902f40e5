# SPDX-License-Identifier: GPL-2.0
"""Runs the selftests on a kernel: builds them, boots guests, reads their KTAP.

tools/testing/selftests/tests has a line for each test: its name, then any of
    kernel=stock|debug   only there
    may-skip=stock|debug|any   where a skip is no failure
    timeout=SECONDS      for a stock kernel; the debug kernel gets three times as long
    reboot               a guest of its own
    module=no            that guest does not load the module
    prepare              it is called with --prepare outside of the guest first
"""

import fnmatch
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from . import cache, ktap, module
from .guest import Guest, Outcome, Verdict
from .kernels import Kernel
from .paths import BUILD, CHECKOUT, LAB, LOGS
from .progress import LabError, must, say
from .report import Report, Result, of_guest

_FOLDER = CHECKOUT / "tools/testing/selftests"
_SAMPLES = CHECKOUT / "samples"
_TIMEOUT_S = 60
_DEBUG_FACTOR = 3
# To boot and to power off, over and above the tests' own limits.
_BOOT_S = 300
_SKIPPED_STATUS = 4
# What timeout(1) ends with.
_TIMED_OUT_STATUS = 124


@dataclass(frozen=True)
class Selftest:
    """One line of the list."""

    name: str
    kernel: str = ""
    may_skip: str = ""
    timeout_s: int = _TIMEOUT_S
    reboot: bool = False
    module: bool = True
    prepare: bool = False


def read_list(path: Path = _FOLDER / "tests") -> list[Selftest]:
    """Reads the list of tests."""
    tests = []
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.partition("#")[0].split()
        if words:
            tests.append(_parse(words))
    return tests


def _parse(words: list[str]) -> Selftest:
    test = Selftest(words[0])
    for word in words[1:]:
        match word.partition("="):
            case ("kernel", _, ("stock" | "debug") as value):
                test = replace(test, kernel=value)
            case ("may-skip", _, ("stock" | "debug" | "any") as value):
                test = replace(test, may_skip=value)
            case ("timeout", _, value) if value.isdigit():
                test = replace(test, timeout_s=int(value))
            case ("reboot", "", ""):
                test = replace(test, reboot=True)
            case ("prepare", "", ""):
                test = replace(test, prepare=True)
            case ("module", _, "no"):
                test = replace(test, module=False, reboot=True)
            case _:
                raise LabError(f"tools/testing/selftests/tests: {words[0]}: what is '{word}'?")
    return test


class Selftests:
    """The selftests on one kernel."""

    def __init__(self, kernel: Kernel, livecore: Path, report: Report) -> None:
        self.kernel, self.livecore, self.report = kernel, livecore, report
        self.kind = "debug" if kernel.is_debug else "stock"
        self.programs = BUILD / "selftests"
        self.samples = BUILD / "samples"
        self.results = BUILD / "results" / kernel.name
        self.test_modules = Path()
        self.guests = 0

    def build(self) -> None:
        """Builds the programs and the samples, once for all kernels, and the test modules."""
        self.test_modules = module.build_for_tests(self.kernel)
        log = LOGS / "selftests-build.log"
        make = [
            "make", "-s", "-C", str(_FOLDER), f"OUT={self.programs}",
            f"KSRC={self.kernel.source}",
        ]
        with cache.locked(BUILD / ".selftests.lock"):
            log.unlink(missing_ok=True)
            must(make, log, "the selftests do not build")
            must(
                ["make", "-s", "-C", str(_SAMPLES), f"OUT={self.samples}"], log,
                "the samples do not build",
            )

    def run(self, pattern: str) -> None:
        """Runs the tests whose names match, in as few guests as the list allows."""
        tests = [
            test
            for test in read_list()
            if test.kernel in ("", self.kind) and fnmatch.fnmatch(test.name, pattern)
        ]
        shutil.rmtree(self.results, ignore_errors=True)
        self.results.mkdir(parents=True)
        for test in tests:
            if test.prepare:
                self._prepare(test)
        together = [test for test in tests if not test.reboot]
        while together:
            together = self._boot(together)
        for test in tests:
            if test.reboot:
                self._boot([test])

    def _prepare(self, test: Selftest) -> None:
        """Lets a test make what is the same on all kernels, once, and where it is fast."""
        log = LOGS / f"{test.name}-prepare.log"
        command = ["env", f"LIVECORE_OUT={self.programs}", self._program(test), "--prepare"]
        with cache.locked(BUILD / ".selftests.lock"):
            must(command, log, f"{test.name} cannot be prepared")

    def _boot(self, tests: list[Selftest]) -> list[Selftest]:
        """Runs tests in one guest; returns those that it did not live to run."""
        self.guests += 1
        session = LOGS / f"selftests-{self.kernel.name}-{self.guests}"
        plan = self.results / f"plan-{self.guests}"
        limits = {test: self._limit(test) for test in tests}
        plan.write_text(
            "".join(f"{test.name} {limits[test]} {self._program(test)}\n" for test in tests),
            encoding="utf-8",
        )
        guest = Guest(
            self.kernel,
            module=self.livecore if tests[0].module else None,
            environment={
                "LIVECORE_KO": str(self.livecore),
                "LIVECORE_TEST_MODULES": str(self.test_modules),
                "LIVECORE_KERNEL": self.kernel.name,
                "LIVECORE_OUT": str(self.programs),
                "LIVECORE_SAMPLES": str(self.samples),
                "RESULTS": str(self.results),
            },
        )
        say(f"{self.kernel.name}: {len(tests)} selftests in a guest")
        outcome = guest.run(
            f"{LAB / 'guest/selftests'} {plan}", session, _BOOT_S + sum(limits.values())
        )
        finished = [test for test in tests if self._status(test) is not None]
        for test in finished:
            self._judge(test)
        if outcome.verdict is Verdict.OK:
            return []
        return self._after_loss(outcome, [test for test in tests if test not in finished])

    def _after_loss(self, outcome: Outcome, pending: list[Selftest]) -> list[Selftest]:
        """Blames the test that was running, or the guest; returns what is still to run."""
        result = of_guest(outcome.verdict)
        running = self.results / "running"
        if pending and running.exists():
            name = running.read_text(encoding="utf-8").strip()
            running.unlink()
            self.report.add(self._name(name), result, str(outcome))
            return [test for test in pending if test.name != name]
        self.report.add(self._name("guest"), result, str(outcome))
        for test in pending:
            self.report.add(self._name(test.name), Result.BROKEN, "its guest did not get there")
        return []

    def _judge(self, test: Selftest) -> None:
        text = self._file(test, "tap").read_text(encoding="utf-8", errors="replace")
        for point in self._points(test, text):
            result = point.result
            if result is Result.SKIPPED and test.may_skip not in (self.kind, "any"):
                result = Result.FAILED
            detail = f"skipped: {point.detail}" if point.result is Result.SKIPPED else point.detail
            if point.result is Result.FAILED:
                detail = self._said(test, point) or detail
            self.report.add(self._name(f"{test.name}/{point.name}"), result, detail)

    def _points(self, test: Selftest, text: str) -> Iterator[ktap.Point]:
        status = self._status(test)
        points = ktap.parse(text, self.kernel.source)
        yield from points
        failed = any(point.result is Result.FAILED for point in points)
        if status == _TIMED_OUT_STATUS:
            yield ktap.Point("end", Result.FAILED, f"not done within {self._limit(test)} s")
        elif status not in (0, _SKIPPED_STATUS) and not failed:
            yield ktap.Point("end", Result.FAILED, f"exit status {status}")

    def _said(self, test: Selftest, point: ktap.Point) -> str:
        """What the harness said on stderr about a point: the file, the line and the values."""
        function = point.name.rpartition(".")[2]
        said = self._file(test, "stderr").read_text(encoding="utf-8", errors="replace")
        lines = [line.strip("# ") for line in said.splitlines() if f":{function}:" in line]
        return "; ".join(lines[:3])

    def _limit(self, test: Selftest) -> int:
        return test.timeout_s * (_DEBUG_FACTOR if self.kernel.is_debug else 1)

    def _program(self, test: Selftest) -> Path:
        script = _FOLDER / test.name
        return script if script.exists() else self.programs / test.name

    def _status(self, test: Selftest) -> int | None:
        """The test's exit status; None where its guest did not live to write it down."""
        path = self._file(test, "status")
        text = path.read_text(encoding="ascii").strip() if path.exists() else ""
        return int(text) if text else None

    def _file(self, test: Selftest, suffix: str) -> Path:
        return self.results / f"{test.name}.{suffix}"

    def _name(self, test: str) -> str:
        return f"selftests/{self.kernel.name}/{test}"
