"""What is counted of a run, and how it is judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ..testing import LocalAuthorizationServer, RecordedRequest
from .load import Call
from .settings import PERIOD, THREADS, Times


@dataclass
class Act:
    """A part of the demo."""

    name: str
    started: float
    ended: float


@dataclass
class Notes:
    """What is noted of a run, beside the server's own records."""

    times: Times
    began: float = 0.0
    calls: list[Call] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def at(self, moment: float) -> float:
        """Seconds from the beginning to a moment of the monotonic clock."""
        return round(moment - self.began, 3)


def figures_of(notes: Notes, server: LocalAuthorizationServer) -> dict[str, Any]:
    """What was counted, and how it is judged, ready for JSON."""
    api, asked = server.api_requests, server.token_requests
    moments = {
        "api_calls": [request.started for request in api],
        "api_401s": [request.started for request in api if request.status == 401],
        "token_requests": [request.started for request in asked],
        "token_requests_reset": [r.started for r in asked if r.status is None],
        "tokens_issued": [token.issued_at for token in server.tokens],
    }
    counted: dict[str, Any] = {
        "server": {name: len(found) for name, found in moments.items()},
        "callers": _as_seen(notes.calls),
        "acts": [_count_act(notes, act, moments) for act in notes.acts],
    }
    # What is asked for as soon as the first token is due, however long the first act takes, is
    # its renewal.
    due = notes.acts[0].started + notes.times.lifetime - notes.times.renew_ahead
    counted["acts"][0]["server"]["token_requests"] = sum(r.started < due for r in asked)
    reasons = [*notes.reasons, *_judge(notes.calls, asked, counted)]
    return {
        "ok": not reasons,
        "reasons": reasons,
        "seconds": notes.at(notes.acts[-1].ended),
        "settings": _settings(notes.times),
        **counted,
        "timeline": {
            "step": notes.times.step,
            **{name: _per_step(notes, found) for name, found in moments.items()},
            "events": notes.events,
        },
    }


def _count_act(notes: Notes, act: Act, moments: dict[str, list[float]]) -> dict[str, Any]:
    # A call is of the act in which it ended: it may have begun before a revocation.
    calls = [call for call in notes.calls if act.started <= call.ended < act.ended]
    return {
        "name": act.name,
        "started": notes.at(act.started),
        "ended": notes.at(act.ended),
        "server": {
            name: sum(act.started <= moment < act.ended for moment in found)
            for name, found in moments.items()
        },
        "callers": _as_seen(calls),
    }


def _as_seen(calls: list[Call]) -> dict[str, Any]:
    return {
        "calls": len(calls),
        "failed": sum(bool(call.failure) for call in calls),
        "saw_401": sum(call.status == 401 for call in calls),
        "sent_again": sum(call.refused for call in calls),
        "slowest": round(max((call.seconds for call in calls), default=0.0), 4),
    }


def _per_step(notes: Notes, moments: list[float]) -> list[int]:
    step = notes.times.step
    counts = Counter(int(notes.at(moment) / step) for moment in moments)
    return [counts[column] for column in range(int(notes.at(notes.acts[-1].ended) / step) + 1)]


def _settings(times: Times) -> dict[str, Any]:
    return {
        "threads": THREADS,
        "calls_per_second": round(THREADS / PERIOD),
        "lifetime": round(times.lifetime, 3),
        "leeway": round(times.leeway, 3),
        "renew_ahead": round(times.renew_ahead, 3),
        "latency": round(times.latency, 3),
        "api_latency": round(times.api_latency, 3),
        "outage": round(times.outage, 3),
    }


def _judge(
    calls: list[Call], asked: list[RecordedRequest], counted: dict[str, Any]
) -> Iterator[str]:
    """The reasons why a promise was broken."""
    server, callers = counted["server"], counted["callers"]
    cold = counted["acts"][0]["server"]["token_requests"]
    if cold != 1:
        yield f"the cold start took {count(cold, 'token request')}"
    if any(first.ended is None or first.ended > then.started for first, then in pairwise(asked)):
        yield "two token requests were under way at once"
    failures = [call.failure for call in calls if call.failure]
    if failures:
        of_all = f"{len(failures)} of {count(len(calls), 'call')}"
        yield f"{of_all} failed, the first with {failures[0]}"
    elif not (
        server["api_calls"] - callers["calls"] == server["api_401s"] == callers["sent_again"]
    ):
        yield "the server and the callers did not count the same calls"


def count(number: int, noun: str) -> str:
    """A number of things, in words."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
