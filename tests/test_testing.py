"""The test kit does what it says: it is what all other tests stand on."""

from __future__ import annotations

import json
import re
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

import pytest
from kit import FORM, PATIENCE, Response, ask, call, connect, hold, send

from clientcreds_requests.testing import (
    Answer,
    LocalAuthorizationServer,
)


def ask_basic(server: LocalAuthorizationServer, credentials: str, **params: Any) -> Response:
    headers = {"Authorization": "Basic " + b64encode(credentials.encode()).decode()}
    params = {"client_id": None, "client_secret": None, **params}
    return ask(server, headers=headers, **params)


# -- the token endpoint ---------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["form", "json"])
def test_the_right_secret_in_the_body_gets_a_token(
    server: LocalAuthorizationServer, body: str
) -> None:
    response = ask(server, body, scope="api:read")
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    [token] = server.tokens
    assert response.json == {
        "access_token": token.access_token,
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": "api:read",
    }
    assert len(token.access_token) >= 32


@pytest.mark.parametrize("encode", [quote, quote_plus, lambda s: quote(s, safe="")])
def test_basic_credentials_are_percent_decoded_with_either_space(
    server: LocalAuthorizationServer, encode: Any
) -> None:
    server.client_id, server.client_secret = "my service", "a b+c%20d:é€"
    credentials = f"{encode(server.client_id)}:{encode(server.client_secret)}"
    assert ask_basic(server, credentials).status == 200
    assert ask_basic(server, credentials, client_id=server.client_id).status == 200
    assert ask_basic(server, "my service:a b+c%20d:é€").error == (401, "invalid_client")


def test_the_default_secret_needs_correct_encoding(server: LocalAuthorizationServer) -> None:
    raw = f"{server.client_id}:{server.client_secret}"
    assert ask_basic(server, raw).error == (401, "invalid_client")


@pytest.mark.parametrize(
    "params",
    [
        {"client_secret": "wrong"},
        {"client_secret": None},
        {"client_id": "nobody"},
        {"client_id": None},
        {"client_id": "nobody", "client_secret": ""},
        {"client_secret": None, "client_assertion": "a.b.c"},
    ],
)
def test_a_client_that_cannot_prove_itself_in_the_body_gets_a_plain_401(
    server: LocalAuthorizationServer, params: dict[str, Any]
) -> None:
    response = ask(server, **params)
    assert response.error == (401, "invalid_client")
    assert "WWW-Authenticate" not in response.headers
    assert server.token_requests[0].client_id is None
    assert server.tokens == []


def test_a_lone_surrogate_in_a_secret_is_only_a_wrong_secret(
    server: LocalAuthorizationServer,
) -> None:
    assert ask(server, "json", client_secret="\ud800").error == (401, "invalid_client")


def test_a_client_without_a_secret_is_no_client(server: LocalAuthorizationServer) -> None:
    server.clients["public"] = ""
    assert ask_basic(server, "public:").error == (401, "invalid_client")


@pytest.mark.parametrize(
    "authorization",
    ["Basic", "Basic %%", "Basic /////w==", "Basic YQ==", "Bearer YTpi", "Basic YTpi"],
)
def test_a_bad_authorization_header_gets_a_basic_challenge(
    server: LocalAuthorizationServer, authorization: str
) -> None:
    headers = {"Authorization": authorization}
    response = ask(server, headers=headers, client_id=None, client_secret=None)
    assert response.error == (401, "invalid_client")
    assert response.headers["WWW-Authenticate"].startswith('Basic realm="')


def test_two_client_authentication_methods_at_once_are_refused(
    server: LocalAuthorizationServer,
) -> None:
    credentials = f"{server.client_id}:{quote(server.client_secret)}"
    for body in ({"client_secret": server.client_secret}, {"client_id": "other"}):
        assert ask_basic(server, credentials, **body).error == (400, "invalid_request")


def test_only_the_accepted_methods_authenticate_a_client() -> None:
    with LocalAuthorizationServer(methods=["client_secret_basic"]) as server:
        credentials = f"{server.client_id}:{quote(server.client_secret)}"
        assert ask(server).error == (401, "invalid_client")
        assert ask_basic(server, credentials).status == 200
        server.methods = {"client_secret_post"}
        assert ask(server).status == 200
        assert ask_basic(server, credentials).error == (401, "invalid_client")


def test_only_the_accepted_bodies_are_read() -> None:
    with LocalAuthorizationServer(accepts=["form"]) as server:
        assert ask(server, "json").error == (400, "invalid_request")
        assert ask(server, "form").status == 200
        server.accepts = {"json"}
        assert ask(server, "json").status == 200
        assert ask(server, "form").error == (400, "invalid_request")
        text = {"Content-Type": "text/plain"}
        assert ask(server, headers=text).error == (400, "invalid_request")


def test_a_rotated_secret_and_further_clients_count_at_once(
    server: LocalAuthorizationServer,
) -> None:
    old, server.client_secret = server.client_secret, "new"
    server.clients["other"] = "its own"
    assert ask(server, client_secret=old).error == (401, "invalid_client")
    assert ask(server).status == 200
    assert ask(server, client_id="other", client_secret="its own").status == 200
    assert [r.client_id for r in server.token_requests] == [None, "my-service", "other"]
    assert [t.client_id for t in server.tokens] == ["my-service", "other"]


@pytest.mark.parametrize("grant_type", ["password", None])
def test_another_grant_is_unsupported(
    server: LocalAuthorizationServer, grant_type: str | None
) -> None:
    assert ask(server, grant_type=grant_type).error == (400, "unsupported_grant_type")


@pytest.mark.parametrize("name", ["scope", "grant_type", "x"])
def test_a_parameter_given_twice_is_an_invalid_request(
    server: LocalAuthorizationServer, name: str
) -> None:
    params: dict[str, Any] = {name: ["client_credentials"] * 2}
    assert ask(server, **params).error == (400, "invalid_request")
    assert ask(server, "json", **params).error == (400, "invalid_request")


@pytest.mark.parametrize("body", ["form", "json"])
def test_resource_and_audience_may_be_repeated(server: LocalAuthorizationServer, body: str) -> None:
    resources = ["https://a.example", "https://b.example", "https://c.example"]
    assert ask(server, body, resource=resources, audience=["x", "y"]).status == 200
    assert server.token_requests[0].params["resource"] == resources


def test_an_unknown_scope_is_invalid_and_no_scope_means_all() -> None:
    with LocalAuthorizationServer(scopes=["b", "a"]) as server:
        assert ask(server, scope="a c").error == (400, "invalid_scope")
        assert ask(server, scope="b").json["scope"] == "b"
        assert ask(server).json["scope"] == "a b"
        server.scopes = None
        assert ask(server, scope="a c").json["scope"] == "a c"
        assert "scope" not in ask(server).json


def test_scopes_in_one_string_are_refused():
    with pytest.raises(TypeError, match="scopes must be a list of str, not one str"):
        LocalAuthorizationServer(scopes="api:read api:write")


def test_a_server_without_lifetime_leaves_expires_in_out(server: LocalAuthorizationServer) -> None:
    server.lifetime = None
    token = ask(server).json
    assert "expires_in" not in token
    assert server.tokens[0].expires_at is None
    assert call(server, token["access_token"]).status == 200


def test_the_token_endpoint_is_for_post_and_keeps_its_query(
    server: LocalAuthorizationServer,
) -> None:
    response = send(server.token_endpoint)
    assert (response.status, response.headers["Allow"]) == (405, "POST")
    assert send(f"{server.url}/elsewhere", "POST").status == 404
    assert send(f"{server.token_endpoint}?tenant=1", "POST").error == (400, "invalid_request")
    assert server.token_requests[-1].query == "tenant=1"


# -- the API --------------------------------------------------------------------------------------


def test_the_api_echoes_any_request_with_a_valid_token(server: LocalAuthorizationServer) -> None:
    token = server.issue("someone", "api:read").access_token
    url = f"{server.api_url}/things?page=2"
    response = send(url, "PATCH", b"abc", {"Authorization": f"bearer {token}"})
    assert response.status == 200
    assert response.json == {
        "method": "PATCH",
        "path": "/api/things",
        "query": "page=2",
        "body_length": 3,
        "body_sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "client_id": "someone",
        "scope": "api:read",
    }


def test_the_api_is_another_origin(server: LocalAuthorizationServer) -> None:
    assert urlsplit(server.api_url).netloc != urlsplit(server.token_endpoint).netloc
    assert server.token_endpoint == f"{server.url}/token"


def test_a_token_that_is_no_good_is_refused_with_its_state(
    server: LocalAuthorizationServer,
) -> None:
    valid, revoked = server.issue().access_token, server.issue().access_token
    server.lifetime = 0
    expired = server.issue().access_token
    server.revoke(revoked)
    for token, state in [(expired, "expired"), (revoked, "revoked"), ("mine", "unknown")]:
        response = call(server, token)
        assert response.error == (401, "invalid_token")
        challenge = response.headers["WWW-Authenticate"]
        assert re.fullmatch(r'Bearer realm="api", error="invalid_token", .*"', challenge)
        assert state in challenge
        assert server.api_requests[-1].token_state == state
        assert server.api_requests[-1].access_token == token
    assert call(server, valid).status == 200
    server.revoke_all()
    assert call(server, valid).status == 401
    assert [t.state for t in server.tokens] == ["revoked"] * 3


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic YTpi"}])
def test_a_call_without_a_token_gets_a_challenge_without_an_error(
    server: LocalAuthorizationServer, headers: dict[str, str]
) -> None:
    response = send(server.api_url, headers=headers)
    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="api"'
    assert server.api_requests[0].token_state == "none"
    assert server.api_requests[0].access_token is None


def test_revoking_what_was_never_issued_is_an_error_that_does_not_repeat_it(
    server: LocalAuthorizationServer,
) -> None:
    with pytest.raises(ValueError, match="access_token: pass one") as caught:
        server.revoke("t0ken")
    assert "t0ken" not in str(caught.value)


# -- the records ----------------------------------------------------------------------------------


def test_a_record_says_what_arrived_and_how_it_ended(server: LocalAuthorizationServer) -> None:
    before = time.monotonic()
    with closing(connect(server.url)) as connection:
        ask(server, "json", connection, scope="a", headers={"X-Trace": "7"})
        assert connection.sock is not None
        port = connection.sock.getsockname()[1]
    [record] = server.token_requests
    assert (record.method, record.path, record.query) == ("POST", "/token", "")
    assert record.headers.get("x-trace") == "7"
    assert record.params == json.loads(record.body)
    assert record.client_id == server.client_id
    assert record.client_port == port
    assert record.status == 200
    assert record.token_state is None
    assert record.ended is not None
    assert before <= record.started <= record.ended <= time.monotonic()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"[1]"),
        ("application/json", b"{"),
        ("application/json", b"[" * 200_000),
        ("application/json", b"\xff"),
        (FORM, b"\xff=\xff"),
        ("text/plain", b"a=b"),
    ],
)
def test_a_body_without_parameters_is_recorded_as_it_is(
    server: LocalAuthorizationServer, content_type: str, body: bytes
) -> None:
    response = send(server.token_endpoint, "POST", body, {"Content-Type": content_type})
    assert response.status in (400, 401)
    [record] = server.token_requests
    assert (record.params, record.body) == ({}, body)


def test_a_request_in_flight_is_recorded_already(server: LocalAuthorizationServer) -> None:
    arrived, go_on = hold(server)
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(ask, server)
        assert arrived.wait(PATIENCE)
        [record] = server.token_requests
        assert (record.status, record.ended) == (None, None)
        go_on.set()
        assert asking.result().status == 200
    assert server.token_requests[0].status == 200


def test_reset_records_forgets_also_what_is_in_flight(server: LocalAuthorizationServer) -> None:
    ask(server)
    call(server, "none")
    arrived, go_on = hold(server)
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(ask, server)
        assert arrived.wait(PATIENCE)
        server.reset_records()
        go_on.set()
        assert asking.result().status == 200
    assert server.token_requests == server.api_requests == []
    assert len(server.tokens) == 2


def test_no_repr_shows_a_secret(server: LocalAuthorizationServer) -> None:
    token = ask(server, scope="a").json["access_token"]
    call(server, token)
    answer = Answer(200, {"access_token": token})
    shown = repr([server, *server.token_requests, *server.api_requests, *server.tokens, answer])
    assert "/api" in shown
    assert token not in shown
    assert server.client_secret not in shown
    assert quote_plus(server.client_secret) not in shown
