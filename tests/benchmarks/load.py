"""Threads that call the API: steadily for some time, or all at once."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import requests

Get = Callable[[], requests.Response]


class Call(NamedTuple):
    """One call: when it began on the monotonic clock, how long it took, what came of it."""

    began: float
    seconds: float
    #: 0: no answer.
    status: int
    #: The name of the exception, if there was one.
    error: str

    @property
    def ended(self) -> float:
        return self.began + self.seconds


def call(get: Get) -> Call:
    status, error = 0, ""
    began = time.monotonic()
    try:
        status = get().status_code
    except Exception as raised:
        error = type(raised).__name__
    return Call(began, time.monotonic() - began, status, error)


def call_steadily(
    get: Get,
    *,
    threads: int,
    period: float,
    seconds: float,
    events: Sequence[tuple[float, Callable[[], object]]] = (),
) -> list[Call]:
    """Each thread calls once in a period; when a call takes longer, the next one follows at once.

    :param events: moments on the monotonic clock, and what is to be done then. However late that
        was, each thread calls once more after it.
    """
    calls: list[Call] = []
    start = time.monotonic()
    end = math.inf

    def work(number: int) -> None:
        due = start + period * number / threads
        while due < end:
            time.sleep(max(0.0, due - time.monotonic()))
            calls.append(call(get))
            due = max(due + period, time.monotonic())

    workers = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(threads)]
    for worker in workers:
        worker.start()
    for moment, act in events:
        time.sleep(max(0.0, moment - time.monotonic()))
        act()
    end = max(start + seconds, time.monotonic() + period)
    for worker in workers:
        worker.join()
    return calls


def call_at_once(
    get: Get, *, threads: int, limit: float, hurry: Callable[[], object]
) -> list[Call]:
    """Each thread calls once, all from the same moment on.

    :param limit: seconds after which `hurry` is called, which is to end what still waits.
    """
    calls: list[Call] = []
    gate = threading.Barrier(threads + 1)

    def work() -> None:
        gate.wait()
        calls.append(call(get))

    workers = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    gate.wait()
    start = time.monotonic()
    for worker in workers:
        worker.join(max(0.0, start + limit - time.monotonic()))
    if any(worker.is_alive() for worker in workers):
        hurry()
    for worker in workers:
        worker.join()
    return calls
