"""The two values: what is asked for, and what is got."""

from __future__ import annotations

import copy
import hashlib
import math
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clientcreds_requests import Token, TokenRequest
from clientcreds_requests._responses import MAX_LIFETIME, token_of
from clientcreds_requests.tokens import RESERVED_PARAMS, Moment

SENT_AT = Moment(1_799_999_000.0, 4_000.0)


def got(**members):
    """A token from a response with these members."""
    return token_of({"access_token": "abc", **members}, SENT_AT)


# TokenRequest


@pytest.mark.parametrize(
    ("scope", "sent"),
    [
        ("a b", "a b"),
        (["a", "b"], "a b"),
        (("a b", "c"), "a b c"),
        ("  a   b ", "a b"),
        ("openid,AdobeID", "openid,AdobeID"),
        ("https://graph.example//.default", "https://graph.example//.default"),
        (None, None),
        ("", None),
        ([], None),
        ([""], None),
    ],
)
def test_w1_a_scope_is_sent_as_it_is_and_left_out_when_empty(scope, sent):
    request = TokenRequest(scope)
    assert request.scope == sent
    assert request.params().get("scope") == sent


@pytest.mark.parametrize("scope", ['a"b', "a\\b", "a\nb", "a\tb", "é", "a\x7f", ["ok", "n\0"]])
def test_w8_a_scope_with_forbidden_characters_is_a_value_error(scope):
    with pytest.raises(ValueError, match="scope"):
        TokenRequest(scope)


@pytest.mark.parametrize("uri", ["https://a.example/x?y=1", "urn:example:api", "api://1234-56"])
def test_w1_a_resource_is_any_absolute_uri(uri):
    assert TokenRequest(resources=[uri]).params()["resource"] == [uri]


@pytest.mark.parametrize(
    "uri", ["api", "/x", "", "https://a/#f", "https://a/#", "https://a b", "urn:é", "https://["]
)
def test_w8_any_other_resource_is_a_value_error(uri):
    with pytest.raises(ValueError, match="resources"):
        TokenRequest(resources=[uri])


def test_w1_resources_keep_their_order_and_may_come_from_a_generator():
    request = TokenRequest(resources=(uri for uri in ("urn:b", "urn:a")))
    assert request.resources == ("urn:b", "urn:a")


@pytest.mark.parametrize("name", sorted(RESERVED_PARAMS))
def test_w8_extra_params_may_not_redefine_what_has_its_own_argument(name):
    with pytest.raises(ValueError, match=f"extra_params may not redefine '{name}'"):
        TokenRequest(extra_params={name: "x"})


def test_w1_requests_for_the_same_are_equal_and_have_one_hash():
    one = TokenRequest("a b", ["urn:a"], "aud", {"x": "1", "y": "2"})
    two = TokenRequest(["a", "b"], ("urn:a",), "aud", {"y": "2", "x": "1", "z": ""})
    assert one == two
    assert hash(one) == hash(two)
    assert {one: 1}[two] == 1


@pytest.mark.parametrize(
    "other",
    [
        {"scope": "b"},
        {"resources": ["urn:a"]},
        {"resources": ["urn:b", "urn:a"]},
        {"audience": "x"},
        {"extra_params": {"x": "1"}},
    ],
    ids=str,
)
def test_w1_requests_for_something_else_are_not_equal(other):
    asked = {"scope": "a", "resources": ["urn:a", "urn:b"]}
    assert TokenRequest(**{**asked, **other}) != TokenRequest(**asked)


def test_w1_everything_that_is_asked_for_has_the_name_that_its_rfc_gives_it():
    request = TokenRequest("a b", ["urn:a"], "api", {"x": "1"})
    assert request.params() == {
        "grant_type": "client_credentials",
        "scope": "a b",
        "resource": ["urn:a"],
        "audience": "api",
        "x": "1",
    }


def test_w1_whoever_changes_the_params_does_not_change_the_request():
    request = TokenRequest(resources=["urn:a"])
    request.params()["resource"].append("urn:b")
    assert request.params()["resource"] == ["urn:a"]


def test_w1_a_request_from_another_process_is_found_in_a_dict():
    code = (
        "import pickle, sys; from clientcreds_requests import TokenRequest;"
        "sys.stdout.buffer.write(pickle.dumps(TokenRequest('a', ['urn:a'], 'b', {'x': '1'})))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    request = TokenRequest("a", ["urn:a"], "b", {"x": "1"})
    assert {request: 1}[pickle.loads(other.stdout)] == 1
    assert pickle.loads(pickle.dumps(request)) == request


# Token: what kind it is (A2)


@pytest.mark.parametrize(
    "token_type",
    [None, "", "Bearer", "bearer", "BEARER", " Bearer ", "BearerToken", "Application Access Token"],
)
def test_a2_all_spellings_of_bearer_are_bearer(token_type):
    token = got(token_type=token_type)
    assert (token.token_type, token.authorization) == ("Bearer", "Bearer abc")


def test_a2_a_missing_token_type_is_bearer():
    assert got().authorization == "Bearer abc"


@pytest.mark.parametrize("token_type", ["mac", "pop", "N_A", "DPoP", "Bearer x", 1, [], {}, False])
def test_a2_any_other_token_type_is_an_error(token_type):
    with pytest.raises(ValueError, match=r"token_type .* is not understood"):
        got(token_type=token_type)


def test_a2_a_bound_token_that_was_not_asked_for_leads_to_the_argument():
    with pytest.raises(ValueError, match="'DPoP' is not understood without a key: pass dpop"):
        got(token_type="DPoP")


def test_a2_a_strange_token_type_is_named_briefly_and_in_ascii():
    with pytest.raises(ValueError) as caught:
        got(token_type="é\r\n" * 1000)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 100


# Token: how long it lives (A3)

LIFETIMES = {
    "a number": (3600, 3600),
    "a float": (0.5, 0.5),
    "a numeric string": ("3599", 3599),
    "with blanks": (" 3599 ", 3599),
    "with decimals": ("3599.5", 3599.5),
    "with a sign": ("+60", 60),
    "zero": (0, 0),
    "zero as a string": ("0", 0),
    "negative": (-1, None),
    "negative as a string": ("-3600", None),
    "milliseconds by mistake": (86_399_999_000, MAX_LIFETIME),
    "a number of 400 digits": (10**400, MAX_LIFETIME),
    "a string of 300 digits": ("9" * 300, MAX_LIFETIME),
    "a string of 5000 digits": ("9" * 5000, None),
    "a huge float": (1e308, MAX_LIFETIME),
    "infinity": (math.inf, None),
    "minus infinity": (-math.inf, None),
    "not a number": (math.nan, None),
    "null": (None, None),
    "true": (True, None),
    "a word": ("soon", None),
    "NaN as a string": ("nan", None),
    "empty": ("", None),
    "other digits": ("٣٦٠٠", None),
    "an array": ([3600], None),
    "an object": ({}, None),
}


@pytest.mark.parametrize(("expires_in", "lifetime"), LIFETIMES.values(), ids=LIFETIMES)
def test_a3_expires_in_is_read_as(expires_in, lifetime):
    token = got(expires_in=expires_in)
    assert token.expires_at == (None if lifetime is None else SENT_AT.wall + lifetime)


def test_a3_a_token_without_expires_in_never_expires_by_itself(clock):
    token = got()
    clock.advance(10 * MAX_LIFETIME)
    assert token.seconds_left() == math.inf


def test_a3_lifetimes_count_from_before_the_request_was_sent(clock):
    sent_at = Moment(clock.time() - 7, clock.monotonic() - 7)
    token = token_of({"access_token": "abc", "expires_in": 60}, sent_at)
    assert token.seconds_left() == 53


def test_l4_a_clock_set_back_during_the_request_prolongs_nothing(clock):
    sent_at = Moment.now()
    clock.step(-3600)
    token = token_of({"access_token": "abc", "expires_in": 60}, sent_at)
    assert token.seconds_left() == 60


# Token: both clocks (L4)


def test_l4_a_token_expires_on_the_wall_clock_when_the_machine_was_asleep(clock):
    token = Token("abc", expires_at=clock.time() + 100)
    clock.suspend(101)
    assert token.seconds_left() == -1


def test_l4_a_token_expires_on_the_monotonic_clock_when_the_wall_clock_is_set_back(clock):
    token = Token("abc", expires_at=clock.time() + 100)
    clock.step(-3600)
    clock.advance(101)
    assert token.seconds_left() == -1


def test_l4_both_clocks_agree_otherwise(clock):
    token = Token("abc", expires_at=clock.time() + 100)
    clock.advance(40)
    assert token.seconds_left() == 60


# Token: the rest of the answer (A4), and the value itself


@pytest.mark.parametrize(
    ("scope", "kept"),
    [
        ("a b", "a b"),
        (["a", "b"], "a b"),
        ("", None),
        (None, None),
        ([], None),
        ({}, None),
        (1, None),
        (["a", 1], None),
    ],
)
def test_a4_the_scope_as_granted_is_kept(scope, kept):
    assert got(scope=scope).scope == kept


def test_a4_unknown_members_are_kept_and_a_refresh_token_is_not():
    token = got(instance_url="https://x", refresh_token="r", token_type="bearer", scope="a")
    assert token.extra == {"instance_url": "https://x"}
    with pytest.raises(TypeError):
        token.extra["instance_url"] = "https://y"


@pytest.mark.parametrize("value", ["", "a b", "a\n", "é", None, 1, b"abc"])
def test_a1_a_token_that_could_not_stand_in_a_header_is_a_value_error(value):
    with pytest.raises(ValueError, match="visible ASCII"):
        Token(value)


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1))
def test_a1_a_token_of_visible_ascii_stands_in_the_header_as_it_is(value):
    assert Token(value).authorization == f"Bearer {value}"


def test_a2_another_token_type_stands_in_the_header():
    assert Token("abc", token_type="DPoP").authorization == "DPoP abc"
    assert Token("abc", authorization="Custom abc").authorization == "Custom abc"


def test_s1_a_token_shows_neither_itself_nor_extra_members():
    token = Token("abc-token", 1.5, "a", extra={"id_token": "xyz-token"})
    shown = "Token(expires_at=1.5, scope='a', token_type='Bearer', seconds_left=0)"
    assert repr(token) == shown
    assert f"{token} {token!s}" == f"{token!r} {token!r}"


def test_s1_logs_name_a_token_by_its_fingerprint():
    assert Token("abc").fingerprint == hashlib.sha256(b"abc").hexdigest()[:8]


@pytest.mark.parametrize(
    "copied",
    [lambda token: pickle.loads(pickle.dumps(token)), copy.copy, copy.deepcopy],
    ids=["pickle", "copy", "deepcopy"],
)
def test_a4_a_token_can_be_copied(clock, copied):
    token = Token("abc", clock.time() + 60, "a", "DPoP", {"x": [1]}, "DPoP abc-xyz")
    clock.advance(10)
    twin = copied(token)
    assert twin == token
    assert hash(twin) == hash(token)
    assert dict(twin.extra) == {"x": [1]}
    assert twin.authorization == "DPoP abc-xyz"
    assert twin.seconds_left() == 50


# What both values have in common

VALUES = {
    "Token": lambda: Token("abc", 2e9, "a b", extra={"x": 1}),
    "TokenRequest": lambda: TokenRequest("a b", ["https://api.example"], "audience", {"x": "1"}),
}
FIELDS = {
    "Token": ["access_token", "expires_at", "scope", "token_type", "extra", "authorization"],
    "TokenRequest": ["scope", "resources", "audience", "extra_params"],
}
every_value = pytest.mark.parametrize("name", VALUES)


@every_value
def test_values_are_equal_by_what_they_are(name):
    value, twin = VALUES[name](), VALUES[name]()
    assert value == twin
    assert hash(value) == hash(twin)
    assert {value: 1}[twin] == 1
    assert value != tuple(getattr(value, field) for field in FIELDS[name])
    assert value.__eq__(object()) is NotImplemented


OTHER = {
    "access_token": "abcd",
    "expires_at": None,
    "scope": "a",
    "token_type": "DPoP",
    "extra": {},
    "authorization": "Custom abc",
    "resources": [],
    "audience": None,
    "extra_params": {"x": "2"},
}


@pytest.mark.parametrize("field", FIELDS["Token"])
def test_every_field_of_a_token_counts(field):
    said = {"access_token": "abc", "expires_at": 2e9, "scope": "a b", "extra": {"x": 1}}
    assert Token(**{**said, field: OTHER[field]}) != Token(**said)


@pytest.mark.parametrize("field", FIELDS["TokenRequest"])
def test_every_field_of_a_request_counts(field):
    request = VALUES["TokenRequest"]()
    assert request.__replace__(**{field: OTHER[field]}) != request


def test_two_tokens_that_were_received_at_different_moments_may_be_equal(clock):
    token = Token("token", expires_at=clock.time() + 60)
    clock.mono += 1
    assert Token("token", expires_at=clock.time() + 60) == token


def test_values_of_different_types_differ():
    class OfAnotherKind(TokenRequest):
        pass

    assert OfAnotherKind("a") == OfAnotherKind("a")
    assert OfAnotherKind("a") != TokenRequest("a")


@every_value
def test_nothing_of_a_value_changes(name):
    value = VALUES[name]()
    for field in (*FIELDS[name], "new", "_hash"):
        with pytest.raises(AttributeError, match=field):
            setattr(value, field, "other")
        with pytest.raises(AttributeError, match=field):
            delattr(value, field)
    assert value == VALUES[name]()
    assert not hasattr(value, "__dict__")


@every_value
@pytest.mark.parametrize(
    "copied",
    [lambda value: pickle.loads(pickle.dumps(value)), copy.copy, copy.deepcopy],
    ids=["pickle", "copy", "deepcopy"],
)
def test_a_value_can_be_copied(name, copied, clock):
    value = VALUES[name]()
    twin = copied(value)
    assert (type(twin), twin, hash(twin)) == (type(value), value, hash(value))
    assert repr(twin) == repr(value)


def test_s1_a_request_shows_the_names_of_extra_params_and_not_their_values():
    request = TokenRequest("a", ["urn:a"], "b", {"api_key": "an-api-key", "tenant": "a-tenant"})
    assert repr(request) == (
        "TokenRequest(scope='a', resources=('urn:a',), audience='b', "
        "extra_params=<api_key, tenant>)"
    )
    assert f"{request} {[request]}" == f"{request!r} [{request!r}]"


def test_a_request_is_replaced_field_by_field():
    request = TokenRequest("a", ["urn:a"], extra_params={"x": "1"})
    assert request.__replace__() == request
    assert request.__replace__(scope=["b", "c"]) == TokenRequest(
        "b c", ["urn:a"], extra_params={"x": "1"}
    )
    with pytest.raises(TypeError, match="scop"):
        request.__replace__(scop="a")
    with pytest.raises(ValueError, match="scope"):
        request.__replace__(scope="\n")


@pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace() is of Python 3.13")
def test_copy_replace_makes_another_request():
    assert copy.replace(TokenRequest("a"), scope="b", audience="c") == TokenRequest("b", None, "c")


def test_a_value_can_be_matched_by_position():
    match Token("abc", 2e9, "a"):
        case Token(access_token, expires_at, scope):
            assert (access_token, expires_at, scope) == ("abc", 2e9, "a")
        case _:
            pytest.fail("no match")
    match TokenRequest("a", ["urn:a"]):
        case TokenRequest(scope, resources):
            assert (scope, resources) == ("a", ("urn:a",))
        case _:
            pytest.fail("no match")


def test_importing_the_package_imports_no_dataclasses():
    program = (
        "import requests, sys; before = set(sys.modules); import clientcreds_requests;"
        "assert not {'dataclasses', 'inspect'} & (set(sys.modules) - before)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
