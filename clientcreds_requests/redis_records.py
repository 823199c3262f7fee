"""What lies in Redis for one store key: a token, the last failure, and the lease of who asks."""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from redis.exceptions import LockError, ResponseError
from redis.lock import Lock

from .entries import Entry
from .events import log
from .exceptions import TokenError
from .sealing import LARGEST, Seal, failure_members, failure_of, token_members, token_of
from .tokens import Token

logger: logging.Logger = logging.getLogger("clientcreds_requests.redis")

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

#: Seconds by which the clocks of machines may differ; what seems older was put back by somebody.
CLOCKS = 300.0

#: What Redis says, in milliseconds, is left of what is not there.
_ABSENT = -2

# Who has lost the lease has been replaced: what lives longer is not overwritten.
_PUT_TOKEN = """
if redis.call('get', KEYS[3]) == ARGV[3] or redis.call('pttl', KEYS[1]) < tonumber(ARGV[2]) then
    redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
    redis.call('del', KEYS[2])
end
"""
_PUT_NEWS = """
if redis.call('get', KEYS[2]) == ARGV[3] then redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2]) end
"""
_FORGET = """
if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('del', KEYS[1]) end
"""

_T = TypeVar("_T")


class Turn(NamedTuple):
    """The turn to ask the endpoint: with the lease, or alone."""

    lock: Lock | None = None
    #: In a row, before this one.
    failures: int = 0

    @property
    def owner(self) -> bytes:
        """What stands in the lease while it is ours."""
        return b"" if self.lock is None else self.lock.local.token

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

    Ages are told by what is left of a key's life, since the clocks of machines differ. These are
    believed where they are the less hopeful: a token may have expired by the machine's own.

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
        try:  # something may have been put there between the look and the lease
            seen = self._read()
            found = self._choose(seen, rejected, waited)
        except BaseException:
            Turn(lock).end()
            raise
        if found is None:
            return Turn(lock, seen.failures)
        Turn(lock).end()
        return found

    def forget(self, token: Token) -> None:
        """Drop a token for all, if it still is the one that is stored."""
        value = self._client.getrange(self._seal.token, 0, LARGEST)
        stored = self._opened(self._seal.token, value, 0, _stored)
        if stored is not None and stored.token.access_token == token.access_token:
            self._client.eval(_FORGET, 1, self._seal.token, value)

    def put_token(self, token: Token, rejected: Token | None, turn: Turn) -> None:
        """Store a new token for the others; if it is for nobody else, let them know."""
        life = NO_EXPIRY if token.expires_at is None else token.seconds_left()
        seal = self._seal
        try:
            if life < 0.001 or (rejected and token.access_token == rejected.access_token):
                raise ValueError("not to be handed out again")
            value = seal.close(seal.token, _kept(life, {"token": token_members(token)}))
        except (TypeError, ValueError):
            self._put_news(_kept(HEARING, {"failures": 0}), turn)
            return
        names = (seal.token, seal.news, seal.lock)
        self._client.eval(_PUT_TOKEN, 3, *names, value, int(1000 * life), turn.owner)
        log(logger, "token_stored", token=token)

    def put_failure(self, error: TokenError, turn: Turn) -> None:
        """Let the others know of a failure."""
        entry = Entry()  # which knows for how long one process leaves the endpoint alone
        entry.failures = turn.failures
        entry.note_failure(error)
        pause = max(0.0, entry.paused_until - time.monotonic())
        failure = {"pause": pause, "failures": entry.failures, "failure": failure_members(error)}
        self._put_news(_kept(pause + MEMORY, failure), turn)

    def _put_news(self, news: dict[str, Any], turn: Turn) -> None:
        seal = self._seal
        value = seal.close(seal.news, news)
        life = int(1000 * news["kept"])
        self._client.eval(_PUT_NEWS, 2, seal.news, seal.lock, value, life, turn.owner)

    def _read(self) -> _Seen:
        seal = self._seal
        with self._client.pipeline(transaction=False) as pipe:
            for name in (seal.token, seal.news):
                pipe.getrange(name, 0, LARGEST)
                pipe.pttl(name)
            pipe.pttl(seal.lock)
            try:
                answers: list[Any] = pipe.execute(raise_on_error=False)
            except UnicodeDecodeError:  # a client that decodes has found what is no text
                answers = ["?", 0, "?", 0, _ABSENT]
        for answer in answers:
            if isinstance(answer, Exception) and not _is_of_another_type(answer):
                raise answer
        token, token_ttl, news, news_ttl, lease = answers
        return _Seen(
            self._opened(seal.token, token, token_ttl, _stored),
            self._opened(seal.news, news, news_ttl, _news),
            lease,
        )

    def _opened(
        self, name: str, value: Any, ttl: int, read: Callable[[dict[str, Any], float], _T]
    ) -> _T | None:
        """What lies there; None when that is nothing, or nothing that one of us can have put."""
        if not value or ttl == _ABSENT:
            return None
        left = ttl / 1000
        try:
            members = self._seal.open(name, value)
            kept, age = members["kept"], time.time() - members["at"]
            if not 0 <= left <= kept + 1 or age > kept + CLOCKS:
                raise ValueError("made to last, or put back")
            return read(members, left)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            self._on_foreign()
            return None

    def _choose(
        self, seen: _Seen, rejected: Token | None, waited: float
    ) -> Token | TokenError | Turn | None:
        stored, news, lease = seen
        if stored is not None:
            token = stored.token
            is_rejected = rejected is not None and token.access_token == rejected.access_token
            if not is_rejected and _serves(token, stored.life) and _is_newer(token, rejected):
                return token
        if news is not None:
            if news.failure is None:
                return Turn()  # tokens cannot be shared: everybody asks, and nobody waits
            if news.age < news.pause or news.age + _TICK < waited:
                return news.failure
        if lease != _ABSENT and not 0 <= lease <= 1000 * LEASE:
            return Turn(failures=seen.failures)  # no lease of ours: it might never end
        return None


class _Stored(NamedTuple):
    token: Token
    #: The seconds for which it was stored.
    life: float


class _News(NamedTuple):
    """What came of the last token request; no failure: a token which cannot be shared."""

    failure: TokenError | None
    failures: int
    #: Seconds, from when it was put there.
    pause: float
    age: float


class _Seen(NamedTuple):
    """What lies there; of the lease, what is left of it in milliseconds."""

    stored: _Stored | None
    news: _News | None
    lease: int

    @property
    def failures(self) -> int:
        return self.news.failures if self.news is not None else 0


def _kept(seconds: float, members: dict[str, Any]) -> dict[str, Any]:
    return {**members, "kept": seconds, "at": time.time()}


def _stored(members: dict[str, Any], left: float) -> _Stored:
    # Nothing is left of what was read without asking how long it lasts.
    return _Stored(token_of(members["token"], left), members["kept"])


def _news(members: dict[str, Any], left: float) -> _News:
    age = members["kept"] - left
    failure = failure_of(members["failure"], age) if "failure" in members else None
    return _News(failure, members["failures"], members.get("pause", 0.0), age)


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
