"""The public types, as a type checker sees them. Checked by mypy, never run."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import requests
from typing_extensions import assert_type

from clientcreds_requests import (
    ClientAuth,
    ClientCredentialsAuth,
    ClientCredentialsSession,
    ClientSecretBasic,
    ClientSecretPost,
    TLSClientAuth,
    Token,
    TokenError,
    TokenManager,
    TokenRequest,
)
from clientcreds_requests.jwt import DPoPKey, PrivateKeyJWT
from clientcreds_requests.stats import TokenStats
from clientcreds_requests.testing import LocalAuthorizationServer

auth = ClientCredentialsAuth(
    "https://a/token", "id", lambda: "secret", scope=["a"], resources=["b"]
)
assert_type(auth(requests.PreparedRequest()), requests.PreparedRequest)
assert_type(auth.authorize(), ClientCredentialsAuth)
assert_type(auth.get_token(), Token)
assert_type(auth.replace(scope="b"), ClientCredentialsAuth)
assert_type(auth.authorized, bool)
assert_type(auth.access_token, str | None)
assert_type(auth.headers, dict[str, str])
assert_type(auth.expires, int | None)
assert_type(auth.authorizing, Future[Token] | None)
assert_type(auth.initialize(), Future[ClientCredentialsAuth])
assert_type(auth.initialized, Future[ClientCredentialsAuth])
assert_type(auth.error, str | None)
assert_type(auth.error_description, str | None)
assert_type(auth.error_uri, str | None)
assert_type(auth.manager, TokenManager)
requests.get("https://api", auth=auth)

session = ClientCredentialsSession(
    "https://a/token", "id", "secret", base_url="https://api", timeout=(1, 2), retries=1
)
assert_type(session.auth, ClientCredentialsAuth)
assert_type(session.get("x"), requests.Response)
ClientCredentialsSession("https://a/token", "id", "secret", scop="typo")  # type: ignore[call-arg]
ClientCredentialsSession("https://a/token", "id", "secret", body="xml")  # type: ignore[arg-type]

key = DPoPKey.generate()
assert_type(key, DPoPKey)
assert_type(key.thumbprint, str)
assert_type(
    ClientCredentialsAuth.from_issuer("https://a", "id", "secret", dpop=key), ClientCredentialsAuth
)
assert_type(
    ClientCredentialsSession.from_issuer("https://a", "id", base_url="https://api"),
    ClientCredentialsSession,
)
assert_type(ClientCredentialsAuth.from_env(leeway=5), ClientCredentialsAuth)
assert_type(ClientCredentialsSession.from_env("P_", dpop=key), ClientCredentialsSession)
ClientCredentialsAuth.from_env(scop="typo")  # type: ignore[call-arg]
ClientCredentialsAuth.from_issuer("https://a", "id", scop="typo")  # type: ignore[call-arg]
ClientCredentialsSession.from_env(session=requests.Session())  # type: ignore[call-arg]
ClientCredentialsAuth("https://a/token", "id", "secret", dpop="key")  # type: ignore[arg-type]

token = auth.get_token()
assert_type(token.access_token, str)
assert_type(token.expires_at, float | None)
assert_type(token.scope, str | None)
assert_type(token.extra, Mapping[str, Any])
assert_type(token.authorization, str)

error = TokenError("no token")
assert_type(error.retryable, bool)
assert_type(error.retry_after, float | None)
assert_type(error.status_code, int | None)
assert_type(error.response, requests.Response | None)


def sign_in(client_id: str, params: dict[str, Any], headers: dict[str, str], /) -> None:
    params["client_id"] = client_id


methods: list[ClientAuth] = [
    sign_in,
    TLSClientAuth(),
    TLSClientAuth(("client.pem", "client.key")),
    PrivateKeyJWT(b"pem", "https://a"),
    PrivateKeyJWT(lambda: {"kty": "EC"}, "https://a", algorithm="ES256", kid="k"),
    ClientSecretPost("s"),
    ClientSecretBasic("s", encode=False),
]

manager = TokenManager(lambda _: Token("t"), leeway=1, renew_ahead=None, deadline=2)
assert_type(manager.get_token(TokenRequest(scope="a")), Token)
assert_type(manager.invalidate(token), bool)
assert_type(manager.stats(TokenRequest(scope="a")), TokenStats)
assert_type(auth.manager.stats().obtained, int)
assert_type(auth.manager.stats().seconds_left, float | None)

with LocalAuthorizationServer(lifetime=3) as server:
    assert_type(server, LocalAuthorizationServer)
