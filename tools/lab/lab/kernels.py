# SPDX-License-Identifier: GPL-2.0
"""The kernels that can be named, and what each of them is made of."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from .paths import LAB
from .progress import LabError

DEBUG = "debug"


@dataclass(frozen=True)
class Kernel:
    """A kernel that can be booted, with a tree that modules can be built on."""

    name: str
    """What the user calls it: 7.2, 7.3-rt, debug."""
    release: str
    """What `uname -r` says."""
    image: Path
    modules: Path | None
    """Its own modules, where it has any."""
    tree: Path
    """What KDIR is to be."""
    source: Path
    """The source that it was built from."""
    toolchain: tuple[str, ...]
    """Variables for make that choose the compiler it was built with."""

    @property
    def is_debug(self) -> bool:
        """Whether it is the kernel with all the checkers in it."""
        return self.name == DEBUG


@dataclass(frozen=True)
class Catalogue:
    """What kernels.toml says."""

    series: tuple[str, ...]
    flavours: tuple[str, ...]
    debug_series: tuple[str, ...]

    @classmethod
    def load(cls) -> "Catalogue":
        """Reads the file."""
        with (LAB / "kernels.toml").open("rb") as file:
            data = tomllib.load(file)
        return cls(**{key: tuple(value) for key, value in data.items()})

    def split(self, name: str) -> tuple[str, str]:
        """Takes a stock kernel's name apart: series and flavour."""
        series, _, flavour = name.partition("-")
        if series not in self.series or (flavour and flavour not in self.flavours):
            known = [*self.series, *(f"{s}-{f}" for s in self.series for f in self.flavours)]
            raise LabError(f"no kernel is called {name}; there are {' '.join(known)} {DEBUG}")
        return series, flavour

    def checked(self) -> tuple[str, ...]:
        """The kernels that all tests run on."""
        return (*self.series, DEBUG)
