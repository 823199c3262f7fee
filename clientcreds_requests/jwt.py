"""What a private key says for the client: assertions and DPoP proofs (extra ``jwt``)."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from .arguments import text
from .client_auth import ClientAssertion
from .keys import KeySource, SigningKey, check_algorithm, new_key, read_key

if TYPE_CHECKING:
    from typing_extensions import Self

_TARGET = re.compile(r"([a-z][a-z0-9+.-]*://)(?:[^/?#]*@)?([^?#]+)", re.IGNORECASE)


class PrivateKeyJWT(ClientAssertion):
    """``private_key_jwt``: an assertion signed with the client's private key (RFC 7523 §2.2).

    A certificate beside the key in the PEM is named in the header (``x5t#S256``). Entra ID, which
    asks for that, also wants another algorithm and another type::

        PrivateKeyJWT(pem, audience, algorithm="PS256", headers={"typ": "JWT"})

    :param key: the private key: PEM, a JWK as a dict or as JSON, or an object of cryptography;
        or a callable that returns one of these. The callable is asked for every assertion, so
        that rotation of a mounted file needs no restart, and it alone can be pickled and copied.
    :param audience: the issuer identifier of the authorization server; see
        :class:`ClientAssertion`.
    :param algorithm: None: the JWK's own, or else RS256, ES256, ES384, ES512 or EdDSA, as fits
        the key.
    :param kid: the key's name at the authorization server; None: the JWK's own.
    :param headers: further header fields; they may replace ``typ``, which is
        ``client-authentication+jwt``.
    :raises TypeError, ValueError: for what could not work; the text holds nothing of the key.
    """

    def __init__(
        self,
        key: KeySource | Callable[[], KeySource],
        audience: str,
        *,
        algorithm: str | None = None,
        kid: str | None = None,
        headers: Mapping[str, Any] | None = None,
    ) -> None:
        if algorithm is not None:
            check_algorithm("algorithm", algorithm)
        if kid is not None:
            text("kid", kid)
        super().__init__(
            _Signer(
                key if callable(key) else read_key("key", key, algorithm),
                algorithm,
                kid,
                _header_fields(headers),
            ),
            audience,
        )

    def __getstate__(self) -> dict[str, Any]:
        assert isinstance(self.sign, _Signer)
        self.sign.__getstate__()
        return self.__dict__


@dataclass(frozen=True)
class _Signer:
    """Signs claims with the key of this moment."""

    key: SigningKey | Callable[[], KeySource] = field(repr=False)
    algorithm: str | None
    kid: str | None
    headers: dict[str, Any] = field(hash=False)

    def __getstate__(self) -> dict[str, Any]:
        if isinstance(self.key, SigningKey):
            raise TypeError(
                "a literal key is neither pickled nor copied: pass a callable, such as a function "
                "that reads it from its file"
            )
        return self.__dict__

    def __call__(self, claims: Mapping[str, Any]) -> str:
        key = self.key
        if not isinstance(key, SigningKey):
            key = read_key("what the key callable returned", key(), self.algorithm)
        header = {
            "typ": "client-authentication+jwt",
            "kid": self.kid or key.kid,
            "x5t#S256": key.certificate,
        }
        known = {name: value for name, value in header.items() if value is not None}
        return key.sign(claims, {**known, **self.headers})


def _header_fields(headers: Mapping[str, Any] | None) -> dict[str, Any]:
    if headers is not None and not isinstance(headers, Mapping):
        raise TypeError(f"headers must be a mapping, not {type(headers).__name__}")
    fields = dict(headers or {})
    for name in fields:
        if not isinstance(name, str):
            raise TypeError(f"headers must have str for names; one is {type(name).__name__}")
        if name in ("alg", "kid"):
            argument = "algorithm" if name == "alg" else name
            raise ValueError(f"headers may not set {name!r}: pass {argument}=...")
    try:
        return dict(json.loads(json.dumps(fields, allow_nan=False)))
    except (TypeError, ValueError, RecursionError):
        raise ValueError("headers must be what JSON can hold") from None


class DPoPKey:
    """The key that tokens are bound to (RFC 9449); any number of threads may use it.

    It is neither pickled nor copied: a process that is not a fork makes its own, and has tokens of
    its own.

    :param key: the private key: PEM, a JWK as a dict or as JSON, or an object of cryptography.
    :param algorithm: None: the JWK's own, or else the usual one for the key.
    :raises TypeError, ValueError: for what could not work; the text holds nothing of the key.
    """

    def __init__(self, key: KeySource, algorithm: str | None = None) -> None:
        if algorithm is not None:
            check_algorithm("algorithm", algorithm)
        self._key = read_key("key", key, algorithm)
        #: What the proofs are signed with.
        self.algorithm: str = self._key.algorithm
        #: The public key's thumbprint (RFC 7638), which servers call ``jkt``.
        self.thumbprint: str = self._key.thumbprint

    @classmethod
    def generate(cls, algorithm: str = "ES256") -> Self:
        """A new key.

        :param algorithm: what it is to sign with.
        :raises TypeError, ValueError: when that is no asymmetric algorithm.
        """
        return cls(new_key(algorithm), algorithm)

    def __getstate__(self) -> NoReturn:
        raise TypeError(
            "a DPoPKey is neither pickled nor copied: make it anew in the other process"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.algorithm} {self.thumbprint}>"

    def proof(
        self, method: str, url: str, *, access_token: str | None = None, nonce: str | None = None
    ) -> str:
        """A proof for one request, to be sent as its ``DPoP`` header field; never used again.

        :param method: the request's.
        :param url: the request's; its query and its fragment are left out.
        :param access_token: the token that the request carries; None for a token request.
        :param nonce: what the server last asked for in ``DPoP-Nonce``.
        :raises TypeError, ValueError: for what could not work.
        """
        target = _TARGET.match(text("url", url))
        if target is None:
            raise ValueError("url must be an absolute URL")
        claims = {
            "jti": secrets.token_urlsafe(16),
            "htm": text("method", method),
            "htu": target[1] + target[2],
            "iat": int(time.time()),
        }
        if access_token is not None:
            if not text("access_token", access_token).isascii():
                raise ValueError("access_token must be ASCII")
            digest = hashlib.sha256(access_token.encode()).digest()
            claims["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if nonce is not None:
            claims["nonce"] = text("nonce", nonce)
        return self._key.sign(claims, {"typ": "dpop+jwt", "jwk": self._key.public})
