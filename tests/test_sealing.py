"""What lies in a shared store can be read by those alone who could ask for it."""

from __future__ import annotations

import json

import pytest

from clientcreds_requests import Token, TokenConnectionError, TokenError, TokenTimeout
from clientcreds_requests.sealing import (
    LARGEST,
    Seal,
    failure_members,
    failure_of,
    token_members,
    token_of,
)

KEY = bytes(range(32))


@pytest.fixture
def seal():
    return Seal(KEY, b"", "prefix:")


def test_what_was_sealed_is_opened_as_text_and_as_bytes(seal):
    value = seal.close(seal.token, {"a": [1, None, "ü"]})
    assert seal.open(seal.token, value) == {"a": [1, None, "ü"]}
    assert seal.open(seal.token, value.encode()) == {"a": [1, None, "ü"]}


def test_the_same_is_never_sealed_to_the_same(seal):
    assert len({seal.close(seal.token, {}) for _ in range(100)}) == 100


def test_a_flipped_bit_at_any_place_is_noticed(seal):
    for members in ({}, {"a": 1}, {"a": 10}):  # base64 with and without bits to spare
        value = seal.close(seal.token, members).encode()
        for place in range(8 * len(value)):
            flipped = bytearray(value)
            flipped[place // 8] ^= 1 << place % 8
            with pytest.raises(ValueError):
                seal.open(seal.token, bytes(flipped))


def test_what_was_cut_off_or_added_to_is_noticed(seal):
    value = seal.close(seal.token, {"a": 1})
    for length in range(len(value)):
        with pytest.raises(ValueError):
            seal.open(seal.token, value[:length])
    for more in ("A", "=", "AAAA", "\n", " ", "\x00", "ü", "\ud800"):
        for longer in (value + more, more + value):
            with pytest.raises(ValueError):
                seal.open(seal.token, longer)


@pytest.mark.parametrize(
    "other",
    [
        Seal(KEY[:-1] + b"x", b"", "prefix:"),
        Seal(KEY, b"k" * 32, "prefix:"),
        Seal(KEY[:-1], KEY[-1:] + b"k" * 31, "prefix:"),
    ],
    ids=["key", "encryption key", "boundary"],
)
def test_another_key_opens_nothing_and_has_other_names(seal, other):
    with pytest.raises(ValueError):
        other.open(seal.token, seal.close(seal.token, {}))
    assert {seal.token, seal.news, seal.lock}.isdisjoint({other.token, other.news, other.lock})


def test_what_lies_under_another_name_is_not_opened(seal):
    value = seal.close(seal.token, {})
    elsewhere = Seal(KEY, b"", "elsewhere:")
    for name in (seal.news, elsewhere.token):
        with pytest.raises(ValueError):
            seal.open(name, value)


def test_names_have_the_prefix_and_share_a_slot_of_a_cluster(seal):
    assert seal.token.startswith("prefix:{")
    slots = {name[name.index("{") : name.index("}")] for name in (seal.token, seal.news, seal.lock)}
    assert len(slots) == 1


def test_a_seal_shows_no_key(seal):
    shown = repr(vars(seal))
    assert KEY.hex() not in shown
    assert repr(KEY) not in shown


def test_what_is_too_long_to_be_read_is_not_written(seal):
    assert len(seal.close(seal.token, {"a": "x" * (LARGEST // 2)})) <= LARGEST
    with pytest.raises(ValueError, match="too long"):
        seal.close(seal.token, {"a": "x" * LARGEST})


def through_json(members):
    return json.loads(json.dumps(members))


def test_a_token_comes_back_as_it_was(clock):
    token = Token(
        "secret",
        expires_at=clock.wall + 100.5,
        scope="a b",
        token_type="Bearer",
        extra={"id": [1, {"b": None}]},
        authorization="Bearer  secret",
    )
    again = token_of(through_json(token_members(token)), 100.5)
    assert again == token
    assert again.extra == token.extra
    assert again.seconds_left() == token.seconds_left() == 100.5


@pytest.mark.parametrize(
    ("off_by", "left"), [(-7200, 100), (0, 100), (50, 50), (7200, -7100)], ids=str
)
def test_a_token_lives_no_longer_than_either_clock_says(clock, off_by, left):
    members = token_members(Token("secret", expires_at=clock.wall + 100))
    clock.step(off_by)
    token = token_of(members, 100)
    assert token.seconds_left() == left
    clock.step(-off_by)
    clock.advance(100)
    assert token.seconds_left() <= 0


def test_a_token_without_an_end_still_has_none():
    assert token_of(token_members(Token("secret")), 10).seconds_left() == float("inf")


@pytest.mark.parametrize("kind", [TokenError, TokenConnectionError, TokenTimeout])
def test_a_failure_comes_back_as_it_was_but_for_the_answer(kind):
    said = {
        "error": "temporarily_unavailable",
        "error_description": "in a while",
        "error_uri": "https://auth.example.com/why",
        "status_code": 503,
        "retryable": True,
    }
    error = kind("no token", retry_after=30, **said)
    again = failure_of(through_json(failure_members(error)), 12)
    assert type(again) is kind
    assert str(again) == "no token"
    assert {name: getattr(again, name) for name in said} == said
    assert again.retry_after == 18
    assert again.response is None
    assert again.request is None


def test_a_failure_of_a_users_own_kind_comes_back_as_ours():
    class Special(TokenTimeout):
        pass

    assert type(failure_of(failure_members(Special("no token")), 0)) is TokenTimeout


def test_a_retry_after_is_not_counted_below_nothing():
    assert failure_of(failure_members(TokenError("x", retry_after=5)), 9).retry_after == 0
    assert failure_of(failure_members(TokenError("x")), 9).retry_after is None
