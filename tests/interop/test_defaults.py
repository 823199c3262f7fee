"""What works without a setting: the URL, the id and the secret are enough.

What each server does differently is told at the top of its program in servers/. None of them reads
JSON; some look for the client before they look for that, and do not find it.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain, repeat

import pytest
import requests

from clientcreds_requests import ClientCredentialsAuth, ClientCredentialsSession, TokenError

from .server import Server


def test_requests_get_works_with_nothing_but_url_id_and_secret(server: Server) -> None:
    assert (
        requests.get(server.api, auth=ClientCredentialsAuth(*server.credentials)).status_code == 200
    )


def test_session_works_with_nothing_but_url_id_and_secret(server: Server) -> None:
    with ClientCredentialsSession(*server.credentials, base_url=server.url) as session:
        assert session.get("api").status_code == 200


def test_json_is_tried_once_and_the_form_that_worked_is_remembered(server: Server) -> None:
    auth = ClientCredentialsAuth(*server.credentials)
    before = server.stats()
    for _ in range(2):
        assert requests.get(server.api, auth=auth).status_code == 200
        auth.signout()
    assert server.stats() - before == {
        f"POST /token {server.to_json.status}": 1,
        "POST /token 200": 2,
        "GET /api 200": 2,
    }


def test_explicit_form_costs_one_request(server: Server) -> None:
    before = server.stats()
    auth = ClientCredentialsAuth(*server.credentials, body="form")
    assert requests.get(server.api, auth=auth).status_code == 200
    assert server.stats() - before == {"POST /token 200": 1, "GET /api 200": 1}


def test_explicit_json_is_refused_as_the_server_says(server: Server) -> None:
    before = server.stats()
    auth = ClientCredentialsAuth(*server.credentials, body="json")
    with pytest.raises(TokenError) as caught:
        requests.get(server.api, auth=auth)
    assert (caught.value.status_code, caught.value.error) == server.to_json
    assert server.stats() - before == {f"POST /token {server.to_json.status}": 1}


def test_wrong_secret_is_tried_in_both_bodies_once(server: Server) -> None:
    auth = ClientCredentialsAuth(server.token_endpoint, "post-client", "wrong")
    for expected in (server.to_json, server.to_wrong_secret), (server.to_wrong_secret,):
        before = server.stats()
        with pytest.raises(TokenError) as caught:
            auth.authorize()
        assert (caught.value.status_code, caught.value.error) == server.to_wrong_secret
        assert server.stats() - before == Counter(f"POST /token {a.status}" for a in expected)


def test_secret_that_is_rotated_meanwhile_is_tried_at_once(server: Server) -> None:
    secrets = chain(["wrong"], repeat(server.secret))
    auth = ClientCredentialsAuth(server.token_endpoint, "post-client", lambda: next(secrets))
    before = server.stats()
    assert requests.get(server.api, auth=auth).status_code == 200
    seen = server.stats() - before
    assert seen["POST /token 200"] == 1
    assert seen.total() <= 4  # JSON, form, and the form with the new secret; the API
