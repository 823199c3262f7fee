"""What a whole call costs the client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .contenders import Contender, FixedHeader, Ours
from .report import Table
from .server import Servers
from .sizes import Size
from .timing import in_turn, ratios, spread


def measure(kinds: Sequence[type[Contender]], size: Size) -> Table:
    rows: list[dict[str, Any]] = []
    runs: dict[str, Callable[[], None]] = {}
    with Servers() as servers:

        def calls_of(contender: Contender) -> Callable[[], None]:
            def run() -> None:
                for _ in range(size.end_to_end_calls):
                    assert contender.get(servers.api_url).status_code == 200

            return run

        for kind in kinds:
            rows.append({"contender": kind.name, "ours": kind is Ours})
            try:
                contender = kind(servers.where)
                contender.ready()
                runs[kind.name] = calls_of(contender)
                runs[kind.name]()
            except Exception as error:
                rows[-1]["failed"] = f"{type(error).__name__}: {error}"
                runs.pop(kind.name, None)
        times = in_turn(runs, size.end_to_end_rounds, cpu=True)
    each = {
        name: [t / size.end_to_end_calls / 1000 for t in taken] for name, taken in times.items()
    }
    for row in rows:
        if taken := each.get(row["contender"]):
            row["us"] = spread(taken)
            row["ratio"] = ratios(taken, each[FixedHeader.name])
    return Table(
        "end_to_end",
        "End to end: `session.get` on loopback",
        "Processor time of the client for one call, in microseconds, and the ratio to the fixed "
        f"header in the same round: medians and quartiles of {size.end_to_end_rounds} rounds of "
        f"{size.end_to_end_calls} calls each, on one kept connection; the API is another process.",
        {"us": ("µs of CPU", "{:.0f}"), "ratio": ("ratio", "{:.2f}")},
        rows,
    )
