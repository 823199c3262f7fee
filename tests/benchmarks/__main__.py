"""Run the benchmarks: ``python -m tests.benchmarks``; ``--help`` tells what can be chosen."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from . import attach, end_to_end, footprint, growth, herd, plots, report, steady
from .contenders import ALL, Contender, FixedHeader
from .report import Table, say
from .sizes import SIZES, Size

RESULTS = Path(__file__).parent / "results"
VERSIONS = ("3.11", "3.13")

MEASUREMENTS: dict[str, Callable[[Sequence[type[Contender]], Size], Table]] = {
    "attach": attach.measure,
    "end_to_end": end_to_end.measure,
    "herd": herd.measure,
    "renewal": steady.renewal,
    "outage": steady.outage,
    "revocation": steady.revocation,
    "footprint": footprint.measure,
    "growth": growth.measure,
}


def main() -> None:
    arguments = parser().parse_args()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):  # everything stays on loopback
        os.environ.pop(name, None)
        os.environ.pop(name.lower(), None)
    kinds = contenders(arguments.contenders)
    size = "quick" if arguments.quick else arguments.size
    described = report.about(kinds, size)
    print(report.header(described))
    tables = []
    for name in arguments.only:
        began = time.monotonic()
        if name == "attach":
            table = attach.measure(kinds, SIZES[size], pythons(arguments.python))
        else:
            table = MEASUREMENTS[name](kinds, SIZES[size])
        say(f"{name}: {time.monotonic() - began:.0f} s")
        print(table.markdown(), flush=True)
        tables.append(table)
    complete = size == "full" and len(tables) == len(MEASUREMENTS)
    if folder := arguments.output or (RESULTS if complete else None):
        report.write(folder, described, tables)
        plots.draw(folder, tables)


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    names = ", ".join(MEASUREMENTS)
    result.add_argument(
        "--only", type=chosen, default=list(MEASUREMENTS), metavar="NAME,...", help=f"of {names}"
    )
    result.add_argument("--quick", action="store_true", help="fewer rounds: to try a change")
    result.add_argument("--size", choices=SIZES, default="full", help=argparse.SUPPRESS)
    result.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help=f"where to keep the results; a complete run is kept in {RESULTS.name} by default",
    )
    result.add_argument(
        "--python",
        type=lambda text: [Path(path) for path in text.split(",") if path],
        metavar="PATH,...",
        help=f"other interpreters for attach; by default those of {', '.join(VERSIONS)} at hand",
    )
    result.add_argument(
        "--contenders", type=lambda text: text.split(","), metavar="NAME,...", help="all by default"
    )
    return result


def chosen(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(MEASUREMENTS):
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}")
    return [name for name in MEASUREMENTS if name in names]


def contenders(names: Sequence[str] | None) -> list[type[Contender]]:
    """Those that are asked for and installed; the fixed header in any case, for the ratios."""
    result = []
    for kind in ALL:
        if kind is not FixedHeader and names is not None and kind.name not in names:
            continue
        if kind.installed():
            result.append(kind)
        else:
            say(f"{kind.name} is not installed, and left out: pip install '.[bench]'")
    return result


def pythons(given: Sequence[Path] | None) -> list[Path]:
    """The other interpreters."""
    if given is not None:
        return list(given)
    found = []
    for version in VERSIONS:
        if version == f"{sys.version_info.major}.{sys.version_info.minor}":
            continue
        root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
        here = shutil.which(f"python{version}")
        if python := next(iter(root.glob(f"versions/{version}.*/bin/python")), here):
            found.append(Path(python))
        else:
            say(f"attach: Python {version} is not here, and left out")
    return found


if __name__ == "__main__":
    main()
