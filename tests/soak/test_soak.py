"""A soak: 32 threads and their forked children, while a schedule of faults is worked through.

``CLIENTCREDS_SOAK_SECONDS`` makes it longer, ``CLIENTCREDS_SOAK_SEED`` draws another schedule.
"""

from __future__ import annotations

import faulthandler
import gc
import itertools
import os
import random
import stat
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import requests
import secrecy
from conftest import patch_time
from faults import DEADLINE, LIFETIME, OPTIONS, Event, RunningClock, World, draw
from requests.auth import AuthBase
from verdict import CALLS_OF_A_CHILD, LAG, Complaint, Failure, Verdict

from clientcreds_requests import (
    ClientCredentialsAuth,
    ClientCredentialsSession,
    TokenError,
    TokenRequest,
)
from clientcreds_requests.testing import LocalAuthorizationServer

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]

SECONDS = float(os.environ.get("CLIENTCREDS_SOAK_SECONDS", "15"))
SEED = int(os.environ.get("CLIENTCREDS_SOAK_SEED", "1"))
THREADS, SCOPES = 32, ("read", "write", "list", "admin")
CHILD_PATIENCE = 20.0
"""Seconds after which a child hangs: its calls may take their deadlines, one after the other."""


class Stamped(AuthBase):
    """An auth that says on the request who used it, and when: before and after."""

    def __init__(self, auth: ClientCredentialsAuth) -> None:
        self._auth = auth

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers["X-Stamp"] = f"{os.getpid()}/call {time.monotonic()}"
        r = self._auth(r)
        r.headers["X-Attached"] = str(time.monotonic())
        return r


class Soak:
    """One run: who calls, and what came of it."""

    def __init__(self, world: World) -> None:
        server = world.server
        self.world, self.over, self.count = world, threading.Event(), 0
        self.failures: list[Failure] = []
        self.children: list[int] = []
        self._fetch, self._fetches = threading.local(), itertools.count()
        self._secret = server.client_secret
        self.session = ClientCredentialsSession(
            server.token_endpoint,
            server.client_id,
            self._client_secret,
            scope=SCOPES[0],
            extra_headers={"X-Stamp": self._stamp},
            **OPTIONS,
        )

    def _client_secret(self) -> str:
        """Note that a token request begins, for which it is asked once, in that one's thread."""
        self._fetch.number = next(self._fetches)
        return self._secret

    def _stamp(self) -> str:
        """Say which process makes an attempt, for which token request, and when."""
        return f"{os.getpid()}/{self._fetch.number} {time.monotonic()}"

    def keep_calling(self, number: int) -> None:
        """Be one of the threads."""
        dice = random.Random(number)
        while not self.over.wait(dice.uniform(0.05, 0.4)):
            failure = self.call(number)
            self.count += 1
            if failure is not None:
                self.failures.append(failure)

    def call(self, number: int) -> Failure | None:
        """Call the API: with one of the scopes, in the session or without."""
        scope = SCOPES[number % len(SCOPES)]
        auth = self.session.auth.replace(scope=scope)
        get: Callable[..., requests.Response] = requests.get if number & 4 else self.session.get
        entry = auth.manager.entry(TokenRequest(scope))
        held, began = entry.token, time.monotonic()
        cause, token = "unknown", None
        try:
            response = get(self.world.server.api_url, auth=Stamped(auth), timeout=20)
            if response.ok:
                return None
            what = f"status {response.status_code}"
            if response.status_code == 401:
                cause = "refused twice" if response.history else "refused"
                token = response.request.headers["Authorization"].removeprefix("Bearer ")
        except Exception as error:
            what = repr(error)
            if isinstance(error, TokenError) and "no outcome" not in what:  # never told: stranded
                cause = "no token"
        ended, after = time.monotonic(), entry.token
        names = [t and f"{t.fingerprint} for {t.seconds_left():.2f} s" for t in (held, after)]
        held_on = held is after is not None and held.seconds_left() > 0
        return Failure(scope, began, ended, what, cause, token, f"{names}", held_on)

    def fork(self) -> None:
        """Have a child make a few calls, which ends badly if they do."""
        pid = os.fork()
        if pid:
            self.children.append(pid)
            return
        faulthandler.dump_traceback_later(CHILD_PATIENCE, exit=True, file=sys.__stderr__)
        status = 1
        try:
            failures = [self.call(number) for number in range(3, 3 + CALLS_OF_A_CHILD)]
            wrong = [failure for failure in failures if failure and failure.speaks_for_itself]
            os.write(2, "".join(f"in a child: {f}\n" for f in wrong).encode())
            status = len(wrong)
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(status)

    def run(self, schedule: list[Event]) -> list[tuple[float, str]]:
        """Work through a schedule; return what happened when."""
        threads = [threading.Thread(target=self.keep_calling, args=[n]) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        start, happened = time.monotonic(), []
        try:
            for event in schedule:
                time.sleep(max(0.0, start + event.at - time.monotonic()))
                happened.append((time.monotonic(), f"{event.name} ({event.amount:.3f})"))
                if event.name == "fork":
                    self.fork()
                else:
                    self.world.suffer(event)
        finally:
            self.over.set()
        for thread in threads:
            thread.join()
        return happened

    def leftovers(self) -> Iterator[Complaint]:
        """Children that ended badly, and threads that did not end."""
        for child in self.children:
            if status := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
                yield time.monotonic(), f"a child ended with {status}"
        self.session.close()
        patience = time.monotonic() + DEADLINE + 2 * LAG
        for thread in threading.enumerate():
            if thread.name == "clientcreds-requests" or isinstance(thread, threading.Timer):
                thread.join(max(0, patience - time.monotonic()))
                if thread.is_alive():
                    yield time.monotonic(), "a thread is left over"


def sockets() -> set[int]:
    """The sockets that are open in this process."""
    found = set()
    for fd in os.listdir("/dev/fd"):
        with suppress(OSError):  # the one that the list was read from
            status = os.fstat(int(fd))
            if stat.S_ISSOCK(status.st_mode):
                found.add(status.st_ino)
    return found


def test_soak(monkeypatch: pytest.MonkeyPatch) -> None:
    before, clock, start = sockets(), RunningClock(), time.monotonic()
    patch_time(monkeypatch, clock)
    print(f"CLIENTCREDS_SOAK_SEED={SEED} CLIENTCREDS_SOAK_SECONDS={SECONDS:g}")
    with LocalAuthorizationServer(lifetime=LIFETIME) as server:
        soak = Soak(World(server, clock))
        happened = soak.run(draw(SEED, SECONDS))
        complaints = list(soak.leftovers())
    verdict = Verdict(soak.world, str(os.getpid()), soak.failures, len(soak.children))
    complaints += verdict.complaints()
    # The watch over secrets holds on to errors, whose frames hold connections of the API.
    complaints += [(time.monotonic(), leak) for leak in secrecy.notes.leaks()]
    secrecy.notes.errors.clear()
    gc.collect()  # so do urllib3's errors, in cycles with their own frames
    if left := sockets() - before:
        complaints.append((time.monotonic(), f"{len(left)} sockets are left over"))
    print(
        f"{soak.count} calls, {len(soak.failures)} of them failed; {len(soak.children)} forks; "
        f"{len(server.token_requests)} token requests, {len(server.tokens)} tokens"
    )
    assert soak.count > SECONDS * THREADS / 10, "the threads are stuck"
    complaints.sort()
    for moment, text in complaints and sorted([*happened, *complaints[:20]]):
        if abs(moment - complaints[0][0]) < 10:
            print(f"{moment - start:8.2f}", "WRONG:" if (moment, text) in complaints else "", text)
    assert not complaints, f"{len(complaints)} complaints with seed {SEED}"
