"""How the client proves who it is."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
from urllib.parse import unquote, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_server import endpoint_of, failure_of

from clientcreds_requests import (
    ClientAssertion,
    ClientSecretBasic,
    ClientSecretJWT,
    ClientSecretPost,
    TLSClientAuth,
    TokenRequest,
)
from clientcreds_requests.client_auth import client_auth_for
from clientcreds_requests.testing import Answer

ISSUER = "https://issuer.example/"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

# No control characters: they are refused; no lone surrogates: they are no text.
TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1)


def completed(method, client_id="me"):
    """Params and headers as the method leaves them."""
    params, headers = {"scope": "a"}, {"Accept": "x"}
    method(client_id, params, headers)
    assert params.pop("scope") == "a"
    assert headers.pop("Accept") == "x"
    return params, headers


def basic(client_id, secret, **options):
    """What stands in the Authorization header, decoded."""
    params, headers = completed(ClientSecretBasic(secret, **options), client_id)
    assert params == {}
    assert list(headers) == ["Authorization"]
    scheme, _, credentials = headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    return base64.b64decode(credentials, validate=True).decode()


def decoded(segment):
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


# Post and Basic


def test_w3_client_secret_post_puts_id_and_secret_into_the_params():
    params, headers = completed(ClientSecretPost("long-secret"))
    assert params == {"client_id": "me", "client_secret": "long-secret"}
    assert headers == {}


@pytest.mark.parametrize(
    ("client_id", "secret", "header"),
    [
        (
            "s6BhdRkqt3",
            "7Fjfp0ZBr1KtDRbnfVdmIw",
            "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3",
        ),
        (
            "78366401571920522@amce",
            "veryweaksecret!",
            "Basic NzgzNjY0MDE1NzE5MjA1MjIlNDBhbWNlOnZlcnl3ZWFrc2VjcmV0JTIx",
        ),
    ],
    ids=["RFC 6749", "Zitadel"],
)
def test_w3_basic_credentials_are_those_of_the_documents(client_id, secret, header):
    assert completed(ClientSecretBasic(secret), client_id)[1] == {"Authorization": header}


@pytest.mark.parametrize(
    ("client_id", "secret", "joined"),
    [
        ("id", " %&+£€", "id:%20%25%26%2B%C2%A3%E2%82%AC"),
        ("a:b", "c d%&+£€", "a%3Ab:c%20d%25%26%2B%C2%A3%E2%82%AC"),
        ("0f8f-4e5b", "-._~", "0f8f-4e5b:-._~"),
        ("a/b", "c/d", "a%2Fb:c%2Fd"),
    ],
    ids=["RFC 6749 App. B", "a colon", "unreserved", "a slash"],
)
def test_w3_basic_encodes_both_halves_with_a_space_as_percent_20(client_id, secret, joined):
    assert basic(client_id, secret) == joined


@given(TEXT, TEXT)
def test_w3_both_kinds_of_decoder_read_basic_credentials(client_id, secret):
    halves = basic(client_id, secret).split(":")
    for decode in (unquote, unquote_plus):
        assert [decode(half) for half in halves] == [client_id, secret]


def test_w3_basic_without_encoding_is_for_servers_that_do_not_decode():
    assert basic("me", "a:b c%+é", encode=False) == "me:a:b c%+é"
    with pytest.raises(ValueError, match="client_id may have no colon"):
        completed(ClientSecretBasic("long-secret", encode=False), "a:b")


def test_w3_the_server_accepts_basic_as_well_as_post(server):
    for kind in (ClientSecretBasic, ClientSecretPost):
        assert endpoint_of(server, kind(server.client_secret))(TokenRequest()).access_token


# Assertions


def test_w3_client_secret_jwt_is_an_hs256_assertion(clock):
    params, headers = completed(ClientSecretJWT("s€cret", ISSUER))
    signed, _, mac = params.pop("client_assertion").rpartition(".")
    assert params == {"client_id": "me", "client_assertion_type": JWT_BEARER}
    assert headers == {}
    assert decoded(mac) == hmac.new("s€cret".encode(), signed.encode(), hashlib.sha256).digest()
    header, claims = (json.loads(decoded(segment)) for segment in signed.split("."))
    assert header == {"alg": "HS256", "typ": "client-authentication+jwt"}
    assert len(claims.pop("jti")) >= 22  # 128 bits
    now = int(clock.time())
    expected = {"iss": "me", "sub": "me", "aud": ISSUER, "iat": now, "exp": now + 60}
    assert claims == expected
    assert "=" not in signed + mac


def test_w3_a_client_assertion_is_what_the_callable_makes_of_the_claims(clock):
    seen = []
    method = ClientAssertion(lambda claims: seen.append(claims) or "signed", ISSUER)
    params, headers = completed(method)
    assert params == {
        "client_id": "me",
        "client_assertion_type": JWT_BEARER,
        "client_assertion": "signed",
    }
    assert headers == {}
    assert set(seen[0]) == {"iss", "sub", "aud", "jti", "iat", "exp"}
    assert seen[0]["aud"] == ISSUER


@pytest.mark.parametrize("body", ["form", "json"])
def test_w3_every_attempt_has_an_assertion_of_its_own(server, clock, body):
    jtis = []
    method = ClientAssertion(lambda claims: jtis.append(claims["jti"]) or f"a.{len(jtis)}", ISSUER)
    server.answer_next(Answer(503), Answer(503), Answer(200, {"access_token": "t"}))
    endpoint_of(server, method, retries=2, body=body)(TokenRequest())
    sent = [request.params["client_assertion"] for request in server.token_requests]
    assert sent == ["a.1", "a.2", "a.3"]
    assert len(set(jtis)) == 3


def test_w3_tls_client_auth_sends_the_client_id_alone():
    assert completed(TLSClientAuth()) == ({"client_id": "me"}, {})


# Secrets


@pytest.mark.parametrize(
    "kind", [ClientSecretPost, ClientSecretBasic, lambda secret: ClientSecretJWT(secret, ISSUER)]
)
def test_w4_current_is_the_method_with_the_secret_of_this_moment(kind):
    secrets = iter(["first-one", "second-one"])
    method = kind(lambda: next(secrets))
    current = method.current()
    assert type(current) is type(method)
    assert [current.secret(), current.secret()] == ["first-one"] * 2
    assert method.secret() == "second-one"
    literal = kind("literal-one")
    assert literal.current() is literal


def test_w4_a_secret_of_a_type_that_hides_its_text_is_sent_as_it_is():
    class Hidden(str):
        __slots__ = ()

        def __str__(self):
            return "***"

    for secret in (Hidden("long-secret"), lambda: Hidden("long-secret")):
        assert completed(ClientSecretPost(secret))[0]["client_secret"] == "long-secret"
        for encode in (True, False):
            assert basic("me", secret, encode=encode) == "me:long-secret"


@pytest.mark.parametrize("options", [{"encode": False}, {"encode": True}], ids=str)
def test_w4_current_keeps_the_other_settings(options):
    method = ClientSecretBasic(lambda: "a b", **options)
    assert completed(method.current()) == completed(ClientSecretBasic("a b", **options))


@pytest.mark.parametrize("secret", [None, b"bytes", 5, "", "a\n", "a\0", "\x7f"], ids=ascii)
def test_w4_a_callable_that_returns_no_secret_is_a_token_error_that_says_so(server, secret):
    error = failure_of(endpoint_of(server, ClientSecretPost(lambda: secret)))
    assert "the client_secret callable returned" in str(error)
    assert "the client_secret callable returned" in str(error.__cause__)
    assert server.token_requests == []


@pytest.mark.parametrize(
    "method",
    [
        ClientSecretPost("long-secret"),
        ClientSecretBasic("long-secret"),
        ClientSecretJWT("long-secret", ISSUER),
        ClientSecretPost(lambda: "long-secret"),
    ],
)
def test_s1_the_repr_of_a_method_shows_no_secret(method):
    assert type(method).__name__ in repr(method)
    assert "secret=" not in repr(method)
    assert "long-secret" not in f"{method} {method!r}"


def test_s1_the_repr_of_an_assertion_does_not_show_what_signs_it():
    method = ClientAssertion(functools.partial(print, "a-private-key"), "https://as.example")
    assert "https://as.example" in repr(method)
    assert "sign" not in f"{method} {method!r}"


# Names


@pytest.mark.parametrize(
    ("name", "kind"),
    [("client_secret_post", ClientSecretPost), ("client_secret_basic", ClientSecretBasic)],
)
def test_w3_a_name_stands_for_a_method(name, kind):
    method = client_auth_for(name, "long-secret")
    assert type(method) is kind
    assert completed(method) == completed(kind("long-secret"))


def test_w3_a_method_stands_for_itself():
    method = TLSClientAuth()
    assert client_auth_for(method, None) is method
