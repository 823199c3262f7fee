"""What one call of the auth costs, with a token at hand.

``python -m tests.benchmarks.attach SIZE CONTENDER...`` prints the rows as JSON: this is how it is
measured on other Pythons.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import requests

from .contenders import BY_NAME, Contender, FixedHeader, Ours
from .report import Row, Table, say, versions
from .server import Servers
from .sizes import SIZES, Size
from .timing import in_turn, ratios, spread

POOL, THREADS = 200, 8
ROOT = Path(__file__).parent.parent.parent
INSTALL_WITHIN, MEASURE_WITHIN = 180, 120

Attach = Callable[[requests.PreparedRequest], Any]


class Requests:
    """Prepared requests that look as if they had just been prepared."""

    def __init__(self, url: str, count: int = POOL) -> None:
        self._headers = requests.Request("GET", url).prepare().headers
        self._headers.update(requests.Session().headers)
        self._url = url
        self.pool = [requests.Request("GET", url).prepare() for _ in range(count)]
        self.reset()

    def reset(self) -> None:
        for request in self.pool:
            request.url, request.body = self._url, None
            request.headers = self._headers.copy()
            request.hooks = {"response": []}

    def passed_to(self, attach: Attach) -> Callable[[], None]:
        """A pass over the pool. All contenders are called by this one loop."""
        pool = self.pool

        def run() -> None:
            for request in pool:
                attach(request)

        return run


def one_thread(contenders: dict[str, Attach], url: str, size: Size) -> dict[str, list[int]]:
    made = Requests(url)
    runs = {name: made.passed_to(attach) for name, attach in contenders.items()}
    return in_turn(runs, size.attach_rounds, before=made.reset)


def calls_per_second(attach: Attach, url: str, threads: int, calls: int) -> float:
    """Of all threads together; each has a pool of its own, and resets each request's hooks."""
    gate = threading.Barrier(threads)
    moments: list[float] = []

    def work() -> None:
        pool = Requests(url, 50).pool
        rounds = range(max(1, calls // threads // len(pool)))
        gate.wait()
        moments.append(perf_counter())
        for _ in rounds:
            for request in pool:
                request.hooks["response"].clear()
                attach(request)
        moments.append(perf_counter())

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    done = threads * max(1, calls // threads // 50) * 50
    return done / (max(moments) - min(moments))


def many_threads(
    contenders: dict[str, Attach], url: str, size: Size, nanoseconds: dict[str, float]
) -> dict[str, list[tuple[float, float]]]:
    """Calls per second with one thread and with eight, round by round."""
    speeds: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for number in range(size.thread_rounds):
        counts = (1, THREADS) if number % 2 else (THREADS, 1)
        for name, attach in contenders.items():
            calls = int(size.thread_seconds * 1e9 / nanoseconds[name])
            found = {n: calls_per_second(attach, url, n, calls) for n in counts}
            speeds[name].append((found[1], found[THREADS]))
    return speeds


def rows(kinds: Sequence[type[Contender]], size: Size) -> list[Row]:
    """The measurement, on this Python."""
    result: list[Row] = []
    with Servers() as servers:
        ready: dict[str, Attach] = {}
        for kind in kinds:
            row: Row = {
                "contender": kind.name,
                "ours": kind is Ours,
                "python": platform.python_version(),
                "call": f"`{kind.call}`",
            }
            result.append(row)
            try:
                contender = kind(servers.where)
                contender.ready()
                ready[kind.name] = contender.attach
            except Exception as error:
                row["failed"] = f"{type(error).__name__}: {error}"
        times = one_thread(ready, servers.api_url, size)
        each = {name: [t / POOL for t in taken] for name, taken in times.items()}
        middle = {name: median(taken) for name, taken in each.items()}
        speeds = many_threads(ready, servers.api_url, size, middle)
    limit = each[FixedHeader.name]
    for row in result:
        if row["contender"] in ready:
            name = row["contender"]
            row["ns"] = spread(each[name])
            row["ratio"] = ratios(each[name], limit)
            row["rate_8"] = median(eight for _, eight in speeds[name]) / 1e6
            row["scaling"] = spread([eight / one for one, eight in speeds[name]])
    return result


def measure(kinds: Sequence[type[Contender]], size: Size, pythons: Sequence[Path] = ()) -> Table:
    found = rows(kinds, size)
    for python in pythons:
        found += elsewhere(python, kinds, size)
    return Table(
        "attach",
        "Attach: one call of the auth, with a token at hand",
        f"Nanoseconds of one call, and the ratio to the fixed header in the same round: medians "
        f"and quartiles of {size.attach_rounds} rounds. In a round each contender is passed {POOL} "
        f"prepared requests by the same loop, whose cost is in the figures; between the passes, "
        f"outside of the time, the requests get fresh headers and hooks. With {THREADS} threads "
        f"each empties the hooks within the time, alike for all; the last column is the calls per "
        f"second of {THREADS} threads together over those of one, {size.thread_rounds} rounds.",
        {
            "python": ("Python", "{}"),
            "ns": ("ns", "{:.0f}"),
            "ratio": ("ratio", "{:.2f}"),
            "rate_8": (f"million calls/s, {THREADS} threads", "{:.2f}"),
            "scaling": (f"{THREADS} threads / 1", "{:.2f}"),
            "call": ("called", "{}"),
        },
        found,
    )


def elsewhere(python: Path, kinds: Sequence[type[Contender]], size: Size) -> list[Row]:
    """The same on another Python, in an environment made for it."""
    names = [kind.name for kind in kinds]
    size_name = next(name for name, known in SIZES.items() if known is size)
    # The same versions as here; ours is imported from where we are.
    installed = versions([kind for kind in kinds if kind is not Ours])
    wanted = [f"{name}=={version}" for name, version in installed.items()]
    with tempfile.TemporaryDirectory() as folder:
        try:
            subprocess.run([python, "-m", "venv", folder], check=True, timeout=INSTALL_WITHIN)
            inner = shutil.which("python", path=f"{folder}/bin") or f"{folder}/Scripts/python"
            subprocess.run(
                [inner, "-m", "pip", "install", "--quiet", *wanted],
                check=True,
                capture_output=True,
                timeout=INSTALL_WITHIN,
            )
            done = subprocess.run(
                [inner, "-m", __spec__.name, size_name, *names],
                check=True,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                timeout=MEASURE_WITHIN,
            )
        except (OSError, subprocess.SubprocessError) as error:
            say(f"attach: nothing from {python}: {error}")
            return []
        result: list[Row] = json.loads(done.stdout)
        return result


if __name__ == "__main__":
    size_name, *contender_names = sys.argv[1:]
    kinds_here = [BY_NAME[name] for name in contender_names if BY_NAME[name].installed()]
    print(json.dumps(rows(kinds_here, SIZES[size_name])))
