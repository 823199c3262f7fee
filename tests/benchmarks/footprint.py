"""What it costs to be there: importing it, installing it, keeping many of it."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .contenders import BY_NAME, Contender, FixedHeader, Ours
from .isolation import Gate, side_by_side
from .report import Row, Table
from .server import Servers
from .sizes import Size
from .timing import spread

REQUESTS = "requests itself"
IMPORT = "import time{}; t = time.perf_counter(); {}; print(time.perf_counter() - t)"


def measure(kinds: Sequence[type[Contender]], size: Size) -> Table:
    imports = {kind.name: kind.imports for kind in kinds if kind is not FixedHeader}
    times = import_times({REQUESTS: "import requests"} | imports, size.import_rounds)
    counts = [size.objects if kind is Ours else size.peer_objects for kind in kinds]
    arguments = [(kind.name, number) for kind, number in zip(kinds, counts, strict=True)]
    objects = side_by_side(objects_of, arguments, limit=120)
    needed = packages("requests")
    rows: list[Row] = [
        {
            "contender": REQUESTS,
            "import_ms": spread(times[REQUESTS]),
            "best": min(times[REQUESTS]),
            "packages": len(needed),
        }
    ]
    for kind, number, measured in zip(kinds, counts, objects, strict=True):
        row: Row = {"contender": kind.name, "ours": kind is Ours, "objects": number}
        if kind.distribution:
            row["import_ms"] = spread(times[kind.name])
            row["best"] = min(times[kind.name])
            row["packages"] = len(packages(kind.distribution) - needed)
        rows.append(row | measured)
    return Table(
        "footprint",
        "The cost of being there",
        "Milliseconds of the import, in a new process that has imported requests: medians and "
        f"quartiles of {size.import_rounds}, and the best. Packages installed: itself and what it "
        "requires, beyond requests and what that requires. "
        "Memory, open sockets and threads of so many auth objects (sessions, where these are the "
        "auth), each with a token of its own, got from the local endpoint; by the resident size of "
        "the process, on Linux.",
        {
            "import_ms": ("import, ms", "{:.1f}"),
            "best": ("best", "{:.1f}"),
            "packages": ("packages", "{}"),
            "objects": ("objects", "{:,}"),
            "bytes": ("bytes per object", "{:,.0f}"),
            "sockets": ("sockets", "{}"),
            "threads": ("threads", "{}"),
        },
        rows,
    )


def import_times(statements: Mapping[str, str], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in statements}
    # Compiled modules are kept for all alike, whatever the environment says.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        environment["PYTHONPYCACHEPREFIX"] = folder
        for number in range(rounds + 1):
            for name, statement in statements.items():
                first = "" if name == REQUESTS else ", requests"
                done = subprocess.run(
                    [sys.executable, "-c", IMPORT.format(first, statement)],
                    env=environment,
                    check=True,
                    capture_output=True,
                    text=True,
                )
                if number:  # the first one compiles
                    times[name].append(float(done.stdout) * 1000)
    return times


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


def objects_of(name: str, count: int, gate: Gate) -> dict[str, Any]:
    kind = BY_NAME[name]
    gate()
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
