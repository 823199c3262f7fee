"""What lies in a shared store can be read by those alone who could ask for it."""

from __future__ import annotations

import json

import pytest

from clientcreds_requests import Token, TokenConnectionError, TokenError, TokenTimeout
from clientcreds_requests._sealing import (
    Seal,
    failure_members,
    failure_of,
    token_members,
    token_of,
)

KEY = bytes(range(32))


@pytest.fixture
def seal():
    return Seal(KEY, "prefix:")


def test_what_was_sealed_is_opened_as_text_and_as_bytes(seal):
    value = seal.close(seal.token, {"a": [1, None, "ü"]})
    assert seal.open(seal.token, value) == {"a": [1, None, "ü"]}
    assert seal.open(seal.token, value.encode()) == {"a": [1, None, "ü"]}


def test_the_same_is_never_sealed_to_the_same(seal):
    assert len({seal.close(seal.token, {}) for _ in range(100)}) == 100


def test_a_flipped_bit_at_any_place_is_noticed(seal):
    for members in ({"a": 1}, {"a": 10}, {"a": 100}):  # base64 with and without bits to spare
        value = seal.close(seal.token, members).encode()
        for place in range(8 * len(value)):
            flipped = bytearray(value)
            flipped[place // 8] ^= 1 << place % 8
            assert seal.open(seal.token, bytes(flipped)) == {}


def test_what_was_cut_off_or_added_to_is_noticed(seal):
    value = seal.close(seal.token, {"a": 1})
    for length in range(len(value)):
        assert seal.open(seal.token, value[:length]) == {}
    for more in ("A", "=", "AAAA", "\n", " ", "\x00", "ü", "\ud800"):
        for longer in (value + more, more + value):
            assert seal.open(seal.token, longer) == {}


@pytest.mark.parametrize(
    "other", [KEY[:-1] + b"x", KEY + b"k" * 32, b"k" * 32], ids=["key", "longer", "another"]
)
def test_another_key_opens_nothing_and_has_other_names(seal, other):
    other = Seal(other, "prefix:")
    assert other.open(seal.token, seal.close(seal.token, {"a": 1})) == {}
    names = {other.token, other.failure, other.lock}
    assert {seal.token, seal.failure, seal.lock}.isdisjoint(names)


def test_what_lies_under_another_name_is_not_opened(seal):
    value = seal.close(seal.token, {"a": 1})
    elsewhere = Seal(KEY, "elsewhere:")
    for name in (seal.failure, elsewhere.token):
        assert seal.open(name, value) == {}
    assert seal.open(seal.token, value) == {"a": 1}


def test_names_have_the_prefix_and_share_a_slot_of_a_cluster(seal):
    names = (seal.token, seal.failure, seal.lock)
    assert all(name.startswith("prefix:{") for name in names)
    assert len({name[name.index("{") : name.index("}")] for name in names}) == 1


def test_s1_a_seal_shows_no_key(seal):
    shown = repr(vars(seal))
    assert KEY.hex() not in shown
    assert repr(KEY) not in shown


def through_json(members):
    return json.loads(json.dumps(members, default=dict))


def test_a_token_comes_back_as_it_was(clock):
    token = Token(
        "secret",
        expires_at=clock.wall + 100.5,
        scope="a b",
        token_type="DPoP",
        extra={"id": [1, {"b": None}]},
    )
    again = token_of(through_json(token_members(token, 100_500)), 100_500)
    assert again == token
    assert again.extra == token.extra
    assert again.seconds_left() == token.seconds_left() == 100.5


@pytest.mark.parametrize("off_by", [-7200, -50, 0, 50, 7200])
def test_l4_a_token_lives_as_long_as_the_store_says_however_far_the_clocks_are_apart(clock, off_by):
    members = token_members(Token("secret", expires_at=clock.wall + 100), 100_000)
    clock.step(off_by)
    token = token_of(members, 90_000)
    assert 89 <= token.seconds_left() <= 90
    clock.advance(90)
    assert token.seconds_left() <= 0


def test_a_token_without_an_end_still_has_none():
    assert token_of(token_members(Token("secret"), 10), 10).seconds_left() == float("inf")


@pytest.mark.parametrize("left", [-2, -1, 0, 101], ids=["absent", "endless", "over", "prolonged"])
def test_a_token_that_was_made_to_last_is_a_miss(left):
    assert token_of(token_members(Token("secret"), 100), left) is None
    assert token_of({}, left) is None


@pytest.mark.parametrize("kind", [TokenError, TokenConnectionError, TokenTimeout])
def test_a_failure_comes_back_as_it_was_but_for_the_answer(kind):
    said = {
        "error": "temporarily_unavailable",
        "error_description": "in a while",
        "error_uri": "https://auth.example.com/why",
        "status_code": 503,
        "retryable": True,
        "retry_after": 30.0,
    }
    error = kind("no token", **said)
    again = failure_of(through_json(failure_members(error)))
    assert type(again) is kind
    assert str(again) == "no token"
    assert {name: getattr(again, name) for name in said} == said
    assert again.response is None
    assert again.request is None


def test_a_failure_of_a_users_own_kind_comes_back_as_ours():
    class Special(TokenTimeout):
        pass

    assert type(failure_of(failure_members(Special("no token")))) is TokenTimeout
