"""How durations are taken, and how they are summed up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median, quantiles
from time import perf_counter_ns, process_time_ns
from typing import Any

Spread = dict[str, float]


def spread(values: Sequence[float]) -> Spread:
    """The median and the quartiles."""
    low, _, high = (
        quantiles(values, n=4, method="inclusive") if len(values) > 1 else (values[0],) * 3
    )
    return {"median": median(values), "low": low, "high": high}


def in_turn(
    contenders: Mapping[str, Callable[[], Any]],
    rounds: int,
    *,
    before: Callable[[], Any] = lambda: None,
    cpu: bool = False,
) -> dict[str, list[int]]:
    """The nanoseconds that each takes, round by round; a new one begins each round.

    :param before: is called before each, and not measured.
    :param cpu: measure the processor time of this process, not the time on the clock.
    """
    clock = process_time_ns if cpu else perf_counter_ns
    names = list(contenders)
    times: dict[str, list[int]] = {name: [] for name in names}
    for name in names:  # whatever is made once, is made now
        before()
        contenders[name]()
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            run = contenders[name]
            before()
            began = clock()
            run()
            times[name].append(clock() - began)
    return times


def ratios(times: Sequence[float], limits: Sequence[float]) -> Spread:
    """Of each round's time to that of the physical limit in the same round."""
    return spread([time / limit for time, limit in zip(times, limits, strict=True)])
