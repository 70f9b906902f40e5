# SPDX-License-Identifier: GPL-2.0
"""The rules of the house that no compiler knows."""

import re
from pathlib import Path

from ..paths import CHECKOUT
from . import files

_RUST = CHECKOUT / "rust"
_MODULE = re.compile(r"^\s*(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*;")
_FORBID = "#[forbid(unsafe_code)]"


def complaints() -> list[str]:
    """Unsafe code outside rust/sys, modules that do not forbid it, paths of this machine."""
    return [*_unsafe_elsewhere(), *_not_forbidden(), *_machine_paths(), *_without_license()]


def _unsafe_elsewhere() -> list[str]:
    found = []
    for path in sorted(_RUST.rglob("*.rs")):
        if path.is_relative_to(_RUST / "sys"):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            code = re.sub(r'"(?:\\.|[^"\\])*"', '""', line).partition("//")[0]
            if re.search(r"\bunsafe\b", code):
                found.append(f"{path.relative_to(CHECKOUT)}:{number}: unsafe outside rust/sys")
    return found


def _not_forbidden() -> list[str]:
    """The crate's root declares every room but sys as one without unsafe code."""
    found = []
    previous = ""
    root = _RUST / "livecore_main.rs"
    for line in root.read_text(encoding="utf-8").splitlines():
        match = _MODULE.match(line)
        if match and match.group(1) != "sys" and previous.strip() != _FORBID:
            found.append(f"rust/livecore_main.rs: mod {match.group(1)} without {_FORBID}")
        previous = line
    return found


def _machine_paths() -> list[str]:
    """Where the checkout and homes are is nobody's business."""
    homes = re.compile(rf"{re.escape(str(CHECKOUT))}\b/|/home/[a-z]\w*/|/root/\.\w+")
    return [
        f"{path.relative_to(CHECKOUT)}: names a path of a machine: {match.group(0)}"
        for path in files.every()
        if (match := homes.search(path.read_text(encoding="utf-8", errors="replace")))
    ]


def _without_license() -> list[str]:
    sources = files.ending(".rs", ".c", ".h", ".S", ".py", ".sh", ".mk", ".toml")
    return [
        f"{path.relative_to(CHECKOUT)}: no SPDX-License-Identifier"
        for path in sources + files.starting("bash", "sh", "python3")
        if not _has_license(path)
    ]


def _has_license(path: Path) -> bool:
    head = path.read_text(encoding="utf-8").splitlines()[:3]
    return any("SPDX-License-Identifier: " in line for line in head)
