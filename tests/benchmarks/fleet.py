"""How often does a fleet ask, and what does a store cost? ``python -m tests.benchmarks.fleet``

Sixty-four processes start cold at the same moment, with and without a store on Redis, in turn, on
a token endpoint whose answer takes 300 ms. Printed are the token requests, and the time until the
last process had its token, in round trips of the endpoint. Then, with one process, what a token
request costs that has to look at Redis first, and what a token costs that lies there. The token
endpoint and Redis (``redis-server`` must be installed) are processes of their own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from statistics import median

import redis

from clientcreds_requests import ClientCredentialsAuth, Token
from clientcreds_requests.redis import RedisTokenStore
from clientcreds_requests.testing import LocalAuthorizationServer
from tests.fleet import Fleet
from tests.redis_server import RedisServer

PROCESSES, LATENCY, LOOKS = 64, 0.3, 300


def serve(pipe: Connection) -> None:
    """Run the token endpoint; whenever asked, send how often it was asked, and forget that."""
    with LocalAuthorizationServer(latency=LATENCY) as server:
        pipe.send((server.token_endpoint, server.client_id, server.client_secret))
        while pipe.recv():
            pipe.send(len(server.token_requests))
            server.reset_records()


def cold_start(make_auth: Callable[[], ClientCredentialsAuth]) -> float:
    """Seconds from the start of all processes until the last one has its token."""

    def work(_: int) -> float:
        make_auth().authorize()
        return time.monotonic()

    with Fleet(PROCESSES, work) as fleet:
        began = time.monotonic()
        ended: list[float] = fleet.start().join()
    assert len(ended) == PROCESSES
    return max(ended) - began


def looks(store: RedisTokenStore, *, new: bool) -> list[float]:
    """Milliseconds that a token takes which costs nothing at the endpoint, by a stop watch."""
    token, times = Token("a" * 800, expires_at=time.time() + 3600), []
    for _ in range(LOOKS):
        key = os.urandom(32) if new else bytes(32)
        began = time.perf_counter()
        store.get_or_fetch(key, lambda: token, None)
        times.append(1000 * (time.perf_counter() - began))
    return times


def spread(values: list[float], form: str = "{:.2f}") -> str:
    """The median, and from where to where."""
    shown = (form.format(value) for value in (median(values), min(values), max(values)))
    return "{:>9}   {} to {}".format(*shown)


def measure(rounds: int) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,))
    process.start()
    where = ours.recv()
    rows: dict[str, tuple[list[float], list[float]]] = {
        "without a store": ([], []),
        "with Redis": ([], []),
    }
    with RedisServer() as server:

        def alone() -> ClientCredentialsAuth:
            return ClientCredentialsAuth(*where, body="form")

        def shared() -> ClientCredentialsAuth:
            return ClientCredentialsAuth(
                *where, body="form", store=RedisTokenStore(server.client())
            )

        for number in range(rounds):
            for name, make_auth in zip(rows, (alone, shared), strict=True):
                with server.client() as client:
                    client.flushall()
                seconds = cold_start(make_auth)
                ours.send(number + 1)
                rows[name][0].append(ours.recv())
                rows[name][1].append(seconds / LATENCY)
        with server.client() as client:
            store = RedisTokenStore(client)
            miss, hit = looks(store, new=True), looks(store, new=False)[1:]
    ours.send(0)
    process.join()

    print(
        f"{platform.python_implementation()} {platform.python_version()}, "
        f"redis-py {redis.__version__}, {platform.machine()}, {os.cpu_count()} cores; "
        f"{PROCESSES} processes, token requests of {LATENCY:g} s, {rounds} rounds"
    )
    print(f"{'median, and from where to where':34}{'token requests':>24}{'round trips':>26}")
    for name, (asked, ratios) in rows.items():
        print(f"{name:34}{spread(asked, '{:.0f}'):>24}{spread(ratios, '{:.1f}'):>26}")
    print(f"\n{'one process, milliseconds':34}{'50 %':>9}{'95 %':>9}{'slowest':>9}")
    for name, times in (("a token that is not there", miss), ("a token that is there", hit)):
        ordered = sorted(times)
        print(
            f"{name:34}{median(ordered):9.2f}{ordered[int(0.95 * len(ordered))]:9.2f}"
            f"{ordered[-1]:9.2f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
    measure(parser.parse_args().rounds)
