"""Tokens that are of use only with a key (RFC 9449), at a server and an API that demand nonces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from clientcreds_requests import ClientCredentialsAuth, ClientCredentialsSession, TokenError
from clientcreds_requests.jwt import DPoPKey, PrivateKeyJWT

from .frameworks import that_can
from .proofs import Bound
from .server import Server
from .threads import THREADS, in_threads

pytestmark = that_can("DPoP")

NONCES_KEPT = 64  # by the API; see servers/oidc_provider/proofs.mjs


@pytest.fixture
def key() -> DPoPKey:
    return DPoPKey.generate()


@pytest.fixture
def session(server: Server, key: DPoPKey) -> Iterator[ClientCredentialsSession]:
    with ClientCredentialsSession(
        server.token_endpoint,
        "dpop-client",
        server.secret,
        base_url=server.url,
        body="form",
        dpop=key,
    ) as session:
        yield session


def test_each_of_the_two_servers_says_its_nonce_once(
    server: Server, session: ClientCredentialsSession
) -> None:
    before = server.stats()
    assert session.get("api").status_code == 200
    first = server.stats() - before
    assert first == {
        "POST /token 400": 1,
        "POST /token 200": 1,
        "GET /api 401": 1,
        "GET /api 200": 1,
    }

    assert session.get("api").status_code == 200
    assert server.stats() - before - first == {"GET /api 200": 1}

    session.auth.signout()
    assert session.get("api").status_code == 200
    assert server.stats() - before - first == {"POST /token 200": 1, "GET /api 200": 2}


def test_nonce_that_comes_with_an_answer_is_the_next_to_be_used(
    server: Server, session: ClientCredentialsSession
) -> None:
    before = server.stats()
    for _ in range(NONCES_KEPT + 2):
        assert session.get("api").status_code == 200
    assert (server.stats() - before)["GET /api 401"] == 1  # the first call knew of no nonce


def test_body_is_sent_again_with_the_nonce(session: ClientCredentialsSession) -> None:
    response = session.post("api", data=b"sent twice, received once")
    assert (response.status_code, response.content) == (200, b"sent twice, received once")


def test_proof_is_of_the_url_without_its_query(session: ClientCredentialsSession) -> None:
    assert session.get("api", params={"page": "2"}).status_code == 200


def test_without_a_session_it_works_too(server: Server, key: DPoPKey) -> None:
    auth = ClientCredentialsAuth(server.token_endpoint, "dpop-client", server.secret, dpop=key)
    for _ in range(2):
        assert requests.get(server.api, auth=auth).status_code == 200


def test_token_is_bound_to_the_key(
    server: Server, session: ClientCredentialsSession, key: DPoPKey
) -> None:
    token = session.auth.get_token()
    told = server.introspect(token.access_token)
    assert (token.token_type, told["token_type"]) == ("DPoP", "DPoP")
    assert told["cnf"] == {"jkt": key.thumbprint}


def test_client_that_need_not_bind_its_tokens_may(server: Server, key: DPoPKey) -> None:
    auth = ClientCredentialsAuth(*server.credentials, dpop=key)
    assert requests.get(server.api, auth=auth).status_code == 200
    assert server.introspect(auth.access_token)["cnf"] == {"jkt": key.thumbprint}


def test_proofs_go_with_an_assertion_that_is_new_for_each_attempt(
    server: Server, key: DPoPKey, keys: dict[str, PrivateKeyTypes]
) -> None:
    auth = ClientCredentialsAuth(
        server.token_endpoint,
        "private-key-client",
        client_auth=PrivateKeyJWT(keys["ES256"], server.issuer, kid="ES256"),
        dpop=key,
    )
    assert requests.get(server.api, auth=auth).status_code == 200


def test_bound_client_without_a_key_gets_no_token(server: Server) -> None:
    auth = ClientCredentialsAuth(server.token_endpoint, "dpop-client", server.secret)
    with pytest.raises(TokenError) as caught:
        auth.authorize()
    assert (caught.value.error, caught.value.status_code) == ("invalid_grant", 400)


def test_revoked_token_is_replaced_behind_the_callers_back(
    server: Server, session: ClientCredentialsSession
) -> None:
    assert session.get("api").status_code == 200
    revoked = session.auth.access_token
    server.revoke(revoked, "dpop-client")
    before = server.stats()
    response = session.post("api", data=b"sent twice, received once")

    assert (response.status_code, response.content) == (200, b"sent twice, received once")
    assert session.auth.access_token != revoked
    assert server.stats() - before == {
        "POST /api 401": 1,
        "POST /token 200": 1,
        "POST /api 200": 1,
    }


def test_threads_share_a_key_and_a_token(server: Server, session: ClientCredentialsSession) -> None:
    def calls() -> None:
        assert all(session.get("api").status_code == 200 for _ in range(10))

    before = server.stats()
    in_threads(calls)
    answers = server.stats() - before
    assert answers["POST /token 200"] == 1
    assert answers["GET /api 200"] == THREADS * 10


# What a thief has of a bound token


@pytest.mark.parametrize("scheme", ["Bearer", "DPoP"])
def test_bound_token_is_refused_without_a_proof(
    server: Server, session: ClientCredentialsSession, scheme: str
) -> None:
    token = session.auth.get_token().access_token
    response = requests.get(server.api, headers={"Authorization": f"{scheme} {token}"})
    assert response.status_code == 401


def test_bound_token_is_refused_with_a_proof_by_another_key(
    server: Server, session: ClientCredentialsSession
) -> None:
    token = session.auth.get_token().access_token
    response = Bound(server, ec.generate_private_key(ec.SECP256R1()), token).get()
    assert response.status_code == 401
    assert "the key is not the one" in response.headers["WWW-Authenticate"]
