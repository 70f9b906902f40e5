# SPDX-License-Identifier: GPL-2.0
"""Kernel trees that a Rust module can be built on: stock ones, and the debug kernels.

Debian's header packages hold no Rust artefacts. They are built here from the matching source
with the packaged configuration, and believed only when their exported names are the packaged
ones: Rust names carry hashes of the compiler and the crates, so they would differ otherwise.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from . import cache, mirror
from .kernels import Catalogue, DebugFlavour, Kernel
from .mirror import StockPackages
from .paths import LAB, LOGS
from .progress import LabError, must, say

# Debian builds with gcc-14 by this name, which is part of the configuration.
STOCK_TOOLCHAIN = ("CC=x86_64-linux-gnu-gcc-14",)
DEBUG_TOOLCHAIN = ("LLVM=1",)

# So that trees do not differ by who built them and where.
REPRODUCIBLE = ("KBUILD_BUILD_USER=livecore", "KBUILD_BUILD_HOST=livecore")


def find(name: str) -> Kernel | None:
    """The kernel of that name, its tree ready; None where the mirror has no such series."""
    mirror.refresh()
    catalogue = Catalogue.load()
    if name in catalogue.debug:
        for series in catalogue.debug_series:
            packages = mirror.find_stock(series, "")
            if packages:
                return _debug(catalogue.debug[name], packages)
        return None
    packages = mirror.find_stock(*catalogue.split(name))
    return _stock(name, packages) if packages else None


def get(name: str) -> Kernel:
    """Like find(), for a kernel that must be there."""
    kernel = find(name)
    if not kernel:
        raise LabError(f"the mirror offers no kernel {name} with headers, image and source")
    return kernel


def _stock(name: str, packages: StockPackages) -> Kernel:
    source = _source(packages)
    path = cache.product(
        f"stock-{name}",
        [packages.release, packages.version, *STOCK_TOOLCHAIN, rustc_version()],
        3,
        lambda path: _build_stock(path, packages, source),
    )
    modules = path / "image/usr/lib/modules" / packages.release
    return Kernel(
        name, packages.release, modules / "vmlinuz", modules, path / "tree", source,
        STOCK_TOOLCHAIN,
    )


def _debug(flavour: DebugFlavour, packages: StockPackages) -> Kernel:
    source = _source(packages)
    config = "".join((LAB / name).read_text(encoding="utf-8") for name in flavour.config)
    omitted = [word for pair in sorted(flavour.without.items()) for word in pair]
    path = cache.product(
        flavour.name,
        [packages.version, config, *omitted, *DEBUG_TOOLCHAIN, rustc_version()],
        5,
        lambda path: _build_debug(path, flavour, source, config),
    )
    tree = path / "tree"
    return Kernel(
        flavour.name, kernel_release(tree), path / "vmlinuz", None, tree,
        path / "source" if flavour.without else source, DEBUG_TOOLCHAIN, flavour.arguments,
    )


def _source(packages: StockPackages) -> Path:
    def unpack(path: Path) -> None:
        say(f"fetching the source of {packages.version}")
        log = LOGS / f"{packages.source}.log"
        mirror.download([packages.source], packages.version, path / "package", log)
        (tarball,) = (path / "package/usr/src").glob("linux-source-*.tar.*")
        linux = path / "linux"
        linux.mkdir()
        must(
            ["tar", "-xf", tarball, "-C", linux, "--strip-components=1"],
            log,
            f"cannot unpack {tarball.name}",
        )
        shutil.rmtree(path / "package")

    path = cache.product("source", [packages.source, packages.version], 3, unpack)
    return path / "linux"


def _build_stock(path: Path, packages: StockPackages, source: Path) -> None:
    log = LOGS / f"stock-{packages.release}.log"
    say(f"fetching {packages.release}")
    image = path / "image"
    mirror.download([packages.headers, *packages.images], packages.version, image, log)
    modules = image / "usr/lib/modules" / packages.release
    if not (modules / "vmlinuz").exists():
        boot = image / "boot" / f"vmlinuz-{packages.release}"
        if not boot.exists():
            raise LabError(f"no package of {packages.release} holds its vmlinuz")
        shutil.move(boot, modules / "vmlinuz")
    if not (image / "lib").exists():
        (image / "lib").symlink_to("usr/lib")

    headers = image / "usr/src" / packages.headers
    config = (headers / ".config").read_text(encoding="utf-8")
    if "CONFIG_RUST=y" not in config.splitlines():
        raise LabError(f"{packages.release} was built without CONFIG_RUST: nothing to build on")

    say(f"building the Rust artefacts of {packages.release} (two to five minutes)")
    tree = path / "tree"
    tree.mkdir()
    (tree / ".config").write_text(config, encoding="utf-8")
    (upstream,) = re.findall(r"^[\d.]+", packages.release)
    make = [
        "make", "-s", "-C", str(source), f"O={tree}", f"-j{os.cpu_count()}", *STOCK_TOOLCHAIN,
        *REPRODUCIBLE, f"LOCALVERSION={packages.release.removeprefix(upstream)}",
    ]
    must([*make, "olddefconfig"], log, "the packaged configuration is not accepted")
    must([*make, "modules_prepare"], log, f"the artefacts of {packages.release} do not build")
    shutil.copy(headers / "Module.symvers", tree)
    _verify(tree, packages.release, config)
    if "# CONFIG_NET_9P is not set" in config.splitlines():
        _add_9p(path, source, tree, modules / "updates", log)
    must(["depmod", "-b", image, packages.release], log, "depmod failed")


def _add_9p(path: Path, source: Path, tree: Path, into: Path, log: Path) -> None:
    """Builds the modules that a guest mounts its root with, for an image that has none: -cloud."""
    into.mkdir()
    symbols = ""
    for folder, options in (
        ("net/9p", ("CONFIG_NET_9P=m", "CONFIG_NET_9P_VIRTIO=m")),
        ("fs/9p", ("CONFIG_9P_FS=m",)),
    ):
        output = path / folder
        output.mkdir(parents=True)
        must(
            [
                "make", "-s", "-C", tree, f"M={source / folder}", f"MO={output}",
                f"-j{os.cpu_count()}", *STOCK_TOOLCHAIN, *options,
                f"KBUILD_EXTRA_SYMBOLS={symbols}", "modules",
            ],
            log, f"{folder} does not build",
        )
        symbols = f"{output / 'Module.symvers'}"
        for module in output.glob("*.ko"):
            shutil.copy(module, into)


def _verify(tree: Path, release: str, packaged_config: str) -> None:
    """Checks that what was built belongs to the packaged kernel."""
    built = kernel_release(tree)
    if built != release:
        raise LabError(f"the tree says it is {built}, not {release}")
    config = (tree / ".config").read_text(encoding="utf-8")
    # Sets of lines: the order follows Kconfig's menus, and blank lines mean nothing.
    changed = set(config.splitlines()) ^ set(packaged_config.splitlines())
    changed = {line for line in changed if "CONFIG_" in line}
    if changed:
        raise LabError(f"the configuration of {release} changed: {sorted(changed)[0]} and so on")
    symvers = (tree / "Module.symvers").read_text(encoding="utf-8")
    packaged = {line.split("\t")[1] for line in symvers.splitlines()}
    names = {
        name
        for header in (tree / "rust").glob("exports_*_generated.h")
        for name in re.findall(r"EXPORT_SYMBOL\w*\((\w+)\)", header.read_text(encoding="utf-8"))
    }
    missing = names - packaged
    if missing or not names:
        raise LabError(
            f"{len(missing)} of {len(names)} Rust names of {release} are not the packaged ones:"
            " this userland's rustc is not the kernel's"
        )
    say(f"verified {release}: its configuration and {len(names)} Rust names are the packaged ones")


def _build_debug(path: Path, flavour: DebugFlavour, source: Path, config: str) -> None:
    log = LOGS / f"{flavour.name}-kernel.log"
    say(f"building the kernel {flavour.name} (a quarter of an hour on two cores)")
    if flavour.without:
        source = _copy_without(source, path / "source", flavour.without, log)
    wanted = path / "wanted.config"
    wanted.write_text(config, encoding="utf-8")
    tree = path / "tree"
    tree.mkdir()
    make = [
        "make", "-s", "-C", str(source), f"O={tree}", f"-j{os.cpu_count()}", *DEBUG_TOOLCHAIN,
        *REPRODUCIBLE,
    ]
    must([*make, f"KCONFIG_ALLCONFIG={wanted}", "allnoconfig"], log, "allnoconfig failed")
    missing = _not_given(config, tree / ".config")
    if missing:
        raise LabError(f"{flavour.name} asks for what this kernel does not give: {missing}")
    must([*make, "bzImage", "modules_prepare"], log, f"the kernel {flavour.name} does not build")
    shutil.copy(tree / "vmlinux.symvers", tree / "Module.symvers")
    shutil.copy(tree / "arch/x86/boot/bzImage", path / "vmlinuz")


def _copy_without(source: Path, copy: Path, without: Mapping[str, str], log: Path) -> Path:
    """A copy of a source tree without some lines; it shares the files that stay as they are."""
    must(["cp", "-a", "--link", source, copy], log, "cannot copy the source")
    for name, line in without.items():
        lines = (copy / name).read_text(encoding="utf-8").splitlines(keepends=True)
        rest = [other for other in lines if other.strip() != line]
        if len(rest) == len(lines):
            raise LabError(f"{name} has no line {line}")
        # A new file: the old one is the source's, too.
        (copy / name).unlink()
        (copy / name).write_text("".join(rest), encoding="utf-8")
    return copy


def _not_given(wanted: str, given: Path) -> list[str]:
    """The lines of one configuration that another does not fulfil."""
    # Of those that name the same option, the last.
    lines = dict(re.findall(r"^(CONFIG_\w+)=(.*)", wanted, re.MULTILINE))
    found = set(given.read_text(encoding="utf-8").splitlines())
    # What is off is not written as =n.
    found |= {f"{line.split()[1]}=n" for line in found if line.endswith(" is not set")}
    off = {f"{name}=n" for name in lines if not any(line.startswith(f"{name}=") for line in found)}
    return [line for line in map("=".join, lines.items()) if line not in found | off]


def kernel_release(tree: Path) -> str:
    """What `uname -r` will say on the kernel of a tree."""
    return (tree / "include/config/kernel.release").read_text(encoding="utf-8").strip()


def rustc_version() -> str:
    """The compiler, as the kernel's configuration writes it."""
    result = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True)
    return result.stdout.strip()
