# SPDX-License-Identifier: GPL-2.0
"""The lab's commands, as the Makefile calls them."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from . import bench, check, demo, lint, module, soak, trees
from .guest import Guest, Verdict
from .kernels import Catalogue
from .paths import LOGS
from .progress import LabError, say
from .report import Report

# What `vm` ends with where there is no command's exit status to end with.
EXIT_LOST = 124
EXIT_SPLAT = 125


def main(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit status."""
    parser = argparse.ArgumentParser(prog="lab", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    machine = argparse.ArgumentParser(add_help=False)
    machine.add_argument("--kernel", default="7.2")
    machine.add_argument("--memory", default="2G")
    machine.add_argument("--cpus", type=int, help="how many; else, as the variant says")
    machine.add_argument("--no-module", action="store_true", help="boot without livecore")

    command = commands.add_parser("vm", parents=[machine], help="run a command in a guest")
    command.add_argument("--timeout", type=float, help="seconds; without it, no limit")
    command.add_argument("command")
    command.set_defaults(run=_vm)

    command = commands.add_parser("shell", parents=[machine], help="an interactive guest")
    command.set_defaults(run=_shell)

    command = commands.add_parser("module", help="build livecore.ko for kernels of the lab")
    command.add_argument("kernels", nargs="*", default=["7.2"])
    command.set_defaults(run=_module)

    command = commands.add_parser("tree", help="print a kernel's build tree and its source")
    command.add_argument("kernel", nargs="?", default="7.2")
    command.set_defaults(run=_tree)

    command = commands.add_parser("check", help="run every test")
    command.add_argument("--tests", default="*", help="only those whose names match")
    command.add_argument("--kernels", default="", help="only on these")
    command.set_defaults(run=_check)

    command = commands.add_parser("soak", help="provoke races, faults and misuse, and count")
    command.add_argument("--minutes", type=int, default=60)
    command.add_argument("--tests", default="*", help="only those whose names match")
    command.add_argument("--kernels", default="", help="only on these")
    command.add_argument("--seed", default="", help="what the order of the tests comes from")
    command.add_argument("--commit", default="", help="what the report says was soaked")
    command.set_defaults(run=_soak)

    command = commands.add_parser("lint", help="run the gates of the sources and the module")
    command.add_argument("kernel", nargs="?", default="7.2")
    command.set_defaults(run=_lint)

    command = commands.add_parser("demo", help="dump a running redis and show it to gdb")
    command.add_argument("--kernel", default="7.2")
    command.set_defaults(run=lambda options: demo.run(options.kernel))

    command = commands.add_parser("bench", help="measure what a dump costs, by all dumpers")
    command.add_argument("--kernel", default="7.2")
    command.add_argument("--short", action="store_true", help="a minute's worth")
    command.add_argument("--sizes", default="", help="of the heap: 64M 1G")
    command.add_argument("--threads", default="", help="how many: 1 1000")
    command.add_argument("--layouts", default="", help="of dense sparse thp dirty")
    command.add_argument("--dumpers", default="", help="only these")
    command.add_argument("--repeat", type=int, default=0)
    command.add_argument("--count", action="store_true", help="instructions for nanoseconds")
    command.add_argument("--commit", default="", help="what the report says it has measured")
    command.set_defaults(run=_bench)

    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr, flush=True)
        # Without waiting for other threads: their guests end with this pid namespace.
        os._exit(130)


def _guest(options: argparse.Namespace) -> Guest:
    name, variant = Catalogue.load().boot(options.kernel)
    if options.cpus:
        variant = replace(variant, cpus=options.cpus)
    kernel = trees.get(name)
    return Guest(
        kernel,
        variant,
        memory=options.memory,
        module=None if options.no_module else module.build(kernel),
        environment={"LIVECORE_KERNEL": kernel.name},
    )


def _session_name(options: argparse.Namespace) -> str:
    return f"{options.kernel}-{time.strftime('%H%M%S')}-{os.getpid()}"


def _vm(options: argparse.Namespace) -> int:
    outcome = _guest(options).run(
        options.command, LOGS / "vm" / _session_name(options), options.timeout, follow=True
    )
    if outcome.verdict in (Verdict.SPLAT, Verdict.LOST) or outcome.status is None:
        say(str(outcome))
    if outcome.status is not None and (outcome.status or outcome.verdict is Verdict.OK):
        return outcome.status
    return EXIT_LOST if outcome.verdict is Verdict.LOST else EXIT_SPLAT


def _shell(options: argparse.Namespace) -> int:
    return _guest(options).shell(LOGS / "vm" / _session_name(options))


def _bench(options: argparse.Namespace) -> int:
    plan = bench.plan_of(
        options.short, options.sizes, options.threads, options.layouts, options.dumpers,
        options.repeat, options.count,
    )
    return bench.run(options.kernel, plan, options.commit)


def _check(options: argparse.Namespace) -> int:
    return check.run(options.tests, options.kernels.split())


def _soak(options: argparse.Namespace) -> int:
    return soak.run(
        options.minutes, options.tests, options.kernels.split(), options.seed, options.commit
    )


def _lint(options: argparse.Namespace) -> int:
    report = Report()
    lint.sources(options.kernel, report)
    lint.objects_of(trees.get(options.kernel), report)
    return report.finish()


def _module(options: argparse.Namespace) -> int:
    for name in options.kernels:
        print(module.build(trees.get(name)))
    return 0


def _tree(options: argparse.Namespace) -> int:
    kernel = trees.get(options.kernel)
    print(kernel.tree, kernel.source, *kernel.toolchain)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
