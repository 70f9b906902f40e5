# SPDX-License-Identifier: GPL-2.0
"""Runs a tool and keeps the lines in which it complains."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ..paths import CHECKOUT

# More than this says nothing that the first ones do not.
_MOST = 20


def complaints(
    command: Sequence[str | Path], pattern: str = "", tool: str = "", cwd: Path = CHECKOUT
) -> list[str]:
    """What a command prints that matches `pattern`, once each; anything where it fails."""
    result = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=cwd,
        check=False,
    )
    text = result.stdout.replace(f"{CHECKOUT}/", "")
    lines = list(dict.fromkeys(line for line in text.splitlines() if line.strip()))
    found = [line for line in lines if re.search(pattern, line)] if pattern else []
    if result.returncode and not found:
        found = lines or [f"{tool or command[0]}: exit status {result.returncode}"]
    return found[:_MOST]
