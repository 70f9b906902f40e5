# SPDX-License-Identifier: GPL-2.0
"""Products that outlive a run: built once for each set of inputs, never trusted half-built.

A product is a folder `<kind>-<hash of its inputs>` in the cache. It is built under its final
name, because kernel trees remember theirs, and counts only once the file `.complete` is in it.
"""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .paths import CACHE
from .progress import LabError

# A product of other inputs that nobody has used for so long is deleted.
KEEP_UNUSED_S = 7 * 24 * 3600

# Shared locks on the products in use, held until the process ends.
_in_use: list[int] = []


def digest(inputs: Iterable[str]) -> str:
    """The name of a set of inputs."""
    return hashlib.sha256("\0".join(inputs).encode()).hexdigest()[:12]


def product(kind: str, inputs: Iterable[str], need_gib: int, build: Callable[[Path], None]) -> Path:
    """Returns the folder of a product, and builds it first where there is none."""
    inputs = list(inputs)
    path = CACHE / f"{kind}-{digest(inputs)}"
    stamp = path / ".complete"
    lock = _open_lock(path)
    if not stamp.exists():
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists():
            shutil.rmtree(path, ignore_errors=True)
            _prune(kind, path)
            _check_space(need_gib)
            path.mkdir()
            build(path)
            stamp.write_text("\n".join(inputs) + "\n", encoding="utf-8")
    fcntl.flock(lock, fcntl.LOCK_SH)
    _in_use.append(lock)
    os.utime(stamp)
    return path


@contextmanager
def locked(path: Path, busy: str = "") -> Iterator[None]:
    """Holds a lock on a file, which is made where there is none.

    Where somebody else has it, waits, or refuses with the message `busy`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError:
            raise LabError(busy) from None
        yield


def _open_lock(path: Path) -> int:
    locks = CACHE / "locks"
    locks.mkdir(exist_ok=True)
    return os.open(locks / path.name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)


def _prune(kind: str, keep: Path) -> None:
    """Deletes products of the same kind that were left half-built or long unused."""
    for path in CACHE.glob(f"{kind}-????????????"):
        if path == keep:
            continue
        lock = _open_lock(path)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            stamp = path / ".complete"
            if not stamp.exists() or stamp.stat().st_mtime < time.time() - KEEP_UNUSED_S:
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(lock)


def _check_space(need_gib: int) -> None:
    free_gib = shutil.disk_usage(CACHE).free // 2**30
    if free_gib < need_gib:
        raise LabError(f"the cache's file system has {free_gib} GiB free, {need_gib} are needed")
