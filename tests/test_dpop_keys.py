"""The key of ``dpop=``: its thumbprint and proofs, and what is no such key."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from helpers import texts_in, together
from signing_keys import (
    ALL_ALGORITHMS,
    FORMS,
    assert_hidden,
    bad_keys,
    copies,
    decoded,
    encoded,
    every_form_and_algorithm,
    jwk_of,
    key_of,
    pem_of,
    public_jwk_of,
    several,
    verified,
)

from clientcreds_requests._keys import SigningKey
from clientcreds_requests.jwt import DPoPKey

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
    key = SigningKey(key_of("P-256"), RFC_9449_PUBLIC_KEY, "ES256", None, None)
    assert key.thumbprint == documented


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
    with pytest.raises(ValueError, match=r"the algorithm does not fit key .P-256.: use ES256"):
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
