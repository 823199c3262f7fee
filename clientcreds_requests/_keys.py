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

try:
    import jwt
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )
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
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_CURVE_OF: dict[str, ec.EllipticCurve] = {
    "ES256": ec.SECP256R1(),
    "ES384": ec.SECP384R1(),
    "ES512": ec.SECP521R1(),
}
_BY_TYPE = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}  # what PyJWT reads a JWK by
_PEM_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


class SigningKey(NamedTuple):
    """A private key, and how it signs.

    :param private: the key itself.
    :param public: its public half as a JWK, with the members of its thumbprint alone.
    :param algorithm: as in RFC 7518 §3.1.
    :param kid: what its JWK calls it.
    :param certificate: thumbprint of the certificate that came with it, as in ``x5t#S256``.
    """

    private: PrivateKey
    public: dict[str, str]
    algorithm: str
    kid: str | None
    certificate: str | None

    @property
    def thumbprint(self) -> str:
        """The thumbprint of the public half (RFC 7638)."""
        return thumbprint(self.public)

    def sign(self, claims: Mapping[str, Any], header: Mapping[str, Any]) -> str:
        """Return the claims as a signed JWT."""
        return jwt.encode(dict(claims), self.private, self.algorithm, dict(header))


def read_key(what: str, key: object, algorithm: str | None = None) -> SigningKey:
    """Return the key in PEM, in a JWK, or the one that is given as an object.

    :param what: the argument's name, for the error.
    :param key: a :data:`KeySource`.
    :param algorithm: None for the JWK's own, or the usual one for its kind.
    :raises TypeError, ValueError: if it is no private key, or cannot sign like that.
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
    public = _public_jwk(what, key)
    kind = public.get("crv", "RSA")
    if algorithm is None and jwk.get("alg") is not None:
        algorithm = check_algorithm(f"the alg in {what}", jwk["alg"])
    algorithm = algorithm or _ALGORITHMS[kind][0]
    if algorithm not in _ALGORITHMS[kind]:
        fitting = ", ".join(_ALGORITHMS[kind])
        raise ValueError(f"algorithm {algorithm} does not fit {what} ({kind}): use {fitting}")
    kid = jwk.get("kid")
    if not isinstance(kid, str | None):
        raise TypeError(f"the kid in {what} must be a str, not {type(kid).__name__}")
    return SigningKey(cast("PrivateKey", key), public, algorithm, kid or None, certificate)


def new_key(algorithm: str) -> PrivateKey:
    """Return a new key for the algorithm.

    :raises TypeError, ValueError: if it is not an asymmetric algorithm.
    """
    check_algorithm("algorithm", algorithm)
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm in _CURVE_OF:
        return ec.generate_private_key(_CURVE_OF[algorithm])
    return rsa.generate_private_key(65537, 2048)


def check_algorithm(what: str, algorithm: object) -> str:
    """Return the name of an asymmetric algorithm; the error does not quote it: it may be the key.

    :raises TypeError, ValueError: if it is none.
    """
    if not isinstance(algorithm, str):
        raise TypeError(f"{what} must be a str, not {type(algorithm).__name__}")
    known = dict.fromkeys(name for names in _ALGORITHMS.values() for name in names)
    if algorithm not in known:
        raise ValueError(f"{what} must be an asymmetric one: {', '.join(known)}")
    return algorithm


def thumbprint(public: Mapping[str, str]) -> str:
    """Return the SHA-256 thumbprint of a public JWK that has the required members alone."""
    canonical = json.dumps(dict(public), sort_keys=True, separators=(",", ":"))  # RFC 7638 §3
    return base64url_encode(hashlib.sha256(canonical.encode()).digest()).decode()


def _from_pem(what: str, pem: bytes) -> tuple[object, str | None]:
    """Return the key, and the thumbprint of the first certificate beside it."""
    # Versions of cryptography differ in what they step over to find a block.
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
    for label, block in blocks:
        if label == b"CERTIFICATE":
            return key, _certificate_of(what, key, block)
    return key, None


def _certificate_of(what: str, key: Any, pem: bytes) -> str:
    certificate = _attempt(x509.load_pem_x509_certificate, pem)
    if certificate is None:
        raise ValueError(f"the certificate in {what} cannot be read: pass the whole PEM")
    if _attempt(lambda found: found.public_key() == key.public_key(), certificate) is not True:
        raise ValueError(
            f"the first certificate in {what} does not belong to the private key: pass the "
            "client's own first, or none"
        )
    return base64url_encode(certificate.fingerprint(SHA256())).decode()


def _from_jwk(what: str, jwk: dict[str, Any]) -> object:
    kty = jwk.get("kty")
    if kty == "oct":
        raise ValueError(f"{what} is a symmetric JWK: pass a private one; see ClientSecretJWT")
    if kty not in list(_BY_TYPE):
        raise ValueError(f"{what} must be a JWK whose kty is RSA, EC or OKP")
    if "d" not in jwk:
        raise ValueError(f"{what} is a public JWK: pass the private one, with its d")
    read = jwt.get_algorithm_by_name(_BY_TYPE[kty]).from_jwk
    key = _attempt(read, jwk)
    # An OKP key is made of its d alone: that may be another's.
    public = _attempt(read, {name: jwk[name] for name in jwk if name != "d"})
    if key is None or public is None or key.public_key() != public:
        raise ValueError(f"{what} is a JWK that cannot be read: pass the whole of it")
    return key


def _public_jwk(what: str, key: object) -> dict[str, str]:
    """Return the public half of a key, with the members of its thumbprint alone."""
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < 2048:
            raise ValueError(
                f"{what} is an RSA key of {key.key_size} bits: pass one of 2048 or more"
            )
        jwk = jwt.get_algorithm_by_name("RS256").to_jwk(key.public_key(), as_dict=True)
        return {name: jwk[name] for name in ("e", "kty", "n")}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if key.curve.name not in _CURVES:
            raise ValueError(f"{what} must be on the curve P-256, P-384 or P-521")
        # Not by PyJWT: before 2.10 it drops the leading zeros of coordinates.
        point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        size = len(point) // 2  # of either coordinate; before both stands one byte
        x, y = base64url_encode(point[1 : 1 + size]), base64url_encode(point[1 + size :])
        return {"crv": _CURVES[key.curve.name], "kty": "EC", "x": x.decode(), "y": y.decode()}
    if isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)):
        return jwt.get_algorithm_by_name("EdDSA").to_jwk(key.public_key(), as_dict=True)
    raise TypeError(
        f"{what} must be a private RSA, EC or EdDSA key, as PEM, as a JWK or as an object of "
        f"cryptography; not {type(key).__name__}"
    )


def _attempt(read: Callable[[Any], Any], value: object) -> Any:
    """Return what is read from a value; None if that fails: the error itself may quote the key."""
    with contextlib.suppress(Exception):
        return read(value)
    return None
