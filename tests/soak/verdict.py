"""What must have held in a run, judged by the server's own record of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import inf, log2
from typing import Literal

from faults import DEADLINE, LIFETIME, RENEW_AHEAD, RETRIES, RETRY_AFTER, TIMEOUT, World

from clientcreds_requests.testing import RecordedRequest as Request

LAG = 1.0
"""Seconds that a busy machine may take from one step of a thread to the next."""
JUMP = 1.0
"""Seconds for which a jump of the wall clock, which a suspend is too, may go unnoticed (L4)."""
CALLS_OF_A_CHILD = 3

Complaint = tuple[float, str]
"""A moment, and what was wrong then."""


@dataclass(frozen=True)
class Failure:
    """A call that did not succeed."""

    scope: str
    began: float
    ended: float
    what: str
    cause: Literal["no token", "refused", "refused twice", "unknown"]
    token: str | None
    """The token that was refused."""
    held: str
    """What the client held before and after."""
    held_on: bool
    """Was that the same token, and not expired?"""

    @property
    def speaks_for_itself(self) -> bool:
        """Is it wrong without a look at the server's record?"""
        return self.cause == "unknown" or (self.cause == "no token" and self.held_on)

    def __str__(self) -> str:
        took = self.ended - self.began
        return f"{self.scope} failed after {took:.2f} s, holding {self.held}: {self.what}"


@dataclass
class Flight:
    """What one thread asked the token endpoint: one attempt after the other."""

    attempts: list[Request]
    token: str | None = None
    hasty: bool = False
    """Did something other than time make it necessary?"""
    rests: bool = True
    """May its token be the replacement of a refused one, which is kept for a while (R3)?"""

    @property
    def taken(self) -> bool | None:
        """Has the client got the token? None: the answer came about too late."""
        took = (self.attempts[-1].ended or inf) - sent(self.attempts[-1])
        if self.token is None or took > 1.6 * TIMEOUT:
            return False
        return True if took < 0.6 * TIMEOUT else None

    @property
    def retry_after(self) -> float:
        """What the endpoint asked for, if that surely was the last word."""
        seconds = RETRY_AFTER.get(self.attempts[-1].status or 0, 0.0)
        return seconds if seconds > DEADLINE or len(self.attempts) > RETRIES else 0.0


def process(request: Request) -> str:
    """Which process made it."""
    return request.headers["X-Stamp"].partition("/")[0]


def sent(request: Request) -> float:
    """When it was made, by the client's word; a call, before its token was looked for."""
    return float(request.headers["X-Stamp"].split()[1])


def over(request: Request) -> float:
    """The earliest moment at which the client had its answer, or gave up."""
    return min(request.ended or inf, sent(request) + TIMEOUT)


class Verdict:
    """Looks for what was wrong with a run.

    :param parent: the process that is judged in full; its children come and go.
    :param failures: the parent's.
    :param forks: how many children there were.
    """

    def __init__(self, world: World, parent: str, failures: list[Failure], forks: int) -> None:
        self._world, self._parent, self._failures, self._forks = world, parent, failures, forks
        records = world.server.token_requests
        self._asked = sorted((r for r in records if r.method), key=sent)
        self._resets = [r.started for r in records if not r.method]
        self._refusals: dict[str, float] = {}
        for call in world.server.api_requests:
            if call.status == 401 and process(call) == parent:
                self._refusals.setdefault(str(call.access_token), call.ended or inf)
        self._flights: dict[str, list[Flight]] = {}
        self._by_token: dict[str, Flight] = {}
        self._gather_flights()

    def _gather_flights(self) -> None:
        flights: dict[str, Flight] = {}
        for request in self._asked:
            if process(request) == self._parent:
                flight = flights.setdefault(request.headers["X-Stamp"].split()[0], Flight([]))
                flight.attempts.append(request)
        for flight in flights.values():
            last = flight.attempts[-1]
            self._flights.setdefault(last.params["scope"], []).append(flight)
            if last.status == 200:
                flight.token = self._world.issued.get(last.headers["X-Stamp"])
            if flight.token is not None:
                self._by_token[flight.token] = flight

    def complaints(self) -> Iterator[Complaint]:
        """Everything that was wrong."""
        yield from self._at_once()
        for scope, flights in self._flights.items():
            for moment, what in self._too_early(flights):
                yield moment, f"{scope}: {what}"
        yield from self._too_many_in_outages()
        yield from self._tokens_past_their_end()
        for failure in self._failures:
            if not self._is_excused(failure):
                yield failure.ended, str(failure)

    def _at_once(self) -> Iterator[Complaint]:
        """Two token requests at once for one TokenRequest of one process."""
        asked: dict[tuple[str, str], list[Request]] = {}
        for request in self._asked:
            asked.setdefault((process(request), request.params["scope"]), []).append(request)
        for requests in asked.values():
            for one, other in pairwise(requests):
                if sent(other) < over(one):
                    yield sent(other), "two token requests at once"

    def _too_early(self, flights: list[Flight]) -> Iterator[Complaint]:
        """A token request while a token was good and not due, or in a pause after failures.

        Together with the bound on retries that bounds their number.
        """
        last: Flight | None = None
        failures, quiet_until, hasty, rests = 0, -inf, False, True
        for flight in flights:
            start = sent(flight.attempts[0])
            if len(flight.attempts) > RETRIES + 1:
                yield start, "too many retries"
            if start < quiet_until:
                yield start, f"asked with {quiet_until - start:.2f} s of a pause left"
            if last is not None:
                age = start - sent(last.attempts[-1])
                refused = self._refusals.get(str(last.token), inf) < start
                rests = rests or refused
                due = age >= LIFETIME - RENEW_AHEAD or self._leapt(start - age, start)
                if not due and not failures:
                    hasty = True
                    if not refused:
                        yield start, f"asked {age:.2f} s after a token was got"
                    elif last.hasty:
                        yield start, f"replaced a replacement {age:.2f} s later"
            if flight.taken is False:
                failures += 1
                pause = min(0.5 * 2 ** (failures - 2), 30.0) if failures > 1 else 0.0
                quiet_until = over(flight.attempts[-1]) + max(pause, flight.retry_after)
            else:
                flight.hasty, flight.rests = hasty, rests
                last = flight if flight.taken else None
                failures, quiet_until, hasty, rests = 0, -inf, False, last is None

    def _too_many_in_outages(self) -> Iterator[Complaint]:
        """Of connections that were reset unread there is nothing to judge but their number."""
        allowed = self._forks * CALLS_OF_A_CHILD * (RETRIES + 1.0)
        for began, ended in self._world.outages:
            # One that was on its way, two without a pause, one after each doubled pause.
            flights = 3 + log2(1 + 2 * (ended - began))
            allowed += flights * len(self._flights) * (RETRIES + 1)
        if len(self._resets) > allowed:
            yield self._resets[-1], f"asked {len(self._resets)} times in outages: > {allowed:.0f}"

    def _tokens_past_their_end(self) -> Iterator[Complaint]:
        """A call with a token that had expired or been refused before the call looked for it."""
        expiry = {token.access_token: token.expires_at for token in self._world.server.tokens}
        for call in self._world.server.api_requests:
            token, end = str(call.access_token), expiry.get(str(call.access_token)) or -inf
            flight = self._by_token.get(token)
            refused = inf if flight is None or flight.rests else self._refusals.get(token, inf)
            if process(call) == self._parent:  # children know nothing of later refusals, suspends
                end = min(end, self._world.ends.get(token, inf) + JUMP, refused + LAG)
            # It may have waited for the token; if it was sent again, the stamps are the old ones.
            looked = max(sent(call), float(call.headers["X-Attached"]) - LAG)
            if end < max(looked, call.started - 2 * LAG):
                yield call.started, f"a token was used {looked - end:.2f} s after its end"

    def _is_excused(self, failure: Failure) -> bool:
        """Was there no usable token to be had?"""
        if failure.ended - failure.began > 2 * DEADLINE + LAG:
            return False
        if failure.cause == "refused":
            flight = self._by_token.get(str(failure.token))
            return flight is None or flight.rests
        if failure.cause == "no token":
            if failure.held_on and not self._leapt(failure.began, failure.ended):
                return False
            return not self._had_token(failure)
        return failure.cause == "refused twice"

    def _had_token(self, failure: Failure) -> bool:
        """Should a token have served the call, whatever the client says that it held?"""
        flights = [f for f in self._flights.get(failure.scope, []) if f.token]
        last = next((f for f in flights[::-1] if sent(f.attempts[0]) < failure.ended), None)
        if last is None or not last.taken:
            return False
        got = sent(last.attempts[-1])
        return (
            over(last.attempts[-1]) + LAG < failure.began
            and min(failure.began + LAG, failure.ended) < got + LIFETIME
            and failure.ended < self._refusals.get(str(last.token), inf)
            and not self._leapt(got, failure.ended)
        )

    def _leapt(self, since: float, until: float) -> bool:
        """Did the wall clock go forth, by which tokens expire?"""
        return any(since - LAG < leap < until for leap in self._world.leaps)
