"""What an API refuses that checks DPoP proofs: what it accepts elsewhere, it has looked at."""

from __future__ import annotations

import uuid

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec

from .frameworks import that_can
from .proofs import Bound, proof, sha256
from .server import Server

pytestmark = that_can("DPoP")


@pytest.fixture
def bound(server: Server) -> Bound:
    key = ec.generate_private_key(ec.SECP256R1())
    endpoint, client_id, secret = server.credentials
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": secret,
    }
    claims = {"htm": "POST", "htu": endpoint}
    first = requests.post(endpoint, form, headers={"DPoP": proof(key, **claims)})
    claims["nonce"] = first.headers["DPoP-Nonce"]
    second = requests.post(endpoint, form, headers={"DPoP": proof(key, **claims)})
    return Bound(server, key, second.json()["access_token"])


def test_right_proof_is_accepted(bound: Bound) -> None:
    assert bound.get().status_code == 200


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"htm": "POST"}, "invalid_dpop_proof"),
        ({"htu": "https://other.example/api"}, "invalid_dpop_proof"),
        ({"iat": 1}, "invalid_dpop_proof"),
        ({"ath": sha256("another token")}, "invalid_dpop_proof"),
        ({"nonce": "of another server"}, "use_dpop_nonce"),
    ],
    ids=["method", "URL", "time", "token", "nonce"],
)
def test_proof_of_another_request_is_refused(
    bound: Bound, claims: dict[str, object], error: str
) -> None:
    response = bound.get(**claims)
    assert response.status_code == 401
    assert f'DPoP error="{error}"' in response.headers["WWW-Authenticate"]


def test_proof_is_refused_when_it_comes_again(bound: Bound) -> None:
    jti = uuid.uuid4().hex
    assert bound.get(jti=jti).status_code == 200
    response = bound.get(jti=jti)
    assert response.status_code == 401
    assert "jti is not new" in response.headers["WWW-Authenticate"]


def test_proof_by_another_key_is_refused(bound: Bound) -> None:
    response = bound.get(key=ec.generate_private_key(ec.SECP256R1()))
    assert response.status_code == 401
    assert "the key is not the one" in response.headers["WWW-Authenticate"]


def test_bound_token_is_refused_as_bearer_even_with_its_proof(bound: Bound) -> None:
    response = bound.get(scheme="Bearer")
    assert response.status_code == 401
    assert "to be sent as DPoP" in response.headers["WWW-Authenticate"]
