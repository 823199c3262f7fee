"""How the client proves who it is (RFC 6749 §2.3, RFC 7523 §2.2, RFC 8705 §2).

Any callable that completes a token request in place is a client authentication method. It is
called for every attempt anew, so that what may be used only once is never sent twice.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias
from urllib.parse import quote

from ._checks import Cert, check_certificate, identifier

if TYPE_CHECKING:
    from typing_extensions import Self


ClientAuthName: TypeAlias = Literal[
    "client_secret_post", "client_secret_basic", "client_secret_jwt"
]


class ClientAuth(Protocol):
    """Completes the token request in place.

    :param client_id: who is asking.
    :param params: the parameters of the body, to be added to.
    :param headers: the header fields, to be added to.
    """

    def __call__(self, client_id: str, params: dict[str, Any], headers: dict[str, str], /) -> None:
        """Add what proves the client's identity."""


class ClientSecretAuth:
    """What the methods with a client secret share.

    :param client_secret: the secret, or a callable that returns it. The callable is called for
        every token request, so that rotation needs no restart.
    :raises TypeError: if it is neither.
    :raises ValueError: if it is empty or has control characters, such as a file's newline.
    """

    def __init__(self, client_secret: str | Callable[[], str]) -> None:
        if not callable(client_secret):
            check_secret("client_secret", client_secret)
        self.client_secret: str | Callable[[], str] = client_secret

    def __getstate__(self) -> dict[str, Any]:
        if not callable(self.client_secret):
            raise TypeError(
                "a literal client_secret is neither pickled nor copied: pass a callable, such as "
                "a function that reads it from the environment"
            )
        return self.__dict__

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __call__(self, client_id: str, params: dict[str, Any], headers: dict[str, str], /) -> None:
        """Complete the token request."""
        raise NotImplementedError

    def current(self) -> Self:
        """The same method with the secret of this moment.

        :raises TypeError, ValueError: if the callable returns what cannot be a secret.
        :raises Exception: whatever the callable raises.
        """
        if not callable(self.client_secret):
            return self
        secret = self.client_secret()
        check_secret("what the client_secret callable returned", secret)
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__, client_secret=secret)
        return twin

    def secret(self) -> str:
        """The secret of this moment."""
        current = self.current().client_secret
        assert isinstance(current, str)
        return current


def check_secret(what: str, secret: object) -> None:
    """Check that something can be a client secret; the error does not quote it.

    :raises TypeError, ValueError: when it cannot.
    """
    if not isinstance(secret, str):
        kind = type(secret).__name__
        raise TypeError(f"{what} must be a str, or a callable returning one; not {kind}")
    if not secret:
        raise ValueError(f"{what} is empty")
    if any(character < " " or character == "\x7f" for character in secret):
        raise ValueError(f"{what} has a control character; strip the newline a file ends with")
    if any("\ud800" <= character <= "\udfff" for character in secret):
        raise ValueError(f"{what} is no text: it has bytes that could not be decoded")


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

    def __repr__(self) -> str:
        return f"{type(self).__name__}(encode={self.encode!r})"

    def __call__(self, client_id: str, params: dict[str, Any], headers: dict[str, str], /) -> None:
        """Complete the token request."""
        secret = self.secret()
        if self.encode:
            # A space as %20: decoders of forms and of URIs both read it, the former's "+" is not.
            client_id, secret = quote(client_id, safe=""), quote(secret, safe="")
        elif ":" in client_id:
            raise ValueError("client_id may have no colon with ClientSecretBasic(encode=False)")
        credentials = f"{client_id}:{secret}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(credentials).decode()}"


class ClientAssertion:
    """A signed statement of the client about itself (RFC 7521 §4.2, RFC 7523 §2.2).

    :param sign: returns the assertion for the claims it is given: ``iss``, ``sub``, ``aud``,
        ``jti``, ``iat`` and ``exp``. It may sign them, or hand out an assertion that another
        party made, such as a federation token from a file.
    :param audience: the issuer identifier of the authorization server, as it stands in its
        metadata. It has no default: the token endpoint's URL is what a counterfeit server would
        like to see there.
    """

    def __init__(self, sign: Callable[[Mapping[str, Any]], str], audience: str) -> None:
        if not callable(sign):
            raise TypeError("sign must be a callable that turns claims into an assertion")
        self.sign: Callable[[Mapping[str, Any]], str] = sign
        self.audience: str = identifier("audience (the issuer identifier)", audience)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(audience={self.audience!r})"

    def __call__(self, client_id: str, params: dict[str, Any], headers: dict[str, str], /) -> None:
        """Complete the token request."""
        _add_assertion(params, client_id, self.sign(_claims(client_id, self.audience)))


class ClientSecretJWT(ClientSecretAuth):
    """``client_secret_jwt``: an assertion authenticated with the secret (HS256; RFC 7523 §2.2).

    :param client_secret: the secret, or a callable that returns it.
    :param audience: the issuer identifier of the authorization server; see
        :class:`ClientAssertion`.
    """

    def __init__(self, client_secret: str | Callable[[], str], audience: str) -> None:
        super().__init__(client_secret)
        self.audience: str = identifier("audience (the issuer identifier)", audience)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(audience={self.audience!r})"

    def __call__(self, client_id: str, params: dict[str, Any], headers: dict[str, str], /) -> None:
        """Complete the token request."""
        segments = (
            {"alg": "HS256", "typ": "client-authentication+jwt"},
            _claims(client_id, self.audience),
        )
        signed = b".".join(_base64url(json.dumps(segment).encode()) for segment in segments)
        mac = hmac.digest(self.secret().encode(), signed, hashlib.sha256)
        _add_assertion(params, client_id, b".".join((signed, _base64url(mac))).decode())


class TLSClientAuth:
    """``tls_client_auth``: the client certificate of the connection speaks (RFC 8705 §2).

    The same for ``self_signed_tls_client_auth``. A token got this way may be bound to the
    certificate (§3): the API calls have to show it too. A :class:`ClientCredentialsSession`
    sees to that; elsewhere pass requests' own ``cert``.

    :param cert: path of a PEM file with certificate and key, or a pair of paths, as in requests.
        None: ``session.cert``.
    :raises TypeError, ValueError: when there is no certificate with its key in clear.
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


def _claims(client_id: str, audience: str) -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "jti": _base64url(os.urandom(16)).decode(),
        "iat": now,
        "exp": now + 60,
    }


def _add_assertion(params: dict[str, Any], client_id: str, assertion: object) -> None:
    if not isinstance(assertion, str):
        raise TypeError(f"sign must return the assertion as a str, not {type(assertion).__name__}")
    params["client_id"] = client_id
    params["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    params["client_assertion"] = assertion


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def client_auth_for(
    method: ClientAuth | ClientAuthName, secret: str | Callable[[], str] | None
) -> ClientAuth:
    """The method of that name, with that secret; a callable is one already.

    :raises ValueError: when the two do not go together.
    """
    if callable(method):
        if secret is not None:
            raise ValueError(
                "client_secret would not be used: give it to the client_auth, as in "
                "client_auth=ClientSecretBasic(secret)"
            )
        return method
    if method == "client_secret_jwt":
        raise ValueError(
            "client_auth='client_secret_jwt' needs the issuer identifier of the authorization "
            "server: pass client_auth=ClientSecretJWT(secret, audience=issuer)"
        )
    if method not in ("client_secret_post", "client_secret_basic"):
        raise ValueError(
            "client_auth must be 'client_secret_post', 'client_secret_basic' or a callable such "
            "as ClientSecretBasic(secret)"
        )
    if secret is None:
        raise ValueError(f"client_secret is needed for {method}; TLSClientAuth() needs none")
    return ClientSecretPost(secret) if method == "client_secret_post" else ClientSecretBasic(secret)
