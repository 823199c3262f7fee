"""The extra ``jwt``: assertions signed with a private key."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
import textwrap
import traceback
from pathlib import Path

import pytest
import requests
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PrivateFormat,
)
from helpers import together, token_answer
from raw_server import endpoint_of, failure_of
from signing_keys import (
    ALGORITHMS,
    ALL_ALGORITHMS,
    DEFAULTS,
    FORMS,
    assert_hidden,
    bad_keys,
    certificate_of,
    certificate_pem,
    copies,
    decoded,
    encoded,
    encrypted,
    every_form_and_algorithm,
    jwk_of,
    key_of,
    other_key_of,
    pem_of,
    pem_with_two_keys,
    several,
    verified,
    without,
)

from clientcreds_requests import ClientCredentialsAuth, TokenRequest
from clientcreds_requests.jwt import PrivateKeyJWT
from clientcreds_requests.testing import Answer

ISSUER = "https://issuer.example/"


def assertion_of(method):
    params, headers = {}, {}
    method("me", params, headers)
    assert headers == {}
    return params["client_assertion"]


def header_of(method):
    return json.loads(decoded(assertion_of(method).partition(".")[0]))


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
    with pytest.raises(ValueError, match=f"the algorithm does not fit key .{kind}.: use"):
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
