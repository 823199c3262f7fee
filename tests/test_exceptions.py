"""The family of errors, and what none of them may hold."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import logging
import pickle
import re
import sys
import traceback
from urllib.parse import quote, quote_plus

import pytest
import requests
import trustme
import urllib3
from helpers import (
    TLSAuthorizationServer,
    links_of,
    locals_in,
    texts_in,
    together,
    token_answer,
)
from raw_server import Tunnel, endpoint_of, failure_of
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError

from clientcreds_requests import (
    ClientAssertion,
    ClientCredentialsAuth,
    ClientCredentialsSession,
    ClientSecretBasic,
    ClientSecretPost,
    InsecureTransportError,
    TokenConnectionError,
    TokenEndpoint,
    TokenError,
    TokenManager,
    TokenTimeout,
)
from clientcreds_requests.testing import HANG, RESET, Answer

SECRET = "s3cr3t: a+b & c=%64"
TOKEN = "a-token-that-nobody-may-see"

# The family


@pytest.mark.parametrize(
    ("kind", "bases"),
    [
        (TokenError, (requests.RequestException, OSError)),
        (TokenConnectionError, (TokenError, requests.ConnectionError)),
        (TokenTimeout, (TokenError, requests.Timeout)),
        (InsecureTransportError, (requests.RequestException, ValueError)),
    ],
)
def test_f4_errors_are_one_family_of_requests_own(kind, bases):
    assert issubclass(kind, bases)
    assert all(issubclass(kind, base) for base in bases)


def test_f4_an_error_has_all_its_attributes_from_the_beginning():
    error = TokenError("failed")
    values = (error.error, error.error_description, error.error_uri, error.status_code)
    assert values == (None, None, None, None)
    assert (error.retryable, error.retry_after, error.response, error.request) == (
        (False, None, None, None)
    )


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (RESET, TokenConnectionError, "does not allow the page's origin (CORS)"),
        (HANG, TokenTimeout, "no answer in time"),
    ],
)
def test_a6_in_a_browser_an_error_says_what_the_browser_does_not(
    server, monkeypatch, answer, kind, reason
):
    monkeypatch.setattr(sys, "platform", "emscripten")
    server.answer_next(answer)
    error = failure_of(endpoint_of(server, timeout=0.2))
    assert type(error) is kind
    assert str(error).startswith(f"token request to {server.token_endpoint} failed: ")
    assert reason in str(error)


def test_f4_a_timeout_is_one_also_as_urllib3_raises_it_in_a_browser(server):
    class Browser(HTTPAdapter):
        def send(self, request, **settings):
            reason = urllib3.exceptions.TimeoutError("Request timed out")
            pool = urllib3.HTTPConnectionPool("127.0.0.1")
            raise requests.ConnectionError(MaxRetryError(pool, request.url, reason))

    with requests.Session() as session:
        session.mount(server.url, Browser())
        error = failure_of(endpoint_of(server, session=session))
    assert type(error) is TokenTimeout
    assert error.retryable


@pytest.mark.parametrize("kind", [TokenError, TokenConnectionError, TokenTimeout])
@pytest.mark.parametrize(
    "copied", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"]
)
def test_a6_an_error_can_be_copied_with_all_it_says(kind, copied):
    said = {
        "error": "slow_down",
        "error_description": "later",
        "error_uri": "https://as.example/e",
        "status_code": 429,
        "retryable": True,
        "retry_after": 7.0,
    }
    twin = copied(kind("failed", **said))
    assert type(twin) is kind
    assert str(twin) == "failed"
    assert {name: getattr(twin, name) for name in said} == said


def test_a6_an_error_of_the_endpoint_can_be_pickled_with_its_response(server):
    server.answer_next(Answer(400, {"error": "invalid_scope"}, {"X-Id": "7"}))
    twin = pickle.loads(pickle.dumps(failure_of(endpoint_of(server))))
    assert twin.error == "invalid_scope"
    assert twin.response.json() == {"error": "invalid_scope"}
    assert twin.response.headers["X-Id"] == "7"
    assert twin.response.request.url == server.token_endpoint


def test_w7_an_insecure_transport_error_can_be_pickled():
    twin = pickle.loads(pickle.dumps(InsecureTransportError("in the clear")))
    assert isinstance(twin, InsecureTransportError)
    assert str(twin) == "in the clear"


# S1


def forms_of(secret):
    """A secret as it may stand somewhere."""
    yield from (secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1])
    for pair in (f"my-service:{secret}", f"my-service:{quote(secret, safe='')}"):
        yield base64.b64encode(pair.encode()).decode()


FORBIDDEN = [*forms_of(SECRET), TOKEN]


def seen_in(error):
    """Everything that a log, a debugger or an error tracker would show of an exception."""
    yield from texts_in(error)
    yield from (repr(error), str(error), pickle.dumps(error).decode("latin-1"))
    for link in links_of(error):
        yield "".join(traceback.format_exception_only(type(link), link))
    yield from (text for _, text in locals_in(error))


def leaks(texts, *more):
    texts = list(texts)
    assert texts
    return [text for text in texts if any(form in text for form in (*FORBIDDEN, *more))]


def echo(request):
    """What a careless server answers: all it was sent."""
    return Answer(400, request.body, {"X-Echo": request.headers.get("Authorization", "none")})


def tells(secret):
    return Answer(400, {"error": secret, "error_description": f"wrong: {secret}"})


ANSWERS = {
    "a reset": RESET,
    "a closed socket": b"",
    "no HTTP": b"nonsense\r\n\r\n",
    "no answer": HANG,
    "an echo": echo,
    "a description": tells(SECRET),
    "an escaped description": tells(f"“{SECRET}”"),
    "a refusal": Answer(401, {"error": "invalid_client"}),
    "an outage": Answer(503, f"<p>{SECRET}</p>"),
    "a redirect": Answer(307, headers={"Location": f"/?client_secret={quote(SECRET)}"}),
    "a token type": Answer(200, token_answer(TOKEN, token_type="mac")),
    "a secret as token type": Answer(200, token_answer(TOKEN, token_type=SECRET)),
    "a token with a newline": Answer(200, token_answer(f"{TOKEN}\r\n")),
    "a token with NUL": Answer(200, token_answer(f"{TOKEN}\0")),
    "a token and an error": Answer(200, token_answer(TOKEN, error="no")),
    "a token as HTML": Answer(200, f"<p>{TOKEN}</p>"),
    "half a token": b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + TOKEN.encode(),
    "a token in bad gzip": Answer(200, TOKEN, {"Content-Encoding": "gzip"}),
    "a token and 10 MB": Answer(200, TOKEN.ljust(10_000_000)),
    "a gzip bomb": Answer(
        200, gzip.compress(TOKEN.ljust(10_000_000).encode()), {"Content-Encoding": "gzip"}
    ),
}
METHODS = {
    "post": ClientSecretPost,
    "basic": ClientSecretBasic,
    "raw basic": lambda secret: ClientSecretBasic(secret, encode=False),
}


@pytest.mark.parametrize("body", ["form", "json"])
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_s1_no_error_holds_a_secret_or_token(server, make_auth, caplog, answer, method, body):
    caplog.set_level(logging.DEBUG)
    auth = make_auth(client_auth=method(SECRET), body=body, retries=0, timeout=0.5)
    server.answer_next(answer)
    error = failure_of(lambda _: auth.get_token())
    assert leaks(seen_in(error)) == []
    assert leaks(seen_in(auth.manager.entry(auth._request).error)) == []
    assert leaks(text for r in caplog.records for text in (r.getMessage(), repr(r.args))) == []


@pytest.mark.parametrize("more", ["", "x", "xx"])  # for each length of padding
def test_s1_repeated_credentials_are_not_shown_without_their_padding_either(
    server, make_auth, more
):
    def repeat(request):
        credentials = request.headers["Authorization"].partition(" ")[2].rstrip("=")
        return Answer(400, {"error_description": f"wrong: {credentials}."})

    server.answer_next(repeat)
    auth = make_auth(client_auth=ClientSecretBasic(SECRET + more), body="form")
    error = failure_of(lambda _: auth.get_token())
    assert error.error_description.startswith("wrong: [redacted]")


def raises(*args):
    raise OSError("the vault is sealed")


def after_the_secret(client_id, params, headers):
    ClientSecretPost(SECRET)(client_id, params, headers)
    ClientSecretBasic(SECRET)(client_id, params, headers)
    raises()


def in_a_header(client_id, params, headers):
    headers["Authorization"] = f"Bearer {SECRET}\n"


def not_json(client_id, params, headers):
    ClientSecretPost(SECRET)(client_id, params, headers)
    params["x"] = object()


def badly_encoded(client_id, params, headers):
    params["client_secret"] = f"{SECRET}\ud800"


UNASKED = {
    "a callable that raises": {"client_auth": ClientSecretPost(raises)},
    "a secret with a newline": {"client_auth": ClientSecretPost(lambda: f"{SECRET}\n")},
    "a secret that is no text": {"client_auth": ClientSecretPost(lambda: f"{SECRET}\ud800")},
    "a basic secret that is no text": {"client_auth": ClientSecretBasic(lambda: f"{SECRET}\ud800")},
    "a method that raises": {"client_auth": after_the_secret},
    "a method with a bad header": {"client_auth": in_a_header},
    "a method with a bad parameter": {"client_auth": not_json, "body": "json"},
    "a method with bad text": {"client_auth": badly_encoded, "body": "form"},
    "a header that raises": {"extra_headers": {"X-Key": raises}},
    "a header with a newline": {"extra_headers": {"X-Key": lambda: f"{SECRET}\n"}},
    "a header that is no text": {"extra_headers": {"X-Key": lambda: f"{SECRET}\ud800"}},
}


@pytest.mark.parametrize("options", UNASKED.values(), ids=UNASKED)
def test_s1_no_error_of_a_request_that_could_not_be_made_holds_a_secret(
    server, make_auth, caplog, options
):
    caplog.set_level(logging.DEBUG)
    auth = make_auth(**{"body": "form", "retries": 0, **options})
    error = failure_of(lambda _: auth.get_token())
    assert server.token_requests == []
    assert error.__cause__ is not None
    assert leaks(seen_in(error)) == []
    assert leaks([record.getMessage() for record in caplog.records] + [repr(error)]) == []


@pytest.mark.parametrize("case", [case for case in UNASKED if case != "a header that is no text"])
def test_f4_the_error_of_a_request_that_could_not_be_made_names_what_raised(make_auth, case):
    auth = make_auth(**{"body": "form", **UNASKED[case]})
    error = failure_of(lambda _: auth.get_token())
    assert re.search(r": (client_auth or extra_headers|the client_secret \w+) raised", str(error))
    assert not error.retryable


def test_f4_a_header_field_that_cannot_be_sent_is_named(make_auth):
    auth = make_auth(body="form", **UNASKED["a header with a newline"])
    assert "'X-Key' is no valid header field" in str(failure_of(lambda _: auth.get_token()))


def decodes_a_vault(*args):
    json.loads(f"{SECRET}")


def quotes_further_down(*args):
    try:
        f"{SECRET}\ud800".encode()
    except ValueError:
        raise OSError("the vault is sealed") from None


@pytest.mark.parametrize(
    ("failing", "kind"),
    [
        (badly_encoded, "UnicodeEncodeError"),
        (decodes_a_vault, "JSONDecodeError"),
        (quotes_further_down, "OSError"),
    ],
)
def test_s1_an_error_that_quotes_all_it_was_given_is_replaced(server, failing, kind):
    error = failure_of(endpoint_of(server, failing, body="form"))
    assert type(error.__cause__) is ValueError
    assert str(error.__cause__).startswith(f"{kind}: left out")
    assert f"raised {kind}" in str(error)
    assert leaks(seen_in(error)) == []


# S1: the frames that an error leads to, which error trackers record with their variables


def test_s1_a_search_of_frames_would_find_a_secret():
    program = compile(
        "def use(secret): nested = [{'k': secret.encode()}]; 1 / 0", "users.py", "exec"
    )
    exec(program, namespace := {})
    with pytest.raises(ZeroDivisionError) as caught:
        namespace["use"](SECRET)
    assert len(leaks(text for _, text in locals_in(caught.value))) >= 2


class Store:
    """Keeps nothing, and the keys."""

    def __init__(self):
        self.keys = []

    def get_or_fetch(self, key, fetch, rejected):
        self.keys.append(key)
        return fetch()


class Wrapping(Store):
    """Raises an error of its own."""

    def get_or_fetch(self, key, fetch, rejected):
        try:
            return super().get_or_fetch(key, fetch, rejected)
        except TokenError as error:
            raise RuntimeError("the store fails") from error


def rotated():
    """A callable whose secret is another one each time."""
    secrets = iter([f"{SECRET}{number}" for number in range(100)])
    return lambda: next(secrets)


def sealed_after(calls):
    """A callable that fails after so many calls."""
    left = iter(range(calls))

    def secret():
        found = SECRET
        if next(left, None) is not None:
            return found
        raise OSError("the vault is sealed")

    return secret


REJECTED = Answer(401, {"error": "invalid_client"})
FAILING = {
    "it rejects the client": (REJECTED, {}),
    "with JSON and form": (Answer(400), {"body": "auto"}),
    "a rotated secret": (REJECTED, {"client_secret": rotated}),
    "a secret that fails": (None, {"client_secret": lambda: sealed_after(0)}),
    "a secret that fails when asked again": (REJECTED, {"client_secret": lambda: sealed_after(1)}),
    "an assertion in bytes": (
        None,
        {"client_auth": ClientAssertion(lambda _: SECRET.encode(), "https://as.example")},
    ),
    "bytes in JSON": (None, {"client_auth": not_json, "body": "json"}),
    "text that cannot be encoded": (None, {"client_auth": badly_encoded}),
    "a reset": (RESET, {}),
    "silence": (HANG, {"timeout": 0.2}),
    "no time for a retry": (RESET, {"retries": 1, "deadline": 0.01}),
    "half a body": (ANSWERS["half a token"], {}),
    "bad gzip": (ANSWERS["a token in bad gzip"], {}),
    "a token too large": (ANSWERS["a token and 10 MB"], {}),
    "a token that is none": (ANSWERS["a token with NUL"], {}),
    "an echo": (echo, {}),
    "parameters": (echo, {"extra_params": {"key": SECRET}}),
    "a header": (REJECTED, {"extra_headers": {"X-Key": lambda: SECRET}}),
}


@pytest.mark.parametrize("store", [None, Store, Wrapping])
@pytest.mark.parametrize(("answer", "options"), FAILING.values(), ids=FAILING)
def test_s1_no_frame_that_an_error_leads_to_holds_a_secret(
    server, make_auth, answer, options, store
):
    kept = store() if store is not None else None
    if answer is not None:
        server.answer_next(*[answer] * 8)
    if "client_auth" not in options:
        secret = options.get("client_secret", lambda: SECRET)()
        options = {**options, "client_secret": secret}
    with ClientCredentialsSession(
        *(server.token_endpoint, server.client_id),
        **{"body": "form", "retries": 0, "store": kept, **options},
    ) as session:
        asked = (session.auth.get_token, session.auth.authorize, lambda: session.get(server.url))
        for ask in asked:
            error = failure_of(lambda _, ask=ask: ask())
            keys = [] if kept is None else kept.keys
            forms = [form for key in keys for form in (key.decode("latin-1"), repr(key))]
            assert leaks(seen_in(error), *forms) == []
            inner = list(links_of(error))[1:]
            assert [link for link in inner if link.__traceback__ is not None] == []


def test_s1_no_frame_of_callers_that_waited_or_came_during_a_pause_holds_a_secret(
    server, make_auth
):
    auth = make_auth(client_secret=SECRET, retries=0, store=Store())
    with server.outage():
        errors = together(8, lambda: auth.get_token())
        errors += together(2, lambda: auth.get_token())  # while it is left alone
    assert all(isinstance(error, TokenError) for error in errors)
    for error in errors:
        assert leaks(seen_in(error)) == []


def test_s1_no_frame_below_a_fetch_callable_can_be_reached():
    def fetch(request):
        secret = SECRET
        try:
            raise KeyError(len(secret))
        except KeyError as error:
            raise OSError("no token today") from error

    error = failure_of(TokenManager(fetch).get_token)
    assert leaks(seen_in(error)) == []
    assert re.search(r"OSError \(test_exceptions\.py:\d+\)", str(error))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups are of Python 3.11")
def test_s1_no_frame_of_a_group_of_errors_holds_a_secret(make_auth):
    def secret():
        found, errors = SECRET, []
        for work in (int, float):
            try:
                work(found[:1])
            except ValueError as error:
                errors.append(error)
        raise ExceptionGroup("no vault answers", errors)  # noqa: F821

    error = failure_of(lambda _: make_auth(client_secret=secret).get_token())
    assert len(list(links_of(error))) >= 4
    assert leaks(seen_in(error)) == []


def test_s1_no_frame_of_an_error_that_passes_through_a_store_holds_a_secret(server, make_auth):
    class Watching(Store):
        def get_or_fetch(self, key, fetch, rejected):
            try:
                return fetch()
            except TokenError as error:
                found.extend(leaks(text for _, text in locals_in(error)))
                found.append("seen")
                raise

    found = []
    server.answer_next(REJECTED, REJECTED)
    failure_of(lambda _: make_auth(client_secret=SECRET, store=Watching()).get_token())
    assert found == ["seen"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((b"HTTP/1.1 502 no\r\n\r\n",), "502"),
        ((b"HTTP/1.1 407 no\r\n\r\n",), "407"),
        ((b"nonsense\r\n\r\n",), "HTTP"),
        ((b"",), ""),
    ],
    ids=["502", "407", "nonsense", "a closed socket"],
)
def test_s1_no_frame_of_an_error_of_a_proxy_holds_a_secret(answer, told):
    with requests.Session() as session, Tunnel(answer) as proxy:
        session.proxies["https"] = proxy.url
        endpoint = TokenEndpoint(
            *("https://127.0.0.1:1/token", "me", ClientSecretPost(SECRET)),
            **{"session": session, "retries": 0, "timeout": 0.5},
        )
        error = failure_of(endpoint)
    assert told in str(error)
    assert leaks(seen_in(error)) == []


def in_line(error):
    """The file and the line that an error names."""
    return re.search(r"\((\w+\.py):(\d+)\)", str(error)).groups()


def test_s1_where_a_callable_has_failed_the_message_names_file_and_line(make_auth):
    def secret():
        raise OSError("the vault is sealed")

    line = secret.__code__.co_firstlineno + 1
    error = failure_of(lambda _: make_auth(client_secret=secret).get_token())
    assert in_line(error) == ("test_exceptions.py", str(line))
    method = ClientAssertion(lambda _: secret(), "https://as.example")
    error = failure_of(lambda _: make_auth(client_auth=method).get_token())
    assert in_line(error)[0] == "test_exceptions.py"
    auth = make_auth(extra_headers={"X-Key": secret})
    assert in_line(failure_of(lambda _: auth.get_token()))[0] == "test_exceptions.py"


def test_s1_an_id_with_a_colon_in_raw_basic_is_an_error_without_the_secret(server):
    server.client_id = "a:b"
    error = failure_of(endpoint_of(server, ClientSecretBasic(SECRET, encode=False)))
    assert "colon" in str(error.__cause__)
    assert leaks(seen_in(error)) == []


def test_s1_an_error_of_tls_holds_no_secret(tmp_path):
    with TLSAuthorizationServer(trustme.CA()) as tls:
        error = failure_of(endpoint_of(tls, ClientSecretPost(SECRET)))
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)
    assert leaks(seen_in(error)) == []


def test_s1_an_error_in_renewing_a_refused_token_holds_neither(server, make_auth):
    auth = make_auth(retries=0)
    server.answer_next(Answer(200, token_answer(TOKEN)), RESET)
    with pytest.raises(TokenConnectionError) as caught:
        requests.get(server.api_url, auth=auth)
    assert caught.value.__context__.response.status_code == 401
    assert leaks(texts_in(caught.value)) == []


@pytest.mark.parametrize("body", ["auto", "form", "json"])
def test_s1_no_log_record_holds_a_secret_or_token(server, make_auth, caplog, body):
    caplog.set_level(logging.DEBUG)
    auth = make_auth(body=body, retries=0)
    server.answer_next(Answer(200, token_answer(TOKEN)))
    token = auth.get_token()
    server.api_answer_next(Answer(401), Answer(200))
    assert requests.get(server.api_url, auth=auth).ok
    assert token.fingerprint in caplog.text
    texts = [text for r in caplog.records for text in (r.getMessage(), *texts_in(r.args))]
    assert leaks(texts) == []


@pytest.mark.parametrize("secret", ["", f"{SECRET}\n", f"{SECRET}\0"], ids=ascii)
def test_s1_the_error_of_a_constructor_does_not_say_the_secret(secret):
    with pytest.raises(ValueError) as caught:
        ClientCredentialsAuth("https://as.example/token", "me", secret)
    assert leaks([str(caught.value), repr(caught.value), *texts_in(caught.value)]) == []
