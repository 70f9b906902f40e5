# SPDX-License-Identifier: GPL-2.0
"""Boots a kernel in a virtual machine, runs a command there, and tells what came of it.

The verdict leaves the guest as a file in a shared folder, never over the console; the console
is kept as a log and searched for what a kernel says when something is wrong. A guest that
ended without a verdict was lost: that is neither a failed command nor a kernel bug.
"""

import enum
import os
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import initramfs, machine
from .kernels import PLAIN, Kernel, Variant
from .paths import CHECKOUT, shown
from .splat import find_splat

class Verdict(enum.Enum):
    """What came of a guest."""

    OK = "ok"
    FAILED = "the command failed"
    SPLAT = "kernel splat"
    LOST = "VM lost"


@dataclass(frozen=True)
class Outcome:
    """How a session in a guest ended."""

    verdict: Verdict
    status: int | None
    """The command's exit status, where there is one."""
    detail: str
    session: Path
    """The folder with stdout, stderr, kernel.log and console.log."""

    def __str__(self) -> str:
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.verdict.value}{detail} (log: {shown(self.session / 'console.log')})"

    def stdout(self) -> str:
        """What the command printed."""
        path = self.session / "stdout"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


@dataclass(frozen=True)
class Guest:
    """A machine to boot."""

    kernel: Kernel
    variant: Variant = PLAIN
    memory: str = "2G"
    module: Path | None = None
    """What is loaded before the command runs."""
    kernel_arguments: tuple[str, ...] = ()
    machine_arguments: tuple[str, ...] = ()
    """Words for QEMU; what they say again counts instead of what was said before."""
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(
        self, command: str, session: Path, timeout_s: float | None = None, follow: bool = False
    ) -> Outcome:
        """Boots, runs a shell command in the checkout, and powers off.

        `follow` passes its output on while it runs.
        """
        self._prepare(session)
        (session / "command").write_text(command + "\n", encoding="utf-8")
        words = [*self._machine(session), "-serial", f"file:{session / 'console.log'}"]
        with (session / "qemu.log").open("wb") as log:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
            followers = [
                _Follower(session / name, descriptor, process)
                for name, descriptor in (("stdout", 1), ("stderr", 2))
                if follow
            ]
            try:
                process.wait(timeout_s)
                timed_out = False
            except subprocess.TimeoutExpired:
                timed_out = True
            finally:
                process.kill()
                process.wait()
            for follower in followers:
                follower.join()
        return _judge(session, f"still running after {timeout_s:.0f} s" if timed_out else "")

    def shell(self, session: Path) -> int:
        """An interactive guest on this terminal."""
        self._prepare(session)
        words = [*self._machine(session, "loglevel=1"), "-serial", "mon:stdio"]
        return subprocess.run(words, check=False).returncode

    def _prepare(self, session: Path) -> None:
        shutil.rmtree(session, ignore_errors=True)
        session.mkdir(parents=True)
        variables = {**self.environment, "LAB_DIRECTORY": str(CHECKOUT)}
        if self.module:
            variables["LAB_INSMOD"] = str(self.module)
        (session / "environment").write_text(
            "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()),
            encoding="utf-8",
        )
        if self.kernel.modules:
            _install(self.kernel.modules)
        initramfs.pack(self.kernel, session / "initramfs")

    def _machine(self, session: Path, *arguments: str) -> list[str]:
        words = machine.command(
            self.kernel, session / "initramfs", self.memory, self.variant.cpus, self.variant.cpu,
            session, (*self.variant.arguments, *self.kernel_arguments, *arguments),
        )
        return [*words, *self.machine_arguments]


class _Follower(threading.Thread):
    """Passes on what a guest writes to a file until its machine ends."""

    def __init__(self, path: Path, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        super().__init__(daemon=True)
        self._path, self._descriptor, self._process = path, descriptor, process
        self.start()

    def run(self) -> None:
        offset = 0
        while True:
            ended = self._process.poll() is not None
            if self._path.exists():
                with self._path.open("rb") as file:
                    file.seek(offset)
                    data = file.read()
                offset += len(data)
                os.write(self._descriptor, data)
            if ended:
                return
            time.sleep(0.1)


def _install(modules: Path) -> None:
    """Puts a stock kernel where a userland has its kernels, for the guest's modprobe."""
    link = Path("/usr/lib/modules") / modules.name
    link.parent.mkdir(exist_ok=True)
    if link.is_symlink() and link.readlink() == modules:
        return
    fresh = link.with_name(f".{link.name}.{os.getpid()}.{threading.get_ident()}")
    fresh.symlink_to(modules)
    fresh.replace(link)


def _judge(session: Path, end: str) -> Outcome:
    splat = find_splat(session / "console.log") or find_splat(session / "kernel.log")
    verdict_file = session / "status"
    text = verdict_file.read_text(encoding="utf-8").strip() if verdict_file.exists() else None
    status = int(text) if text and text.isdigit() else None
    if splat:
        return Outcome(Verdict.SPLAT, status, splat, session)
    # One that has a verdict has to power off, too.
    if text is None or end:
        return Outcome(Verdict.LOST, status, end or "it ended by itself", session)
    if text == "insmod":
        reason = (session / "insmod").read_text(encoding="utf-8").strip()
        return Outcome(Verdict.FAILED, None, f"the module did not load: {reason}", session)
    if status != 0:
        return Outcome(Verdict.FAILED, status, f"exit status {status}", session)
    return Outcome(Verdict.OK, 0, "", session)
