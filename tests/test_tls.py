"""TLS, with real certificates: whom a token request trusts, and how a client shows its own."""

from __future__ import annotations

import pytest
import requests
import trustme
from helpers import TLSAuthorizationServer, elsewhere, token_answer
from urllib3.exceptions import InsecureRequestWarning

from clientcreds_requests import (
    ClientCredentialsAuth,
    ClientCredentialsSession,
    TLSClientAuth,
    TokenConnectionError,
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


def test_w3_without_its_certificate_the_client_gets_no_token(strict_server, tls_session):
    with pytest.raises(TokenConnectionError):
        tls_session.auth.authorize()
    strict_server.stop()  # it has counted then
    assert strict_server.handshakes == [None]
    assert strict_server.token_requests == []
