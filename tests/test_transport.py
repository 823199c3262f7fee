"""The connections of a token request: they end at its deadline, and stay in no pool."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
import time
from urllib.parse import urlsplit

import pytest
import requests
import trustme
import urllib3
from helpers import PATIENCE, TLSAuthorizationServer, until
from raw_server import Drip, Tunnel, endpoint_of, failure_of
from requests.adapters import HTTPAdapter

from clientcreds_requests import ClientCredentialsAuth, TokenRequest, TokenTimeout
from clientcreds_requests._transport import Watchdog
from clientcreds_requests.testing import HANG

BODY = json.dumps({"access_token": "token-of-the-second", "token_type": "bearer"}).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


def serve_one_at_a_time(listener: socket.socket) -> None:
    """Answer no first connection, and no other before the client has hung up on that."""
    listener.settimeout(PATIENCE)
    for answer in (b"", ANSWER):
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE)
            while received := connection.recv(65536):
                if answer and b"client_secret" in received:
                    connection.sendall(answer)


def test_f1_an_attempt_that_took_too_long_is_hung_up_before_the_next_one():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve_one_at_a_time, args=(listener,))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/token"
        settings = {"body": "form", "timeout": 0.3, "retries": 1, "deadline": 10}
        auth = ClientCredentialsAuth(url, "id", "s3cret-of-ours", **settings)
        assert auth.get_token().access_token == "token-of-the-second"
        thread.join()


class OfItsOwn(HTTPAdapter):
    """An adapter with a pool that it shares with whomever it likes."""

    def __init__(self, url):
        super().__init__()
        where = urlsplit(url)
        self.pool = urllib3.HTTPConnectionPool(where.hostname, where.port)

    def get_connection_with_tls_context(self, *args, **options):
        return self.pool


@pytest.fixture
def with_pool(server):
    """A session whose adapter has a pool of its own."""
    with requests.Session() as session:
        adapter = OfItsOwn(server.token_endpoint)
        session.mount("http://", adapter)
        yield session
        adapter.pool.close()


def queue_of(session):
    return list(session.get_adapter("http://").pool.pool.queue)


def test_w5_a_pool_of_the_sessions_adapter_is_left_as_it_was(server, with_pool):
    session, pool = with_pool, with_pool.get_adapter("http://").pool
    before = (queue_of(session), pool.ConnectionCls)
    endpoint_of(server, session=session)(TokenRequest())
    assert (queue_of(session), pool.ConnectionCls) == before
    session.get(server.token_endpoint)
    (idle,) = (connection for connection in queue_of(session) if connection)
    endpoint_of(server, session=session)(TokenRequest())
    assert idle in queue_of(session)
    assert type(idle) is pool.ConnectionCls


def test_w5_a_token_request_that_timed_out_costs_the_sessions_pool_nothing(server, with_pool):
    server.answer_next(HANG)
    failure_of(endpoint_of(server, session=with_pool, deadline=0.3))
    for _ in range(3):
        assert with_pool.get(server.token_endpoint, headers={"Connection": "close"}).status_code


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="this system shows no descriptors")
def test_w5_no_descriptor_stays_open(server, with_pool):
    endpoint = endpoint_of(server, session=with_pool, deadline=0.3)
    endpoint(TokenRequest())
    before = len(os.listdir("/proc/self/fd"))
    for answer in (None, HANG, Drip(b"HTTP/1.1 200 OK\r\n\r\n")) * 2:
        server.answer_next(answer)
        try:
            endpoint(TokenRequest())
        except TokenTimeout:
            continue
    until(lambda: len(os.listdir("/proc/self/fd")) <= before + 1)


# A5: whatever drips, and however it is reached, is given up at the deadline

DRIPS = {
    "a head": Drip(b"HTTP/1.1 200 OK\r\nConnection: close\r\nX-Slow: "),
    "a body": Drip(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
    "a body of known length": Drip(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9999\r\n\r\n"
    ),
}


@pytest.fixture(scope="module")
def authority():
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture
def tls_server(authority):
    with TLSAuthorizationServer(authority) as server:
        yield server


@pytest.fixture
def session(authority, tmp_path):
    """A session that trusts the authority."""
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    with requests.Session() as session:
        session.verify = str(tmp_path / "authority.pem")
        yield session


@pytest.fixture
def context(authority):
    """TLS of a proxy."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def assert_given_up_in_time(server, session, deadline=0.7):
    endpoint = endpoint_of(server, session=session, deadline=deadline)
    started = time.monotonic()
    assert isinstance(failure_of(endpoint), TokenTimeout)
    assert deadline - 0.2 < time.monotonic() - started < deadline + 2.3
    assert not any(isinstance(thread, threading.Timer) for thread in threading.enumerate())


@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS)
def test_a5_a_drip_over_tls_ends_at_the_deadline(tls_server, session, drip):
    tls_server.answer_next(drip)
    assert_given_up_in_time(tls_server, session)


@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS)
def test_a5_a_drip_of_a_proxy_ends_at_the_deadline(server, session, drip):
    session.proxies["http"] = server.url
    server.answer_next(drip)
    assert_given_up_in_time(server, session)


@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS)
@pytest.mark.parametrize("tls", [False, True], ids=["proxy", "proxy with TLS"])
def test_a5_a_drip_through_a_tunnel_ends_at_the_deadline(tls_server, session, context, tls, drip):
    tls_server.answer_next(drip)
    with Tunnel(context=context if tls else None) as proxy:
        session.proxies["https"] = proxy.url
        # Two or three handshakes come first, which take their time on a busy machine.
        assert_given_up_in_time(tls_server, session, deadline=2.0)
        assert proxy.asked_for == [tls_server.url.removeprefix("https://")]
        assert len(tls_server.token_requests) == 1


# A connection that ends between CONNECT and the handshake: ssl.SSLSocket._create() raises, and
# leaves the socket that it has taken over to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.parametrize("tls", [False, True], ids=["proxy", "proxy with TLS"])
def test_a5_an_answer_to_connect_that_drips_ends_at_the_deadline(tls_server, session, context, tls):
    with Tunnel(Drip(b"HTTP/1.1 200 OK\r\nX-Slow: "), context if tls else None) as proxy:
        session.proxies["https"] = proxy.url
        assert_given_up_in_time(tls_server, session)
        assert proxy.asked_for
    assert tls_server.token_requests == []


@pytest.mark.parametrize("tls", [False, True], ids=["proxy", "proxy with TLS"])
def test_w5_a_token_comes_through_a_tunnel(tls_server, session, context, tls):
    with Tunnel(context=context if tls else None) as proxy:
        session.proxies["https"] = proxy.url
        assert endpoint_of(tls_server, session=session)(TokenRequest()).access_token
        assert proxy.asked_for


# The watchdog


class Connecting:
    """A connection that is being made."""

    def __init__(self, sock=None):
        self.made = sock

    def connect(self):
        if self.made is not None:
            self.sock = self.made


def test_a5_a_connection_that_opens_after_the_deadline_is_hung_up_at_once():
    ours, theirs = socket.socketpair()
    with ours, theirs, Watchdog(time.monotonic()) as watchdog:
        until(lambda: watchdog.passed)
        ours.settimeout(PATIENCE)
        theirs.settimeout(PATIENCE)
        watchdog.connection_class(Connecting)(ours).connect()
        assert ours.recv(1) == b""
        assert theirs.recv(1) == b""


def test_a5_a_connection_without_a_socket_is_left_alone():
    with Watchdog(time.monotonic()) as watchdog:
        until(lambda: watchdog.passed)
        watchdog.connection_class(Connecting)().connect()
        with pytest.raises(requests.ReadTimeout):
            watchdog.check()


def test_a5_no_connection_is_hung_up_before_the_deadline():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with Watchdog(time.monotonic() + 3600) as watchdog:
            watchdog.connection_class(Connecting)(ours).connect()
            watchdog.check()
        theirs.sendall(b"x")
        assert ours.recv(1) == b"x"


def test_a5_where_no_thread_can_be_started_the_timeout_bounds_each_wait(server, monkeypatch):
    def start(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Timer, "start", start, raising=False)
    endpoint = endpoint_of(server, timeout=0.3)
    server.answer_next(HANG)
    assert isinstance(failure_of(endpoint), TokenTimeout)
    assert endpoint(TokenRequest()).access_token
