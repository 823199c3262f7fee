"""Proxies of the user's own: which requests pass them, and what they can see."""

from __future__ import annotations

from base64 import b64encode

import pytest
import requests
import trustme
from helpers import TLSAuthorizationServer, elsewhere

from .proxy import Proxy
from .sides import SESSIONS, auth_in_session, check_sides, names_in, own_session
from .story import Server, Story

pytestmark = pytest.mark.package("requests")

SECRET, TOKENS = {"the client secret"}, {"token 1", "token 2", "token 3"}


@pytest.fixture
def proxy():
    with Proxy() as proxy:
        yield proxy


def auth_alone(story):
    """A session with an auth whose token requests do not go through it."""
    session = requests.Session()
    session.auth = story.auth()
    return session


def passed(proxy, url):
    """How many requests to a server passed a proxy."""
    return sum(f" {url}" in request for request in proxy.requests)


# Plain http, on loopback


@pytest.mark.parametrize(
    ("make", "sees"),
    [(own_session, SECRET | TOKENS), (auth_in_session, SECRET | TOKENS), (auth_alone, TOKENS)],
)
def test_the_proxies_of_a_session_are_for_its_calls_and_for_token_requests_through_it(
    story, proxy, make, sees
):
    with make(story) as session:
        session.proxies = {"http": proxy.url}
        story.tell(session.get)
    assert passed(proxy, story.server.api_url) == 5
    assert passed(proxy, story.server.token_endpoint) == 3 * ("the client secret" in sees)
    assert names_in(story, proxy.texts) == sees
    check_sides(story)


@pytest.mark.parametrize("make", [own_session, auth_in_session, auth_alone])
@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_the_proxy_of_the_environment_is_for_everything(story, proxy, make, name, monkeypatch):
    monkeypatch.setenv(name, proxy.url)
    with make(story) as session:
        story.tell(session.get)
    assert passed(proxy, story.server.api_url) == 5
    assert passed(proxy, story.server.token_endpoint) == 3
    assert names_in(story, proxy.texts) == SECRET | TOKENS
    check_sides(story)


class Apart(Server):
    """A server whose endpoint and API have different hosts."""

    @property
    def url(self):
        return elsewhere(super().url)


@pytest.mark.parametrize("make", [own_session, auth_in_session, auth_alone])
@pytest.mark.parametrize(
    ("no_proxy", "calls", "sees"),
    [("localhost", 5, TOKENS), ("127.0.0.1", 0, SECRET), ("localhost,127.0.0.0/8", 0, set())],
)
def test_no_proxy_spares_the_hosts_it_names(clock, proxy, make, no_proxy, calls, sees, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", f"example.com,{no_proxy}")
    with Apart() as server:
        story = Story(server, clock)
        with make(story) as session:
            story.tell(session.get)
    assert passed(proxy, server.api_url) == calls
    assert passed(proxy, server.token_endpoint) == 3 * (sees == SECRET)
    assert names_in(story, proxy.texts) == sees
    check_sides(story)


def test_a_session_that_does_not_trust_the_environment_uses_no_proxy_of_it(
    story, proxy, monkeypatch
):
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    with own_session(story) as session:
        session.trust_env = False
        story.tell(session.get)
    assert proxy.requests == []


# https, through tunnels


class TLSServer(TLSAuthorizationServer, Server):
    """The story's server behind TLS."""


@pytest.fixture
def tls(clock, tmp_path):
    """A story behind TLS, and the file to trust."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with TLSServer(authority) as server:
        yield Story(server, clock), str(tmp_path / "ca.pem")


@pytest.mark.parametrize("make", SESSIONS)
def test_a_tunnel_shows_neither_secret_nor_token(tls, make):
    story, authority = tls
    credentials = "Basic " + b64encode(b"user:a proxy's password").decode()
    with Proxy(credentials) as proxy, make(story) as session:
        session.verify = authority
        session.proxies = {"https": f"http://user:a proxy's password@{proxy.netloc}"}
        story.tell(session.get)
    assert passed(proxy, story.server.api_url.split("/")[2]) == 1  # kept for the replay too
    assert passed(proxy, story.server.token_endpoint.split("/")[2]) == 3
    assert len(b"".join(proxy.seen)) > 2000
    assert names_in(story, proxy.texts) == set()
    arrived = [*story.server.token_requests, *story.server.api_requests]
    assert not any("Proxy-Authorization" in request.headers for request in arrived)
    check_sides(story)


@pytest.mark.parametrize("make", [*SESSIONS, auth_alone])
def test_a_tunnel_of_the_environment(tls, make, monkeypatch):
    story, authority = tls
    with Proxy() as proxy, make(story) as session:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority)
        story.tell(session.get)
    assert [request.split()[0] for request in proxy.requests] == ["CONNECT"] * 4
    assert names_in(story, proxy.texts) == set()
    check_sides(story)
