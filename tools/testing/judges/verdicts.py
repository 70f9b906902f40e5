# SPDX-License-Identifier: GPL-2.0
"""What the judges share: collecting findings and printing them as KTAP."""

import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

# A debugger's whole output may be a part of what is wrong.
_SHOWN_LINES = 100

# One check: yields a line for everything that is not as it should be.
Check = Callable[[], Iterable[str]]


def left_by(test: str) -> Path:
    """The folder that a selftest has left, in the results that we are called with."""
    folder = Path(sys.argv[1]) / test
    if not folder.is_dir():
        print(f"KTAP version 1\n1..1\nnot ok 1 {test} # {folder} is missing")
        sys.exit(1)
    return folder


def output(command: list[str | Path], said: str = "") -> tuple[str, str]:
    """Runs a reader of cores, and says something to it: what it printed and complained about."""
    done = subprocess.run(
        command, input=said, capture_output=True, text=True, errors="replace", check=False,
        timeout=240,
    )  # fmt: skip
    complaints = done.stderr
    if done.returncode:
        complaints += f"exit status {done.returncode}\n"
    return done.stdout, complaints


def report(checks: dict[str, Check]) -> None:
    """Prints one line of KTAP for each check; ends the program."""
    print(f"KTAP version 1\n1..{len(checks)}")
    failed = False
    for number, (name, check) in enumerate(checks.items(), start=1):
        try:
            wrong = list(check())
        except OSError as error:
            # What the selftest should have left is not there.
            wrong = [str(error)]
        for line in "\n".join(wrong).splitlines()[:_SHOWN_LINES]:
            print(f"# {line}")
        print(f"{'not ok' if wrong else 'ok'} {number} {name}")
        failed |= bool(wrong)
    sys.exit(1 if failed else 0)
