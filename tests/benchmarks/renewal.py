"""Is any call slower for a renewal? ``python -m tests.benchmarks.renewal [--seconds N]``

Sixteen threads call the API on a paced load, half a second with a fixed header and half a second
with a token that is renewed every few seconds, in turn, while the token endpoint takes 300 ms. The
servers are a process of their own. Printed are the calls' times in milliseconds, by kind: with the
fixed header, with our auth, and of those the ones that a renewal overlapped.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import threading
import time
from multiprocessing.connection import Connection
from statistics import median

import requests
from requests.auth import AuthBase

from clientcreds_requests import ClientCredentialsAuth
from clientcreds_requests.testing import LocalAuthorizationServer

THREADS, PERIOD, LATENCY, LIFETIME, TURN = 16, 0.1, 0.3, 3.0, 0.5


class FixedHeader(AuthBase):
    """The physical limit: a header that never changes."""

    def __init__(self, value: str) -> None:
        self.value = value

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers["Authorization"] = self.value
        return r


def serve(pipe: Connection) -> None:
    """Run the servers; send where they are, and in the end what they have counted."""
    with LocalAuthorizationServer(lifetime=3600, latency=LATENCY) as server:
        fixed = server.issue().access_token
        server.lifetime = LIFETIME
        pipe.send(
            (server.token_endpoint, server.api_url, server.client_id, server.client_secret, fixed)
        )
        pipe.recv()
        asked = [(r.started, r.ended) for r in server.token_requests if r.ended is not None]
        pipe.send((asked, sum(request.status == 401 for request in server.api_requests)))


def measure(seconds: float) -> None:
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    process.start()
    token_endpoint, api_url, client_id, secret, fixed = ours.recv()
    auth = ClientCredentialsAuth(
        token_endpoint, client_id, secret, leeway=0.5, renew_ahead=1.5, body="form"
    ).authorize()
    kinds: dict[str, AuthBase] = {"fixed header": FixedHeader(f"Bearer {fixed}"), "our auth": auth}
    calls: list[tuple[str, float, float]] = []
    end = time.monotonic() + seconds

    def call_steadily(number: int) -> None:
        with requests.Session() as session:
            due = time.monotonic() + PERIOD * number / THREADS
            while (now := time.monotonic()) < end:
                time.sleep(max(0.0, due - now))
                due += PERIOD
                kind = list(kinds)[int(time.monotonic() / TURN) % 2]
                began = time.monotonic()
                session.get(api_url, auth=kinds[kind])
                calls.append((kind, began, time.monotonic()))

    threads = [threading.Thread(target=call_steadily, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ours.send("done")
    asked, refused = ours.recv()
    process.join()

    print(
        f"{platform.python_implementation()} {platform.python_version()}, "
        f"requests {requests.__version__}, {platform.machine()}; "
        f"{len(calls)} calls in {seconds:g} s, {len(asked)} token requests of {LATENCY:g} s, "
        f"{refused} calls refused"
    )
    rows = {kind: [b - a for k, a, b in calls if k == kind] for kind in kinds}
    rows["  around a renewal"] = [
        b - a
        for k, a, b in calls
        if k == "our auth" and any(a < ended and b > started for started, ended in asked[1:])
    ]
    print(f"{'milliseconds':20}{'calls':>8}{'median':>8}{'99 %':>8}{'slowest':>9}")
    for kind, times in rows.items():
        ordered = sorted(1000 * t for t in times)
        print(
            f"{kind:20}{len(ordered):8}{median(ordered):8.2f}"
            f"{ordered[int(len(ordered) * 0.99)]:8.2f}{ordered[-1]:9.2f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    measure(parser.parse_args().seconds)
