"""The family of errors, and what none of them may hold."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import logging
import pickle
import re
import traceback
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import requests
import trustme
from helpers import TLSAuthorizationServer, texts_in, token_answer
from raw_server import endpoint_of, failure_of

import clientcreds_requests
from clientcreds_requests import (
    ClientCredentialsAuth,
    ClientSecretBasic,
    ClientSecretPost,
    InsecureTransportError,
    TokenConnectionError,
    TokenError,
    TokenTimeout,
)
from clientcreds_requests.testing import HANG, RESET, Answer

PACKAGE = str(Path(clientcreds_requests.__file__).parent)
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


def chained(error):
    """The exception, and the formatted traceback of every other one that it leads to."""
    pending = [traceback.TracebackException.from_exception(error, capture_locals=True)]
    while pending:
        formatted = pending.pop()
        yield formatted
        pending += filter(None, (formatted.__cause__, formatted.__context__))


def seen_in(error):
    """Everything that a log, a debugger or an error reporter would show of an exception."""
    yield from texts_in(error)
    yield from (repr(error), str(error), pickle.dumps(error).decode("latin-1"))
    for formatted in chained(error):
        yield "".join(formatted.format_exception_only())
        for frame in formatted.stack:
            if frame.filename.startswith(PACKAGE):
                yield from (frame.locals or {}).values()


def leaks(texts):
    texts = list(texts)
    assert texts
    return [text for text in texts if any(form in text for form in FORBIDDEN)]


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
    assert leaks(seen_in(auth.manager.last_error(auth._request))) == []
    assert leaks(text for r in caplog.records for text in (r.getMessage(), repr(r.args))) == []


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


def test_s1_an_error_of_encoding_is_replaced_for_it_quotes_all_it_was_given(server):
    error = failure_of(endpoint_of(server, badly_encoded, body="form"))
    assert repr(error.__cause__) == "ValueError('UnicodeEncodeError while the request was encoded')"


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
