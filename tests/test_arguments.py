"""Wrong arguments fail in the constructor, by name, before any socket is opened."""

from __future__ import annotations

import math
import os
import socket
import threading

import pytest
from urllib3 import Retry

from clientcreds_requests import (
    ClientAssertion,
    ClientCredentialsAuth,
    ClientCredentialsSession,
    ClientSecretBasic,
    ClientSecretJWT,
    ClientSecretPost,
    InsecureTransportError,
    TLSClientAuth,
    TokenEndpoint,
    TokenManager,
    TokenRequest,
)

GOOD = {
    "token_endpoint": "https://as.example/token",
    "client_id": "my-service",
    "client_secret": "long-secret",
}
A_SECRET = ClientSecretPost("long-secret")


@pytest.fixture(autouse=True)
def no_socket(monkeypatch):
    """Whoever opens one while arguments are checked has failed."""

    class Forbidden(socket.socket):
        def __init__(self, *args, **kwargs):
            pytest.fail("a socket was opened")

    monkeypatch.setattr(socket, "socket", Forbidden)


def rows(error, **values):
    """One case for every value of every argument."""
    return [
        pytest.param(name, value, error, id=f"{name}={ascii(value)[:40]}")
        for name, wrong in values.items()
        for value in wrong
    ]


NO_SECONDS = [math.nan, math.inf, -math.inf, -1, 1e10]
ODD = 10**400  # an int, but no float

WRONG = [
    *rows(
        TypeError,
        token_endpoint=[None, 5, b"https://as.example/token"],
        client_id=[None, 5, b"me"],
        client_secret=[5, b"long-secret", ["long-secret"]],
        scope=[5, 0, b"a", [1], [None]],
        resources=["https://a.example", b"urn:a", 5, 0, [1]],
        audience=[5, 0, ["aud"], b"", []],
        extra_params=[
            "a=b",
            5,
            {"a": 1},
            {1: "a"},
            {"a": None},
            {"a": ["b"]},
            ("ab",),
            (1, 2),
            [("a", "b")],
        ],
        extra_headers=[
            "X-Key",
            5,
            0,
            ["X-Key"],
            {1: "x"},
            {b"X-Key": "x"},
            {"X-Key": b"x"},
            {"X-Key": 5},
        ],
        leeway=[None, "20", True],
        renew_ahead=["20", True],
        timeout=[None, "10", True, (1,), (1, None), (1, 2, 3), [1, 2]],
        deadline=[None, "30", True],
        retries=[None, "3", 3.0, True],
        allowed_origins=["https://a.example", 5, 0, [None], [b"https://a.example"]],
        allow_http=["no", "false", 1],
        session=[5, "session"],
    ),
    *rows(
        ValueError,
        token_endpoint=[
            *("", "as.example", "ftp://as.example", "https://as.example/#x"),
            *("https://as.example/token\n", " https://as.example/", "https://as.example/\ttoken"),
        ],
        client_id=["", "me\ud800", "me\udfff", "me\n", "me\r\n", " me", "me\xa0", "m\0e", "m\x7fe"],
        audience=["aud\n", " aud", "a\0d"],
        client_secret=["", "long\n", "a\0b", "a\x7f", "long-secret\ud800", None],
        scope=['a"b', ["a\\b"], "a\nb"],
        resources=[["api"], [""], ["https://a/#f"], ["https://["]],
        extra_params=[
            {"": "x"},
            {"a\nb": "x"},
            {"scope": "a"},
            {"client_secret": "x"},
            {"audience": "x"},
            *({"grant_type": value} for value in ("urn:a\n", " urn:a", "urn:a ", "a\0b")),
            {"client_id": "x"},
            {"client_assertion": "x"},
            {"client_assertion_type": "x"},
        ],
        extra_headers=[
            {"X Key:": "x"},
            {"": "x"},
            *({"X-Key": value} for value in ("a\r\nb: c", "a\n", " a", "a ", "a\0b", "€")),
            {"Transfer-Encoding": "chunked"},
            {"Authorization": "x"},
            {"content-type": "x"},
            {"Cookie": "x"},
            {"Host": "x"},
            {"Connection": "keep-alive"},
        ],
        body=["xml", None, 5, [], "JSON"],
        client_auth=["basic", None, 5, "client_secret_jwt", "private_key_jwt"],
        leeway=[*NO_SECONDS, ODD],
        renew_ahead=[*NO_SECONDS, ODD],
        timeout=[0, *NO_SECONDS, ODD, (0, 1), (1, -1)],
        deadline=[0, *NO_SECONDS, ODD],
        retries=[-1],
        allowed_origins=[["api.example"], ["https://a.example/x"], ["https://a.example?x"], [""]],
    ),
    *rows(
        InsecureTransportError,
        token_endpoint=["http://as.example/token"],
        allowed_origins=[["http://a.example"]],
    ),
]


@pytest.mark.parametrize(("name", "value", "error"), WRONG)
def test_w8_a_wrong_argument_fails_at_once_and_is_named(name, value, error):
    with pytest.raises(error, match=rf"\b{name}\b") as caught:
        ClientCredentialsAuth(**{**GOOD, name: value})
    assert "long" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"client_auth": TLSClientAuth()}, "client_secret would not be used"),
        ({"client_auth": A_SECRET}, "client_secret would not be used"),
        ({"client_auth": ClientSecretPost}, "client_secret would not be used"),
        ({"client_secret": None}, "client_secret is needed for client_secret_post"),
        (
            {"client_secret": None, "client_auth": "client_secret_basic"},
            "client_secret is needed for client_secret_basic",
        ),
        ({"client_auth": "client_secret_jwt"}, "audience=issuer"),
    ],
    ids=str,
)
def test_w8_arguments_that_do_not_go_together_fail_at_once(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        ClientCredentialsAuth(**{**GOOD, **arguments})


@pytest.mark.parametrize("client_id", ["", "me\n", " me"])
def test_w8_a_client_id_without_authentication_is_checked_too(client_id):
    with pytest.raises(ValueError, match=r"^client_id "):
        ClientCredentialsAuth("https://as.example/token", client_id, client_auth="none")


def test_w8_an_unknown_argument_is_named():
    with pytest.raises(TypeError, match="scopes"):
        ClientCredentialsAuth(**GOOD, scopes="a")
    with pytest.raises(TypeError, match="scopes"):
        ClientCredentialsSession(**GOOD, scopes="a")


@pytest.mark.parametrize(
    ("name", "value", "error"),
    rows(TypeError, base_url=[5, b"https://a.example"], token_endpoint=[None], timeout=["1"])
    + rows(ValueError, base_url=["", "/v1", "https://a.example/?x=1", "https://me:pw@a.example"])
    + rows(InsecureTransportError, base_url=["http://a.example"]),
)
def test_w8_a_session_checks_its_arguments_too(name, value, error):
    named = "base_url|allowed_origins" if error is InsecureTransportError else name
    with pytest.raises(error, match=named):
        ClientCredentialsSession(**{**GOOD, name: value})


@pytest.mark.parametrize("method", [None, "client_secret_post", 5, ClientSecretPost, TLSClientAuth])
def test_w8_an_endpoint_wants_a_method_that_can_be_called(method):
    with pytest.raises(TypeError, match="client_auth must be a method"):
        TokenEndpoint("https://as.example/token", "me", method)


@pytest.mark.parametrize(
    ("make", "error", "named"),
    [
        (lambda: TokenManager(None), TypeError, "fetch"),
        (lambda: TokenManager(TokenRequest, leeway=-1), ValueError, "leeway"),
        (lambda: TokenManager(TokenRequest, deadline=0), ValueError, "deadline"),
        (lambda: ClientSecretBasic(None), TypeError, "client_secret"),
        (lambda: ClientSecretJWT("long-secret", None), TypeError, "audience"),
        (lambda: ClientSecretJWT("long-secret", ""), ValueError, "audience"),
        (lambda: ClientSecretJWT("", "https://as.example"), ValueError, "client_secret"),
        (lambda: ClientAssertion("signed", "https://as.example"), TypeError, "sign"),
        (lambda: ClientAssertion(str, ""), ValueError, "audience"),
    ],
    ids=[
        "fetch",
        "leeway",
        "deadline",
        "no secret",
        "no audience",
        "an empty audience",
        "an empty secret",
        "no callable",
        "an assertion without audience",
    ],
)
def test_w8_managers_and_methods_check_their_arguments_too(make, error, named):
    with pytest.raises(error, match=rf"\b{named}\b"):
        make()


@pytest.mark.parametrize(
    "good",
    [
        {},
        {"scope": None, "resources": None, "audience": None, "extra_params": None},
        {"scope": "", "resources": [], "audience": "", "extra_params": {}},
        {"extra_headers": {"X-Key": "x", "X-Id": os.getpid}},
        {"timeout": (1, 2.5), "deadline": 1, "retries": 0, "leeway": 0, "renew_ahead": 0},
        {"retries": Retry(2), "renew_ahead": None},
        {"deadline": threading.TIMEOUT_MAX},
        {"allowed_origins": ["https://a.example", "https://b.example:8443/"]},
        {"allowed_origins": []},
        {"client_secret": lambda: "", "client_auth": "client_secret_basic"},
        {"client_secret": None, "client_auth": TLSClientAuth()},
        {"client_secret": None, "client_auth": print},
        {"token_endpoint": "http://as.example/", "allow_http": True},
        {"token_endpoint": "http://127.0.0.1:1/token"},
        {"client_secret": "s€cret with spaces"},
    ],
    ids=lambda good: " ".join(good) or "no more",
)
def test_w8_good_arguments_are_taken_without_a_socket_or_a_call(good):
    ClientCredentialsAuth(**{**GOOD, **good})


# W7


@pytest.mark.parametrize("url", ["http://as.example/token", "http://localhost.evil.test/token"])
def test_w7_the_secret_never_travels_in_the_clear(url):
    with pytest.raises(InsecureTransportError, match=r"token_endpoint .* is not https"):
        ClientCredentialsAuth(url, "me", "long-secret")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://as.example/token#x", "fragment"),
        ("https://me:pw@as.example/token", "credentials"),
    ],
)
def test_w7_neither_fragment_nor_userinfo_may_be_in_the_url(url, problem):
    with pytest.raises(ValueError, match=rf"token_endpoint .*{problem}"):
        ClientCredentialsAuth(url, "me", "long-secret")


def test_w7_the_query_of_the_url_is_kept():
    auth = ClientCredentialsAuth("https://as.example/token?tenant=1", "me", "long-secret")
    assert auth.endpoint.url == "https://as.example/token?tenant=1"
