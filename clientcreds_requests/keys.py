"""Private keys that sign: how they are read, and what others may know of them (extra ``jwt``).

No error of this module quotes a key, and none has a cause or a context that might.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar, cast

try:
    import jwt
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )
    from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
    from jwt.utils import base64url_encode
except ImportError as _error:
    raise ImportError(
        "clientcreds_requests.jwt needs PyJWT and cryptography: "
        "pip install 'clientcreds-requests[jwt]'"
    ) from _error

PrivateKey: TypeAlias = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)
KeySource: TypeAlias = str | bytes | Mapping[str, Any] | PrivateKey

_Input = TypeVar("_Input")
_Output = TypeVar("_Output")

# What a key of each kind signs with; the first is its default.
_ALGORITHMS = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA",),
    "Ed448": ("EdDSA",),
}
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_MAKERS: dict[str, Callable[[], PrivateKey]] = {
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}
_JWK_READERS: dict[object, Callable[[dict[str, Any]], Any]] = {
    "RSA": RSAAlgorithm.from_jwk,
    "EC": ECAlgorithm.from_jwk,
    "OKP": OKPAlgorithm.from_jwk,
}
_PUBLIC_MEMBERS = ("crv", "e", "kty", "n", "x", "y")
_PEM_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


@dataclass(frozen=True)
class SigningKey:
    """A private key, and how it signs.

    :param private: the key itself.
    :param public: its public half as a JWK, with the members of its thumbprint alone.
    :param algorithm: as in RFC 7518 §3.1.
    :param thumbprint: of the public half (RFC 7638).
    :param kid: what its JWK calls it.
    :param certificate: thumbprint of the certificate that came with it, as in ``x5t#S256``.
    """

    private: PrivateKey = field(repr=False, compare=False)
    public: dict[str, str] = field(repr=False, compare=False)
    algorithm: str
    thumbprint: str
    kid: str | None
    certificate: str | None

    def sign(self, claims: Mapping[str, Any], header: Mapping[str, Any]) -> str:
        """The claims as a signed JWT."""
        return jwt.encode(dict(claims), self.private, self.algorithm, dict(header))


def read_key(what: str, key: object, algorithm: str | None = None) -> SigningKey:
    """The key in PEM, in a JWK, or the one that is given as an object.

    :param what: the argument's name, for the error.
    :param key: a :data:`KeySource`.
    :param algorithm: None for the JWK's own, or the usual one for its kind.
    :raises TypeError, ValueError: when it is no private key, or cannot sign like that.
    """
    jwk: dict[str, Any] = {}
    certificate = None
    if isinstance(key, str):
        key = key.encode(errors="replace")
    if isinstance(key, bytes) and key.lstrip().startswith(b"{"):
        key = _attempt(json.loads, key)
        if key is None:
            raise ValueError(f"{what} begins like a JWK but is no JSON")
    if isinstance(key, bytes):
        key, certificate = _from_pem(what, key)
    elif isinstance(key, Mapping):
        jwk = dict(cast("Mapping[str, Any]", key))
        key = _from_jwk(what, jwk)
    kind, private = _signing(what, key)
    if algorithm is None and jwk.get("alg") is not None:
        algorithm = check_algorithm(f"the alg in {what}", jwk["alg"])
    algorithm = algorithm or _ALGORITHMS[kind][0]
    if algorithm not in _ALGORITHMS[kind]:
        fitting = ", ".join(_ALGORITHMS[kind])
        raise ValueError(f"algorithm {algorithm} does not fit {what} ({kind}): use {fitting}")
    kid = jwk.get("kid")
    if not isinstance(kid, str | None):
        raise TypeError(f"the kid in {what} must be a str, not {type(kid).__name__}")
    public = _public_jwk(private)
    return SigningKey(private, public, algorithm, thumbprint(public), kid or None, certificate)


def new_key(algorithm: str) -> PrivateKey:
    """A new key for the algorithm.

    :raises TypeError, ValueError: when it is no asymmetric one.
    """
    check_algorithm("algorithm", algorithm)
    return next(make() for kind, make in _MAKERS.items() if algorithm in _ALGORITHMS[kind])


def check_algorithm(what: str, algorithm: object) -> str:
    """The name of an asymmetric algorithm; the error does not quote it, as it might be the key.

    :raises TypeError, ValueError: when it is none.
    """
    if not isinstance(algorithm, str):
        raise TypeError(f"{what} must be a str, not {type(algorithm).__name__}")
    known = dict.fromkeys(name for names in _ALGORITHMS.values() for name in names)
    if algorithm not in known:
        raise ValueError(f"{what} must be an asymmetric one: {', '.join(known)}")
    return algorithm


def thumbprint(public: Mapping[str, str]) -> str:
    """The SHA-256 thumbprint of a public JWK (RFC 7638); base64url."""
    members = {name: public[name] for name in _PUBLIC_MEMBERS if name in public}
    return _digest(json.dumps(members, separators=(",", ":")).encode())


def _from_pem(what: str, pem: bytes) -> tuple[object, str | None]:
    blocks = [(block[1], block[0]) for block in _PEM_BLOCK.finditer(pem)]
    if not blocks:
        raise ValueError(f"{what} is neither PEM nor a JWK: pass the content of the key's file")
    private = [block for label, block in blocks if label.endswith(b"PRIVATE KEY")]
    if len(private) != 1:
        raise ValueError(f"{what} must hold one private key; it holds {len(private)}")
    if b"ENCRYPTED" in private[0]:
        raise ValueError(
            f"{what} is encrypted: pass the object that cryptography's "
            "load_pem_private_key(pem, password) returns"
        )
    key = _attempt(lambda block: load_pem_private_key(block, None), private[0])
    if key is None:
        raise ValueError(
            f"{what} cannot be read: pass PKCS#8, PKCS#1 or SEC1 as PEM, with its line breaks"
        )
    certificate = next((block for label, block in blocks if label == b"CERTIFICATE"), None)
    return key, None if certificate is None else _certificate_of(what, key, certificate)


def _certificate_of(what: str, key: Any, pem: bytes) -> str:
    certificate = _attempt(x509.load_pem_x509_certificate, pem)
    if certificate is None:
        raise ValueError(f"the certificate in {what} cannot be read: pass the whole PEM")
    if _attempt(lambda found: found.public_key() == key.public_key(), certificate) is not True:
        raise ValueError(
            f"the first certificate in {what} does not belong to the private key: pass the "
            "client's own first, or none"
        )
    return _digest(certificate.public_bytes(Encoding.DER))


def _from_jwk(what: str, jwk: dict[str, Any]) -> object:
    kty = jwk.get("kty")
    if kty == "oct":
        raise ValueError(f"{what} is a symmetric JWK: pass a private one; see ClientSecretJWT")
    if kty not in list(_JWK_READERS):
        raise ValueError(f"{what} must be a JWK whose kty is RSA, EC or OKP")
    if "d" not in jwk:
        raise ValueError(f"{what} is a public JWK: pass the private one, with its d")
    key = _attempt(_JWK_READERS[kty], jwk)
    public = _attempt(_JWK_READERS[kty], {name: jwk[name] for name in jwk if name != "d"})
    if key is None or public is None or key.public_key() != public:
        raise ValueError(f"{what} is a JWK that cannot be read: pass the whole of it")
    return key


def _signing(what: str, key: object) -> tuple[str, PrivateKey]:
    """The key, and its kind."""
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < 2048:
            raise ValueError(
                f"{what} is an RSA key of {key.key_size} bits: pass one of 2048 or more"
            )
        return "RSA", key
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if key.curve.name not in _CURVES:
            raise ValueError(f"{what} must be on the curve P-256, P-384 or P-521")
        return _CURVES[key.curve.name], key
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "Ed25519", key
    if isinstance(key, ed448.Ed448PrivateKey):
        return "Ed448", key
    raise TypeError(
        f"{what} must be a private RSA, EC or EdDSA key, as PEM, as a JWK or as an object of "
        f"cryptography; not {type(key).__name__}"
    )


def _public_jwk(private: PrivateKey) -> dict[str, str]:
    if isinstance(private, rsa.RSAPrivateKey):
        modulus = private.public_key().public_numbers()
        return {"e": _uint(modulus.e), "kty": "RSA", "n": _uint(modulus.n)}
    if isinstance(private, ec.EllipticCurvePrivateKey):
        point, bits = private.public_key().public_numbers(), private.key_size
        crv = _CURVES[private.curve.name]
        return {"crv": crv, "kty": "EC", "x": _uint(point.x, bits), "y": _uint(point.y, bits)}
    crv = "Ed25519" if isinstance(private, ed25519.Ed25519PrivateKey) else "Ed448"
    x = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"crv": crv, "kty": "OKP", "x": base64url_encode(x).decode()}


def _uint(number: int, bits: int | None = None) -> str:
    """A number as JWKs have it: a coordinate in full length, leading zeros and all."""
    size = ((bits or number.bit_length()) + 7) // 8
    return base64url_encode(number.to_bytes(size, "big")).decode()


def _digest(data: bytes) -> str:
    return base64url_encode(hashlib.sha256(data).digest()).decode()


def _attempt(read: Callable[[_Input], _Output], value: _Input) -> _Output | None:
    """What is read from the value; None when that fails: the error itself may quote the key."""
    with contextlib.suppress(Exception):
        return read(value)
    return None
