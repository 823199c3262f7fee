"""The test kit does what it says: it is what all other tests stand on."""

from __future__ import annotations

import http.client
import inspect
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlencode, urlsplit

import pytest

from clientcreds_requests.testing import (
    HANG,
    RESET,
    Answer,
    Fault,
    LocalAuthorizationServer,
    RecordedRequest,
)

FORM = "application/x-www-form-urlencoded"
PATIENCE = 20
"""Seconds after which a wait has failed; nothing is expected to take them."""


@dataclass
class Response:
    status: int
    headers: http.client.HTTPMessage
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def error(self) -> tuple[int, str]:
        return self.status, self.json["error"]


@pytest.fixture
def server() -> Iterator[LocalAuthorizationServer]:
    with LocalAuthorizationServer() as server:
        yield server


def connect(url: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)


def send(
    url: str,
    method: str = "GET",
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    connection: http.client.HTTPConnection | None = None,
) -> Response:
    used = connection or connect(url)
    try:
        target = urlsplit(url)
        path = f"{target.path}?{target.query}" if target.query else target.path
        used.request(method, path, body, dict(headers or {}))
        response = used.getresponse()
        return Response(response.status, response.headers, response.read())
    finally:
        if connection is None:
            used.close()


def ask(
    server: LocalAuthorizationServer,
    body: str = "form",
    connection: http.client.HTTPConnection | None = None,
    headers: Mapping[str, str] | None = None,
    **params: Any,
) -> Response:
    """Ask for a token, as the server's own client but for `params` (None: left out)."""
    params = {
        "grant_type": "client_credentials",
        "client_id": server.client_id,
        "client_secret": server.client_secret,
        **params,
    }
    params = {name: value for name, value in params.items() if value is not None}
    is_json = body == "json"
    content = json.dumps(params) if is_json else urlencode(params, doseq=True)
    headers = {"Content-Type": "application/json" if is_json else FORM, **(headers or {})}
    return send(server.token_endpoint, "POST", content, headers, connection)


def ask_basic(server: LocalAuthorizationServer, credentials: str, **params: Any) -> Response:
    headers = {"Authorization": "Basic " + b64encode(credentials.encode()).decode()}
    params = {"client_id": None, "client_secret": None, **params}
    return ask(server, headers=headers, **params)


def call(server: LocalAuthorizationServer, access_token: str, **options: Any) -> Response:
    return send(server.api_url, headers={"Authorization": f"Bearer {access_token}"}, **options)


def converse(url: str, request: bytes) -> bytes:
    """Send bytes as they are and return all that comes back until the server hangs up."""
    target = urlsplit(url)
    with socket.create_connection((target.hostname, target.port), timeout=PATIENCE) as sock:
        sock.sendall(request)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def hold(server: LocalAuthorizationServer) -> tuple[threading.Event, threading.Event]:
    """Hold up the next token request: (it has arrived, let it go on)."""
    arrived, go_on = threading.Event(), threading.Event()

    def script(_: RecordedRequest) -> None:
        arrived.set()
        assert go_on.wait(PATIENCE)

    server.answer_next(script)
    return arrived, go_on


def announce(reply: Fault | None) -> tuple[threading.Event, Callable[[RecordedRequest], Any]]:
    """Return an event, and a script that sets it when a request is there and gives `reply`."""
    arrived = threading.Event()

    def script(_: RecordedRequest) -> Fault | None:
        arrived.set()
        return reply

    return arrived, script


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


# -- latency, outage, scripts ---------------------------------------------------------------------


def test_latency_is_the_time_that_a_request_takes() -> None:
    with LocalAuthorizationServer(latency=0.05, api_latency=0.05) as server:
        assert ask(server).status == 200
        assert call(server, server.tokens[0].access_token).status == 200
        for record in (*server.token_requests, *server.api_requests):
            assert record.ended is not None
            assert record.ended - record.started >= 0.05


def test_a_token_lives_from_the_arrival_of_its_request() -> None:
    with LocalAuthorizationServer(lifetime=0.05, latency=0.05) as server:
        assert call(server, ask(server).json["access_token"]).error == (401, "invalid_token")


def test_an_outage_resets_and_records_every_connection(server: LocalAuthorizationServer) -> None:
    with closing(connect(server.url)) as kept:
        ask(server, connection=kept)
        with server.outage():
            assert server.down
            with pytest.raises(ConnectionError):
                ask(server)
            with pytest.raises(ConnectionResetError):
                ask(server, connection=kept)
            assert call(server, server.tokens[0].access_token).status == 200
    assert not server.down
    assert ask(server).status == 200
    seen = [(r.method, r.status, r.ended is None) for r in server.token_requests]
    assert seen == [
        ("POST", 200, False),
        ("", None, False),
        ("POST", None, False),
        ("POST", 200, False),
    ]
    assert len(server.tokens) == 2


def test_an_outage_resets_requests_in_flight(server: LocalAuthorizationServer) -> None:
    server.latency = PATIENCE
    arrived, script = announce(None)
    server.answer_next(script)
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(ask, server)
        assert arrived.wait(PATIENCE)
        server.down = True
        with pytest.raises(ConnectionResetError):
            asking.result()


def test_scripted_answers_are_given_once_and_in_order(server: LocalAuthorizationServer) -> None:
    server.answer_next(
        Answer(503, "busy", {"Retry-After": "1"}),
        None,
        lambda request: Answer(200, {"path": request.path}),
        Answer(400, b"\0", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]),
        Answer(299),
    )
    busy, regular, computed, repeated, unknown = (ask(server) for _ in range(5))
    assert (busy.status, busy.content, busy.headers["Retry-After"]) == (503, b"busy", "1")
    assert busy.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert regular.status == 200
    assert computed.json == {"path": "/token"}
    assert repeated.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert repeated.headers["Content-Type"] == "application/octet-stream"
    assert (unknown.status, unknown.content) == (299, b"")
    assert ask(server).status == 200
    assert [r.status for r in server.token_requests] == [503, 200, 200, 400, 299, 200]
    assert {r.client_id for r in server.token_requests} == {server.client_id}


def test_a_scripted_answer_keeps_the_headers_it_brings(server: LocalAuthorizationServer) -> None:
    headers = {"content-type": "text/html", "content-length": "2", "connection": "close"}
    server.answer_next(Answer(200, b"abcd", headers))
    response = ask(server)
    assert response.content == b"ab"
    assert response.headers.get_all("Content-Type") == ["text/html"]
    assert response.headers.get_all("Connection") == ["close"]


def test_the_api_can_be_scripted_too(server: LocalAuthorizationServer) -> None:
    token = server.issue().access_token
    server.api_answer_next(Answer(429), RESET)
    assert call(server, token).status == 429
    with pytest.raises(ConnectionResetError):
        call(server, token)
    assert call(server, token).status == 200
    assert [r.token_state for r in server.api_requests] == ["valid"] * 3
    assert [r.status for r in server.api_requests] == [429, None, 200]


def test_raw_bytes_are_sent_as_they_are_and_the_connection_closed(
    server: LocalAuthorizationServer,
) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    server.answer_next(raw, [raw[:9], raw[9:]])
    for _ in range(2):
        with pytest.raises(http.client.IncompleteRead) as caught:
            ask(server)
        assert caught.value.partial == b"half"
        assert server.token_requests[-1].status is None


def test_a_hanging_request_ends_when_the_client_leaves(server: LocalAuthorizationServer) -> None:
    arrived, script = announce(HANG)
    server.answer_next(script)
    before = set(threading.enumerate())
    connection = connect(server.url)
    connection.request("POST", "/token")
    assert arrived.wait(PATIENCE)
    connection.sock.sendall(b"What keeps you?")
    [handler] = set(threading.enumerate()) - before
    assert server.token_requests[0].ended is None
    connection.close()
    handler.join(PATIENCE)
    assert server.token_requests[0].ended is not None
    assert server.token_requests[0].status is None


# -- HTTP -----------------------------------------------------------------------------------------


def test_a_connection_is_kept_alive_also_after_refused_bodies(
    server: LocalAuthorizationServer,
) -> None:
    token = server.issue().access_token
    right, wrong = {"Authorization": f"Bearer {token}"}, {"Authorization": "Bearer wrong"}
    with closing(connect(server.api_url)) as connection:
        for headers, status in [(wrong, 401), (right, 200)] * 2:
            for body in (b"x" * 100_000, iter([b"x" * 50_000, b"y" * 50_000])):  # 2nd: chunked
                assert send(server.api_url, "PUT", body, headers, connection).status == status
    assert len({r.client_port for r in server.api_requests}) == 1
    assert {len(r.body) for r in server.api_requests} == {100_000}


def test_chunk_extensions_and_trailers_are_read_over(server: LocalAuthorizationServer) -> None:
    chunked = b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: 1\r\n\r\n"
    put = b"PUT /api HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n" + chunked
    get = b"GET /api HTTP/1.1\r\nConnection: Close\r\n\r\n"
    assert converse(server.api_url, put + get).count(b"HTTP/1.1 401") == 2
    assert [r.body for r in server.api_requests] == [b"abcde", b""]


def test_head_and_no_content_bring_no_body(server: LocalAuthorizationServer) -> None:
    with closing(connect(server.api_url)) as connection:
        server.api_answer_next(None, Answer(204), Answer(200, "x"))
        token = server.issue().access_token
        assert call(server, token, method="HEAD", connection=connection).content == b""
        assert "Content-Length" not in call(server, token, connection=connection).headers
        assert call(server, token, connection=connection).content == b"x"


@pytest.mark.parametrize(
    "request_", [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"]
)
def test_the_server_closes_when_the_client_wants_it(
    server: LocalAuthorizationServer, request_: bytes
) -> None:
    answer = converse(server.api_url, request_ * 2)
    assert b"Connection: close" in answer
    assert len(server.api_requests) == 1


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
    ],
)
def test_what_is_not_http_is_a_bad_request(
    server: LocalAuthorizationServer, request_: bytes
) -> None:
    assert converse(server.api_url, request_).startswith(b"HTTP/1.1 400 ")
    assert server.api_requests == []


def test_half_a_request_is_no_request(server: LocalAuthorizationServer) -> None:
    assert converse(server.api_url, b"PUT / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc") == b""
    assert converse(server.api_url, b"") == b""
    assert server.api_requests == []


# -- many clients, start and stop, forks ----------------------------------------------------------


def test_256_clients_that_connect_at_once_are_all_served(server: LocalAuthorizationServer) -> None:
    together = threading.Barrier(256)

    def client(_: int) -> int:
        together.wait(PATIENCE)
        return ask(server).status

    with ThreadPoolExecutor(256) as pool:
        assert list(pool.map(client, range(256))) == [200] * 256
    assert len(server.token_requests) == len({t.access_token for t in server.tokens}) == 256


def test_stop_leaves_no_thread_and_no_socket_also_under_waiting_clients() -> None:
    before = set(threading.enumerate())
    with LocalAuthorizationServer(api_latency=PATIENCE) as server:
        is_hanging, script = announce(HANG)
        server.answer_next(script)
        is_slow, script = announce(None)
        server.api_answer_next(script)
        idle = connect(server.url)
        idle.connect()
        with ThreadPoolExecutor() as pool:
            hanging, slow = pool.submit(ask, server), pool.submit(call, server, "x")
            assert is_hanging.wait(PATIENCE)
            assert is_slow.wait(PATIENCE)
            started = time.monotonic()
            server.stop()
            assert time.monotonic() - started < PATIENCE / 4
            for waiting in (hanging, slow):
                with pytest.raises(ConnectionError):
                    waiting.result()
        assert idle.sock is not None
        assert idle.sock.recv(1) == b""
        idle.close()
    assert set(threading.enumerate()) <= before
    assert len(server.token_requests) == len(server.api_requests) == 1
    with pytest.raises(ConnectionRefusedError):
        ask(server)


def test_stop_does_not_wait_for_ever_for_a_script_that_blocks(
    server: LocalAuthorizationServer,
) -> None:
    arrived, go_on = hold(server)
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(ask, server)
        assert arrived.wait(PATIENCE)
        server.stop()
        go_on.set()
        with pytest.raises(ConnectionError):
            asking.result()


def test_a_client_that_resets_does_not_disturb_the_stop() -> None:
    with LocalAuthorizationServer() as server:
        arrived, go_on = hold(server)
        connection = connect(server.url)
        connection.request("POST", "/token")
        assert arrived.wait(PATIENCE)
        assert connection.sock is not None
        reset = b"\1\0\0\0\0\0\0\0"
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        connection.close()
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        go_on.set()
        stopping.join(PATIENCE)
        assert not stopping.is_alive()


def test_it_can_be_started_again_and_stopped_twice() -> None:
    server = LocalAuthorizationServer()
    server.stop()
    for _ in range(2):
        assert server.start() is server
        assert ask(server).status == 200
        server.stop()
        server.stop()
    assert len(server.token_requests) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_keeps_no_connection_of_the_server_open() -> None:
    program = """
import os, socket
from urllib.parse import urlsplit
from clientcreds_requests.testing import LocalAuthorizationServer, RESET
LocalAuthorizationServer().start().stop()
with LocalAuthorizationServer() as server:
    server.answer_next(None, RESET)
    port = urlsplit(server.url).port
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    client.sendall(b"GET /token HTTP/1.1\\r\\n\\r\\n")
    assert client.recv(65536).startswith(b"HTTP/1.1 405 ")
    read, write = os.pipe()
    if not (child := os.fork()):
        assert len(server.token_requests) == 1   # the record as it was
        server.stop()                            # nothing left to do here
        os.read(read, 1)
        os._exit(0)
    client.sendall(b"GET /token HTTP/1.1\\r\\n\\r\\n")
    try:
        client.recv(65536)
    except ConnectionResetError:
        print("reset")
    os.write(write, b"1")
    assert os.waitpid(child, 0)[1] == 0
    client.close()
"""
    completed = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", program],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert (completed.stdout, completed.stderr) == ("reset\n", "")


def test_it_needs_nothing_but_the_standard_library() -> None:
    program = "import sys; import testing; assert not {'requests', 'urllib3'} & set(sys.modules)"
    package = Path(inspect.getfile(LocalAuthorizationServer)).parents[1]
    subprocess.run([sys.executable, "-S", "-W", "error", "-c", program], cwd=package, check=True)
