"""What lies in Redis for one store key: a token, the last failure, and the lease of who asks."""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from redis.exceptions import LockError, ResponseError
from redis.lock import Lock

from .entries import Entry
from .exceptions import TokenError
from .sealing import LARGEST, Seal, failure_members, failure_of, token_members, token_of
from .tokens import Token

logger = logging.getLogger("clientcreds_requests.redis")

#: Seconds after which a process that has died no longer keeps the others from asking.
LEASE = 3.0

#: Seconds for which failures in a row are remembered after their pause.
MEMORY = 60.0

#: Seconds after which whoever waited for a token request no longer hears what came of it.
HEARING = 5.0

#: Seconds for which a token is stored of which nobody knows when it expires.
NO_EXPIRY = 24 * 3600.0

#: Seconds: of all the times that Redis tells, the difference that means nothing.
_TICK = 0.001

#: What Redis says, in milliseconds, is left of what is not there.
_ABSENT = -2

_FORGET = """
if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('del', KEYS[1]) end
"""


class Turn(NamedTuple):
    """The turn to ask the endpoint: with the lease, or alone."""

    lock: Lock | None = None
    #: In a row, before this one.
    failures: int = 0

    def extend(self) -> None:
        """Keep the lease."""
        assert self.lock is not None  # who asks alone has none to keep
        with contextlib.suppress(LockError):  # it has run out: another may be asking too
            self.lock.reacquire()

    def end(self) -> None:
        """Let the others go on."""
        if self.lock is not None:
            with contextlib.suppress(LockError):
                self.lock.release()


class Records:
    """Reads and writes them; every method asks Redis, and raises what the client raises.

    Times come from Redis alone, by what is left of a key's life: clocks of machines differ.

    :param client: of Redis.
    :param seal: names them and keeps them from others.
    :param on_foreign: called when there is something that was not sealed by one of us.
    """

    def __init__(self, client: Any, seal: Seal, on_foreign: Callable[[], None]) -> None:
        self._client = client
        self._seal = seal
        self._on_foreign = on_foreign

    def look(self, rejected: Token | None, began: float) -> Token | TokenError | Turn | None:
        """What there is to go on with; None while another process is asking.

        :param rejected: a token not to be handed out again.
        :param began: the moment, on the monotonic clock, since which the caller waits.
        """
        # Before the look: what had happened by then was not waited for.
        waited = min(time.monotonic() - began, HEARING)
        seen = self._read()
        found = self._choose(seen, rejected, waited)
        if found is not None or seen.lease != _ABSENT:
            return found
        lock = Lock(self._client, self._seal.lock, timeout=LEASE, thread_local=False)
        if not lock.acquire(blocking=False, token=secrets.token_hex(16)):
            return None
        # Something may have been put there between the look and the lease.
        seen = self._read()
        found = self._choose(seen, rejected, waited)
        turn = Turn(lock, seen.failures)
        if found is None:
            return turn
        turn.end()
        return found

    def put_token(self, token: Token, rejected: Token | None) -> None:
        """Store a new token for the others; if it is for nobody else, let them know."""
        life = NO_EXPIRY if token.expires_at is None else token.seconds_left()
        try:
            if life < 0.001 or (rejected and token.access_token == rejected.access_token):
                raise ValueError("not to be handed out again")
            members = {"token": token_members(token), "life": life}
            value = self._seal.close(self._seal.token, members)
        except (TypeError, ValueError):
            self._put_news({"kept": HEARING})
            return
        with self._client.pipeline(transaction=False) as pipe:
            pipe.set(self._seal.token, value, px=int(1000 * life))
            pipe.delete(self._seal.news)
            pipe.execute()
        logger.debug("token %s is stored", token.fingerprint)

    def put_failure(self, error: TokenError, failures: int) -> None:
        """Let the others know of a failure.

        :param failures: in a row, before this one.
        """
        entry = Entry()  # which knows for how long one process leaves the endpoint alone
        entry.failures = failures
        entry.note_failure(error)
        pause = max(0.0, entry.paused_until - time.monotonic())
        self._put_news(
            {
                "kept": pause + MEMORY,
                "pause": pause,
                "failures": entry.failures,
                "failure": failure_members(error),
            }
        )

    def _put_news(self, news: dict[str, Any]) -> None:
        value = self._seal.close(self._seal.news, news)
        self._client.set(self._seal.news, value, px=int(1000 * news["kept"]))

    def _read(self) -> _Seen:
        seal = self._seal
        with self._client.pipeline(transaction=False) as pipe:
            for name in (seal.token, seal.news):
                pipe.getrange(name, 0, LARGEST)
                pipe.pttl(name)
            pipe.pttl(seal.lock)
            try:
                answers = pipe.execute(raise_on_error=False)
            except UnicodeDecodeError:  # a client that decodes has found what is no text
                answers = ["?", 0, "?", 0, _ABSENT]
        for answer in answers:
            if isinstance(answer, Exception) and not _is_of_another_type(answer):
                raise answer
        token, token_ttl, news, news_ttl, lease = answers
        return _Seen(
            token,
            self._opened(seal.token, token, token_ttl),
            token_ttl / 1000,
            self._opened(seal.news, news, news_ttl),
            news_ttl / 1000,
            lease,
        )

    def _opened(self, name: str, value: Any, ttl: int) -> dict[str, Any] | None:
        if not value or ttl == _ABSENT:
            return None
        try:
            if ttl < 0 or not isinstance(value, (str, bytes)):
                raise ValueError("we store nothing without an end")
            return self._seal.open(name, value)
        except ValueError:
            self._on_foreign()
            return None

    def _choose(
        self, seen: _Seen, rejected: Token | None, waited: float
    ) -> Token | TokenError | Turn | None:
        if seen.token is not None:
            token = token_of(seen.token["token"], seen.token_ttl)
            if rejected is not None and token.access_token == rejected.access_token:
                # For nobody else either; but only if it still is what lies there.
                self._client.eval(_FORGET, 1, self._seal.token, seen.sealed)
            elif _serves(token, seen.token["life"]) and _is_newer(token, rejected):
                return token
        if seen.news is not None:
            if "failure" not in seen.news:
                return Turn()  # tokens cannot be shared: everybody asks, and nobody waits
            age = seen.news["kept"] - seen.news_ttl
            if age < seen.news["pause"] or age + _TICK < waited:
                return failure_of(seen.news["failure"], age)
        if seen.lease != _ABSENT and not 0 <= seen.lease <= 1000 * LEASE:
            return Turn(failures=seen.failures)  # no lease of ours: it might never end
        return None


class _Seen(NamedTuple):
    """What lay there; what is left of it in seconds, and of the lease in milliseconds."""

    sealed: Any
    token: dict[str, Any] | None
    token_ttl: float
    news: dict[str, Any] | None
    news_ttl: float
    lease: int

    @property
    def failures(self) -> int:
        failures: int = (self.news or {}).get("failures", 0)
        return failures


def _serves(token: Token, life: float) -> bool:
    """Is enough left of it to be handed out? A store does not know anybody's leeway."""
    return token.seconds_left() > min(20.0, life / 10)


def _is_newer(token: Token, rejected: Token | None) -> bool:
    """Is it more than a token from before the one that is rejected?"""
    if rejected is None or token.expires_at is None or rejected.expires_at is None:
        return True
    # Two tokens may expire at the same moment, give or take the way from the endpoint.
    return token.seconds_left() > rejected.seconds_left() - 1


def _is_of_another_type(error: Exception) -> bool:
    return isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE")
