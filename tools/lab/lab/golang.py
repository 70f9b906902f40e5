# SPDX-License-Identifier: GPL-2.0
"""A Go server with debug information, which Debian's own Go programs come without.

Delve reads nothing of a stripped program. So Go's example of a server (net/http/triv.go in its
source) is built with the suite's Go, which takes 250 MB and is thrown away afterwards.
"""

import os
import shutil
from pathlib import Path

from . import cache, mirror
from .paths import LOGS
from .progress import LabError, must

_RELEASE = "1.24"


def server() -> Path:
    """The program; its first argument is not asked for, and it listens on port 12345."""
    packages = [f"golang-{_RELEASE}-{part}" for part in ("go", "src")]
    versions = mirror.versions(packages[0])
    if not versions:
        raise LabError(f"the mirror offers no {packages[0]}")
    version = versions[-1]

    def build(into: Path) -> None:
        log = LOGS / "golang.log"
        unpacked = into / "unpacked"
        mirror.download(packages, version, unpacked, log)
        root = unpacked / f"usr/lib/go-{_RELEASE}"
        must(
            ["env", f"GOROOT={root}", f"GOCACHE={into / 'objects'}", "CGO_ENABLED=0",
             "GOTOOLCHAIN=local", "GOFLAGS=-mod=mod", root / "bin/go", "build",
             "-trimpath", "-o", into / "triv", os.path.realpath(root / "src/net/http/triv.go")],
            log, "the Go server does not build", cwd=into,
        )  # fmt: skip
        for folder in (unpacked, into / "objects"):
            shutil.rmtree(folder)

    return cache.product("golang", [version], 1, build) / "triv"
