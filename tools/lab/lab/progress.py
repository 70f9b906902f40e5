# SPDX-License-Identifier: GPL-2.0
"""What the lab says while it works: one line a step on stderr, with the time since the start."""

import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .paths import shown

_START = time.monotonic()
_LOCK = threading.Lock()


class LabError(Exception):
    """Something is missing or wrong; the message is one line for the user."""


def say(message: str) -> None:
    """Prints one line of progress."""
    minutes, seconds = divmod(int(time.monotonic() - _START), 60)
    with _LOCK:
        print(f"[{minutes:3d}:{seconds:02d}] {message}", file=sys.stderr, flush=True)


def run_logged(
    command: Sequence[str | Path],
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> bool:
    """Runs a command with its output appended to a log; says whether it succeeded."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as output:
        print("$", *command, file=output, flush=True)
        return (
            subprocess.run(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=env,
                check=False,
            ).returncode
            == 0
        )


def must(command: Sequence[str | Path], log: Path, failure: str, cwd: Path | None = None) -> None:
    """Runs a command that has to succeed; `failure` is what to say where it does not."""
    if not run_logged(command, log, cwd):
        raise LabError(f"{failure} (log: {shown(log)})")
