# SPDX-License-Identifier: GPL-2.0
"""What the mirror offers now, and how it comes from there."""

import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import cache
from .paths import CACHE, LOGS
from .progress import LabError, must, run_logged, say

# The index is asked for again when it is older than this.
REFRESH_S = 24 * 3600


@dataclass(frozen=True)
class StockPackages:
    """One stock kernel as the mirror names it."""

    release: str
    """What `uname -r` says."""
    version: str
    """The version of all its packages."""
    source: str
    """The package of its source."""
    headers: str
    images: tuple[str, ...]
    """The packages of the kernel image and its modules."""


def refresh(log: Path = LOGS / "mirror.log") -> None:
    """Brings the index of packages up to date, once a day; an old one does where that fails."""
    # The folder belongs to one userland, and so does what apt says in it.
    stamp = Path("/var/lib/apt/livecore-refreshed")
    with cache.locked(CACHE / "mirror.lock"):
        if stamp.exists() and stamp.stat().st_mtime > time.time() - REFRESH_S:
            return
        if run_logged(["apt-get", "update", "--error-on=any"], log):
            stamp.touch()
        elif stamp.exists():
            say("the mirror cannot be reached: going by what it offered last time")
        else:
            raise LabError("the mirror cannot be reached (log: build/logs/mirror.log)")


def find_stock(series: str, flavour: str) -> StockPackages | None:
    """The newest stock kernel of a series for which headers, image and source agree."""
    source = f"linux-source-{series}"
    variant = f"-{flavour}" if flavour else ""
    for version in versions(source):
        upstream = version.split("-")[0]
        pattern = re.compile(
            rf"linux-headers-({re.escape(upstream)}(?:\+[a-z0-9]+)?{variant}-amd64)"
        )
        for name in sorted(_names(f"linux-headers-{upstream}")):
            match = pattern.fullmatch(name)
            if not match or version not in versions(name):
                continue
            release = match.group(1)
            images = _images(release, version)
            if images:
                return StockPackages(release, version, source, name, images)
    return None


def _images(release: str, version: str) -> tuple[str, ...]:
    """The packages of the image and its modules: split ones, or the one of older kernels."""
    modules = f"linux-modules-{release}"
    for packages in (
        (f"linux-binary-{release}", modules),
        (f"linux-image-{release}",),
        (f"linux-binary-unsigned-{release}", modules),
        (f"linux-image-{release}-unsigned",),
    ):
        if all(version in versions(package) for package in packages):
            return packages
    return ()


def download(packages: Sequence[str], version: str, into: Path, log: Path) -> None:
    """Downloads packages and unpacks them, without installing them, into one folder."""
    debs = into.with_name(into.name + ".debs")
    debs.mkdir()
    must(
        ["apt-get", "download", "-o", "APT::Sandbox::User=root"]
        + [f"{name}={version}" for name in packages],
        log,
        f"cannot download {packages[0]}",
        cwd=debs,
    )
    into.mkdir(exist_ok=True)
    for deb in sorted(debs.glob("*.deb")):
        must(["dpkg-deb", "-x", deb, into], log, f"cannot unpack {deb.name}")
    shutil.rmtree(debs)


def _apt_cache(*words: str) -> list[str]:
    result = subprocess.run(
        ["apt-cache", *words], capture_output=True, text=True, check=False
    )
    return result.stdout.splitlines()


def _names(prefix: str) -> list[str]:
    return _apt_cache("pkgnames", prefix)


def versions(package: str) -> list[str]:
    """The versions on offer, newest first."""
    return [line.split("|")[1].strip() for line in _apt_cache("madison", package)]
