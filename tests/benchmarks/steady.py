"""A steady load while tokens expire, while the endpoint is down, and while tokens are revoked."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import quantiles
from typing import Any

from .contenders import BY_NAME, Contender, FixedHeader, Ours, Renewal
from .isolation import Gate, side_by_side
from .load import Call, call_steadily
from .report import Row, Table
from .server import Servers
from .sizes import Size

LATENCY, PERIOD, SLOW = 0.3, 0.1, 0.1
BIN = 0.1

# Renewal: tokens live this long.
LIFETIME, RENEWAL_THREADS = 3, 16
RENEWAL = Renewal(window=1.0, leeway=0.2)
PEER_RENEWAL = Renewal(window=0.2)

# Outage: the window is twice as long as the outage; who cannot be told has its own.
WINDOW, FIRST_WANTED, EARLIER = 10.0, 5.0, 1.0
OUTAGE = Renewal(window=WINDOW, leeway=1.0)

REVOCATION_THREADS = 20


def _rows(
    function: Callable[..., dict[str, Any]], kinds: Sequence[type[Contender]], size: Size
) -> list[Row]:
    measured = side_by_side(function, [(kind.name, size) for kind in kinds], limit=90)
    return [
        {"contender": kind.name, "ours": kind is Ours} | row
        for kind, row in zip(kinds, measured, strict=True)
    ]


def _summary(calls: Sequence[Call], start: float) -> dict[str, Any]:
    """What all three scenarios ask for."""
    taken = [call.seconds for call in calls]
    bins: dict[int, float] = {}
    for call in calls:
        for number in range(int((call.began - start) / BIN), int((call.ended - start) / BIN) + 1):
            bins[number] = max(bins.get(number, 0.0), call.seconds)
    return {
        "calls": len(calls),
        "slowest": max(taken) * 1000,
        "p99": quantiles(taken, n=100)[-1] * 1000,
        "slow": sum(seconds > SLOW for seconds in taken),
        "refused": sum(call.status == 401 for call in calls),
        "failed_calls": sum(call.status == 0 for call in calls),
        "errors": dict(Counter(call.error for call in calls if call.error)),
        # For the plot: the slowest call, in milliseconds, under way in each tenth of a second.
        "timeline": [round(bins.get(n, 0.0) * 1000, 1) for n in range(max(bins) + 1)],
    }


def renewal(kinds: Sequence[type[Contender]], size: Size) -> Table:
    return Table(
        "renewal",
        f"Renewal: tokens of {LIFETIME} s",
        f"{RENEWAL_THREADS} threads, each with {1 / PERIOD:.0f} calls a second, for "
        f"{size.renewal_seconds:g} s; the token endpoint takes {LATENCY * 1000:.0f} ms. The token "
        f"at the start is not counted among the calls, but among the token requests. Ours renews "
        f"{RENEWAL.window:g} s ahead; the others are told to renew {PEER_RENEWAL.window:g} s ahead "
        "if they can be told; google-auth renews in the background (`with_non_blocking_refresh()`) "
        "from 225 s ahead, and msal takes what has less than 300 s left for expired. Milliseconds.",
        {
            "token_requests": ("token requests", "{}"),
            "ideal": ("ideal", "{}"),
            "slowest": ("slowest call", "{:.0f}"),
            "p99": ("99 %", "{:.1f}"),
            "slow": (f"above {SLOW * 1000:.0f}", "{}"),
            "refused": ("401s seen", "{}"),
            "failed_calls": ("failed", "{}"),
            "calls": ("of calls", "{}"),
        },
        _rows(renewal_of, kinds, size),
    )


def renewal_of(name: str, size: Size, gate: Gate) -> dict[str, Any]:
    kind = BY_NAME[name]
    with Servers(latency=LATENCY, lifetime=LIFETIME) as servers:
        contender = kind(servers.where, RENEWAL if kind is Ours else PEER_RENEWAL)
        gate()
        contender.ready()
        start = time.monotonic()
        calls = call_steadily(
            lambda: contender.get(servers.api_url),
            threads=RENEWAL_THREADS,
            period=PERIOD,
            seconds=size.renewal_seconds,
        )
        asked = len(servers.counts().token_requests)
    ideal = None if kind is FixedHeader else math.ceil(size.renewal_seconds / LIFETIME)
    return {"token_requests": asked, "ideal": ideal, **_summary(calls, start)}


def outage(kinds: Sequence[type[Contender]], size: Size) -> Table:
    return Table(
        "outage",
        f"Outage: the token endpoint is down for {size.outage_length:g} s of "
        f"{size.outage_seconds:g}",
        f"It resets every connection, beginning {EARLIER:g} s before the contender first wants a "
        f"new token, which is the worst moment. That is {WINDOW:g} s before the old one expires, "
        "or what the contender has fixed; so the old token outlives the outage, except where "
        f"nothing is renewed ahead of expiry. {RENEWAL_THREADS} threads, each with "
        f"{1 / PERIOD:.0f} calls a second.",
        {
            "window": ("wants a new one, s ahead", "{:g}"),
            "failed_calls": ("failed", "{}"),
            "calls": ("of calls", "{}"),
            "refused": ("401s seen", "{}"),
            "token_requests": ("token requests meanwhile", "{}"),
            "slowest": ("slowest call, ms", "{:.0f}"),
            "error": ("error", "{}"),
        },
        _rows(outage_of, kinds, size),
    )


def outage_of(name: str, size: Size, gate: Gate) -> dict[str, Any]:
    kind = BY_NAME[name]
    window = WINDOW if kind.own_window is None else kind.own_window
    with Servers(latency=LATENCY, lifetime=window + FIRST_WANTED) as servers:
        contender = kind(servers.where, OUTAGE if kind is Ours else Renewal(window=WINDOW))
        gate()
        wanted = time.monotonic() + FIRST_WANTED
        contender.ready()
        began = min(wanted - EARLIER, time.monotonic() + size.outage_seconds / 4)
        ended = began + size.outage_length
        start = time.monotonic()
        calls = call_steadily(
            lambda: contender.get(servers.api_url),
            threads=RENEWAL_THREADS,
            period=PERIOD,
            seconds=size.outage_seconds,
            events=[
                (began, lambda: servers.change(down=True)),
                (ended, lambda: servers.change(down=False)),
            ],
        )
        asked = sum(began <= moment <= ended for moment in servers.counts().token_requests)
    result = {"token_requests": asked, **_summary(calls, start)}
    if kind is not FixedHeader:
        result["window"] = window
    if result["errors"]:
        result["error"] = max(result["errors"], key=result["errors"].__getitem__)
    return result


def revocation(kinds: Sequence[type[Contender]], size: Size) -> Table:
    return Table(
        "revocation",
        "Revocation: all tokens are revoked under load",
        f"{REVOCATION_THREADS} threads, each with {1 / PERIOD:.0f} calls a second, for "
        f"{size.revocation_seconds:g} s; the tokens are revoked after a quarter of that. Counted "
        f"from then on. The token endpoint takes {LATENCY * 1000:.0f} ms.",
        {
            "refused": ("401s seen", "{}"),
            "calls": ("of calls", "{}"),
            "failed_calls": ("failed", "{}"),
            "token_requests": ("token requests", "{}"),
            "slowest": ("slowest call, ms", "{:.0f}"),
        },
        _rows(revocation_of, [kind for kind in kinds if kind is not FixedHeader], size),
    )


def revocation_of(name: str, size: Size, gate: Gate) -> dict[str, Any]:
    with Servers(latency=LATENCY) as servers:
        contender = BY_NAME[name](servers.where)
        gate()
        contender.ready()
        servers.forget()
        start = time.monotonic()
        revoked = start + size.revocation_seconds / 4
        calls = call_steadily(
            lambda: contender.get(servers.api_url),
            threads=REVOCATION_THREADS,
            period=PERIOD,
            seconds=size.revocation_seconds,
            events=[(revoked, servers.revoke_all)],
        )
        asked = len(servers.counts().token_requests)
    since = [call for call in calls if call.ended > revoked]
    return {"token_requests": asked, **_summary(since, start)}
