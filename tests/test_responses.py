"""Reading the token endpoint's answer, whatever bytes it is made of."""

from __future__ import annotations

import contextlib
import gzip
import html
import itertools
import json
import socket
import threading
import time
import tracemalloc
from urllib.parse import quote_plus

import pytest
import requests
from helpers import PATIENCE, texts_in, token_answer
from hypothesis import example, given
from hypothesis import strategies as st
from raw_server import Drip, endpoint_of, failure_of

from clientcreds_requests import (
    ClientSecretPost,
    Token,
    TokenEndpoint,
    TokenError,
    TokenRequest,
    TokenTimeout,
)
from clientcreds_requests._redaction import Redactor
from clientcreds_requests._responses import read_token
from clientcreds_requests.testing import HANG, RESET, Answer
from clientcreds_requests.tokens import Moment

URL = "https://as.example/token"
SECRET = "s3cr3t: a+b & c=%64"
MIB = 1024 * 1024


def read(body, status=200, **headers):
    """What an answer is taken for: a token, or the error that is raised."""
    response = requests.Response()
    response.status_code, response.url = status, URL
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    response._content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return outcome_of(response)


def outcome_of(response):
    try:
        return read_token(response, URL, Moment(1000.0, 1000.0), Redactor(SECRET))
    except TokenError as error:
        return error


# A1

NO_TOKEN = {
    "empty": b"",
    "no JSON": b"access_token=abc&token_type=bearer",
    "HTML": b"<!doctype html><title>Sign in</title>",
    "null": b"null",
    "a string": b'"abc"',
    "an array": b'["access_token"]',
    "a number of 5000 digits": b'{"access_token":"abc","expires_in":' + b"9" * 5000 + b"}",
    "200,000 brackets": b"[" * 200_000 + b"]" * 200_000,
    "200,000 braces": b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
    "half an object": b'{"access_token":"ab',
    "UTF-16": '{"access_token":"abc"}'.encode("utf-16"),
    "not UTF-8": b'{"access_token":"\xff"}',
    "no access_token": {},
    "an error": {"access_token": "abc", "error": "invalid_client"},
    "an error that is an object": {"access_token": "abc", "error": {"code": "x"}},
    **{
        f"access_token {value!r}": {"access_token": value}
        for value in (None, "", 1, True, ["abc"], {"a": "b"})
    },
    **{
        f"access_token {value!a}": {"access_token": value}
        for value in (
            "abc\r\nX: y",
            "abc\n",
            "abc\0",
            "a b",
            " abc",
            "abc ",
            "a\tb",
            "\x7fabc",
            "abcé",
            "€",
            "\ud800",
        )
    },
}


@pytest.mark.parametrize("body", NO_TOKEN.values(), ids=NO_TOKEN)
def test_a1_what_is_no_token_is_a_token_error(body):
    error = read(body)
    assert isinstance(error, TokenError)
    assert (error.status_code, error.retryable) == (200, False)
    assert str(error).startswith(f"token request to {URL} failed with status 200: ")


@pytest.mark.parametrize("status", [100, 199, 301, 400, 401, 403, 404, 500, 501, 503, 599])
def test_a1_a_token_counts_only_with_status_2xx(status):
    assert read({"access_token": "abc"}, status).status_code == status


@pytest.mark.parametrize("status", [200, 201, 203, 299])
@pytest.mark.parametrize("token", ["a%2Bb", "v^1.1#i^1#f^0", "00D!AQ4.x", "a==", "~", "x" * 65536])
def test_a1_any_visible_ascii_is_a_token(status, token):
    assert read({"access_token": token}, status).access_token == token


@pytest.mark.parametrize("error", [None, "", False, 0, []])
def test_a1_an_empty_error_is_none(error):
    assert read({"access_token": "abc", "error": error}).access_token == "abc"


def test_a1_a_byte_order_mark_is_stepped_over():
    assert read(b'\xef\xbb\xbf{"access_token":"abc"}').access_token == "abc"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
MEMBERS = ("access_token", "error", "error_description", "error_uri", "expires_in", "response")
MEMBERS = (*MEMBERS, "scope", "token_type", "message", "code")


@given(
    st.dictionaries(st.sampled_from(MEMBERS), JSON) | JSON | st.binary(),
    st.integers(200, 599),
    st.text(st.characters(max_codepoint=255)),
)
@example({"response": {"errors": [1]}}, 400, "")
@example({"response": {"errors": []}}, 400, "")
@example({}, 302, "http://[")
def test_a1_no_other_exception_escapes_whatever_arrives(body, status, text):
    outcome = read(body, status, Location=text, Retry_After=text)
    assert isinstance(outcome, (Token, TokenError))


# A1 and A5, on the wire


def raw(head: bytes, *parts: bytes) -> tuple[bytes, ...]:
    return b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n", *parts


BOMB = gzip.compress(b" " * 200 * MIB, 9)
BROKEN = {
    "a closed socket": b"",
    "a reset": RESET,
    "no HTTP": b"\x16\x03\x01\x02\x00 SSH-2.0 nonsense\r\n\r\n",
    "half a body": raw(b"Content-Length: 100", b'{"access_token":'),
    "half a chunk": raw(b"Transfer-Encoding: chunked", b'ff\r\n{"access_token":'),
    "a chunk that is none": raw(b"Transfer-Encoding: chunked", b"nonsense\r\n\r\n"),
    "200 header fields": raw(b"\r\n".join(b"X-%d: y" % n for n in range(200))),
    "a line of 100 KB": raw(b"X: " + b"y" * 100_000),
}
UNREADABLE = {
    "10 MB": Answer(200, b" " * 10 * MIB),
    "one byte more than 1 MiB": Answer(200, b" " * (MIB + 1)),
    "a gzip bomb": Answer(200, BOMB, {"Content-Encoding": "gzip"}),
    "gzip that is none": Answer(200, b"nonsense", {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_a1_an_answer_that_breaks_off_is_a_token_error_and_the_next_call_asks_again(server, answer):
    server.answer_next(answer)
    endpoint = endpoint_of(server)
    error = failure_of(endpoint)
    assert isinstance(error, requests.ConnectionError)
    assert error.retryable
    assert isinstance(error.__cause__, requests.ConnectionError)
    assert endpoint(TokenRequest()).access_token


def test_a1_an_answer_that_ends_in_its_head_is_a_token_error(server):
    server.answer_next(b"HTTP/1.1 200 OK\r\nContent-Le")
    assert failure_of(endpoint_of(server)).status_code == 200


@pytest.mark.parametrize("answer", UNREADABLE.values(), ids=UNREADABLE)
def test_a5_an_answer_beyond_1_mib_is_a_token_error_with_its_status(server, answer):
    server.answer_next(answer)
    error = failure_of(endpoint_of(server))
    assert not error.retryable
    assert error.__cause__ is not None
    assert error.status_code == 200


def test_a5_an_answer_of_1_mib_is_read(server):
    body = json.dumps({"access_token": "abc"}).encode()
    server.answer_next(Answer(200, body.ljust(MIB)))
    assert endpoint_of(server)(TokenRequest()).access_token == "abc"


def test_a5_a_gzip_bomb_does_not_fill_the_memory(server):
    server.answer_next(UNREADABLE["a gzip bomb"])
    endpoint = endpoint_of(server)
    tracemalloc.start()
    try:
        failure_of(endpoint)
        assert tracemalloc.get_traced_memory()[1] < 20 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [1, 7, 100_000], ids="in pieces of {}".format)
def test_a5_a_compressed_answer_is_read_though_none_was_asked_for(server, size):
    body = gzip.compress(json.dumps(token_answer("abc")).encode())
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    server.answer_next(raw(b"Content-Encoding: gzip\r\nContent-Length: %d" % len(body), *pieces))
    assert endpoint_of(server)(TokenRequest()).access_token == "abc"


DRIPS = {
    "the body": Drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"),
    "the body, before it is closed": Drip(
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\nConnection: close\r\n\r\n"
    ),
    "the body, to its end": Drip(b"HTTP/1.1 200 OK\r\n\r\n"),
    "chunks": Drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "the head of a chunk": Drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;"),
}


@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS)
def test_a5_a_body_that_drips_is_given_up_at_the_deadline(server, drip):
    server.answer_next(drip)
    endpoint = endpoint_of(server, deadline=0.5)
    started = time.monotonic()
    assert isinstance(failure_of(endpoint), TokenTimeout)
    assert time.monotonic() - started < 3


class Flood:
    """Interim answers, one after the other, until nobody reads them."""

    def __iter__(self):
        while True:
            yield b"HTTP/1.1 100 Continue\r\n\r\n" * 100


HEADS = {
    "the status line": Drip(b"HTTP/1.1 "),
    "header fields": Drip(b"HTTP/1.1 200 OK\r\nX-Slow: "),
    "interim answers": Flood(),
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_a5_a_head_without_end_is_given_up_at_the_deadline(server, head):
    server.answer_next(head)
    endpoint = endpoint_of(server, deadline=0.5)
    started = time.monotonic()
    error = failure_of(endpoint)
    assert isinstance(error, TokenTimeout)
    assert error.retryable
    assert time.monotonic() - started < 3
    assert not any(thread.name.startswith("Timer") for thread in threading.enumerate())


class DrippingHandshake:
    """Answers whoever wants to speak TLS with a record that never comes to its end."""

    def __enter__(self):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return f"https://127.0.0.1:{self._socket.getsockname()[1]}/token"

    def __exit__(self, *exc_info):
        self._thread.join(PATIENCE)
        self._socket.close()

    def _serve(self):
        connection, _ = self._socket.accept()
        with connection, contextlib.suppress(OSError):
            for byte in itertools.chain(b"\x16\x03\x03\x40\x00\x02", itertools.repeat(0, 60)):
                connection.sendall(bytes([byte]))
                time.sleep(0.1)


def test_a5_a_handshake_without_end_is_given_up_at_the_deadline():
    with DrippingHandshake() as url:
        method = ClientSecretPost(SECRET)
        endpoint = TokenEndpoint(url, "id", method, body="form", retries=0, deadline=0.5)
        started = time.monotonic()
        assert isinstance(failure_of(endpoint), TokenTimeout)
        assert time.monotonic() - started < 3


def test_a5_a_body_that_stalls_just_before_the_deadline_is_given_up_at_the_deadline(server):
    given_up = threading.Event()

    def stall(request):
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\nConnection: close\r\n\r\n"
        given_up.wait(1.8)
        yield b"x"
        given_up.wait(PATIENCE)

    server.answer_next(stall)
    endpoint = endpoint_of(server, deadline=2)
    started = time.monotonic()
    assert isinstance(failure_of(endpoint), TokenTimeout)
    given_up.set()
    assert time.monotonic() - started < 3.2


def test_f1_a_body_that_stalls_for_longer_than_the_timeout_is_a_timeout(server):
    given_up = threading.Event()

    def stall(request):
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\nx"
        given_up.wait(PATIENCE)

    server.answer_next(stall)
    error = failure_of(endpoint_of(server, timeout=0.3, deadline=20))
    given_up.set()
    assert isinstance(error, TokenTimeout)
    assert error.retryable


@pytest.mark.parametrize(
    "answer",
    [HANG, Drip(b"HTTP/1.1 200 OK\r\nX-Slow: "), Drip(b"HTTP/1.1 ")],
    ids=["nothing at all", "header fields", "the status line"],
)
def test_a5_no_caller_waits_longer_for_an_answer_that_does_not_begin(server, make_auth, answer):
    server.answer_next(answer)
    auth = make_auth(deadline=1.5, retries=0)
    started = time.monotonic()
    assert isinstance(failure_of(lambda _: auth.get_token()), TokenTimeout)
    assert time.monotonic() - started < 5
    assert auth.get_token().access_token


# A6

SHAPES = {
    "RFC 6749": ({"error": "c", "error_description": "d"}, "c", "d"),
    "code alone": ({"error": "c"}, "c", None),
    "Okta": ({"errorCode": "c", "errorSummary": "d"}, "c", "d"),
    "Apigee, 2020": ({"ErrorCode": "c", "Error": "d"}, "c", "d"),
    "UPS": ({"response": {"errors": [{"code": "c", "message": "d"}]}}, "c", "d"),
    "Google": ({"error": {"status": "c", "code": 403, "message": "d"}}, "c", "d"),
    "a message": ({"message": "d", "code": "c"}, "c", "d"),
    "problem": ({"type": "about:blank", "title": "d", "status": 400}, None, "d"),
    "FastAPI": ({"detail": [{"loc": ["body"]}]}, None, None),
    "an array": ({"error": ["c"]}, None, None),
    "a number": ({"error": 400, "error_description": 1}, None, None),
    "empty": ({"error": "", "error_description": ""}, None, None),
    "errors without an object": ({"response": {"errors": ["c"]}}, None, None),
    "no errors": ({"response": {"errors": []}}, None, None),
    "no JSON": (b"<html>", None, None),
}


@pytest.mark.parametrize(("body", "code", "description"), SHAPES.values(), ids=SHAPES)
def test_a6_the_errors_of_all_kinds_of_servers_become_attributes(body, code, description):
    error = read(body, 400)
    assert (error.error, error.error_description) == (code, description)
    assert error.status_code == 400


@pytest.mark.parametrize(
    ("uri", "kept"),
    [
        ("https://as.example/e?x=1", "https://as.example/e?x=1"),
        ("http://as.example", "http://as.example"),
        ("javascript:alert(1)", None),
        ("https://as.example/ x", None),
        ("https://as.example/\r\nX: y", None),
        (["https://as.example"], None),
        ("https://" + "x" * 1000, "https://" + "x" * 292 + "..."),
    ],
)
def test_a6_an_error_uri_is_kept_when_it_is_a_web_page(uri, kept):
    assert read({"error": "c", "error_uri": uri}, 400).error_uri == kept


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("Fri, 15 Jan 2027 08:01:40 GMT", 100),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
        ("9999999999", 9999999999),
        ("9" * 5000, None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("", None),
        ("٣", None),
        ("Fri, 99 Jan 2027 08:01:40 GMT", None),
    ],
)
def test_a6_retry_after_and_the_status_become_attributes(clock, value, seconds):
    error = read(b"", 429, Retry_After=value)
    assert (error.retry_after, error.status_code, error.retryable) == (seconds, 429, True)


def test_a6_a_rate_limit_that_has_been_reset_needs_no_wait(clock):
    error = read(b"", 429, X_RateLimit_Reset=str(clock.wall - 30))
    assert error.retry_after == 0


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        *((s, True) for s in (408, 425, 429, 500, 502, 503, 504, 520, 524)),
        *((s, False) for s in (400, 401, 407, 501, 525)),
    ],
)
def test_a6_retryable_says_whether_the_same_request_may_succeed_later(status, retryable):
    assert read(b"", status).retryable is retryable


@pytest.mark.parametrize(
    ("body", "status", "hint"),
    [
        ({"error": "invalid_client"}, 401, "check client_id, client_secret and client_auth"),
        ({"error": "invalid_target"}, 400, "check resources and audience"),
        (b"", 401, "check client_id"),
        (b"", 404, "check the URL"),
    ],
)
def test_a6_the_message_says_what_to_do_about_it(body, status, hint):
    assert f"({hint}" in str(read(body, status))


HOSTILE = "a\r\nERROR forged\x1b[31m\u202e\x00" + "x" * MIB


@pytest.mark.parametrize("member", ["error", "error_description", "message", "error_uri"])
def test_a6_the_message_is_one_bounded_line(member):
    error = read({member: HOSTILE}, 400)
    for text in (str(error), error.error or "", error.error_description or ""):
        assert text.isprintable()
        assert len(text) < 600


def test_a6_the_message_has_nothing_of_a_raw_body():
    assert "Sign in" not in str(read(NO_TOKEN["HTML"])) + str(read(NO_TOKEN["HTML"], 500))


# S1

ECHOES = {
    "error": {"error": SECRET},
    "error_description": {"error": "c", "error_description": f"no client with {SECRET}"},
    "error_uri": {"error": "c", "error_uri": "https://as.example/?" + "long-secret"},
    "nested": {"error": {"message": SECRET}},
    "token_type": {"access_token": "abc", "token_type": SECRET},
    "anywhere": {"you": {"sent": [SECRET]}},
    "escaped": {"you": "sent “" + SECRET + "”"},
}


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("body", ECHOES.values(), ids=ECHOES)
def test_s1_a_secret_in_the_answer_is_redacted(body, status):
    error = read(body, status)
    assert isinstance(error, TokenError)
    texts = (str(error), error.error, error.error_description, error.response.text)
    assert SECRET not in " ".join(text or "" for text in texts)


@pytest.mark.parametrize("body", ["form", "json"])
def test_s1_a_secret_is_redacted_however_the_answer_repeats_it(server, body):
    server.client_secret = secret = 'sé"cr\\et & more'
    server.answer_next(lambda request: Answer(400, request.body, {"Content-Type": "text/plain"}))
    text = failure_of(endpoint_of(server, body=body)).response.text
    assert "client_id" in text
    for form in (secret, json.dumps(secret)[1:-1], quote_plus(secret)):
        assert form not in text


def test_s1_a_secret_in_the_head_of_the_answer_is_redacted(server):
    head = f"HTTP/1.1 400 {SECRET}\r\nX-Echo: {SECRET}\r\nContent-Length: 0\r\n\r\n"
    server.answer_next(head.encode())
    response = failure_of(endpoint_of(server)).response
    assert SECRET not in f"{response.reason} {response.headers}"


DISGUISES = {
    "all escaped, as JSON": "".join(f"\\u{ord(character):04X}" for character in SECRET),
    "escaped as Go does": json.dumps(SECRET).replace("&", "\\u0026")[1:-1],
    "as HTML": html.escape(SECRET),
    "as HTML, by numbers": "".join(f"&#{ord(character)};" for character in SECRET),
    "as HTML, by other numbers": "".join(f"&#x{ord(character):X};" for character in SECRET),
    "as HTML, by long numbers": "".join(f"&#{ord(character):09};" for character in SECRET),
    "as HTML, sloppily": SECRET.replace("&", "&AMP").replace("=", "&#00061"),
    "all percent-encoded": "".join(f"%{ord(character):02x}" for character in SECRET),
    "percent-encoded, with +": quote_plus(SECRET, safe="/").lower(),
}


@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES)
def test_s1_a_secret_in_disguise_takes_the_whole_text_along(disguise):
    error = read({"error": "odd", "error_description": f"not {disguise}"}, 400)
    assert error.error == "odd"
    assert error.error_description in ("[redacted]", "not [redacted]")
    body = read(b'{"error": "odd", "it": "' + disguise.encode() + b'"}', 400).response.text
    assert body in ("[redacted]", '{"error": "odd", "it": "[redacted]"}')


def test_s1_a_character_that_json_writes_as_two_disguises_nothing():
    secret = "s3cret-\U0001f511"
    escaped = json.dumps(secret)[1:-1].upper().replace("\\U", "\\u").replace("S3CRET", "s3cret")
    assert json.loads(f'"{escaped}"') == secret
    assert Redactor(secret)(f"not {escaped}") == "[redacted]"


def test_s1_escapes_of_something_else_stay():
    said = {"error": "odd", "error_description": "50% &amp; \\u0041 &#65; a+b"}
    assert read(said, 400).error_description == said["error_description"]
    assert read(said, 400).response.json() == said


def test_s1_a_secret_that_white_space_of_another_kind_breaks_is_redacted():
    description = SECRET.replace(" ", "\0 \t")
    error = read({"error": "odd", "error_description": f"not {description}"}, 400)
    assert error.error_description == "not [redacted]"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_s1_a_secret_in_two_bytes_a_character_is_redacted(encoding):
    error = read(f'{{"error": "{SECRET}"}}'.encode(encoding), 400)
    assert error.response.text.strip("\ufffd") == '{"error": "[redacted]"}'
    assert b"s\0" not in error.response.content


@pytest.mark.parametrize("charset", [SECRET, "a\0b", "idna", "undefined", "zlib_codec"], ids=ascii)
def test_s1_a_charset_that_is_none_neither_tells_nor_breaks_anything(charset):
    response = requests.Response()
    response.status_code, response.encoding, response._content = 400, charset, "é".encode()
    error = outcome_of(response)
    assert error.response.text == "é"
    assert SECRET not in str(vars(error.response))


def test_s1_a_secret_in_the_name_of_a_field_is_redacted():
    response = requests.Response()
    response.status_code, response._content = 400, b""
    response.headers[f"X-{SECRET}"] = "1"
    error = outcome_of(response)
    assert list(error.response.headers) == ["X-[redacted]"]


@pytest.mark.parametrize("status", [200, 302, 400, 500])
def test_s1_a_token_that_comes_with_an_error_is_told_nowhere(status):
    token = "a-token-that-came-in-vain"
    said = {"access_token": token, "error": "odd", "error_description": f"{token} is no use"}
    error = read(said, status, X_Token=token)
    assert error.error_description == "[redacted] is no use"
    assert error.response.headers["X-Token"] == "[redacted]"
    assert not any(token in text for text in texts_in(error))


def test_s1_a_token_in_a_body_that_is_no_json_of_ours_is_told_nowhere():
    assert read(b'{"access_token": "abc", "x": "\xff"}', 400).response.content == b""


@pytest.mark.parametrize(
    "line", [b'{"access_token":"a-token"}', b"HTTP/a-token"], ids=["no", "odd"]
)
def test_s1_an_answer_without_a_head_is_not_quoted(server, line):
    server.answer_next(line + b" 200 OK\r\n\r\n")
    error = failure_of(endpoint_of(server))
    assert str(error).endswith(": this is not HTTP")
    assert not any("a-token" in text for text in texts_in(error))


def test_s1_a_long_secret_is_redacted_before_a_text_is_cut():
    text = "x" * 290 + SECRET
    assert Redactor(SECRET).line(text) == "x" * 290 + "[redacted]"


def test_s1_of_two_secrets_the_longer_one_is_redacted_whole():
    assert Redactor("secret", "secret-and-more")("a secret-and-more") == "a [redacted]"


def test_s1_a_secret_that_may_be_part_of_a_word_is_left_in():
    assert Redactor("", "fail")("failed") == "failed"


def test_s1_the_response_of_an_error_carries_neither_request_nor_token():
    error = read({"access_token": "abc\n", "scope": "x"})
    assert error.response.content == b""
    assert error.response.request is error.request
    assert (error.request.method, error.request.url, error.request.body) == ("POST", URL, None)
    assert not error.request.headers


def test_s1_what_a_redirect_or_a_cookie_brings_along_is_not_in_the_response_of_an_error():
    where = "https://app.example/callback?code=abc-token#access_token=abc-token"
    error = read(b"access_token=abc-token", 302, Location=where, Set_Cookie="t=abc-token")
    assert error.response.headers == {"Location": "https://app.example/callback"}
    assert not any("abc-token" in text for text in texts_in(error))


def test_s1_a_header_field_that_a_method_of_the_users_own_adds_is_redacted(server):
    def by_key(client_id, params, headers):
        headers["X-Api-Key"] = "an-api-key"

    server.answer_next(Answer(400, {"error": "odd", "error_description": "an-api-key is unknown"}))
    error = failure_of(endpoint_of(server, by_key))
    assert error.error_description == "[redacted] is unknown"


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("letter", ["a", "_", "A", "a-"])
def test_a1_a_long_word_is_read_in_linear_time(status, letter):
    word = letter * (MIB // 2 // len(letter))  # for which quadratic time would be hours
    assert read({"message": f"{word}!"}, status).status_code == status
    assert read(word.encode(), status, Content_Type="text/plain").status_code == status


@pytest.mark.parametrize("status", [200, 403])
def test_s1_a_long_word_of_small_letters_may_be_a_token_and_is_not_shown(status):
    word = "abcdefghijklmnopqrstuvwxyzabcdef"
    answers = [read({"message": f"token: {word}"}, 200)]
    answers += [read(f"your token: {word}".encode(), 403, Content_Type="text/plain")]
    assert not [answer for answer in answers if word in f"{answer} {answer.error_description}"]
    code = "incorrect_client_credentials"
    assert read({"error": code}, status).error == code


@pytest.mark.parametrize("body", [b'["forbidden for you"]', b'"forbidden for you"', b"12345"])
def test_a6_what_is_json_is_not_quoted_as_plain_text(body):
    assert read(body, 403, Content_Type="text/plain").error_description is None
