"""What an outage costs, in real time: the token endpoint is not hammered, and callers are not hurt.

``CLIENTCREDS_HAMMER_SECONDS`` makes the hammering longer or shorter than ten seconds.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import pytest
import requests

from clientcreds_requests import ClientCredentialsAuth, TokenError
from clientcreds_requests.testing import Answer, LocalAuthorizationServer

REFUSED = Answer(401, "no", {"WWW-Authenticate": 'Bearer error="invalid_token"'})
SECONDS = float(os.environ.get("CLIENTCREDS_HAMMER_SECONDS", "10"))


def hammer(threads: int, seconds: float, call: Callable[[], object]) -> tuple[int, list[Exception]]:
    """Call from so many threads, again and again; how often, and what was raised."""
    calls, errors, end = [], [], time.monotonic() + seconds

    def run() -> None:
        while time.monotonic() < end:
            calls.append(1)
            try:
                call()
            except requests.RequestException as error:
                errors.append(error)
            time.sleep(0.002)

    workers = [threading.Thread(target=run) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return len(calls), errors


def test_f3_sixteen_threads_do_not_hammer_an_endpoint_that_is_down(server, make_auth):
    rounds, asked = [], []

    def client_secret() -> str:
        rounds.append(1)  # once for every token request, however many attempts that takes
        return server.client_secret

    auth = make_auth(
        client_secret=client_secret,
        retries=2,
        extra_headers={"X-Attempt": lambda: asked.append(1) or "1"},
    )
    server.down = True
    calls, errors = hammer(16, SECONDS, auth.get_token)
    assert calls > 1000
    assert len(errors) == calls
    assert all(isinstance(error, requests.ConnectionError) for error in errors)
    assert 2 <= len(rounds) <= 12
    assert len(asked) <= 3 * len(rounds)
    print(f"{calls} calls, {len(rounds)} token requests, {len(asked)} attempts")


def test_f3_sixteen_threads_do_not_hammer_an_endpoint_that_refuses_the_client(server, make_auth):
    auth = make_auth(client_secret="not the secret")
    calls, errors = hammer(16, SECONDS, auth.get_token)
    assert calls > 1000
    assert {error.error for error in errors} == {"invalid_client"}
    assert 2 <= len(server.token_requests) <= 12
    print(f"{calls} calls, {len(server.token_requests)} token requests")


def test_l3_an_outage_hurts_nobody_until_the_token_has_expired_and_then_with_its_cause():
    with LocalAuthorizationServer(lifetime=6) as server:
        auth = ClientCredentialsAuth(
            server.token_endpoint,
            server.client_id,
            server.client_secret,
            leeway=2,
            renew_ahead=4,
            deadline=3,
            retries=1,
        )
        expires = auth.authorize().get_token().expires_at
        assert expires is not None
        server.down = True
        outcomes: list[tuple[float, float, Exception | None]] = []

        def call() -> None:
            began = time.time()
            error = None
            try:
                requests.get(server.api_url, auth=auth, timeout=5).raise_for_status()
            except requests.RequestException as caught:
                error = caught
            outcomes.append((began, time.time() - began, error))

        hammer(8, 8, call)
        margin = 0.5  # a call that began just before the token expired may arrive after it
        assert [error for began, _, error in outcomes if error and began < expires - margin] == []
        late = [(took, error) for began, took, error in outcomes if began > expires]
        assert late
        assert all(isinstance(error, TokenError) for _, error in late)
        assert all(isinstance(error, requests.ConnectionError) for _, error in late)
        assert max(took for took, _ in late) < 3 + 1
        server.down = False
        auth.authorize()
        assert requests.get(server.api_url, auth=auth).ok


@pytest.mark.parametrize("threads", [1, 8])
def test_r3_a_hundred_calls_to_an_api_that_always_says_401(server, auth, threads):
    server.api_answer_next(*[lambda _: REFUSED] * 250)
    with requests.Session() as session:
        statuses = []

        def calls() -> None:
            for _ in range(100 // threads):
                statuses.append(session.get(server.api_url, auth=auth).status_code)

        workers = [threading.Thread(target=calls) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert set(statuses) == {401}
    assert len(server.token_requests) <= 3
    assert len(server.api_requests) <= len(statuses) + 1 + threads
    print(f"{len(server.token_requests)} token requests, {len(server.api_requests)} API requests")
