"""Authlib's authorization server and resource protector, on Flask.

Facts, each seen by experiment with Authlib 1.9.9:
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
from flask import Flask, Response, request
from loopback import CLIENT_ID, CLIENT_SECRET, LIFETIME, SCOPES, Counting, run
from werkzeug.serving import WSGIRequestHandler, make_server


class Client(ClientMixin):
    def check_client_secret(self, client_secret: str) -> bool:
        return hmac.compare_digest(client_secret.encode(), CLIENT_SECRET.encode())

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method in ("client_secret_basic", "client_secret_post")

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope or ""


@dataclass
class Token(TokenMixin):
    scope: str
    expires_at: float = field(default_factory=lambda: time.time() + LIFETIME)
    revoked: bool = False

    def check_client(self, client: Client) -> bool:
        return client is CLIENT

    def get_scope(self) -> str:
        return self.scope

    def is_expired(self) -> bool:
        return time.time() >= self.expires_at

    def is_revoked(self) -> bool:
        return self.revoked


CLIENT = Client()
TOKENS: dict[str, Token] = {}


def query_client(client_id: str) -> Client | None:
    return CLIENT if client_id == CLIENT_ID else None


def save_token(token: dict[str, Any], _request: object) -> None:
    TOKENS[token["access_token"]] = Token(token.get("scope", ""))


class Grant(ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")


class Revocation(RevocationEndpoint):
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
    OAUTH2_TOKEN_EXPIRES_IN={"client_credentials": LIFETIME},
    OAUTH2_SCOPES_SUPPORTED=list(SCOPES),
)
authorization = AuthorizationServer(app, query_client, save_token)
authorization.register_grant(Grant)
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
