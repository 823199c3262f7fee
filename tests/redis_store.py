"""Stores on a Redis of their own, and token requests, for the tests that share them."""

from __future__ import annotations

import functools
import time

import pytest
import redis
import redis.asyncio
from helpers import PATIENCE
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from redis_server import RedisServer, free_port

from clientcreds_requests import (
    Token,
    TokenError,
    _state,
)
from clientcreds_requests import redis as store_module
from clientcreds_requests.redis import RedisTokenStore

KEY = bytes(range(32))
PATIENT = 10.0
"""The seconds that a store waits for Redis where the machine may be busy."""


@pytest.fixture(scope="module")
def running():
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_server(running):
    with running.client() as client:
        client.flushall()
    return running


@pytest.fixture
def client(redis_server):
    with redis_server.client() as client:
        yield client


@pytest.fixture
def make_store(redis_server):
    """Makes a store as another process would: with connections of its own."""

    def make(*, client_name=None, decode_responses=False, **options):
        client = redis_server.client(client_name=client_name, decode_responses=decode_responses)
        return RedisTokenStore(client, **{"timeout": PATIENT, **options})

    return make


@pytest.fixture
def store(make_store):
    return make_store()


class Issuer:
    """Stands for the token request."""

    def __init__(self) -> None:
        self.tokens = []

    def __call__(self, lifetime=3600, access_token=None):
        name = access_token or f"token-{len(self.tokens) + 1}"
        at = None if lifetime is None else time.time() + lifetime
        self.tokens.append(Token(name, expires_at=at, scope="a b", extra={"id": 7}))
        return self.tokens[-1]

    def of(self, lifetime):
        return functools.partial(self, lifetime)


@pytest.fixture
def issuer():
    return Issuer()


def no_request():
    raise AssertionError("no token request was called for")


def fail():
    raise TokenError("the endpoint is down", error="server_error", status_code=503, retryable=True)


def names_of(client):
    return sorted(name.decode().rpartition(":")[2] for name in client.scan_iter())


@pytest.fixture
def long_lease(monkeypatch):
    """A lease that does not end while a busy machine looks away."""
    monkeypatch.setattr(store_module, "LEASE", 60.0)
    monkeypatch.setattr(store_module, "LONGEST_WAIT", 60.0)


@pytest.fixture
def long_pauses(monkeypatch):
    """Pauses that do not end by themselves while a busy machine looks away."""
    monkeypatch.setattr(_state, "FIRST_PAUSE", 10.0)


# --- when Redis fails -----------------------------------------------------------------------


@pytest.fixture
def own_server():
    """A Redis that can be broken."""
    with RedisServer(port=free_port()) as server:
        yield server


LONG = 3 * PATIENCE
"""Seconds: a client that was waited for as it is set would not answer in a test's time."""
PERSISTENT = {
    "socket_timeout": LONG,
    "retry": Retry(ConstantBackoff(LONG), 3),
    "retry_on_error": [redis.ConnectionError, redis.TimeoutError],
}
