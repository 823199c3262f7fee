"""``private_key_jwt``: client assertions signed with a private key (extra ``jwt``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ._checks import json_members, text
from ._keys import KeySource, SigningKey, check_algorithm, read_key
from .client_auth import ClientAssertion
from .dpop import DPoPKey

__all__ = ["DPoPKey", "PrivateKeyJWT"]


class PrivateKeyJWT(ClientAssertion):
    """``private_key_jwt``: an assertion signed with the client's private key (RFC 7523 §2.2).

    If the PEM also holds a certificate, the header names it (``x5t#S256``). Entra ID requires
    that, and another algorithm and type::

        PrivateKeyJWT(pem, audience, algorithm="PS256", headers={"typ": "JWT"})

    :param key: the private key: PEM, a JWK as a dict or as JSON, or an object of cryptography;
        or a callable that returns one of these. The callable is called for every assertion, so
        that rotation of a mounted file needs no restart. Only with a callable can the method be
        pickled or copied.
    :param audience: the issuer identifier of the authorization server; see
        :class:`ClientAssertion`.
    :param algorithm: None: the JWK's own, or else RS256, ES256, ES384, ES512 or EdDSA, as fits
        the key.
    :param kid: the key's identifier at the authorization server; None: the JWK's own.
    :param headers: further header fields; they may replace ``typ``, which is
        ``client-authentication+jwt``.
    :param claims: further claims; they may replace the usual ones.
    :param lifetime: seconds until the assertion expires.
    :raises TypeError, ValueError: if an argument cannot work; the message holds nothing of the
        key.
    """

    def __init__(
        self,
        key: KeySource | Callable[[], KeySource],
        audience: str,
        *,
        algorithm: str | None = None,
        kid: str | None = None,
        headers: Mapping[str, Any] | None = None,
        claims: Mapping[str, Any] | None = None,
        lifetime: float = 60.0,
    ) -> None:
        if algorithm is not None:
            check_algorithm("algorithm", algorithm)
        if kid is not None:
            text("kid", kid)
        fields = json_members("headers", headers)
        for name, argument in (("alg", "algorithm"), ("kid", "kid")):
            if name in fields:
                raise ValueError(f"headers may not set {name!r}: pass {argument}=...")
        signing_key = key if callable(key) else read_key("key", key, algorithm)
        sign = _Signer(signing_key, algorithm, kid, fields)
        super().__init__(sign, audience, claims=claims, lifetime=lifetime)

    def __getstate__(self) -> dict[str, Any]:
        assert isinstance(self.sign, _Signer)
        self.sign.__getstate__()
        return self.__dict__


@dataclass(frozen=True)
class _Signer:
    """Signs claims with the current key."""

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
