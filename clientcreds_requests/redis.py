"""One token for a fleet: a store on Redis, shared by any number of processes and machines."""

from __future__ import annotations

import contextlib
import functools
import logging
import random
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

from .arguments import seconds, text
from .events import log
from .exceptions import TokenError
from .redis_calls import Calls, NoAnswer, start
from .tokens import Token

try:
    import redis

    from .redis_records import LEASE, Records, Turn
    from .sealing import Seal
except ImportError as _error:
    raise ImportError(
        "clientcreds_requests.redis needs redis and cryptography: "
        "pip install 'clientcreds-requests[redis]'"
    ) from _error

logger: logging.Logger = logging.getLogger(__name__)

#: Seconds after which the token request of another process is no longer waited for.
LONGEST_FETCH = 30.0


class RedisTokenStore:
    """Shares tokens on Redis: one token request for the whole fleet, and one for each renewal.

    What lies there is encrypted and authenticated under a key that is derived from the client
    secret, among others: who could not ask for a token cannot read it. When Redis fails, each
    process goes on by itself.

    A store does not know whether it is asked by ``authorize()``: while the fleet leaves the
    endpoint alone after failures, that too raises the last error.

    :param client: a ``redis.Redis``, also one made by a ``Sentinel``, or a ``redis.RedisCluster``.
        Give it a ``socket_timeout``: a call that never ends keeps its thread, and Redis is left
        alone meanwhile.
    :param prefix: of the names of all keys.
    :param encryption_key: at least 32 random bytes, or a text made of them, the same in the whole
        fleet. A client without a secret needs it; with a secret that could be guessed it is wise.
    :param timeout: seconds that a token request waits for Redis, before it and after it, until it
        goes on alone. It is for several round trips: with a Redis more than 50 ms away it wants to
        be longer, and it counts towards the ``deadline`` of the auth.
    :raises TypeError, ValueError: for arguments that could not work.
    """

    def __init__(
        self,
        client: redis.Redis | redis.RedisCluster,
        prefix: str = "clientcreds:",
        encryption_key: bytes | str | None = None,
        *,
        timeout: float = 0.5,
    ) -> None:
        if not isinstance(client, (redis.Redis, redis.RedisCluster)):
            raise TypeError("client must be a redis.Redis or a redis.RedisCluster")
        if getattr(client, "connection", None) is not None:
            raise ValueError(
                "client: a single_connection_client serves neither threads nor forked children"
            )
        self._client: Any = client
        self._prefix = text("prefix", prefix)
        self._encryption_key = _encryption_key(encryption_key)
        #: Does the protection rest on the client secret alone?
        self.needs_secret: bool = encryption_key is None
        self._calls = Calls(seconds("timeout", timeout))
        self._warned = False

    def __getstate__(self) -> dict[str, Any]:
        """For pickles and copies: the client as it allows, and no key.

        :raises TypeError: when there is an ``encryption_key``.
        """
        if self._encryption_key:
            raise TypeError("a store with an encryption_key is neither pickled nor copied")
        return self.__dict__

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._prefix!r}>"

    def get_or_fetch(self, key: bytes, fetch: Callable[[], Token], rejected: Token | None) -> Token:
        """A token from Redis, or a new one, which is then there for the others.

        :param key: 32 bytes, as :class:`TokenStore` says.
        :param fetch: makes the token request.
        :param rejected: a token that is not to be handed out to this caller again.
        :raises TokenError: as ``fetch`` does, or as it did in another process: for those who
            waited for that, and while the fleet leaves the endpoint alone.
        """
        seal = Seal(key, self._encryption_key, self._prefix)
        del key  # a tool that shows the frames of an error shall not show it
        records = Records(self._client, seal, self._warn)
        turn = self._await_turn(records, rejected)
        if isinstance(turn, TokenError):
            raise turn
        if isinstance(turn, Token):
            log(logger, "token_from_store", token=turn)
            return turn
        put: Callable[[], None] | None = None  # interrupted: there is nothing to tell
        try:
            with self._kept(turn):
                token = fetch()
            put = functools.partial(records.put_token, token, rejected, turn)
        except TokenError as error:
            put = functools.partial(records.put_failure, error, turn)
            raise
        finally:
            self._tell(turn, put)
        return token

    def forget(self, key: bytes, token: Token) -> None:
        """Drop a token that the API has refused, for the whole fleet.

        :param key: as :meth:`get_or_fetch` takes it.
        :param token: which; another one that is stored meanwhile stays.
        """
        records = Records(self._client, Seal(key, self._encryption_key, self._prefix), self._warn)
        del key
        with contextlib.suppress(NoAnswer):
            self._calls.in_time(functools.partial(records.forget, token), urgent=True)

    def _await_turn(self, records: Records, rejected: Token | None) -> Token | TokenError | Turn:
        """What others have got, or the turn to ask."""
        began = time.monotonic()
        waited = 0.0
        while waited < LONGEST_FETCH:
            try:
                found = self._calls.in_time(lambda: records.look(rejected, began), _end)
            except NoAnswer:
                break
            if found is not None:
                return found
            waited = time.monotonic() - began
            # Soon at first, and never much later than the token is there.
            time.sleep(min(max(waited / 4, 0.02), 0.25) * random.uniform(0.5, 1))
        return Turn()

    @contextlib.contextmanager
    def _kept(self, turn: Turn) -> Generator[None]:
        """Keep the lease for as long as the token request is under way."""
        over = threading.Event()

        def keep() -> None:
            end = time.monotonic() + LONGEST_FETCH
            while not over.wait(LEASE / 3) and time.monotonic() < end:
                with contextlib.suppress(NoAnswer):
                    self._calls.in_time(turn.extend)

        keeper = start(keep) if turn.lock is not None else None
        try:
            yield
        finally:
            over.set()
            if keeper is not None:
                keeper.join()

    def _tell(self, turn: Turn, put: Callable[[], None] | None) -> None:
        """Put something there for the others, and let them go on."""

        def tell() -> None:
            try:
                if put is not None:
                    put()
            finally:
                turn.end()

        with contextlib.suppress(NoAnswer):
            self._calls.in_time(tell, urgent=True)

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            log(logger, "store_tampered")


def _end(found: Token | TokenError | Turn | None) -> None:
    """Give back a turn that nobody waits for any more."""
    if isinstance(found, Turn):
        with contextlib.suppress(Exception):
            found.end()


def _encryption_key(key: bytes | str | None) -> bytes:
    if key is None:
        return b""
    if not isinstance(key, (bytes, str)):
        raise TypeError(f"encryption_key must be bytes or a str, not {type(key).__name__}")
    encoded = key.encode() if isinstance(key, str) else key
    if len(encoded) < 32:
        raise ValueError("encryption_key is too short: pass at least 32 random bytes")
    return encoded
