"""Assertions of other parties, other grants, and clients without authentication of their own."""

from __future__ import annotations

import json
import logging
import pickle
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import pytest
import requests
from helpers import PATIENCE, locals_in, texts_in, together, token_answer, until, variables_of
from platform_double import PlatformDouble, http_answer
from raw_server import endpoint_of, failure_of
from redis_server import needs_redis_server
from redis_store import client, redis_server, running  # noqa: F401 - fixtures

from clientcreds_requests import (
    ClientCredentialsAuth,
    ClientCredentialsSession,
    ClientSecretBasic,
    ClientSecretPost,
    FederatedAssertion,
    TokenEndpoint,
    TokenError,
    TokenRequest,
    TokenTimeout,
)
from clientcreds_requests.client_auth import client_auth_for
from clientcreds_requests.exceptions import CallableError
from clientcreds_requests.identity import AzureManagedIdentityToken, EnvToken, FileToken
from clientcreds_requests.redis import RedisTokenStore
from clientcreds_requests.testing import Answer

FORM = "application/x-www-form-urlencoded"
JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjIyIn0.eyJpc3MiOiJhIn0.cC4hiUPo"
OTHER_JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjIyIn0.eyJpc3MiOiJiIn0.J9lXZhwP"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture
def issuer():
    """A token endpoint of which nothing is known but what it is sent."""
    with PlatformDouble(http_answer(token_answer("issued-access-token"))) as double:
        yield double


def endpoint(issuer, client_auth, client_id="me", **options):
    options = {"body": "form", "retries": 0, **options}
    return TokenEndpoint(f"{issuer.url}/token", client_id, client_auth, **options)


def form_of(issuer, number=-1):
    """The fields of a form as it arrived, none of them twice."""
    assert issuer.lines[number][0] == "POST /token HTTP/1.1"
    assert issuer.fields(number)["content-type"] == FORM
    pairs = parse_qsl(issuer.body(number), keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def nothing_of(secrets, error):
    """Assert that none is in what an error leads to."""
    shown = [*texts_in(error), *(text for _, text in locals_in(error)), repr(error)]
    assert not [text for text in shown for secret in secrets if secret in text]


# The examples of the RFCs


def test_w3_a_federated_assertion_is_sent_as_in_rfc_7523_2_2(issuer):
    endpoint(issuer, FederatedAssertion(lambda: JWT))(TokenRequest("a b"))
    assert form_of(issuer) == {
        "grant_type": "client_credentials",
        "scope": "a b",
        "client_id": "me",
        "client_assertion_type": CLIENT_ASSERTION,
        "client_assertion": JWT,
    }
    assert "authorization" not in issuer.fields()


def test_w3_the_assertion_type_of_spiffe_is_an_argument(issuer):
    spiffe = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
    method = FederatedAssertion(lambda: JWT, assertion_type=spiffe)
    endpoint(issuer, method, body="json")(TokenRequest())
    assert json.loads(issuer.body()) == {
        "grant_type": "client_credentials",
        "client_id": "me",
        "client_assertion_type": spiffe,
        "client_assertion": JWT,
    }


def test_w1_jwt_bearer_is_asked_for_as_in_rfc_7523_2_1(issuer):
    request = TokenRequest(extra_params={"grant_type": JWT_BEARER, "assertion": lambda: JWT})
    endpoint(issuer, client_auth_for("none", None), None)(request)
    assert form_of(issuer) == {"grant_type": JWT_BEARER, "assertion": JWT}


def test_w1_token_exchange_is_asked_for_as_in_rfc_8693_2_3(issuer):
    issuer.reply = http_answer(
        {
            "access_token": "eyJhbGciOiJFUzI1NiIsImtpZCI6IjllciJ9.eyJhdWQi.aGk",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer",
            "expires_in": 60,
        }
    )
    request = TokenRequest(
        resources=["https://backend.example.com/api"],
        extra_params={
            "grant_type": TOKEN_EXCHANGE,
            "subject_token": lambda: "accVkjcJyb4BWCxGsndESCJQbdFMogUC5PbRDqceLTC",
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        },
    )
    token = endpoint(issuer, ClientSecretBasic("long-secure-random-secret"), "rs08")(request)
    assert form_of(issuer) == {
        "grant_type": TOKEN_EXCHANGE,
        "resource": "https://backend.example.com/api",
        "subject_token": "accVkjcJyb4BWCxGsndESCJQbdFMogUC5PbRDqceLTC",
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
    }
    credentials = "Basic cnMwODpsb25nLXNlY3VyZS1yYW5kb20tc2VjcmV0"
    assert issuer.fields()["authorization"] == credentials
    assert 55 < token.seconds_left() <= 60
    assert token.extra["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"


def test_w1_delegation_is_asked_for_as_in_rfc_8693_appendix_a_2(issuer):
    jwt_type = "urn:ietf:params:oauth:token-type:jwt"
    request = TokenRequest(
        audience="urn:example:cooperation-context",
        extra_params={
            "grant_type": TOKEN_EXCHANGE,
            "subject_token": lambda: JWT,
            "subject_token_type": jwt_type,
            "actor_token": lambda: OTHER_JWT,
            "actor_token_type": jwt_type,
        },
    )
    endpoint(issuer, client_auth_for("none", None), None)(request)
    assert form_of(issuer) == {
        "grant_type": TOKEN_EXCHANGE,
        "audience": "urn:example:cooperation-context",
        "subject_token": JWT,
        "subject_token_type": jwt_type,
        "actor_token": OTHER_JWT,
        "actor_token_type": jwt_type,
    }


# No client authentication


@pytest.mark.parametrize("client_id", ["me", None])
def test_w3_none_is_the_client_id_alone_or_nothing(issuer, client_id):
    auth = ClientCredentialsAuth(f"{issuer.url}/token", client_id, client_auth="none", body="form")
    assert auth.get_token().access_token == "issued-access-token"
    sent = {"grant_type": "client_credentials", "client_id": client_id}
    assert form_of(issuer) == {name: value for name, value in sent.items() if value}
    assert "authorization" not in issuer.fields()


def test_w3_a_session_without_client_authentication_works_the_same(issuer, server):
    issuer.reply = http_answer(token_answer(server.issue().access_token))
    with ClientCredentialsSession(f"{issuer.url}/token", None, client_auth="none") as session:
        assert session.get(server.api_url).ok
    assert json.loads(issuer.body()) == {"grant_type": "client_credentials"}


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"client_id": None, "client_secret": "a-secret"}, TypeError, "client_id must be a str"),
        ({"client_id": None, "client_auth": ClientSecretPost("s")}, TypeError, "client_id"),
        ({"client_id": None, "client_auth": FederatedAssertion(str)}, TypeError, "client_id"),
        ({"client_id": "", "client_auth": "none"}, ValueError, "client_id"),
        ({"client_id": "a", "client_secret": "s", "client_auth": "none"}, ValueError, "none"),
    ],
)
def test_w8_a_client_is_missing_only_where_there_is_none(options, kind, says):
    with pytest.raises(kind, match=says):
        ClientCredentialsAuth("https://auth.example.com/token", **options)


# What is sent, and when


def test_w4_the_assertion_and_the_parameters_are_fetched_for_every_attempt(server):
    fetched = []

    def fetch():
        fetched.append(JWT + str(len(fetched)))
        return fetched[-1]

    server.answer_next(Answer(503), Answer(429, headers={"Retry-After": "0"}))
    server.answer_next(Answer(200, token_answer("t")))
    request = TokenRequest(extra_params={"actor_token": fetch})
    endpoint_of(server, FederatedAssertion(fetch), retries=2)(request)
    sent = [request.params for request in server.token_requests]
    assert len(sent) == 3
    assert [p[name] for p in sent for name in ("actor_token", "client_assertion")] == fetched


@pytest.mark.parametrize(
    ("token", "found"),
    [
        ("", "0 characters"),
        ("<html><body>Sign in</body></html>", "33 characters"),
        ("ey" * 8193, "16386 characters"),
        (f"{JWT}{'x' * 16384}", "expected a JWT of at most 16384"),
        ("a.b", "3 characters"),
        (f"{JWT}\n", "characters"),
        (f"{JWT} ", "characters"),
        ("é.b.c", "5 characters"),
        (JWT.encode(), "a bytes"),
        (None, "a NoneType"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_w3_what_is_no_jwt_is_never_sent(issuer, token, found):
    error = failure_of(endpoint(issuer, FederatedAssertion(lambda: token)))
    assert issuer.requests == []
    assert found in str(error)
    assert not error.retryable
    if token and isinstance(token, str) and len(token) > 5:
        nothing_of([token], error)


@pytest.mark.parametrize("token", [JWT, "eyJ.e30.", "a-b_c.d.e", "a.b.c.d.e"])
def test_w3_signed_unsigned_and_encrypted_jwts_are_sent(issuer, token):
    endpoint(issuer, FederatedAssertion(lambda: token))(TokenRequest())
    assert form_of(issuer)["client_assertion"] == token


@pytest.mark.parametrize(
    ("make", "kind", "says"),
    [
        (lambda: FederatedAssertion(JWT), TypeError, "token must be a callable"),
        (lambda: FederatedAssertion(str, assertion_type=""), ValueError, "assertion_type must"),
        (lambda: FederatedAssertion(str, assertion_type=None), TypeError, "assertion_type must"),
        (lambda: TokenRequest(extra_params={"a": 1}), TypeError, "'a'"),
        (lambda: TokenRequest(extra_params={"a": b"x"}), TypeError, "'a'"),
        (lambda: TokenRequest(extra_params={"grant_type": str}), TypeError, "grant_type"),
        (lambda: TokenRequest(extra_params={"scope": str}), ValueError, "scope"),
        (lambda: TokenRequest(extra_params={"client_assertion": str}), ValueError, "client_asser"),
    ],
)
def test_w8_what_cannot_work_is_told_by_the_constructor(make, kind, says):
    with pytest.raises(kind, match=says) as caught:
        make()
    assert JWT not in str(caught.value)


@pytest.mark.parametrize("returned", [None, 5, "", b"x"])
def test_w1_a_callable_that_returns_no_text_is_an_error_that_names_it(issuer, returned):
    request = TokenRequest(extra_params={"assertion": lambda: returned})
    with pytest.raises(TokenError, match=r"extra_params\['assertion'\] must return a str"):
        endpoint(issuer, client_auth_for("none", None))(request)
    assert issuer.requests == []


def test_w1_a_callable_is_called_though_it_counts_as_false(server):
    class Values(list):
        def __call__(self):
            return "a-value"

    endpoint_of(server)(TokenRequest(extra_params={"key": Values()}))
    assert server.token_requests[0].params["key"] == "a-value"


def test_w1_a_callable_that_raises_is_named_with_its_place(issuer):
    def fetch():
        raise LookupError("no such thing")

    request = TokenRequest(extra_params={"assertion": fetch})
    with pytest.raises(CallableError, match=r"extra_params\['assertion'\] raised LookupError \(te"):
        endpoint(issuer, client_auth_for("none", None))(request)


# Failures of the platform


@pytest.mark.parametrize("place", ["client_auth", "extra_params"])
@pytest.mark.parametrize("retryable", [True, False])
def test_a6_the_error_of_a_platform_is_that_of_the_token_request(server, place, retryable):
    cause = TokenError("no identity token from here", retryable=retryable, retry_after=7.0)

    def fetch():
        raise cause

    options = {"client_auth": FederatedAssertion(lambda: JWT), place: {"assertion": fetch}}
    if place == "client_auth":
        options = {"client_auth": FederatedAssertion(fetch)}
    auth = ClientCredentialsAuth(server.token_endpoint, "me", **options)
    for _ in range(3):  # no pause: it says nothing about the endpoint
        with pytest.raises(TokenError) as caught:
            auth.get_token()
        error = caught.value
        text = f"token request to {server.token_endpoint} failed: no identity token from here"
        assert str(error) == text
        assert error.retryable is retryable
        assert error.retry_after == 7.0
    assert auth.manager.stats().paused == 0
    assert server.token_requests == []


def test_f1_a_platform_that_hangs_is_left_with_the_token_request(server):
    with PlatformDouble() as hanging:
        token = AzureManagedIdentityToken("r", url=hanging.url, timeout=60)
        method = FederatedAssertion(token)
        auth = ClientCredentialsAuth(server.token_endpoint, "me", client_auth=method, deadline=0.5)
        began = time.monotonic()
        with pytest.raises(TokenError) as caught:
            auth.get_token()
        assert time.monotonic() - began < 5
    assert caught.value.retryable
    assert "Azure's Instance Metadata Service" in str(caught.value)
    links = [caught.value.__cause__, getattr(caught.value.__cause__, "__cause__", None)]
    assert any(isinstance(link, TokenTimeout) for link in links)


def test_f1_a_callable_of_the_first_step_has_the_deadline_of_the_last(server):
    with PlatformDouble() as hanging:
        source = AzureManagedIdentityToken("r", url=hanging.url, timeout=60)
        params = {"grant_type": JWT_BEARER, "assertion": source}
        auth = ClientCredentialsAuth(
            server.token_endpoint, None, client_auth="none", extra_params=params, deadline=0.5
        )
        began = time.monotonic()
        with pytest.raises(TokenError):
            auth.get_token()
        assert time.monotonic() - began < 5


def test_a_first_step_that_fails_tells_why(server):
    first = ClientCredentialsAuth(server.token_endpoint, server.client_id, "wrong-secret")
    second = ClientCredentialsAuth(
        server.token_endpoint,
        None,
        client_auth="none",
        extra_params={
            "grant_type": JWT_BEARER,
            "assertion": lambda: first.get_token().access_token,
        },
    )
    with pytest.raises(TokenError, match=r"failed: token request to .* invalid_client"):
        second.get_token()


@pytest.mark.parametrize(
    ("grant", "code", "hint"),
    [
        (JWT_BEARER, "invalid_grant", "check the token of this grant: issuer, subject, audience"),
        (JWT_BEARER, "unauthorized_client", "does not let this client use this grant_type"),
        (None, "unauthorized_client", "does not let this client use this grant_type"),
        (None, "invalid_grant", "check the URL"),
    ],
)
def test_a6_the_hint_is_one_for_the_grant_that_was_asked_for(server, grant, code, hint):
    server.answer_next(Answer(400, {"error": code}))
    params = {"grant_type": grant, "assertion": "an-assertion"} if grant else {}
    with pytest.raises(TokenError) as caught:
        endpoint_of(server)(TokenRequest(extra_params=params))
    assert hint in str(caught.value)
    if grant:
        assert "client_credentials" not in str(caught.value)


# What is asked for


@dataclass
class Source:
    """A callable that cannot be hashed."""

    value: str
    called: list[str] = field(default_factory=list, compare=False)

    def __call__(self):
        self.called.append(self.value)
        return self.value


def test_l9_what_is_asked_for_is_names_and_literals_and_the_callables_themselves():
    def request(assertion, **more):
        return TokenRequest(extra_params={"assertion": assertion, **more})

    def fetch():
        raise AssertionError("called though nothing was asked for")

    def other():
        raise AssertionError("called though nothing was asked for")

    asked = request(fetch)
    assert asked == request(fetch)
    assert hash(asked) == hash(request(fetch))
    assert asked != request(other)
    assert asked != request("literal")
    assert asked != request(fetch, grant_type=JWT_BEARER)
    assert request(Source("a")) == request(Source("a"))
    assert request(FileToken("/a")) == request(FileToken("/a"))
    assert request(FileToken("/a")) != request(FileToken("/b"))
    assert asked.__replace__(scope="a") == TokenRequest("a", extra_params={"assertion": fetch})
    assert repr(asked).endswith("extra_params=<assertion>)")


def test_l1_what_a_callable_returns_is_no_part_of_the_key(server):
    source = Source("first-assertion")
    auth = ClientCredentialsAuth(
        server.token_endpoint,
        server.client_id,
        server.client_secret,
        extra_params={"assertion": source},
    )
    token = auth.get_token()
    source.value = "second-assertion"
    assert auth.get_token() is token
    assert auth.replace(extra_params={"assertion": source}).get_token() is token
    assert source.called == ["first-assertion"]


def test_l1_a_token_is_tied_to_its_grant(issuer):
    tokens = iter(["token-one", "token-two"])
    issuer.reply = lambda _: http_answer(token_answer(next(tokens)))
    auth = ClientCredentialsAuth(f"{issuer.url}/token", "me", client_auth="none", body="form")
    other = auth.replace(extra_params={"grant_type": "account_credentials", "account_id": "a-b"})
    assert auth.get_token().access_token == "token-one"
    assert other.get_token().access_token == "token-two"
    assert auth.get_token().access_token == "token-one"
    assert form_of(issuer) == {
        "grant_type": "account_credentials",
        "account_id": "a-b",
        "client_id": "me",
    }


class Shelf:
    """A store that remembers its keys."""

    def __init__(self):
        self.keys = []

    def get_or_fetch(self, key, fetch, rejected):
        self.keys.append(key)
        return fetch()


def test_the_key_of_a_store_holds_names_and_literals_and_calls_nothing(issuer):
    shelf, source = Shelf(), Source("a-value-of-the-moment")
    params = [
        {"assertion": source},
        {"assertion": lambda: "another-value"},
        {"actor_token": source},
        {"assertion": source, "grant_type": JWT_BEARER},
        {"assertion": "a-value-of-the-moment"},
    ]
    for extra in params:
        ClientCredentialsAuth(
            f"{issuer.url}/token", "me", "a-secret", extra_params=extra, store=shelf
        ).get_token()
    first, *others = shelf.keys
    assert others[0] == first  # processes have callables of their own
    assert first not in others[1:]
    assert len(set(shelf.keys)) == 4
    assert len(source.called) == 3


def test_w8_a_client_without_an_authentication_of_its_own_shares_no_tokens():
    # Whose token it is, its callables alone could tell.
    with pytest.raises(ValueError, match="store"):
        ClientCredentialsAuth("https://a.example/", None, client_auth="none", store=Shelf())


def test_requests_with_different_callables_hash_differently():
    callables = [lambda number=number: str(number) for number in range(50)]
    requests_ = [TokenRequest(extra_params={"a": one}) for one in callables]
    assert len({hash(one) for one in requests_}) == 50
    assert len(set(requests_)) == 50


# Secrets


def test_s1_the_values_of_callables_are_removed_from_a_servers_words(server):
    server.answer_next(
        Answer(400, {"error": "invalid_grant", "error_description": f"{JWT} {JWT_BEARER} short"})
    )
    request = TokenRequest(
        extra_params={"grant_type": JWT_BEARER, "assertion": lambda: JWT, "x": lambda: "short"}
    )
    with pytest.raises(TokenError) as caught:
        endpoint_of(server)(request)
    assert caught.value.error_description == f"[redacted] {JWT_BEARER} short"
    nothing_of([JWT], caught.value)


def test_s1_of_a_servers_words_values_of_eight_characters_are_removed_but_no_resource(server):
    words = "a-key-of and a-resource-by-name"
    server.answer_next(Answer(400, {"error": "invalid_target", "error_description": words}))
    request = TokenRequest(extra_params={"key": "a-key-of", "resource": "a-resource-by-name"})
    with pytest.raises(TokenError) as caught:
        endpoint_of(server)(request)
    assert caught.value.error_description == "[redacted] and a-resource-by-name"


@pytest.mark.parametrize("body", ["auto", "json", "form"])
def test_s1_nothing_that_is_left_behind_holds_an_assertion(server, body, caplog):
    caplog.set_level(logging.DEBUG)
    server.answer_next(
        *[
            lambda r: Answer(401, {"error": "invalid_client", "error_description": str(r.params)})
            for _ in range(2)
        ]
    )
    auth = ClientCredentialsAuth(
        server.token_endpoint,
        "me",
        client_auth=FederatedAssertion(lambda: JWT),
        extra_params={"actor_token": lambda: OTHER_JWT},
        body=body,
    )
    with pytest.raises(TokenError) as caught:
        auth.get_token()
    assert server.token_requests[-1].params["client_assertion"] == JWT
    assert server.token_requests[-1].params["actor_token"] == OTHER_JWT
    nothing_of([JWT, OTHER_JWT], caught.value)
    assert "check the assertion" in str(caught.value)
    assert JWT not in caplog.text
    assert OTHER_JWT not in caplog.text
    for thing in (auth, auth.endpoint, auth.manager, auth.endpoint.client_auth):
        assert JWT not in repr(thing)


def test_s1_no_variable_holds_an_assertion_while_a_token_request_is_under_way(issuer):
    """As tracers may record them, of the package's frames while a request is under way."""
    recorded, caller = [], threading.get_ident()

    def record(_):
        recorded.extend(variables_of(caller))
        return http_answer(token_answer("issued-access-token"))

    issuer.reply = record
    request = TokenRequest(extra_params={"subject_token": lambda: OTHER_JWT})
    endpoint(issuer, FederatedAssertion(lambda: JWT))(request)
    assert len(recorded) > 3
    assert not [text for text in recorded if JWT in text or OTHER_JWT in text]


def test_s2_clients_with_sources_of_the_platform_can_be_pickled(server, tmp_path, monkeypatch):
    path = tmp_path / "token"
    path.write_text(JWT)
    monkeypatch.setenv("A_TOKEN", OTHER_JWT)
    server.answer_next(*[Answer(200, token_answer("issued-access-token"))] * 2)
    auth = ClientCredentialsAuth(
        server.token_endpoint,
        "me",
        client_auth=FederatedAssertion(FileToken(path)),
        extra_params={"actor_token": EnvToken("A_TOKEN")},
    )
    auth.authorize()
    pickled = pickle.dumps(auth)
    for secret in (JWT, OTHER_JWT, "issued-access-token"):
        assert secret.encode() not in pickled
    copied = pickle.loads(pickled)
    copied.authorize()
    assert [r.params["client_assertion"] for r in server.token_requests] == [JWT, JWT]
    assert [r.params["actor_token"] for r in server.token_requests] == [OTHER_JWT, OTHER_JWT]
    anonymous = ClientCredentialsAuth(server.token_endpoint, None, client_auth="none")
    pickle.loads(pickle.dumps(anonymous))


@needs_redis_server
def test_s1_redis_holds_no_assertion(client, issuer):  # noqa: F811
    store = RedisTokenStore(client, encryption_key="a key of at least 32 characters!")
    auth = ClientCredentialsAuth(
        f"{issuer.url}/token",
        "me",
        client_auth=FederatedAssertion(lambda: JWT),
        extra_params={"subject_token": lambda: OTHER_JWT, "literal": "a-literal-secret"},
        body="form",
        store=store,
    )
    assert auth.get_token().access_token == "issued-access-token"
    stored = b"".join(name + (client.get(name) or b"") for name in client.scan_iter("*"))
    assert stored
    for secret in (JWT, OTHER_JWT, "a-literal-secret", "issued-access-token"):
        assert secret.encode() not in stored


# Rotation


class Rotating:
    """A file with an assertion that is replaced, and the server that takes each of them."""

    def __init__(self, path):
        self._path = path
        self.number = 0
        self.taken: dict[str, int] = {}
        """By scope, the number of the assertion that the token request had."""
        self.rotate()

    def rotate(self):
        """Put the next assertion into the file as Kubernetes does; its size differs."""
        following = self.number + 1
        assertion = f"eyJhbGciOiJub25lIn0.{following}.{'x' * (following * 37 % 5000)}"
        self._path.with_suffix(".new").write_text(f"{assertion}\n")
        self._path.with_suffix(".new").replace(self._path)
        self.number = following  # it is there, from now on

    def __call__(self, request):
        form = dict(parse_qsl(request.partition(b"\r\n\r\n")[2].decode()))
        _, number, padding = form["client_assertion"].split(".")
        assert len(padding) == int(number) * 37 % 5000
        self.taken[form["scope"]] = int(number)
        return http_answer(token_answer(f"token-{form['scope']}"))


def test_w4_a_rotated_token_is_used_by_the_next_token_request_under_load(tmp_path):
    rotating = Rotating(tmp_path / "token")
    stop, scopes = threading.Event(), iter(range(10_000))

    def rotate():
        while not stop.is_set():
            rotating.rotate()

    with PlatformDouble(rotating) as issuer:
        method = FederatedAssertion(FileToken(tmp_path / "token"))
        auth = ClientCredentialsAuth(f"{issuer.url}/token", "me", client_auth=method, body="form")

        def work():
            for _ in range(25):
                scope, before = f"s{next(scopes)}", rotating.number
                assert auth.replace(scope=scope).get_token().access_token == f"token-{scope}"
                assert rotating.taken[scope] >= before
                until(lambda: rotating.number > rotating.taken[scope])  # noqa: B023
            return "done"

        writer = threading.Thread(target=rotate, daemon=True)
        writer.start()
        try:
            assert together(4, work) == ["done"] * 4
        finally:
            stop.set()
            writer.join(PATIENCE)
        auth.replace(scope="last").authorize()
        assert rotating.taken["last"] == rotating.number
    assert len(rotating.taken) == 101
    assert len(set(rotating.taken.values())) > 25


def test_the_api_is_called_with_what_a_federated_client_gets(server, tmp_path):
    path = tmp_path / "token"
    path.write_text(JWT)
    server.answer_next(lambda _: Answer(200, token_answer(server.issue("me").access_token)))
    auth = ClientCredentialsAuth(
        server.token_endpoint, "me", client_auth=FederatedAssertion(FileToken(path))
    )
    assert requests.get(server.api_url, auth=auth, timeout=PATIENCE).json()["client_id"] == "me"
