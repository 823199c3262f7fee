"""The store when Redis fails: each process goes on by itself."""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time

import pytest
import redis
import redis.asyncio
from helpers import PATIENCE, Crowd
from redis_server import free_port, needs_redis_server
from redis_store import (  # noqa: F401 - fixtures
    KEY,
    LONG,
    PATIENT,
    PERSISTENT,
    Issuer,
    client,
    fail,
    issuer,
    long_lease,
    long_pauses,
    make_store,
    names_of,
    no_request,
    own_server,
    redis_server,
    running,
    store,
)
from test_forks import ended_well, fork

from clientcreds_requests import (
    TokenError,
)
from clientcreds_requests import redis as store_module
from clientcreds_requests.redis import RedisTokenStore

pytestmark = [
    needs_redis_server,
    # Python warns of what is shown here to work.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


def warnings_in(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def told(error):
    return f"the store fails ({error}); tokens are not shared"


def test_without_redis_each_process_asks_for_itself(issuer, caplog):
    with redis.Redis(port=free_port(), socket_timeout=5) as nowhere:
        stores = [RedisTokenStore(nowhere, timeout=PATIENT) for _ in range(3)]
    for number in range(6):
        token = stores[number % 3].get_or_fetch(KEY, issuer, None)
        assert token is issuer.tokens[number]
    assert warnings_in(caplog) == [told("ConnectionError")] * 3


@pytest.mark.parametrize("connected", [True, False])
def test_a_redis_that_hangs_is_waited_for_no_longer_than_the_timeout(
    own_server, issuer, caplog, connected
):
    client = own_server.client(**PERSISTENT)
    store = RedisTokenStore(client, timeout=0.2)
    if connected:
        store.get_or_fetch(KEY[::-1], Issuer(), None)
    threads = threading.active_count()
    own_server.signal(signal.SIGSTOP)
    began = time.monotonic()
    for number in range(5):
        assert store.get_or_fetch(KEY, issuer, None) is issuer.tokens[number]
        store.forget(KEY, issuer.tokens[number])
    assert time.monotonic() - began < PATIENCE
    assert threading.active_count() == threads
    own_server.signal(signal.SIGCONT)
    assert warnings_in(caplog) == [told("TimeoutError")]


def test_a_redis_that_hangs_while_a_token_is_got_costs_one_timeout_more(own_server, issuer):
    store = RedisTokenStore(own_server.client(socket_timeout=LONG), timeout=0.2)

    def hang():
        own_server.signal(signal.SIGSTOP)
        return issuer()

    began = time.monotonic()
    assert store.get_or_fetch(KEY, hang, None) is issuer.tokens[0]
    assert time.monotonic() - began < PATIENCE
    own_server.signal(signal.SIGCONT)


def test_a_redis_that_refuses_connections_is_not_waited_for(issuer):
    client = redis.Redis(port=free_port(), **PERSISTENT)
    began = time.monotonic()
    assert RedisTokenStore(client).get_or_fetch(KEY, issuer, None) is issuer.tokens[0]
    assert time.monotonic() - began < PATIENCE


def test_a_redis_that_takes_connections_and_says_nothing_is_not_waited_for(issuer):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        client = redis.Redis(port=mute.getsockname()[1], socket_timeout=LONG)
        store = RedisTokenStore(client, timeout=0.1)
        assert store.get_or_fetch(KEY, issuer, None) is issuer.tokens[0]


def test_a_connection_that_redis_has_closed_is_opened_again(own_server, issuer, caplog):
    with own_server.client() as client:
        store = RedisTokenStore(client, timeout=PATIENT)
        token = store.get_or_fetch(KEY, issuer, None)
        client.client_kill_filter(_type="normal", skipme=True)
        assert store.get_or_fetch(KEY, no_request, None) == token
    assert caplog.messages == []


def test_a_redis_that_is_full_is_done_without(own_server, issuer, caplog):
    with own_server.client() as client:
        client.config_set("maxmemory", 1)
        store = RedisTokenStore(client, timeout=PATIENT)
        assert store.get_or_fetch(KEY, issuer, None) is issuer.tokens[0]
    assert warnings_in(caplog) == [told("OutOfMemoryError")]


def test_a_redis_that_denies_reading_is_done_without(own_server, issuer, caplog):
    with own_server.client() as client:
        client.acl_setuser("limited", True, True, commands=["+@all", "-getrange"], keys=["*"])
    with own_server.client(username="limited", password="any") as client:
        store = RedisTokenStore(client, timeout=PATIENT)
        assert store.get_or_fetch(KEY, issuer, None) is issuer.tokens[0]
    assert warnings_in(caplog) == [told("NoPermissionError")]


def test_a_redis_that_fills_up_meanwhile_lets_the_others_go_on(own_server, issuer, monkeypatch):
    monkeypatch.setattr(store_module, "LEASE", 0.2)

    def fill():
        with own_server.client() as client:
            client.config_set("maxmemory", 1)
        return issuer()

    with own_server.client() as client:
        for number, fetch in enumerate((fill, issuer)):
            store = RedisTokenStore(client, timeout=PATIENT)
            assert store.get_or_fetch(KEY, fetch, None) is issuer.tokens[number]


def test_a_redis_that_cannot_be_written_to_still_is_read(own_server, issuer):
    with own_server.client() as client:
        store = RedisTokenStore(client, timeout=PATIENT)
        token = store.get_or_fetch(KEY, issuer, None)
        client.replicaof("127.0.0.1", free_port())
        assert store.get_or_fetch(KEY, no_request, None) == token
        assert store.get_or_fetch(KEY, issuer, token) is issuer.tokens[1]


def test_a_redis_that_was_wiped_is_filled_again(client, store, issuer):
    for number in range(2):
        assert store.get_or_fetch(KEY, issuer, None) is issuer.tokens[number]
        client.flushall()


def test_a_redis_that_has_failed_is_left_alone_for_a_second(own_server, issuer, clock, caplog):
    caplog.set_level(logging.INFO, "clientcreds_requests.redis")
    with own_server.client() as client:
        store = RedisTokenStore(client, timeout=PATIENT)
        client.config_set("maxmemory", 1)
        for _ in range(2):
            store.get_or_fetch(KEY, issuer.of(None), None)
            clock.advance(1.1)
        store.get_or_fetch(KEY, issuer.of(None), None)
        client.config_set("maxmemory", 0)
        third = RedisTokenStore(client, timeout=PATIENT)
        stored = third.get_or_fetch(KEY, issuer.of(None), None)
        assert store.get_or_fetch(KEY, issuer.of(60), None) is issuer.tokens[-1]
        clock.advance(1.1)
        assert store.get_or_fetch(KEY, no_request, None) == stored
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
        client.config_set("maxmemory", 1)
        store.get_or_fetch(KEY, issuer.of(None), stored)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "WARNING"]


def test_a_failure_read_from_redis_shows_that_it_works_again(
    own_server, issuer, clock, caplog, long_pauses
):
    caplog.set_level(logging.INFO, "clientcreds_requests.redis")
    with own_server.client() as client:
        store = RedisTokenStore(client, timeout=PATIENT)
        client.config_set("maxmemory", 1)
        store.get_or_fetch(KEY, issuer.of(None), None)
        client.config_set("maxmemory", 0)
        for _ in range(2):
            with pytest.raises(TokenError):
                RedisTokenStore(client, timeout=PATIENT).get_or_fetch(KEY, fail, None)
        clock.advance(1.1)
        with pytest.raises(TokenError, match="the endpoint is down"):
            store.get_or_fetch(KEY, no_request, None)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_c3_a_forked_child_works_with_the_store_of_its_parent(client, store, issuer):
    token = store.get_or_fetch(KEY, issuer, None)

    def child():
        assert store.get_or_fetch(KEY, no_request, None) == token
        store.get_or_fetch(KEY, issuer, token)

    assert ended_well(fork(child))
    assert store.get_or_fetch(KEY, no_request, token).access_token == "token-2"


def test_c3_a_child_works_while_a_call_hangs_in_its_parent(issuer):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.settimeout(PATIENCE)
        client = redis.Redis(port=mute.getsockname()[1], socket_timeout=LONG)
        store = RedisTokenStore(client, timeout=1)
        crowd = Crowd(1, lambda: store.get_or_fetch(KEY, issuer, None))
        connection, _ = mute.accept()
        with connection:
            assert connection.recv(1)
            assert ended_well(fork(lambda: store.get_or_fetch(KEY, Issuer(), None)))
            assert crowd.join() == issuer.tokens
