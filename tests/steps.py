"""Breaking into a piece of work at each of its steps, as signals, finalizers and forks do."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable

MODULES = frozenset({"clientcreds_requests.manager", "clientcreds_requests._state"})
"""Whose steps count."""


def broken_into(step: int, act: Callable[[], object], work: Callable[[], object]) -> bool:
    """Do some work, and something else in the middle of it, in the same thread.

    It happens where Python itself looks for signals: when a function begins, and after a call.

    :param step: at which of these places.
    :param act: what happens there; what it raises is raised there.
    :return: False if the work has no such step.
    """
    count, reached = itertools.count(), False

    def look(frame, event, _):
        nonlocal reached
        if event == "c_call" or frame.f_globals.get("__name__") not in MODULES:
            return
        if next(count) == step:
            reached = True
            sys.setprofile(before)
            act()

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        work()
    finally:
        sys.setprofile(before)
    return reached
