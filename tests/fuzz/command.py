"""The command: so many cases of a seed, and what came of them."""

from __future__ import annotations

import argparse
import faulthandler
import gc
import logging
import multiprocessing
import os
import resource
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

from . import corpus, parsers, wire
from .cases import TARGETS, Case, Source
from .verdict import Complaint

CPU_SECONDS = 1.0
"""The longest that a parser may reckon over one answer."""
GROWTH = 64
"""MiB by which a process may grow, whatever it is sent: many times the 1 MiB of a body."""
HANGING = 60
"""Seconds after which a case is taken for one that hangs."""


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
        self.failed += other.failed
        for failure in other.failures:
            self.fail(failure)

    def fail(self, failure: Failure) -> None:
        """Keep a failure, if it is the first of its kind."""
        if all(failure.kind != known.kind for known in self.failures):
            self.failures.append(failure)


class Watch:
    """Ends the process over a case that hangs, and says which."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._current = (batch.first, time.monotonic())
        # What holds the interpreter's lock is ended by the one thing that needs none.
        faulthandler.dump_traceback_later(20 * HANGING, exit=True)
        threading.Thread(target=self._run, daemon=True).start()

    def begin(self, number: int) -> None:
        """A case begins."""
        self._current = (number, time.monotonic())

    def _run(self) -> None:
        while time.monotonic() - self._current[1] < HANGING:
            time.sleep(1)
        number = self._current[0]
        case = _drawn(Source(self._batch.seed), self._batch, number)
        _show(Failure(self._batch, number, case, f"It hangs: for {HANGING} s by now."))
        faulthandler.dump_traceback()
        os._exit(1)


def _drawn(source: Source, batch: Batch, number: int) -> Case:
    if batch.level == "parser":
        return source.message(batch.target, number)
    # requests itself waits for a slow API.
    return source.wire(batch.target, number, slow=0.0 if batch.target == "api" else 0.01)


def work(batch: Batch) -> Figures:
    """Run a batch, in a process of its own."""
    logging.lastResort = logging.NullHandler()
    if batch.level == "parser":
        return _run(batch, lambda case, _: _parsed(case))
    with wire.Server() as server, wire.NowhereElse(server.port):
        wire.run(server, Source(batch.seed).wire(batch.target, 0, 0.0))  # what is loaded once
        return _run(batch, lambda case, number: wire.run(server, case, number))


def _parsed(case: Case) -> str:
    started = time.thread_time()
    outcome = parsers.run(case)
    taken = time.thread_time() - started
    if taken > CPU_SECONDS:
        raise Complaint(f"it took {taken:.1f} s")
    return outcome


def _run(batch: Batch, judged: Callable[[Case, int], str]) -> Figures:
    figures, source, watch = Figures(), Source(batch.seed), Watch(batch)
    before = _peak()
    for number in range(batch.first, batch.first + batch.count):
        case = _drawn(source, batch, number)
        started = time.monotonic()
        watch.begin(number)
        try:
            figures.outcomes[judged(case, number)] += 1
        except Exception:
            figures.failed += 1
            figures.fail(Failure(batch, number, case, traceback.format_exc()))
        taken = time.monotonic() - started
        figures.slowest = max(figures.slowest, (taken, f"{batch.target} {number}"))
    figures.cases = batch.count
    if (batch.level, batch.target) != ("socket", "api"):  # which requests reads without bounds
        figures.growth = _peak() - before
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


def _show(failure: Failure) -> None:
    batch, number, case, text = failure
    path = corpus.save(case, f"found-{batch.level}-{batch.seed}-{number}")
    print(f"\nFAILED: {batch.level} {batch.target} {number}, kept as {os.path.relpath(path)}")
    print(text)
    print(f"{case.data[:2000]!r}", flush=True)


def _report(figures: Figures) -> bool:
    for failure in figures.failures[:10]:
        _show(failure)
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
            try:
                failed |= _report(run(level, count, arguments.seed, arguments.workers))
            except BrokenProcessPool:
                print(f"\nFAILED: a process at the {level} level has ended", flush=True)
                failed = True
    return int(failed)
