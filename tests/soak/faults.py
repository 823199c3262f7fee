"""What goes wrong, and when: a schedule drawn from a seed, and those who suffer it."""

from __future__ import annotations

import random
from time import monotonic, sleep, time
from typing import NamedTuple

from conftest import Clock

from clientcreds_requests.testing import HANG, RESET, Answer, Fault, LocalAuthorizationServer
from clientcreds_requests.testing import RecordedRequest as Request

LIFETIME, LEEWAY, RENEW_AHEAD = 5.0, 1.5, 3.0
TIMEOUT, DEADLINE, RETRIES = 1.0, 4.0, 1
OPTIONS = {
    "leeway": LEEWAY,
    "renew_ahead": RENEW_AHEAD,
    "timeout": TIMEOUT,
    "deadline": DEADLINE,
    "retries": RETRIES,
    "body": "json",
}
"""What the client is told."""
CALM, SLOW, STUCK = 0.1, 0.3, 2.0
"""Latencies of the token endpoint; one is longer than anybody waits."""

RETRY_AFTER = {429: 1.0, 503: 6.0}
"""One is waited for, the other is longer than anybody waits."""
REPLIES: dict[str, Answer | Fault | bytes] = {
    "reset": RESET,
    "hang": HANG,
    "500": Answer(500),
    "429": Answer(429, {"error": "slow_down"}, {"Retry-After": "1"}),
    "503": Answer(503, "later", {"Retry-After": "6"}),
    "html": Answer(200, "<html>Welcome!</html>", {"Content-Type": "text/html"}),
    "truncated": b'HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"access_token": "trunca',
}
TROUBLES = (*REPLIES, "slow", "stuck", "outage", "outage")
REFUSAL = Answer(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


class Event(NamedTuple):
    """Something that happens so many seconds after the start."""

    at: float
    name: str
    amount: float = 0.0


def draw(seed: int, seconds: float) -> list[Event]:
    """The schedule of a run: the same for the same seed and length."""
    dice = random.Random(seed)
    events = [Event(seconds, "the end")]

    def scatter(names: tuple[str, ...], least: float, most: float, lasting: float = 0.0) -> None:
        at = dice.uniform(0, most)
        while at < seconds - 2:
            name, length = dice.choice(names), dice.uniform(lasting / 10, lasting)
            events.append(Event(at, name, dice.random()))
            if lasting:
                events.append(Event(at + length, f"no {name}"))
            at += length + dice.uniform(least, most)

    scatter(TROUBLES, 2, 6, lasting=4)
    scatter(("the API refuses",), 8, 16, lasting=2)
    scatter(("revoke all", "revoke one", "revoke one"), 3, 8)
    scatter(("fork",), 0.2, 1)
    # Nobody could tell a suspend from the end of an error if they followed each other within
    # the life of a token.
    scatter(("step forth", "step back", "suspend"), LIFETIME + 1, LIFETIME + 6)
    return sorted(events)


class RunningClock(Clock):
    """The real clocks, but for how far the wall clock has been set forth or back."""

    def __init__(self) -> None:
        super().__init__()
        self.wall = 0.0

    monotonic, sleep = staticmethod(monotonic), staticmethod(sleep)

    def time(self) -> float:
        return time() + self.wall


class World:
    """The server and the clock, what befalls them, and what the server's records do not tell.

    Moments are those of the monotonic clock, as in the records.
    """

    def __init__(self, server: LocalAuthorizationServer, clock: Clock) -> None:
        self.server, self.clock = server, clock
        self.issued: dict[str, str] = {}
        """By the stamp of a token request: the access token that it got."""
        self.ends: dict[str, float] = {}
        """By access token: when a suspend ended its life."""
        self.leaps: list[float] = []
        """When the wall clock went forth, by which tokens expire early."""
        self.outages: list[tuple[float, float]] = []
        self._trouble, self._api_refuses, self._down_since = "", False, 0.0
        server.latency = CALM
        server.answer_next(*[self._answer] * 1_000_000)
        server.api_answer_next(*[lambda _: REFUSAL if self._api_refuses else None] * 1_000_000)

    def _answer(self, request: Request) -> Answer | Fault | bytes:
        if self._trouble in REPLIES:
            return REPLIES[self._trouble]
        token = self.server.issue(scope=request.params.get("scope"))
        self.issued[request.headers["X-Stamp"]] = token.access_token
        content = {"access_token": token.access_token, "token_type": "Bearer"}
        return Answer(200, {**content, "expires_in": token.lifetime})

    def suffer(self, event: Event) -> None:
        """Let an event happen."""
        name, off = event.name.removeprefix("no "), event.name.startswith("no ")
        if name == "the API refuses":
            self._api_refuses = not off
        elif name.startswith("revoke"):
            tokens = self.server.tokens
            if name == "revoke one":
                newest = tokens[-6:]
                tokens = newest[(at := int(event.amount * len(newest))) : at + 1]
            for token in tokens:
                self.server.revoke(token.access_token)
        elif name == "step back":
            self.clock.step(-60 * event.amount)
        elif name in ("step forth", "suspend"):
            self.leaps.append(moment := monotonic())
            # Of a token on its way those who wait for it make use, though it ends meanwhile.
            alive = [t for t in self.server.tokens if t.issued_at < moment - TIMEOUT]
            self.clock.step(LIFETIME + 1 + 60 * event.amount)
            for token in alive if name == "suspend" else ():
                if token.state == "valid":  # to the server, time has passed
                    self.ends[token.access_token] = monotonic()
                    self.server.revoke(token.access_token)
        else:
            self._be_troubled("" if off else name)

    def _be_troubled(self, name: str) -> None:
        if self.server.down:
            self.outages.append((self._down_since, monotonic()))
        self._trouble, self._down_since = name, monotonic()
        self.server.latency = {"slow": SLOW, "stuck": STUCK}.get(name, CALM)
        self.server.down = name == "outage"
