"""What a large number of tokens costs, and whether anything grows that is not asked to."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import requests

from clientcreds_requests import ClientCredentialsAuth, Token

from .attach import POOL, Requests
from .contenders import Contender, FixedHeader, HeaderAuth, Ours
from .report import Row, Table
from .sizes import Size
from .timing import in_turn, ratios, spread

API = "http://127.0.0.1:9/api"
# In one round, each call to another origin.
CALLS, TOKENS = 1000, 100


class Source:
    """A token store that makes every token up: ten thousand are had in a second."""

    def __init__(self) -> None:
        self._numbers = count()

    def get_or_fetch(self, key: bytes, fetch: Callable[[], Token], rejected: Token | None) -> Token:
        return Token(f"made-up-{next(self._numbers):032}", time.time() + 3600)


def new_auth() -> ClientCredentialsAuth:
    return ClientCredentialsAuth("http://127.0.0.1:9/token", "me", "secret", store=Source())


def measure(kinds: Sequence[type[Contender]], size: Size) -> Table:
    rows: list[Row] = []
    new_auth().replace(scope="warm-up").authorize()  # whatever is made once, is made now
    for number in size.cached:
        tracemalloc.start()
        auth = new_auth().authorize()
        gc.collect()
        traced = tracemalloc.get_traced_memory()[0]
        siblings = [auth.replace(scope=f"tenant-{n}").authorize() for n in range(number)]
        gc.collect()
        traced = tracemalloc.get_traced_memory()[0] - traced
        tracemalloc.stop()
        fixed = [HeaderAuth(f"Bearer made-up-{n:032}") for n in range(number)]
        times = _attach_times({FixedHeader.name: fixed, Ours.name: siblings}, size)
        rows.append(
            {
                "contender": Ours.name,
                "ours": True,
                "cached": number,
                "ns": spread([t / POOL for t in times[Ours.name]]),
                "fixed": spread([t / POOL for t in times[FixedHeader.name]]),
                "ratio": ratios(times[Ours.name], times[FixedHeader.name]),
                "bytes": traced / number,
            }
        )
    rows += [_after_calls(size.growth_rounds), _after_tokens(size.growth_rounds)]
    most = max(size.cached)
    rows += [_left_behind(most, asked=False), _left_behind(most, asked=True)]
    rows += _costs(most, size)
    return Table(
        "growth",
        "Growth: many token requests in one manager",
        "Nanoseconds of one call of the auth with so many siblings (`auth.replace()`), each called "
        "in turn, against as many fixed headers: medians and quartiles of "
        f"{size.attach_rounds} rounds. Traced bytes per sibling with its token. Below, the traced "
        f"bytes by which one auth that has served as many has grown after so many calls more, to "
        f"{CALLS:,} origins, and after so many tokens more; and the bytes and tokens that so many "
        "audiences, one after the other, leave behind. Last, what one call of the manager costs "
        "with so many token requests in use, against the same with one.",
        {
            "cached": ("token requests", "{:,}"),
            "ns": ("ns", "{:.0f}"),
            "fixed": ("fixed header, ns", "{:.0f}"),
            "ratio": ("ratio", "{:.2f}"),
            "bytes": ("bytes each", "{:,.0f}"),
            "grown": ("bytes grown", "{:,.0f}"),
            "tokens": ("tokens left", "{:,}"),
        },
        rows,
    )


def _attach_times(auths: dict[str, Sequence[Any]], size: Size) -> dict[str, list[int]]:
    made = Requests(API)

    def passes(chosen: Sequence[Any]) -> Callable[[], None]:
        position = 0

        def run() -> None:
            for request, auth in zip(made.pool, part, strict=True):
                auth(request)

        part: list[Any] = []

        def choose() -> None:
            nonlocal position
            part[:] = [chosen[(position + n) % len(chosen)] for n in range(POOL)]
            position += POOL

        chooses.append(choose)
        return run

    chooses: list[Callable[[], None]] = []
    runs = {name: passes(chosen) for name, chosen in auths.items()}

    def before() -> None:
        made.reset()
        for choose in chooses:
            choose()

    return in_turn(runs, size.attach_rounds, before=before)


def _grown(step: Callable[[], object], rounds: int) -> int:
    """The bytes by which so many rounds more have grown it after so many rounds."""
    sizes = []
    tracemalloc.start()
    for _ in range(2):
        for _ in range(rounds):
            step()
        gc.collect()
        sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    return sizes[1] - sizes[0]


def _after_calls(rounds: int) -> Row:
    auth = new_auth().authorize()
    urls = [f"http://127.0.0.1:{port}/api" for port in range(1024, 1024 + CALLS)]
    pool = [requests.Request("GET", url).prepare() for url in urls]

    def call_all() -> None:
        for request in pool:
            request.hooks["response"].clear()
            auth(request)

    return {"contender": f"{CALLS * rounds:,} calls later", "grown": _grown(call_all, rounds)}


def _after_tokens(rounds: int) -> Row:
    auth = new_auth()

    def other_tokens() -> None:
        for _ in range(TOKENS):
            auth.signout()
            auth(requests.Request("GET", API).prepare())

    grown = _grown(other_tokens, rounds)
    return {"contender": f"{TOKENS * rounds:,} tokens later", "grown": grown}


def _left_behind(number: int, *, asked: bool) -> Row:
    """What audiences leave behind that are used one after the other, and never again."""
    auth = new_auth().authorize()

    def use(audience: str) -> None:
        sibling = auth.replace(audience=audience)
        if asked:
            sibling.authorize()

    use("warm-up")
    tracemalloc.start()
    gc.collect()
    traced, tokens = tracemalloc.get_traced_memory()[0], _tokens()
    for n in range(number):
        use(f"https://tenant-{n}.example.com")
    gc.collect()
    traced, tokens = tracemalloc.get_traced_memory()[0] - traced, _tokens() - tokens
    tracemalloc.stop()
    name = "each with a token" if asked else "never asked for"
    return {
        "contender": f"{number:,} audiences, {name}",
        "grown": traced,
        "tokens": tokens,
    }


def _tokens() -> int:
    return sum(type(thing) is Token for thing in gc.get_objects())


def _costs(number: int, size: Size) -> list[Row]:
    """What a call of the manager costs with many token requests in use."""
    few, many = new_auth().authorize(), new_auth().authorize()
    siblings = [many.replace(scope=f"tenant-{n}").authorize() for n in range(number)]
    rows: list[Row] = []
    for name in ("signout()", "invalidate()", "stats()"):
        runs = {
            "one": _manager_call(name, few),
            "many": _manager_call(name, many),
        }
        times = in_turn(runs, size.attach_rounds)
        rows.append(
            {
                "contender": f"{name} with {len(siblings):,} in use",
                "ns": spread([t / POOL for t in times["many"]]),
                "fixed": spread([t / POOL for t in times["one"]]),
                "ratio": ratios(times["many"], times["one"]),
            }
        )
    return rows


def _manager_call(name: str, auth: ClientCredentialsAuth) -> Callable[[], None]:
    manager, other = auth.manager, Token("somebody-elses")
    call: Callable[[], object] = {
        "signout()": auth.signout,
        "invalidate()": lambda: manager.invalidate(other),
        "stats()": manager.stats,
    }[name]

    def run() -> None:
        for _ in range(POOL):
            call()

    return run
