"""Private keys that sign: how they are read, and what others may know of them (extra ``jwt``).

No error of this module quotes a key, and none has a cause or a context that might.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias, cast

from ._checks import text

try:
    import jwt
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
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

# What a key of each kind signs with; the first is its default. PyJWT does not compare the two.
_ALGORITHMS = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA",),
    "Ed448": ("EdDSA",),
}
_CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
_BY_TYPE = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}  # what PyJWT reads a JWK by
_PEM_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


class SigningKey(NamedTuple):
    """A private key, and how it signs."""

    private: PrivateKey
    public: dict[str, str]  # a JWK with the members of its thumbprint alone
    algorithm: str  # RFC 7518 §3.1
    kid: str | None  # of its JWK
    certificate: str | None  # thumbprint of the one that came with it: x5t#S256

    @property
    def thumbprint(self) -> str:
        """The thumbprint of the public half (RFC 7638 §3)."""
        canonical = json.dumps(self.public, sort_keys=True, separators=(",", ":"))
        return base64url_encode(hashlib.sha256(canonical.encode()).digest()).decode()

    def sign(self, claims: Mapping[str, Any], header: Mapping[str, Any]) -> str:
        """Return the claims as a signed JWT."""
        return jwt.encode(dict(claims), self.private, self.algorithm, dict(header))


def read_key(what: str, key: object, algorithm: str | None = None) -> SigningKey:
    """Return what signs with a :data:`KeySource`; by default with the usual algorithm of its kind.

    :raises TypeError, ValueError: if it cannot; the message names the argument, ``what``.
    """
    jwk: dict[str, Any] = {}
    certificate = None
    if isinstance(key, (str, bytes)):
        key = _attempt(json.loads, key) or key
    if isinstance(key, str):
        key = key.encode(errors="replace")
    if isinstance(key, bytes):
        key, certificate = _from_pem(what, key)
    elif isinstance(key, Mapping):
        jwk = dict(cast("Mapping[str, Any]", key))
        key = _from_jwk(what, jwk)
    public = _public_jwk(what, key)
    kind = public.get("crv", "RSA")
    signs_with: str = algorithm or jwk.get("alg") or _ALGORITHMS[kind][0]
    if signs_with not in _ALGORITHMS[kind]:
        fitting = ", ".join(_ALGORITHMS[kind])
        raise ValueError(f"the algorithm does not fit {what} ({kind}): use {fitting}")
    kid = text(f"the kid in {what}", jwk["kid"]) if jwk.get("kid") else None
    return SigningKey(cast("PrivateKey", key), public, signs_with, kid, certificate)


def new_key(algorithm: str) -> PrivateKey:
    """Return a new key for the algorithm."""
    check_algorithm("algorithm", algorithm)
    kind = next(kind for kind, names in _ALGORITHMS.items() if algorithm in names)
    if kind == "RSA":
        return rsa.generate_private_key(65537, 2048)
    if kind in _CURVES:
        return ec.generate_private_key(_CURVES[kind])
    return ed25519.Ed25519PrivateKey.generate()


def check_algorithm(what: str, algorithm: object) -> str:
    """Return the name of an asymmetric algorithm; no error quotes it: it may be the key."""
    if not isinstance(algorithm, str):
        raise TypeError(f"{what} must be a str, not {type(algorithm).__name__}")
    known = dict.fromkeys(name for names in _ALGORITHMS.values() for name in names)
    if algorithm not in known:
        raise ValueError(f"{what} must be an asymmetric one: {', '.join(known)}")
    return algorithm


def _from_pem(what: str, pem: bytes) -> tuple[Any, str | None]:
    """Return the key, and the thumbprint of the first certificate beside it."""
    # Versions of cryptography differ in what they step over to find a block.
    blocks = [(block[1], block[0]) for block in _PEM_BLOCK.finditer(pem)]
    private = [block for label, block in blocks if label.endswith(b"PRIVATE KEY")]
    if len(private) != 1:
        raise ValueError(
            f"{what} must hold one private key, as PEM or a JWK; it holds {len(private)}: pass the "
            "content of the key's file"
        )
    key = _attempt(lambda block: load_pem_private_key(block, None), private[0])
    if key is None:
        raise ValueError(
            f"{what} cannot be read: pass PKCS#8, PKCS#1 or SEC1 as PEM, with its line breaks; one "
            "that is encrypted as what cryptography's load_pem_private_key(pem, password) returns"
        )
    chain = [block for label, block in blocks if label == b"CERTIFICATE"]
    if not chain:
        return key, None
    certificate = _attempt(x509.load_pem_x509_certificate, chain[0])
    if _attempt(lambda found: found.public_key(), certificate) != key.public_key():
        raise ValueError(
            f"the first certificate in {what} is not one of its private key: pass the client's own "
            "first, or none"
        )
    return key, base64url_encode(certificate.fingerprint(SHA256())).decode()


def _from_jwk(what: str, jwk: dict[str, Any]) -> object:
    algorithm = _BY_TYPE.get(str(jwk.get("kty")))
    if algorithm is None or "d" not in jwk:
        raise ValueError(f"{what} must be a private JWK, with a d, whose kty is RSA, EC or OKP")
    read = jwt.get_algorithm_by_name(algorithm).from_jwk
    key = _attempt(read, jwk)
    # An OKP key is made of its d alone: that may be another's.
    public = _attempt(read, {name: jwk[name] for name in jwk if name != "d"})
    if key is None or key.public_key() != public:
        raise ValueError(f"{what} is a JWK that cannot be read: pass the whole of it")
    return key


def _public_jwk(what: str, key: object) -> dict[str, str]:
    """Return the public half of a key, with the members of its thumbprint alone."""
    if not isinstance(key, PrivateKey):
        raise TypeError(
            f"{what} must be a private RSA, EC or EdDSA key, as PEM, as a JWK or as an object of "
            f"cryptography; not {type(key).__name__}"
        )
    algorithm = "EdDSA"
    if isinstance(key, rsa.RSAPrivateKey):
        algorithm = "RS256"
        if key.key_size < 2048:
            raise ValueError(f"{what} is RSA of {key.key_size} bits: pass one of 2048 or more")
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        algorithm = "ES256"
        if key.curve.name not in {curve.name for curve in _CURVES.values()}:
            raise ValueError(f"{what} must be on the curve P-256, P-384 or P-521")
    jwk = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return {name: jwk[name] for name in ("crv", "e", "kty", "n", "x", "y") if name in jwk}


def _attempt(read: Callable[[Any], Any], value: object) -> Any:
    """Return what is read from a value; None if that fails: the error itself may quote the key."""
    with contextlib.suppress(Exception):
        return read(value)
    return None
