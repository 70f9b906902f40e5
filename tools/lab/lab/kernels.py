# SPDX-License-Identifier: GPL-2.0
"""The kernels that can be named, what each of them is made of, and the ways to boot them."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    arguments: tuple[str, ...] = ()
    """What it is always booted with."""

    @property
    def is_debug(self) -> bool:
        """Whether it is one of the kernels with the checkers in it."""
        return self.modules is None

    def has(self, option: str) -> bool:
        """Whether an option of its configuration is y."""
        config = (self.tree / ".config").read_text(encoding="utf-8")
        return f"CONFIG_{option}=y" in config.splitlines()


@dataclass(frozen=True)
class DebugFlavour:
    """A kernel that is built from configurations of ours: kernels.toml explains the keys."""

    name: str
    config: tuple[str, ...]
    without: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Variant:
    """A way to boot a kernel: kernels.toml explains the keys."""

    name: str
    arguments: tuple[str, ...] = ()
    cpu: str = ""
    cpus: int = 2
    shows: Mapping[str, str] = field(default_factory=dict)
    without: Mapping[str, str] = field(default_factory=dict)


PLAIN = Variant("")


@dataclass(frozen=True)
class Catalogue:
    """What kernels.toml says."""

    series: tuple[str, ...]
    flavours: tuple[str, ...]
    debug_series: tuple[str, ...]
    debug: Mapping[str, DebugFlavour]
    short: tuple[str, ...]
    soak: tuple[str, ...]
    variant: Mapping[str, Variant]

    @classmethod
    def load(cls) -> "Catalogue":
        """Reads the file."""
        with (LAB / "kernels.toml").open("rb") as file:
            data = tomllib.load(file)
        for key, kind in (("debug", DebugFlavour), ("variant", Variant)):
            data[key] = {name: kind(name, **_frozen(table)) for name, table in data[key].items()}
        return cls(**_frozen(data))

    def split(self, name: str) -> tuple[str, str]:
        """Takes a stock kernel's name apart: series and flavour."""
        series, _, flavour = name.partition("-")
        if series not in self.series or (flavour and flavour not in self.flavours):
            known = [*self.series, *(f"{s}-{f}" for s in self.series for f in self.flavours)]
            known += self.debug
            raise LabError(f"no kernel is called {name}; there are {' '.join(known)}")
        return series, flavour

    def boot(self, name: str) -> tuple[str, Variant]:
        """Takes 7.2+nosmp apart: the kernel's name, and the variant, PLAIN where none is named."""
        kernel, _, variant = name.partition("+")
        if variant and variant not in self.variant:
            raise LabError(f"no variant is called {variant}; there are {' '.join(self.variant)}")
        return kernel, self.variant.get(variant, PLAIN)

    def checked(self) -> tuple[str, ...]:
        """The kernels that all tests run on."""
        return (*self.series, DEBUG)


def _frozen(table: Mapping[str, Any]) -> dict[str, Any]:
    """The same with tuples for lists."""
    return {
        key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
    }
