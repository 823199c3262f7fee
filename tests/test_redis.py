"""The store on Redis, with a real one: two stores in one process stand for two processes."""

from __future__ import annotations

import copy
import functools
import logging
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import redis
import redis.asyncio
import requests
from helpers import PATIENCE, Crowd, together, token_answer, until
from redis.sentinel import Sentinel
from redis_server import ONCE, RedisServer, free_port, needs_redis_server
from test_forks import ended_well, fork

from clientcreds_requests import (
    TLSClientAuth,
    Token,
    TokenConnectionError,
    TokenError,
    entries,
    redis_records,
)
from clientcreds_requests import redis as store_module
from clientcreds_requests.redis import RedisTokenStore
from clientcreds_requests.redis_calls import Calls, NoAnswer
from clientcreds_requests.redis_records import LEASE, MEMORY, NO_EXPIRY, Records, Turn
from clientcreds_requests.sealing import LARGEST, Seal
from clientcreds_requests.testing import Answer

pytestmark = [
    needs_redis_server,
    # Python warns of what is shown here to work.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]

KEY = bytes(range(32))
SEAL = Seal(KEY, b"", "clientcreds:")
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
    clients = []

    def make(*, decode_responses=False, **options):
        clients.append(redis_server.client(decode_responses=decode_responses))
        return RedisTokenStore(clients[-1], **{"timeout": PATIENT, **options})

    yield make
    for client in clients:
        client.close()


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


def threads_for_redis():
    return [t for t in threading.enumerate() if t.name == "clientcreds-requests-redis"]


def age(client, seconds):
    """Let a failure become older."""
    client.pexpire(SEAL.news, client.pttl(SEAL.news) - int(1000 * seconds))


# --- a token for all ------------------------------------------------------------------------


def test_l6_a_second_process_takes_the_token_of_the_first(make_store, issuer):
    token = make_store().get_or_fetch(KEY, issuer, None)
    again = make_store().get_or_fetch(KEY, no_request, None)
    assert again == token
    assert again.extra == token.extra


def test_a_token_is_stored_for_as_long_as_it_lives(client, store, issuer):
    store.get_or_fetch(KEY, issuer.of(100), None)
    assert 90_000 < client.pttl(SEAL.token) <= 100_000


def test_a_token_without_an_end_is_stored_for_a_day(client, store, issuer):
    store.get_or_fetch(KEY, issuer.of(None), None)
    assert 0 < client.pttl(SEAL.token) <= 1000 * NO_EXPIRY
    token = store.get_or_fetch(KEY, no_request, None)
    assert token.expires_at is None


def test_a_token_lives_no_longer_than_redis_says(client, store, issuer):
    store.get_or_fetch(KEY, issuer, None)
    client.pexpire(SEAL.token, 1_800_000)
    assert store.get_or_fetch(KEY, no_request, None).seconds_left() <= 1800


def test_what_is_about_to_expire_is_not_handed_out(client, store, issuer):
    store.get_or_fetch(KEY, issuer, None)
    client.pexpire(SEAL.token, 19_000)
    assert store.get_or_fetch(KEY, issuer, None) is issuer.tokens[1]
    store.get_or_fetch(KEY, issuer.of(10), issuer.tokens[1])
    assert store.get_or_fetch(KEY, no_request, None) == issuer.tokens[2]


def test_what_is_asked_for_otherwise_is_another_token(store, issuer):
    store.get_or_fetch(KEY, issuer, None)
    assert store.get_or_fetch(KEY[::-1], issuer, None) is issuer.tokens[1]


def test_an_encryption_key_keeps_fleets_apart(make_store, issuer):
    for options in ({}, {"encryption_key": "k" * 32}, {"encryption_key": b"l" * 32}):
        make_store(**options).get_or_fetch(KEY, issuer, None)
    assert len(issuer.tokens) == 3
    make_store(encryption_key=b"k" * 32).get_or_fetch(KEY, no_request, None)


def test_prefixes_keep_fleets_apart(client, make_store, issuer):
    for prefix in ("one:", "two{}:"):
        make_store(prefix=prefix).get_or_fetch(KEY, issuer, None)
        make_store(prefix=prefix).get_or_fetch(KEY, no_request, None)
    assert len(issuer.tokens) == 2
    assert len(client.keys("one:*")) == len(client.keys("two{}:*")) == 1


def test_a_client_that_decodes_what_it_reads_will_do(make_store, issuer):
    token = make_store(decode_responses=True).get_or_fetch(KEY, issuer, None)
    other = make_store(decode_responses=True)
    assert other.get_or_fetch(KEY, no_request, None) == token
    assert other.get_or_fetch(KEY, issuer, token) is issuer.tokens[1]


def test_a_forked_child_works_with_the_store_of_its_parent(client, store, issuer):
    token = store.get_or_fetch(KEY, issuer, None)

    def child():
        assert store.get_or_fetch(KEY, no_request, None) == token
        store.get_or_fetch(KEY, issuer, token)

    assert ended_well(fork(child))
    assert store.get_or_fetch(KEY, no_request, token).access_token == "token-2"


# --- a token that is refused or due ---------------------------------------------------------


def test_a_due_token_stays_for_the_others_until_there_is_another(make_store, issuer):
    token = make_store().get_or_fetch(KEY, issuer, None)

    def look():
        assert make_store().get_or_fetch(KEY, no_request, None) == token
        return issuer()

    assert make_store().get_or_fetch(KEY, look, token) is issuer.tokens[1]
    assert make_store().get_or_fetch(KEY, no_request, None) == issuer.tokens[1]


def test_a_due_token_outlives_a_renewal_that_fails(make_store, issuer):
    token = make_store().get_or_fetch(KEY, issuer, None)
    with pytest.raises(TokenError):
        make_store().get_or_fetch(KEY, fail, token)
    assert make_store().get_or_fetch(KEY, no_request, None) == token


@pytest.mark.parametrize("decode_responses", [False, True])
def test_a_refused_token_is_dropped_for_all(client, make_store, issuer, decode_responses):
    token = make_store().get_or_fetch(KEY, issuer, None)
    store = make_store(decode_responses=decode_responses)
    store.forget(KEY, token)
    assert not client.exists(SEAL.token)
    store.forget(KEY, token)
    assert store.get_or_fetch(KEY, issuer, token) is issuer.tokens[1]


def test_only_the_token_that_was_refused_is_dropped(make_store, issuer):
    token = make_store().get_or_fetch(KEY, issuer, None)
    renewed = make_store().get_or_fetch(KEY, issuer, token)
    make_store().forget(KEY, token)
    assert make_store().get_or_fetch(KEY, no_request, None) == renewed


def test_a_newer_token_is_taken_by_whoever_still_has_the_one_before(make_store, issuer):
    token = make_store().get_or_fetch(KEY, issuer, None)
    renewed = make_store().get_or_fetch(KEY, issuer, token)
    assert make_store().get_or_fetch(KEY, no_request, token) == renewed


def test_of_two_that_expire_together_the_other_one_is_taken(make_store, issuer):
    token = make_store().get_or_fetch(KEY, issuer.of(3600.1), None)
    make_store().get_or_fetch(KEY, issuer.of(3600), token)
    assert make_store().get_or_fetch(KEY, no_request, token) == issuer.tokens[1]


def test_an_older_token_is_not_taken_for_a_newer_one_that_was_rejected(make_store, issuer):
    make_store().get_or_fetch(KEY, issuer, None)
    alone = issuer(3700)
    assert make_store().get_or_fetch(KEY, issuer, alone) is issuer.tokens[2]


@pytest.mark.parametrize(("stored", "rejected"), [(None, 60), (60, None), (None, None)])
def test_tokens_without_an_end_are_as_good_as_any_other(make_store, issuer, stored, rejected):
    make_store().get_or_fetch(KEY, issuer.of(stored), None)
    assert make_store().get_or_fetch(KEY, no_request, issuer(rejected)) == issuer.tokens[0]


def test_a_token_that_replaced_the_refused_one_meanwhile_stays(client, make_store, issuer):
    token = make_store().get_or_fetch(KEY, issuer, None)
    first, second = make_store(), make_store()
    held = threading.Event(), threading.Event()

    class Slow(redis.Redis):
        def eval(self, *arguments):
            held[0].set()
            held[1].wait(PATIENCE)
            return super().eval(*arguments)

    slow = Slow(connection_pool=first._client.connection_pool)
    first._client = slow
    crowd = Crowd(1, lambda: first.forget(KEY, token))
    assert held[0].wait(PATIENCE)
    renewed = second.get_or_fetch(KEY, issuer, token)
    held[1].set()
    assert crowd.join() == [None]
    assert make_store().get_or_fetch(KEY, no_request, None) == renewed


def test_a_token_that_is_handed_out_again_by_the_endpoint_is_not_shared(client, store, issuer):
    token = store.get_or_fetch(KEY, issuer, None)
    again = functools.partial(issuer, access_token=token.access_token)
    for number in (1, 2):
        assert store.get_or_fetch(KEY, again, token) is issuer.tokens[number]


# --- what was overtaken, put back or made to last -------------------------------------------


@pytest.fixture
def overtaken(make_store, client):
    """Has a fetch go on while its lease is lost and another process comes first."""

    def run(fetch, meanwhile):
        def slow():
            client.delete(SEAL.lock)  # as it runs out when the process stands still
            meanwhile()
            return fetch()

        return make_store().get_or_fetch(KEY, slow, None)

    return run


def test_who_lost_the_lease_does_not_overwrite_what_lives_longer(make_store, overtaken, issuer):
    newer = []
    overtaken(
        issuer.of(600), lambda: newer.append(make_store().get_or_fetch(KEY, issuer.of(900), None))
    )
    assert make_store().get_or_fetch(KEY, no_request, None) == newer[0]


def test_who_lost_the_lease_still_stores_what_lives_longer(make_store, overtaken, issuer):
    token = overtaken(issuer.of(900), lambda: make_store().get_or_fetch(KEY, issuer.of(600), None))
    assert make_store().get_or_fetch(KEY, no_request, None) == token


def test_who_lost_the_lease_tells_nobody_of_its_failure(client, make_store, overtaken, issuer):
    def fail_for_long():
        raise TokenError("too many requests", status_code=429, retryable=True, retry_after=60.0)

    with pytest.raises(TokenError):
        overtaken(fail_for_long, lambda: make_store().get_or_fetch(KEY, issuer, None))
    assert not client.exists(SEAL.news)


@pytest.mark.parametrize("seconds", [100, 10 * 365 * 24 * 3600])
def test_a_failure_that_was_made_to_last_is_a_miss(client, make_store, issuer, seconds):
    with pytest.raises(TokenError):
        make_store().get_or_fetch(KEY, fail, None)
    assert client.pexpire(SEAL.news, 1000 * seconds)
    assert make_store().get_or_fetch(KEY, issuer, None) is issuer.tokens[0]


@pytest.mark.parametrize("lifetime", [60, None])
def test_a_token_that_was_made_to_last_is_a_miss(client, make_store, issuer, lifetime):
    make_store().get_or_fetch(KEY, issuer.of(lifetime), None)
    assert client.pexpire(SEAL.token, 1000 * 48 * 3600)
    assert make_store().get_or_fetch(KEY, issuer, None) is issuer.tokens[1]


def test_what_is_put_back_after_its_time_is_a_miss(client, make_store, issuer, clock):
    make_store().get_or_fetch(KEY, issuer.of(None), None)
    value = client.get(SEAL.token)
    clock.advance(24 * 3600 + 301)
    client.set(SEAL.token, value, px=60_000)
    assert make_store().get_or_fetch(KEY, issuer, None) is issuer.tokens[1]


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"token": {"access_token": "t", "colour": "red"}, "kept": 60, "at": time.time()},
        {"token": {"access_token": 5}, "kept": 60, "at": time.time()},
        {"token": [], "kept": 60, "at": time.time()},
        {"token": {"access_token": "t"}, "kept": "long", "at": time.time()},
    ],
    ids=lambda members: str(members)[:30],
)
def test_what_a_peer_of_another_version_sealed_is_a_miss_and_written_over(
    client, make_store, issuer, caplog, members
):
    client.set(SEAL.token, SEAL.close(SEAL.token, members), px=50_000)
    token = make_store().get_or_fetch(KEY, issuer, None)
    assert make_store().get_or_fetch(KEY, no_request, None) == token
    assert ["none of us can have put there" in r.message for r in caplog.records] == [True]


@pytest.mark.parametrize("failure", [{"kind": "NewError", "retry_after": None}, {}, "x"], ids=str)
def test_a_failure_that_a_peer_of_another_version_sealed_is_a_miss(
    client, make_store, issuer, failure
):
    members = {"failure": failure, "failures": 1, "pause": 9, "kept": 60, "at": time.time()}
    client.set(SEAL.news, SEAL.close(SEAL.news, members), px=59_000)
    assert make_store().get_or_fetch(KEY, issuer, None) is issuer.tokens[0]


@pytest.fixture
def interrupted(make_store):
    """Makes a store that does something else before its second look."""

    def make(before):
        store, looks = make_store(), []

        class Interrupted(redis.Redis):
            def pipeline(self, *arguments, **options):
                looks.append(1)
                if len(looks) == 2:
                    before()
                return super().pipeline(*arguments, **options)

        store._client = Interrupted(connection_pool=store._client.connection_pool)
        return store

    return make


def test_a_lease_whose_holder_cannot_look_again_is_given_back(interrupted, client, issuer):
    def lose():
        raise redis.ConnectionError("lost")

    assert interrupted(lose).get_or_fetch(KEY, issuer, None) is issuer.tokens[0]
    assert not client.exists(SEAL.lock)


def test_a_token_that_comes_between_the_look_and_the_lease_is_taken(
    interrupted, make_store, client, issuer
):
    token = make_store().get_or_fetch(KEY, issuer, None)
    value = client.getdel(SEAL.token)
    store = interrupted(lambda: client.set(SEAL.token, value, px=3_000_000))
    assert store.get_or_fetch(KEY, no_request, None) == token
    assert not client.exists(SEAL.lock)


# --- waiting for the others -----------------------------------------------------------------


class Asking:
    """A process that is asking: its request is held until it is told the outcome."""

    def __init__(self, store, rejected=None) -> None:
        self._arrived, self._released = threading.Event(), threading.Event()
        self.crowd = Crowd(1, lambda: store.get_or_fetch(KEY, self._fetch, rejected))
        assert self._arrived.wait(PATIENCE)

    def _fetch(self):
        self._arrived.set()
        assert self._released.wait(3 * PATIENCE)  # longer than anybody waits for its end
        return self._outcome()

    def end(self, outcome):
        self._outcome = outcome
        self._released.set()
        return self.crowd.join()[0]


class Waiting:
    """A process that waits for another's token."""

    def __init__(self, store, fetch=no_request, rejected=None) -> None:
        client, looked = store._client, threading.Event()
        pipeline = client.pipeline

        def watched(*arguments, **settings):
            looked.set()
            return pipeline(*arguments, **settings)

        client.pipeline = watched
        self.crowd = Crowd(1, lambda: store.get_or_fetch(KEY, fetch, rejected))
        assert looked.wait(PATIENCE)
        looked.clear()
        assert looked.wait(PATIENCE)  # again: it did not get the turn

    def join(self):
        return self.crowd.join()[0]


def test_c1_who_waits_gets_the_token_of_the_one_who_asks(make_store, issuer):
    asking = Asking(make_store())
    waiting = [Waiting(make_store()) for _ in range(3)]
    token = asking.end(issuer)
    assert [process.join() for process in waiting] == [token] * 3


def test_who_waits_hears_of_a_failure(make_store):
    asking = Asking(make_store())
    waiting = [Waiting(make_store()) for _ in range(3)]
    error = asking.end(fail)
    for process in waiting:
        heard = process.join()
        assert type(heard) is TokenError
        assert heard is not error
        assert str(heard) == "the endpoint is down"
        assert (heard.error, heard.status_code, heard.retryable) == ("server_error", 503, True)


def test_who_waits_longer_than_any_token_request_may_take_asks(
    client, make_store, issuer, monkeypatch
):
    asking = Asking(make_store())
    monkeypatch.setattr(store_module, "LONGEST_FETCH", 0.1)
    assert make_store().get_or_fetch(KEY, issuer, None) is issuer.tokens[0]
    assert client.exists(SEAL.lock)
    asking.end(issuer)


def test_the_lease_is_extended_while_the_request_is_under_way(client, make_store, issuer):
    asking = Asking(make_store())
    until(lambda: client.pttl(SEAL.lock) < 1000 * LEASE * 0.8)
    until(lambda: client.pttl(SEAL.lock) > 1000 * LEASE * 0.8)
    asking.end(issuer)
    assert not client.exists(SEAL.lock)
    assert threads_for_redis() == []


def test_the_lease_is_not_extended_for_ever(client, make_store, issuer, monkeypatch):
    monkeypatch.setattr(store_module, "LONGEST_FETCH", 0.1)
    asking = Asking(make_store())
    until(lambda: not client.exists(SEAL.lock))
    asking.end(issuer)


def test_a_token_is_stored_also_when_the_lease_was_lost(client, make_store, issuer):
    def lose():
        client.delete(SEAL.lock)
        return issuer()

    token = make_store().get_or_fetch(KEY, lose, None)
    assert make_store().get_or_fetch(KEY, no_request, None) == token


def test_a_lease_that_was_lost_is_not_a_failure_of_redis(client, make_store, issuer, caplog):
    asking = Asking(make_store())
    client.delete(SEAL.lock)
    until(lambda: client.info("commandstats").get("cmdstat_evalsha"))
    asking.end(issuer)
    assert caplog.messages == []


def test_a_lease_of_another_is_not_ended(client, make_store, issuer):
    def lose():
        client.set(SEAL.lock, "another's", px=1000)
        return issuer()

    make_store().get_or_fetch(KEY, lose, None)
    assert client.get(SEAL.lock) == b"another's"


@pytest.mark.parametrize("px", [None, int(1000 * LEASE) + 60_000])
def test_a_lease_that_is_not_ours_and_might_never_end_is_not_waited_for(
    client, make_store, issuer, px
):
    client.set(SEAL.lock, "who knows", px=px)
    token = make_store().get_or_fetch(KEY, issuer, None)
    assert make_store().get_or_fetch(KEY, no_request, None) == token


def test_two_looks_at_the_same_moment_make_one_request(make_store, issuer):
    stores = [make_store() for _ in range(8)]
    token = None
    for _ in range(20):
        mine = iter(stores)
        look = functools.partial(
            RedisTokenStore.get_or_fetch, key=KEY, fetch=issuer, rejected=token
        )
        got = together(8, lambda mine=mine, look=look: look(next(mine)))
        token = issuer.tokens[-1]
        assert got == [token] * 8
    assert len(issuer.tokens) == 20


class Interrupt(BaseException):
    pass


def test_c2_an_interrupt_in_the_one_who_asks_does_not_strand_the_others(client, store, issuer):
    def interrupted():
        raise Interrupt

    with pytest.raises(Interrupt):
        store.get_or_fetch(KEY, interrupted, None)
    assert not client.exists(SEAL.lock)
    assert store.get_or_fetch(KEY, issuer, None)


# --- tokens that cannot be shared -----------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: Token("brief", expires_at=time.time()),
        lambda: Token("long" * LARGEST, expires_at=time.time() + 60),
        lambda: Token("odd", expires_at=time.time() + 60, extra={"what": object()}),
    ],
    ids=["a3 no life left", "too long", "no JSON"],
)
def test_what_cannot_be_stored_lets_the_others_ask_at_once(client, make_store, issuer, make):
    asking = Asking(make_store())
    meet = threading.Barrier(3)

    def fetch():
        meet.wait(PATIENCE)  # nobody waits for another
        return issuer()

    waiting = [Waiting(make_store(), fetch) for _ in range(3)]
    asking.end(make)
    assert {process.join() for process in waiting} == set(issuer.tokens)
    assert len(issuer.tokens) == 3


def test_that_tokens_cannot_be_shared_is_not_believed_for_ever(client, make_store, issuer):
    asking = Asking(make_store())
    client.set(SEAL.news, SEAL.close(SEAL.news, {"kept": 5.0}))
    waiting = Waiting(make_store())
    assert asking.end(issuer) == waiting.join()


# --- failures -------------------------------------------------------------------------------


def test_f3_a_first_failure_is_not_heard_by_who_did_not_wait(make_store, issuer):
    with pytest.raises(TokenError):
        make_store().get_or_fetch(KEY, fail, None)
    assert make_store().get_or_fetch(KEY, issuer, None) is issuer.tokens[0]


@pytest.fixture
def long_pauses(monkeypatch):
    """Pauses that do not end by themselves while a busy machine looks away."""
    monkeypatch.setattr(entries, "FIRST_PAUSE", 10.0)


def test_f3_after_a_second_failure_the_fleet_leaves_the_endpoint_alone(
    client, make_store, issuer, long_pauses
):
    for _ in range(2):
        with pytest.raises(TokenError):
            make_store().get_or_fetch(KEY, fail, None)
    heard = []
    for _ in range(2):
        with pytest.raises(TokenError, match="the endpoint is down") as caught:
            make_store().get_or_fetch(KEY, no_request, None)
        heard.append(caught.value)
    assert heard[0] is not heard[1]
    age(client, 15)
    assert make_store().get_or_fetch(KEY, issuer, None) is issuer.tokens[0]


def test_f3_pauses_grow_and_a_token_ends_them(client, make_store, issuer, long_pauses):
    pauses = []
    for _ in range(20):
        with pytest.raises(TokenError):
            make_store().get_or_fetch(KEY, fail, None)
        pauses.append(client.pttl(SEAL.news) / 1000 - MEMORY)
        age(client, pauses[-1] + 1)
    assert pauses[0] <= 0 < pauses[1] < pauses[2] < pauses[-1] <= 30
    assert make_store().get_or_fetch(KEY, issuer, None)
    assert not client.exists(SEAL.news)


def test_f3_failures_of_long_ago_are_forgotten(client, make_store):
    with pytest.raises(TokenError):
        make_store().get_or_fetch(KEY, fail, None)
    assert client.pttl(SEAL.news) <= 1000 * MEMORY


def test_f2_the_fleet_does_as_retry_after_says(client, make_store, issuer):
    def busy():
        raise TokenConnectionError("busy", retry_after=90)

    with pytest.raises(TokenConnectionError):
        make_store().get_or_fetch(KEY, busy, None)
    age(client, 40)
    with pytest.raises(TokenConnectionError, match="busy") as caught:
        make_store().get_or_fetch(KEY, no_request, None)
    assert 40 < caught.value.retry_after <= 50
    age(client, 50)
    assert make_store().get_or_fetch(KEY, issuer, None)


def test_a_token_at_hand_is_better_than_a_failure(make_store, issuer):
    token = make_store().get_or_fetch(KEY, issuer, None)
    longer = issuer(3700)
    for _ in range(2):
        with pytest.raises(TokenError):
            make_store().get_or_fetch(KEY, fail, longer)
    assert make_store().get_or_fetch(KEY, no_request, None) == token


def test_who_slept_meanwhile_does_not_hear_of_an_old_failure(client, make_store):
    with pytest.raises(TokenError):
        make_store().get_or_fetch(KEY, fail, None)
    age(client, 6)
    records = Records(client, SEAL, no_request)
    assert isinstance(records.look(None, time.monotonic() - 3600), Turn)


# --- what was tampered with -----------------------------------------------------------------


def spoil_names(client, value, **options):
    for name in (SEAL.token, SEAL.news):
        client.set(name, value, **options)


@pytest.mark.parametrize("decode_responses", [False, True])
@pytest.mark.parametrize(
    "value",
    [b"nonsense", b"\xff\xfe", b"A" * 400, b"x" * 10 * LARGEST, SEAL.close(SEAL.lock, {})],
    ids=["no base64", "no text", "not sealed", "huge", "of another name"],
)
def test_a_value_that_is_not_ours_is_a_miss_and_told_once(
    client, make_store, issuer, caplog, value, decode_responses
):
    store = make_store(decode_responses=decode_responses)
    for number in range(2):
        spoil_names(client, value, px=60_000)
        assert store.get_or_fetch(KEY, issuer, None) is issuer.tokens[number]
        assert store.get_or_fetch(KEY, no_request, None) == issuer.tokens[number]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.records[0].name == "clientcreds_requests.redis"
    assert str(value)[:9] not in caplog.text


def test_a_value_cut_off_or_of_another_secret_is_a_miss(client, make_store, issuer):
    make_store().get_or_fetch(KEY, issuer, None)
    client.set(SEAL.token, client.get(SEAL.token)[:-4], keepttl=True)
    assert make_store().get_or_fetch(KEY, issuer, None) is issuer.tokens[1]
    other = Seal(KEY[::-1], b"", "clientcreds:")
    make_store().get_or_fetch(KEY[::-1], issuer, None)
    client.copy(other.token, SEAL.token, replace=True)
    assert make_store().get_or_fetch(KEY, issuer, None) is issuer.tokens[3]


def test_a_value_without_an_end_is_a_miss(client, make_store, issuer):
    make_store().get_or_fetch(KEY, issuer, None)
    client.persist(SEAL.token)
    assert make_store().get_or_fetch(KEY, issuer, None) is issuer.tokens[1]


def test_a_key_of_another_type_is_a_miss(client, make_store, issuer):
    for name in (SEAL.token, SEAL.news):
        client.rpush(name, "element")
    assert make_store().get_or_fetch(KEY, issuer, None) is issuer.tokens[0]
    assert make_store().get_or_fetch(KEY, no_request, None) == issuer.tokens[0]


# --- when Redis fails -----------------------------------------------------------------------


@pytest.fixture
def own_server():
    """A Redis that can be broken."""
    with RedisServer() as server:
        yield server


def warnings_in(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def test_without_redis_each_process_asks_for_itself(issuer, caplog):
    with redis.Redis(port=free_port(), retry=ONCE) as nowhere:
        stores = [RedisTokenStore(nowhere, timeout=PATIENT) for _ in range(3)]
        for number in range(6):
            token = stores[number % 3].get_or_fetch(KEY, issuer, None)
            assert token is issuer.tokens[number]
    told = "the store fails (ConnectionError): token requests are not shared"
    assert warnings_in(caplog) == [told] * 3


@pytest.mark.parametrize("socket_timeout", [None, 0.05])
def test_a_redis_that_hangs_is_not_waited_for(own_server, issuer, socket_timeout):
    with own_server.client(socket_timeout=socket_timeout, retry=ONCE) as client:
        client.ping()
        store = RedisTokenStore(client, timeout=0.1)
        own_server.signal(signal.SIGSTOP)
        for number in range(5):
            assert store.get_or_fetch(KEY, issuer, None) is issuer.tokens[number]
        assert len(threads_for_redis()) <= 1
        own_server.signal(signal.SIGCONT)
        until(lambda: threads_for_redis() == [])


def test_a_redis_that_takes_connections_and_says_nothing_is_not_waited_for(issuer):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        client = redis.Redis(port=mute.getsockname()[1], socket_timeout=0.5, retry=ONCE)
        store = RedisTokenStore(client, timeout=0.1)
        assert store.get_or_fetch(KEY, issuer, None) is issuer.tokens[0]
    until(lambda: threads_for_redis() == [])


def test_a_redis_that_is_full_is_done_without(own_server, issuer, caplog):
    with own_server.client() as client:
        client.config_set("maxmemory", 1)
        store = RedisTokenStore(client, timeout=PATIENT)
        assert store.get_or_fetch(KEY, issuer, None) is issuer.tokens[0]
        assert warnings_in(caplog) == [
            "the store fails (OutOfMemoryError): token requests are not shared"
        ]


def test_a_redis_that_does_not_let_us_read_is_done_without(own_server, issuer, caplog):
    with own_server.client() as client:
        client.acl_setuser("limited", True, True, commands=["+@all", "-getrange"], keys=["*"])
    with own_server.client(username="limited", password="any") as client:
        store = RedisTokenStore(client, timeout=PATIENT)
        assert store.get_or_fetch(KEY, issuer, None) is issuer.tokens[0]
    told = "the store fails (NoPermissionError): token requests are not shared"
    assert warnings_in(caplog) == [told]


def test_a_redis_that_fills_up_meanwhile_lets_the_others_go_on(own_server, issuer):
    def fill():
        with own_server.client() as client:
            client.config_set("maxmemory", 1)
        return issuer()

    with own_server.client() as client:
        store = RedisTokenStore(client, timeout=PATIENT)
        assert store.get_or_fetch(KEY, fill, None) is issuer.tokens[0]
        assert not client.exists(SEAL.lock)


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
    with own_server.client() as client, own_server.client() as other:
        store = RedisTokenStore(client, timeout=PATIENT)
        client.config_set("maxmemory", 1)
        for _ in range(2):
            store.get_or_fetch(KEY, issuer.of(None), None)
            clock.advance(1.1)
        store.get_or_fetch(KEY, issuer.of(None), None)
        client.config_set("maxmemory", 0)
        third = RedisTokenStore(other, timeout=PATIENT)
        stored = third.get_or_fetch(KEY, issuer.of(None), None)
        assert store.get_or_fetch(KEY, issuer.of(60), None) is issuer.tokens[-1]
        clock.advance(1.1)
        assert store.get_or_fetch(KEY, no_request, None) == stored
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_c3_a_child_does_not_wait_for_a_call_that_hangs_in_its_parent(own_server, issuer):
    with own_server.client(socket_timeout=None) as client:
        store = RedisTokenStore(client, timeout=0.1)
        own_server.signal(signal.SIGSTOP)
        store.get_or_fetch(KEY, issuer, None)
        assert store._calls._hanging

        def child():
            store._calls._timeout, store._calls._rests_until = PATIENT, 0.0
            store.get_or_fetch(KEY, issuer, None)
            assert client.exists(SEAL.token)

        own_server.signal(signal.SIGCONT)
        assert ended_well(fork(child))
        until(lambda: threads_for_redis() == [])


# --- calls that are not waited for ----------------------------------------------------------


def test_what_nobody_waits_for_any_more_is_undone():
    gate, undone = threading.Event(), []

    def work():
        gate.wait(PATIENCE)
        return "the turn"

    calls = Calls(0.05)
    with pytest.raises(NoAnswer):
        calls.in_time(work, undone.append)
    with pytest.raises(NoAnswer):
        Calls(0.05).in_time(work)
    gate.set()
    until(lambda: undone == ["the turn"])


def test_a_failure_that_nobody_waits_for_any_more_is_forgotten():
    gate = threading.Event()

    def work():
        gate.wait(PATIENCE)
        raise OSError

    with pytest.raises(NoAnswer):
        Calls(0.05).in_time(work)
    gate.set()
    until(lambda: threads_for_redis() == [])


def test_who_gave_up_on_redis_does_not_keep_the_others_from_asking(
    client, make_store, issuer, monkeypatch
):
    monkeypatch.setattr(redis_records, "LEASE", 3 * PATIENCE)
    store, gate = make_store(timeout=0.5), threading.Event()
    pipeline = store._client.pipeline

    def slow(*arguments, **settings):
        if client.exists(SEAL.lock):
            gate.wait(PATIENCE)
        return pipeline(*arguments, **settings)

    store._client.pipeline = slow
    assert store.get_or_fetch(KEY, issuer, None) is issuer.tokens[0]
    assert client.exists(SEAL.lock)
    gate.set()
    until(lambda: not client.exists(SEAL.lock))


def test_a_turn_that_nobody_waits_for_any_more_is_given_back(client, make_store):
    turn = Records(client, SEAL, no_request).look(None, time.monotonic())
    assert client.exists(SEAL.lock)
    store_module._end(turn)
    assert not client.exists(SEAL.lock)
    store_module._end(None)
    client.set(SEAL.lock, "x")
    with redis.Redis(port=free_port(), retry=ONCE) as nowhere:
        turn.lock.redis, turn.lock.local.token = nowhere, b"x"
        store_module._end(turn)


def test_calls_are_not_made_while_one_hangs():
    gate = threading.Event()
    calls = Calls(0.01)
    with pytest.raises(NoAnswer):
        calls.in_time(gate.wait)
    calls._rests_until = 0.0
    with pytest.raises(NoAnswer):
        calls.in_time(no_request)
    gate.set()
    calls._timeout = PATIENCE
    until(lambda: not calls._hanging[0].is_alive())
    assert calls.in_time(lambda: 7) == 7


@pytest.mark.parametrize("reason", ["no threads", "the interpreter exits"])
def test_l2_where_no_thread_can_be_started_a_process_goes_on_alone(
    client, make_store, issuer, monkeypatch, reason
):
    if reason == "no threads":

        def refuse(self):
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refuse)
    else:
        monkeypatch.setattr(sys, "is_finalizing", lambda: True)
    assert make_store().get_or_fetch(KEY, issuer, None) is issuer.tokens[0]
    assert client.dbsize() == 0


# --- as an auth's store ---------------------------------------------------------------------


def test_l6_two_auths_share_a_token(server, make_auth, make_store):
    first, second = make_auth(store=make_store()), make_auth(store=make_store())
    assert first.get_token() == second.get_token()
    assert len(server.token_requests) == 1


def test_r1_a_revoked_token_is_replaced_once_for_all(server, make_auth, make_store):
    auths = [make_auth(store=make_store()) for _ in range(5)]
    for auth in auths:
        assert requests.get(server.api_url, auth=auth).ok
    server.revoke_all()
    for auth in auths:
        assert requests.get(server.api_url, auth=auth).ok
    assert len(server.token_requests) == 2


def test_l2_a_token_renewed_elsewhere_is_taken_when_it_is_due(server, make_auth, make_store, clock):
    first, second = make_auth(store=make_store()), make_auth(store=make_store())
    before = first.get_token()
    assert second.get_token() == before
    clock.advance(3400)
    for auth in (first, second):
        assert auth.get_token() == before
        until(lambda auth=auth: auth.get_token() != before)
    assert first.get_token() == second.get_token()
    assert len(server.token_requests) == 2


def test_f3_authorize_hears_what_the_fleet_has_heard(server, make_auth, make_store, long_pauses):
    server.answer_next(*[Answer(400, {"error": "invalid_scope"})] * 4)
    for _ in range(2):
        with pytest.raises(TokenError):
            make_auth(store=make_store(), body="form").authorize()
    with pytest.raises(TokenError, match="invalid_scope"):
        make_auth(store=make_store()).authorize()
    assert len(server.token_requests) == 2


def test_w4_a_changed_secret_does_not_wait_for_a_pause(server, make_auth, make_store):
    secrets = ["rotated out"]
    auths = [
        make_auth(store=make_store(), client_secret=lambda: secrets[0], body="form")
        for _ in range(4)
    ]
    for _ in range(2):
        for auth in auths:
            with pytest.raises(TokenError):
                auth.get_token()
    asked = len(server.token_requests)
    secrets[0] = server.client_secret
    assert len({auth.get_token().access_token for auth in auths}) == 1
    assert len(server.token_requests) == asked + 1


def test_a_client_without_a_secret_needs_an_encryption_key(server, make_auth, make_store):
    with pytest.raises(ValueError, match="encryption_key"):
        make_auth(store=make_store(), client_auth=TLSClientAuth())
    store = make_store(encryption_key=b"k" * 32)
    server.answer_next(Answer(200, token_answer("certified")))
    auth = make_auth(store=store, client_auth=TLSClientAuth())
    assert auth.get_token().access_token == "certified"
    same = make_store(encryption_key=b"k" * 32)
    assert make_auth(store=same, client_auth=TLSClientAuth()).get_token() == auth.get_token()


def test_s1_redis_and_who_listens_in_see_no_secret(redis_server, client, make_auth, make_store):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.connect(redis_server.address["unix_socket_path"])
        listener.sendall(b"MONITOR\r\n")
        listener.settimeout(PATIENCE)
        assert listener.recv(64) == b"+OK\r\n"
        auth = make_auth(store=make_store(), scope="read:everything")
        token = auth.get_token()
        auth.manager.invalidate(token)
        auth.signout()
        again = auth.get_token()
        with pytest.raises(TokenError):
            make_auth(store=make_store(), client_secret="wrong secret").authorize()
        client.echo("the end")
        heard = b""
        while b"the end" not in heard:
            heard += listener.recv(65536)
    dump = [part for name in client.scan_iter() for part in (name, client.dump(name))]
    assert len(dump) == 4
    seen = b"".join([heard, *dump])
    assert b"getrange" in heard.lower()
    endpoint = auth.endpoint
    for secret in (
        *(token.access_token, again.access_token, endpoint.client_id, "wrong secret"),
        *("read:everything", "s3cr3t", endpoint.url, "Bearer", "access_token", "invalid_client"),
    ):
        assert secret.encode() not in seen


def test_s1_logs_name_tokens_by_their_fingerprint(make_store, issuer, caplog):
    caplog.set_level(logging.DEBUG)
    token = make_store().get_or_fetch(KEY, issuer, None)
    make_store().get_or_fetch(KEY, no_request, None)
    ours = [r.getMessage() for r in caplog.records if r.name == "clientcreds_requests.redis"]
    assert ours == [
        f"token {token.fingerprint} is stored",
        f"token {token.fingerprint} is from the store",
    ]
    assert "token-1" not in caplog.text


def test_s1_no_frame_of_an_error_shows_a_key(make_store):
    for fetch in (fail, no_request):
        trace = None
        try:
            for _ in range(3):
                try:
                    make_store(encryption_key="s" * 32).get_or_fetch(KEY, fetch, None)
                except TokenError as error:
                    trace = error.__traceback__
        except AssertionError as error:
            trace = error.__traceback__
        while trace is not None:
            shown = repr({**trace.tb_frame.f_locals, "self": None})
            if "clientcreds_requests" in trace.tb_frame.f_code.co_filename:
                assert repr(KEY) not in shown
                assert "s" * 32 not in shown
            trace = trace.tb_next


# --- clients of Redis -----------------------------------------------------------------------


def test_a_cluster_client_works(issuer):
    port = free_port()
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with RedisServer(*options, port=port) as server:
        with server.client() as node:
            node.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            until(lambda: node.cluster("info")["cluster_state"] == "ok")
        clients = [redis.RedisCluster("127.0.0.1", port) for _ in range(2)]
        first, second = (RedisTokenStore(client, timeout=PATIENT) for client in clients)
        token = first.get_or_fetch(KEY, issuer, None)
        assert second.get_or_fetch(KEY, no_request, None) == token
        renewed = second.get_or_fetch(KEY, issuer, token)
        assert first.get_or_fetch(KEY, no_request, token) == renewed
        with pytest.raises(TokenError):
            first.get_or_fetch(KEY, fail, renewed)
        assert not clients[0].exists(SEAL.lock)
        for client in clients:
            client.close()


def test_a_sentinel_client_works(own_server_with_port, issuer, tmp_path):
    master, port = own_server_with_port, free_port()
    (tmp_path / "sentinel.conf").write_text(
        f"port {port}\nbind 127.0.0.1\nsentinel monitor fleet 127.0.0.1 {master.port} 1\n"
    )
    command = ["redis-server", str(tmp_path / "sentinel.conf"), "--sentinel"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        try:
            sentinel = Sentinel([("127.0.0.1", port)], sentinel_kwargs={"retry": ONCE})
            until(lambda: knows_its_master(sentinel))
            stores = [
                RedisTokenStore(sentinel.master_for("fleet"), timeout=PATIENT) for _ in range(2)
            ]
            token = stores[0].get_or_fetch(KEY, issuer, None)
            assert stores[1].get_or_fetch(KEY, no_request, None) == token
            assert stores[1].get_or_fetch(KEY, issuer, token) is issuer.tokens[1]
            for client in (*sentinel.sentinels, *(store._client for store in stores)):
                client.close()
        finally:
            process.kill()


@pytest.fixture
def own_server_with_port():
    with RedisServer(port=free_port()) as server:
        yield server


def knows_its_master(sentinel):
    try:
        return sentinel.discover_master("fleet")
    except redis.ConnectionError:
        return None


# --- the constructor ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "options", "names"),
    [
        (TypeError, {"client": "redis://localhost"}, "client"),
        (TypeError, {"client": redis.asyncio.Redis()}, "client"),
        (TypeError, {"prefix": b"bytes"}, "prefix"),
        (ValueError, {"prefix": ""}, "prefix"),
        (TypeError, {"encryption_key": 7}, "encryption_key"),
        (ValueError, {"encryption_key": ""}, "encryption_key"),
        (ValueError, {"encryption_key": "k" * 31}, "encryption_key"),
        (ValueError, {"encryption_key": b"k" * 31}, "encryption_key"),
        (ValueError, {"timeout": 0}, "timeout"),
        (TypeError, {"timeout": None}, "timeout"),
    ],
)
def test_w8_what_could_not_work_is_refused(error, options, names):
    with pytest.raises(error, match=names):
        RedisTokenStore(**{"client": redis.Redis(), **options})


def test_w8_a_client_of_one_connection_is_refused(redis_server):
    with (
        redis_server.client(single_connection_client=True) as client,
        pytest.raises(ValueError, match="single_connection_client"),
    ):
        RedisTokenStore(client)


def test_s1_a_repr_shows_nothing_secret():
    client = redis.Redis.from_url("redis://user:passw0rd@localhost/0")
    store = RedisTokenStore(client, "fleet:", "k" * 32)
    assert repr(store) == "<RedisTokenStore 'fleet:'>"


def test_s2_a_store_with_a_key_is_neither_pickled_nor_copied():
    store = RedisTokenStore(redis.Redis(), encryption_key="k" * 32)
    for give_away in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="encryption_key"):
            give_away(store)


def test_s2_a_store_without_one_is_copied_as_its_client_allows(client, issuer):
    store = RedisTokenStore(client, "fleet:", timeout=PATIENT)
    again = copy.copy(store)
    token = store.get_or_fetch(KEY, issuer, None)
    assert again.get_or_fetch(KEY, no_request, None) == token
    assert again._calls._timeout == PATIENT


class Portable(redis.Redis):
    """A client that can be pickled."""

    def __reduce__(self):
        return Portable, ()


def test_s2_a_store_is_pickled_as_its_client_allows():
    store = RedisTokenStore(Portable(), "fleet:", timeout=PATIENT)
    store._calls._rests_until = 1e9
    again = pickle.loads(pickle.dumps(store))
    assert repr(again) == repr(store)
    assert (again._calls._timeout, again._calls._rests_until) == (PATIENT, 0.0)
    with pytest.raises(TypeError):
        pickle.dumps(RedisTokenStore(redis.Redis()))


@pytest.mark.parametrize("missing", ["redis", "cryptography"])
def test_what_is_not_installed_is_named(missing):
    program = f"""
import sys
sys.modules[{missing!r}] = None
try:
    import clientcreds_requests.redis
except ImportError as error:
    print(error)
"""
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert output == (
        "clientcreds_requests.redis needs redis and cryptography: "
        "pip install 'clientcreds-requests[redis]'\n"
    )
