"""Many threads start without a token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .contenders import BY_NAME, Contender, FixedHeader, Ours
from .isolation import isolated
from .load import Call, call_at_once
from .report import Table
from .server import Servers
from .sizes import Size
from .timing import spread

LATENCY = 0.3
WARM_UP = 4


def measure(kinds: Sequence[type[Contender]], size: Size) -> Table:
    rows = []
    for threads in size.herds:
        for kind in kinds:
            row = {"contender": kind.name, "ours": kind is Ours, "threads": threads}
            limit = 30 + size.herd_rounds * (2 * size.herd_limit + 5)
            rows.append(row | isolated(measure_one, kind.name, threads, size, limit=limit))
    return Table(
        "herd",
        "Cold herd: all threads make their first call at once",
        f"The token endpoint takes {LATENCY * 1000:.0f} ms. Seconds from the start until the last "
        "thread has its answer from the API; what that is beyond the fixed header, which is run in "
        "turn with it in the same process, in round trips of the endpoint: medians and quartiles "
        f"of {size.herd_rounds} rounds. A herd is ended after {size.herd_limit:g} s.",
        {
            "threads": ("threads", "{}"),
            "token_requests": ("token requests", "{:.0f}"),
            "last": ("last answer, s", "{:.2f}"),
            "fixed": ("fixed header, s", "{:.2f}"),
            "beyond": ("beyond it, round trips", "{:.2f}"),
            "late": ("not served in time", "{:.0f}"),
            "failed_calls": ("failed", "{:.0f}"),
        },
        rows,
    )


def measure_one(name: str, threads: int, size: Size) -> dict[str, Any]:
    """In a process of its own: the contender, and the fixed header in turn with it."""
    kind = BY_NAME[name]
    requests, last, fixed, beyond, late, failed = [], [], [], [], 0, 0
    with Servers(latency=LATENCY) as servers:

        def herd(contender: Contender, count: int) -> list[Call]:
            servers.change(latency=LATENCY)
            servers.forget()
            return call_at_once(
                lambda: contender.get(servers.api_url),
                threads=count,
                limit=size.herd_limit,
                hurry=lambda: servers.change(latency=0),
            )

        herd(FixedHeader(servers.where), WARM_UP)
        herd(kind(servers.where, scope="warm-up"), WARM_UP)
        for number in range(size.herd_rounds):
            limit = seconds_until_the_last(herd(FixedHeader(servers.where), threads))
            calls = herd(kind(servers.where, scope=f"herd-{number}"), threads)
            asked = servers.counts().token_requests
            took = seconds_until_the_last(calls)
            requests.append(len(asked))
            last.append(min(took, size.herd_limit))
            fixed.append(limit)
            beyond.append((last[-1] - limit) / LATENCY)
            start = min(call.began for call in calls)
            overdue = sum(call.ended > start + size.herd_limit for call in calls)
            late = max(late, overdue)
            failed = max(failed, sum(call.status != 200 for call in calls))
            if overdue:
                break
    return {
        "token_requests": max(requests),
        "last": spread(last),
        "fixed": spread(fixed),
        "beyond": spread(beyond),
        "late": late,
        "failed_calls": failed,
    }


def seconds_until_the_last(calls: Sequence[Call]) -> float:
    return max(call.ended for call in calls) - min(call.began for call in calls)
