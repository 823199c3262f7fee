"""How a token is asked for: the bytes on the wire, and what they never carry."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import sys
from contextlib import ExitStack

import pytest
import requests
import trustme
from helpers import TLSAuthorizationServer, until
from raw_server import Tunnel, endpoint_of, failure_of
from requests.adapters import HTTPAdapter

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
    TokenError,
    TokenRequest,
)
from clientcreds_requests.testing import RESET, Answer, LocalAuthorizationServer

ASKED = TokenRequest(
    "api:read api:write", ["https://a.example/x", "urn:b"], "aud", {"tenant": "Zoë & Co"}
)
PLAIN = TokenRequest()
REFUSED = Answer(401, {"error": "invalid_client"})
FORM, JSON = "application/x-www-form-urlencoded", "application/json"


def content_types(server):
    return [request.headers["Content-Type"] for request in server.token_requests]


# W1


def test_w1_a_form_is_sent_as_exactly_these_bytes(server):
    endpoint_of(server, body="form")(ASKED)
    (sent,) = server.token_requests
    assert (sent.method, sent.path, sent.query) == ("POST", "/token", "")
    assert sent.body == (
        b"grant_type=client_credentials&scope=api%3Aread+api%3Awrite"
        b"&resource=https%3A%2F%2Fa.example%2Fx&resource=urn%3Ab&audience=aud"
        b"&tenant=Zo%C3%AB+%26+Co"
        b"&client_id=my-service&client_secret=s3cr3t%3A+a%2Bb+%26+c%3D%2564"
    )


def test_w1_json_is_sent_as_exactly_these_bytes(server):
    endpoint_of(server, body="json")(ASKED)
    assert server.token_requests[0].body == (
        rb'{"grant_type": "client_credentials", "scope": "api:read api:write", '
        rb'"resource": ["https://a.example/x", "urn:b"], "audience": "aud", '
        rb'"tenant": "Zo\u00eb & Co", '
        rb'"client_id": "my-service", "client_secret": "s3cr3t: a+b & c=%64"}'
    )


def test_w1_whatever_is_empty_is_left_out(server):
    endpoint_of(server)(TokenRequest("", [], "", {"tenant": ""}))
    assert sorted(server.token_requests[0].params) == ["client_id", "client_secret", "grant_type"]


def test_w2_a_form_is_encoded_as_in_the_standards_own_example(server):
    # RFC 6749 Appendix B
    extra = TokenRequest(extra_params={"value": " %&+\u00a3\u20ac"})
    endpoint_of(server, body="form")(extra)
    assert b"&value=+%25%26%2B%C2%A3%E2%82%AC&" in server.token_requests[0].body


@pytest.mark.parametrize(("body", "content_type"), [("form", FORM), ("json", JSON)])
def test_w1_these_headers_are_sent_and_no_others(server, body, content_type):
    endpoint_of(server, body=body)(PLAIN)
    (sent,) = server.token_requests
    assert dict(sent.headers) == {
        "Host": server.url.removeprefix("http://"),
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "Content-Type": content_type,
        "Content-Length": str(len(sent.body)),
        "User-Agent": "clientcreds-requests",
    }


def test_w1_extra_headers_are_sent_and_their_callables_asked_for_every_attempt(server, clock):
    ids = iter("ab")
    headers = {"X-Correlation-Id": lambda: next(ids), "accept": "application/jwt"}
    server.answer_next(Answer(503))
    endpoint_of(server, extra_headers=headers, retries=1)(PLAIN)
    sent = [request.headers for request in server.token_requests]
    assert [headers["X-Correlation-Id"] for headers in sent] == ["a", "b"]
    assert sent[0].get_all("Accept") == ["application/jwt"]


# W2

NO_JSON = {
    **{
        f"{status} {error}": Answer(status, {"error": error})
        for status, error in [
            (400, "invalid_request"),
            (400, "unsupported_grant_type"),
            (400, "access_denied"),
            (400, "invalid_client"),
            (401, "invalid_client"),
            (400, "invalid_scope"),
            (400, "unauthorized_client"),
            (500, "internal_server_error"),
        ]
    },
    "200 with an error": Answer(200, {"error": "invalid_client"}),
    "200 without a token": Answer(200, {}),
    "200 with a page": Answer(200, "<html>", headers={"Content-Type": "text/html"}),
    "302 to a login page": Answer(302, headers={"Location": "/login"}),
    "400": Answer(400),
    "401": Answer(401),
    "403 with a page": Answer(403, "<html>", headers={"Content-Type": "text/html"}),
    "404": Answer(404),
    "405": Answer(405),
    "415": Answer(415, {"message": "Unsupported Media Type"}),
    "422": Answer(422, {"detail": [{"loc": ["body"]}]}),
}


@pytest.mark.parametrize("answer", NO_JSON.values(), ids=NO_JSON)
def test_w2_auto_sends_a_form_once_after_any_other_answer_than_a_token(
    server, clock, caplog, answer
):
    caplog.set_level(logging.INFO, "clientcreds_requests")
    endpoint = endpoint_of(server, body="auto", retries=3)
    server.answer_next(answer)
    endpoint(PLAIN)
    endpoint(PLAIN)
    assert content_types(server) == [JSON, FORM, FORM]
    assert clock.slept == []
    (message,) = (record.getMessage() for record in caplog.records if record.levelname == "INFO")
    assert "body='form'" in message


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504, 520, 524, 501])
def test_w2_auto_sends_no_form_after_an_answer_that_has_nothing_to_do_with_the_body(server, status):
    server.answer_next(Answer(status))
    assert failure_of(endpoint_of(server, body="auto")).status_code == status
    assert content_types(server) == [JSON]


def test_w2_auto_sends_no_form_after_a_connection_that_broke(server):
    server.answer_next(RESET)
    failure_of(endpoint_of(server, body="auto"))
    assert content_types(server) == [JSON]


def test_w2_auto_remembers_that_json_worked(server):
    endpoint = endpoint_of(server, body="auto")
    endpoint(PLAIN)
    server.answer_next(Answer(400))
    failure_of(endpoint)
    assert content_types(server) == [JSON, JSON]


def oauth(error: str, status: int = 400) -> Answer:
    return Answer(status, {"error": error})


BOTH_FAIL = {
    "the form was read": (oauth("invalid_client", 401), oauth("invalid_scope"), FORM),
    "both were read": (oauth("invalid_client", 401), oauth("invalid_client", 401), FORM),
    "neither was read": (Answer(403), Answer(403), FORM),
    "the form says little": (oauth("invalid_client", 401), oauth("unsupported_grant_type"), JSON),
    "the form says less": (oauth("invalid_scope"), oauth("invalid_request"), JSON),
    "the form says nothing": (oauth("access_denied", 403), Answer(415), JSON),
    "both say little": (oauth("unsupported_grant_type"), oauth("invalid_request"), FORM),
}


@pytest.mark.parametrize(("json", "form", "reported"), BOTH_FAIL.values(), ids=BOTH_FAIL)
def test_w2_auto_reports_the_error_of_the_body_that_was_read(server, json, form, reported):
    server.answer_next(json, form)
    error = failure_of(endpoint_of(server, body="auto"))
    answer, other = (form, json) if reported == FORM else (json, form)
    code = answer.body["error"] if answer.body else None
    assert (error.status_code, error.error) == (answer.status, code)
    body = "form" if reported == FORM else "json"
    assert f"body={body!r}" in str(error)
    if other.body and other.body["error"] != code:
        assert other.body["error"] in str(error)
    assert content_types(server) == [JSON, FORM]


@pytest.mark.parametrize(("json", "form", "reported"), BOTH_FAIL.values(), ids=BOTH_FAIL)
def test_w2_auto_tries_only_that_body_for_a_minute(server, clock, json, form, reported):
    endpoint = endpoint_of(server, body="auto")
    server.answer_next(json, form)
    failure_of(endpoint)
    clock.advance(59)
    server.answer_next(Answer(400))
    failure_of(endpoint)
    clock.advance(1)
    server.answer_next(Answer(400), Answer(400))
    failure_of(endpoint)
    assert content_types(server) == [JSON, FORM, reported, JSON, FORM]


def test_f1_a_500_is_retried_in_a_minute_of_json_alone(server, clock):
    endpoint = endpoint_of(server, body="auto", retries=1)
    server.answer_next(oauth("invalid_scope", 400), oauth("invalid_request", 400))
    failure_of(endpoint)
    server.answer_next(Answer(500))
    endpoint(PLAIN)
    assert content_types(server) == [JSON, FORM, JSON, JSON]


def test_w2_auto_remembers_a_body_that_works_within_that_minute(server, clock):
    endpoint = endpoint_of(server, body="auto")
    server.answer_next(Answer(401), Answer(401))
    failure_of(endpoint)
    endpoint(PLAIN)
    clock.advance(100)
    endpoint(PLAIN)
    assert content_types(server) == [JSON, FORM, FORM, FORM]


@pytest.mark.parametrize("form", [RESET, Answer(503)], ids=["a reset", "503"])
def test_w2_a_form_that_may_be_answered_later_decides_nothing(server, clock, form):
    endpoint = endpoint_of(server, body="auto")
    server.answer_next(oauth("invalid_client", 401), form)
    assert failure_of(endpoint).retryable
    server.answer_next(oauth("invalid_client", 401))
    endpoint(PLAIN)
    assert content_types(server) == [JSON, FORM, JSON, FORM]


@pytest.mark.parametrize("form", [RESET, Answer(503), Answer(429)], ids=["a reset", "503", "429"])
def test_w2_a_form_without_an_answer_does_not_hide_what_json_was_answered(server, form):
    server.answer_next(oauth("invalid_client", 401), form)
    error = failure_of(endpoint_of(server, body="auto"))
    assert error.retryable
    assert "json was no better (invalid_client)" in str(error)


def test_w2_a_callable_that_fails_for_the_form_is_the_cause_of_the_error(server):
    def value() -> str:
        if server.token_requests:
            raise KeyError("gone")
        return "value"

    server.answer_next(oauth("invalid_client", 401))
    request = TokenRequest(extra_params={"name": value})
    with pytest.raises(TokenError) as caught:
        endpoint_of(server, body="auto")(request)
    assert isinstance(caught.value.__cause__, KeyError)


def test_w2_a_copy_in_another_process_tries_both_bodies(server):
    endpoint = endpoint_of(server, TLSClientAuth(), body="auto")
    server.answer_next(*[Answer(400)] * 4)
    failure_of(endpoint)
    failure_of(pickle.loads(pickle.dumps(endpoint)))
    assert content_types(server) == [JSON, FORM, JSON, FORM]


@pytest.mark.parametrize("body", ["form", "json", "auto"])
def test_f1_a_500_is_retried_if_no_other_body_is_left(server, clock, body):
    server.answer_next(*[Answer(400)] * (body == "auto"), Answer(500))
    assert endpoint_of(server, body=body, retries=1)(PLAIN).access_token
    last = JSON if body == "json" else FORM
    assert content_types(server)[-2:] == [last, last]


def test_w2_the_two_bodies_are_one_failure(server, make_auth):
    auth = make_auth()
    server.answer_next(*[Answer(400)] * 2)
    failure_of(lambda _: auth.get_token())
    auth.get_token()  # a pause begins with the second failure in a row
    assert len(server.token_requests) == 3


@pytest.mark.parametrize(("body", "content_type"), [("form", FORM), ("json", JSON)])
def test_w2_a_body_that_was_chosen_is_the_only_one_sent(server, body, content_type):
    server.answer_next(Answer(415))
    failure_of(endpoint_of(server, body=body))
    assert content_types(server) == [content_type]


# W3

ISSUER = "https://issuer.example"
METHODS = {
    "post": (ClientSecretPost("long-secret"), {"client_id", "client_secret"}, False),
    "basic": (ClientSecretBasic("long-secret"), set(), True),
    "client_secret_jwt": (
        ClientSecretJWT("long-secret", ISSUER),
        {"client_id", "client_assertion", "client_assertion_type"},
        False,
    ),
    "assertion": (
        ClientAssertion(lambda _: "signed", ISSUER),
        {"client_id", "client_assertion", "client_assertion_type"},
        False,
    ),
    "tls": (TLSClientAuth(), {"client_id"}, False),
}


@pytest.mark.parametrize("body", ["form", "json"])
@pytest.mark.parametrize(("method", "params", "header"), METHODS.values(), ids=METHODS)
def test_w3_one_authentication_method_is_used_and_never_in_the_url(
    server, method, params, header, body
):
    server.answer_next(Answer(200, {"access_token": "t"}))
    endpoint_of(server, method, body=body)(PLAIN)
    (sent,) = server.token_requests
    assert set(sent.params) == {"grant_type", *params}
    assert ("Authorization" in sent.headers) is header
    assert (sent.path, sent.query) == ("/token", "")


def test_w3_a_method_of_the_users_own_may_encode_basic_credentials_as_it_likes(server):
    credentials = base64.b64encode("my-service:pässwort".encode("latin-1")).decode()

    def as_old_servers_want_it(client_id, params, headers):
        headers["Authorization"] = f"Basic {credentials}"

    server.answer_next(Answer(200, {"access_token": "t"}))
    assert endpoint_of(server, as_old_servers_want_it)(PLAIN).access_token == "t"
    assert server.token_requests[0].headers["Authorization"] == f"Basic {credentials}"


# W4


def test_w4_a_callable_is_asked_for_every_token_request(server):
    secrets = iter(["first-one", "second-one"])
    endpoint = endpoint_of(server, ClientSecretPost(lambda: next(secrets)))
    server.answer_next(*[Answer(200, {"access_token": "t"})] * 2)
    endpoint(PLAIN)
    endpoint(PLAIN)
    sent = [request.params["client_secret"] for request in server.token_requests]
    assert sent == ["first-one", "second-one"]


def test_w4_a_secret_that_was_rotated_meanwhile_is_tried_at_once(server):
    secrets = iter(["the-old-one", server.client_secret])
    endpoint_of(server, ClientSecretPost(lambda: next(secrets)))(PLAIN)
    sent = [request.params["client_secret"] for request in server.token_requests]
    assert sent == ["the-old-one", server.client_secret]


def test_w4_a_secret_that_stays_the_same_is_not_tried_again(server):
    asked_for = []
    endpoint = endpoint_of(server, ClientSecretPost(lambda: asked_for.append(1) or "wrong-one"))
    assert failure_of(endpoint).error == "invalid_client"
    assert (len(server.token_requests), len(asked_for)) == (1, 2)


@pytest.mark.parametrize(
    "answer",
    [
        REFUSED,
        oauth("invalid_client"),
        oauth("unauthorized_client"),
        oauth("access_denied", 403),
        oauth("invalid_scope", 401),
        Answer(401),
    ],
    ids=str,
)
def test_w4_rotation_is_tried_once_after_any_rejection_of_the_client(server, answer):
    secrets = iter("abcdefgh")
    endpoint = endpoint_of(server, ClientSecretPost(lambda: next(secrets)))
    server.answer_next(answer, answer)
    failure_of(endpoint)
    assert len(server.token_requests) == 2


def test_w4_rotation_is_not_tried_after_other_errors(server):
    secrets = iter("abcdefgh")
    endpoint = endpoint_of(server, ClientSecretPost(lambda: next(secrets)))
    server.answer_next(oauth("invalid_scope"))
    failure_of(endpoint)
    assert len(server.token_requests) == 1


@pytest.mark.parametrize(
    ("json", "form", "then"),
    [
        (REFUSED, REFUSED, FORM),
        (Answer(401), oauth("invalid_request"), FORM),
        (REFUSED, oauth("unsupported_grant_type"), JSON),
        (REFUSED, Answer(503), JSON),
        (REFUSED, RESET, JSON),
    ],
    ids=["both", "JSON alone", "JSON, which was read", "the form fails", "the form has no answer"],
)
def test_w4_rotation_is_tried_after_the_form(server, json, form, then):
    secrets = iter(["the-old-one", server.client_secret])
    endpoint = endpoint_of(server, ClientSecretPost(lambda: next(secrets)), body="auto")
    server.answer_next(json, form)
    endpoint(PLAIN)
    assert content_types(server) == [JSON, FORM, then]
    assert server.token_requests[-1].params["client_secret"] == server.client_secret


def test_w4_a_callable_that_raises_is_a_token_error_with_its_cause(server):
    cause = OSError("the vault is sealed")

    def sealed():
        raise cause

    error = failure_of(endpoint_of(server, ClientSecretPost(sealed)))
    assert "client_secret callable raised OSError" in str(error)
    assert error.__cause__ is cause
    assert server.token_requests == []


# W5


@pytest.fixture
def session():
    with requests.Session() as session:
        yield session


def test_w5_nothing_of_the_session_reaches_the_token_endpoint(server, session, tmp_path):
    def must_not_be_called(*args, **kwargs):
        pytest.fail("the session's hook or auth was used")

    session.headers["X-Api-Key"] = "key"
    session.params = {"version": "1"}
    session.cookies.set("sid", "cookie")
    session.hooks["response"].append(must_not_be_called)
    session.auth = must_not_be_called
    endpoint_of(server, session=session)(PLAIN)
    (sent,) = server.token_requests
    assert sent.query == ""
    assert not {"X-Api-Key", "Cookie", "Authorization"} & set(sent.headers)


@pytest.mark.parametrize("kind", [ClientSecretPost, ClientSecretBasic])
def test_w5_no_netrc_entry_reaches_the_token_endpoint(server, tmp_path, monkeypatch, kind):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    endpoint_of(server, kind(server.client_secret))(PLAIN)
    assert server.token_requests[0].client_id == server.client_id


def test_w5_no_cookie_of_the_token_endpoint_is_kept(server, session):
    body = {"access_token": "t"}
    server.answer_next(*[Answer(200, body, {"Set-Cookie": "sid=1; Path=/"})] * 2)
    endpoint = endpoint_of(server, session=session)
    endpoint(PLAIN)
    endpoint(PLAIN)
    assert len(session.cookies) == 0
    assert "Cookie" not in server.token_requests[1].headers


@pytest.mark.parametrize("where", ["session", "environment"])
def test_w5_proxies_do_apply(server, session, monkeypatch, where):
    with LocalAuthorizationServer() as proxy:
        if where == "session":
            session.proxies["http"] = proxy.url
        else:
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
            monkeypatch.setenv("http_proxy", proxy.url)
        proxy.answer_next(Answer(200, {"access_token": "through-the-proxy"}))
        token = endpoint_of(server, session=session)(PLAIN)
        assert token.access_token == "through-the-proxy"
        assert proxy.token_requests[0].path == server.token_endpoint
    assert server.token_requests == []


def test_w5_the_adapter_of_the_session_does_apply(server, session):
    sent = []

    class Recording(HTTPAdapter):
        def send(self, request, **kwargs):
            sent.append(request.url)
            return super().send(request, **kwargs)

    session.mount(server.url, Recording())
    endpoint_of(server, session=session)(PLAIN)
    assert sent == [server.token_endpoint]


@pytest.mark.parametrize(("body", "kind"), [("json", bytes), ("form", str)])
def test_w5_adapters_are_given_json_as_bytes_and_a_form_as_text(server, session, body, kind):
    given = []

    class Recording(HTTPAdapter):
        def send(self, request, **kwargs):
            given.append(request.body)
            return super().send(request, **kwargs)

    session.mount(server.url, Recording())
    endpoint_of(server, session=session, body=body)(PLAIN)
    assert [type(one) for one in given] == [kind]  # stubs of tests match what requests would send


@pytest.fixture(scope="module")
def authority():
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture
def ca_file(authority, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")


def test_w5_the_certificate_of_the_token_endpoint_is_verified(authority, session):
    with TLSAuthorizationServer(authority) as tls:
        error = failure_of(endpoint_of(tls, session=session))
        assert "CERTIFICATE_VERIFY_FAILED" in str(error)
        assert tls.token_requests == []


def test_w5_verify_of_the_session_does_apply_whatever_the_environment_says(
    authority, ca_file, session, monkeypatch
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nothing/here.pem")
    session.verify = ca_file
    with TLSAuthorizationServer(authority) as tls:
        assert endpoint_of(tls, session=session)(PLAIN).access_token


def test_w5_the_certificates_of_the_environment_do_apply(authority, ca_file, session, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", ca_file)
    with TLSAuthorizationServer(authority) as tls:
        assert endpoint_of(tls, session=session)(PLAIN).access_token


def test_w5_the_client_certificate_of_the_session_does_apply(authority, ca_file, session, tmp_path):
    certificate = authority.issue_cert("client.example").private_key_and_cert_chain_pem
    certificate.write_to_path(tmp_path / "client.pem")
    session.verify, session.cert = ca_file, str(tmp_path / "client.pem")
    with TLSAuthorizationServer(authority, clients=authority) as tls:
        assert endpoint_of(tls, session=session)(PLAIN).access_token
        assert tls.handshakes == ["client.example"]


@pytest.mark.parametrize(
    "answers",
    [(None, None), (Answer(400), Answer(400)), (Answer(503), None)],
    ids=["tokens", "errors", "a retry"],
)
def test_w5_no_idle_connection_is_left_behind(server, session, clock, answers):
    endpoint = endpoint_of(server, session=session, retries=1)
    server.answer_next(*answers)
    for _ in range(2):
        try:
            endpoint(PLAIN)
        except TokenError:
            continue
    pools = session.get_adapter(server.url).poolmanager.pools
    connections = [c for key in pools.keys() for c in list(pools[key].pool.queue) if c]  # noqa: SIM118
    assert [c for c in connections if c.sock is not None] == []
    until(lambda: not server._authorization_server._connections)
    ports = [request.client_port for request in server.token_requests]
    assert len(set(ports)) == len(ports)


def test_w5_a_session_of_ours_is_no_different(server):
    arguments = (server.token_endpoint, server.client_id, server.client_secret)
    with ClientCredentialsSession(*arguments, body="form") as session:
        session.headers["X-Api-Key"] = "key"
        session.get(server.api_url)
        assert "X-Api-Key" in server.api_requests[0].headers
    assert "X-Api-Key" not in server.token_requests[0].headers


# W6


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("kind", [ClientSecretPost, ClientSecretBasic])
@pytest.mark.parametrize("body", ["form", "json"])
def test_w6_redirects_of_the_token_endpoint_are_never_followed(server, status, kind, body):
    with LocalAuthorizationServer() as evil:
        target = {"Location": f"{evil.url}/path?q=1"}
        server.answer_next(Answer(status, headers=target))
        error = failure_of(endpoint_of(server, kind(server.client_secret), body=body))
        assert evil.token_requests == []
    assert error.status_code == status
    assert f"redirects to {evil.url}," in str(error)
    assert "/path" not in str(error)


@pytest.mark.parametrize(
    ("location", "named"),
    [
        (None, "no URL"),
        ("/elsewhere", "{server.url}/elsewhere,"),
        ("/token/?code=1#x", "{server.url}/token/,"),
        ("//other.example/x", "http://other.example,"),
        ("http://[", "no URL"),
        ("https://a:99999/", "no URL"),
        ("javascript:alert(1)", "no URL"),
        (r"https://a.example\@b.example/", "no URL"),
    ],
)
def test_w6_a_strange_location_is_a_token_error_too(server, location, named):
    server.answer_next(Answer(302, headers={} if location is None else {"Location": location}))
    error = failure_of(endpoint_of(server))
    assert f"redirects to {named.format(server=server)}" in str(error)


def test_w6_a_redirect_is_not_retried(server, clock):
    server.answer_next(Answer(307, headers={"Location": "/"}))
    failure_of(endpoint_of(server, retries=3))
    assert len(server.token_requests) == 1


# W7, S1


def test_w7_the_query_of_the_url_is_kept_on_the_wire_and_out_of_errors(server):
    url = f"{server.token_endpoint}?tenant=1&key=abc%20def"
    auth = ClientSecretPost("wrong-one")
    error = failure_of(TokenEndpoint(url, "my-service", auth, body="form"))
    assert server.token_requests[0].query == "tenant=1&key=abc%20def"
    assert "tenant" not in str(error)
    assert "tenant" not in error.request.url + error.response.url + error.response.request.url


@pytest.fixture
def far_proxy():
    """A proxy that is not known to be on this machine."""
    with LocalAuthorizationServer() as proxy:
        proxy.answer_next(Answer(200, {"access_token": "through-the-proxy"}))
        yield proxy, proxy.url.replace("127.0.0.1", "0.0.0.0")


def in_environment(monkeypatch, session, name, url):
    monkeypatch.setenv(name, url)
    monkeypatch.setenv(name.lower(), url)


def in_session(monkeypatch, session, name, url):
    session.proxies[name.removesuffix("_PROXY").lower()] = url


@pytest.mark.parametrize("set_proxy", [in_environment, in_session])
@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_w7_loopback_through_a_proxy_on_another_machine_is_not_loopback(
    server, session, monkeypatch, far_proxy, set_proxy, name, host
):
    proxy, proxy_url = far_proxy
    set_proxy(monkeypatch, session, name, proxy_url)
    url = server.token_endpoint.replace("127.0.0.1", host)
    auth = ClientCredentialsAuth(url, server.client_id, server.client_secret, session=session)
    for _ in range(3):  # the endpoint is not left alone: it has not failed
        with pytest.raises(InsecureTransportError, match="proxy") as caught:
            auth.get_token()
        assert isinstance(caught.value, TokenError)
        assert not caught.value.retryable
    assert proxy.token_requests == server.token_requests == []
    assert proxy._authorization_server._connections == {}
    monkeypatch.setenv("no_proxy", host)
    session.proxies.clear()
    assert auth.get_token().access_token


@pytest.mark.parametrize(
    "url",
    [
        "http://proxy.invalid:3128",
        "http://user:pass-word@proxy.invalid",
        "proxy.invalid:3128",
        "https://proxy.invalid",
        "socks5h://proxy.invalid:1080",
        "http://127.0.0.1.proxy.invalid:3128",
        "http://127.0.0.1@proxy.invalid:3128",
        "http://[",
    ],
)
def test_w7_no_proxy_elsewhere_is_taken_for_one_on_this_machine(server, session, url):
    session.proxies["http"] = url
    error = failure_of(endpoint_of(server, session=session))
    assert isinstance(error, InsecureTransportError)
    assert "pass-word" not in str(error)


def test_w7_the_metadata_of_an_issuer_is_not_asked_for_through_such_a_proxy_either(
    server, session, far_proxy
):
    session.proxies["http"] = far_proxy[1]
    client = (server.client_id, server.client_secret)
    auth = ClientCredentialsAuth.from_issuer(server.issuer, *client, session=session)
    with pytest.raises(InsecureTransportError):
        auth.get_token()
    assert far_proxy[0]._authorization_server._connections == {}


@pytest.mark.skipif(sys.platform == "win32", reason="0.0.0.0 is no address to connect to")
def test_w7_with_allow_http_any_proxy_is_used(server, session, far_proxy):
    session.proxies["http"] = far_proxy[1]
    token = endpoint_of(server, session=session, allow_http=True)(PLAIN)
    assert token.access_token == "through-the-proxy"
    assert server.token_requests == []


def test_w7_https_goes_through_any_proxy(authority, ca_file, session):
    session.verify = ca_file
    with TLSAuthorizationServer(authority) as tls, Tunnel() as proxy:
        session.proxies["https"] = proxy.url.replace("127.0.0.1", "0.0.0.0")
        assert endpoint_of(tls, session=session)(PLAIN).access_token
        assert proxy.asked_for == [tls.url.removeprefix("https://")]


def test_s1_the_repr_of_an_endpoint_shows_url_and_client_alone():
    auth = ClientSecretPost("long-secret")
    endpoint = TokenEndpoint("https://as.example/token?key=k", "me", auth)
    assert repr(endpoint) == "<TokenEndpoint https://as.example/token 'me'>"


# F1


def test_f1_three_retries_are_the_default(server, clock):
    endpoint = TokenEndpoint(server.token_endpoint, "me", ClientSecretPost("wrong-one"))
    server.answer_next(*[Answer(503)] * 9)
    assert failure_of(endpoint).status_code == 503
    assert len(server.token_requests) == 4


def test_f1_every_attempt_is_completed_anew(server, clock):
    method = ClientSecretJWT("long-secret", ISSUER)
    server.answer_next(Answer(503), RESET, Answer(200, {"access_token": "t"}))
    endpoint_of(server, method, retries=2)(PLAIN)
    sent = [request.params["client_assertion"] for request in server.token_requests]
    ids = [json.loads(base64.urlsafe_b64decode(s.split(".")[1] + "=="))["jti"] for s in sent]
    assert len(set(ids)) == 3


def test_f1_many_endpoints_share_a_session_without_sharing_anything_else(server, session):
    with ExitStack() as stack:
        other = stack.enter_context(LocalAuthorizationServer(client_secret="the-other-one"))
        endpoints = [endpoint_of(which, session=session) for which in (server, other)]
        tokens = {endpoint(PLAIN).access_token for endpoint in endpoints}
    assert len(tokens) == 2


@pytest.mark.parametrize("method", ["client_secret_post", "client_secret_basic"])
def test_s1_no_variable_holds_a_secret_while_a_token_request_is_under_way(
    server, make_auth, method
):
    """As tracers may record them, of all frames on the stack when a request has been sent."""
    recorded = []

    class Recorder(HTTPAdapter):
        def send(self, *args, **settings):
            response = super().send(*args, **settings)
            frame = sys._getframe(1)
            while frame is not None and frame.f_code.co_filename != __file__:
                recorded.append(repr(dict(frame.f_locals)))
                frame = frame.f_back
            return response

    value = "a-secret-parameter"
    with requests.Session() as session:
        session.mount("http://", Recorder())
        auth = make_auth(session=session, client_auth=method, extra_params={"key": value})
        auth.authorize()
    assert len(recorded) > 5
    secrets = {server.client_secret, value, server.tokens[0].access_token}
    assert not [text for text in recorded if any(secret in text for secret in secrets)]
