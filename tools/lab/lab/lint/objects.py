# SPDX-License-Identifier: GPL-2.0
"""Gates of the built module: what it can panic in, and what it calls through pointers."""

import re
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from ..paths import CHECKOUT

_LINT = CHECKOUT / "tools/lint"
_FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
# Retpolines, call-depth thunks, or the bare instruction.
_INDIRECT = re.compile(r"__x86_indirect_(?:call_|jump_)?thunk_\w+|\t(?:notrack )?(?:call|jmp)\s+\*")


def panics(built: Path) -> list[str]:
    """Symbols of core::panicking that the module links to and tools/lint/panics does not list."""
    symbols = _run("nm", "--undefined-only", "--demangle", str(built))
    reached = {line.split(maxsplit=1)[1] for line in symbols if "core::panicking" in line}
    return sorted(f"{name} can be reached" for name in reached - set(_reviewed("panics")))


def indirect_calls(built: Path) -> list[str]:
    """Indirect calls over and above those in tools/lint/indirect-calls."""
    reviewed = {
        name: int(count)
        for count, name in (line.split(maxsplit=1) for line in _reviewed("indirect-calls"))
    }
    return [
        f"{count} indirect calls in {name}, {reviewed.get(name, 0)} reviewed"
        for name, count in sorted(_count_indirect_calls(built).items())
        if count > reviewed.get(name, 0)
    ]


def _count_indirect_calls(built: Path) -> Mapping[str, int]:
    """How often each function of the module calls or jumps through a pointer."""
    counts: Counter[str] = Counter()
    function = ""
    for line in _run("objdump", "-d", "-r", "--demangle", "--no-show-raw-insn", str(built)):
        if match := _FUNCTION.match(line):
            function = match.group(1)
        elif _INDIRECT.search(line) and "R_X86_64_NONE" not in line:
            counts[function] += 1
    return counts


def _run(*command: str) -> list[str]:
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=True
    ).stdout.splitlines()


def _reviewed(name: str) -> list[str]:
    lines = (_LINT / name).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]
