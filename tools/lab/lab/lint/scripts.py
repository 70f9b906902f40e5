# SPDX-License-Identifier: GPL-2.0
"""Gates of the shell and Python files."""

import ast
from collections.abc import Iterator

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
    """It compiles, pyflakes has no complaint, and every module and public name is documented."""
    sources = sorted({*files.ending(".py"), *files.starting("python3")})
    found = complaints(["python3", "-m", "pyflakes", *sources], ":", "pyflakes")
    for path in sources:
        found += [
            f"{path.relative_to(CHECKOUT)}: no docstring: {name}"
            for name in _undocumented(ast.parse(path.read_text(encoding="utf-8")))
        ]
    return found


def _undocumented(node: ast.Module | ast.ClassDef) -> Iterator[str]:
    """The module, class and public members of them that no docstring explains."""
    if not ast.get_docstring(node):
        yield getattr(node, "name", "the module")
    for member in node.body:
        if isinstance(member, ast.ClassDef) and not member.name.startswith("_"):
            yield from _undocumented(member)
        elif isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
            if not ast.get_docstring(member):
                yield member.name
