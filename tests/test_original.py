"""The README of @schematize/client-credentials, sentence by sentence: each still holds here."""

from __future__ import annotations

import tempfile
from concurrent.futures import Future

import pytest
import requests
from helpers import PATIENCE, Crowd, Held

from clientcreds_requests import ClientCredentialsAuth, TokenError
from clientcreds_requests.testing import Answer

TICK = 2**-10
"""Seconds; a float as large as the time of day has room for it."""

REFUSAL = {
    "error": "invalid_client",
    "error_description": "no such client",
    "error_uri": "https://auth.example.com/errors",
}


# Features


def test_it_posts_json_with_grant_type_client_id_client_secret_scope_and_resource(
    server, make_auth
):
    make_auth(scope="api:read api:write", resources=["https://a.example", "urn:b"]).authorize()
    (request,) = server.token_requests
    assert request.method == "POST"
    assert request.headers["Content-Type"] == "application/json"
    assert request.params == {
        "grant_type": "client_credentials",
        "client_id": server.client_id,
        "client_secret": server.client_secret,
        "scope": "api:read api:write",
        "resource": ["https://a.example", "urn:b"],
    }


def test_scope_and_resources_are_optional(server, auth):
    auth.authorize()
    assert server.token_requests[0].params.keys() == {"grant_type", "client_id", "client_secret"}


def test_one_resource_is_sent_as_an_array_too(server, make_auth):
    make_auth(resources=["https://a.example"]).authorize()
    assert server.token_requests[0].params["resource"] == ["https://a.example"]


def test_resources_must_be_a_list(make_auth):
    with pytest.raises(TypeError, match="resources must be a list of str, not one str"):
        make_auth(resources="https://a.example")


@pytest.mark.parametrize("missing", ["token_endpoint", "client_id", "client_secret"])
def test_endpoint_client_id_and_client_secret_are_required(server, missing):
    given = {
        "token_endpoint": server.token_endpoint,
        "client_id": server.client_id,
        "client_secret": server.client_secret,
    }
    with pytest.raises(ValueError, match=missing):
        ClientCredentialsAuth(**{**given, missing: ""})
    del given[missing]
    with pytest.raises((TypeError, ValueError), match=missing):
        ClientCredentialsAuth(**given)


def test_tokens_are_kept_in_memory_only(server, make_auth, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    auth = make_auth().authorize()
    requests.get(server.api_url, auth=auth)
    assert list(tmp_path.iterdir()) == []
    assert not make_auth().authorized


def test_concurrent_authorize_calls_collapse_to_one_request(server, auth):
    held = Held()
    server.answer_next(held)
    crowd = Crowd(20, auth.authorize)
    assert held.arrived.wait(PATIENCE)
    held.released.set()
    assert crowd.join() == [auth] * 20
    assert len(server.token_requests) == 1


# initialized, initialize()


def test_initialized_is_the_same_future_as_initialize_returns(auth):
    assert isinstance(auth.initialized, Future)
    assert auth.initialized is auth.initialize() is auth.initialized


def test_initialize_resolves_immediately_to_the_auth_without_a_request(server, auth):
    assert auth.initialize().done()
    assert auth.initialize().result() is auth
    assert server.token_requests == []
    assert not auth.authorized


def test_initialized_of_a_sibling_is_the_siblings(auth):
    auth.initialize()
    sibling = auth.replace(scope="a")
    assert sibling.initialized.result() is sibling


# authorize()


def test_authorize_makes_no_request_while_more_than_20_seconds_are_left(server, clock, make_auth):
    auth = make_auth(renew_ahead=0).authorize()
    clock.advance(3600 - 20 - TICK)
    assert auth.authorized
    assert auth.authorize() is auth
    assert len(server.token_requests) == 1


def test_authorize_makes_a_request_when_20_seconds_are_left(server, clock, make_auth):
    auth = make_auth(renew_ahead=0).authorize()
    clock.advance(3600 - 20)
    assert not auth.authorized
    auth.authorize()
    assert len(server.token_requests) == 2
    assert auth.access_token == server.tokens[1].access_token
    assert auth.authorized


def test_authorize_resolves_to_the_object_and_sets_what_it_got(server, auth):
    assert auth.authorize() is auth
    token = server.tokens[0].access_token
    assert auth.authorized is True
    assert auth.access_token == token
    assert auth.headers == {"Authorization": f"Bearer {token}"}


def test_expires_is_now_plus_expires_in_in_milliseconds(clock, auth):
    auth.authorize()
    assert auth.expires == int((clock.time() + 3600) * 1000)
    assert type(auth.expires) is int


def test_the_headers_are_what_another_http_client_needs(server, auth):
    assert requests.get(server.api_url, headers=auth.authorize().headers).ok


def test_nothing_is_there_before_authorize(auth):
    assert auth.authorized is False
    assert (auth.access_token, auth.expires, auth.headers) == (None, None, {})
    assert (auth.error, auth.error_description, auth.error_uri) == (None, None, None)
    assert (auth.authorizing, auth.user_info) == (None, None)


# authorizing


def test_authorizing_is_there_while_a_request_runs_and_only_then(server, auth):
    held = Held()
    server.answer_next(held)
    pending = Crowd(1, auth.authorize)
    assert held.arrived.wait(PATIENCE)
    authorizing = auth.authorizing
    assert isinstance(authorizing, Future)
    assert not authorizing.done()
    held.released.set()
    assert authorizing.result(PATIENCE).access_token == server.tokens[0].access_token
    pending.join()
    assert auth.authorizing is None


def test_whoever_waits_for_authorizing_cannot_cancel_it_for_the_others(server, auth):
    held = Held()
    server.answer_next(held)
    pending = Crowd(1, auth.authorize)
    assert held.arrived.wait(PATIENCE)
    assert not auth.authorizing.cancel()
    held.released.set()
    assert pending.join() == [auth]


# error, error_description, error_uri


def test_a_failure_sets_error_error_description_and_error_uri(server, auth):
    server.answer_next(Answer(401, REFUSAL), Answer(401, REFUSAL))
    with pytest.raises(TokenError) as caught:
        auth.authorize()
    assert (auth.error, auth.error_description, auth.error_uri) == tuple(REFUSAL.values())
    assert caught.value.error_uri == REFUSAL["error_uri"]
    assert not auth.authorized


def test_a_failure_without_an_oauth_error_leaves_them_none(server, make_auth):
    server.answer_next(Answer(404))
    auth = make_auth(body="json")
    with pytest.raises(TokenError):
        auth.authorize()
    assert (auth.error, auth.error_description, auth.error_uri) == (None, None, None)


def test_success_clears_them(server, auth):
    server.answer_next(Answer(401, REFUSAL), Answer(401, REFUSAL))
    with pytest.raises(TokenError):
        auth.authorize()
    auth.authorize()
    assert (auth.error, auth.error_description, auth.error_uri) == (None, None, None)


# signout()


def test_signout_clears_everything(server, auth):
    auth.authorize()
    assert auth.signout() is None
    assert auth.authorized is False
    assert (auth.access_token, auth.expires, auth.headers) == (None, None, {})
    assert auth.user_info is None


def test_signout_clears_the_errors(server, auth):
    server.answer_next(Answer(401, REFUSAL), Answer(401, REFUSAL))
    with pytest.raises(TokenError):
        auth.authorize()
    auth.signout()
    assert (auth.error, auth.error_description, auth.error_uri) == (None, None, None)


def test_signout_calls_no_revocation_endpoint_and_works_offline(server, auth):
    auth.authorize()
    with server.outage():
        auth.signout()
        assert not auth.authorized
        assert len(server.token_requests) == 1
    assert server.tokens[0].state == "valid"


def test_after_signout_authorize_asks_again(server, auth):
    auth.authorize().signout()
    auth.authorize()
    assert auth.access_token == server.tokens[1].access_token


def test_signout_forgets_the_result_of_a_request_in_flight(server, auth):
    held = Held()
    server.answer_next(held)
    pending = Crowd(1, auth.authorize)
    assert held.arrived.wait(PATIENCE)
    auth.signout()
    held.released.set()
    pending.join()
    assert not auth.authorized
    assert auth.access_token is None


# getUserInfo(), userInfo


def test_get_user_info_always_raises(auth):
    for _ in ("signed out", "authorized"):
        with pytest.raises(NotImplementedError, match="there is no user"):
            auth.get_user_info()
        assert auth.user_info is None
        auth.authorize()
