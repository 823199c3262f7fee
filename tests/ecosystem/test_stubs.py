"""Stubs, servers and guards of tests: the token request meets them as any other request does."""

from __future__ import annotations

import pytest
import requests

from clientcreds_requests import ClientCredentialsAuth, TokenError

TOKEN_ENDPOINT = "https://auth.example.com/token"
API = "https://api.example.com/data"
CLIENT = (TOKEN_ENDPOINT, "id", "a-stubbed-secret")
TOKENS = ["stubbed-token-1", "stubbed-token-2", "stubbed-token-3"]
STATUSES = [200, 200, 200, 401, 200]


def answer(token: str) -> dict[str, object]:
    return {"access_token": token, "token_type": "Bearer", "expires_in": 3600}


def play(clock) -> None:
    """The story against stubs, which hold three tokens, and a 401 as the fourth answer."""
    auth = ClientCredentialsAuth(*CLIENT)
    got = [requests.get(API, auth=auth) for _ in range(2)]
    clock.advance(3600)
    got += [requests.get(API, auth=auth) for _ in range(2)]
    assert [answer.status_code for answer in got] == [200] * 4
    # The list of calls of a stub has the last request twice: it is sent again as it is.
    sent = [answer.request.headers["Authorization"] for answer in (*got[:3], *got[3].history)]
    first, second, third = (f"Bearer {token}" for token in TOKENS)
    assert sent == [first, first, second, second]
    assert got[3].request.headers["Authorization"] == third


@pytest.mark.package("responses")
def test_responses(clock):
    import responses

    with responses.RequestsMock() as mock:
        for token in TOKENS:
            mock.post(TOKEN_ENDPOINT, json=answer(token))
        for status in STATUSES:
            mock.get(API, json={}, status=status)
        play(clock)


@pytest.mark.package("requests-mock")
def test_the_mocker_of_requests_mock(clock):
    from requests_mock import Mocker

    with Mocker() as mock:
        mock.post(TOKEN_ENDPOINT, [{"json": answer(token)} for token in TOKENS])
        mock.get(API, [{"status_code": status, "json": {}} for status in STATUSES])
        play(clock)


@pytest.mark.package("httmock")
def test_httmock(clock):
    from httmock import HTTMock, all_requests

    tokens, statuses, calls = iter(TOKENS), iter(STATUSES), []

    @all_requests
    def stub(url, request):
        if url.netloc == "auth.example.com":
            return {"status_code": 200, "content": answer(next(tokens))}
        calls.append(request.headers["Authorization"])
        return {"status_code": next(statuses), "content": {}}

    auth = ClientCredentialsAuth(*CLIENT)
    with HTTMock(stub):
        for _ in range(2):
            assert requests.get(API, auth=auth).ok
        clock.advance(3600)
        assert requests.get(API, auth=auth).ok
        # It calls no hooks, so that nobody learns of the 401.
        assert requests.get(API, auth=auth).status_code == 401
        auth.signout()
        assert requests.get(API, auth=auth).ok
    first, second, third = (f"Bearer {token}" for token in TOKENS)
    assert calls == [first, first, second, second, third]


@pytest.mark.package("requests-mock")
def test_requests_mock_lets_the_real_servers_through(story):
    from requests_mock import Mocker

    with Mocker(real_http=True) as mock, story.session() as session:
        mock.get(API, json={"a": 1})
        story.tell(session.get)
        assert session.get(API).json() == {"a": 1}


@pytest.mark.package("pytest-httpserver")
def test_pytest_httpserver(story, httpserver):
    """A real server of the user's own, beside the one that issues the tokens."""

    def call(url: str) -> requests.Response:
        assert requests.get(httpserver.url_for("/data"), auth=auth).ok
        return requests.get(url, auth=auth)

    httpserver.expect_request("/data").respond_with_json({"a": 1})
    auth = story.auth()
    story.tell(call)
    issued = {f"Bearer {token.access_token}" for token in story.server.tokens}
    assert {request.headers["Authorization"] for request, _ in httpserver.log} <= issued


@pytest.mark.package("pytest-httpserver")
def test_a_token_endpoint_of_pytest_httpserver(clock, httpserver):
    endpoint, api = httpserver.url_for("/token"), httpserver.url_for("/data")
    auth = ClientCredentialsAuth(endpoint, "id", "a-stubbed-secret")
    for token in TOKENS[:2]:
        asked = httpserver.expect_ordered_request("/token", method="POST")
        asked.respond_with_json(answer(token))
        headers = {"Authorization": f"Bearer {token}"}
        httpserver.expect_ordered_request("/data", headers=headers).respond_with_json({})
    assert requests.get(api, auth=auth).ok
    clock.advance(3600)
    assert requests.get(api, auth=auth).ok
    httpserver.check()


@pytest.mark.package("pytest-socket")
def test_pytest_socket(story):
    from pytest_socket import disable_socket, enable_socket

    auth = story.auth(retries=0)
    disable_socket()
    try:
        with pytest.raises(TokenError, match="SocketBlockedError"):
            requests.get(story.url, auth=auth)
    finally:
        enable_socket()
    story.clock.advance(60)  # past the pause after a failure
    story.tell(lambda url: requests.get(url, auth=auth))


@pytest.mark.package("pytest-socket")
def test_pytest_socket_that_allows_the_loopback(story):
    from pytest_socket import _remove_restrictions, socket_allow_hosts

    elsewhere = ClientCredentialsAuth("https://192.0.2.1/token", "id", "a-secret", retries=0)
    socket_allow_hosts(["127.0.0.1"])
    try:
        with story.session() as session:
            story.tell(session.get)
        with pytest.raises(TokenError, match="SocketConnectBlockedError"):
            elsewhere.authorize()
    finally:
        _remove_restrictions()
