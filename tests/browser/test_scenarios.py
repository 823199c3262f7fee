"""What the package promises, in a browser."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from clientcreds_requests.testing import Answer, LocalAuthorizationServer

from .page import Page, client_of

NOTHING: dict[str, Any] = {
    "authorized": False,
    "access_token": None,
    "headers": {},
    "expires": None,
    "user_info": None,
    "error": None,
    "error_description": None,
    "error_uri": None,
}
WARNING = (
    "auth.clientCredentials: You should NEVER use this in a browser environment. You will expose "
    "your 'clientSecret' to anyone who can inspect this code allowing anyone access."
)
REFUSAL = {
    "error": "invalid_client",
    "error_description": "no such client",
    "error_uri": "https://auth.example.com/errors",
}


def test_python_is_where_the_tests_suppose_it(page: Page) -> None:
    facts = page.run("facts.python")
    assert facts["version"] >= [3, 14]
    assert facts["platform"] == "emscripten"
    assert facts["in a worker"] == (page.mode == "worker")
    assert facts["can wait for promises"] == (page.mode == "promise")


def test_the_whole_object_of_the_original(page: Page, server: LocalAuthorizationServer) -> None:
    report = page.run("scenarios.whole_object", client=client_of(server))
    assert report["new"] == NOTHING
    assert report["initialized"] == [True, True]
    assert report["authorize"] == [True, True]
    assert report["authorizing"] == {"during": [True], "after": None}
    (token,) = server.tokens
    (request,) = server.token_requests
    assert request.headers["Content-Type"] == "application/json"
    assert request.params == {
        "grant_type": "client_credentials",
        "client_id": server.client_id,
        "client_secret": server.client_secret,
        "scope": "api:read",
    }
    authorized = report["authorized"]
    assert 3590_000 < authorized.pop("expires") - report["now"] <= 3600_000
    assert authorized == {
        **{name: value for name, value in NOTHING.items() if name != "expires"},
        "authorized": True,
        "access_token": token.access_token,
        "headers": {"Authorization": f"Bearer {token.access_token}"},
    }
    assert report["get_user_info"] == "there is no user in the client credentials grant"
    assert report["signed out"] == NOTHING


def test_the_warning_is_to_the_letter_and_points_at_the_callers_line(page: Page) -> None:
    assert page.run("scenarios.warned_at", url="https://auth.example.com/token") == [
        [WARNING, "UserWarning", 'ClientCredentialsAuth(url, "id", "secret")'],
        [WARNING, "UserWarning", 'ClientCredentialsAuth.from_issuer(url, "id", "secret")'],
        [WARNING, "UserWarning", "ClientCredentialsAuth.from_env()"],
        [WARNING, "UserWarning", 'ClientCredentialsSession(url, "id", "secret")'],
        [WARNING, "UserWarning", 'ClientCredentialsSession.from_issuer(url, "id", "secret")'],
        [WARNING, "UserWarning", "ClientCredentialsSession.from_env()"],
    ]


def test_an_error_fills_the_fields_and_success_clears_them(
    page: Page, server: LocalAuthorizationServer
) -> None:
    server.answer_next(Answer(401, REFUSAL))
    report = page.run("scenarios.error_fields", client=client_of(server))
    assert report["failed"] == {**NOTHING, **REFUSAL}
    raised = report["raised"]
    assert raised["kinds"][0] == "TokenError"
    assert {name: raised[name] for name in REFUSAL} == REFUSAL
    assert (raised["status_code"], raised["retryable"]) == (401, False)
    assert report["then"]["error"] is None
    assert report["then"]["access_token"] == server.tokens[-1].access_token


def test_a_wrong_secret_is_an_error_that_names_it(
    page: Page, server: LocalAuthorizationServer
) -> None:
    url, client_id, _ = client_of(server)
    failure = page.run("scenarios.token", client=[url, client_id, "not-the-one"], options={})
    assert (failure["error"], failure["status_code"]) == ("invalid_client", 401)
    assert failure["error_description"] == "unknown client or wrong secret"
    assert "check client_id, client_secret and client_auth" in failure["text"]


@pytest.mark.parametrize("client_auth", ["client_secret_post", "client_secret_basic"])
@pytest.mark.parametrize("body", ["json", "form"])
def test_a_call_has_the_token_however_it_was_asked_for(
    page: Page, server: LocalAuthorizationServer, client_auth: str, body: str
) -> None:
    answer = page.run(
        "scenarios.call",
        url=f"{server.api_url}/things?page=2",
        client=client_of(server),
        options={"client_auth": client_auth, "body": body},
    )
    assert (answer["status"], answer["before"]) == (200, [])
    assert (answer["body"]["path"], answer["body"]["query"]) == ("/api/things", "page=2")
    assert answer["body"]["client_id"] == server.client_id


def test_a_call_after_a_revocation_is_made_again_with_a_new_token(
    page: Page, server: LocalAuthorizationServer
) -> None:
    def call() -> tuple[int, list[int]]:
        answer = page.run("scenarios.call_and_keep", url=server.api_url, client=client_of(server))
        assert answer["body"]["body_sha256"] == sha256(b"body").hexdigest()
        return answer["status"], answer["before"]

    assert call() == (200, [])
    assert call() == (200, [])
    assert len(server.token_requests) == 1
    server.revoke_all()
    assert call() == (200, [401])
    assert [request.token_state for request in server.api_requests] == [
        *("valid", "valid", "revoked", "valid")
    ]
    assert call() == (200, [])
    assert len(server.token_requests) == 2


def test_without_threads_a_token_serves_until_the_leeway_and_is_then_replaced(
    page: Page, server: LocalAuthorizationServer
) -> None:
    assert page.run("facts.thread") == "can't start new thread"
    report = page.run("scenarios.life_of_a_token", client=client_of(server), lifetime=3600)
    first, second = [token.access_token for token in server.tokens]
    assert report == {"new": first, "due": first, "later": second}


def test_a_session_with_a_base_url_keeps_the_token_for_it(
    page: Page, server: LocalAuthorizationServer
) -> None:
    with LocalAuthorizationServer(cors=page.origin) as other:
        things, one, elsewhere = page.run(
            "scenarios.session_with_base_url",
            client=client_of(server),
            base_url=f"{server.api_url}/v1",
            elsewhere=other.api_url,
            proxies={},
        )
        assert [request.token_state for request in other.api_requests] == ["none"]
    assert (things["status"], one["status"], elsewhere["status"]) == (200, 200, 401)
    assert (things["body"]["method"], things["body"]["path"]) == ("GET", "/api/v1/things")
    assert (one["body"]["method"], one["body"]["path"]) == ("PUT", "/api/v1/things/1")
    assert len(server.token_requests) == 1


def test_the_token_endpoint_of_an_issuer_is_found(
    page: Page, server: LocalAuthorizationServer
) -> None:
    _, client_id, secret = client_of(server)
    token = page.run(
        "scenarios.token_by_issuer", issuer=server.issuer, client_id=client_id, secret=secret
    )
    assert token == server.tokens[0].access_token
    assert len(server.metadata_requests) == 1
