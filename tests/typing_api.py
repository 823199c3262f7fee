"""The public types, as mypy and pyright see them. Checked by both, never run.

A line with an ignore is one that both must object to: each of them reports an ignore that it does
not need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from http.client import HTTPMessage
from pathlib import Path
from typing import Any, Literal, NoReturn

import redis
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from typing_extensions import assert_type
from urllib3 import Retry

from clientcreds_requests import (
    ClientAssertion,
    ClientAuth,
    ClientCredentialsAuth,
    ClientCredentialsSession,
    ClientSecretBasic,
    ClientSecretJWT,
    ClientSecretPost,
    FederatedAssertion,
    InsecureTransportError,
    TLSClientAuth,
    Token,
    TokenConnectionError,
    TokenEndpoint,
    TokenError,
    TokenManager,
    TokenRequest,
    TokenStore,
    TokenTimeout,
)
from clientcreds_requests.identity import (
    AzureManagedIdentityToken,
    EnvToken,
    FileToken,
    GitHubActionsToken,
    GoogleMetadataToken,
)
from clientcreds_requests.jwt import DPoPKey, PrivateKeyJWT
from clientcreds_requests.pytest_plugin import authorization_server, client_credentials
from clientcreds_requests.redis import RedisTokenStore
from clientcreds_requests.testing import (
    HANG,
    RESET,
    Answer,
    Fault,
    IssuedToken,
    LocalAuthorizationServer,
    RecordedRequest,
)
from clientcreds_requests.tokens import TokenStats

URL = "https://auth.example.com/token"
ISSUER = "https://auth.example.com"


def client_secret() -> str:
    return "secret"


# Tokens of the platform.

sources: list[Callable[[], str]] = [
    FileToken(Path("token")),
    EnvToken("TOKEN"),
    GitHubActionsToken(),
    GitHubActionsToken("audience", timeout=5),
    AzureManagedIdentityToken("resource", client_id="id", timeout=5),
    GoogleMetadataToken("audience"),
]
assert_type(FileToken("token")(), str)
FederatedAssertion("literal")  # type: ignore[arg-type]
ClientCredentialsAuth(
    URL, None, client_auth="none", extra_params={"grant_type": "g", "assertion": FileToken("t")}
)
ClientCredentialsAuth(URL, None, client_auth="none").replace(extra_params={"a": sources[0]})
TokenRequest(extra_params={"a": 1})  # type: ignore[dict-item]

# What there is to a token, and to asking for one.

token = Token("t")
Token("t", 1.0, "a b", "DPoP", {"id": 1}, "DPoP t")
assert_type(token.access_token, str)
assert_type(token.expires_at, float | None)
assert_type(token.scope, str | None)
assert_type(token.token_type, str)
assert_type(token.extra, Mapping[str, Any])
assert_type(token.authorization, str)
assert_type(token.fingerprint, str)
assert_type(token.seconds_left(), float)

asked = TokenRequest("a b", resources=["https://api"], audience="x", extra_params={"y": "z"})
TokenRequest(["a", "b"], asked.resources, asked.audience, asked.extra_params)
assert_type(asked.scope, str | None)
assert_type(asked.resources, tuple[str, ...])
assert_type(asked.audience, str | None)
assert_type(asked.extra_params, tuple[tuple[str, str | Callable[[], str]], ...])
assert_type(asked.params(), dict[str, Any])
TokenRequest(extra_params=[("y", "z")])  # type: ignore[arg-type]
TokenRequest(scop="a")  # type: ignore[call-arg]

# The client, and how it proves who it is.


def sign_in(client_id: str, params: dict[str, Any], headers: dict[str, str], /) -> None:
    params["client_id"] = client_id


def sign(claims: Mapping[str, Any]) -> str:
    return str(claims["sub"])


pem_of_the_moment: Callable[[], bytes] = lambda: b"pem"  # noqa: E731
methods: list[ClientAuth] = [
    sign_in,
    ClientSecretPost("s"),
    ClientSecretPost(client_secret),
    ClientSecretBasic(client_secret, encode=False),
    ClientSecretJWT("s", ISSUER),
    ClientAssertion(sign, ISSUER),
    FederatedAssertion(client_secret),
    FederatedAssertion(FileToken("token"), assertion_type="urn:x"),
    TLSClientAuth(),
    TLSClientAuth("client.pem"),
    TLSClientAuth(("client.pem", "client.key")),
    PrivateKeyJWT("pem", ISSUER),
    PrivateKeyJWT(b"pem", ISSUER, algorithm="ES256", kid="k", headers={"typ": "JWT"}),
    PrivateKeyJWT({"kty": "EC"}, ISSUER),
    PrivateKeyJWT(ec.generate_private_key(ec.SECP256R1()), ISSUER),
    PrivateKeyJWT(pem_of_the_moment, ISSUER),
]
assert_type(ClientSecretPost("s").client_secret, str | Callable[[], str])
assert_type(ClientSecretBasic("s").encode, bool)
assert_type(ClientSecretJWT("s", ISSUER).audience, str)
assert_type(ClientAssertion(sign, ISSUER).audience, str)
assert_type(TLSClientAuth().cert, str | tuple[str, str] | None)
not_a_method: ClientAuth = client_secret  # type: ignore[assignment]
ClientSecretBasic("s", encod=False)  # type: ignore[call-arg]

key = DPoPKey.generate()
assert_type(key, DPoPKey)
assert_type(DPoPKey(b"pem", "ES256"), DPoPKey)
assert_type(key.thumbprint, str)
assert_type(key.algorithm, str)
assert_type(key.proof("GET", "https://api", access_token="t", nonce="n"), str)

# Stores.


class OwnStore:
    def get_or_fetch(self, key: bytes, fetch: Callable[[], Token], rejected: Token | None) -> Token:
        return fetch()


shared = RedisTokenStore(redis.Redis(), "p:", b"key", timeout=1)
stores: list[TokenStore] = [OwnStore(), shared]
assert_type(shared.get_or_fetch(b"key", lambda: token, None), Token)
assert_type(shared.needs_secret, bool)
not_a_store: TokenStore = redis.Redis()  # type: ignore[assignment]

# The auth: each argument as what it may be.

auth = ClientCredentialsAuth(
    URL,
    "id",
    client_secret,
    scope=["a"],
    resources=("b",),
    audience="c",
    extra_params={"d": "e"},
    extra_headers={"F": "g", "H": client_secret},
    body="form",
    client_auth="client_secret_basic",
    leeway=1,
    renew_ahead=2.5,
    timeout=(3, 4.5),
    deadline=5,
    retries=Retry(6),
    allowed_origins={"https://api"},
    allow_http=True,
    session=requests.Session(),
    store=shared,
    dpop=key,
)
assert_type(auth, ClientCredentialsAuth)
assert_type(auth(requests.PreparedRequest()), requests.PreparedRequest)
assert_type(auth.authorize(), ClientCredentialsAuth)
assert_type(auth.get_token(), Token)
assert_type(auth.signout(), None)
no_user: Callable[[], NoReturn] = auth.get_user_info
assert_type(auth.initialize(), Future[ClientCredentialsAuth])
assert_type(auth.initialized, Future[ClientCredentialsAuth])
assert_type(auth.authorized, bool)
assert_type(auth.access_token, str | None)
assert_type(auth.headers, dict[str, str])
assert_type(auth.expires, int | None)
assert_type(auth.authorizing, Future[Token] | None)
assert_type(auth.user_info, None)
assert_type(auth.error, str | None)
assert_type(auth.error_description, str | None)
assert_type(auth.error_uri, str | None)
assert_type(auth.manager, TokenManager)
assert_type(auth.endpoint, TokenEndpoint)
requests.get("https://api", auth=auth)
ClientCredentialsAuth(URL, "id", client_auth=sign_in, retries=0, timeout=2, renew_ahead=None)

ClientCredentialsAuth(URL, "id", scop="a")  # type: ignore[call-arg]
ClientCredentialsAuth(URL, "id", body="xml")  # type: ignore[arg-type]
ClientCredentialsAuth(URL, "id", client_auth="basic")  # type: ignore[arg-type]
ClientCredentialsAuth(URL, "id", dpop="key")  # type: ignore[arg-type]
ClientCredentialsAuth(URL, "id", store=1)  # type: ignore[arg-type]
ClientCredentialsAuth(URL, "id", b"secret")  # type: ignore[arg-type]
ClientCredentialsAuth(URL)  # type: ignore[call-arg]

assert_type(
    auth.replace(scope=["b"], resources=["c"], audience=None, extra_params={}),
    ClientCredentialsAuth,
)
auth.replace(scop="b")  # type: ignore[call-arg]
auth.replace(leeway=1)  # type: ignore[call-arg]
auth.replace(scope=1)  # type: ignore[arg-type]

assert_type(
    ClientCredentialsAuth.from_issuer(ISSUER, "id", "secret", dpop=key), ClientCredentialsAuth
)
assert_type(ClientCredentialsAuth.from_env(), ClientCredentialsAuth)
assert_type(ClientCredentialsAuth.from_env("P_", session=None, leeway=5), ClientCredentialsAuth)
ClientCredentialsAuth.from_issuer(ISSUER, "id", scop="a")  # type: ignore[call-arg]
ClientCredentialsAuth.from_env(scop="a")  # type: ignore[call-arg]
ClientCredentialsAuth.from_env(leeway="5")  # type: ignore[arg-type]


class OwnAuth(ClientCredentialsAuth):
    """Where Self is this one."""


own = OwnAuth.from_env()
assert_type(own, OwnAuth)
assert_type(OwnAuth.from_issuer(ISSUER, "id"), OwnAuth)
assert_type(own.authorize(), OwnAuth)
assert_type(own.replace(), OwnAuth)
assert_type(own.initialize(), Future[OwnAuth])
assert_type(own.initialized, Future[OwnAuth])

# The session: those, and a base URL.

session = ClientCredentialsSession(
    URL,
    "id",
    "secret",
    base_url="https://api",
    scope="a",
    resources=["b"],
    audience="c",
    extra_params={"d": "e"},
    extra_headers={"F": client_secret},
    body="auto",
    client_auth=TLSClientAuth(),
    leeway=1,
    renew_ahead=None,
    timeout=(1, 2),
    deadline=3,
    retries=4,
    allowed_origins=["https://api"],
    allow_http=False,
    store=None,
    dpop=None,
)
assert_type(session.auth, ClientCredentialsAuth)
assert_type(session.base_url, str | None)
assert_type(session.get("x"), requests.Response)
with session as entered:
    assert_type(entered, ClientCredentialsSession)
assert_type(
    ClientCredentialsSession.from_issuer(ISSUER, "id", base_url="https://api"),
    ClientCredentialsSession,
)
assert_type(ClientCredentialsSession.from_env("P_", dpop=key), ClientCredentialsSession)
ClientCredentialsSession(URL, "id", scop="a")  # type: ignore[call-arg]
ClientCredentialsSession(URL, "id", base="a")  # type: ignore[call-arg]
ClientCredentialsSession(URL, "id", body="xml")  # type: ignore[arg-type]
ClientCredentialsSession(URL, "id", session=session)  # type: ignore[call-arg]
ClientCredentialsSession.from_issuer(ISSUER, "id", scop="a")  # type: ignore[call-arg]
ClientCredentialsSession.from_env(base="a")  # type: ignore[call-arg]
ClientCredentialsSession.from_env(session=session)  # type: ignore[call-arg]


class OwnSession(ClientCredentialsSession):
    """Where Self is this one."""


assert_type(OwnSession.from_env(), OwnSession)
assert_type(OwnSession.from_issuer(ISSUER, "id"), OwnSession)

# What goes wrong.

error = TokenError(
    "no token",
    error="invalid_client",
    error_description=None,
    error_uri=None,
    status_code=401,
    retryable=False,
    retry_after=1,
    response=None,
    request=None,
)
assert_type(error.error, str | None)
assert_type(error.error_description, str | None)
assert_type(error.error_uri, str | None)
assert_type(error.status_code, int | None)
assert_type(error.retryable, bool)
assert_type(error.retry_after, float | None)
assert_type(error.response, requests.Response | None)
family: list[requests.RequestException] = [error]
connection: requests.ConnectionError = TokenConnectionError("no answer")
timeout: requests.Timeout = TokenTimeout("no answer in time")
both: TokenError = TokenTimeout("no answer in time")
insecure: ValueError = InsecureTransportError("plain http")

# The parts.

endpoint = TokenEndpoint(
    URL,
    "id",
    ClientSecretPost("s"),
    body="json",
    extra_headers=None,
    timeout=1,
    deadline=2,
    retries=Retry(3),
    allow_http=False,
    session=None,
    dpop=key,
)
assert_type(endpoint(asked), Token)
assert_type(endpoint.url, str)
assert_type(endpoint.client_id, str | None)
assert_type(endpoint.retries, int | Retry)

manager = TokenManager(endpoint, leeway=1, renew_ahead=None, deadline=2)
TokenManager(lambda _: token)
assert_type(manager.get_token(), Token)
assert_type(manager.get_token(asked), Token)
assert_type(manager.invalidate(token), bool)
assert_type(manager.invalidate(token, asked), bool)
assert_type(manager.clear(), None)
assert_type(manager.stats(), TokenStats)
assert_type(manager.stats().obtained, int)
assert_type(manager.stats().seconds_left, float | None)
assert_type(manager.clear(asked), None)
TokenManager(lambda: token)  # type: ignore[misc, arg-type]

# The test kit.

with LocalAuthorizationServer(
    "id",
    "secret",
    lifetime=None,
    latency=0.1,
    api_latency=1,
    scopes=["a"],
    accepts=["form"],
    methods=["client_secret_basic"],
) as server:
    assert_type(server, LocalAuthorizationServer)
    with server.outage():
        assert_type(server.down, bool)
assert_type(server.start(), LocalAuthorizationServer)
assert_type(server.stop(), None)
assert_type(server.client_id, str)
assert_type(server.client_secret, str)
assert_type(server.clients, dict[str, str])
assert_type(server.lifetime, float | None)
assert_type(server.latency, float)
assert_type(server.api_latency, float)
assert_type(server.scopes, frozenset[str] | None)
assert_type(server.accepts, set[Literal["json", "form"]])
assert_type(server.methods, set[Literal["client_secret_post", "client_secret_basic"]])
assert_type(server.url, str)
assert_type(server.issuer, str)
assert_type(server.token_endpoint, str)
assert_type(server.api_url, str)
assert_type(server.token_requests, list[RecordedRequest])
assert_type(server.metadata_requests, list[RecordedRequest])
assert_type(server.api_requests, list[RecordedRequest])
assert_type(server.tokens, list[IssuedToken])
assert_type(server.reset_records(), None)
assert_type(server.issue("id", "a"), IssuedToken)
assert_type(server.revoke("t"), None)
assert_type(server.revoke_all(), None)
server.down = True
server.answer_next(Answer(503, headers={"Retry-After": "1"}), RESET, HANG, b"raw", [b"r"], None)
server.answer_next(lambda request: Answer(200, {"path": request.path}))
server.api_answer_next(Answer(200, "text", [("A", "1"), ("A", "2")]), lambda _: None)
server.answer_next(503)  # type: ignore[arg-type]
LocalAuthorizationServer(lifetim=1)  # type: ignore[call-arg]

issued = server.issue()
assert_type(issued.access_token, str)
assert_type(issued.client_id, str)
assert_type(issued.scope, str | None)
assert_type(issued.issued_at, float)
assert_type(issued.lifetime, float | None)
assert_type(issued.revoked, bool)
assert_type(issued.expires_at, float | None)
assert_type(issued.state, Literal["valid", "expired", "revoked", "unknown", "none"])

recorded = server.token_requests[0]
assert_type(recorded.method, str)
assert_type(recorded.path, str)
assert_type(recorded.query, str)
assert_type(recorded.version, str)
assert_type(recorded.headers, HTTPMessage)
assert_type(recorded.body, bytes)
assert_type(recorded.params, dict[str, Any])
assert_type(recorded.client_port, int)
assert_type(recorded.started, float)
assert_type(recorded.ended, float | None)
assert_type(recorded.status, int | None)
assert_type(recorded.client_id, str | None)
assert_type(recorded.access_token, str | None)
faults: list[Fault] = [RESET, HANG]


def use_the_fixtures(
    authorization_server: LocalAuthorizationServer, client_credentials: ClientCredentialsAuth
) -> None:
    assert requests.get(authorization_server.api_url, auth=client_credentials).ok


fixtures: list[object] = [authorization_server, client_credentials]
