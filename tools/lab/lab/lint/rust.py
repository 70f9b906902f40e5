# SPDX-License-Identifier: GPL-2.0
"""Gates of the Rust files: rustfmt, clippy and rustdoc as the kernel runs them."""

import os
import re
import shlex
import shutil

from .. import module
from ..kernels import Kernel
from ..paths import BUILD, CHECKOUT
from ..progress import LabError
from . import files
from .command import complaints

_ROOT = "rust/livecore_main"


def rustfmt() -> list[str]:
    """The files are as rustfmt would write them."""
    return complaints(
        ["rustfmt", "--check", "--edition=2021", "--files-with-diff", *files.ending(".rs")],
        r"\.rs$",
        "rustfmt",
    )


def clippy(kernel: Kernel) -> list[str]:
    """The kernel's own lints, by its own build, where any warning is an error."""
    output = BUILD / "clippy"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    return complaints(module.make(kernel, output, "CLIPPY=1", "modules"), "error", "clippy")


def rustdoc(kernel: Kernel) -> list[str]:
    """Documents the crate, private items included, as rustc was told to compile it."""
    output = BUILD / kernel.name
    module.build(kernel)
    environment, flags = _rustc_command(output / f"{_ROOT.replace('/', '/.')}.o.cmd")
    return complaints(
        [
            "env", "RUSTC_BOOTSTRAP=1", f"LIVECORE_BINDINGS={output}/rust/bindings_gen.rs",
            *environment, "rustdoc", *flags, "--document-private-items",
            "-Drustdoc::broken_intra_doc_links", "-Drustdoc::bare_urls",
            "-Drustdoc::invalid_html_tags", "-Drustdoc::unescaped_backticks",
            "-Arustdoc::private_intra_doc_links",
            "--output", BUILD / "rustdoc", CHECKOUT / f"{_ROOT}.rs",
        ],
        "error",
        "rustdoc",
        cwd=output,
    )


def _rustc_command(recorded: os.PathLike[str]) -> tuple[list[str], list[str]]:
    """The environment and the flags of the rustc call that kbuild wrote down."""
    with open(recorded, encoding="utf-8") as file:
        line = file.readline()
    match = re.search(r":= (.*?) ?(?:;|$)", line)
    if not match:
        raise LabError(f"{recorded} does not hold a command")
    words = shlex.split(match.group(1).replace("$(pound)", "#").replace("$$", "$"))
    start = words.index("rustc")
    kept, skip = [], False
    for word in words[start + 1 :]:
        if skip or word.startswith("--emit") or word.endswith("livecore_main.rs"):
            skip = False
            continue
        if word == "--out-dir":
            skip = True
            continue
        kept.append(word)
    return words[:start], kept
