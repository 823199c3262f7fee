"""What a recorded request and its answer look like, with the filters for vcrpy and betamax.

Here in the shape in which either package hands them over; with the packages themselves in the
folder ecosystem.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode

import pytest

from clientcreds_requests import ClientSecretBasic, FederatedAssertion, Token
from clientcreds_requests.testing import betamax_filter, vcr_filters

SECRET = "s3cr3t: a+b & c=%64"
TOKEN = "an-access-token.of/many~characters+"
NAME = f"recorded-{Token(TOKEN).fingerprint}"
FORM = {"Content-Type": ["application/x-www-form-urlencoded"]}
ASKED = {"grant_type": "client_credentials", "client_id": "me", "client_secret": SECRET}
GRANTED = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 7200, "scope": "a"}


class Recorded(NamedTuple):
    """What stands in the cassette."""

    sent: dict[str, list[str]]
    asked: bytes
    received: dict[str, list[str]]
    answer: bytes


def by_vcrpy(sent, asked, received, answer):
    filters = vcr_filters()
    # Its headers are single values.
    request = SimpleNamespace(headers={name: v for name, (v,) in sent.items()}, body=asked)
    request = filters["before_record_request"](request)
    response = {"status": {}, "headers": received, "body": {"string": answer}}
    response = filters["before_record_response"](response)
    assert response["status"] == {}
    return Recorded(request.headers, request.body, response["headers"], response["body"]["string"])


def by_betamax(sent, asked, received, answer, exact=True):
    def message(headers, body):
        if exact:
            encoded = base64.b64encode(body).decode()
            return {"headers": headers, "body": {"encoding": None, "base64_string": encoded}}
        return {"headers": headers, "body": {"encoding": None, "string": body.decode()}}

    data = {"request": message(sent, asked), "response": message(received, answer)}
    interaction = SimpleNamespace(data=data)
    cassette = SimpleNamespace(interactions=[interaction], is_recording=lambda: True)
    betamax_filter(cassette)
    shown = []
    for kind in ("request", "response"):
        body = data[kind]["body"]
        is_exact = "base64_string" in body
        content = base64.b64decode(body["base64_string"]) if is_exact else body["string"].encode()
        shown += [data[kind]["headers"], content]
    return Recorded(*shown)


def by_betamax_as_text(*exchange):
    return by_betamax(*exchange, exact=False)


@pytest.fixture(params=[by_vcrpy, by_betamax, by_betamax_as_text])
def record(request):
    """Filters what was sent (headers, body) and received (headers, body)."""
    return request.param


@pytest.fixture(params=[by_vcrpy, by_betamax])
def record_bytes(request):
    """The same, for bodies that are no text."""
    return request.param


def answered(record, answer, headers=(), secrets=()):
    """The answer as it is recorded, to a token request."""
    return record(
        {}, urlencode({"grant_type": "x", **dict(secrets)}).encode(), dict(headers), answer
    )


# The token request


@pytest.mark.parametrize("body", ["json", "form"])
def test_of_a_token_request_only_what_is_public_is_recorded(record, body):
    public = {
        **ASKED,
        "scope": "a b",
        "resource": ["https://one", "https://two"],
        "audience": "https://api",
        "client_assertion_type": "urn:x",
        "subject_token_type": "urn:y",
    }
    del public["client_secret"]
    secret = {
        name: f"the {name}"
        for name in ("client_secret", "client_assertion", "assertion", "subject_token", "api_key")
    }
    everything = {**public, **secret}
    write = json.dumps if body == "json" else lambda params: urlencode(params, doseq=True)
    asked = record({}, write(everything).encode(), {}, b"").asked
    assert asked.decode() == write({**public, **dict.fromkeys(secret, "recorded")})


@pytest.mark.parametrize("header", ["X-Api-Key", "DPoP", "Cookie"])
def test_of_a_token_request_header_fields_of_the_clients_own_are_not_recorded(record, header):
    public = {"Host": "h", "User-Agent": "me", "Accept": "application/json", **dict(FORM)}
    public = {name: value if isinstance(value, list) else [value] for name, value in public.items()}
    sent = {**public, header: ["a secret value"]}
    shown = record(sent, urlencode(ASKED).encode(), {}, b"").sent
    assert shown == {**public, header: ["recorded"]}


def test_the_length_of_a_body_is_that_of_the_recorded_one(record):
    body = json.dumps(ASKED).encode()
    shown = record({"content-length": [str(len(body))]}, body, {}, b"")
    assert shown.sent == {"content-length": [str(len(shown.asked))]}
    assert len(shown.asked) < len(body)


def test_basic_credentials_are_not_recorded(record):
    headers = {}
    ClientSecretBasic(SECRET)("me", {}, headers)
    sent = {name: [value] for name, value in headers.items()}
    shown = record(sent, b"grant_type=client_credentials", {}, f"wrong: {SECRET}".encode())
    assert shown.sent == {"Authorization": ["Basic recorded"]}
    assert shown.answer == b"wrong: [redacted]"


# The answer to it


@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
def test_a_token_is_recorded_by_the_name_it_has_in_logs(record_bytes, coding):
    encode = {None: bytes, "gzip": gzip.compress, "deflate": zlib.compress}[coding]
    others = {"refresh_token": "another", "id_token": "a-third"}
    body = encode(json.dumps({**GRANTED, **others}).encode())
    headers = {"Content-Length": [str(len(body))], "X-Trace": ["1"], "Set-Cookie": ["session=2"]}
    if coding is not None:
        headers["content-encoding"] = [coding]
    shown = answered(record_bytes, body, headers)
    members = json.loads(shown.answer)
    named = {name: f"recorded-{Token(value).fingerprint}" for name, value in others.items()}
    assert members == {**GRANTED, "access_token": NAME, **named}
    assert shown.received == {"Content-Length": [str(len(shown.answer))], "X-Trace": ["1"]}


def test_a_token_in_a_form_is_recorded_by_its_name_too(record):
    shown = answered(record, urlencode(GRANTED).encode(), FORM)
    assert parse_qs(shown.answer.decode())["access_token"] == [NAME]


ASSERTION = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9.c2lnbmVk"
FROM_PLATFORM = {
    "Google": ({"Metadata-Flavor": ["Google"]}, "{}\n"),
    "GitHub": ({"Authorization": ["bearer a-runners-token"]}, '{{"count": 1, "value": "{}"}}'),
    "Azure": ({"X-IDENTITY-HEADER": ["a-header-of-azure"]}, '{{"access_token": "{}"}}'),
}


@pytest.mark.parametrize("platform", FROM_PLATFORM)
def test_the_assertion_of_a_platform_is_recorded_as_one_that_can_be_played(record, platform):
    headers, answer = FROM_PLATFORM[platform]
    shown = record(headers, b"", {}, answer.format(ASSERTION).encode())
    for secret in (ASSERTION, "a-runners-token", "a-header-of-azure"):
        assert secret not in f"{shown}"
    (played,) = re.findall(r"recorded-[\w.]+", shown.answer.decode())
    assert played.startswith(f"recorded-{Token(ASSERTION).fingerprint}")
    params = {}
    FederatedAssertion(lambda: played)("me", params, {})
    assert params["client_assertion"] == played
    assert record(headers, b"", {}, shown.answer).answer == shown.answer  # once more, when played


@pytest.mark.parametrize(
    ("members", "lifetime"),
    [
        ({}, 3600),
        ({"expires_in": 5}, 3600),
        ({"expires_in": "7200"}, 3600),
        ({"expires_in": None, "expires_on": 1_800_000_000, "expires_at": "1800000000"}, 3600),
        ({"expires_in": 86400}, 86400),
    ],
)
def test_a_played_token_lives_an_hour_or_longer(record, members, lifetime):
    body = json.dumps({"access_token": TOKEN, **members}).encode()
    shown = json.loads(answered(record, body).answer)
    assert shown == {"access_token": NAME, "expires_in": lifetime}


UNUSUAL = {
    "deeper": '{"data": {"access_token": "%s"}}',
    "in a list": '[{"refresh_token":"%s"}]',
    "in a text": "id_token = %s",
    "escaped": r'"{\"access_token\": \"%s\"}"',
    "cut off": '{"token_type": "Bearer", "access_token": "%s',
}


@pytest.mark.parametrize("body", UNUSUAL.values(), ids=UNUSUAL)
def test_a_token_elsewhere_in_a_body_is_not_recorded(record, body):
    assert answered(record, (body % TOKEN).encode()).answer.decode() == body % "recorded"


def test_a_token_beside_latin_1_is_recorded_by_its_name_too(record_bytes):
    body = f'{{"access_token": "{TOKEN}", "name": "J\u00fcrgen"}}'.encode("latin-1")
    shown = json.loads(answered(record_bytes, body).answer)
    assert shown == {"access_token": NAME, "name": "J\u00fcrgen", "expires_in": 3600}


def test_a_text_in_latin_1_stays_one(record_bytes):
    answer = f"J\u00fcrgen has {TOKEN}".encode("latin-1")
    shown = record_bytes({"Authorization": [f"Bearer {TOKEN}"]}, b"", {}, answer).answer
    assert shown == b"J\xfcrgen has [redacted]"


def test_a_token_after_a_byte_order_mark_is_recorded_by_its_name_too(record_bytes):
    shown = answered(record_bytes, b"\xef\xbb\xbf" + json.dumps(GRANTED).encode()).answer
    assert json.loads(shown)["access_token"] == NAME


def test_a_body_that_is_not_encoded_as_declared_is_filtered_as_it_is(record_bytes):
    shown = answered(record_bytes, json.dumps(GRANTED).encode(), {"Content-Encoding": ["gzip"]})
    assert json.loads(shown.answer)["access_token"] == NAME


@pytest.mark.parametrize("secret", ["a-client-secret", SECRET])
def test_an_error_that_repeats_what_was_sent_is_recorded_without_it(record, secret):
    said = {"error": "invalid_client", "error_description": f"no client has {secret}"}
    received = {"X-Reason": [secret]}
    shown = answered(record, json.dumps(said).encode(), received, {"client_secret": secret})
    assert secret not in shown.answer.decode()
    assert json.loads(shown.answer)["error_description"] == "no client has [redacted]"
    assert shown.received == {"X-Reason": ["[redacted]"]}


def test_a_short_value_that_was_sent_may_be_part_of_a_word(record):
    body = json.dumps({**GRANTED, "x": "Bearers"}).encode()
    shown = answered(record, body, (), {"kind": "Bearer", "subject_token_type": "access_token"})
    assert json.loads(shown.answer) == {**GRANTED, "access_token": NAME, "x": "Bearers"}


# The API


@pytest.mark.parametrize("scheme", ["Bearer", "DPoP"])
def test_a_call_is_recorded_with_the_name_of_its_token(record, scheme):
    sent = {"Authorization": [f"{scheme} {TOKEN}"], "DPoP": ["a.long.proof"], "X": ["y"]}
    answer = f"you are {TOKEN} with a.long.proof".encode()
    shown = record(sent, b"", {"X-Echo": [f"{scheme} {TOKEN}"]}, answer)
    assert shown.sent == {"Authorization": [f"{scheme} {NAME}"], "DPoP": ["recorded"], "X": ["y"]}
    assert shown.answer == b"you are [redacted] with [redacted]"
    assert shown.received == {"X-Echo": [f"{scheme} [redacted]"]}


def test_the_credentials_for_a_proxy_are_not_recorded(record):
    sent = {"Proxy-Authorization": ["Basic " + base64.b64encode(b"me:a long password").decode()]}
    assert record(sent, b"", {}, b"").sent == {"Proxy-Authorization": ["Basic recorded"]}


@pytest.mark.parametrize("coding", [None, "gzip"])
def test_everything_else_is_recorded_as_it_is(record_bytes, coding):
    sent = {"Content-Type": ["x/y"], "X-Api-Key": ["of the API"], "Content-Length": ["7"]}
    asked = b"\xff\x00grant_type\xfe"
    answer = b"\x80binary\x00" * 9
    received = {"Content-Length": ["1"], "Set-Cookie": ["a=b", "c=d"]}
    if coding is not None:
        answer, received["Content-Encoding"] = gzip.compress(answer), [coding]
    shown = record_bytes(sent, asked, received, answer)
    assert shown.asked == asked
    assert (shown.received, shown.answer) == (received, answer)
    assert shown.sent == {**sent, "Content-Length": [str(len(asked))]}


def test_what_has_been_filtered_is_not_changed_again(record):
    headers = {"Authorization": ["Basic bWU6c2VjcmV0LXNlY3JldA=="], "DPoP": ["a.long.proof"]}
    exchanges = [
        (headers, json.dumps(ASKED).encode(), {}, json.dumps(GRANTED).encode()),
        ({"Authorization": [f"Bearer {TOKEN}"]}, b"", {}, f"recorded {TOKEN}".encode()),
    ]
    for exchange in exchanges:
        once = record(*exchange)
        assert record(*once) == once
        assert record(*once[:3], b"recorded Basic recorded").answer == b"recorded Basic recorded"


# Of vcrpy


def test_a_request_body_that_is_a_file_is_left_to_vcrpy():
    file = io.BytesIO(b"grant_type=x&client_secret=y")
    request = SimpleNamespace(headers={"X-Bytes": b"\xe9"}, body=file)
    request = vcr_filters()["before_record_request"](request)
    assert request.body is file
    assert file.tell() == 0
    assert request.headers == {"X-Bytes": ["\xe9"]}


def test_a_thread_filters_the_answer_to_its_own_request():
    filters = vcr_filters()
    request = SimpleNamespace(headers={"Authorization": f"Bearer {TOKEN}"}, body=None)
    response = {"headers": {}, "body": {"string": TOKEN.encode()}}
    with ThreadPoolExecutor(1) as pool:
        pool.submit(filters["before_record_request"], request).result()
        ours = filters["before_record_response"](response)
        theirs = pool.submit(filters["before_record_response"], response).result()
    assert theirs["body"]["string"] == b"[redacted]"
    assert ours["body"]["string"] == TOKEN.encode()


# Of betamax


def test_a_cassette_of_betamax_that_is_played_is_left_alone():
    untouched = SimpleNamespace(is_recording=lambda: False)
    betamax_filter(untouched)
    betamax_filter(None)


def test_a_text_that_its_charset_cannot_express_is_filtered_too():
    # betamax puts U+FFFD in place of bytes that are not of the declared charset
    said = {"encoding": "ascii", "string": f'caf\ufffd, access_token: "{TOKEN}"'}
    data = {
        "request": {"headers": {}, "body": {"encoding": "utf-8", "string": ""}},
        "response": {"headers": {}, "body": said},
    }
    cassette = SimpleNamespace(interactions=[SimpleNamespace(data=data)], is_recording=lambda: True)
    betamax_filter(cassette)
    assert said["string"] == 'caf?, access_token: "recorded"'
