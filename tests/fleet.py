"""Processes that begin together: forked from this one, which is warm, held at a gate, let go."""

from __future__ import annotations

import json
import mmap
import os
import selectors
import signal
import time
from collections.abc import Callable
from typing import Any

PATIENCE = 60.0
"""Seconds after which a fleet has failed; nothing is expected to take them."""


class Fleet:
    """Forked children that do the same, each with its number; a context manager.

    :param size: how many.
    :param work: takes the number of the child, and returns what can be JSON.
    """

    def __init__(self, size: int, work: Callable[[int], Any]) -> None:
        gate, self._gate = os.pipe()
        self._results, results = os.pipe()
        self.pids = [self._fork(number, work, gate, results) for number in range(size)]
        os.close(gate)
        os.close(results)

    def _fork(self, number: int, work: Callable[[int], Any], gate: int, results: int) -> int:
        pid = os.fork()
        if pid:
            return pid
        try:  # pragma: no cover - another process
            # The gate opens for all when nobody holds its other end any more.
            os.close(self._gate)
            os.close(self._results)
            os.read(gate, 1)
            try:
                outcome = {"returned": work(number)}
            except Exception as error:
                outcome = {"raised": f"{type(error).__name__}: {error}"}
            # One write of so little is not mixed up with another's.
            os.write(results, json.dumps([number, outcome]).encode() + b"\n")
        finally:
            os._exit(0)

    def start(self) -> Fleet:
        """Open the gate."""
        os.close(self._gate)
        self._gate = -1
        return self

    def join(self) -> list[Any]:
        """What the children have returned, in their order, without those that were killed.

        :raises AssertionError: when one has raised an exception, or does not end.
        """
        output, give_up = b"", time.monotonic() + PATIENCE
        with selectors.DefaultSelector() as selector:
            selector.register(self._results, selectors.EVENT_READ)
            while True:
                assert selector.select(give_up - time.monotonic()), "a process is stranded"
                chunk = os.read(self._results, 65536)
                if not chunk:
                    break
                output += chunk
        outcomes = sorted(json.loads(line) for line in output.splitlines())
        raised = [outcome["raised"] for _, outcome in outcomes if "raised" in outcome]
        assert raised == []
        return [outcome["returned"] for _, outcome in outcomes]

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for pid in self.pids:
            self.kill(pid)
            os.waitpid(pid, 0)
        os.close(self._results)
        if self._gate >= 0:
            os.close(self._gate)


def board(size: int) -> memoryview:
    """Whole numbers that a fleet shares with its parent; each has one writer."""
    return memoryview(mmap.mmap(-1, 8 * size)).cast("q")
