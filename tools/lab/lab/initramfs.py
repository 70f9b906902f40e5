# SPDX-License-Identifier: GPL-2.0
"""The initramfs of a guest: busybox, guest/init, and the modules it takes to reach the root."""

import os
import subprocess
import tempfile
from pathlib import Path

from .kernels import Kernel
from .paths import LAB

# What Debian builds as modules; what they need comes along.
_MODULES = ("9p", "9pnet_virtio", "overlay")
_FOLDERS = ("bin", "dev", "modules", "proc", "root", "sys")


def pack(kernel: Kernel, into: Path) -> None:
    """Writes the initramfs for a kernel."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        for folder in _FOLDERS:
            (top / folder).mkdir()
        _copy(Path("/usr/bin/busybox"), top / "bin/busybox")
        applets = subprocess.run(
            ["busybox", "--list"], capture_output=True, text=True, check=True
        ).stdout.split()
        for applet in set(applets) - {"busybox"}:
            (top / "bin" / applet).symlink_to("busybox")
        _copy(LAB / "guest/init", top / "init")
        modules = _with_dependencies(kernel.modules) if kernel.modules else []
        for module in modules:
            _copy(module, top / "modules" / module.name)
        order = "".join(f"{module.name}\n" for module in modules)
        (top / "modules/order").write_text(order, encoding="ascii")
        members = "".join(f"{path.relative_to(top)}\n" for path in sorted(top.rglob("*")))
        with into.open("wb") as archive:
            subprocess.run(
                ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"],
                input=members.encode(), stdout=archive, cwd=top, check=True,
            )


def _copy(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())
    target.chmod(0o755)


def _with_dependencies(folder: Path) -> list[Path]:
    """The files to insert, in order; what modules.dep does not know is built in."""
    dependencies = {}
    for line in (folder / "modules.dep").read_text(encoding="ascii").splitlines():
        module, _, needs = line.partition(":")
        dependencies[_module_name(module)] = [module, *needs.split()]
    order: list[str] = []
    for name in _MODULES:
        # modules.dep lists a module's needs with what is needed first at the end.
        order += [path for path in reversed(dependencies.get(name, [])) if path not in order]
    return [folder / path for path in order]


def _module_name(path: str) -> str:
    return os.path.basename(path).split(".")[0]
