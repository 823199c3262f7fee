"""The test kit for pages in a browser: which of them may call it."""

from __future__ import annotations

import pytest
from kit import ask, call, send

from clientcreds_requests.testing import RESET, Answer, LocalAuthorizationServer

PAGE = "http://127.0.0.1:8000"


def preflight(url: str, method: str = "POST", headers: str = "authorization,content-type"):
    """Ask as a browser does before it sends a request of a page."""
    asked = {
        "Origin": PAGE,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }
    return send(url, "OPTIONS", headers=asked)


@pytest.mark.parametrize("origin", [PAGE, "*"])
def test_a_preflight_is_told_that_the_page_may_send_the_request(origin: str) -> None:
    with LocalAuthorizationServer(cors=origin) as server:
        for url, method in ((server.token_endpoint, "POST"), (f"{server.api_url}/x", "PATCH")):
            answer = preflight(url, method)
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Origin"] == origin
            assert answer.headers["Access-Control-Allow-Methods"] == method
            allowed = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
            assert set(allowed) == {"authorization", "content-type", "dpop"}


def test_a_page_may_read_every_answer_and_the_headers_that_a_client_needs() -> None:
    with LocalAuthorizationServer(cors=PAGE) as server:
        server.answer_next(Answer(503, headers={"Retry-After": "1"}))
        answers = [
            ask(server),
            ask(server, client_secret="wrong"),
            ask(server),
            call(server, server.tokens[-1].access_token),
            call(server, "unknown"),
            send(f"{server.issuer}/.well-known/openid-configuration"),
        ]
    assert [answer.status for answer in answers] == [503, 401, 200, 200, 401, 200]
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert answer.headers["Vary"] == "Origin"
        shown = answer.headers["Access-Control-Expose-Headers"].lower().split(", ")
        assert set(shown) == {"dpop-nonce", "retry-after", "www-authenticate"}


def test_an_answer_that_has_such_a_header_keeps_it() -> None:
    with LocalAuthorizationServer(cors=PAGE) as server:
        server.answer_next(Answer(headers={"Access-Control-Allow-Origin": "http://other.example"}))
        assert ask(server).headers.get_all("Access-Control-Allow-Origin") == [
            "http://other.example"
        ]


def test_without_cors_no_answer_allows_a_page_anything() -> None:
    with LocalAuthorizationServer() as server:
        for answer in (preflight(server.token_endpoint), preflight(server.api_url), ask(server)):
            assert not [name for name in answer.headers if name.startswith("Access-Control-")]
        server.cors = PAGE
        assert "Access-Control-Allow-Origin" in ask(server).headers


def test_preflights_are_listed_apart_and_use_up_no_script() -> None:
    with LocalAuthorizationServer(cors=PAGE) as server:
        server.answer_next(Answer(500))
        server.api_answer_next(RESET)
        preflight(server.api_url)
        preflight(server.token_endpoint)
        preflight(f"{server.issuer}/.well-known/openid-configuration", "GET")
        paths = [request.path for request in server.preflight_requests]
        assert paths == ["/token", "/.well-known/openid-configuration", "/api"]
        assert server.token_requests == server.api_requests == server.metadata_requests == []
        assert ask(server).status == 500
        assert len(server.token_requests) == 1


def test_options_that_are_no_preflight_are_a_request_like_any_other() -> None:
    with LocalAuthorizationServer(cors=PAGE) as server:
        assert send(server.token_endpoint, "OPTIONS").status == 405
        assert send(server.api_url, "OPTIONS").status == 401
        assert len(server.token_requests) == len(server.api_requests) == 1
        assert server.preflight_requests == []
