"""A repr says what an object is, where it asks, and for how long it has a usable token."""

from __future__ import annotations

import pytest
import requests

import clientcreds_requests
from clientcreds_requests import (
    ClientCredentialsAuth,
    ClientCredentialsSession,
    Token,
    TokenManager,
    TokenRequest,
)


@pytest.fixture
def session(server, clock):
    client = (server.token_endpoint, server.client_id, server.client_secret)
    with ClientCredentialsSession(*client, scope="a", base_url="https://api.example/v1") as made:
        yield made


def test_an_auth_says_whether_it_has_a_usable_token_and_for_how_long(server, session, clock):
    auth = session.auth
    where = f"<ClientCredentialsAuth {server.token_endpoint} 'my-service' TokenRequest(scope='a')"
    assert repr(auth) == f"{where}: no usable token>"
    auth.authorize()
    assert repr(auth) == f"{where}: usable for 3580 s>"
    clock.advance(3000)
    assert repr(auth) == f"{where}: usable for 580 s>"
    clock.advance(590)  # within the leeway
    assert repr(auth) == f"{where}: no usable token>"


def test_a_session_says_where_relative_urls_lead_and_what_its_auth_says(session):
    assert repr(session) == f"<ClientCredentialsSession https://api.example/v1/ {session.auth!r}>"


@pytest.mark.parametrize("other", [("user", "a-password"), None, requests.auth.AuthBase()])
def test_a_session_with_another_auth_shows_its_type_alone(session, other):
    session.auth, session.base_url = other, None
    expected = f"<ClientCredentialsSession without a base URL {type(other).__name__}>"
    assert repr(session) == expected


def test_a_manager_says_where_it_asks(server, session):
    where = f"<TokenManager <TokenEndpoint {server.token_endpoint} 'my-service'>"
    assert repr(session.auth.manager) == f"{where}: no usable token>"
    session.auth.authorize()
    assert repr(session.auth.manager) == f"{where}: usable for 3580 s>"
    session.auth.signout()
    assert repr(session.auth.manager) == f"{where}: no usable token>"


def test_a_manager_with_a_store_names_its_type(server):
    class Shelf:
        def get_or_fetch(self, key, fetch, rejected):
            return fetch()

    client = (server.token_endpoint, server.client_id, server.client_secret)
    auth = ClientCredentialsAuth(*client, store=Shelf())
    assert repr(auth.manager).startswith("<TokenManager Shelf <TokenEndpoint http://127.0.0.1:")


def test_a_manager_with_a_callable_names_that(clock):
    def fetch_one(request):
        return Token("t")

    manager = TokenManager(fetch_one)
    manager.get_token()
    assert repr(manager).startswith("<TokenManager test_a_manager_with_a_callable_names_that.")
    assert repr(manager).endswith("fetch_one: usable until refused>")


def test_a_token_says_how_long_it_lives(clock):
    token = Token("a-token", clock.time() + 60, "api:read")
    assert "scope='api:read', token_type='Bearer', seconds_left=60)" in repr(token)
    assert "seconds_left=inf)" in repr(Token("a-token"))


def test_a_request_shows_what_is_set():
    assert repr(TokenRequest()) == "TokenRequest()"
    assert repr(TokenRequest(audience="b")) == "TokenRequest(audience='b')"


def test_help_names_what_the_package_exports(capsys):
    help(clientcreds_requests)
    shown = capsys.readouterr().out
    assert [name for name in clientcreds_requests.__all__ if name not in shown] == []
