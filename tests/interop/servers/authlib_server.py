"""Authlib's authorization server and resource protector, on Flask.

Facts, each seen by experiment with Authlib 1.9.9 and 1.9.10:
- It reads forms alone: a JSON token request is 400 `unsupported_grant_type`.
- Out of the box, the grant and the revocation endpoint accept client_secret_basic alone.
- Basic: the pair is split at the first colon, then both halves are percent-decoded: `%20` is a
  space, `+` is a plus, and a raw secret works while it holds nothing that looks like `%41`.
- A wrong secret is 401 `invalid_client` with a Basic challenge, however it came. An unknown id is
  the same when it came by Basic, but 400 without a challenge when it came in the form.
- An unknown scope is 400 `invalid_scope` where OAUTH2_SCOPES_SUPPORTED is set.
- Where no scope is asked for, the answer has no `scope`. `resource` is ignored.
- The API says `Bearer error="invalid_token", error_description="..."` to a token that is expired
  or revoked, and to none `bearer error="missing_authorization", ...`, in lower case.
- One class reads the assertions of client_secret_jwt and of private_key_jwt, and calls both
  `client_assertion_jwt`. It takes ES256, RS256 and HS256, not PS256 or EdDSA; `aud` must be what
  the server's own code lists; a `jti` works once. Where the client has several keys, `kid` must
  name one. A refusal is 400 `invalid_client` without a challenge.
- This grant works over http without AUTHLIB_INSECURE_TRANSPORT.
"""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass, field
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion, JWTBearerGrant
from flask import Flask, Response, request
from joserfc.jwk import KeySet, OctKey
from loopback import CLIENT_KEYS, CLIENT_SECRET, LIFETIME, SCOPES, Counting, run
from werkzeug.serving import WSGIRequestHandler, make_server


@dataclass(frozen=True)
class Client(ClientMixin):
    auth_method: str
    key: KeySet | OctKey | None = None

    def check_client_secret(self, client_secret: str) -> bool:
        return hmac.compare_digest(client_secret.encode(), CLIENT_SECRET.encode())

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method == self.auth_method

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("client_credentials", JWTBearerGrant.GRANT_TYPE)

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope or ""


@dataclass
class Token(TokenMixin):
    client: Client
    scope: str
    expires_at: float = field(default_factory=lambda: time.time() + LIFETIME)
    revoked: bool = False

    def check_client(self, client: Client) -> bool:
        return client is self.client

    def get_scope(self) -> str:
        return self.scope

    def is_expired(self) -> bool:
        return time.time() >= self.expires_at

    def is_revoked(self) -> bool:
        return self.revoked


class Assertion(JWTBearerClientAssertion):
    """An assertion for this issuer, that is used once."""

    def __init__(self) -> None:
        super().__init__()
        self._used: set[tuple[str, str]] = set()

    def get_audiences(self) -> list[str]:
        return [request.host_url.rstrip("/")]

    def validate_jti(self, claims: dict[str, Any], jti: str) -> bool:
        use = (claims["sub"], jti)
        new = use not in self._used
        self._used.add(use)
        return new

    def resolve_client_public_key(self, client: Client) -> KeySet | OctKey:
        return client.key or KeySet([])


AUTH_METHODS = ("client_secret_basic", "client_secret_post", Assertion.CLIENT_AUTH_METHOD)
CLIENTS = {
    "post-client": Client("client_secret_post"),
    "basic-client": Client("client_secret_basic"),
    "secret-jwt-client": Client(Assertion.CLIENT_AUTH_METHOD, OctKey.import_key(CLIENT_SECRET)),
    "private-key-client": Client(Assertion.CLIENT_AUTH_METHOD, KeySet.import_key_set(CLIENT_KEYS)),
}
TOKENS: dict[str, Token] = {}


def save_token(token: dict[str, Any], request: Any) -> None:
    TOKENS[token["access_token"]] = Token(request.client, token.get("scope", ""))


class Grant(ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS


class AssertionGrant(JWTBearerGrant):
    """RFC 7523 §2.1: whoever has an assertion of a client needs no client authentication."""

    def get_audiences(self) -> list[str]:
        return [request.host_url.rstrip("/")]

    def resolve_issuer_client(self, issuer: str) -> Client | None:
        return CLIENTS.get(issuer)

    def resolve_client_public_key(self, client: Client) -> KeySet | OctKey:
        return client.key or KeySet([])

    def authenticate_user(self, subject: str) -> str:
        return subject

    def has_granted_permission(self, _client: Client, _user: str) -> bool:
        return True


class Revocation(RevocationEndpoint):
    CLIENT_AUTH_METHODS = AUTH_METHODS

    def query_token(self, token_string: str, _token_type_hint: str | None) -> Token | None:
        return TOKENS.get(token_string)

    def revoke_token(self, token: Token, _request: object) -> None:
        token.revoked = True


class Validator(BearerTokenValidator):
    def authenticate_token(self, token_string: str) -> Token | None:
        return TOKENS.get(token_string)


class QuietHandler(WSGIRequestHandler):
    def log_request(self, *_args: object) -> None:
        pass


app = Flask(__name__)
app.config.update(
    OAUTH2_TOKEN_EXPIRES_IN=dict.fromkeys(
        ("client_credentials", JWTBearerGrant.GRANT_TYPE), LIFETIME
    ),
    OAUTH2_SCOPES_SUPPORTED=list(SCOPES),
)
authorization = AuthorizationServer(app, CLIENTS.get, save_token)
authorization.register_client_auth_method(Assertion.CLIENT_AUTH_METHOD, Assertion())
authorization.register_grant(Grant)
authorization.register_grant(AssertionGrant)
authorization.register_endpoint(Revocation)
protected = ResourceProtector()
protected.register_token_validator(Validator())


@app.post("/token")
def token() -> Response:
    return authorization.create_token_response()


@app.post("/revoke")
def revoke() -> Response:
    return authorization.create_endpoint_response("revocation")


@app.route("/api", methods=["GET", "POST"])
@protected()
def api() -> bytes:
    return request.get_data()


if __name__ == "__main__":
    run(make_server("127.0.0.1", 0, Counting(app), threaded=True, request_handler=QuietHandler))
