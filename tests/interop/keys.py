"""The keys that clients sign with, and what is made of them without our library."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

# RFC 7518: both coordinates and the private value of a P-256 key, and both halves of a signature.
_P256_BYTES = 32


def signing_keys() -> dict[str, PrivateKeyTypes]:
    """A new key for each algorithm; the servers know them by these names."""
    return {
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "RS256": rsa.generate_private_key(65537, 2048),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }


def private_pem(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_key_set(keys: Mapping[str, PrivateKeyTypes]) -> dict[str, Any]:
    """A JSON Web Key Set (RFC 7517 §5), with the names as ids."""
    return {"keys": [public_jwk(key) | {"kid": name} for name, key in keys.items()]}


def public_jwk(key: PrivateKeyTypes) -> dict[str, str]:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        point = key.public_key().public_numbers()
        x, y = (_number(coordinate, _P256_BYTES) for coordinate in (point.x, point.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y}
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    return {"kty": "OKP", "crv": "Ed25519", "x": base64url(key.public_key().public_bytes_raw())}


def private_jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    return public_jwk(key) | {"d": _number(key.private_numbers().private_value, _P256_BYTES)}


def signed_jwt(
    key: ec.EllipticCurvePrivateKey, header: Mapping[str, Any], claims: Mapping[str, Any]
) -> str:
    """By ES256."""
    parts = ({"alg": "ES256", **header}, claims)
    signed = ".".join(base64url(json.dumps(part).encode()) for part in parts)
    signature = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    both = b"".join(half.to_bytes(_P256_BYTES, "big") for half in signature)
    return f"{signed}.{base64url(both)}"


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int, size: int | None = None) -> str:
    return base64url(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))
