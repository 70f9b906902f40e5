# SPDX-License-Identifier: GPL-2.0
"""The QEMU command line of a guest.

virtme-ng does much the same, but Debian's version of it starts udev and more by a shell
script on an uncached root, which takes minutes where the guest is emulated.
"""

from pathlib import Path

from . import kvm
from .kernels import Kernel
from .paths import CHECKOUT

# A panic ends the guest. The clocks of an emulated machine are slow and its host is busy, so
# that the kernel's watchdogs are given more time than on metal.
_KERNEL_ARGUMENTS = (
    "console=ttyS0", "earlyprintk=serial", "tsc=reliable", "panic_on_warn=1", "oops=panic",
    "panic=-1", "hung_task_panic=1", "sysctl.kernel.hung_task_timeout_secs=180",
    "rcupdate.rcu_cpu_stall_timeout=90", "workqueue.watchdog_thresh=120", "watchdog_thresh=50",
    "cryptomgr.notests",
)


def command(
    kernel: Kernel, initramfs: Path, memory: str, cpus: int, cpu: str, session: Path,
    arguments: tuple[str, ...],
) -> list[str]:
    """What boots `kernel` on a machine whose root is this userland.

    The checkout is there under its own path and can be written to. Where the console goes is
    for the caller to add. `cpu` is what to emulate, where that is not the usual.
    """
    emulated = not kvm.works(kernel)
    words = (
        *_KERNEL_ARGUMENTS, *kernel.arguments, f"LAB_DIRECTORY={CHECKOUT}",
        f"LAB_SESSION={session}", *arguments,
    )
    return [
        "qemu-system-x86_64", "-nodefaults", "-no-reboot", "-display", "none",
        "-machine", f"q35,accel={'tcg' if emulated else 'kvm'}",
        # Emulated, everything that this QEMU can (AVX and SVM among it), but for five-level
        # page tables, which only make it slower.
        "-cpu", (cpu or "max,la57=off") if emulated else "host",
        "-m", memory, "-smp", str(cpus),
        *_shared("userland", Path("/"), ",readonly=on"),
        *_shared("checkout", CHECKOUT, ""),
        "-kernel", str(kernel.image), "-initrd", str(initramfs), "-append", " ".join(words),
    ]


def _shared(tag: str, folder: Path, option: str) -> list[str]:
    return [
        "-fsdev", f"local,id={tag},path={folder},security_model=none,multidevs=remap{option}",
        "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}",
    ]
