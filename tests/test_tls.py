"""TLS, with real certificates: whom a token request trusts, and how a client shows its own."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import ssl
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from helpers import PATIENCE, Crowd, TLSAuthorizationServer, elsewhere, token_answer, until
from requests.adapters import HTTPAdapter
from urllib3.exceptions import InsecureRequestWarning

from clientcreds_requests import (
    ClientCredentialsAuth,
    ClientCredentialsSession,
    TLSClientAuth,
    TokenConnectionError,
    TokenError,
)
from clientcreds_requests.testing import Answer, LocalAuthorizationServer


@pytest.fixture(scope="module")
def authority():
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture(scope="module")
def stranger():
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture(scope="module")
def bundles(authority, stranger, tmp_path_factory):
    """Files with the certificates of the two authorities."""
    folder = tmp_path_factory.mktemp("bundles")
    authority.cert_pem.write_to_path(folder / "authority.pem")
    stranger.cert_pem.write_to_path(folder / "stranger.pem")
    return {"authority": str(folder / "authority.pem"), "stranger": str(folder / "stranger.pem")}


@pytest.fixture
def tls_server(authority):
    with TLSAuthorizationServer(authority) as server:
        yield server


@pytest.fixture
def session(tls_server):
    client = (tls_server.client_id, tls_server.client_secret)
    with ClientCredentialsSession(tls_server.token_endpoint, *client) as session:
        yield session


def test_w5_the_verify_of_the_session_counts_for_token_requests(tls_server, session, bundles):
    session.verify = bundles["authority"]
    assert session.get(tls_server.api_url).ok
    assert len(tls_server.token_requests) == 1


def test_w5_the_verify_of_the_session_beats_requests_ca_bundle(
    tls_server, session, bundles, monkeypatch
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundles["stranger"])
    session.verify = bundles["authority"]
    assert session.auth.authorize().authorized


def test_w5_without_a_verify_of_its_own_requests_ca_bundle_holds(
    tls_server, session, bundles, monkeypatch
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundles["authority"])
    assert session.get(tls_server.api_url).ok


def test_w5_no_verification_is_possible_and_warned_about(tls_server, session, bundles, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundles["stranger"])
    session.verify = False
    with pytest.warns(InsecureRequestWarning):
        session.auth.authorize()


def test_f1_an_unknown_certificate_is_one_handshake_and_a_connection_error(tls_server, session):
    with pytest.raises(TokenConnectionError, match="certificate") as caught:
        session.get(tls_server.api_url)
    assert isinstance(caught.value, requests.ConnectionError)
    assert not caught.value.retryable
    tls_server.stop()  # it has counted then
    assert len(tls_server.handshakes) == 1
    assert tls_server.token_requests == tls_server.api_requests == []


def test_f1_a_certificate_for_another_host_is_one_handshake_too(tls_server, bundles):
    client = (tls_server.client_id, tls_server.client_secret)
    with ClientCredentialsSession(elsewhere(tls_server.token_endpoint), *client) as session:
        session.verify = bundles["authority"]
        with pytest.raises(TokenConnectionError, match="localhost"):
            session.auth.authorize()
    tls_server.stop()  # it has counted then
    assert len(tls_server.handshakes) == 1


def test_f1_an_auth_without_a_session_verifies_too(tls_server):
    auth = ClientCredentialsAuth(tls_server.token_endpoint, "id", "secret")
    with pytest.raises(TokenConnectionError, match="certificate"):
        auth.authorize()
    tls_server.stop()  # it has counted then
    assert len(tls_server.handshakes) == 1


def test_r2_verify_is_kept_by_a_replay(tls_server, session, bundles):
    auth = session.auth
    session.verify = bundles["authority"]
    auth.authorize()
    tls_server.revoke_all()
    assert requests.get(tls_server.api_url, auth=auth, verify=bundles["authority"]).ok
    assert len(tls_server.api_requests) == 2


def test_r5_a_redirect_from_https_to_http_carries_no_token(tls_server, session, bundles):
    session.verify = bundles["authority"]
    with LocalAuthorizationServer() as plain:
        redirect = Answer(302, headers={"Location": plain.api_url})
        tls_server.api_answer_next(redirect, redirect)
        assert session.get(tls_server.api_url).status_code == 401
        settings = {"auth": session.auth, "verify": bundles["authority"]}
        assert requests.get(tls_server.api_url, **settings).status_code == 401
        assert [call.token_state for call in plain.api_requests] == ["none", "none"]
    assert len(tls_server.token_requests) == 1


# RFC 8705: the certificate of the client


@pytest.fixture
def strict_server(authority, stranger):
    """A server that talks only to clients with a certificate, and takes it for their secret."""
    with TLSAuthorizationServer(authority, clients=stranger) as server:
        server.answer_next(
            lambda _request: Answer(200, token_answer(server.issue("tls-client").access_token))
        )
        yield server


@pytest.fixture
def tls_session(strict_server, bundles):
    options = {"client_auth": TLSClientAuth(), "retries": 0}
    url = strict_server.token_endpoint
    with ClientCredentialsSession(url, "tls-client", **options) as session:
        session.verify = bundles["authority"]
        yield session


def test_w3_tls_client_auth_sends_the_id_alone_and_the_certificate_of_the_session(
    strict_server, tls_session, stranger, tmp_path
):
    certificate = stranger.issue_cert("client.example.com")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    tls_session.cert = str(tmp_path / "client.pem")
    assert tls_session.get(strict_server.api_url).json()["client_id"] == "tls-client"
    (request,) = strict_server.token_requests
    assert request.params == {"grant_type": "client_credentials", "client_id": "tls-client"}
    assert "Authorization" not in request.headers
    assert strict_server.handshakes == ["client.example.com"] * 2


@pytest.fixture
def pem(stranger, tmp_path):
    """Paths of a client's certificate and its key, and of both in one file."""
    certificate = stranger.issue_cert("client.example.com")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "client.key")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    return {name: str(tmp_path / name) for name in ("client.pem", "client.key", "both.pem")}


@pytest.mark.parametrize("pair", [True, False])
def test_w3_the_certificate_of_the_method_is_the_sessions_too(strict_server, bundles, pem, pair):
    cert = (pem["client.pem"], pem["client.key"]) if pair else pem["both.pem"]
    with ClientCredentialsSession(
        strict_server.token_endpoint, "tls-client", client_auth=TLSClientAuth(cert)
    ) as session:
        session.verify = bundles["authority"]
        assert session.cert == cert
        assert session.get(strict_server.api_url).ok
    assert strict_server.handshakes == ["client.example.com"] * 2


def test_w3_an_auth_without_a_session_shows_the_certificate_of_the_method(
    strict_server, bundles, pem, monkeypatch
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundles["authority"])
    cert = pem["client.pem"], pem["client.key"]
    auth = ClientCredentialsAuth(
        strict_server.token_endpoint, "tls-client", client_auth=TLSClientAuth(cert)
    )
    assert requests.get(strict_server.api_url, auth=auth, cert=cert).ok
    assert strict_server.handshakes == ["client.example.com"] * 2


def test_r1_a_token_bound_to_a_certificate_that_was_replaced_is_got_anew(
    strict_server, tls_session, stranger, tmp_path, pem
):
    path = tmp_path / "rotated.pem"
    tls_session.cert = str(path)
    bound_to = []

    def issue(_request):
        bound_to.append(strict_server.handshakes[-1])
        return Answer(200, token_answer(strict_server.issue("tls-client").access_token))

    def check(_request):
        if strict_server.handshakes[-1] != bound_to[-1]:
            return Answer(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return None

    strict_server._authorization_server.scripts.clear()
    strict_server.answer_next(issue, issue)
    strict_server.api_answer_next(check, check, check)
    for name in ("old.example.com", "new.example.com"):
        stranger.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(path)
        assert tls_session.get(strict_server.api_url).ok
        tls_session.close()  # connections that showed the old one
    assert bound_to == ["old.example.com", "new.example.com"]


class Bound:
    """A server whose tokens are bound to the certificate of the connection (RFC 8705 §3).

    It is asked by one name for tokens and by the same for the API.
    """

    def __init__(self, authority, clients):
        self._authority, self._clients = authority, clients
        self.token_requests: list[str] = []
        self.calls: list[tuple[str, str, bool]] = []
        """By call: the name in the certificate, that to which the token is bound, and whether the
        connection was new."""
        self._lock = threading.Lock()

    def __enter__(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("127.0.0.1").configure_cert(context)
        context.verify_mode = ssl.CERT_REQUIRED
        self._clients.configure_trust(context)
        bound = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            calls = 0

            def name(self):
                certificate = self.connection.getpeercert()
                return dict(certificate["subjectAltName"])["DNS"]

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                with bound._lock:
                    bound.token_requests.append(self.name())
                    token = f"{self.name()}-token-{len(bound.token_requests)}"
                self.answer(200, json.dumps(token_answer(token)))

            def do_GET(self):
                self.calls += 1
                bound_to = self.headers["Authorization"].split()[1].partition("-token-")[0]
                with bound._lock:
                    bound.calls.append((self.name(), bound_to, self.calls == 1))
                self.answer(200 if bound_to == self.name() else 401, "{}")

            def answer(self, status, body):
                self.send_response(status)
                if status == 401:
                    self.send_header("WWW-Authenticate", 'Bearer error="invalid_token"')
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def finish_request(self, request, address):  # in the thread of the connection
                wrap = context.wrap_socket
                with contextlib.suppress(OSError), wrap(request, server_side=True) as secured:
                    super().finish_request(secured, address)

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def bound(authority, stranger):
    with Bound(authority, stranger) as running:
        yield running


@pytest.fixture
def rotate(stranger, tmp_path):
    """Puts the certificate of another name into the file, as cert-manager and Kubernetes do."""

    def put(name):
        key_and_chain = stranger.issue_cert(name).private_key_and_cert_chain_pem
        key_and_chain.write_to_path(tmp_path / "client.new")
        (tmp_path / "client.new").replace(tmp_path / "client.pem")

    put.path = str(tmp_path / "client.pem")
    put("old.example.com")
    return put


def bound_session(bound, bundles, rotate, **options):
    method = TLSClientAuth(rotate.path)
    url = f"{bound.url}/token"
    session = ClientCredentialsSession(url, "me", client_auth=method, body="form", **options)
    session.verify = bundles["authority"]
    return session


def test_w5_a_replaced_certificate_ends_connections_and_token_within_a_second(
    bound, bundles, rotate, clock
):
    with bound_session(bound, bundles, rotate) as session:
        for _ in range(2):
            assert session.get(bound.url).ok
        rotate("new.example.com")
        clock.advance(1.1)
        for _ in range(2):
            assert session.get(bound.url).ok
    assert bound.token_requests == ["old.example.com", "new.example.com"]
    old, new = "old.example.com", "new.example.com"
    # No call was refused: the token and the connection were left together.
    assert bound.calls == [(old, old, True), (old, old, False), (new, new, True), (new, new, False)]


def test_w5_a_renewed_token_is_never_sent_on_a_connection_of_the_past(bound, bundles, rotate):
    with bound_session(bound, bundles, rotate) as session:
        assert session.get(bound.url).ok
        token, manager = session.auth.get_token(), session.auth.manager
        rotate("new.example.com")
        # As a renewal in the background, or after a 401: without a look of the auth at the file.
        assert manager.invalidate(token)
        manager.get_token()
        assert session.get(bound.url).ok
    assert [(name, to) for name, to, _ in bound.calls] == [
        ("old.example.com", "old.example.com"),
        ("new.example.com", "new.example.com"),
    ]


def test_w5_a_file_that_was_written_anew_as_it_was_changes_nothing(bound, bundles, rotate, clock):
    with bound_session(bound, bundles, rotate) as session:
        assert session.get(bound.url).ok
        with open(rotate.path, "rb+") as file:
            content = file.read()
            file.seek(0)
            file.write(content)
        clock.advance(1.1)
        assert session.get(bound.url).ok
        token = session.auth.get_token()
        os.unlink(rotate.path)  # it is being replaced
        clock.advance(1.1)
        assert session.auth.get_token() is token
    assert len(bound.token_requests) == 1
    assert [new for *_, new in bound.calls] == [True, False]


@pytest.mark.parametrize("spoil", [lambda pem: pem[: len(pem) // 2], lambda _: b""])
def test_w5_a_file_that_is_half_written_changes_nothing_until_it_is_whole(
    bound, bundles, rotate, clock, spoil
):
    with bound_session(bound, bundles, rotate) as session:
        assert session.get(bound.url).ok
        token = session.auth.get_token()
        rotate("new.example.com")
        with open(rotate.path, "rb") as file:
            whole = file.read()
        for content in (spoil(whole), whole):
            with open(rotate.path, "wb") as file:
                file.write(content)
            clock.advance(1.1)
            assert session.get(bound.url).ok
            assert (session.auth.get_token() == token) is (content != whole)
    assert [new for *_, new in bound.calls] == [True, False, True]


def test_w5_a_token_that_is_not_bound_outlives_the_certificate(server, bundles, rotate, clock):
    arguments = (server.token_endpoint, server.client_id, server.client_secret)
    with ClientCredentialsSession(*arguments) as session:
        session.cert = rotate.path
        token = session.auth.get_token()
        rotate("new.example.com")
        clock.advance(1.1)
        with server.outage():
            assert session.auth.get_token() is token


@pytest.mark.parametrize("cert", ["", ()])
def test_an_empty_certificate_of_a_session_is_none_as_in_requests(server, cert):
    arguments = (server.token_endpoint, server.client_id, server.client_secret)
    with ClientCredentialsSession(*arguments) as session:
        session.cert = cert
        assert session.get(server.api_url).ok


@pytest.mark.parametrize("cert", [[], 5, "a\0b", "/nothing/here.pem"])
def test_a_certificate_that_cannot_be_read_is_a_token_error(server, cert):
    arguments = (server.token_endpoint, server.client_id, server.client_secret)
    with ClientCredentialsSession(*arguments) as session:
        session.cert = cert or [cert]
        with pytest.raises(TokenError, match="client certificate"):
            session.get(server.api_url)


def test_w5_siblings_lose_the_tokens_of_the_old_certificate_each_its_own(
    bound, bundles, rotate, clock
):
    with bound_session(bound, bundles, rotate) as session:
        auths = [session.auth, session.auth.replace(scope="a")]
        for auth in auths * 2:
            assert auth.get_token().access_token.startswith("old.example.com")
        rotate("new.example.com")
        clock.advance(1.1)
        for auth in auths * 2:
            assert auth.authorize().access_token.startswith("new.example.com")
    assert len(bound.token_requests) == 4


def test_c1_a_replaced_certificate_costs_one_token_request_however_many_notice(
    bound, bundles, rotate
):
    with bound_session(bound, bundles, rotate) as session:
        names, done = [f"client{number}.example.com" for number in range(10)], threading.Event()

        def ask():
            while not done.is_set():
                session.auth.get_token()

        crowd = Crowd(16, ask)
        try:
            until(lambda: bound.token_requests or crowd.outcomes)
            for name in names:
                rotate(name)
                until(lambda name=name: name in bound.token_requests or crowd.outcomes)
        finally:
            done.set()
        assert crowd.join() == [None] * 16
    assert bound.token_requests == ["old.example.com", *names]


def test_w5_a_certificate_is_rotated_under_load_without_a_failed_call(
    bound, bundles, rotate, clock
):
    with bound_session(bound, bundles, rotate) as session:
        rotations = [f"client{number}.example.com" for number in range(6)]
        done, calls = threading.Event(), Counter[int]()

        def call():
            while not done.is_set():
                assert session.get(bound.url, timeout=PATIENCE).status_code == 200
                calls[threading.get_ident()] += 1
            return "done"

        def all_have_made_some():
            before = Counter(calls)
            until(
                lambda: (
                    min([calls[t] - before[t] for t in calls] + [len(calls) - 1]) > 2
                    or crowd.outcomes
                )
            )

        crowd = Crowd(4, call)
        try:
            for name in rotations:
                all_have_made_some()
                rotate(name)
                clock.advance(11)  # longer than R3 keeps the replacement of a refused token
                until(lambda name=name: name in bound.token_requests or crowd.outcomes)
            all_have_made_some()
        finally:
            done.set()
        assert crowd.join() == ["done"] * 4
    taken = [name for name in bound.token_requests if name in rotations]
    assert list(dict.fromkeys(taken)) == rotations
    names = {name for name, *_ in bound.calls}
    assert names >= set(rotations)


class Meddling(HTTPAdapter):
    """Puts another content into the key's file before each of its first requests."""

    def __init__(self, key, *contents):
        super().__init__()
        self.key, self.contents = key, iter(contents)

    def send(self, *args, **settings):
        content = next(self.contents, None)
        if content is not None:
            self.key.write_bytes(content)
        return super().send(*args, **settings)


@pytest.fixture
def pair(stranger, tmp_path):
    """The paths of a certificate and its key, and the content of that key and of another."""
    certificates = [stranger.issue_cert("client.example.com") for _ in range(2)]
    keys = [certificate.private_key_pem.bytes() for certificate in certificates]
    certificates[0].cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    (tmp_path / "client.key").write_bytes(keys[0])
    return (str(tmp_path / "client.pem"), str(tmp_path / "client.key")), *keys


@pytest.mark.parametrize("prefix", ["https://", "https://127.0.0.1"])
def test_w5_certificate_and_key_that_are_being_replaced_are_read_again(
    bound, bundles, pair, tmp_path, prefix
):
    cert, right, wrong = pair
    method, url = TLSClientAuth(cert), f"{bound.url}/token"
    with ClientCredentialsSession(url, "me", client_auth=method, body="form") as session:
        session.verify = bundles["authority"]
        key = tmp_path / "client.key"
        session.mount(prefix, Meddling(key, wrong, right, wrong, right))  # for token and call
        assert session.get(bound.url).ok
    assert len(bound.token_requests) == len(bound.calls) == 1


def test_w5_a_key_that_stays_another_is_an_error(bound, bundles, pair, tmp_path):
    cert, _, wrong = pair
    method, url = TLSClientAuth(cert), f"{bound.url}/token"
    with ClientCredentialsSession(url, "me", client_auth=method, body="form", retries=1) as session:
        session.verify = bundles["authority"]
        session.auth.authorize()
        (tmp_path / "client.key").write_bytes(wrong)
        with pytest.raises(requests.exceptions.SSLError, match="KEY_VALUES_MISMATCH"):
            session.get(bound.url)
        session.auth.signout()
        with pytest.raises(TokenError, match="KEY_VALUES_MISMATCH"):
            session.auth.authorize()


def test_w5_an_auth_of_its_own_drops_the_token_of_a_replaced_certificate(
    bound, bundles, rotate, clock, monkeypatch
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundles["authority"])
    method = TLSClientAuth(rotate.path)
    auth = ClientCredentialsAuth(f"{bound.url}/token", "me", client_auth=method, body="form")
    for name in ("old.example.com", "new.example.com"):
        rotate(name)
        clock.advance(1.1)
        assert requests.get(bound.url, auth=auth, cert=rotate.path).ok
    assert bound.token_requests == ["old.example.com", "new.example.com"]
    assert all(name == to for name, to, _ in bound.calls)


def test_w5_a_copy_of_the_session_knows_no_certificate_yet(bound, bundles, rotate):
    with bound_session(bound, bundles, rotate) as session:
        assert session.get(bound.url).ok
        copied = pickle.loads(pickle.dumps(session))
        rotate("new.example.com")
        with copied:
            assert copied.get(bound.url).ok
    assert bound.token_requests == ["old.example.com", "new.example.com"]


@pytest.mark.parametrize(
    ("cert", "kind", "says"),
    [
        ("no-such.pem", ValueError, "No such file"),
        (("client.pem", "no-such.key"), ValueError, "No such file"),
        ("client.pem", ValueError, "cannot be used"),
        ("client.key", ValueError, "cannot be used"),
        (("client.pem", "other.key"), ValueError, "cannot be used"),
        (("client.pem", "encrypted.key"), ValueError, "not encrypted"),
        ("garbage.pem", ValueError, "cannot be used"),
        ("", ValueError, "cannot be used"),
        (5, TypeError, "cert must be a path"),
        (b"client.pem", TypeError, "cert must be a path"),
        (("client.pem",), TypeError, "cert must be a path"),
        (("client.pem", None), TypeError, "cert must be a path"),
        (("a", "b", "c"), TypeError, "cert must be a path"),
        (["client.pem", "client.key"], TypeError, "cert must be a path"),
    ],
    ids=repr,
)
def test_w8_a_certificate_that_cannot_be_used_is_refused_by_the_constructor(
    stranger, pem, tmp_path, monkeypatch, cert, kind, says
):
    monkeypatch.chdir(tmp_path)
    other = stranger.issue_cert("other.example.com").private_key_pem
    other.write_to_path(tmp_path / "other.key")
    (tmp_path / "garbage.pem").write_text("-----BEGIN CERTIFICATE-----\ngarbage\n")
    private = load_pem_private_key(other.bytes(), None)
    encrypted = BestAvailableEncryption(b"password")
    (tmp_path / "encrypted.key").write_bytes(
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encrypted)
    )
    with pytest.raises(kind, match=says):
        TLSClientAuth(cert)


def test_a_certificate_that_has_vanished_is_a_token_error(strict_server, tls_session, tmp_path):
    tls_session.cert = str(tmp_path / "vanished.pem")
    with pytest.raises(TokenError, match=r"vanished\.pem"):
        tls_session.auth.authorize()


def test_a_session_without_such_a_method_keeps_its_certificate(tls_server):
    with ClientCredentialsSession(tls_server.token_endpoint, "id", "a-secret") as session:
        assert session.cert is None
    method = TLSClientAuth()
    with ClientCredentialsSession(tls_server.token_endpoint, "id", client_auth=method) as session:
        assert session.cert is None


def test_w3_without_its_certificate_the_client_gets_no_token(strict_server, tls_session):
    with pytest.raises(TokenConnectionError):
        tls_session.auth.authorize()
    strict_server.stop()  # it has counted then
    assert strict_server.handshakes == [None]
    assert strict_server.token_requests == []


def test_f4_an_api_with_an_unknown_certificate_raises_what_requests_raises(server, authority):
    arguments = (server.token_endpoint, server.client_id, server.client_secret)
    with (
        TLSAuthorizationServer(authority) as stranger,
        ClientCredentialsSession(*arguments) as session,
    ):
        with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            session.get(stranger.api_url)
        assert stranger.api_requests == []
