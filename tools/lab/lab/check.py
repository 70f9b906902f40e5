# SPDX-License-Identifier: GPL-2.0
"""make check: every gate and every test, on every kernel that the mirror has.

A kernel may be named with a variant (7.2+nosmp): then only the tests marked `short` are run on it.
"""

import fnmatch
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import bench, cache, guard, judges, kunit, lint, mirror, module, trees
from .kernels import PLAIN, Catalogue, Kernel
from .paths import BUILD
from .progress import LabError, say
from .report import Report, Result
from .selftests import Selftests, read_list


def run(pattern: str, names: list[str]) -> int:
    """Runs what matches on the kernels named, or on all; returns the exit status."""
    with cache.locked(BUILD / ".check.lock", "another check is running in this checkout"):
        return _run(pattern, names)


def _run(pattern: str, names: list[str]) -> int:
    tests = [*(test.name for test in read_list()), *judges.names(), bench.NAME, guard.NAME]
    if not fnmatch.filter(tests, pattern):
        raise LabError(f"no test is called {pattern}; there are {' '.join(tests)}")
    mirror.refresh()
    catalogue = Catalogue.load()
    everything = not names and pattern == "*"
    names = names or list(catalogue.checked())
    report = Report()
    # A debug kernel takes longest, to build and to run.
    order = sorted(names, key=lambda name: name not in catalogue.debug)
    lanes = ThreadPoolExecutor(max_workers=max(2, (os.cpu_count() or 1) // 2))
    jobs = [lanes.submit(_check_kernel, name, pattern, report) for name in order]
    if everything:
        jobs.append(lanes.submit(_check_sources, catalogue.series[0], report))
        jobs += [lanes.submit(_check_kernel, name, pattern, report) for name in catalogue.short]
    for job in jobs:
        job.result()
    return report.finish()


def _check_kernel(name: str, pattern: str, report: Report) -> None:
    """All that is run on one kernel, or on one variant of it."""
    try:
        kernel_name, variant = Catalogue.load().boot(name)
        kernel = trees.find(kernel_name)
        if not kernel:
            report.note(f"not tested: the mirror offers no kernel {kernel_name}")
            return
        built = module.build(kernel)
        start = time.monotonic()
        selftests = Selftests(kernel, built, report, variant)
        selftests.build()
        if variant is PLAIN:
            _check_all(kernel, built, selftests, pattern, report)
            report.note(f"tested on {kernel.release} ({name})")
        else:
            report.add(f"build/{name}", Result.PASSED)
            selftests.run(pattern)
            report.note(f"the short suite was run on {kernel.release} ({name})")
        say(f"{name}: {report.summarize(name)}, in {time.monotonic() - start:.0f} s")
    except LabError as error:
        report.add(f"kernel/{name}", Result.BROKEN, str(error))


def _check_all(
    kernel: Kernel, built: Path, selftests: Selftests, pattern: str, report: Report
) -> None:
    """Everything that there is for a kernel."""
    report.add(f"build/{kernel.name}", Result.PASSED)
    if kernel.is_debug:
        if kernel.has("KUNIT") and pattern == "*":
            say(f"{kernel.name}: KUnit in a guest")
            kunit.run(kernel, built, report)
        if fnmatch.fnmatch(guard.NAME, pattern):
            say(f"{kernel.name}: calls of sealed functions, each in a guest")
            guard.run(kernel, report)
    selftests.run(pattern)
    if not kernel.is_debug:
        # What leaves cores for them, or needs programs of some size, takes too long there.
        judges.run(kernel, pattern, report)
    if kernel.name == Catalogue.load().series[0] and fnmatch.fnmatch(bench.NAME, pattern):
        bench.check(kernel, built, report)
    if pattern == "*":
        lint.objects_of(kernel, report)


def _check_sources(name: str, report: Report) -> None:
    try:
        lint.sources(name, report)
    except LabError as error:
        report.add("lint", Result.BROKEN, str(error))
