"""The extra ``jwt``: assertions and proofs signed with a private key."""

from __future__ import annotations

import base64
import copy
import functools
import hashlib
import json
import pickle
import re
import subprocess
import sys
import textwrap
import traceback
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.exceptions import InvalidSignature
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
from helpers import texts_in, together, token_answer
from raw_server import endpoint_of, failure_of

from clientcreds_requests import ClientCredentialsAuth, TokenRequest
from clientcreds_requests._keys import thumbprint
from clientcreds_requests.jwt import DPoPKey, PrivateKeyJWT
from clientcreds_requests.testing import Answer

ISSUER = "https://issuer.example/"
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


def assertion_of(method):
    params, headers = {}, {}
    method("me", params, headers)
    assert headers == {}
    return params["client_assertion"]


def header_of(method):
    return json.loads(decoded(assertion_of(method).partition(".")[0]))


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


# Assertions


@every_form_and_algorithm
def test_w3_private_key_jwt_signs_with_every_algorithm_and_every_form_of_key(
    clock, kind, algorithm, form
):
    private = key_of(kind)
    key = FORMS[form](private)
    params, headers = {"scope": "a"}, {}
    PrivateKeyJWT(key, ISSUER, algorithm=algorithm)("me", params, headers)
    header, claims = verified(params.pop("client_assertion"), private.public_key())
    assert header == {"alg": algorithm, "typ": "client-authentication+jwt"}
    assert len(claims.pop("jti")) >= 22  # 128 bits
    now = int(clock.time())
    assert claims == {"iss": "me", "sub": "me", "aud": ISSUER, "iat": now, "exp": now + 60}
    assert params == {
        "scope": "a",
        "client_id": "me",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }
    assert headers == {}


@pytest.mark.parametrize("form", FORMS)
def test_w3_the_key_may_be_a_callable_that_returns_any_form(form):
    private = key_of("P-256")
    method = PrivateKeyJWT(lambda: FORMS[form](private), ISSUER)
    assert verified(assertion_of(method), private.public_key())[0]["alg"] == "ES256"


@pytest.mark.parametrize(("kind", "algorithm"), DEFAULTS.items())
def test_w3_the_default_algorithm_is_the_usual_one_for_the_key(kind, algorithm):
    assert header_of(PrivateKeyJWT(key_of(kind), ISSUER))["alg"] == algorithm


def test_w3_a_jwk_brings_its_algorithm_and_its_kid_and_arguments_win():
    jwk = jwk_of(key_of("RSA"), alg="PS384", kid="2026-01", use="sig", key_ops=["sign"])
    header = header_of(PrivateKeyJWT(jwk, ISSUER))
    assert (header["alg"], header["kid"]) == ("PS384", "2026-01")
    header = header_of(PrivateKeyJWT(jwk, ISSUER, algorithm="RS512", kid="mine"))
    assert (header["alg"], header["kid"]) == ("RS512", "mine")


@pytest.mark.parametrize("members", [{"alg": None, "kid": None}, {"kid": ""}, {}], ids=str)
def test_w3_a_jwk_without_algorithm_or_kid_leaves_the_defaults(members):
    header = header_of(PrivateKeyJWT(jwk_of(key_of("P-384"), **members), ISSUER))
    assert header == {"alg": "ES384", "typ": "client-authentication+jwt"}


def test_w3_an_rsa_jwk_may_have_its_private_exponent_alone():
    private = key_of("RSA")
    jwk = without(jwk_of(private), "p", "q", "dp", "dq", "qi")
    verified(assertion_of(PrivateKeyJWT(jwk, ISSUER)), private.public_key())


def test_w3_further_headers_may_replace_the_type():
    headers = {"typ": "JWT", "x5c": ["MII"]}
    method = PrivateKeyJWT(key_of("P-256"), ISSUER, headers=headers)
    headers["x5c"].append("later")
    assert header_of(method) == {"alg": "ES256", "typ": "JWT", "x5c": ["MII"]}


@pytest.mark.parametrize("kind", DEFAULTS)
@pytest.mark.parametrize("first", ["key", "certificate"])
def test_w3_a_certificate_beside_the_key_is_named_in_the_header(kind, first):
    private = key_of(kind)
    own, issuers = certificate_of(private), certificate_of(other_key_of("P-256"))
    chain = certificate_pem(own) + certificate_pem(issuers)
    pem = (
        pem_of(private) + chain if first == "key" else b"Bag Attributes\n" + chain + pem_of(private)
    )
    digest = encoded(hashlib.sha256(own.public_bytes(Encoding.DER)).digest())
    assert header_of(PrivateKeyJWT(pem, ISSUER))["x5t#S256"] == digest


def test_w3_entra_id_gets_the_header_it_asks_for():
    private = key_of("RSA")
    pem = pem_of(private) + certificate_pem(certificate_of(private))
    method = PrivateKeyJWT(pem.decode(), ISSUER, algorithm="PS256", headers={"typ": "JWT"})
    header, _ = verified(assertion_of(method), private.public_key())
    assert len(header.pop("x5t#S256")) == 43
    assert header == {"alg": "PS256", "typ": "JWT"}


def test_w3_what_openssl_writes_around_a_key_does_not_matter():
    private = key_of("P-256")
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    pem = parameters + pem_of(private, PrivateFormat.TraditionalOpenSSL).decode()
    pem = f"Bag Attributes\n    friendlyName: Zoë \udcff\n{pem}".replace("\n", "\r\n")
    verified(assertion_of(PrivateKeyJWT(pem, ISSUER)), private.public_key())


def test_w3_the_key_callable_is_asked_for_every_assertion(tmp_path):
    file = tmp_path / "client.pem"
    method = PrivateKeyJWT(file.read_bytes, ISSUER)
    for kind, algorithm in DEFAULTS.items():
        file.write_bytes(pem_of(key_of(kind)))
        header, _ = verified(assertion_of(method), key_of(kind).public_key())
        assert header["alg"] == algorithm


def test_w3_a_token_is_had_for_an_assertion_that_the_server_verifies(server):
    private, seen = key_of("P-256"), []

    def judge(request):
        try:
            header, claims = verified(request.params["client_assertion"], private.public_key())
        except InvalidSignature:
            return Answer(401, {"error": "invalid_client"})
        seen.append((header, claims))
        return Answer(200, token_answer(server.issue(claims["sub"]).access_token))

    server.answer_next(judge, judge)
    stranger = PrivateKeyJWT(other_key_of("P-256"), server.url, kid="one")
    error = failure_of(endpoint_of(server, stranger))
    assert (error.status_code, error.error) == (401, "invalid_client")
    method = PrivateKeyJWT(pem_of(private), server.url, kid="one")
    auth = ClientCredentialsAuth(server.token_endpoint, server.client_id, client_auth=method)
    assert requests.get(server.api_url, auth=auth).ok
    [(header, claims)] = seen
    assert header["kid"] == "one"
    assert (claims["iss"], claims["sub"]) == (server.client_id, server.client_id)
    assert claims["aud"] == server.url
    sent = server.token_requests[-1]
    assert "client_secret" not in sent.params
    assert "Authorization" not in sent.headers


@pytest.mark.parametrize("body", ["form", "json"])
def test_w3_every_attempt_has_a_signed_assertion_of_its_own(server, clock, body):
    private = key_of("RSA")
    server.answer_next(Answer(503), Answer(503), Answer(200, token_answer("t")))
    endpoint_of(server, PrivateKeyJWT(private, ISSUER), retries=2, body=body)(TokenRequest())
    sent = [request.params["client_assertion"] for request in server.token_requests]
    jtis = {verified(assertion, private.public_key())[1]["jti"] for assertion in sent}
    assert len(jtis) == 3


def test_w3_threads_share_one_method():
    private = key_of("P-256")
    method = PrivateKeyJWT(private, ISSUER)
    assertions = [a for many in together(8, lambda: several(assertion_of, method)) for a in many]
    jtis = {verified(assertion, private.public_key())[1]["jti"] for assertion in assertions}
    assert len(jtis) == len(assertions) == 8 * 25


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
    "empty": (lambda: "", ValueError, "neither PEM nor a JWK"),
    "garbage": (lambda: b"\xff\0" + b"x" * 99, ValueError, "neither PEM nor a JWK"),
    "a public PEM": (lambda: public_pem_of(key_of("P-256")), ValueError, "one private key.* 0"),
    "only a certificate": (
        lambda: certificate_pem(certificate_of(key_of("P-256"))),
        ValueError,
        "one private key; it holds 0",
    ),
    "two keys": (pem_with_two_keys, ValueError, "one private key; it holds 2"),
    "encrypted PKCS#8": (lambda: encrypted(PrivateFormat.PKCS8), ValueError, "is encrypted"),
    "encrypted SEC1": (
        lambda: encrypted(PrivateFormat.TraditionalOpenSSL),
        ValueError,
        r"is encrypted: pass the object that .*load_pem_private_key\(pem, password\)",
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
    "a PEM cut off": (lambda: pem_of(key_of("RSA"))[:700], ValueError, "neither PEM nor a JWK"),
    "PEM of another kind": (lambda: pem_of(key_of("X25519")), TypeError, "not X25519PrivateKey"),
    "a broken certificate": (
        lambda: pem_with_a_certificate(
            b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
        ),
        ValueError,
        "the certificate in .* cannot be read",
    ),
    "another's certificate": (
        lambda: pem_with_a_certificate(certificate_pem(certificate_of(other_key_of("P-256")))),
        ValueError,
        "the first certificate in .* does not belong to the private key",
    ),
    "a public key object": (lambda: key_of("RSA").public_key(), TypeError, "not _?RSAPublicKey"),
    "a short RSA object": (lambda: key_of("RSA 1024"), ValueError, "1024 bits: pass one of 2048"),
    "a short RSA PEM": (lambda: pem_of(key_of("RSA 1024")), ValueError, "1024 bits"),
    "a short RSA JWK": (lambda: jwk_of(key_of("RSA 1024")), ValueError, "1024 bits"),
    "another curve": (lambda: key_of("secp256k1"), ValueError, "P-256, P-384 or P-521"),
    "another curve's PEM": (lambda: pem_of(key_of("secp256k1")), ValueError, "P-256, P-384 or"),
    "another curve's JWK": (lambda: jwk_of(key_of("secp256k1")), ValueError, "P-256, P-384 or"),
    "a public RSA JWK": (lambda: public_jwk_of(key_of("RSA")), ValueError, "is a public JWK"),
    "a public EC JWK": (lambda: public_jwk_of(key_of("P-256")), ValueError, "is a public JWK"),
    "a symmetric JWK": (
        lambda: {"kty": "oct", "k": encoded(b"a symmetric key of the client's")},
        ValueError,
        "symmetric JWK: pass a private one",
    ),
    "an X25519 JWK": (lambda: jwk_of(key_of("X25519")), ValueError, "JWK that cannot be read"),
    "a JWK set": (lambda: {"keys": [jwk_of(key_of("RSA"))]}, ValueError, "RSA, EC or OKP"),
    "a strange kty": (lambda: jwk_of(key_of("RSA"), kty=["RSA"]), ValueError, "RSA, EC or OKP"),
    "broken JSON": (
        lambda: json.dumps(jwk_of(key_of("P-256")))[:-1],
        ValueError,
        "begins like a JWK but is no JSON",
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
        "the alg in .* must be an asymmetric one: RS256, .*EdDSA",
    ),
    "a JWK for encryption": (
        lambda: jwk_of(key_of("RSA"), alg="RSA-OAEP"),
        ValueError,
        "must be an asymmetric one",
    ),
    "a JWK of an odd alg": (
        lambda: jwk_of(key_of("RSA"), alg=5),
        TypeError,
        "the alg in .* not int",
    ),
    "a JWK for another key": (
        lambda: jwk_of(key_of("RSA"), alg="ES256"),
        ValueError,
        "algorithm ES256 does not fit .*RSA.: use RS256, ",
    ),
    "a JWK of an odd kid": (
        lambda: jwk_of(key_of("RSA"), kid=5),
        TypeError,
        "the kid in .* not int",
    ),
}
bad_keys = pytest.mark.parametrize(("make", "kind", "match"), BAD_KEYS.values(), ids=BAD_KEYS)


@bad_keys
@pytest.mark.parametrize(
    ("use", "name"),
    [
        (lambda key: PrivateKeyJWT(key, ISSUER), "key"),
        (
            lambda key: assertion_of(PrivateKeyJWT(lambda: key, ISSUER)),
            "what the key callable returned",
        ),
    ],
    ids=["literal", "callable"],
)
def test_w8_a_bad_key_is_named_and_nothing_of_it_is_shown(use, name, make, kind, match):
    key = make()
    with pytest.raises(kind, match=match) as caught:
        use(key)
    assert name in str(caught.value)
    assert_hidden(key, caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("algorithm", ALL_ALGORITHMS)
@pytest.mark.parametrize("kind", DEFAULTS)
def test_w8_an_algorithm_that_does_not_fit_the_key_is_named_with_it(kind, algorithm):
    if (kind, algorithm) in ALGORITHMS:
        assert header_of(PrivateKeyJWT(key_of(kind), ISSUER, algorithm=algorithm))
        return
    with pytest.raises(ValueError, match=f"algorithm {algorithm} does not fit key .{kind}.: use"):
        PrivateKeyJWT(key_of(kind), ISSUER, algorithm=algorithm)


@pytest.mark.parametrize("algorithm", ["none", "HS256", "HS512", "ES256K", "RSA-OAEP", "", "rs256"])
def test_w8_only_asymmetric_algorithms_are_taken(algorithm):
    for key in (key_of("RSA"), lambda: key_of("RSA")):
        with pytest.raises(ValueError, match="algorithm must be an asymmetric one: RS256"):
            PrivateKeyJWT(key, ISSUER, algorithm=algorithm)


def test_w8_a_key_in_the_place_of_the_algorithm_is_not_shown():
    pem = pem_of(key_of("P-256")).decode()
    with pytest.raises(ValueError, match="algorithm must be") as caught:
        PrivateKeyJWT(pem, ISSUER, algorithm=pem)
    assert_hidden(pem, caught.value)


@pytest.mark.parametrize(
    ("options", "kind", "match"),
    [
        ({"audience": None}, TypeError, "audience"),
        ({"audience": ""}, ValueError, "audience"),
        ({"audience": [ISSUER]}, TypeError, "audience"),
        ({"algorithm": 5}, TypeError, "algorithm must be a str, not int"),
        ({"kid": 5}, TypeError, "kid must be a str, not int"),
        ({"kid": ""}, ValueError, "kid must not be empty"),
        ({"headers": [("typ", "JWT")]}, TypeError, "headers must be a mapping, not list"),
        ({"headers": {1: "JWT"}}, TypeError, "headers must have str for names; one is int"),
        ({"headers": {"alg": "RS256"}}, ValueError, "headers may not set 'alg': pass algorithm="),
        ({"headers": {"kid": "a"}}, ValueError, "headers may not set 'kid': pass kid="),
        ({"headers": {"x5c": [b"MII"]}}, ValueError, "headers must be what JSON can hold"),
        ({"headers": {"x": float("nan")}}, ValueError, "headers must be what JSON can hold"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_w8_bad_arguments_are_named(options, kind, match):
    with pytest.raises(kind, match=match):
        PrivateKeyJWT(key_of("P-256"), **{"audience": ISSUER, **options})


def test_w8_the_audience_has_no_default():
    with pytest.raises(TypeError, match="audience"):
        PrivateKeyJWT(key_of("P-256"))


# Secrets


@pytest.mark.parametrize("form", FORMS)
def test_s1_the_repr_shows_nothing_of_the_key(form):
    key = FORMS[form](key_of("RSA"))
    for method in (PrivateKeyJWT(key, ISSUER, kid="mine"), PrivateKeyJWT(lambda: key, ISSUER)):
        assert repr(method) == f"PrivateKeyJWT(audience={ISSUER!r})"
        assert_hidden(pem_of(key_of("RSA")), repr(method.sign), repr(vars(method)))
        assert_hidden(jwk_of(key_of("RSA")), repr(method.sign), repr(vars(method)))


@pytest.mark.parametrize("make", [lambda: encrypted(PrivateFormat.PKCS8), pem_with_two_keys])
def test_s1_a_key_callable_that_fails_is_a_token_error_without_the_key(server, make):
    key = make()
    error = failure_of(endpoint_of(server, PrivateKeyJWT(lambda: key, ISSUER)))
    assert "what the key callable returned" in str(error.__cause__)
    assert_hidden(key, error, *locals_of(error), *locals_of(error.__cause__))
    assert server.token_requests == []


def locals_of(error):
    """What the frames of a traceback hold, but for those of the tests."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return [
        repr(frame.f_locals)
        for frame in frames
        if Path(frame.f_code.co_filename).parent != Path(__file__).parent
    ]


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


@copies
@pytest.mark.parametrize("form", FORMS)
def test_s2_a_literal_key_is_neither_pickled_nor_copied(duplicate, form):
    key = FORMS[form](key_of("P-256"))
    method = PrivateKeyJWT(key, ISSUER)
    for thing in (method, method.sign):
        with pytest.raises(TypeError, match=r"literal key.*callable") as caught:
            duplicate(thing)
        assert_hidden(jwk_of(key_of("P-256")), caught.value)
        assert_hidden(key, caught.value)


def key_from_file():
    return pem_of(key_of("P-256"))


@copies
def test_s2_with_a_key_callable_copies_work_and_take_no_key_along(duplicate):
    original = PrivateKeyJWT(key_from_file, ISSUER, kid="mine", headers={"typ": "JWT"})
    assertion_of(original)
    twin = duplicate(original)
    assert repr(twin) == repr(original)
    header, _ = verified(assertion_of(twin), key_of("P-256").public_key())
    assert header == {"alg": "ES256", "typ": "JWT", "kid": "mine"}
    assert_hidden(jwk_of(key_of("P-256")), pickle.dumps(original))


# Without what it needs


@pytest.mark.parametrize("missing", ["jwt", "cryptography"])
def test_importing_the_extra_without_what_it_needs_says_what_to_install(missing):
    program = f"""
        import sys

        class Blocker:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == {missing!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

        sys.meta_path.insert(0, Blocker())
        import clientcreds_requests
        try:
            import clientcreds_requests.jwt
        except ImportError as error:
            print(error)
    """
    output = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert output.strip() == (
        "clientcreds_requests.jwt needs PyJWT and cryptography: "
        "pip install 'clientcreds-requests[jwt]'"
    )


# DPoP keys

RFC_7517_RSA_KEY = {  # RFC 7517 A.2
    "kty": "RSA",
    "e": "AQAB",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_B"
    "JECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Qv"
    "zqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu"
    "0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "d": "X4cTteJY_gn4FYPsXB8rdXix5vwsg1FLN5E3EaG6RJoVH-HLLKD9M7dx5oo7GURknchnrRweUkC7hT5fJLM0WbFA"
    "KNLWY2vv7B6NqXSzUvxT0_YSfqijwp3RTzlBaCxWp4doFk5N2o8Gy_nHNKroADIkJ46pRUohsXywbReAdYaMwFs9tv8d_"
    "cPVY3i07a3t8MN6TNwm0dSawm9v47UiCl3Sk5ZiG7xojPLu4sbg1U2jx4IBTNBznbJSzFHK66jT8bgkuqsk0GjskDJk19"
    "Z4qwjwbsnn4j2WBii3RL-Us2lGVkY8fkFzme1z0HbIkfz0Y6mqnOYtqc0X4jfcKoAC8Q",
    "alg": "RS256",
    "kid": "2011-04-29",
}
RFC_8037_ED25519_KEY = {  # RFC 8037 A.1
    "kty": "OKP",
    "crv": "Ed25519",
    "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}
RFC_9449_PUBLIC_KEY = {  # RFC 9449 §4.1; its private half was not published
    "kty": "EC",
    "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
    "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
    "crv": "P-256",
}


def test_dpop_the_thumbprints_are_those_of_the_documents():
    documented = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"  # RFC 7638 §3.1
    assert DPoPKey(RFC_7517_RSA_KEY).thumbprint == documented
    documented = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"  # RFC 8037 A.3
    assert DPoPKey(RFC_8037_ED25519_KEY).thumbprint == documented
    documented = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"  # RFC 9449 §6.1
    assert thumbprint(RFC_9449_PUBLIC_KEY) == documented


# Their x or y, or that of their curve, begins with a zero byte.
SMALL_COORDINATES = [
    ec.derive_private_key(379, ec.SECP256R1()),
    ec.derive_private_key(43, ec.SECP256R1()),
    ec.derive_private_key(197, ec.SECP384R1()),
    ec.derive_private_key(1, ec.SECP521R1()),
]


@pytest.mark.parametrize("private", SMALL_COORDINATES, ids=["x", "y", "P-384", "P-521"])
def test_dpop_coordinates_keep_their_leading_zeros(private):
    public = public_jwk_of(private)
    assert any(decoded(public[name]).startswith(b"\0") for name in ("x", "y"))
    key = DPoPKey(private)
    assert verified(key.proof("GET", "https://a/"), private.public_key())[0]["jwk"] == public
    canonical = json.dumps(public, sort_keys=True, separators=(",", ":")).encode()
    assert key.thumbprint == encoded(hashlib.sha256(canonical).digest())


@every_form_and_algorithm
def test_dpop_a_proof_is_signed_and_carries_the_public_key_alone(clock, kind, algorithm, form):
    private = key_of(kind)
    key = DPoPKey(FORMS[form](private), algorithm)
    assert key.algorithm == algorithm
    header, claims = verified(key.proof("POST", "https://as.example/token"), private.public_key())
    assert header == {"typ": "dpop+jwt", "alg": algorithm, "jwk": public_jwk_of(private)}
    assert len(claims.pop("jti")) >= 22  # 128 bits
    assert claims == {"htm": "POST", "htu": "https://as.example/token", "iat": int(clock.time())}


def test_dpop_the_public_key_is_without_what_its_jwk_says_otherwise():
    jwk = jwk_of(key_of("RSA"), alg="PS256", kid="one", use="sig", key_ops=["sign"], x5c=["MII"])
    header = proven(DPoPKey(jwk))[0]
    assert header == {"typ": "dpop+jwt", "alg": "PS256", "jwk": public_jwk_of(key_of("RSA"))}


def proven(key, method="GET", url="https://api.example/data", **options):
    """Header and claims of a proof of the key of its kind."""
    header, claims = (
        json.loads(decoded(segment)) for segment in key.proof(method, url, **options).split(".")[:2]
    )
    return header, claims


def test_dpop_the_access_token_and_the_nonce_are_claims():
    token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
    claims = proven(DPoPKey.generate(), access_token=token, nonce="eyJ7S_zG.eyJbYu3")[1]
    assert claims["ath"] == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"  # RFC 9449 §7.1
    assert claims["nonce"] == "eyJ7S_zG.eyJbYu3"
    assert token not in json.dumps(claims)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://h/p?q=1#f", "https://h/p"),
        ("https://h/p#f?q", "https://h/p"),
        ("https://h/p?", "https://h/p"),
        ("https://h?q", "https://h"),
        ("https://h", "https://h"),
        ("https://h:443/a//b/../%7Ec;v=1", "https://h:443/a//b/../%7Ec;v=1"),
        ("HTTPS://Host.Example/P", "HTTPS://Host.Example/P"),
        ("http://[::1]:8000/p?a@b", "http://[::1]:8000/p"),
        ("https://me:s3cr3t@h/p/@x", "https://h/p/@x"),
    ],
)
def test_dpop_the_url_is_as_it_is_sent_but_for_query_and_fragment(url, target):
    assert proven(DPoPKey.generate(), url=url)[1]["htu"] == target


@pytest.mark.parametrize("algorithm", ALL_ALGORITHMS)
def test_dpop_a_key_can_be_made_for_every_algorithm(algorithm):
    key = DPoPKey.generate(algorithm)
    header, _ = proven(key)
    assert header["alg"] == key.algorithm == algorithm
    assert header["jwk"]["kty"] == {"R": "RSA", "P": "RSA"}.get(algorithm[0], header["jwk"]["kty"])


def test_dpop_keys_that_are_made_differ_and_are_for_es256():
    one, other = DPoPKey.generate(), DPoPKey.generate()
    assert one.algorithm == "ES256"
    assert one.thumbprint != other.thumbprint


def test_dpop_threads_never_make_the_same_proof():
    key = DPoPKey(key_of("P-256"))
    proofs = together(8, lambda: several(key.proof, "GET", "https://api.example/data"))
    public = key_of("P-256").public_key()
    jtis = Counter(verified(proof, public)[1]["jti"] for many in proofs for proof in many)
    assert len(jtis) == 8 * 25


@bad_keys
def test_w8_a_bad_dpop_key_is_named_and_nothing_of_it_is_shown(make, kind, match):
    key = make()
    with pytest.raises(kind, match=match) as caught:
        DPoPKey(key)
    assert "key" in str(caught.value)
    assert_hidden(key, caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_w8_a_dpop_key_is_no_callable():
    with pytest.raises(TypeError, match=r"key must be a private .* not function"):
        DPoPKey(lambda: key_of("P-256"))


@pytest.mark.parametrize("algorithm", ["none", "HS256", "", "ES256K"])
def test_w8_a_dpop_key_signs_with_asymmetric_algorithms_alone(algorithm):
    with pytest.raises(ValueError, match="algorithm must be an asymmetric one"):
        DPoPKey(key_of("P-256"), algorithm)
    with pytest.raises(ValueError, match="algorithm must be an asymmetric one"):
        DPoPKey.generate(algorithm)
    with pytest.raises(ValueError, match=r"algorithm PS256 does not fit key .P-256.: use ES256"):
        DPoPKey(key_of("P-256"), "PS256")


@pytest.mark.parametrize(
    ("options", "kind", "match"),
    [
        ({"method": ""}, ValueError, "method"),
        ({"method": None}, TypeError, "method"),
        ({"url": b"https://h"}, TypeError, "url"),
        ({"url": "/data"}, ValueError, "url must be an absolute URL"),
        ({"url": "https://?q"}, ValueError, "url must be an absolute URL"),
        ({"access_token": ""}, ValueError, "access_token"),
        ({"access_token": b"token"}, TypeError, "access_token"),
        ({"access_token": "tökens3cr3t"}, ValueError, "access_token must be ASCII"),
        ({"nonce": ""}, ValueError, "nonce"),
        ({"nonce": 5}, TypeError, "nonce"),
    ],
)
def test_w8_bad_arguments_of_a_proof_are_named(options, kind, match):
    with pytest.raises(kind, match=match) as caught:
        proven(DPoPKey(key_of("P-256")), **options)
    assert "s3cr3t" not in "".join(texts_in(caught.value))


def test_s1_the_repr_of_a_dpop_key_shows_its_public_half_alone():
    key = DPoPKey(pem_of(key_of("P-256")))
    assert repr(key) == f"<DPoPKey ES256 {key.thumbprint}>"
    assert_hidden(pem_of(key_of("P-256")), repr(key), repr(vars(key)))
    assert_hidden(jwk_of(key_of("P-256"))["d"], repr(key), repr(vars(key)))


@copies
def test_s2_a_dpop_key_is_neither_pickled_nor_copied(duplicate):
    with pytest.raises(TypeError, match="make it anew in the other process") as caught:
        duplicate(DPoPKey(key_of("P-256")))
    assert_hidden(jwk_of(key_of("P-256")), caught.value)
