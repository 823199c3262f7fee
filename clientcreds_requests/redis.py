"""One token for many processes: a store on Redis, shared by any number of machines."""

from __future__ import annotations

import contextlib
import copy
import logging
import math
import random
import time
from collections.abc import Callable
from typing import Any, cast

from ._checks import seconds, text
from ._logs import log
from ._state import pause_after
from .exceptions import CallableError, TokenError, raise_again
from .tokens import Token

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.exceptions import LockError
    from redis.retry import Retry

    from ._sealing import LARGEST, Seal, failure_members, failure_of, token_members, token_of
except ImportError as _error:
    raise ImportError(
        "clientcreds_requests.redis needs redis and cryptography: "
        "pip install 'clientcreds-requests[redis]'"
    ) from _error

logger: logging.Logger = logging.getLogger(__name__)

#: Seconds: the lock's lease, the longest wait for another process, the rest after Redis has failed.
LEASE, LONGEST_WAIT, REST = 2.5, 10.0, 1.0
#: Seconds for which Redis keeps a failure after its pause, and a token without an expiry.
MEMORY, NO_EXPIRY = 60.0, 24 * 3600.0
# Only if it still is the value that was read: another process may have stored a new one.
_FORGET = "if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('del', KEYS[1]) end"


class RedisTokenStore:
    """Shares tokens on Redis: one token request for all processes, and one for each renewal.

    What Redis holds is encrypted and authenticated under a key derived from the client secret. If
    Redis fails, each process goes on by itself. A token request that takes longer than 2.5 seconds
    may be made by another process too. In a shared pause ``authorize()`` raises the last error.

    :param client: a ``redis.Redis`` with a ``socket_timeout``, also one made by a ``Sentinel``. Its
        settings are used, with own connections that wait no longer than ``timeout`` and retry once,
        at once (Unix sockets: redis-py 5.0.7). A ``redis.RedisCluster`` is used as it is.
    :param prefix: of the names of all keys.
    :param encryption_key: at least 32 random bytes, or a text made of them, the same in all
        processes. Needed for a client without a secret, and for a secret that could be guessed.
    :param timeout: seconds to wait for an answer; without one, Redis is not asked for a second.
    :raises TypeError, ValueError: for arguments that cannot work.
    """

    def __init__(
        self,
        client: redis.Redis | redis.RedisCluster,
        prefix: str = "clientcreds:",
        encryption_key: bytes | str | None = None,
        *,
        timeout: float = 0.5,
    ) -> None:
        secret, timeout = encryption_key, seconds("timeout", timeout)
        if not isinstance(client, (redis.Redis, redis.RedisCluster)):
            raise TypeError("client must be a redis.Redis or a redis.RedisCluster")
        if cast("Any", client).get_connection_kwargs().get("socket_timeout") is None:
            raise ValueError(
                "client has no socket_timeout: pass one, or use RedisTokenStore.from_url(url)"
            )
        if not isinstance(secret, (bytes, str, type(None))):
            raise TypeError(f"encryption_key must be bytes or a str, not {type(secret).__name__}")
        self._encryption_key = secret.encode() if isinstance(secret, str) else secret or b""
        if secret is not None and len(self._encryption_key) < 32:
            raise ValueError("encryption_key is too short: pass at least 32 random bytes")
        is_cluster = isinstance(client, redis.RedisCluster)
        self._client: Any = client if is_cluster else _own_client(client, timeout)
        self._prefix, self._rests_until, self._fails = text("prefix", prefix), -math.inf, False
        #: True if the protection rests on the client secret alone.
        self.needs_secret: bool = secret is None

    @classmethod
    def from_url(cls, url: str, **options: Any) -> RedisTokenStore:
        """Make a store from a URL, as ``redis.Redis.from_url`` takes it, and options as above."""
        limits = {"socket_timeout": options.get("timeout", 0.5)}
        return cls(cast("Any", redis.Redis).from_url(url, **limits), **options)

    def __getstate__(self) -> dict[str, Any]:
        if self._encryption_key:
            raise TypeError("a store with an encryption_key is neither pickled nor copied")
        return self.__dict__

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._prefix!r}>"

    def get_or_fetch(self, key: bytes, fetch: Callable[[], Token], rejected: Token | None) -> Token:
        """Return a token from Redis, or a new one, stored for the others; see :class:`TokenStore`.

        :param fetch: if it has ``until``, no wait takes more than half of the time to that moment.
        :raises TokenError: as ``fetch`` does, here or in another process; and while all pause.
        """
        seal = Seal(key + self._encryption_key, self._prefix)
        del key  # tools that show the frames of an error would show it
        lock = self._client.lock(seal.lock, timeout=LEASE, thread_local=False)
        longest = min(LONGEST_WAIT, (getattr(fetch, "until", math.inf) - time.monotonic()) / 2)
        outcome: Token | TokenError | None = None
        try:
            token: Token | None = self._ask(lambda: self._find(seal, lock, rejected, longest))
            if token is None:
                try:
                    token = outcome = fetch()
                except TokenError as error:
                    outcome = error
                    raise
            return token
        finally:
            if outcome is not None or lock.local.token:
                self._ask(lambda: self._tell(seal, lock, outcome))

    def forget(self, key: bytes, token: Token) -> None:
        """Drop a token that the API has refused, for all processes, if the key has it."""
        seal = Seal(key + self._encryption_key, self._prefix)
        del key

        def drop() -> None:
            value = self._client.getrange(seal.token, 0, LARGEST)
            stored = token_of(seal.open(seal.token, value), 1)
            if stored is not None and stored.access_token == token.access_token:
                self._client.eval(_FORGET, 1, seal.token, value)

        self._ask(drop)

    def _ask(self, work: Callable[[], Any]) -> Any:
        """Return what Redis answers; None if it fails, or is left alone since it has failed."""
        if time.monotonic() < self._rests_until:
            return None
        reason = None
        try:
            return work()
        except TokenError:  # which another process has met
            raise
        except Exception as error:  # no call of the user's fails because of Redis
            reason = type(error).__name__
            self._rests_until = time.monotonic() + REST
        finally:
            if self._fails != bool(reason):
                self._fails = bool(reason)
                log(logger, "store_failed" if reason else "store_recovered", reason=reason)
        return None

    def _find(self, seal: Seal, lock: Any, rejected: Token | None, longest: float) -> Token | None:
        """Return another process's token, or None if the caller has to ask; or raise a failure."""
        began, waited = time.monotonic(), 0.0
        while True:
            with self._client.pipeline(transaction=False) as pipe:
                for name in (seal.token, seal.failure):
                    pipe.getrange(name, 0, LARGEST)
                    pipe.pttl(name)
                value, left, news_value, news_left = pipe.execute()
            if waited:  # also for this look, which may have taken long
                waited = max(waited, time.monotonic() - began)
            token = token_of(seal.open(seal.token, value), left)
            if token and (rejected is None or token.access_token != rejected.access_token):
                return token
            news = seal.open(seal.failure, news_value)
            if news:
                if news["failure"] is None:
                    return None  # tokens cannot be shared: no process waits
                age = news["pause"] + MEMORY - news_left / 1000
                if 0 <= age < max(news["pause"], waited):
                    raise_again(failure_of(news["failure"]), age)
            if lock.local.token or waited >= longest:
                return None
            if not lock.acquire(blocking=False):
                time.sleep(min(max(waited / 4, 0.02), 0.2) * random.uniform(0.5, 1))
                waited += 0.01  # the clock may be frozen
            # Holding the lock, look again: something may have been stored before it was acquired.

    def _tell(self, seal: Seal, lock: Any, outcome: Token | TokenError | None) -> None:
        """Store an outcome for the others, and let them go on."""
        news: dict[str, Any] = {}
        if isinstance(outcome, Token):
            left = NO_EXPIRY if outcome.expires_at is None else outcome.seconds_left()
            kept_ms = int(1000 * left)
            value = seal.close(seal.token, token_members(outcome, kept_ms))
            if kept_ms < 1000 or len(value) > LARGEST:
                news = {"failure": None, "pause": 0.0}
            else:
                self._client.set(seal.token, value, px=kept_ms)
                self._client.delete(seal.failure)
                log(logger, "token_stored", token=outcome)
        elif outcome and lock.local.token and not isinstance(outcome, CallableError):
            before = seal.open(seal.failure, self._client.getrange(seal.failure, 0, LARGEST))
            failures = before.get("failures", 0) + 1
            pause = pause_after(failures, outcome.retry_after)
            news = {"failures": failures, "pause": pause, "failure": failure_members(outcome)}
        if news:
            kept_ms = int(1000 * (news["pause"] + MEMORY))
            self._client.set(seal.failure, seal.close(seal.failure, news), px=kept_ms)
        with contextlib.suppress(LockError):  # not held, or not any more
            lock.release()


def _own_client(client: Any, timeout: float) -> Any:
    """Return a client with the same settings, and connections that wait and retry only briefly."""
    pool: Any = client.connection_pool
    foreign = ("connection_pool", "maint_", "orig_", "oss_", "retry")  # of the pool itself
    own = {k: v for k, v in pool.connection_kwargs.items() if not k.startswith(foreign)}
    for name in ("socket_timeout", "socket_connect_timeout"):
        own[name] = min(own.get(name) or timeout, timeout)
    # Once more, at once: the server may have closed an idle connection.
    once = Retry(NoBackoff(), 1, (redis.ConnectionError,))
    own |= {"retry": once, "retry_on_error": [redis.ConnectionError], "decode_responses": False}
    if not hasattr(pool, "sentinel_manager"):
        return redis.Redis(connection_pool=redis.ConnectionPool(pool.connection_class, **own))
    sentinel = copy.copy(pool.sentinel_manager)
    sentinel.sentinels = [_own_client(one, timeout) for one in sentinel.sentinels]
    return sentinel.master_for(pool.service_name, connection_class=pool.connection_class, **own)
