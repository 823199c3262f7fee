"""Which client a token request comes from."""

from __future__ import annotations

import secrets
from base64 import b64decode
from collections.abc import Collection, Mapping
from urllib.parse import unquote_plus

from .messages import Answer, RecordedRequest, oauth_error


def authenticate(
    request: RecordedRequest, clients: Mapping[str, str], methods: Collection[str]
) -> str | Answer:
    """Return the id of the client that the request proves to come from, or the refusal.

    :param clients: the secrets of the registered clients, by client id.
    :param methods: the client authentication methods to accept.
    """
    authorization = request.headers.get("Authorization")
    client_id, secret = map(request.params.get, ("client_id", "client_secret"))
    method, headers = "client_secret_post", {}
    if authorization is not None:
        method = "client_secret_basic"
        headers = {"WWW-Authenticate": 'Basic realm="token endpoint", charset="UTF-8"'}
        if secret is not None:
            return oauth_error("invalid_request", "a client_secret beside an Authorization header")
        named = client_id
        try:
            client_id, secret = _decode_basic(authorization)
        except ValueError:
            return oauth_error("invalid_client", "malformed Authorization", 401, headers)
        if named not in (None, client_id):
            return oauth_error("invalid_request", "two client ids")
    if method not in methods:
        expected = ", ".join(sorted(methods))
        return oauth_error("invalid_client", f"authenticate with: {expected}", 401, headers)
    registered = clients.get(str(client_id), "")
    # JSON can bring lone surrogates, which plain UTF-8 refuses to encode.
    given, right = (s.encode(errors="surrogatepass") for s in (str(secret or ""), registered))
    if not secrets.compare_digest(given, right) or not registered:
        return oauth_error("invalid_client", "unknown client or wrong secret", 401, headers)
    return str(client_id)


def _decode_basic(authorization: str) -> tuple[str, str]:
    """Return id and secret, decoded as RFC 6749 section 2.3.1 wants them encoded.

    :raises ValueError: when it is something else.
    """
    scheme, _, credentials = authorization.partition(" ")
    client_id, secret = b64decode(credentials, validate=True).decode().split(":", 1)
    if scheme.lower() != "basic":
        raise ValueError(scheme)
    return unquote_plus(client_id), unquote_plus(secret)
