# SPDX-License-Identifier: GPL-2.0
"""Runs the module's KUnit suites on the debug kernel.

Where KUNIT is not =y the suites vanish from the module without a word, so their number is
checked twice: against the sources, and against tools/testing/kunit/expected, which a change
of the number has to change too.
"""

import re
from pathlib import Path

from . import ktap
from .guest import Guest, Verdict
from .kernels import Kernel
from .paths import CHECKOUT, LOGS
from .report import Report, Result, of_guest

_EXPECTED = CHECKOUT / "tools/testing/kunit/expected"
_TIMEOUT_S = 400.0
# guest/session writes it to the kernel log before it loads the module.
_LOADING = "livecore-lab: loading"


def run(kernel: Kernel, module: Path, report: Report) -> None:
    """Boots, loads the module, and reads the suites' results from the kernel log."""
    group = f"kunit/{kernel.name}"
    guest = Guest(
        kernel, module=module, kernel_arguments=("kunit.enable=1", "kunit.autorun=1")
    )
    outcome = guest.run("true", LOGS / f"kunit-{kernel.name}", _TIMEOUT_S)
    if outcome.verdict is not Verdict.OK:
        report.add(f"{group}/guest", of_guest(outcome.verdict), str(outcome))
    log = outcome.session / "kernel.log"
    if not log.exists():
        return
    text = log.read_text(encoding="utf-8", errors="replace").rpartition(_LOADING)[2]
    points = ktap.parse(text, kernel.source)
    for point in points:
        report.add(f"{group}/{point.name}", point.result, point.detail)
    suites = {point.name.rpartition("/")[0] for point in points if "/" in point.name}
    ran = f"{len(suites)} suites, {sum('/' in point.name for point in points)} cases"
    committed = _EXPECTED.read_text(encoding="utf-8").splitlines()[-1]
    for name, wanted in (("as-in-sources", _in_sources()), ("as-expected", committed)):
        result = Result.PASSED if ran == wanted else Result.FAILED
        report.add(f"{group}/{name}", result, f"ran {ran}, not {wanted}")


def _in_sources() -> str:
    suites = cases = 0
    for path in sorted((CHECKOUT / "rust").rglob("*.rs")):
        text = path.read_text(encoding="utf-8")
        suites += len(re.findall(r"^\s*#\[(?:\w+::)*kunit_tests\(\w+\)\]", text, re.MULTILINE))
        cases += len(re.findall(r"^\s*#\[test\]", text, re.MULTILINE))
    return f"{suites} suites, {cases} cases"
