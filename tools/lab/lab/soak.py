# SPDX-License-Identifier: GPL-2.0
"""make soak: provokes races, faults and misuse for as long as it is asked to, and counts them.

It repeats the selftests that are marked `soak`, in random order, in guests of several kernels. A
test runs more rounds (LIVECORE_ROUNDS) the faster it is, so that each gets some minutes at a time,
and says what it has provoked (lib/tally.h). Where a guest dies, a new one goes on.
"""

import fnmatch
import random
import re
import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from . import cache, guard, ktap, mirror, module, trees
from .guest import Outcome, Verdict
from .kernels import Catalogue
from .paths import BUILD, shown
from .progress import LabError, say
from .report import Report, Result, of_guest
from .selftests import Run, Selftest, Selftests, read_list
from .splat import count_foreign_races

_OUTPUT = BUILD / "soak"
_LANES = 2
# How long a test is to take, once it is known how long one round takes.
_TARGET_S = 180
# With less than this, no guest is booted any more.
_LEAST_S = 60
# What a limit has to spare: the host is busy, and the other lane's test may be a heavy one.
_PATIENCE = 4
_TALLY = re.compile(r"^# tally: (.+): (\d+)$", re.MULTILINE)
# What is always told, and first.
_COLUMNS = ("dumps", "races provoked", "faults injected", "bad calls", "crawls")


def run(minutes: int, pattern: str, names: list[str], seed: str, commit: str) -> int:
    """Soaks the kernels named, or those of kernels.toml; returns the exit status."""
    with cache.locked(BUILD / ".check.lock", "another check is running in this checkout"):
        return _run(minutes, pattern, names, seed or str(random.getrandbits(32)), commit)


def _run(minutes: int, pattern: str, names: list[str], seed: str, commit: str) -> int:
    tests = [test for test in read_list() if test.soak and fnmatch.fnmatch(test.name, pattern)]
    if not tests:
        raise LabError(f"no test that is marked `soak` is called {pattern}")
    if minutes < 1:
        raise LabError("MINUTES has to be a number above 0")
    mirror.refresh()
    shutil.rmtree(_OUTPUT, ignore_errors=True)
    report = Report()
    soaks = []
    for name in names or Catalogue.load().soak:
        if soak := _prepare(name, tests, seed, report):
            soaks.append(soak)
    say(f"soaking for {minutes} minutes; SEED={seed} repeats the order")
    lanes = [lane for lane in (soaks[start::_LANES] for start in range(_LANES)) if lane]
    with ThreadPoolExecutor(max_workers=_LANES) as pool:
        for job in [pool.submit(_run_lane, lane, minutes * 60) for lane in lanes]:
            job.result()
    table = _table(soaks, minutes, seed, commit)
    _OUTPUT.mkdir(parents=True, exist_ok=True)
    (_OUTPUT / "report.md").write_text(table, encoding="utf-8")
    print(f"\n{table}")
    say(f"this table is in {shown(_OUTPUT / 'report.md')}, what failed is next to it")
    return report.finish()


def _prepare(name: str, tests: list[Selftest], seed: str, report: Report) -> "_Soak | None":
    """Builds what a kernel needs, so that the time is spent in guests."""
    kernel_name, variant = Catalogue.load().boot(name)
    kernel = trees.find(kernel_name)
    if not kernel:
        report.note(f"not soaked: the mirror offers no kernel {kernel_name}")
        return None
    if kernel.is_debug:
        guard.run(kernel, report)
    selftests = Selftests(kernel, module.build(kernel), report, variant, group="soak")
    selftests.build()
    tests = [test for test in tests if test.kernel in ("", selftests.kind)]
    return _Soak(selftests, tests, random.Random(f"{seed} {name}")) if tests else None


def _run_lane(soaks: "list[_Soak]", time_s: float) -> None:
    """Lets the kernels of a lane share its time."""
    end = time.monotonic() + time_s
    for index, soak in enumerate(soaks):
        now = time.monotonic()
        soak.run(now + (end - now) / (len(soaks) - index))


@dataclass
class _Soak:
    """The soak of one kernel."""

    selftests: Selftests
    tests: list[Selftest]
    random: random.Random
    seconds: float = 0
    tallies: Counter[str] = field(default_factory=Counter)
    ends: Counter[Result] = field(default_factory=Counter)
    races: int = 0
    """Those of the kernel's own, of which KCSAN told."""
    round_s: dict[str, float] = field(default_factory=dict)
    """How long the tests take, where they were not made to take longer."""

    def run(self, end: float) -> None:
        """Boots guests until the time is over."""
        start = time.monotonic()
        while end - time.monotonic() > _LEAST_S:
            left = end - time.monotonic()
            plan = self._plan(left)
            self.selftests.start()
            outcome = self.selftests.boot([run for run, _ in plan], left)
            if not self._judge(plan, outcome):
                break
        self.seconds = time.monotonic() - start

    def _plan(self, left_s: float) -> list[tuple[Run, int]]:
        """Each test once, with its factor; no more than there is time for, if that is known."""
        plan = []
        for test in self.random.sample(self.tests, len(self.tests)):
            round_s = self.round_s.get(test.name, 0)
            factor = int(min(_TARGET_S, left_s) / round_s) if round_s else 1
            seed = self.random.getrandbits(32)
            if plan and (not factor or left_s < 0):
                continue
            factor = max(factor, 1)
            left_s -= factor * round_s
            limit_s = max(self.selftests.limit_s(test), int(_PATIENCE * factor * round_s))
            words = f"LIVECORE_ROUNDS={factor} LIVECORE_SEED={seed}"
            plan.append((Run(test, limit_s, words), factor))
        return plan

    def _judge(self, plan: list[tuple[Run, int]], outcome: Outcome) -> bool:
        """Counts what a guest has done; was it good for anything?"""
        running = self.selftests.take_running()
        done = False
        for run, factor in plan:
            tap = self.selftests.file(run.test, "tap")
            if not tap.exists():
                continue
            done = True
            text = tap.read_text(encoding="utf-8", errors="replace")
            for what, count in _TALLY.findall(text):
                self.tallies[what] += int(count)
            if run.test.name == running and outcome.verdict is not Verdict.OK:
                self._add(of_guest(outcome.verdict), str(outcome), run, outcome)
            elif self.selftests.status(run.test) is not None:
                self._judge_run(run, factor, outcome)
        self.races += count_foreign_races(outcome.session / "console.log")
        if not running and outcome.verdict is not Verdict.OK:
            self._add(of_guest(outcome.verdict), str(outcome), None, outcome)
        return done

    def _judge_run(self, run: Run, factor: int, outcome: Outcome) -> None:
        if self.selftests.was_cut(run.test):
            return
        points = list(self.selftests.judge(run.test, run.limit_s))
        failed = [point for point in points if point.result.is_failure]
        if failed:
            self._add(Result.FAILED, _said(failed), run, outcome)
            return
        seconds = self.selftests.file(run.test, "seconds").read_text(encoding="ascii")
        self.round_s[run.test.name] = max(int(seconds), 1) / factor
        self._add(Result.PASSED, "", run, outcome)

    def _add(self, result: Result, detail: str, run: Run | None, outcome: Outcome) -> None:
        """Records what came of a test, or of a guest; keeps all that was left by a failure."""
        self.ends[result] += 1
        name = run.test.name if run else "guest"
        number = self.ends.total()
        if result.is_failure:
            kept = _OUTPUT / "failures" / f"{self.selftests.label}-{number}-{name}"
            shutil.copytree(outcome.session, kept, ignore=shutil.ignore_patterns("initramfs"))
            for file in self.selftests.results.glob(f"{name}.*"):
                shutil.copy(file, kept)
            if run:
                detail += f" ({run.variables}, kept in {shown(kept)})"
        self.selftests.report.add(f"soak/{self.selftests.label}/{name}/{number}", result, detail)

    def name(self) -> str:
        """The kernel, and how it was booted."""
        variant = self.selftests.variant.name
        return self.selftests.kernel.release + (f" ({variant})" if variant else "")

    def failures(self) -> int:
        """All that went wrong but splats."""
        return sum(self.ends[one] for one in Result if one.is_failure) - self.ends[Result.SPLAT]


def _said(points: list[ktap.Point]) -> str:
    return "; ".join(f"{point.name}: {point.detail}" for point in points[:3])


def _table(soaks: list[_Soak], minutes: int, seed: str, commit: str) -> str:
    """What was tried, and what came of it."""
    found = {what for soak in soaks for what in soak.tallies}
    columns = [*_COLUMNS, *sorted(found - set(_COLUMNS))]
    head = ["kernel", "minutes", "test runs", *columns, "failures", "splats"]
    rows = [
        [
            soak.name(), round(soak.seconds / 60), soak.ends.total(),
            *(soak.tallies[what] for what in columns), soak.failures(), soak.ends[Result.SPLAT],
        ]
        for soak in soaks
    ]
    if len(rows) > 1:
        rows.append(["together", *(sum(column) for column in list(zip(*rows))[1:])])
    lines = [
        f"`make soak MINUTES={minutes} SEED={seed}`, commit {commit or 'unknown'}:",
        "",
        f"| {' | '.join(head)} |",
        f"|---{'|---:' * (len(head) - 1)}|",
        *(f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else cell for cell in row)} |" for row in rows),
    ]
    races = [soak for soak in soaks if soak.races]
    lines += [
        f"\nKCSAN told of {soak.races} races on {soak.name()} that livecore has no part in."
        for soak in races
    ]
    return "\n".join(lines) + "\n"
