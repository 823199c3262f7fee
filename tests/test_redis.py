"""The store on Redis, with a real one: two stores in one process stand for two processes."""

from __future__ import annotations

import functools
import threading
import time

import pytest
import redis
import redis.asyncio
from helpers import PATIENCE, Crowd, together, until
from redis.lock import Lock
from redis_server import needs_redis_server
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

from clientcreds_requests import (
    Token,
    TokenConnectionError,
    TokenError,
)
from clientcreds_requests import redis as store_module
from clientcreds_requests.exceptions import CallableError
from clientcreds_requests.redis import MEMORY, NO_EXPIRY, RedisTokenStore

pytestmark = [
    needs_redis_server,
    # Python warns of what is shown here to work.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


def name_of(client, kind):
    """The only key of its kind: of a token, a failure or a lock."""
    (name,) = client.scan_iter(f"*:{kind}")
    return name


def age(client, seconds):
    """Let a failure become older."""
    name = name_of(client, "failure")
    client.pexpire(name, client.pttl(name) - int(1000 * seconds))


# --- a token for all ------------------------------------------------------------------------


def test_l6_a_second_process_takes_the_token_of_the_first(make_store, issuer):
    token = make_store().get_or_fetch(KEY, issuer, None)
    again = make_store().get_or_fetch(KEY, no_request, None)
    assert again == token
    assert again.extra == token.extra


def test_a_token_is_stored_for_as_long_as_it_lives(client, store, issuer):
    store.get_or_fetch(KEY, issuer.of(100), None)
    assert 90_000 < client.pttl(name_of(client, "token")) <= 100_000


def test_a_token_without_an_end_is_stored_for_a_day(client, store, issuer):
    store.get_or_fetch(KEY, issuer.of(None), None)
    assert 0 < client.pttl(name_of(client, "token")) <= 1000 * NO_EXPIRY
    token = store.get_or_fetch(KEY, no_request, None)
    assert token.expires_at is None


def test_l4_a_token_lives_no_longer_than_redis_says(client, store, issuer):
    store.get_or_fetch(KEY, issuer, None)
    client.pexpire(name_of(client, "token"), 1_800_000)
    assert store.get_or_fetch(KEY, no_request, None).seconds_left() <= 1800


@pytest.mark.parametrize("off_by", [-7200, 7200])
def test_l4_a_machine_whose_clock_is_wrong_takes_the_token_for_what_is_left(
    make_store, issuer, clock, off_by
):
    make_store().get_or_fetch(KEY, lambda: Token("t", expires_at=clock.wall + 3600), None)
    clock.step(off_by)
    token = make_store().get_or_fetch(KEY, no_request, None)
    assert 3590 < token.seconds_left() <= 3600


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


# --- a token that is refused or due ---------------------------------------------------------


def test_a_due_token_stays_for_the_others_until_there_is_another(make_store, issuer):
    token = make_store().get_or_fetch(KEY, issuer, None)

    def look():
        assert make_store().get_or_fetch(KEY, no_request, None) == token
        return issuer()

    assert make_store().get_or_fetch(KEY, look, token) is issuer.tokens[1]
    assert make_store().get_or_fetch(KEY, no_request, None) == issuer.tokens[1]


def test_l3_a_due_token_outlives_a_renewal_that_fails(make_store, issuer):
    token = make_store().get_or_fetch(KEY, issuer, None)
    with pytest.raises(TokenError):
        make_store().get_or_fetch(KEY, fail, token)
    assert make_store().get_or_fetch(KEY, no_request, None) == token


@pytest.mark.parametrize("decode_responses", [False, True])
def test_a_refused_token_is_dropped_for_all(client, make_store, issuer, decode_responses):
    token = make_store().get_or_fetch(KEY, issuer, None)
    store = make_store(decode_responses=decode_responses)
    store.forget(KEY, token)
    assert names_of(client) == []
    store.forget(KEY, token)
    assert store.get_or_fetch(KEY, issuer, token) is issuer.tokens[1]


def test_only_the_token_that_was_refused_is_dropped(make_store, issuer):
    token = make_store().get_or_fetch(KEY, issuer, None)
    renewed = make_store().get_or_fetch(KEY, issuer, token)
    make_store().forget(KEY, token)
    assert make_store().get_or_fetch(KEY, no_request, None) == renewed


def test_a_newer_token_is_taken_by_a_process_that_still_has_the_one_before(make_store, issuer):
    token = make_store().get_or_fetch(KEY, issuer, None)
    renewed = make_store().get_or_fetch(KEY, issuer, token)
    assert make_store().get_or_fetch(KEY, no_request, token) == renewed


def test_a_token_that_replaced_the_refused_one_meanwhile_stays(make_store, issuer, monkeypatch):
    token = make_store().get_or_fetch(KEY, issuer, None)
    asked, renewal_stored = threading.Event(), threading.Event()
    drop_stored = redis.Redis.eval

    def slow(*arguments):
        asked.set()
        renewal_stored.wait(PATIENCE)
        return drop_stored(*arguments)

    monkeypatch.setattr(redis.Redis, "eval", slow)
    crowd = Crowd(1, lambda: make_store().forget(KEY, token))
    assert asked.wait(PATIENCE)
    renewed = make_store().get_or_fetch(KEY, issuer, token)
    renewal_stored.set()
    assert crowd.join() == [None]
    assert make_store().get_or_fetch(KEY, no_request, None) == renewed


def test_a_rejected_token_is_not_returned_when_the_endpoint_issues_it_again(store, issuer):
    token = store.get_or_fetch(KEY, issuer, None)
    again = functools.partial(issuer, access_token=token.access_token)
    for number in (1, 2):
        assert store.get_or_fetch(KEY, again, token) is issuer.tokens[number]


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


@pytest.fixture
def wait(make_store, client):
    """Starts processes that wait for another's token; each is joined by what is returned."""

    def start(size, fetch=no_request, rejected=None):
        stores = [make_store(client_name=f"waiting-{number}") for number in range(size)]
        crowds = [
            Crowd(1, lambda store=store: store.get_or_fetch(KEY, fetch, rejected))
            for store in stores
        ]
        # Each has looked, and asked for the lock in vain.
        names = {f"waiting-{number}" for number in range(size)}
        until(lambda: {c["name"] for c in client.client_list() if c["cmd"] == "set"} >= names)
        return lambda: [crowd.join()[0] for crowd in crowds]

    return start


def test_c1_waiting_processes_get_the_token_of_the_one_that_asks(
    make_store, wait, issuer, long_lease
):
    asking = Asking(make_store())
    join = wait(3)
    token = asking.end(issuer)
    assert join() == [token] * 3


def test_c1_waiting_processes_get_the_failure_of_the_one_that_asks(make_store, wait, long_lease):
    asking = Asking(make_store())
    join = wait(3)
    error = asking.end(fail)
    for heard in join():
        assert type(heard) is TokenError
        assert heard is not error
        assert str(heard) == "the endpoint is down"
        assert (heard.error, heard.status_code, heard.retryable) == ("server_error", 503, True)


def test_f3_a_callable_that_fails_in_one_process_is_no_failure_of_the_others(
    client, make_store, wait, issuer, long_lease
):
    def unreadable():
        raise CallableError("client_secret raised FileNotFoundError")

    asking = Asking(make_store())
    join = wait(3, issuer)
    assert isinstance(asking.end(unreadable), CallableError)
    assert join() == [issuer.tokens[0]] * 3
    assert names_of(client) == ["token"]


def test_c1_processes_that_look_at_the_same_moment_make_one_request(make_store, issuer):
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


def test_a_token_that_comes_between_the_look_and_the_lock_is_taken(
    client, make_store, issuer, monkeypatch
):
    acquire, tokens = Lock.acquire, []

    def late(lock, **options):
        if not tokens:
            tokens.append(None)
            tokens.append(make_store().get_or_fetch(KEY, issuer, None))
        return acquire(lock, **options)

    monkeypatch.setattr(Lock, "acquire", late)
    assert make_store().get_or_fetch(KEY, no_request, None) == tokens[1]
    assert names_of(client) == ["token"]


def test_a_token_request_that_outlives_the_lease_is_made_by_another_too(
    client, make_store, issuer, caplog, monkeypatch
):
    monkeypatch.setattr(store_module, "LEASE", 0.2)
    asking = Asking(make_store())
    other = make_store().get_or_fetch(KEY, issuer, None)
    assert other is issuer.tokens[0]
    assert asking.end(issuer) is issuer.tokens[1]
    assert make_store().get_or_fetch(KEY, no_request, None) in issuer.tokens
    assert caplog.messages == []


def test_the_lock_of_another_process_is_not_released(client, make_store, issuer):
    def overtaken():
        client.set(name_of(client, "lock"), "another's", px=1000)
        return issuer()

    make_store().get_or_fetch(KEY, overtaken, None)
    assert client.get(name_of(client, "lock")) == b"another's"


def test_c2_another_process_is_not_waited_for_longer_than_ten_seconds(
    make_store, issuer, monkeypatch
):
    assert store_module.LONGEST_WAIT <= 10
    monkeypatch.setattr(store_module, "LONGEST_WAIT", 0.1)
    asking = Asking(make_store())
    token = make_store().get_or_fetch(KEY, issuer, None)
    assert token is issuer.tokens[0]
    assert make_store().get_or_fetch(KEY, no_request, None) == token
    asking.end(issuer)


@pytest.mark.parametrize("left", [0.4, -1.0])
def test_c2_no_more_than_half_of_the_callers_time_is_waited_for_another(
    make_store, issuer, long_lease, left
):
    class Fetch:
        until = time.monotonic() + left

        def __call__(self):
            return issuer()

    asking = Asking(make_store())
    began = time.monotonic()
    assert make_store().get_or_fetch(KEY, Fetch(), None) is issuer.tokens[0]
    assert time.monotonic() - began < PATIENCE / 2
    asking.end(issuer)


def test_a_lock_that_never_ends_keeps_nobody_from_a_token(client, make_store, issuer, monkeypatch):
    monkeypatch.setattr(store_module, "LONGEST_WAIT", 0.1)
    token = make_store().get_or_fetch(KEY, issuer, None)
    client.set(name_of(client, "token").replace(b":token", b":lock"), "for ever")
    assert make_store().get_or_fetch(KEY, issuer, token) is issuer.tokens[1]


class Interrupt(BaseException):
    pass


def test_c2_an_interrupt_in_the_process_that_asks_does_not_strand_the_others(client, store, issuer):
    def interrupted():
        raise Interrupt

    with pytest.raises(Interrupt):
        store.get_or_fetch(KEY, interrupted, None)
    assert names_of(client) == []
    assert store.get_or_fetch(KEY, issuer, None)


def test_a_frozen_clock_does_not_make_anybody_wait_for_ever(make_store, issuer, monkeypatch):
    class Frozen:
        time, sleep = staticmethod(time.time), staticmethod(time.sleep)
        monotonic = staticmethod(lambda: 5_000.0)

    monkeypatch.setattr(store_module, "LONGEST_WAIT", 0.3)
    monkeypatch.setattr(store_module, "time", Frozen)
    asking = Asking(make_store())
    assert make_store().get_or_fetch(KEY, issuer, None) is issuer.tokens[0]
    asking.end(issuer)


# --- tokens that cannot be shared -----------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: Token("brief", expires_at=time.time()),
        lambda: Token("short", expires_at=time.time() + 0.9),
        lambda: Token("long" * 12 * 1024, expires_at=time.time() + 60),
    ],
    ids=["a3 no life left", "less than a second", "48 KiB"],
)
def test_what_cannot_be_shared_lets_the_others_ask_at_once(
    client, make_store, wait, issuer, long_lease, make
):
    asking = Asking(make_store())
    meet = threading.Barrier(3)

    def fetch():
        meet.wait(PATIENCE)  # nobody waits for another
        return issuer()

    join = wait(3, fetch)
    assert isinstance(asking.end(make), Token)
    assert set(join()) == set(issuer.tokens)
    assert len(issuer.tokens) == 3


def test_a_token_of_nearly_48_kib_is_shared(make_store, issuer):
    long = functools.partial(issuer, access_token="x" * 47 * 1024)
    token = make_store().get_or_fetch(KEY, long, None)
    assert make_store().get_or_fetch(KEY, no_request, None) == token


def test_that_tokens_cannot_be_shared_is_not_believed_for_ever(make_store, issuer):
    make_store().get_or_fetch(KEY, issuer.of(0), None)
    token = make_store().get_or_fetch(KEY, issuer, None)
    assert make_store().get_or_fetch(KEY, no_request, None) == token


# --- failures -------------------------------------------------------------------------------


def test_f3_a_first_failure_is_raised_only_where_it_was_waited_for(make_store, issuer):
    with pytest.raises(TokenError):
        make_store().get_or_fetch(KEY, fail, None)
    assert make_store().get_or_fetch(KEY, issuer, None) is issuer.tokens[0]


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
        pauses.append(client.pttl(name_of(client, "failure")) / 1000 - MEMORY)
        age(client, pauses[-1] + 1)
    assert pauses[0] <= 0 < pauses[1] < pauses[2] < pauses[-1] <= 30
    assert make_store().get_or_fetch(KEY, issuer, None)
    assert names_of(client) == ["token"]


def test_f3_failures_of_long_ago_are_forgotten(client, make_store):
    with pytest.raises(TokenError):
        make_store().get_or_fetch(KEY, fail, None)
    assert 0 < client.pttl(name_of(client, "failure")) <= 1000 * MEMORY


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


def test_l3_a_stored_token_is_returned_rather_than_a_failure(make_store, issuer):
    token = make_store().get_or_fetch(KEY, issuer, None)
    longer = issuer(3700)
    for _ in range(2):
        with pytest.raises(TokenError):
            make_store().get_or_fetch(KEY, fail, token)
    assert make_store().get_or_fetch(KEY, no_request, longer) == token


# --- what was tampered with -----------------------------------------------------------------


@pytest.fixture
def spoil(client, make_store, issuer):
    """Puts something in the place of a token and a failure."""

    def put(value, **options):
        with pytest.raises(TokenError):
            make_store().get_or_fetch(KEY, fail, None)
        failure = name_of(client, "failure")
        for name in (failure, failure.replace(b":failure", b":token")):
            client.set(name, value, **options)

    return put


@pytest.mark.parametrize("decode_responses", [False, True])
@pytest.mark.parametrize(
    "value",
    [b"nonsense", b"\xff\xfe", b"A" * 400, b"x" * 1024 * 1024],
    ids=["no base64", "no text", "not sealed", "huge"],
)
def test_a_value_that_is_not_ours_is_a_miss_and_written_over(
    make_store, issuer, spoil, caplog, value, decode_responses
):
    store = make_store(decode_responses=decode_responses)
    spoil(value, px=60_000)
    token = store.get_or_fetch(KEY, issuer, None)
    assert token is issuer.tokens[0]
    assert store.get_or_fetch(KEY, no_request, None) == token
    assert caplog.messages == []


def test_a_value_that_was_moved_or_cut_off_is_a_miss(client, make_store, issuer):
    make_store().get_or_fetch(KEY, issuer, None)
    name = name_of(client, "token")
    client.set(name, client.get(name)[:-4], keepttl=True)
    assert make_store().get_or_fetch(KEY, issuer, None) is issuer.tokens[1]
    make_store().get_or_fetch(KEY[::-1], issuer, None)
    (other,) = set(client.scan_iter("*:token")) - {name}
    client.copy(other, name, replace=True)
    assert make_store().get_or_fetch(KEY, issuer, None) is issuer.tokens[3]


@pytest.mark.parametrize("lifetime", [60, None])
@pytest.mark.parametrize("change", ["prolong", "persist"])
def test_a_token_that_was_made_to_last_is_a_miss(client, make_store, issuer, lifetime, change):
    make_store().get_or_fetch(KEY, issuer.of(lifetime), None)
    name = name_of(client, "token")
    assert client.pexpire(name, 172_800_000) if change == "prolong" else client.persist(name)
    assert make_store().get_or_fetch(KEY, issuer, None) is issuer.tokens[1]


@pytest.mark.parametrize("change", ["prolong", "persist"])
def test_a_failure_that_was_made_to_last_is_a_miss(client, make_store, issuer, change):
    with pytest.raises(TokenError):
        make_store().get_or_fetch(KEY, fail, None)
    name = name_of(client, "failure")
    assert client.pexpire(name, 100_000) if change == "prolong" else client.persist(name)
    assert make_store().get_or_fetch(KEY, issuer, None) is issuer.tokens[0]


def test_a_key_of_another_type_costs_no_call(client, store, issuer, spoil):
    spoil(b"")
    for name in client.scan_iter():
        client.delete(name)
        client.rpush(name, "element")
    assert store.get_or_fetch(KEY, issuer, None) is issuer.tokens[0]
