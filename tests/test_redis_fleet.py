"""Many real processes, one Redis: how often the token endpoint is asked."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
import requests
from fleet import Fleet, board
from helpers import PATIENCE, Held, until
from redis_server import RedisServer, free_port, needs_redis_server

from clientcreds_requests import ClientCredentialsAuth, TokenError
from clientcreds_requests import redis as store_module
from clientcreds_requests.redis import RedisTokenStore
from clientcreds_requests.testing import Answer

pytestmark = [
    needs_redis_server,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    # Python warns of what is shown here to work.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


@pytest.fixture
def redis_server():
    with RedisServer(port=free_port()) as server:
        yield server


@pytest.fixture
def join(server, redis_server):
    """Makes the auth of a process that joins the fleet."""

    def make(name=None, timeout=10, **options) -> ClientCredentialsAuth:
        # So many processes on a few cores: Redis is not slow, they are.
        store = RedisTokenStore(redis_server.client(client_name=name), timeout=timeout)
        url, client_id = server.token_endpoint, server.client_id
        options.setdefault("client_secret", server.client_secret)
        return ClientCredentialsAuth(url, client_id, store=store, body="form", **options)

    return make


@pytest.fixture
def long_lease(monkeypatch):
    """A lease that does not end while a token request is held by a test on a busy machine."""
    monkeypatch.setattr(store_module, "LEASE", 60.0)
    monkeypatch.setattr(store_module, "LONGEST_WAIT", 60.0)
    monkeypatch.setattr(store_module, "LONGEST_WAIT", 60.0)


def test_c1_64_processes_that_start_together_make_one_token_request(server, join):
    server.latency = 0.2
    with Fleet(64, lambda _: join().get_token().fingerprint) as fleet:
        tokens = fleet.start().join()
    assert len(tokens) == 64
    assert len(set(tokens)) == 1
    assert len(server.token_requests) == 1


def test_c3_processes_forked_from_one_that_has_used_the_store_share_it(server, join):
    auth = join()
    auth.get_token()
    sibling = auth.replace(scope="another")
    with Fleet(8, lambda _: sibling.get_token().fingerprint) as fleet:
        tokens = fleet.start().join()
    assert len(tokens) == 8
    assert len(set(tokens)) == 1
    assert len(server.token_requests) == 2


def test_c1_one_failure_is_raised_in_all_processes_that_wait(
    server, redis_server, join, long_lease
):
    size = 16
    held = Held(Answer(503, {"error": "temporarily_unavailable"}))
    server.answer_next(held)

    def work(number):
        try:
            join(f"process-{number}", retries=0, deadline=120).get_token()
        except TokenError as error:
            return error.error

    with redis_server.client() as client, Fleet(size, work) as fleet:
        fleet.start()
        assert held.arrived.wait(PATIENCE)
        # All but the one who asks have asked for the lock in vain.
        until(lambda: [c["cmd"] for c in client.client_list() if c["name"]].count("set") == 15)
        held.released.set()
        assert fleet.join() == ["temporarily_unavailable"] * size
    assert len(server.token_requests) == 1


def test_f3_after_failures_the_fleet_leaves_the_endpoint_alone(server, join):
    server.answer_next(*[Answer(503, headers={"Retry-After": "60"})] * 100)

    def work(_):
        with pytest.raises(TokenError) as caught:
            join(retries=0).authorize()
        return caught.value.status_code, 50 < caught.value.retry_after <= 60

    for _ in range(2):
        with Fleet(8, work) as fleet:
            assert fleet.start().join() == [[503, True]] * 8
    assert len(server.token_requests) == 1


def test_c1_a_process_that_is_killed_while_it_asks_is_replaced_within_three_seconds(server, join):
    held = Held()
    server.answer_next(held)

    def work(_):
        token = join(extra_headers={"X-Pid": lambda: str(os.getpid())}).get_token()
        return token.fingerprint, time.monotonic()

    with Fleet(8, work) as fleet:
        fleet.start()
        assert held.arrived.wait(PATIENCE)
        (first,) = server.token_requests
        fleet.kill(int(first.headers["X-Pid"]))
        killed = time.monotonic()
        served = fleet.join()
        held.released.set()
    assert len(served) == 7
    assert len({fingerprint for fingerprint, _ in served}) == 1
    # A second is left to a machine that is busy.
    assert max(at for _, at in served) - killed < 3 + 1
    _, second = server.token_requests
    assert second.headers["X-Pid"] != first.headers["X-Pid"]


def test_r1_a_revocation_costs_one_token_request(server, join):
    size, stages = 8, board(9)

    def work(number):
        auth, answers = join(), []
        with requests.Session() as session:
            for stage in range(2):
                until(lambda stage=stage: stages[size] == stage)
                answers.append(session.get(server.api_url, auth=auth).status_code)
                stages[number] += 1
        return answers

    with Fleet(size, work) as fleet:
        fleet.start()
        until(lambda: min(stages[:size]) == 1)
        server.revoke_all()
        stages[size] = 1
        assert fleet.join() == [[200, 200]] * size
    assert len(server.token_requests) == 2


class Load:
    """Processes that go on calling with four threads each, and what can be seen of it."""

    def __init__(self, size, join, **options) -> None:
        self._size, self._join, self._options = size, join, options
        self._calls, self._tokens, self._latest = board(size), board(size), board(size)
        self._end = board(1)

    def __call__(self, number):
        auth = self._join(**self._options)
        tokens = [auth.get_token().fingerprint]
        failures = []

        def call():
            while not self._end[0]:
                renewing = auth.authorizing is not None
                try:
                    token = auth.get_token()
                except TokenError as error:
                    failures.append(str(error))
                if token.seconds_left() <= 0:
                    failures.append("expired")
                self._calls[number] += renewing
                time.sleep(0.02)

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        while not self._end[0]:
            latest = auth.get_token().fingerprint
            if latest != tokens[-1]:
                tokens.append(latest)
            self._latest[number], self._tokens[number] = int(latest, 16), len(tokens)
            time.sleep(0.02)
        for thread in threads:
            thread.join()
        return [tokens, failures]

    def end(self):
        self._end[0] = 1

    def calls_during_renewal(self):
        """Of each process."""
        return list(self._calls)

    def had_tokens(self):
        """The number of tokens in a row, of the process with the fewest."""
        return min(self._tokens)

    def share_a_token(self):
        return len(set(self._latest)) == 1 and self._latest[0]


def test_l2_a_renewal_under_load_is_one_request_and_nobody_waits_for_it(server, join, long_lease):
    server.lifetime, rounds = 10, 2
    held = [Held() for _ in range(rounds)]
    server.answer_next(None, *held)
    load = Load(16, join, leeway=0.5, renew_ahead=8)
    with Fleet(16, load) as fleet:
        fleet.start()
        for number, renewal in enumerate(held):
            until(lambda number=number: load.had_tokens() == number + 1)
            assert renewal.arrived.wait(PATIENCE)
            before = load.calls_during_renewal()
            # Every process wants it renewed, and goes on calling.
            until(
                lambda before=before: all(
                    after > earlier + 40
                    for after, earlier in zip(load.calls_during_renewal(), before, strict=True)
                )
            )
            assert len(server.token_requests) == number + 2
            renewal.released.set()
        until(lambda: load.had_tokens() == rounds + 1)
        load.end()
        outcomes = fleet.join()
    assert [failures for _, failures in outcomes] == [[]] * 16
    had = [tokens[: rounds + 1] for tokens, _ in outcomes]
    assert had == [had[0]] * 16


def test_no_call_fails_while_redis_is_stopped_and_the_fleet_shares_again_afterwards(
    server, redis_server, join
):
    server.lifetime, size = 4, 8
    load = Load(size, join, leeway=0.2, renew_ahead=1.5)
    with Fleet(size, load) as fleet:
        fleet.start()
        until(lambda: load.had_tokens() == 2 and load.share_a_token())
        before = load.share_a_token()
        redis_server.stop()
        until(lambda: load.had_tokens() == 3)
        redis_server.start()
        # Alone, no two processes ever have the same token.
        until(load.share_a_token)
        again = load.share_a_token()
        count = load.had_tokens()
        until(lambda: load.had_tokens() > count and load.share_a_token() not in (False, again))
        load.end()
        outcomes = fleet.join()
    assert [failures for _, failures in outcomes] == [[]] * size
    issued = [f"{before:08x}", f"{again:08x}"]
    for tokens, _ in outcomes:
        assert [token for token in tokens if token in issued] == issued
    # Nobody asked for more than it used.
    used = {token for tokens, _ in outcomes for token in tokens}
    assert len(server.token_requests) - len(used) <= 1
    # Together again, they have the same tokens in the same order.
    later = sorted((tokens[tokens.index(issued[1]) :] for tokens, _ in outcomes), key=len)
    for tokens in later:
        assert tokens == later[-1][: len(tokens)]


def test_no_call_fails_while_redis_hangs(server, redis_server, join):
    server.lifetime, size = 4, 4
    load = Load(size, join, leeway=0.2, renew_ahead=1.5, timeout=0.2)
    with Fleet(size, load) as fleet:
        fleet.start()
        until(lambda: load.had_tokens() == 2)
        redis_server.signal(signal.SIGSTOP)
        until(lambda: load.had_tokens() == 4)
        redis_server.signal(signal.SIGCONT)
        until(load.share_a_token)
        load.end()
        outcomes = fleet.join()
    assert [failures for _, failures in outcomes] == [[]] * size
