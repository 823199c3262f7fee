"""How the client proves who it is (RFC 6749 §2.3, RFC 7523 §2.2, RFC 8705 §2).

Any callable that completes a token request in place is a client authentication method. It is
called for every attempt anew, so that what may be used only once is never sent twice.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import math
import os
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias
from urllib.parse import quote

from ._checks import Cert, check_certificate, identifier, json_members, seconds, text
from .exceptions import TokenError

if TYPE_CHECKING:
    from typing_extensions import Self


ClientAuthName: TypeAlias = Literal[
    "client_secret_post", "client_secret_basic", "client_secret_jwt", "none"
]

_JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

_JWT = r"[\w-]+(\.[\w-]*){2,4}"

#: The maximum size of a client assertion, in characters.
MAX_ASSERTION = 16 * 1024


class ClientAuth(Protocol):
    """Completes the token request in place."""

    def __call__(self, client_id: str, params: dict[str, Any], headers: dict[str, str], /) -> None:
        """Add the client's id and credentials to the parameters of the body or the header."""


class ClientSecretAuth(ABC):
    """Base of the methods with a client secret.

    :param client_secret: the secret, or a callable that returns it. The callable is called for
        every token request, so that rotation needs no restart.
    :raises TypeError: if it is neither.
    :raises ValueError: if it is empty or has control characters, such as a file's newline.
    """

    def __init__(self, client_secret: str | Callable[[], str]) -> None:
        if not callable(client_secret):
            text("client_secret", client_secret)
        self.client_secret: str | Callable[[], str] = client_secret

    def __getstate__(self) -> dict[str, Any]:
        if not callable(self.client_secret):
            raise TypeError(
                "a literal client_secret is neither pickled nor copied: pass a callable, such as "
                "a function that reads it from the environment"
            )
        return vars(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @abstractmethod
    def __call__(self, client_id: str, params: dict[str, Any], headers: dict[str, str], /) -> None:
        """Complete the token request."""

    def current(self) -> Self:
        """Return the same method with the secret of this moment."""
        if not callable(self.client_secret):
            return self
        twin = object.__new__(type(self))
        vars(twin).update(vars(self), client_secret=self.secret())
        return twin

    def secret(self) -> str:
        """Return the secret of this moment."""
        if not callable(self.client_secret):
            return self.client_secret
        return text("what the client_secret callable returned", self.client_secret())


class ClientSecretPost(ClientSecretAuth):
    """``client_secret_post``: id and secret in the body (RFC 6749 §2.3.1)."""

    def __call__(self, client_id: str, params: dict[str, Any], headers: dict[str, str], /) -> None:
        """Complete the token request."""
        params["client_id"] = client_id
        params["client_secret"] = self.secret()


class ClientSecretBasic(ClientSecretAuth):
    """``client_secret_basic``: id and secret in the Authorization header (RFC 6749 §2.3.1).

    :param client_secret: the secret, or a callable that returns it.
    :param encode: percent-encode both, as the RFC asks and most servers expect. False is for
        servers that do not decode; the id can have no colon then.
    """

    def __init__(self, client_secret: str | Callable[[], str], encode: bool = True) -> None:
        super().__init__(client_secret)
        self.encode: bool = encode

    def __call__(self, client_id: str, params: dict[str, Any], headers: dict[str, str], /) -> None:
        """Complete the token request."""
        secret = self.secret()
        if self.encode:
            # A space as %20: decoders of forms and of URIs read it; "+" is read by the former only.
            client_id, secret = quote(client_id, safe=""), quote(secret, safe="")
        elif ":" in client_id:
            raise ValueError("client_id may have no colon with ClientSecretBasic(encode=False)")
        credentials = ":".join((client_id, secret)).encode()  # also if its type overrides str()
        headers["Authorization"] = f"Basic {base64.b64encode(credentials).decode()}"


class ClientAssertion:
    """A signed statement of the client about itself (RFC 7521 §4.2, RFC 7523 §2.2).

    :param sign: returns the assertion for the claims it is given: ``iss``, ``sub``, ``aud``,
        ``jti``, ``iat`` and ``exp``.
    :param audience: the issuer identifier of the authorization server, as it stands in its
        metadata. It has no default: with the token endpoint's URL as audience, an assertion sent
        to a counterfeit server could be used at the genuine one.
    :param claims: further claims; they may replace those above.
    :param lifetime: seconds until the assertion expires.
    :raises TypeError, ValueError: if an argument cannot work.
    """

    def __init__(
        self,
        sign: Callable[[Mapping[str, Any]], str],
        audience: str,
        *,
        claims: Mapping[str, Any] | None = None,
        lifetime: float = 60.0,
    ) -> None:
        if not callable(sign):
            raise TypeError("sign must be a callable that turns claims into an assertion")
        self.sign: Callable[[Mapping[str, Any]], str] = sign
        self.audience: str = identifier("audience (the issuer identifier)", audience)
        self._further = json_members("claims", claims)
        self._lifetime = seconds("lifetime", lifetime)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(audience={self.audience!r})"

    def __call__(self, client_id: str, params: dict[str, Any], headers: dict[str, str], /) -> None:
        """Complete the token request."""
        now = int(time.time())
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": self.audience,
            "jti": _base64url(os.urandom(16)),
            "iat": now,
            "exp": now + math.ceil(self._lifetime),
            **self._further,
        }
        made: object = self.sign(claims)
        if not isinstance(made, str):
            raise TypeError(f"sign must return the assertion as a str, not {type(made).__name__}")
        params.update(client_id=client_id, client_assertion_type=_JWT_BEARER, client_assertion=made)


class FederatedAssertion:
    """A client assertion that another party has signed (RFC 7521 §4.2, RFC 7523 §2.2).

    :param token: returns the assertion, a JWT; called for every attempt. See
        ``clientcreds_requests.identity`` for those of Kubernetes, CI and clouds.
    :param assertion_type: its type; SPIFFE's has ``jwt-spiffe`` in place of ``jwt-bearer``.
    :raises TypeError, ValueError: if an argument cannot work.
    """

    def __init__(self, token: Callable[[], str], *, assertion_type: str = _JWT_BEARER) -> None:
        if not callable(token):
            raise TypeError("token must be a callable that returns the assertion: FileToken(path)")
        self.token: Callable[[], str] = token
        self.assertion_type: str = identifier("assertion_type", assertion_type)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(assertion_type={self.assertion_type!r})"

    def __call__(self, client_id: str, params: dict[str, Any], headers: dict[str, str], /) -> None:
        """Complete the token request.

        :raises TokenError: if there is no JWT to send.
        """
        params.update(client_id=client_id, client_assertion_type=self.assertion_type)
        params["client_assertion"] = assertion = self.token()
        found = f"a {type(assertion).__name__}"
        if isinstance(assertion, str):
            found = f"{len(assertion)} characters"
            if len(assertion) <= MAX_ASSERTION and re.fullmatch(_JWT, assertion, re.ASCII):
                return
        expected = f"expected a JWT of at most {MAX_ASSERTION} characters"
        raise TokenError(f"the callable of the client assertion returned {found}; {expected}")


class ClientSecretJWT(ClientSecretAuth):
    """``client_secret_jwt``: an assertion authenticated with the secret (HS256; RFC 7523 §2.2).

    :param client_secret: the secret, or a callable that returns it.
    :param audience: the issuer identifier of the authorization server; see
        :class:`ClientAssertion`.
    :param headers: further header fields; they may replace ``typ``, which is
        ``client-authentication+jwt``.
    :param claims: further claims; they may replace the usual ones.
    :param lifetime: seconds until the assertion expires.
    :raises TypeError, ValueError: if an argument cannot work.
    """

    def __init__(
        self,
        client_secret: str | Callable[[], str],
        audience: str,
        *,
        headers: Mapping[str, Any] | None = None,
        claims: Mapping[str, Any] | None = None,
        lifetime: float = 60.0,
    ) -> None:
        super().__init__(client_secret)
        header = {"alg": "HS256", "typ": "client-authentication+jwt"}
        header |= json_members("headers", headers)
        if header["alg"] != "HS256":
            raise ValueError("headers may not set 'alg': client_secret_jwt is signed with HS256")
        encode = functools.partial(_signing_input, header)
        self._unsigned = ClientAssertion(encode, audience, claims=claims, lifetime=lifetime)
        self.audience: str = audience

    def __call__(self, client_id: str, params: dict[str, Any], headers: dict[str, str], /) -> None:
        """Complete the token request."""
        self._unsigned(client_id, params, headers)  # without the signature
        signed = params["client_assertion"].encode()
        mac = hmac.digest(self.secret().encode(), signed, hashlib.sha256)
        params["client_assertion"] += f".{_base64url(mac)}"


class TLSClientAuth:
    """``tls_client_auth``: the client certificate of the connection (RFC 8705 §2).

    Also for ``self_signed_tls_client_auth``. The token may be bound to the certificate (§3): API
    calls have to present it too. A :class:`ClientCredentialsSession` does so; elsewhere pass
    requests' own ``cert``.

    :param cert: path of a PEM file with certificate and key, or a pair of paths, as in requests.
        None: ``session.cert``.
    :raises TypeError, ValueError: if there is no certificate with an unencrypted key.
    """

    def __init__(self, cert: Cert = None) -> None:
        if cert is not None:
            check_certificate(cert)
        self.cert: Cert = cert

    def __repr__(self) -> str:
        return f"{type(self).__name__}(cert={self.cert!r})"

    def __call__(self, client_id: str, params: dict[str, Any], headers: dict[str, str], /) -> None:
        """Complete the token request."""
        params["client_id"] = client_id


def no_client_auth(client_id: str | None, params: dict[str, Any], _headers: dict[str, str]) -> None:
    """``none``: the client's id alone (RFC 7591 §2); without one, nothing."""
    if client_id is not None:
        params["client_id"] = client_id


def _signing_input(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """Return the part of a JWT that is signed (RFC 7515 §5.1)."""
    return ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def client_auth_for(
    method: ClientAuth | str, secret: str | Callable[[], str] | None, issuer: str = ""
) -> ClientAuth:
    """Return the method of that name with that secret; a callable is returned as it is.

    :param issuer: the audience of ``client_secret_jwt``, which is rejected without one.
    """
    if callable(method) or method == "none":
        if secret is not None:
            raise ValueError(
                "client_secret would not be used: client_auth must be another name than 'none', or "
                "take the secret itself, as in client_auth=ClientSecretBasic(secret)"
            )
        return method if callable(method) else no_client_auth
    by_issuer = ("client_secret_jwt",) if issuer else ()
    if method not in ("client_secret_post", "client_secret_basic", *by_issuer):
        raise ValueError(
            "client_auth must be 'client_secret_post', 'client_secret_basic', 'none' or a callable "
            "such as ClientSecretJWT(secret, audience=issuer)"
        )
    if secret is None:
        raise ValueError(f"client_secret is needed for {method}; TLSClientAuth() needs none")
    if method == "client_secret_jwt":
        return ClientSecretJWT(secret, issuer)
    return ClientSecretPost(secret) if method == "client_secret_post" else ClientSecretBasic(secret)
