"""The fixtures for users' own tests, in projects of strangers."""

from __future__ import annotations

import sys

import pytest
import requests

from clientcreds_requests import ClientCredentialsSession, TokenError
from clientcreds_requests.testing import Answer

pytest_plugins = ["pytester"]

UNUSED = """
import gc, socket, sys, threading

def test_nothing_of_the_kind():
    assert "clientcreds_requests.pytest_plugin" in sys.modules
    assert "clientcreds_requests.testing" not in sys.modules
    assert "http.server" not in sys.modules
    assert threading.active_count() == 1
    assert not [o for o in gc.get_objects() if type(o) is socket.socket and o.fileno() >= 0]
"""

USED = """
import requests

servers = []

def test_a_call(authorization_server, client_credentials):
    servers.append(authorization_server)
    response = requests.get(authorization_server.api_url, auth=client_credentials)
    assert response.status_code == 200
    assert len(authorization_server.token_requests) == 1

def test_another(authorization_server, client_credentials):
    servers.append(authorization_server)
    assert not client_credentials.authorized
    assert authorization_server.token_requests == []

def test_both_servers_are_gone():
    import socket
    first, second = servers
    for server in servers:
        for url in (server.url, server.api_url):
            host, port = url.removeprefix("http://").removesuffix("/api").split(":")
            with socket.socket() as probe:
                assert probe.connect_ex((host, int(port))) != 0
    assert first is not second
"""


@pytest.fixture
def stranger(pytester, monkeypatch):
    """A project that knows nothing of this one; its pytest runs as a program of its own."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makeini("[pytest]\nfilterwarnings = error\n")

    def run(text, *arguments):
        pytester.makepyfile(test_stranger=text)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)

    return run


def test_a_client_of_the_server_gets_a_token(authorization_server, client_credentials):
    assert requests.get(authorization_server.api_url, auth=client_credentials).ok
    (asked,) = authorization_server.token_requests
    assert asked.client_id == authorization_server.client_id


def test_the_server_misbehaves_as_it_is_told_to(authorization_server, client_credentials):
    wrong = Answer(400, {"error": "invalid_scope"})
    authorization_server.answer_next(wrong, wrong)  # to JSON, and to the form after it
    with pytest.raises(TokenError, match="invalid_scope"):
        client_credentials.get_token()
    assert client_credentials.authorize().authorized


def test_a_session_of_ours_takes_the_server_too(authorization_server):
    client = (authorization_server.client_id, authorization_server.client_secret)
    with ClientCredentialsSession(authorization_server.token_endpoint, *client) as session:
        assert session.get(authorization_server.api_url).ok


def test_a_stranger_has_the_fixtures_and_the_servers_stop_after_each_test(stranger):
    stranger(USED).assert_outcomes(passed=3)


def test_the_fixtures_work_in_workers_of_xdist(stranger):
    text = """
    import pytest, requests

    @pytest.mark.parametrize("number", range(4))
    def test_a_call(number, authorization_server, client_credentials):
        assert requests.get(authorization_server.api_url, auth=client_credentials).ok
    """
    stranger(text, "-n", "2").assert_outcomes(passed=4)


def test_fixtures_that_nobody_uses_cost_no_server_thread_or_socket(stranger):
    stranger(UNUSED, "-p", "no:xdist").assert_outcomes(passed=1)


def test_the_plugin_imports_the_package_and_no_more(pytester):
    program = """
    import sys, pytest, clientcreds_requests
    before = set(sys.modules)
    import clientcreds_requests.pytest_plugin
    print(*sorted(set(sys.modules) - before))
    """
    pytester.makepyfile(more=program)
    more = pytester.run(sys.executable, "more.py")
    assert more.outlines == ["clientcreds_requests.pytest_plugin"]


def test_the_plugin_can_be_turned_off(stranger):
    off = stranger(USED, "-p", "no:clientcreds_requests")
    off.assert_outcomes(errors=2, failed=1)
    off.stdout.fnmatch_lines(["*fixture 'authorization_server' not found"])
    assert "clientcreds_requests" not in off.stdout.str().partition("available fixtures")[0]


def test_a_fixture_of_the_users_own_comes_first(stranger):
    text = """
    import pytest

    @pytest.fixture
    def authorization_server():
        return "theirs"

    def test_it(authorization_server):
        assert authorization_server == "theirs"
    """
    stranger(text).assert_outcomes(passed=1)


def test_pytest_shows_what_the_fixtures_are(stranger):
    shown = stranger("", "--fixtures").stdout
    shown.fnmatch_lines(
        [
            "authorization_server -- *pytest_plugin.py:*",
            "    A token endpoint and a protected API on loopback, new for each test*",
            "client_credentials -- *pytest_plugin.py:*",
            "    A ClientCredentialsAuth *",
        ]
    )
