# SPDX-License-Identifier: GPL-2.0
"""make bench: what a dump costs the process that is dumped, by livecore and by others, in one guest.

The programs are in tools/bench/: target.c is dumped, dump.c reads, the driver runs in the guest,
report and plot make tables and pictures of what it has measured.
"""

import json
import subprocess
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from . import cache, kvm, module, trees
from .guest import Guest, Outcome, Verdict
from .kernels import Kernel
from .paths import BUILD, CHECKOUT, LOGS, shown
from .progress import LabError, must, say
from .report import Report, Result, of_guest

NAME = "bench"
"""What make check calls it."""

_FOLDER = CHECKOUT / "tools/bench"
_OUTPUT = BUILD / "bench"
_PACKAGES = ("gdb", "criu", "procdump", "qemu-system-x86")
_OUTSIDE = ("gcore", "procdump", "criu")
_SHORT_TIMEOUT_S = 600

# What needs no repetition in each scenario: procdump calls gcore, and how fast a copy is depends
# on its size alone.
_IN_FIRST = ("procdump",)
_BY_SIZE = ("pread", "memcpy")

# Emulation copies byte by byte what the CPU says it copies best in that way. Without these
# flags the kernel copies words, and a copy costs about as much of the whole as it does on metal.
_EMULATED = ("-cpu", "max,la57=off,erms=off,fsrm=off")
# Each instruction of any of its CPUs takes so long by the guest's clock. That is about what it does
# by the host's, so that nothing that waits waits long. While all CPUs sleep, the clock goes on as
# the host's does: it must not run ahead where the guest waits for the host to read a file.
_INSTRUCTION_NS = 8
_COUNTED = ("-icount", f"shift={_INSTRUCTION_NS.bit_length() - 1},sleep=on")


@dataclass(frozen=True)
class Scenario:
    """What is dumped."""

    bytes: int
    layout: str
    threads: int


@dataclass(frozen=True)
class Plan:
    """What is measured, and how often."""

    sizes: tuple[int, ...] = (64 << 20, 256 << 20, 1 << 30)
    threads: tuple[int, ...] = (1, 10, 100, 1000)
    layouts: tuple[str, ...] = ("dense", "sparse", "thp", "dirty")
    dumpers: tuple[str, ...] = (
        "nothing", "hold", "snapshot", "stacks", "gcore", "procdump", "criu", "fork", "mem",
        "crash", "pread", "memcpy",
    )
    repeat: int = 3
    count: bool = False
    """Let the guest's clock count instructions."""

    def scenarios(self) -> list[Scenario]:
        """One series by size, one by threads, and one by layout, each with the rest kept small."""
        few = 10 if 10 in self.threads else self.threads[0]
        small = min(self.sizes)
        first, *others = self.layouts
        series = [Scenario(size, first, few) for size in self.sizes]
        series += [Scenario(small, first, threads) for threads in self.threads]
        series += [Scenario(small, layout, few) for layout in others]
        return list(dict.fromkeys(series))

    def tasks(self) -> list[dict[str, object]]:
        """What the driver is to do: each scenario with its dumpers."""
        first, *_ = scenarios = self.scenarios()

        def wants(scenario: Scenario, dumper: str) -> bool:
            if dumper in _BY_SIZE:
                return replace(scenario, bytes=first.bytes) == first
            return dumper not in _IN_FIRST or scenario == first

        return [
            {**asdict(one), "dumpers": [dumper for dumper in self.dumpers if wants(one, dumper)]}
            for one in scenarios
        ]

    def memory(self) -> str:
        """For the largest target, its core, and a copy of either."""
        threads_kib = max(self.threads) * 64
        return f"{(3 * max(self.sizes) >> 20) + (threads_kib >> 10) + 1024}M"


_SHORT = Plan(
    sizes=(64 << 20,), threads=(20,), layouts=("dense",), repeat=1,
    dumpers=("hold", "snapshot", "gcore", "fork", "mem"),
)


def plan_of(
    short: bool, sizes: str, threads: str, layouts: str, dumpers: str, repeat: int, count: bool
) -> Plan:
    """The plan that the words of the command line ask for; what is empty is as usual."""
    plan = _SHORT if short else Plan()
    if sizes or threads:
        plan = replace(plan, layouts=("dense",))
    if sizes:
        plan = replace(plan, sizes=tuple(map(_size, sizes.split())))
    if threads:
        plan = replace(plan, threads=tuple(map(_number, threads.split())))
    if layouts:
        plan = replace(plan, layouts=_known(layouts, Plan.layouts))
    if dumpers:
        plan = replace(plan, dumpers=_known(dumpers, Plan.dumpers))
    return replace(plan, repeat=repeat or plan.repeat, count=count)


def _number(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise LabError(f"{text} is not a number that can be measured with")
    return int(text)


def _size(text: str) -> int:
    """Bytes of a number with K, M or G behind it."""
    factor = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1].upper(), 1)
    return _number(text if factor == 1 else text[:-1]) * factor


def _known(words: str, known: tuple[str, ...]) -> tuple[str, ...]:
    for word in words.split():
        if word not in known:
            raise LabError(f"there is no {word}, but {' '.join(known)}")
    return tuple(words.split())


def run(name: str, plan: Plan, commit: str) -> int:
    """Measures on a kernel, and leaves tables and plots; returns the exit status."""
    kernel = trees.get(name)
    outcome = _measure(kernel, module.build(kernel), plan, _OUTPUT, commit)
    print((_OUTPUT / "report.md").read_text(encoding="utf-8"))
    if outcome.verdict is not Verdict.OK:
        raise LabError(str(outcome))
    must([_FOLDER / "plot", _OUTPUT / "bench.json", _OUTPUT], LOGS / "plot.log", "no plots")
    say(f"tables, plots, and every run (bench.json) are in {shown(_OUTPUT)}")
    return 0


def check(kernel: Kernel, livecore: Path, report: Report) -> None:
    """The short form, in make check: it tells the ratios, and fails only where nothing came out."""
    test = f"{NAME}/{kernel.name}"
    output = BUILD / "results" / kernel.name / "bench"
    say(f"{kernel.name}: a short benchmark in a guest")
    outcome = _measure(kernel, livecore, _SHORT, output, "", _SHORT_TIMEOUT_S)
    if outcome.verdict is Verdict.OK:
        report.add(test, Result.PASSED)
        for line in _called("report", "--ratios", output / "bench.json").splitlines():
            report.note(line)
    elif outcome.verdict is Verdict.FAILED:
        report.add(test, Result.FAILED, f"{outcome}: {outcome.stdout().strip()[-300:]}")
    else:
        report.add(test, of_guest(outcome.verdict), str(outcome))


def _measure(
    kernel: Kernel, livecore: Path, plan: Plan, output: Path, commit: str,
    timeout_s: float | None = None,
) -> Outcome:
    """Without a limit, what is measured is shown as it comes."""
    programs = BUILD / "bench/programs"
    with cache.locked(BUILD / ".bench.lock"):
        must(
            ["make", "-s", "-C", _FOLDER, f"OUT={programs}"], LOGS / "bench-build.log",
            "the benchmark does not build",
        )
    output.mkdir(parents=True, exist_ok=True)
    runs = output / "runs.jsonl"
    runs.unlink(missing_ok=True)
    task = output / "plan.json"
    task.write_text(json.dumps({
        "programs": str(programs),
        "scenarios": plan.tasks(),
        "repeat": plan.repeat,
        # Where there is one run only, the first time must do.
        "warm": [dumper for dumper in plan.dumpers if dumper in _OUTSIDE and plan.repeat > 1],
    }), encoding="utf-8")
    emulated = not kvm.works(kernel)
    if plan.count and not emulated:
        raise LabError("ICOUNT=1 needs an emulated guest, and KVM runs it here")
    guest = Guest(
        kernel, memory=plan.memory(), module=livecore,
        machine_arguments=(*(_EMULATED if emulated else ()), *(_COUNTED if plan.count else ())),
    )
    outcome = guest.run(
        f"{_FOLDER / 'driver'} {task} {runs}", LOGS / f"bench-{kernel.name}",
        timeout_s, follow=timeout_s is None,
    )
    measured = runs.read_text(encoding="utf-8") if runs.exists() else ""
    (output / "bench.json").write_text(json.dumps({
        "kernel": kernel.release,
        "commit": commit,
        "accelerator": "TCG (emulated)" if emulated else "KVM",
        "cpus": guest.variant.cpus,
        "memory": guest.memory,
        "machine": guest.machine_arguments,
        "host_cpu": _host_cpu(),
        "instruction_ns": _INSTRUCTION_NS if plan.count else None,
        "tools": _versions(),
        "runs": [json.loads(line) for line in measured.splitlines()],
    }, indent=1) + "\n", encoding="utf-8")
    (output / "report.md").write_text(_called("report", output / "bench.json"), encoding="utf-8")
    return outcome


def _called(program: str, *arguments: str | Path) -> str:
    done = subprocess.run(
        [_FOLDER / program, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LabError(f"tools/bench/{program}: {done.stderr.strip()[-300:]}")
    return done.stdout


def _versions() -> dict[str, str]:
    command = ["dpkg-query", "--show", "--showformat=${Package} ${Version}\\n", *_PACKAGES]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return dict(line.split() for line in said.splitlines() if len(line.split()) == 2)


def _host_cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return ""
