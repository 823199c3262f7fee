"""The frozen values: dataclasses to whoever asks, without the price of importing those."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys

import pytest

from clientcreds_requests import (
    ClientAssertion,
    ClientSecretBasic,
    ClientSecretJWT,
    ClientSecretPost,
    TLSClientAuth,
    Token,
    TokenRequest,
)
from clientcreds_requests.discovery import Issuer, Metadata
from clientcreds_requests.values import Value

SECRET = "s3cret"
METADATA = ("https://as.example", "https://as.example/token", ("client_secret_post",), None)

VALUES = {
    "Token": lambda: Token("abc", 2e9, "a b", extra={"x": 1}),
    "TokenRequest": lambda: TokenRequest("a b", ["https://api.example"], "audience", {"x": "1"}),
    "ClientSecretPost": lambda: ClientSecretPost(SECRET),
    "ClientSecretBasic": lambda: ClientSecretBasic(SECRET, encode=False),
    "ClientSecretJWT": lambda: ClientSecretJWT(SECRET, "https://as.example"),
    "ClientAssertion": lambda: ClientAssertion(str, "https://as.example"),
    "TLSClientAuth": lambda: TLSClientAuth(),
    "Issuer": lambda: Issuer("https://as.example"),
    "Metadata": lambda: Metadata(*METADATA),
}
every = pytest.mark.parametrize("make", VALUES.values(), ids=VALUES)


@every
def test_values_are_equal_by_what_they_are(make):
    value, twin = make(), make()
    assert value == twin
    assert hash(value) == hash(twin)
    assert value != tuple(dataclasses.asdict(Metadata(*METADATA)).values())
    assert value.__eq__(object()) is NotImplemented


@every
def test_every_field_counts(make):
    value = make()
    for field in dataclasses.fields(value):
        other = make()
        other.__dict__[field.name] = object()
        assert other != value


def test_values_of_different_types_differ():
    class Subclass(ClientSecretPost):
        pass

    assert ClientSecretPost(SECRET) != ClientSecretBasic(SECRET)
    assert ClientSecretPost(SECRET) != Subclass(SECRET)
    assert Subclass(SECRET) == Subclass(SECRET)


@every
def test_nothing_of_a_value_changes(make):
    value = make()
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError, match=field.name):
            setattr(value, field.name, "other")
        with pytest.raises(dataclasses.FrozenInstanceError, match=field.name):
            delattr(value, field.name)
    with pytest.raises(AttributeError):
        value.new = 1
    assert value == make()


@every
def test_a_value_is_a_dataclass_to_whoever_asks(make):
    value = make()
    assert dataclasses.is_dataclass(value)
    assert dataclasses.is_dataclass(type(value))
    assert dataclasses.replace(value) == value
    names = tuple(field.name for field in dataclasses.fields(value))
    assert names == type(value).__match_args__
    with pytest.raises(TypeError):
        dataclasses.replace(value, nonsense=1)


def test_the_fields_that_repr_does_not_show_are_marked():
    fields = dataclasses.fields(Token)
    assert [field.name for field in fields if not field.repr] == [
        "access_token",
        "extra",
        "authorization",
    ]


def test_a_dataclass_may_derive_from_a_value():
    @dataclasses.dataclass(frozen=True)
    class Derived(ClientSecretPost):
        tenant: str = "a"

    derived = Derived(SECRET, tenant="b")
    assert derived.tenant == "b"
    assert derived.secret() == SECRET
    assert derived != Derived(SECRET)


def test_a_subclass_with_a_field_more_has_it_among_its_fields():
    class WithTenant(ClientSecretPost):
        tenant: str

        def __init__(self, client_secret, tenant):
            super().__init__(client_secret)
            self._set(tenant=tenant)

    value = WithTenant(SECRET, "b")
    assert WithTenant.__match_args__ == ("client_secret", "tenant")
    assert value != WithTenant(SECRET, "c")
    assert repr(value).endswith("WithTenant(tenant='b')")
    assert value.current() is value


def test_a_value_can_be_matched_by_position():
    match Token("abc", 2e9, "a"):
        case Token(access_token, expires_at, scope):
            assert (access_token, expires_at, scope) == ("abc", 2e9, "a")
        case _:
            pytest.fail("no match")


def test_a_value_without_a_constructor_takes_its_fields():
    class Point(Value):
        x: int
        y: int

    assert (Point(1, 2).x, Point(1, 2).y) == (1, 2)
    assert Point(y=2, x=1) == Point(1, y=2) == Point(1, 2)
    assert repr(Point(1, 2)).endswith("Point(x=1, y=2)")
    for fields, named in [((1, 2, 3), {}), ((1,), {}), ((1, 2), {"y": 2}), ((1,), {"z": 3})]:
        with pytest.raises(TypeError, match="Point takes x, y"):
            Point(*fields, **named)


def test_values_are_copied_and_pickled():
    for make in (VALUES["Token"], VALUES["TokenRequest"], VALUES["Issuer"], VALUES["Metadata"]):
        value = make()
        assert copy.copy(value) == copy.deepcopy(value) == value
        assert pickle.loads(pickle.dumps(value)) == value


def test_importing_the_package_imports_no_dataclasses_and_values_are_frozen_all_the_same():
    program = """
import requests, sys
before = set(sys.modules)
import clientcreds_requests
assert not {"dataclasses", "inspect"} & (set(sys.modules) - before)
sys.modules.pop("dataclasses", None)
token = clientcreds_requests.Token("abc")
assert not hasattr(token, "__dataclass_fields__")
try:
    token.access_token = "def"
except AttributeError as error:
    assert type(error) is AttributeError and "access_token" in str(error)
else:
    raise AssertionError("not frozen")
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
