"""Clients without a secret: what somebody else has signed, in all three places (RFC 7523, 8693)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec

from clientcreds_requests import ClientCredentialsAuth, FederatedAssertion, TokenError
from clientcreds_requests.identity import FileToken

from .frameworks import that_can
from .keys import signed_jwt
from .server import Server

Issue = Callable[..., None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "token"


@pytest.fixture
def issue(server: Server, keys: dict[str, ec.EllipticCurvePrivateKey], path: Path) -> Issue:
    """Puts a new token into the file, as the platform of a workload does."""

    def put(**claims: object) -> None:
        now = int(time.time())
        usual = {"iss": "private-key-client", "sub": "private-key-client", "aud": server.issuer}
        times = {"iat": now, "exp": now + 60, "jti": str(uuid4())}
        jwt = signed_jwt(keys["ES256"], {"kid": "ES256"}, {**usual, **times, **claims})
        path.with_suffix(".new").write_text(f"{jwt}\n")
        path.with_suffix(".new").replace(path)

    put()
    return put


def federated(server: Server, path: Path) -> ClientCredentialsAuth:
    return ClientCredentialsAuth(
        server.token_endpoint,
        "private-key-client",
        client_auth=FederatedAssertion(FileToken(path)),
        body="form",
    )


@that_can("private_key_jwt")
def test_federated_assertion_of_the_moment_is_accepted(
    server: Server, issue: Issue, path: Path
) -> None:
    auth = federated(server, path)
    before = server.stats()
    for _ in range(3):  # each assertion works once: the next token request has the next one
        assert requests.get(server.api, auth=auth).status_code == 200
        auth.signout()
        issue()
    assert server.stats() - before == {"POST /token 200": 3, "GET /api 200": 3}


@that_can("private_key_jwt")
def test_assertion_of_yesterday_is_invalid_client_and_told_to_nobody(
    server: Server, issue: Issue, path: Path
) -> None:
    issue(exp=int(time.time()) - 3600)
    with pytest.raises(TokenError) as caught:
        federated(server, path).authorize()
    assert caught.value.error == "invalid_client"
    assert "check the assertion" in str(caught.value)
    assert path.read_text().strip() not in repr(caught.value)


@that_can("jwt-bearer")
def test_assertion_as_grant_needs_no_client(server: Server, issue: Issue, path: Path) -> None:
    auth = ClientCredentialsAuth(
        server.token_endpoint,
        None,
        client_auth="none",
        extra_params={
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": FileToken(path),
        },
        body="form",
    )
    for _ in range(2):
        assert requests.get(server.api, auth=auth).status_code == 200
        auth.signout()
        issue()
    issue(aud="https://other.example")
    with pytest.raises(TokenError) as caught:
        auth.authorize()
    assert caught.value.error == "invalid_grant"
    assert "check the token of this grant" in str(caught.value)


@that_can("token exchange")
def test_token_of_one_client_is_exchanged_for_one_of_another(
    server: Server, issue: Issue, path: Path
) -> None:
    first = federated(server, path)
    second = ClientCredentialsAuth(
        server.token_endpoint,
        "exchange-client",
        client_auth="none",
        extra_params={
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": lambda: first.get_token().access_token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        },
        body="form",
    )
    assert requests.get(server.api, auth=second).status_code == 200
    assert server.introspect(second.access_token)["client_id"] == "exchange-client"
    token = second.get_token()
    assert token.extra["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert first.access_token != second.access_token


@that_can("token exchange")
def test_subject_token_that_is_none_is_invalid_grant(server: Server) -> None:
    auth = ClientCredentialsAuth(
        server.token_endpoint,
        "exchange-client",
        client_auth="none",
        extra_params={
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": lambda: "no-such-token",
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        },
        body="form",
    )
    with pytest.raises(TokenError) as caught:
        auth.authorize()
    assert caught.value.error == "invalid_grant"
    assert "no-such-token" not in repr(caught.value)
