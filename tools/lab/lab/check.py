# SPDX-License-Identifier: GPL-2.0
"""make check: every gate and every test, on every kernel that the mirror has."""

import fnmatch
import os
from concurrent.futures import ThreadPoolExecutor

from . import bench, cache, judges, kunit, lint, mirror, module, trees
from .kernels import DEBUG, Catalogue
from .paths import BUILD
from .progress import LabError, say
from .report import Report, Result
from .selftests import Selftests, read_list


def run(pattern: str, names: list[str]) -> int:
    """Runs what matches on the kernels named, or on all; returns the exit status."""
    with cache.locked(BUILD / ".check.lock", "another check is running in this checkout"):
        return _run(pattern, names)


def _run(pattern: str, names: list[str]) -> int:
    tests = [*(test.name for test in read_list()), *judges.names(), bench.NAME]
    if not fnmatch.filter(tests, pattern):
        raise LabError(f"no test is called {pattern}; there are {' '.join(tests)}")
    mirror.refresh()
    everything = not names and pattern == "*"
    names = names or list(Catalogue.load().checked())
    report = Report()
    # The debug kernel takes longest, to build and to run.
    order = sorted(names, key=lambda name: name != DEBUG)
    lanes = ThreadPoolExecutor(max_workers=max(2, (os.cpu_count() or 1) // 2))
    jobs = [lanes.submit(_check_kernel, name, pattern, report) for name in order]
    if everything:
        jobs.append(lanes.submit(_check_sources, names, report))
    for job in jobs:
        job.result()
    return report.finish()


def _check_kernel(name: str, pattern: str, report: Report) -> None:
    """All that is run on one kernel."""
    try:
        kernel = trees.find(name)
        if not kernel:
            report.note(f"not tested: the mirror offers no kernel {name}")
            return
        built = module.build(kernel)
        report.add(f"build/{name}", Result.PASSED)
        if kernel.is_debug and pattern == "*":
            say(f"{name}: KUnit in a guest")
            kunit.run(kernel, built, report)
        selftests = Selftests(kernel, built, report)
        selftests.build()
        selftests.run(pattern)
        if not kernel.is_debug:
            # What leaves cores for them, or needs programs of some size, takes too long there.
            judges.run(kernel, pattern, report)
        if name == Catalogue.load().series[0] and fnmatch.fnmatch(bench.NAME, pattern):
            bench.check(kernel, built, report)
        if pattern == "*":
            lint.objects_of(kernel, report)
        report.note(f"tested on {kernel.release} ({name})")
        say(f"{name}: {report.summarize(name)}")
    except LabError as error:
        report.add(f"kernel/{name}", Result.BROKEN, str(error))


def _check_sources(names: list[str], report: Report) -> None:
    try:
        lint.sources(next(name for name in names if name != DEBUG), report)
    except LabError as error:
        report.add("lint", Result.BROKEN, str(error))
