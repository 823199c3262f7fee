"""Measurements in processes of their own, so that no contender meets what another has left."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

#: How many contenders are measured at the same time where they mostly sleep.
AT_ONCE = 3

#: Seconds within which all of these must be ready.
READY_WITHIN = 20

#: Called by a measurement that is ready; returns when all that run beside it are.
Gate = Callable[[], object]


def isolated(function: Callable[..., dict[str, Any]], *args: Any, limit: float) -> dict[str, Any]:
    """What a function of a module returns in a new process, or ``{"failed": why}``.

    :param limit: seconds after which the process is ended.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(theirs, function, args))
    process.start()
    theirs.close()
    try:
        if not ours.poll(limit):
            return {"failed": f"not done after {limit:g} s"}
        result: dict[str, Any] = ours.recv()
        return result
    except EOFError:
        return {"failed": "the process ended without a result"}
    finally:
        process.join(2)
        process.kill()
        process.join()
        ours.close()


def side_by_side(
    function: Callable[..., dict[str, Any]], arguments: Sequence[tuple[Any, ...]], *, limit: float
) -> list[dict[str, Any]]:
    """The same for several arguments, some of them at the same time.

    :param function: takes a :data:`Gate` as its last argument, for which it makes ready: whatever
        one of them imports would disturb the calls of another.
    """
    results: list[dict[str, Any]] = []
    context = multiprocessing.get_context("spawn")
    for first in range(0, len(arguments), AT_ONCE):
        group = arguments[first : first + AT_ONCE]
        barrier = context.Barrier(len(group))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            running = [
                pool.submit(isolated, function, *args, _Gate(barrier), limit=limit)
                for args in group
            ]
        results += [each.result() for each in running]
    return results


class _Gate:
    def __init__(self, barrier: Any) -> None:
        self._barrier = barrier

    def __call__(self) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):  # another one has failed
            self._barrier.wait(READY_WITHIN)


def _run(pipe: Connection, function: Callable[..., dict[str, Any]], args: tuple[Any, ...]) -> None:
    try:
        pipe.send(function(*args))
    except Exception as error:
        traceback.print_exc()
        pipe.send({"failed": f"{type(error).__name__}: {error}"[:200]})
