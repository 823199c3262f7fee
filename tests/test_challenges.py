"""Reading WWW-Authenticate."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clientcreds_requests._replay import MAX_CHALLENGES, parse_challenges

TABLE = {
    "nothing": ("", []),
    "a scheme": ("Bearer", [("bearer", {})]),
    "a parameter": ('Bearer realm="api"', [("bearer", {"realm": "api"})]),
    "a token as value": ("Bearer error=invalid_token", [("bearer", {"error": "invalid_token"})]),
    "parameters": (
        'Bearer realm="api", error="invalid_token",error_description="no, it is \\"old\\""',
        [
            (
                "bearer",
                {"realm": "api", "error": "invalid_token", "error_description": 'no, it is "old"'},
            )
        ],
    ),
    "blanks around =": ('Bearer realm = "api"', [("bearer", {"realm": "api"})]),
    "upper case": ('BEARER Error="x"', [("bearer", {"error": "x"})]),
    "an empty value": ('Bearer realm=""', [("bearer", {"realm": ""})]),
    "a parameter twice": ('Bearer error="a", error="b"', [("bearer", {"error": "a"})]),
    "two schemes": ('Bearer, DPoP algs="ES256"', [("bearer", {}), ("dpop", {"algs": "ES256"})]),
    "two with parameters": (
        'Newauth realm="x", type=1, BEARER Error="invalid_token"',
        [("newauth", {"realm": "x", "type": "1"}), ("bearer", {"error": "invalid_token"})],
    ),
    "a scheme inside quotes": (
        'Basic realm="a, Bearer error=\\"invalid_token\\""',
        [("basic", {"realm": 'a, Bearer error="invalid_token"'})],
    ),
    "token68": ("Negotiate YIIabc/+==, Bearer", [("negotiate", {}), ("bearer", {})]),
    "token68 like a scheme": ("Negotiate Bearer, Basic", [("negotiate", {}), ("basic", {})]),
    "empty elements": (', ,Bearer ,, realm="x",', [("bearer", {"realm": "x"})]),
    "a parameter before any scheme": ('realm="x", Bearer', [("bearer", {})]),
    "a tab": ('Bearer\trealm="x"', [("bearer", {"realm": "x"})]),
    "an unclosed quote": ('Bearer realm="x, Basic', [("bearer", {})]),
    "garbage before a scheme": ("@@@, Bearer", [("bearer", {})]),
}


@pytest.mark.parametrize(("value", "challenges"), TABLE.values(), ids=TABLE)
def test_r1_challenges_are_read_as(value, challenges):
    assert parse_challenges(value) == challenges


@given(st.text() | st.text('Bearer ,="\\/\t'))
@example("\ud800\n\0")
def test_r1_whatever_a_server_sends_can_be_read(value):
    for scheme, parameters in parse_challenges(value):
        assert scheme == scheme.lower() != ""
        assert all(name == name.lower() for name in parameters)


WORD = st.text("abcXYZ-_.~09", min_size=1)


@given(st.lists(st.tuples(WORD, st.dictionaries(WORD.map(str.lower), st.text(), max_size=4))))
def test_r1_what_is_written_is_read(challenges):
    def quoted(text):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    value = ", ".join(
        f"{scheme} " + ", ".join(f"{name}={quoted(text)}" for name, text in parameters.items())
        for scheme, parameters in challenges
    )
    expected = [(scheme.lower(), parameters) for scheme, parameters in challenges]
    assert parse_challenges(value) == expected


@pytest.mark.parametrize(
    "unit", ['"', "\\", 'a="', 'a="\\', "a", "a ", " ", "a=", "a,", "=", "/", 'Bearer x="y", ']
)
def test_r1_reading_takes_time_in_proportion_to_the_length(unit):
    started = time.monotonic()
    long = (unit * 200_000)[:200_000]
    for value in (long, f"Bearer {long}", "a" * 200_000 + long):
        parse_challenges(value)
    assert time.monotonic() - started < 20  # in proportion to its square: hours


def test_r1_no_more_is_read_than_an_honest_server_sends():
    assert len(parse_challenges("a," * 1_000_000)) == MAX_CHALLENGES / 2
