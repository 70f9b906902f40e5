# SPDX-License-Identifier: GPL-2.0
"""Runs the selftests on a kernel: builds them, boots guests, reads their KTAP.

tools/testing/selftests/tests has a line for each test: its name, then any of
    kernel=stock|debug   only there
    may-skip=stock|debug|any   where a skip is no failure
    timeout=SECONDS      for a stock kernel; the debug kernel gets three times as long
    reboot               a guest of its own
    module=no            that guest does not load the module
    arguments=A,B=C      a guest of its own, whose kernel is booted with these words, too
    memory=SIZE          a guest of its own, with so much memory
    prepare              it is called with --prepare outside of the guest first
    short                also on the other images and boots (`short` in kernels.toml)
    check=first|first+debug  `make check` runs it on the first series alone, or on the debug kernel
                         too; by its name it is run everywhere, and by `make soak`
    soak                 `make soak` repeats it: it counts its rounds by lib/tally.h
"""

import fnmatch
import math
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from . import cache, ktap, kvm, module
from .guest import Guest, Outcome, Verdict
from .kernels import PLAIN, Catalogue, Kernel, Variant
from .paths import BUILD, CHECKOUT, LAB, LOGS
from .progress import LabError, must, say
from .report import Report, Result, of_guest

_FOLDER = CHECKOUT / "tools/testing/selftests"
_SAMPLES = CHECKOUT / "samples"
_TIMEOUT_S = 60
_DEBUG_FACTOR = 3
# To boot and to power off, over and above the tests' own limits.
_BOOT_S = 300
# To power off, for a guest that was to end by itself.
_GRACE_S = 60
_SKIPPED_STATUS = 4
# How many lines before a failed expectation are shown with it.
_LINES_BEFORE = 4
# What timeout(1) ends with, by the first signal and by the last.
_TIMED_OUT = (124, 137)


@dataclass(frozen=True)
class Selftest:
    """One line of the list."""

    name: str
    kernel: str = ""
    may_skip: str = ""
    timeout_s: int = _TIMEOUT_S
    reboot: bool = False
    module: bool = True
    arguments: tuple[str, ...] = ()
    memory: str = ""
    prepare: bool = False
    short: bool = False
    soak: bool = False
    check: str = ""


def read_list(path: Path = _FOLDER / "tests") -> list[Selftest]:
    """Reads the list of tests."""
    tests = []
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.partition("#")[0].split()
        if words:
            tests.append(_parse(words))
    names = [test.name for test in tests]
    if twice := {name for name in names if names.count(name) > 1}:
        raise LabError(f"tools/testing/selftests/tests: twice: {' '.join(sorted(twice))}")
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
            case ("short", "", ""):
                test = replace(test, short=True)
            case ("check", _, ("first" | "first+debug") as value):
                test = replace(test, check=value)
            case ("soak", "", ""):
                test = replace(test, soak=True)
            case ("module", _, "no"):
                test = replace(test, module=False, reboot=True)
            case ("arguments", _, value) if value:
                test = replace(test, arguments=tuple(value.split(",")), reboot=True)
            case ("memory", _, value) if re.fullmatch("[0-9]+[MG]", value):
                test = replace(test, memory=value, reboot=True)
            case _:
                raise LabError(f"tools/testing/selftests/tests: {words[0]}: what is '{word}'?")
    return test


@dataclass(frozen=True)
class Run:
    """A test that is to be run."""

    test: Selftest
    limit_s: int
    variables: str = ""
    """Words VARIABLE=value for its environment."""


class Selftests:
    """The selftests on one kernel, booted in one way.

    `group` is what they are run for: their names begin with it.
    """

    def __init__(
        self, kernel: Kernel, livecore: Path, report: Report, variant: Variant = PLAIN,
        group: str = "selftests",
    ) -> None:
        self.kernel, self.livecore, self.report, self.variant = kernel, livecore, report, variant
        self.group = group
        self.label = f"{kernel.name}+{variant.name}" if variant.name else kernel.name
        self.kind = "debug" if kernel.is_debug else "stock"
        self.programs = BUILD / "selftests"
        self.samples = BUILD / "samples"
        self.results = BUILD / ("results" if group == "selftests" else group) / self.label
        self.test_modules = Path()
        self.guests = 0

    def build(self) -> None:
        """Builds the programs and the samples, once for all kernels, and the test modules."""
        self.test_modules = module.build_for_tests(self.kernel)
        log = LOGS / "selftests-build.log"
        make = [
            "make", "-s", "-C", str(_FOLDER), f"-j{os.cpu_count()}", f"OUT={self.programs}",
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
        """Runs the tests whose names match, in as few guests as the list allows.

        In a variant all of them are those marked `short`.
        """
        tests = [
            test
            for test in read_list()
            if test.kernel in ("", self.kind) and fnmatch.fnmatch(test.name, pattern)
            if test.short or pattern != "*" or self.variant is PLAIN
            if pattern != "*" or self._is_checked(test)
            if test.name not in self.variant.without
        ]
        self.start()
        for test in tests:
            if test.prepare:
                self._prepare(test)
        together = [test for test in tests if not test.reboot]
        while together:
            together = self._boot(together)
        for test in tests:
            if test.reboot:
                self._boot([test])
        self._judge_boot()

    def _is_checked(self, test: Selftest) -> bool:
        if self.kernel.is_debug:
            return test.check in ("", "first+debug")
        return not test.check or self.kernel.name == Catalogue.load().series[0]

    def start(self) -> None:
        """Forgets the results of former runs."""
        shutil.rmtree(self.results, ignore_errors=True)
        self.results.mkdir(parents=True)

    def _prepare(self, test: Selftest) -> None:
        """Lets a test make what is the same on all kernels, once, and where it is fast."""
        log = LOGS / f"{test.name}-prepare.log"
        command = ["env", f"LIVECORE_OUT={self.programs}", self._program(test), "--prepare"]
        with cache.locked(BUILD / ".selftests.lock"):
            must(command, log, f"{test.name} cannot be prepared")

    def _boot(self, tests: list[Selftest]) -> list[Selftest]:
        """Runs tests in one guest; returns those that it did not live to run."""
        outcome = self.boot([Run(test, self.limit_s(test)) for test in tests])
        finished = [test for test in tests if self.status(test) is not None]
        for test in finished:
            for point in self.judge(test, self.limit_s(test)):
                self.report.add(
                    self._name(f"{test.name}/{point.name}"), point.result, point.detail
                )
        if outcome.verdict is Verdict.OK:
            return []
        return self._after_loss(outcome, [test for test in tests if test not in finished])

    def boot(self, runs: list[Run], time_s: float = math.inf) -> Outcome:
        """Runs tests in one guest, which ends after `time_s` at the latest."""
        self.guests += 1
        session = LOGS / f"{self.group}-{self.label}-{self.guests}"
        plan = self.results / f"plan-{self.guests}"
        plan.write_text(
            "".join(
                f"{run.test.name} {run.limit_s} {self._program(run.test)} {run.variables}\n"
                for run in runs
            ),
            encoding="utf-8",
        )
        guest = Guest(
            self.kernel,
            self.variant,
            memory=runs[0].test.memory or Guest.memory,
            module=self.livecore if runs[0].test.module else None,
            kernel_arguments=runs[0].test.arguments,
            environment={
                "LIVECORE_KO": str(self.livecore),
                "LIVECORE_TEST_MODULES": str(self.test_modules),
                "LIVECORE_KERNEL": self.kernel.name,
                "LIVECORE_OUT": str(self.programs),
                "LIVECORE_SAMPLES": str(self.samples),
                "RESULTS": str(self.results),
                "SHOWS": " ".join(self.variant.shows),
                "UNTIL": "" if math.isinf(time_s) else str(int(time_s)),
            },
        )
        say(f"{self.label}: {len(runs)} selftests in a guest")
        return guest.run(
            f"{LAB / 'guest/selftests'} {plan}", session,
            min(_BOOT_S + sum(run.limit_s for run in runs), time_s + _GRACE_S),
        )

    def _judge_boot(self) -> None:
        """Was it booted as the variant says?"""
        if self.variant.cpu and kvm.works(self.kernel):
            self.report.note(f"{self.label}: the CPU was the machine's own, and not the variant's")
            return
        for file, pattern in self.variant.shows.items():
            copy = self.results / f"shows{file.replace('/', '-')}"
            text = copy.read_text(encoding="utf-8") if copy.exists() else ""
            shown = re.search(pattern, text, re.MULTILINE)
            self.report.add(
                self._name(f"boot/{Path(file).name}"),
                Result.PASSED if shown else Result.FAILED,
                "" if shown else f"{file} does not show {pattern}, but: {text.strip()[:200]}",
            )

    def _after_loss(self, outcome: Outcome, pending: list[Selftest]) -> list[Selftest]:
        """Blames the test that was running, or the guest; returns what is still to run."""
        result = of_guest(outcome.verdict)
        name = self.take_running()
        if pending and name:
            self.report.add(self._name(name), result, str(outcome))
            return [test for test in pending if test.name != name]
        self.report.add(self._name("guest"), result, str(outcome))
        for test in pending:
            self.report.add(self._name(test.name), Result.BROKEN, "its guest did not get there")
        return []

    def take_running(self) -> str:
        """The test in which a guest was lost; nothing, if it was none."""
        running = self.results / "running"
        if not running.exists():
            return ""
        name = running.read_text(encoding="utf-8").strip()
        running.unlink()
        return name

    def judge(self, test: Selftest, limit_s: int) -> Iterator[ktap.Point]:
        """What came of a test that has ended."""
        text = self.file(test, "tap").read_text(encoding="utf-8", errors="replace")
        for point in self._points(test, text, limit_s):
            result = point.result
            if result is Result.SKIPPED and test.may_skip not in (self.kind, "any"):
                result = Result.FAILED
            detail = f"skipped: {point.detail}" if point.result is Result.SKIPPED else point.detail
            if point.result is Result.FAILED:
                detail = self._said(test, point) or detail
            yield ktap.Point(point.name, result, detail)

    def _points(self, test: Selftest, text: str, limit_s: int) -> Iterator[ktap.Point]:
        status = self.status(test)
        points = ktap.parse(text, self.kernel.source)
        yield from points
        failed = any(point.result is Result.FAILED for point in points)
        if status in _TIMED_OUT:
            yield ktap.Point("end", Result.FAILED, f"not done within {limit_s} s")
        elif status not in (0, _SKIPPED_STATUS) and not failed:
            yield ktap.Point("end", Result.FAILED, f"exit status {status}")

    def _said(self, test: Selftest, point: ktap.Point) -> str:
        """What was said on stderr about a point: the file, the line, the values, and why."""
        function = point.name.rpartition(".")[2]
        said = self.file(test, "stderr").read_text(encoding="utf-8", errors="replace")
        lines = [line.strip("# ") for line in said.splitlines()]
        found = [n for n, line in enumerate(lines) if f":{function}:" in line]
        if not found:
            return ""
        # A test says what it has found just before the harness says that it is wrong.
        before = range(max(0, found[0] - _LINES_BEFORE), found[0])
        return "; ".join(lines[n] for n in [*before, *found[:3]])

    def limit_s(self, test: Selftest) -> int:
        """How long a test may take on this kernel."""
        return test.timeout_s * (_DEBUG_FACTOR if self.kernel.is_debug else 1)

    def _program(self, test: Selftest) -> Path:
        script = _FOLDER / test.name
        return script if script.exists() else self.programs / test.name

    def status(self, test: Selftest) -> int | None:
        """The test's exit status; None where its guest did not live to write it down."""
        path = self.file(test, "status")
        text = path.read_text(encoding="ascii").strip() if path.exists() else ""
        return int(text) if text else None

    def was_cut(self, test: Selftest) -> bool:
        """Was the test ended because the guest's time was over, and not its own?"""
        return self.file(test, "cut").exists() and self.status(test) in _TIMED_OUT

    def file(self, test: Selftest, suffix: str) -> Path:
        """What a test has left: tap, stderr, seconds, status."""
        return self.results / f"{test.name}.{suffix}"

    def _name(self, test: str) -> str:
        return f"{self.group}/{self.label}/{test}"
