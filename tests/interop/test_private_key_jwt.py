"""Who the client is, by a private key (RFC 7523 §2.2)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from clientcreds_requests import ClientCredentialsAuth, TokenError
from clientcreds_requests.jwt import PrivateKeyJWT

from .frameworks import that_can
from .keys import private_jwk, private_pem
from .server import Server

Keys = dict[str, PrivateKeyTypes]


def auth_of(server: Server, method: PrivateKeyJWT) -> ClientCredentialsAuth:
    return ClientCredentialsAuth(
        server.token_endpoint, "private-key-client", client_auth=method, body="form"
    )


@that_can("private_key_jwt")
@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_every_token_request_has_an_assertion_that_is_new(
    server: Server, keys: Keys, algorithm: str
) -> None:
    auth = auth_of(server, PrivateKeyJWT(keys[algorithm], server.issuer, kid=algorithm))
    before = server.stats()
    for _ in range(2):
        assert requests.get(server.api, auth=auth).status_code == 200
        auth.signout()
    assert server.stats() - before == {"POST /token 200": 2, "GET /api 200": 2}


@that_can("every algorithm")
@pytest.mark.parametrize(("key", "algorithm"), [("RS256", "PS256"), ("EdDSA", None)])
def test_other_algorithms_get_a_token_as_well(
    server: Server, keys: Keys, key: str, algorithm: str | None
) -> None:
    method = PrivateKeyJWT(keys[key], server.issuer, algorithm=algorithm, kid=key)
    assert requests.get(server.api, auth=auth_of(server, method)).status_code == 200


@that_can("private_key_jwt")
@pytest.mark.parametrize(
    "written",
    [
        private_pem,
        lambda key: private_pem(key).decode(),
        lambda key: private_jwk(key) | {"kid": "ES256"},
        lambda key: key,
    ],
    ids=["PEM", "PEM as text", "JWK", "key"],
)
def test_key_may_be_written_in_many_ways(
    server: Server, keys: Keys, written: Callable[[ec.EllipticCurvePrivateKey], object]
) -> None:
    key = written(keys["ES256"])
    kid = None if isinstance(key, dict) else "ES256"
    auth = auth_of(server, PrivateKeyJWT(key, server.issuer, kid=kid))
    assert requests.get(server.api, auth=auth).status_code == 200


@that_can("private_key_jwt")
def test_server_that_reads_no_json_is_asked_by_a_new_assertion(server: Server, keys: Keys) -> None:
    method = PrivateKeyJWT(keys["ES256"], server.issuer, kid="ES256")
    auth = ClientCredentialsAuth(server.token_endpoint, "private-key-client", client_auth=method)
    before = server.stats()
    assert requests.get(server.api, auth=auth).status_code == 200
    assert server.stats() - before == {
        "POST /token 400": 1,
        "POST /token 200": 1,
        "GET /api 200": 1,
    }


@that_can("private_key_jwt")
def test_another_key_is_invalid_client_and_told_to_nobody(server: Server) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    auth = auth_of(server, PrivateKeyJWT(stranger, server.issuer, kid="ES256"))
    with pytest.raises(TokenError) as caught:
        auth.authorize()
    assert caught.value.error == "invalid_client"
    assert private_jwk(stranger)["d"] not in repr(caught.value)


@that_can("private_key_jwt")
def test_assertion_meant_for_another_server_is_invalid_client(server: Server, keys: Keys) -> None:
    auth = auth_of(server, PrivateKeyJWT(keys["ES256"], "https://other.example", kid="ES256"))
    with pytest.raises(TokenError) as caught:
        auth.authorize()
    assert caught.value.error == "invalid_client"
