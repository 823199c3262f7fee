"""Adapters of the user's own, mounted before and after the auth or session is made."""

from __future__ import annotations

import ssl
import sys
from collections import Counter

import pytest
import requests
import trustme
from helpers import TLSAuthorizationServer
from requests.adapters import BaseAdapter, HTTPAdapter

from clientcreds_requests import ClientCredentialsSession

from .sides import SESSIONS, check_sides, names_in
from .story import Server, Story

pytestmark = pytest.mark.package("requests")


class Labelling(HTTPAdapter):
    """Writes a header field on every request, and notes what it sends."""

    def __init__(self):
        super().__init__()
        self.sent = []

    def add_headers(self, request, **_settings):
        request.headers["X-Request-Id"] = str(len(self.sent))

    def send(self, request, **settings):
        self.sent.append(f"{request.method} {request.url}\n{request.headers}\n{request.body}")
        return super().send(request, **settings)


@pytest.mark.parametrize("mounted", ["before", "after"])
@pytest.mark.parametrize("prefix", ["http://", "the API"])
def test_an_adapter_sends_what_it_is_mounted_for(story, mounted, prefix):
    adapter = Labelling()
    prefix = story.server.api_url if prefix == "the API" else prefix
    with requests.Session() as session:
        if mounted == "before":
            session.mount(prefix, adapter)
        session.auth = story.auth(session=session)
        if mounted == "after":
            session.mount(prefix, adapter)
        story.tell(session.get)
    sees_all = prefix == "http://"
    assert len(adapter.sent) == len(story.server.api_requests) + 3 * sees_all
    assert ("the client secret" in names_in(story, adapter.sent)) is sees_all
    assert all(call.headers["X-Request-Id"] for call in story.server.api_requests)
    check_sides(story)


@pytest.mark.parametrize("mounted", ["before", "after"])
def test_an_adapter_of_a_session_of_ours_sends_what_it_is_mounted_for(story, mounted):
    adapter = Labelling()

    class Ours(ClientCredentialsSession):
        def mount(self, prefix, other):  # while requests makes the session
            own = prefix == "http://" and mounted == "before"
            super().mount(prefix, adapter if own else other)

    with story.session(Ours) as session:
        if mounted == "after":
            session.mount("http://", adapter)
        story.tell(session.get)
    assert len(adapter.sent) == len(story.server.api_requests) + 3
    check_sides(story)


class Peers(Server):
    """Notes the addresses that connections come from."""

    def __init__(self):
        super().__init__()
        self.peers = {"token endpoint": set(), "API": set()}
        listeners = {"token endpoint": self._authorization_server, "API": self._api}
        for name, listener in listeners.items():
            self._note(name, listener)

    def _note(self, name, listener):
        serve = listener._serve

        def noting(connection, port):
            self.peers[name].add(connection.getpeername()[0])
            serve(connection, port)

        listener._serve = noting


class FromAddress(HTTPAdapter):
    """Connects from one of this machine's addresses."""

    def init_poolmanager(self, *args, **settings):
        super().init_poolmanager(*args, source_address=("127.0.0.2", 0), **settings)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has 127.0.0.2 without being told")
@pytest.mark.parametrize("make", SESSIONS)
def test_an_adapter_with_a_source_address(clock, make):
    with Peers() as server:
        story = Story(server, clock)
        with make(story) as session:
            session.mount("http://", FromAddress())
            story.tell(session.get)
    assert server.peers == {"token endpoint": {"127.0.0.2"}, "API": {"127.0.0.2"}}
    check_sides(story)


class TLSServer(TLSAuthorizationServer, Server):
    """The story's server behind TLS."""


class WithContext(HTTPAdapter):
    """Connects with a TLS context of the user's own."""

    def __init__(self, context):
        self.context = context
        super().__init__()

    def init_poolmanager(self, *args, **settings):
        super().init_poolmanager(*args, ssl_context=self.context, **settings)


@pytest.mark.parametrize("make", SESSIONS)
def test_an_adapter_with_a_tls_context(clock, make):
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    clients = trustme.CA(key_type=trustme.KeyType.ECDSA)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    clients.issue_cert("client.example.com").configure_cert(context)
    with TLSServer(authority, clients) as server:
        story = Story(server, clock)
        with make(story) as session:
            session.mount("https://", WithContext(context))
            story.tell(session.get)
    assert set(server.handshakes) == {"client.example.com"}
    check_sides(story)


class Keeping(BaseAdapter):
    """Keeps good answers by URL, and passes other requests to the session's adapters before it."""

    def __init__(self, session):
        super().__init__()
        self.kept, self.hits = {}, Counter()
        self.adapters = dict(session.adapters)

    def send(self, request, **settings):
        if request.method == "GET" and request.url in self.kept:
            self.hits[request.url] += 1
            return self.kept[request.url]
        below = next(a for prefix, a in self.adapters.items() if request.url.startswith(prefix))
        response = below.send(request, **settings)
        if request.method == "GET" and response.ok:
            response.content  # noqa: B018 - which reads it
            self.kept[request.url] = response
        return response

    def close(self):
        pass


@pytest.mark.parametrize("make", SESSIONS)
@pytest.mark.parametrize("place", ["http://", "of every adapter"])
def test_a_cache_passes_requests_back_to_the_adapters_of_the_session(story, make, place):
    with make(story) as session:
        cache = Keeping(session)
        for prefix in list(session.adapters) if place == "of every adapter" else [place]:
            session.mount(prefix, cache)
        story.tell(session.get)
        assert cache.kept.keys() == {f"{story.server.api_url}/{number}" for number in (1, 2, 3)}
        arrived = len(story.server.api_requests)
        assert session.get(f"{story.server.api_url}/1").json()["path"] == "/api/1"
    assert len(story.server.api_requests) == arrived
    assert cache.hits.total() == 1
    check_sides(story)
