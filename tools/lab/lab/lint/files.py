# SPDX-License-Identifier: GPL-2.0
"""The files of the checkout, by kind."""

from collections.abc import Iterator
from pathlib import Path

from ..paths import BUILD, CHECKOUT


def every() -> Iterator[Path]:
    """All files but what is built and what belongs to git."""
    for path in sorted(CHECKOUT.rglob("*")):
        below = path.relative_to(CHECKOUT)
        if path.is_file() and not path.is_relative_to(BUILD) and below.parts[0] != ".git":
            yield path


def ending(*suffixes: str) -> list[Path]:
    """Files by the end of their names."""
    return [path for path in every() if path.suffix in suffixes]


def starting(*interpreters: str) -> list[Path]:
    """Scripts by the interpreter in their first line."""
    found = []
    for path in every():
        with path.open("rb") as file:
            first = file.readline(80).decode(errors="replace").split()
        if first and first[0].startswith("#!"):
            if Path(first[-1].removeprefix("#!")).name in interpreters:
                found.append(path)
    return found
