"""Tokens that many threads share, while they expire or are revoked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import requests

from clientcreds_requests import ClientCredentialsAuth, ClientCredentialsSession

from .server import Server
from .threads import THREADS, in_threads


def test_cold_threads_share_one_token_request(server: Server) -> None:
    auth = ClientCredentialsAuth(*server.credentials, body="form")
    together = threading.Barrier(THREADS, timeout=30)

    def call() -> None:
        together.wait()
        assert requests.get(server.api, auth=auth).status_code == 200

    before = server.stats()
    in_threads(call)
    assert server.stats() - before == {"POST /token 200": 1, "GET /api 200": THREADS}


def test_revoked_token_is_replaced_behind_the_callers_back(server: Server) -> None:
    with ClientCredentialsSession(*server.credentials, base_url=server.url) as session:
        assert session.get("api").history == []
        revoked = session.auth.access_token
        server.revoke(revoked)
        before = server.stats()
        response = session.post("api", data=b"sent twice, received once")

    assert (response.status_code, response.content) == (200, b"sent twice, received once")
    assert [answer.status_code for answer in response.history] == [401]
    assert session.auth.access_token != revoked
    assert server.stats() - before == {
        "POST /api 401": 1,
        "POST /token 200": 1,
        "POST /api 200": 1,
    }


def test_token_revoked_under_load_is_replaced_once(server: Server) -> None:
    with ClientCredentialsSession(*server.credentials, base_url=server.url) as session:
        revoke = threading.Barrier(
            THREADS, lambda: server.revoke(session.auth.access_token), timeout=30
        )

        def calls() -> None:
            assert all(session.get("api").status_code == 200 for _ in range(10))
            revoke.wait()
            assert all(session.get("api").status_code == 200 for _ in range(10))

        session.auth.authorize()
        before = server.stats()
        in_threads(calls)

    answers = server.stats() - before
    assert answers["POST /token 200"] == 1
    assert answers["GET /api 200"] == THREADS * 20
    assert 1 <= answers["GET /api 401"] <= THREADS


def test_no_caller_notices_that_tokens_expire_under_load(start: Callable[..., Server]) -> None:
    # Some servers count in whole seconds: a token of three may live for little more than two.
    server = start(lifetime=3)
    with ClientCredentialsSession(
        *server.credentials, base_url=server.url, body="form", leeway=1.5
    ) as session:
        end = time.monotonic() + 5

        def calls() -> None:
            while time.monotonic() < end:
                assert session.get("api").status_code == 200

        before = server.stats()
        in_threads(calls)

    # Each token serves for 1.5 s: four in 5 s, a little more or less as the machine allows.
    assert 2 <= (server.stats() - before)["POST /token 200"] <= 6
