# SPDX-License-Identifier: GPL-2.0
"""Gates of the shell and Python files."""

import ast

from ..paths import CHECKOUT
from . import files
from .command import complaints


def shellcheck() -> list[str]:
    """No complaint at all, notes included."""
    shell = sorted({*files.ending(".sh"), *files.starting("bash", "sh")})
    return complaints(
        ["shellcheck", "--external-sources", "--format=gcc", *shell], ": ", "shellcheck"
    )


def python() -> list[str]:
    """It compiles, pyflakes has no complaint, and every file says what it is for."""
    sources = sorted({*files.ending(".py"), *files.starting("python3")})
    found = complaints(["python3", "-m", "pyflakes", *sources], ":", "pyflakes")
    return found + [
        f"{path.relative_to(CHECKOUT)}: no docstring"
        for path in sources
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
