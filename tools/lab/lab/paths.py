# SPDX-License-Identifier: GPL-2.0
"""Where things are: the checkout, what is built in it, and the cache."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
LAB = CHECKOUT / "tools" / "lab"
BUILD = CHECKOUT / "build"
LOGS = BUILD / "logs"
CACHE = Path("/cache")


def shown(path: Path) -> str:
    """The path as the user may type it: relative where it is in the checkout."""
    return str(path.relative_to(CHECKOUT)) if path.is_relative_to(CHECKOUT) else str(path)
