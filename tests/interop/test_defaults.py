"""What works without a setting: the URL, the id and the secret are enough.

What each server does differently is told at the top of its program in servers/.
"""

from __future__ import annotations

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
        "POST /token 400": 1,
        "POST /token 200": 2,
        "GET /api 200": 2,
    }


def test_explicit_form_costs_one_request(server: Server) -> None:
    before = server.stats()
    auth = ClientCredentialsAuth(*server.credentials, body="form")
    assert requests.get(server.api, auth=auth).status_code == 200
    assert server.stats() - before == {"POST /token 200": 1, "GET /api 200": 1}


def test_explicit_json_is_refused_by_name(server: Server) -> None:
    auth = ClientCredentialsAuth(*server.credentials, body="json")
    with pytest.raises(TokenError) as caught:
        requests.get(server.api, auth=auth)
    assert caught.value.error in ("invalid_request", "unsupported_grant_type")
    assert caught.value.status_code == 400
