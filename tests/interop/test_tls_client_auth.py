"""Who the client is, by its certificate, which its tokens are bound to (RFC 8705)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from clientcreds_requests import ClientCredentialsSession, TLSClientAuth, TokenError

from .certificates import Certificates
from .frameworks import that_can
from .keys import base64url
from .server import Server

pytestmark = that_can("tls_client_auth")

Connect = Callable[[TLSClientAuth], ClientCredentialsSession]


@pytest.fixture
def tls_server(server: Server) -> Server:
    return server.over_tls()


@pytest.fixture
def connect(tls_server: Server, certificates: Certificates) -> Iterator[Connect]:
    """A session of tls-client, that trusts the server."""
    sessions = []

    def connect(method: TLSClientAuth) -> ClientCredentialsSession:
        session = ClientCredentialsSession(
            tls_server.token_endpoint,
            "tls-client",
            client_auth=method,
            base_url=tls_server.url,
            body="form",
        )
        session.verify = str(certificates.authority)
        sessions.append(session)
        return session

    yield connect
    for session in sessions:
        session.close()


@pytest.fixture
def session(connect: Connect, certificates: Certificates) -> ClientCredentialsSession:
    return connect(TLSClientAuth(str(certificates.client)))


def call(
    server: Server, certificates: Certificates, token: str, certificate: Path | None
) -> requests.Response:
    return requests.get(
        server.api,
        headers={"Authorization": f"Bearer {token}"},
        cert=None if certificate is None else str(certificate),
        verify=str(certificates.authority),
    )


def test_certificate_gets_a_token_and_goes_with_it(
    server: Server, session: ClientCredentialsSession
) -> None:
    before = server.stats()
    for _ in range(2):
        assert session.get("api").status_code == 200
    assert server.stats() - before == {"POST /token 200": 1, "GET /api 200": 2}


def test_certificate_and_key_may_be_two_files(connect: Connect, certificates: Certificates) -> None:
    both = str(certificates.client)
    assert connect(TLSClientAuth((both, both))).get("api").status_code == 200


def test_certificate_may_be_that_of_the_session(
    connect: Connect, certificates: Certificates
) -> None:
    session = connect(TLSClientAuth())
    session.cert = str(certificates.client)
    assert session.get("api").status_code == 200


def test_token_is_bound_to_the_certificate(
    server: Server, session: ClientCredentialsSession, certificates: Certificates
) -> None:
    told = server.introspect(session.auth.get_token().access_token)
    certificate = x509.load_pem_x509_certificate(certificates.client.read_bytes())
    thumbprint = hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
    assert told["cnf"] == {"x5t#S256": base64url(thumbprint)}


@pytest.mark.parametrize("which", ["other_name", "other_authority", None])
def test_any_other_certificate_is_invalid_client(
    connect: Connect, certificates: Certificates, which: str | None
) -> None:
    method = TLSClientAuth() if which is None else TLSClientAuth(str(getattr(certificates, which)))
    with pytest.raises(TokenError) as caught:
        connect(method).auth.authorize()
    assert (caught.value.error, caught.value.status_code) == ("invalid_client", 401)


def test_revoked_token_is_replaced_behind_the_callers_back(
    server: Server,
    tls_server: Server,
    session: ClientCredentialsSession,
    certificates: Certificates,
) -> None:
    assert session.get("api").status_code == 200
    revoked = session.auth.access_token
    requests.post(
        f"{tls_server.issuer}/revoke",
        {"client_id": "tls-client", "token": revoked},
        cert=str(certificates.client),
        verify=str(certificates.authority),
    ).raise_for_status()
    before = server.stats()
    response = session.post("api", data=b"sent twice, received once")

    assert (response.status_code, response.content) == (200, b"sent twice, received once")
    assert session.auth.access_token != revoked
    assert server.stats() - before == {
        "POST /api 401": 1,
        "POST /token 200": 1,
        "POST /api 200": 1,
    }


@pytest.mark.parametrize("which", ["other_name", "other_authority", None])
def test_bound_token_is_refused_with_any_other_certificate(
    tls_server: Server,
    session: ClientCredentialsSession,
    certificates: Certificates,
    which: str | None,
) -> None:
    token = session.auth.get_token().access_token
    assert call(tls_server, certificates, token, certificates.client).status_code == 200
    stolen_by = None if which is None else getattr(certificates, which)
    response = call(tls_server, certificates, token, stolen_by)
    assert response.status_code == 401
    assert "bound to another certificate" in response.headers["WWW-Authenticate"]
