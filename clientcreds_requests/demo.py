"""The main job on a local server: a cold start, renewals, a revocation, an outage.

What is said of it comes from the server's own records. Only what callers alone can know is theirs
(what they were handed, how long it took), and the two are checked against each other.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from time import monotonic, sleep
from typing import Any, Protocol

import requests
from urllib3 import Retry

from .auth import ClientCredentialsAuth
from .testing import LocalAuthorizationServer

THREADS = 32
#: Seconds from one call of a thread to its next: 160 calls a second in all, little for one core.
PERIOD = 0.2

# Seconds at a pace of 1, which takes about ten. A token is renewed when it is 1.5 to 2.3 s old.
# Acts begin when it is 0.8 s old, so that a machine which stalls for half a second changes
# nothing, and after the outage there are 3 s left of it in which to try the renewal again.
LIFETIME, LEEWAY, RENEW_AHEAD = 6.0, 0.5, 4.5
LATENCY, API_LATENCY = 0.3, 0.04
SETTLED, OUTAGE, TAIL = 0.8, 2.2, 0.8

#: Seconds after which what should have happened is taken not to happen.
PATIENCE = 30.0
TICK = 0.05
RENEWED = "the token is renewed in the background"
#: Seconds to a column of the timeline, at a pace of 1.
STEP = 0.25


class Watcher(Protocol):
    """Where the demo is watched."""

    def say(self, line: str, /) -> None:
        """Show a line that stays."""

    def live(self, line: str, /) -> None:
        """Show a line until the next one comes."""


@dataclass(frozen=True)
class Call:
    """An API call as its caller saw it; times are seconds of the monotonic clock."""

    first: bool
    ended: float
    seconds: float
    status: int | None
    error: str
    refused: int  # times that the API said 401 before the answer

    @property
    def failure(self) -> str:
        """What the library should have spared the caller; empty when all is well."""
        return self.error or ("" if self.status == 200 else f"status {self.status}")


@dataclass
class Act:
    """A part of the demo."""

    name: str
    started: float
    ended: float


class Stuck(Exception):
    """What the rest of the demo needs did not happen."""


class Demo:
    """One run.

    :param server: not yet started; its lifetime and latencies are set here.
    :param watcher: where it is watched.
    :param pace: how slow it goes; at 1 it takes about ten seconds.
    """

    def __init__(
        self, server: LocalAuthorizationServer, watcher: Watcher, pace: float = 1.0
    ) -> None:
        self._server, self._watcher, self._pace = server, watcher, pace
        self._calls: list[Call] = []
        self._acts: list[Act] = []
        self._events: list[dict[str, Any]] = []
        self._reasons: list[str] = []
        self._began = 0.0
        self._over = threading.Event()
        self._start = threading.Barrier(THREADS + 1)
        server.lifetime = LIFETIME * pace
        server.latency, server.api_latency = LATENCY * pace, API_LATENCY * pace

    def run(self) -> dict[str, Any]:
        """Play all acts, and return what came of them, ready for JSON."""
        logger, quiet = logging.getLogger(__package__), logging.NullHandler()
        # The default retries, at the pace of all the rest: else a quick outage outlasts its token.
        backoff = 0.25 * self._pace
        retries = Retry(3, allowed_methods=None, backoff_factor=backoff, backoff_jitter=backoff)
        logger.addHandler(quiet)  # renewals that fail are logged, but here they are on the program
        try:
            with self._server, requests.Session() as transport:
                transport.trust_env = False  # no proxy leads to this machine's loopback
                auth = ClientCredentialsAuth(
                    self._server.token_endpoint,
                    self._server.client_id,
                    self._server.client_secret,
                    leeway=LEEWAY * self._pace,
                    renew_ahead=RENEW_AHEAD * self._pace,
                    retries=retries,
                    session=transport,
                )
                try:
                    self._play(auth)
                    self._until(lambda: auth.authorizing is None, "the last token request ends")
                except Stuck as stuck:
                    self._reasons.append(str(stuck))
                self._acts[-1].ended = monotonic()
                return self._figures()
        finally:
            logger.removeHandler(quiet)

    def _play(self, auth: ClientCredentialsAuth) -> None:
        callers = [
            threading.Thread(target=self._call_steadily, args=(number, auth), daemon=True)
            for number in range(THREADS)
        ]
        for caller in callers:
            caller.start()
        try:
            self._began = monotonic()
            self._start_cold()
            self._renew()
            self._revoke()
            self._suffer_an_outage()
            self._wait(TAIL * self._pace)
        finally:
            self._over.set()
            self._start.abort()
            for caller in callers:
                caller.join(PATIENCE)

    def _call_steadily(self, number: int, auth: ClientCredentialsAuth) -> None:
        with requests.Session() as session:
            session.auth, session.trust_env = auth, False
            try:
                self._start.wait()
            except threading.BrokenBarrierError:
                return
            self._call(session, first=True)
            due = monotonic() + PERIOD * number / THREADS
            while not self._over.wait(max(0.0, due - monotonic())):
                self._call(session)
                # Each keeps its beat, and does not make up for what it missed: after a wait they
                # would otherwise all call at once for ever.
                due += PERIOD * max(1, math.ceil((monotonic() - due) / PERIOD))

    def _call(self, session: requests.Session, *, first: bool = False) -> None:
        status, error, refused = None, "", 0
        started = monotonic()
        try:
            answer = session.get(self._server.api_url, timeout=PATIENCE)
            status, refused = answer.status_code, len(answer.history)
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"
        ended = monotonic()
        self._calls.append(Call(first, ended, ended - started, status, error, refused))

    def _start_cold(self) -> None:
        latency = LATENCY * self._pace * 1000
        self._begin(
            "cold start",
            f"{THREADS} threads start without a token; getting one takes {latency:.0f} ms",
        )
        self._start.wait(PATIENCE)
        self._until(lambda: sum(c.first for c in self._calls) == THREADS, "all are answered")
        self._say("all of them have their answer")

    def _renew(self) -> None:
        lifetime = LIFETIME * self._pace
        self._begin("renewal", f"steady load goes on, with tokens that live {lifetime:.2g} s")
        self._until_renewed(1, RENEWED)

    def _revoke(self) -> None:
        self._until_settled()
        self._begin("revocation", "the token in use is revoked")
        known = self._server.tokens
        self._server.revoke(known[-1].access_token)
        self._until_renewed(len(known), "a new token is in use")
        self._until_renewed(len(known) + 1, RENEWED)

    def _suffer_an_outage(self) -> None:
        self._until_settled()
        outage = OUTAGE * self._pace
        event = self._begin("outage", f"the token endpoint goes down, for {outage:.2g} s")
        with self._server.outage():
            self._wait(outage)
        known = len(self._server.tokens)
        event["until"] = self._at(monotonic())
        self._say("the token endpoint is back")
        self._until_renewed(known, RENEWED)

    def _begin(self, name: str, event: str) -> dict[str, Any]:
        """Begin an act; return its event, a moment that may be made a span."""
        now = monotonic()
        if self._acts:
            self._acts[-1].ended = now
        else:
            self._began = now
        self._acts.append(Act(name, now, now))
        self._events.append({"name": name, "at": self._at(now), "until": self._at(now)})
        self._say(event)
        return self._events[-1]

    def _until(self, reached: Callable[[], bool], what: str) -> None:
        give_up = monotonic() + PATIENCE
        while not reached():
            if monotonic() > give_up:
                raise Stuck(f"waited {PATIENCE:g} s in vain until {what}")
            failed = sum(bool(call.failure) for call in self._calls)
            calls, tokens = f"{len(self._calls):,} calls", count(len(self._server.tokens), "token")
            now = f"{self._at(monotonic()):6.2f} s  {self._acts[-1].name:12}"
            self._watcher.live(f"{now}{calls:>12}  {failed} failed  {tokens} issued")
            sleep(TICK)

    def _wait(self, seconds: float) -> None:
        end = monotonic() + seconds
        self._until(lambda: monotonic() >= end, "it is over")

    def _until_renewed(self, known: int, event: str) -> None:
        self._until(
            lambda: len(self._server.tokens) > known and self._newest_is_in_use(),
            "a new token is in use",
        )
        self._say(event)

    def _until_settled(self) -> None:
        """The newest token is in use, and not due for a while."""
        self._until(
            lambda: (
                monotonic() >= self._server.tokens[-1].issued_at + SETTLED * self._pace
                and self._newest_is_in_use()
            ),
            "a token has settled",
        )

    def _newest_is_in_use(self) -> bool:
        newest = self._server.tokens[-1].access_token
        return self._server.api_requests[-1].access_token == newest

    def _say(self, event: str) -> None:
        self._watcher.say(f"{self._at(monotonic()):6.2f} s  {event}")

    def _figures(self) -> dict[str, Any]:
        api, asked = self._server.api_requests, self._server.token_requests
        moments = {
            "api_calls": [request.started for request in api],
            "api_401s": [request.started for request in api if request.status == 401],
            "token_requests": [request.started for request in asked],
            "token_requests_reset": [r.started for r in asked if r.status is None],
            "tokens_issued": [token.issued_at for token in self._server.tokens],
        }
        server = {name: len(found) for name, found in moments.items()}
        callers = _as_seen(self._calls)
        acts: list[dict[str, Any]] = []
        for act in self._acts:
            counted = {
                name: sum(act.started <= moment < act.ended for moment in found)
                for name, found in moments.items()
            }
            # A call is of the act in which it ended: it may have begun before a revocation.
            calls = [call for call in self._calls if act.started <= call.ended < act.ended]
            span = {"started": self._at(act.started), "ended": self._at(act.ended)}
            acts.append({"name": act.name, **span, "server": counted, "callers": _as_seen(calls)})
        # What is asked for as soon as the first token is due, however long the first act takes,
        # is its renewal.
        due = self._acts[0].started + (LIFETIME - RENEW_AHEAD) * self._pace
        cold = sum(request.started < due for request in asked)
        acts[0]["server"]["token_requests"] = cold
        if cold != 1:
            self._reasons.append(f"the cold start took {count(cold, 'token request')}")
        if any(
            first.ended is None or first.ended > then.started for first, then in pairwise(asked)
        ):
            self._reasons.append("two token requests were under way at once")
        failures = [call.failure for call in self._calls if call.failure]
        if failures:
            of_all = f"{len(failures)} of {count(len(self._calls), 'call')}"
            self._reasons.append(f"{of_all} failed, the first with {failures[0]}")
        elif (server["api_calls"] - callers["calls"], server["api_401s"]) != (
            callers["sent_again"],
            callers["sent_again"],
        ):
            self._reasons.append("the server and the callers did not count the same calls")
        return {
            "ok": not self._reasons,
            "reasons": self._reasons,
            "seconds": self._at(self._acts[-1].ended),
            "settings": {
                "threads": THREADS,
                "calls_per_second": round(THREADS / PERIOD),
                "lifetime": round(LIFETIME * self._pace, 3),
                "leeway": round(LEEWAY * self._pace, 3),
                "renew_ahead": round(RENEW_AHEAD * self._pace, 3),
                "latency": round(LATENCY * self._pace, 3),
                "api_latency": round(API_LATENCY * self._pace, 3),
                "outage": round(OUTAGE * self._pace, 3),
            },
            "server": server,
            "callers": callers,
            "acts": acts,
            "timeline": {
                "step": STEP * self._pace,
                **{name: self._per_step(found) for name, found in moments.items()},
                "events": self._events,
            },
        }

    def _per_step(self, moments: list[float]) -> list[int]:
        step = STEP * self._pace
        counts = Counter(int(self._at(moment) / step) for moment in moments)
        return [counts[column] for column in range(int(self._at(self._acts[-1].ended) / step) + 1)]

    def _at(self, moment: float) -> float:
        return round(moment - self._began, 3)


def _as_seen(calls: list[Call]) -> dict[str, Any]:
    return {
        "calls": len(calls),
        "failed": sum(bool(call.failure) for call in calls),
        "saw_401": sum(call.status == 401 for call in calls),
        "sent_again": sum(call.refused for call in calls),
        "slowest": round(max((call.seconds for call in calls), default=0.0), 4),
    }


def count(number: int, noun: str) -> str:
    """A number of things, in words."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
