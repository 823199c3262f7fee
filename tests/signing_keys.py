"""Keys of every kind, and what is signed with them, for the tests that share them."""

from __future__ import annotations

import base64
import copy
import functools
import json
import pickle
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from helpers import texts_in

MAKERS = {
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "RSA 1024": lambda: rsa.generate_private_key(65537, 1024),
    "X25519": x25519.X25519PrivateKey.generate,
}
DEFAULTS = {
    "RSA": "RS256",
    "P-256": "ES256",
    "P-384": "ES384",
    "P-521": "ES512",
    "Ed25519": "EdDSA",
    "Ed448": "EdDSA",
}
ALGORITHMS = [
    *(("RSA", f"{family}{bits}") for family in ("RS", "PS") for bits in (256, 384, 512)),
    *((kind, name) for kind, name in DEFAULTS.items() if kind != "RSA"),
]
ALL_ALGORITHMS = sorted({name for _, name in ALGORITHMS})


@functools.cache
def key_of(kind):
    """The one key of a kind that all tests share."""
    return MAKERS[kind]()


@functools.cache
def other_key_of(kind):
    return MAKERS[kind]()


# The forms a key can have


def pem_of(private, form=PrivateFormat.PKCS8, encryption=None):
    return private.private_bytes(Encoding.PEM, form, encryption or NoEncryption())


def public_pem_of(private):
    public = private.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def jwk_of(private, **members):
    """The private JWK, made without PyJWT."""
    if isinstance(private, rsa.RSAPrivateKey):
        secret = private.private_numbers()
        public = secret.public_numbers
        numbers = {"n": public.n, "e": public.e, "d": secret.d, "p": secret.p, "q": secret.q}
        numbers |= {"dp": secret.dmp1, "dq": secret.dmq1, "qi": secret.iqmp}
        sizes = {name: (number.bit_length() + 7) // 8 for name, number in numbers.items()}
        jwk = {"kty": "RSA"}
    elif isinstance(private, ec.EllipticCurvePrivateKey):
        secret = private.private_numbers()
        point = secret.public_numbers
        numbers = {"x": point.x, "y": point.y, "d": secret.private_value}
        sizes = dict.fromkeys(numbers, (private.key_size + 7) // 8)
        curves = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
        jwk = {"kty": "EC", "crv": curves.get(private.curve.name, private.curve.name)}
    else:
        numbers = sizes = {}
        crv = type(private).__name__.strip("_").removesuffix("PrivateKey")
        raw = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        x = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        jwk = {"kty": "OKP", "crv": crv, "x": encoded(x), "d": encoded(raw)}
    for name, number in numbers.items():
        jwk[name] = encoded(number.to_bytes(sizes[name], "big"))
    return {**jwk, **members}


def without(jwk, *names):
    return {name: value for name, value in jwk.items() if name not in names}


def public_jwk_of(private):
    return without(jwk_of(private), "d", "p", "q", "dp", "dq", "qi")


FORMS = {
    "PKCS#8 str": lambda private: pem_of(private).decode(),
    "PKCS#8 bytes": pem_of,
    "PKCS#1 or SEC1": lambda private: pem_of(private, PrivateFormat.TraditionalOpenSSL),
    "JWK": jwk_of,
    "JWK as JSON": lambda private: json.dumps(jwk_of(private)),
    "JWK as indented bytes": lambda private: f"\n{json.dumps(jwk_of(private), indent=1)}".encode(),
    "object": lambda private: private,
}


every_form_and_algorithm = pytest.mark.parametrize(
    ("kind", "algorithm", "form"),
    [
        (kind, algorithm, form)
        for kind, algorithm in ALGORITHMS
        for form in FORMS
        if not (kind.startswith("Ed") and form == "PKCS#1 or SEC1")
    ],
)


def certificate_of(private):
    """A certificate for the key, signed with it."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "my-service")])
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    eddsa = isinstance(private, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey))
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(7)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=1))
        .sign(private, None if eddsa else hashes.SHA256())
    )


def certificate_pem(certificate):
    return certificate.public_bytes(Encoding.PEM)


# What was signed


def verified(token, public):
    """Header and claims; the signature is verified without PyJWT."""
    signed, _, signature = token.rpartition(".")
    header, claims = (json.loads(decoded(segment)) for segment in signed.split("."))
    algorithm = header["alg"]
    signature, data = decoded(signature), signed.encode()
    if algorithm == "EdDSA":
        public.verify(signature, data)
        return header, claims
    digest = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}[algorithm[2:]]()
    if algorithm.startswith("ES"):
        size = (public.key_size + 7) // 8
        assert len(signature) == 2 * size
        halves = (int.from_bytes(half, "big") for half in (signature[:size], signature[size:]))
        public.verify(encode_dss_signature(*halves), data, ec.ECDSA(digest))
    elif algorithm.startswith("PS"):
        pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
        public.verify(signature, data, pss, digest)
    else:
        public.verify(signature, data, padding.PKCS1v15(), digest)
    return header, claims


# Secrets


def pieces_of(key):
    """Parts of a key that an error or a repr might quote."""
    if isinstance(key, (list, tuple)):
        return {piece for part in key for piece in pieces_of(part)}
    if isinstance(key, bytes):
        key = key.decode("latin-1")
    elif isinstance(key, dict):
        key = json.dumps(key)
    found = re.findall(r"[\w+/=-]{16,}", key) if isinstance(key, str) else []
    return {run[start : start + 12] for run in found for start in (0, len(run) - 12)}


def assert_hidden(key, *things):
    pieces = pieces_of(key)
    for thing in things:
        for text in texts_in(thing):
            assert not any(piece in text for piece in pieces)


def several(function, *arguments):
    return [function(*arguments) for _ in range(25)]


# Bad arguments


def pem_with_two_keys():
    return pem_of(key_of("P-256")) + pem_of(other_key_of("P-256"))


def pem_with_a_certificate(certificate):
    return pem_of(key_of("P-256")) + certificate


def encrypted(form):
    return pem_of(key_of("P-256"), form, BestAvailableEncryption(b"a passphrase"))


BAD_KEYS = {
    "nothing": (lambda: None, TypeError, "not NoneType"),
    "a number": (lambda: 5, TypeError, "not int"),
    "a list": (lambda: [jwk_of(key_of("P-256"))], TypeError, "not list"),
    "a path": (lambda: Path("client.pem"), TypeError, "must be a private RSA, EC or EdDSA key"),
    "a file name": (lambda: "/run/secrets/client.pem", ValueError, "content of the key's file"),
    "empty": (
        lambda: "",
        ValueError,
        "must hold one private key, as PEM or a JWK; it holds 0: pass the content",
    ),
    "garbage": (
        lambda: b"\xff\0" + b"x" * 99,
        ValueError,
        "must hold one private key, as PEM or a JWK; it holds 0: pass the content",
    ),
    "a public PEM": (
        lambda: public_pem_of(key_of("P-256")),
        ValueError,
        "one private key.* it holds 0",
    ),
    "only a certificate": (
        lambda: certificate_pem(certificate_of(key_of("P-256"))),
        ValueError,
        "one private key.* it holds 0",
    ),
    "two keys": (pem_with_two_keys, ValueError, "one private key.* it holds 2"),
    "encrypted PKCS#8": (lambda: encrypted(PrivateFormat.PKCS8), ValueError, "that is encrypted"),
    "encrypted SEC1": (
        lambda: encrypted(PrivateFormat.TraditionalOpenSSL),
        ValueError,
        r"that is encrypted as what .*load_pem_private_key\(pem, password\)",
    ),
    "an OpenSSH key": (
        lambda: pem_of(key_of("Ed25519"), PrivateFormat.OpenSSH),
        ValueError,
        "cannot be read: pass PKCS#8, PKCS#1 or SEC1",
    ),
    "a PEM on one line": (
        lambda: pem_of(key_of("P-256")).decode().replace("\n", "\\n"),
        ValueError,
        "with its line breaks",
    ),
    "half a PEM": (
        lambda: pem_of(key_of("RSA"))[:700] + b"\n-----END PRIVATE KEY-----",
        ValueError,
        "cannot be read",
    ),
    "a PEM cut off": (
        lambda: pem_of(key_of("RSA"))[:700],
        ValueError,
        "must hold one private key, as PEM or a JWK; it holds 0: pass the content",
    ),
    "PEM of another kind": (lambda: pem_of(key_of("X25519")), TypeError, "not X25519PrivateKey"),
    "a broken certificate": (
        lambda: pem_with_a_certificate(
            b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
        ),
        ValueError,
        "the first certificate in .* is not one of its private key",
    ),
    "another's certificate": (
        lambda: pem_with_a_certificate(certificate_pem(certificate_of(other_key_of("P-256")))),
        ValueError,
        "the first certificate in .* is not one of its private key: pass the client's own",
    ),
    "a public key object": (lambda: key_of("RSA").public_key(), TypeError, "not _?RSAPublicKey"),
    "a short RSA object": (
        lambda: key_of("RSA 1024"),
        ValueError,
        "RSA of 1024 bits: pass one of 2048",
    ),
    "a short RSA PEM": (lambda: pem_of(key_of("RSA 1024")), ValueError, "1024 bits"),
    "a short RSA JWK": (lambda: jwk_of(key_of("RSA 1024")), ValueError, "1024 bits"),
    "another curve": (lambda: key_of("secp256k1"), ValueError, "P-256, P-384 or P-521"),
    "another curve's PEM": (lambda: pem_of(key_of("secp256k1")), ValueError, "P-256, P-384 or"),
    "another curve's JWK": (lambda: jwk_of(key_of("secp256k1")), ValueError, "P-256, P-384 or"),
    "a public RSA JWK": (
        lambda: public_jwk_of(key_of("RSA")),
        ValueError,
        "must be a private JWK, with a d",
    ),
    "a public EC JWK": (
        lambda: public_jwk_of(key_of("P-256")),
        ValueError,
        "must be a private JWK, with a d",
    ),
    "a symmetric JWK": (
        lambda: {"kty": "oct", "k": encoded(b"a symmetric key of the client's")},
        ValueError,
        "must be a private JWK, with a d, whose kty is RSA, EC or OKP",
    ),
    "an X25519 JWK": (lambda: jwk_of(key_of("X25519")), ValueError, "JWK that cannot be read"),
    "a JWK set": (lambda: {"keys": [jwk_of(key_of("RSA"))]}, ValueError, "RSA, EC or OKP"),
    "a strange kty": (lambda: jwk_of(key_of("RSA"), kty=["RSA"]), ValueError, "RSA, EC or OKP"),
    "broken JSON": (
        lambda: json.dumps(jwk_of(key_of("P-256")))[:-1],
        ValueError,
        "must hold one private key, as PEM or a JWK",
    ),
    "an EC JWK without y": (
        lambda: without(jwk_of(key_of("P-256")), "y"),
        ValueError,
        "JWK that cannot be read",
    ),
    "an RSA JWK without n": (
        lambda: without(jwk_of(key_of("RSA")), "n"),
        ValueError,
        "JWK that cannot be read",
    ),
    "a null in a JWK": (lambda: jwk_of(key_of("P-256"), d=None), ValueError, "cannot be read"),
    "a number in a JWK": (lambda: jwk_of(key_of("RSA"), d=5), ValueError, "cannot be read"),
    **{
        f"a {kind} JWK with another's d": (
            lambda kind=kind: {**jwk_of(key_of(kind)), "d": jwk_of(other_key_of(kind))["d"]},
            ValueError,
            "JWK that cannot be read",
        )
        for kind in ("RSA", "P-256", "Ed25519", "Ed448")
    },
    "a JWK for HS256": (
        lambda: jwk_of(key_of("RSA"), alg="HS256"),
        ValueError,
        "the algorithm does not fit .*RSA.: use RS256, .*PS512",
    ),
    "a JWK for encryption": (
        lambda: jwk_of(key_of("RSA"), alg="RSA-OAEP"),
        ValueError,
        "the algorithm does not fit .*RSA.: use RS256, ",
    ),
    "a JWK of an odd alg": (
        lambda: jwk_of(key_of("RSA"), alg=5),
        ValueError,
        "the algorithm does not fit .*RSA.: use RS256, ",
    ),
    "a JWK for another key": (
        lambda: jwk_of(key_of("RSA"), alg="ES256"),
        ValueError,
        "the algorithm does not fit .*RSA.: use RS256, ",
    ),
    "a JWK of an odd kid": (
        lambda: jwk_of(key_of("RSA"), kid=5),
        TypeError,
        "the kid in .* not int",
    ),
}
bad_keys = pytest.mark.parametrize(("make", "kind", "match"), BAD_KEYS.values(), ids=BAD_KEYS)


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {protocol}": lambda original, protocol=protocol: pickle.loads(
            pickle.dumps(original, protocol)
        )
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}
copies = pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
