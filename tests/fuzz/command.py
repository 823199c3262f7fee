"""The command: so many cases of a seed, and what came of them."""

from __future__ import annotations

import argparse
import faulthandler
import gc
import multiprocessing
import os
import resource
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from . import corpus, parsers, wire
from .cases import TARGETS, Case, Source
from .verdict import Complaint

CPU_SECONDS = 1.0
"""The longest that a parser may reckon over one answer."""
GROWTH = 64
"""MiB by which a process may grow, whatever it is sent: many times the 1 MiB of a body."""
HANGING = 600
"""Seconds after which a batch is taken for one that hangs."""


class Batch(NamedTuple):
    """Cases with consecutive numbers."""

    level: str
    target: str
    first: int
    count: int
    seed: int


class Failure(NamedTuple):
    """What may not be, and the case that it came of."""

    batch: Batch
    number: int
    case: Case
    text: str

    @property
    def kind(self) -> str:
        """What failures of one cause have in common."""
        return self.text.strip().rpartition("\n")[2][:50]


class Figures:
    """What came of cases."""

    def __init__(self) -> None:
        self.cases = 0
        self.outcomes: Counter[str] = Counter()
        self.slowest = (0.0, "")
        self.growth = 0.0
        self.failures: list[Failure] = []
        self.failed = 0

    def add(self, other: Figures) -> None:
        self.cases += other.cases
        self.outcomes += other.outcomes
        self.slowest = max(self.slowest, other.slowest)
        self.growth = max(self.growth, other.growth)
        for failure in other.failures:
            if all(failure.kind != known.kind for known in self.failures):
                self.failures.append(failure)
        self.failed += other.failed


def work(batch: Batch) -> Figures:
    """Run a batch, in a process of its own."""
    faulthandler.dump_traceback_later(HANGING, exit=True)
    try:
        return _parse(batch) if batch.level == "parser" else _talk(batch)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _parse(batch: Batch) -> Figures:
    figures, source = Figures(), Source(batch.seed)
    before = _peak()
    for number in range(batch.first, batch.first + batch.count):
        case = source.message(batch.target, number)
        started = time.thread_time()
        try:
            figures.outcomes[parsers.run(case)] += 1
            if time.thread_time() - started > CPU_SECONDS:
                raise Complaint(f"it took {time.thread_time() - started:.1f} s")
        except Exception:
            figures.failures.append(Failure(batch, number, case, traceback.format_exc()))
        taken = time.thread_time() - started
        figures.slowest = max(figures.slowest, (taken, f"{batch.target} {number}"))
    figures.cases, figures.growth = batch.count, _peak() - before
    figures.failed = len(figures.failures)
    return figures


def _talk(batch: Batch) -> Figures:
    figures, source = Figures(), Source(batch.seed)
    slow = 0.0 if batch.target == "api" else 0.01  # requests itself waits for a slow API
    with wire.Server() as server, wire.NowhereElse(server.port):
        wire.run(server, source.wire(batch.target, 0, 0.0))  # what is loaded once
        before = _peak()
        for number in range(batch.first, batch.first + batch.count):
            case = source.wire(batch.target, number, slow)
            started = time.monotonic()
            try:
                figures.outcomes[wire.run(server, case, number)] += 1
            except Exception:
                figures.failures.append(Failure(batch, number, case, traceback.format_exc()))
            taken = time.monotonic() - started
            figures.slowest = max(figures.slowest, (taken, f"{batch.target} {number}"))
        figures.cases = batch.count
        if batch.target != "api":  # what an API sends is read by requests, without bounds
            figures.growth = _peak() - before
    figures.failed = len(figures.failures)
    return figures


def _peak() -> float:
    """The most memory that this process has had, in MiB."""
    gc.collect()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _batches(level: str, count: int, seed: int) -> Iterator[Batch]:
    # So many token answers; at the parsers metadata and APIs come on top of them.
    shares = {"token": count, "metadata": count // 10, "api": count // 20}
    if level == "socket":
        shares = {"metadata": count // 5, "api": count // 5}
        shares["token"] = count - sum(shares.values())
    size = max(100, min(20_000 if level == "parser" else 1000, count // 6))
    for target in TARGETS:
        for first in range(0, shares[target], size):
            yield Batch(level, target, first, min(size, shares[target] - first), seed)


def _work_apart(batch: Batch) -> Figures:
    # A pool that replaces its processes may hang (python/cpython#115634): one for each batch.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(work, batch).result()


def run(level: str, count: int, seed: int, workers: int) -> Figures:
    """Run so many cases at a level, and print what came of them."""
    total, started = Figures(), time.monotonic()
    with ThreadPoolExecutor(workers) as pool:
        for figures in pool.map(_work_apart, _batches(level, count, seed)):
            total.add(figures)
    seconds = time.monotonic() - started
    print(f"{level}: {total.cases:,} cases of seed {seed} in {seconds:.0f} s")
    print(f"  slowest case: {total.slowest[0] * 1000:.0f} ms ({total.slowest[1]})")
    print(f"  peak memory growth of a process: {total.growth:.0f} MiB")
    print(f"  {len(total.outcomes)} distinct outcomes:")
    for outcome, times in total.outcomes.most_common():
        print(f"    {times:>9,}  {outcome}")
    return total


def _report(figures: Figures) -> bool:
    for batch, number, case, text in figures.failures[:10]:
        path = corpus.save(case, f"found-{batch.level}-{batch.seed}-{number}")
        print(f"\nFAILED: {batch.level} {batch.target} {number}, kept as {os.path.relpath(path)}")
        print(text)
        print(f"{case.data[:2000]!r}")
    if figures.growth > GROWTH:
        print(f"\nFAILED: a process grew by {figures.growth:.0f} MiB, more than {GROWTH}")
    if figures.failed:
        print(f"\nFAILED: {figures.failed:,} cases, of {len(figures.failures)} kinds")
    return bool(figures.failed) or figures.growth > GROWTH


def replay(paths: list[Path]) -> bool:
    """Run kept cases; return whether any of them fails."""
    failed = False
    for path in paths:
        case = corpus.load(path)
        try:
            with wire.Server() as server, wire.NowhereElse(server.port):
                print(path.name, parsers.run(case), *(wire.run(server, case, v) for v in range(4)))
        except Exception:
            failed = True
            print(path.name)
            traceback.print_exc()
    return failed


def main() -> int:
    """Read the arguments; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--parser", type=int, default=20_000, metavar="N", help="token answers")
    parser.add_argument("--socket", type=int, default=1000, metavar="N", help="raw answers")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other cases")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--replay", type=Path, nargs="+", metavar="FILE", help="kept cases alone")
    arguments = parser.parse_args()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        os.environ.pop(name, None)
        os.environ.pop(name.lower(), None)
    if arguments.replay:
        return int(replay(arguments.replay))
    failed = False
    for level, count in (("parser", arguments.parser), ("socket", arguments.socket)):
        if count:
            failed |= _report(run(level, count, arguments.seed, arguments.workers))
    return int(failed)
