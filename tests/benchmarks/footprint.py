"""What it costs to be there: importing it, installing it, keeping many of it."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .contenders import BY_NAME, Contender, FixedHeader, Ours
from .isolation import isolated
from .report import Row, Table
from .server import Servers
from .sizes import Size
from .timing import Spread, spread

# Neither site-packages' .pth files nor the order of imports count: both come before.
IMPORT = "import time, requests; t = time.perf_counter(); {}; print(time.perf_counter() - t)"


def measure(kinds: Sequence[type[Contender]], size: Size) -> Table:
    times = import_times(kinds, size.import_rounds)
    rows: list[Row] = []
    for kind in kinds:
        row: Row = {"contender": kind.name, "ours": kind is Ours}
        rows.append(row | isolated(objects_of, kind.name, size.objects, limit=120))
        if kind is not FixedHeader:
            rows[-1]["import_ms"] = times[kind.name]
            rows[-1]["packages"] = len(packages(kind.distribution or "") - packages("requests"))
    return Table(
        "footprint",
        "The cost of being there",
        "Milliseconds of the import, in a new process that has imported requests: medians and "
        f"quartiles of {size.import_rounds}. Packages installed beyond requests and what it needs. "
        f"Memory, open sockets and threads of {size.objects} auth objects (sessions, where these "
        "are the auth), each with a token of its own, got from the local endpoint; by the resident "
        "size of the process, on Linux.",
        {
            "import_ms": ("import, ms", "{:.1f}"),
            "packages": ("packages", "{}"),
            "bytes": ("bytes per object", "{:,.0f}"),
            "sockets": ("sockets", "{}"),
            "threads": ("threads", "{}"),
        },
        rows,
    )


def import_times(kinds: Sequence[type[Contender]], rounds: int) -> dict[str, Spread]:
    times: dict[str, list[float]] = {kind.name: [] for kind in kinds}
    for number in range(rounds + 1):
        for kind in kinds:
            command = [sys.executable, "-c", IMPORT.format(kind.imports)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            if number:  # the first one compiles
                times[kind.name].append(float(done.stdout) * 1000)
    return {name: spread(taken) for name, taken in times.items()}


def packages(distribution: str) -> set[str]:
    """The names of a distribution and of all that it requires, without extras."""
    found: set[str] = set()
    waiting = [distribution]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        found.add(name)
        waiting += _names(required)
    return found


def _names(requirements: Sequence[str]) -> Iterator[str]:
    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.name


def objects_of(name: str, count: int) -> dict[str, Any]:
    kind = BY_NAME[name]
    with Servers() as servers:

        def made(scope: str) -> Any:
            contender = kind(servers.where, scope=scope)
            contender.ready()
            return contender.kept

        kept = [made(f"first-{n}") for n in range(min(10, count))]
        before = _state()
        kept += [made(f"tenant-{n}") for n in range(count)]
        after = _state()
    if before["bytes"] is None or after["bytes"] is None:
        return {"threads": after["threads"] - before["threads"]}
    return {
        "bytes": (after["bytes"] - before["bytes"]) / count,
        "sockets": after["sockets"] - before["sockets"],
        "threads": after["threads"] - before["threads"],
    }


def _state() -> dict[str, Any]:
    gc.collect()
    threads = threading.active_count()
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        sockets = sum(_is_socket(Path("/proc/self/fd", fd)) for fd in os.listdir("/proc/self/fd"))
    except OSError:
        return {"bytes": None, "sockets": None, "threads": threads}
    return {"bytes": pages * os.sysconf("SC_PAGESIZE"), "sockets": sockets, "threads": threads}


def _is_socket(descriptor: Path) -> bool:
    try:
        return os.readlink(descriptor).startswith("socket:")
    except OSError:  # that of the listing itself
        return False
