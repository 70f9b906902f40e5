# SPDX-License-Identifier: GPL-2.0
"""Whether KVM really runs a kernel here: a /dev/kvm that opens may still not."""

import os
import subprocess
import threading
from pathlib import Path

from .kernels import Kernel
from .paths import CACHE
from .progress import say

# Enough for any machine whose KVM works to reach init.
PROBE_S = 15

_lock = threading.Lock()


def works(kernel: Kernel) -> bool:
    """Boots once to find out; the answer holds until the host boots again."""
    with _lock:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        answer = CACHE / "kvm"
        if answer.exists():
            known_boot, _, known = answer.read_text(encoding="ascii").partition(" ")
            if known_boot == boot:
                return known == "yes"
        result = _probe(kernel.image)
        answer.write_text(f"{boot} {'yes' if result else 'no'}", encoding="ascii")
        if not result:
            say("KVM does not run a kernel here: guests are emulated, which is slower")
        return result


def _probe(image: Path) -> bool:
    """A kernel without a root that gets as far as panicking about that, runs."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    command = [
        "qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-m", "512M", "-nodefaults",
        "-display", "none", "-serial", "stdio", "-no-reboot", "-kernel", str(image),
        "-append", "console=ttyS0 panic=-1",
    ]
    try:
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return b"Unable to mount root fs" in result.stdout
