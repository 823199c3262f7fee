"""The test kit when it is slow, down, scripted or stopped, and with odd clients."""

from __future__ import annotations

import http.client
import inspect
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from kit import PATIENCE, ask, call, connect, hold, send

from clientcreds_requests.testing import (
    HANG,
    RESET,
    Answer,
    Fault,
    LocalAuthorizationServer,
    RecordedRequest,
)


def converse(url: str, request: bytes) -> bytes:
    """Send bytes as they are and return all that comes back until the server hangs up."""
    target = urlsplit(url)
    with socket.create_connection((target.hostname, target.port), timeout=PATIENCE) as sock:
        sock.sendall(request)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def announce(reply: Fault | None) -> tuple[threading.Event, Callable[[RecordedRequest], Any]]:
    """Return an event, and a script that sets it when a request is there and gives `reply`."""
    arrived = threading.Event()

    def script(_: RecordedRequest) -> Fault | None:
        arrived.set()
        return reply

    return arrived, script


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
