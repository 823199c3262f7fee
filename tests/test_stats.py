"""The counters of a manager, as OPERATIONS.md lists them."""

from __future__ import annotations

import logging
import math
import os
import pickle
import random
import re
import threading
from typing import Any

import prometheus_client
import pytest
import requests
from events import DOWN, SECTION, manager_and_fetch
from fetches import Fetch, failures, settle
from helpers import PATIENCE, Crowd, Held, together, until
from test_forks import ended_well, fork
from test_stores import Shelf

from clientcreds_requests import (
    ClientCredentialsAuth,
    Token,
    TokenError,
    TokenManager,
    TokenRequest,
    TokenTimeout,
)
from clientcreds_requests.testing import Answer
from clientcreds_requests.tokens import TokenStats

# --- The figures ----------------------------------------------------------------------------


def test_at_first_all_figures_are_nought(auth):
    assert auth.manager.stats() == TokenStats(0, 0, 0, 0, 0, 0, 0, None, None)


def stats_of_sixteen(server, auth, held, *others):
    """What is counted when so many wait for one token request together."""
    server.answer_next(held, *others)
    crowd = Crowd(16, auth.get_token)
    until(lambda: auth.manager.stats().joined == 15)
    held.released.set()
    crowd.join()
    return auth.manager.stats()


def test_callers_who_joined_a_token_request_are_counted(server, auth):
    stats = stats_of_sixteen(server, auth, Held())
    assert stats._replace(seconds_left=None) == TokenStats(obtained=1, joined=15)
    assert 3500 < stats.seconds_left <= 3600


def test_a_token_request_that_failed_is_counted_once_for_all_its_callers(server, auth):
    refusal = Answer(401, {"error": "invalid_client"})
    stats = stats_of_sixteen(server, auth, Held(refusal), refusal)
    assert stats._replace(last_error_at=None) == TokenStats(failed=1, joined=15)
    assert stats.last_error_at is not None


def test_every_caller_in_an_outage_is_counted_once():
    fetch = Fetch()
    fetch.error = TokenError("down")
    manager = TokenManager(fetch)

    def call():
        for _ in range(100):
            with pytest.raises(TokenError):
                manager.get_token()

    together(16, call)
    stats = manager.stats()
    assert stats.failed == fetch.calls
    assert stats.failed + stats.joined + stats.paused == 1600


def test_counts_are_exact_however_threads_interleave():
    issued, refused = [], []

    def fetch(request):
        issued.append(request)
        return Token(f"token-{random.random()}")

    manager = TokenManager(fetch)
    requests_ = [TokenRequest(scope=scope) for scope in "abc"]

    def call():
        mine = random.Random(threading.get_ident())
        for _ in range(100):
            request = mine.choice(requests_)
            token = manager.get_token(request)
            if mine.random() < 0.5 and manager.invalidate(token, request):
                refused.append(token)
            if mine.random() < 0.3:
                manager.clear(request)

    together(16, call)
    stats = manager.stats()
    assert (stats.obtained, stats.failed, stats.paused) == (len(issued), 0, 0)
    assert stats.refused == len(refused)


def test_an_outage_is_counted_and_its_last_moment_told(clock):
    manager, fetch = manager_and_fetch(clock)
    fetch.error = TokenError("down")
    failures(manager, 2)
    last = clock.time()
    for _ in range(5):
        with pytest.raises(TokenError):
            manager.get_token()
    clock.advance(60)
    fetch.error = None
    manager.get_token()
    expected = TokenStats(
        obtained=1, failed=2, paused=5, last_error_at=last, seconds_left=pytest.approx(3600)
    )
    assert manager.stats() == expected


def test_a_revoked_token_is_counted(server, auth):
    auth.authorize()
    server.revoke_all()
    assert requests.get(server.api_url, auth=auth).ok
    stats = auth.manager.stats()
    assert (stats.obtained, stats.refused, stats.renewed_ahead) == (2, 1, 0)


def test_a_token_that_is_not_forgotten_is_not_counted_as_refused(clock):
    manager, _ = manager_and_fetch(clock)
    manager.invalidate(manager.get_token())
    assert not manager.invalidate(manager.get_token())  # it is a replacement at rest
    assert not manager.invalidate(Token("somebody-elses"))
    assert manager.stats().refused == 1


def test_a_token_got_ahead_of_time_is_counted_as_such(clock):
    manager, _ = manager_and_fetch(clock)
    first = manager.get_token()
    clock.advance(3400)
    assert manager.get_token() is first
    settle(manager)
    stats = manager.stats()
    assert (stats.obtained, stats.renewed_ahead, stats.joined) == (2, 1, 0)


def test_callers_who_are_served_in_an_outage_have_joined_nothing(clock):
    gate, down = threading.Event(), TokenError("down")
    first = Token("first", expires_at=clock.time() + 3600)
    script = [lambda: first, lambda: down, lambda: gate.wait(PATIENCE) and down]

    def fetch(_):
        outcome = script.pop(0)()
        if outcome is down:
            raise down
        return outcome

    manager = TokenManager(fetch, renew_ahead=0)
    manager.get_token()
    clock.advance(3585)
    assert [manager.get_token() for _ in range(5)] == [first] * 5
    stats = manager.stats()
    gate.set()
    settle(manager)
    assert (stats.joined, stats.failed, stats.paused) == (0, 1, 0)
    assert manager.stats().failed == 2


def test_a_renewal_that_failed_is_counted_though_nobody_noticed(clock):
    manager, fetch = manager_and_fetch(clock)
    manager.get_token()
    clock.advance(3400)
    fetch.error = DOWN
    manager.get_token()
    settle(manager)
    expected = TokenStats(obtained=1, failed=1, last_error_at=clock.time(), seconds_left=200.0)
    assert manager.stats() == expected


def test_tokens_of_a_store_are_told_apart_from_those_issued(make_auth):
    shelf = Shelf()
    first, second = make_auth(store=shelf), make_auth(store=shelf)
    assert first.get_token() is second.get_token()
    assert first.manager.stats()[:2] == (1, 0)
    assert second.manager.stats()[:2] == (0, 1)


def test_a_token_request_that_was_given_up_has_failed_whatever_comes_of_it(server, make_auth):
    auth, held = make_auth(deadline=0.5), Held()
    server.answer_next(held)
    with pytest.raises(TokenTimeout):
        auth.get_token()
    held.released.set()
    settle(auth.manager)
    assert auth.manager.stats()[:5] == TokenStats(failed=1)[:5]


def test_a_token_that_came_after_a_sign_out_was_obtained_too(server, auth):
    held = Held()
    server.answer_next(held)
    crowd = Crowd(2, auth.get_token)
    until(lambda: auth.manager.stats().joined == 1)
    auth.signout()
    held.released.set()
    crowd.join()
    assert auth.manager.stats() == TokenStats(obtained=1, joined=1)


def test_an_interrupted_token_request_has_neither_failed_nor_succeeded(clock):
    manager, fetch = manager_and_fetch(clock)
    fetch.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        manager.get_token()
    assert manager.stats() == TokenStats()


def test_signing_out_does_not_touch_the_counts(clock):
    manager, fetch = manager_and_fetch(clock)
    fetch.error = DOWN
    failures(manager, 1)
    fetch.error = None
    manager.get_token(insist=True)
    manager.clear()
    expected = TokenStats(obtained=1, failed=1, last_error_at=clock.time())
    assert manager.stats() == expected


def test_figures_are_of_all_token_requests_and_of_the_token_received_last(server, make_auth):
    auth = make_auth(scope="a").authorize()
    sibling = auth.replace(scope="b")
    assert auth.manager.stats().seconds_left > 3500
    server.lifetime = 60
    sibling.authorize()
    stats = auth.manager.stats()
    assert stats == sibling.manager.stats()._replace(seconds_left=stats.seconds_left)
    assert stats.obtained == 2
    assert 50 < stats.seconds_left <= 60
    sibling.signout()
    assert auth.manager.stats().seconds_left is None


def test_an_expired_token_is_none_that_is_held(clock):
    manager, fetch = manager_and_fetch(clock)
    manager.get_token()
    clock.advance(3600)
    assert manager.stats().seconds_left is None
    fetch.lifetime = None
    manager.get_token()
    assert manager.stats().seconds_left == math.inf


def test_figures_are_a_value_that_does_not_change(clock):
    manager, _ = manager_and_fetch(clock)
    before = manager.stats()
    manager.get_token()
    assert before == TokenStats()
    with pytest.raises(AttributeError):
        before.obtained = 7


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_counts_from_nought_and_its_parent_goes_on(server, auth):
    server.answer_next(*[Answer(400, {"error": "invalid_scope"})] * 2)
    with pytest.raises(TokenError):
        auth.authorize()
    auth.authorize()
    before = auth.manager.stats()

    def child():
        stats = auth.manager.stats()
        assert stats._replace(seconds_left=None) == TokenStats()
        assert stats.seconds_left > 3500
        auth.signout()
        auth.authorize()
        assert auth.manager.stats().obtained == 1

    assert ended_well(fork(child))
    assert auth.manager.stats()._replace(seconds_left=before.seconds_left) == before
    assert before.obtained == before.failed == 1


def secret_from_environment():
    return os.environ["TEST_CLIENT_SECRET"]


def test_a_pickled_auth_counts_from_nought(server, monkeypatch):
    monkeypatch.setenv("TEST_CLIENT_SECRET", server.client_secret)
    auth = ClientCredentialsAuth(server.token_endpoint, server.client_id, secret_from_environment)
    auth.authorize()
    assert pickle.loads(pickle.dumps(auth)).manager.stats() == TokenStats()
    assert pickle.loads(pickle.dumps(auth.manager.stats())).obtained == 1


def test_the_metrics_of_the_guide_are_the_figures(server, monkeypatch):
    registry = prometheus_client.CollectorRegistry(auto_describe=True)
    monkeypatch.setattr(prometheus_client, "REGISTRY", registry)
    (block,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    monkeypatch.setenv("CLIENTCREDS_TOKEN_ENDPOINT", server.token_endpoint)
    monkeypatch.setenv("CLIENTCREDS_CLIENT_ID", server.client_id)
    monkeypatch.setenv("CLIENTCREDS_CLIENT_SECRET", server.client_secret)
    names: dict[str, Any] = {}
    exec(compile(block, ".github/docs/OPERATIONS.md", "exec"), names)
    auth = names["auth"].authorize()
    server.revoke_all()
    assert requests.get(server.api_url, auth=auth).ok
    stats = auth.manager.stats()
    for name in TokenStats._fields[:7]:
        assert registry.get_sample_value(f"clientcreds_{name}_total") == getattr(stats, name)
    assert registry.get_sample_value("clientcreds_seconds_left") > 3500
    assert registry.get_sample_value("clientcreds_last_error_at") is None
    assert b"clientcreds_obtained_total 2.0" in prometheus_client.generate_latest(registry)


def test_the_last_error_of_several_requests_is_the_latest_of_all(clock):
    fetch = Fetch(clock)
    fetch.error = TokenError("down")
    manager = TokenManager(fetch)
    for scope in ("a", "b", "c"):
        clock.advance(10)
        with pytest.raises(TokenError):
            manager.get_token(TokenRequest(scope=scope))
    assert manager.stats().last_error_at == clock.time()


def test_the_fields_of_a_record_have_the_names_that_the_guide_promises(auth, caplog):
    caplog.set_level(logging.DEBUG, "clientcreds_requests")
    token = auth.get_token()
    (record,) = (r for r in caplog.records if r.name.startswith("clientcreds_requests"))
    assert record.clientcreds_event == "token_obtained"
    assert record.clientcreds_fingerprint == token.fingerprint
