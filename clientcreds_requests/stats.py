"""What has come of a manager's token requests, in figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from .entries import Entry


class TokenStats(NamedTuple):
    """A snapshot; the counts are those since the manager was made, or its process was forked.

    A token request counts once, however many attempts and callers it had, as obtained, from a
    store, or failed. What a signal handler asks for within a token request is not counted.

    :param obtained: tokens that the token endpoint issued.
    :param from_store: tokens that a shared store had.
    :param renewed_ahead: those among both that were got while another one still served.
    :param joined: callers who waited for a token request that another had started.
    :param failed: token requests that brought no token, or none in time.
    :param refused: tokens that were forgotten because an API refused them.
    :param paused: callers who got the last error at once, while the endpoint was left alone.
    :param last_error_at: when a token request failed last, in seconds since the epoch; None if
        none has.
    :param seconds_left: of the token that is held, of the one that expires first among several;
        infinite when nobody said. None when none is held that has not expired.
    """

    obtained: int = 0
    from_store: int = 0
    renewed_ahead: int = 0
    joined: int = 0
    failed: int = 0
    refused: int = 0
    paused: int = 0
    last_error_at: float | None = None
    seconds_left: float | None = None


def stats_of(entries: Iterable[Entry]) -> TokenStats:
    """The figures of several token requests together; under the manager's lock."""
    counts: Counter[str] = Counter()
    errors: list[float] = []
    left: list[float] = []
    for entry in entries:
        counts.update(entry.counts)
        if entry.last_error_at is not None:
            errors.append(entry.last_error_at)
        token = entry.unexpired_token()
        if token is not None:
            left.append(token.seconds_left())
    return TokenStats(
        **counts,
        last_error_at=max(errors, default=None),
        seconds_left=min(left, default=None),
    )
