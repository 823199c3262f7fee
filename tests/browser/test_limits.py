"""What is different in a browser: each sentence of the README's Limits about it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest
import trustme
from helpers import TLSAuthorizationServer, token_answer

from clientcreds_requests import ClientCredentialsSession
from clientcreds_requests.testing import Answer, LocalAuthorizationServer

from .conftest import open_in
from .page import Page, client_of

KEPT_FROM_PAGE = (
    "the browser shows this page no answer, and says why in its console: often the endpoint does "
    "not allow the page's origin (CORS), here or in its answer to the preflight request"
)
ONCE = {"retries": 0}


# Other origins


def test_an_endpoint_that_does_not_allow_the_page_is_a_connection_error_that_says_so(
    page: Page, server: LocalAuthorizationServer
) -> None:
    server.cors = None
    failure = page.run("scenarios.token", client=client_of(server), options=ONCE)
    assert failure["kinds"][:3] == ["TokenConnectionError", "TokenError", "ConnectionError"]
    assert failure["text"] == (
        f"token request to {server.token_endpoint} failed: HTTPException: {KEPT_FROM_PAGE}"
    )
    # Nothing but the question was sent.
    assert len(server.preflight_requests) == 1
    assert server.token_requests == []


def test_a_form_without_a_header_of_its_own_is_sent_without_asking_and_its_answer_kept(
    page: Page, server: LocalAuthorizationServer
) -> None:
    options = {**ONCE, "body": "form"}
    assert "token" in page.run("scenarios.token", client=client_of(server), options=options)
    server.cors = None
    failure = page.run("scenarios.token", client=client_of(server), options=options)
    assert failure["kinds"][0] == "TokenConnectionError"
    assert [request.status for request in server.token_requests] == [200, 200]
    assert server.preflight_requests == []


def test_an_endpoint_that_is_down_looks_the_same(
    page: Page, server: LocalAuthorizationServer
) -> None:
    server.down = True
    failure = page.run("scenarios.token", client=client_of(server), options=ONCE)
    assert failure["kinds"][0] == "TokenConnectionError"
    assert KEPT_FROM_PAGE in failure["text"]
    assert failure["retryable"] is True


def test_an_api_that_does_not_allow_the_page_is_requests_own_connection_error(
    page: Page, server: LocalAuthorizationServer
) -> None:
    with LocalAuthorizationServer() as other:
        call: dict[str, Any] = {"url": other.api_url, "client": client_of(server), "options": {}}
        assert page.run("scenarios.call", **call)["kinds"][0] == "ConnectionError"
        assert other.api_requests == []
        other.cors = page.origin
        assert page.run("scenarios.call", **call)["status"] == 401  # a token of another server


def test_headers_that_the_server_does_not_expose_are_not_there(
    page: Page, server: LocalAuthorizationServer
) -> None:
    for exposed in ("Retry-After", ""):
        headers = {"Retry-After": "60", "Access-Control-Expose-Headers": exposed}
        server.answer_next(Answer(429, headers=headers))
        failure = page.run("scenarios.token", client=client_of(server), options=ONCE)
        assert failure["status_code"] == 429
        assert (failure["retry_after"] is not None) == bool(exposed)


def test_a_challenge_that_is_not_exposed_does_not_stop_the_replay(
    page: Page, server: LocalAuthorizationServer
) -> None:
    for exposed, tokens in (("WWW-Authenticate", 1), ("", 3)):
        headers = {
            "WWW-Authenticate": 'Bearer error="insufficient_scope"',
            "Access-Control-Expose-Headers": exposed,
        }
        server.api_answer_next(Answer(401, {}, headers))
        page.run("scenarios.call", url=server.api_url, client=client_of(server), options={})
        assert len(server.tokens) == tokens


def test_the_browser_writes_a_user_agent_of_its_own(
    page: Page, server: LocalAuthorizationServer
) -> None:
    options = {"extra_headers": {"User-Agent": "mine"}}
    page.run("scenarios.token", client=client_of(server), options=options)
    (request,) = server.token_requests
    assert "Chrome" in request.headers["User-Agent"]


# Redirects


def test_a_redirect_of_the_token_endpoint_is_followed_without_a_word(
    page: Page, server: LocalAuthorizationServer
) -> None:
    server.answer_next(Answer(307, headers={"Location": "/token?moved"}))
    outcome = page.run("scenarios.token", client=client_of(server), options=ONCE)
    assert outcome["token"] == server.tokens[0].access_token
    assert [request.query for request in server.token_requests] == ["", "moved"]


def test_the_secret_follows_a_307_to_any_origin_that_allows_it(
    page: Page, server: LocalAuthorizationServer
) -> None:
    with LocalAuthorizationServer(cors="*") as other:
        server.answer_next(Answer(307, headers={"Location": other.token_endpoint}))
        outcome = page.run("scenarios.token", client=client_of(server), options=ONCE)
        assert outcome["token"] == other.tokens[0].access_token
        (request,) = other.token_requests
        assert request.params["client_secret"] == server.client_secret
        assert request.headers["Origin"] == "null"


def test_a_302_is_followed_with_a_get_that_carries_nothing(
    page: Page, server: LocalAuthorizationServer
) -> None:
    with LocalAuthorizationServer(cors="*") as other:
        server.answer_next(*[Answer(302, headers={"Location": other.token_endpoint})] * 2)
        failure = page.run("scenarios.token", client=client_of(server), options=ONCE)
        assert failure["status_code"] == 405
        assert {(r.method, r.body) for r in other.token_requests} == {("GET", b"")}


def test_the_token_does_not_follow_a_redirect_of_the_api_to_another_origin(
    page: Page, server: LocalAuthorizationServer
) -> None:
    with LocalAuthorizationServer(cors="*") as other:
        for target in (f"{server.api_url}/here", other.api_url):
            server.api_answer_next(Answer(307, headers={"Location": target}))
            page.run("scenarios.call", url=server.api_url, client=client_of(server), options={})
        assert [request.token_state for request in server.api_requests][:2] == ["valid", "valid"]
        assert other.api_requests
        assert {request.token_state for request in other.api_requests} == {"none"}


# Proxies, certificates


def test_proxies_are_the_browsers_business(page: Page, server: LocalAuthorizationServer) -> None:
    call: dict[str, Any] = {
        "client": client_of(server),
        "base_url": server.api_url,
        "elsewhere": server.api_url,
        "proxies": {"http": "http://127.0.0.1:9"},  # where nobody listens
    }
    outcomes = page.run("scenarios.session_with_base_url", **call)
    assert [outcome["status"] for outcome in outcomes] == [200, 200, 200]


def test_certificates_are_the_browsers_business(page: Page) -> None:
    with TLSAuthorizationServer(trustme.CA()) as server:
        server.cors = page.origin
        client = client_of(server)
        with ClientCredentialsSession(*client) as session:
            session.verify = False
            with pytest.warns(match="Unverified HTTPS request"):
                session.auth.authorize()
        failure = page.run("scenarios.token_without_verification", client=client)
        assert failure["kinds"][0] == "TokenConnectionError"
        assert KEPT_FROM_PAGE in failure["text"]
        assert len(server.token_requests) == 1


# Timeouts, threads


def test_a_timeout_holds_but_not_on_the_main_thread_without_promises(
    page: Page, server: LocalAuthorizationServer
) -> None:
    server.latency = 1.5
    options = {**ONCE, "timeout": 0.3, "deadline": 0.5}
    outcome = page.run("scenarios.token", client=client_of(server), options=options)
    if page.mode == "main":
        assert outcome["token"] == server.tokens[0].access_token
        assert outcome["seconds"] >= 1.5
    else:
        assert outcome["kinds"][0] == "TokenTimeout"
        assert outcome["seconds"] < 1.5
        assert "no answer in time" in outcome["text"]


def test_tasks_that_wait_for_promises_share_a_token_but_not_a_token_request(
    page: Page, server: LocalAuthorizationServer
) -> None:
    server.latency = 0.5
    ask = ("scenarios.shared_token", {"client": client_of(server)})
    first, second = page.run_together(ask, ask)
    (token,) = server.tokens
    assert first == {"token": token.access_token}
    if page.mode == "promise":
        assert second["text"] == "no token: it was asked for within its own token request"
    else:  # where one task ends before the next begins
        assert second == first
    assert page.run_together(ask, ask) == [first, first]
    assert len(server.token_requests) == 1


def test_a_large_answer_is_read_whole_and_then_refused(
    page: Page, server: LocalAuthorizationServer
) -> None:
    padding = "x" * 1024 * 1024
    server.answer_next(*[Answer(200, token_answer("never used", padding=padding))] * 2)
    failure = page.run("scenarios.token", client=client_of(server), options=ONCE)
    assert "the body is larger than 1048576 bytes" in failure["text"]


def test_json_nested_without_end_ends_python(tmp_path_factory: pytest.TempPathFactory) -> None:
    opened = contextmanager(open_in)("main", tmp_path_factory)
    with opened as page, LocalAuthorizationServer(cors=page.origin) as server:
        server.answer_next(Answer(200, b"[" * 200_000))
        with pytest.raises(AssertionError, match="Maximum call stack size exceeded"):
            page.run("scenarios.token", client=client_of(server), options=ONCE)
