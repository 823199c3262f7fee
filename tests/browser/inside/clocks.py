"""Time that goes when it is told to, on top of the real one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def time_machine() -> Iterator[Callable[[float], None]]:
    """Yield a function that lets so many seconds pass at once, on both clocks."""
    wall, mono, passed = time.time, time.monotonic, [0.0]
    time.time = lambda: wall() + sum(passed)
    time.monotonic = lambda: mono() + sum(passed)
    try:
        yield passed.append
    finally:
        time.time, time.monotonic = wall, mono
