"""The frozen values: dataclasses to whoever asks, without the price of importing those."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from typing import ClassVar, Generic, TypeVar

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
from clientcreds_requests.values import Value, value_class

SECRET = "s3cret"
T = TypeVar("T")
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


@dataclasses.dataclass(frozen=True)
class WithTenant(ClientSecretPost):
    tenant: str = "a"


@dataclasses.dataclass(frozen=True)
class TokenFor(Token):
    tenant: str = "a"


def test_a_dataclass_may_derive_from_a_value_and_is_checked_and_completed_as_it_is():
    derived = WithTenant(SECRET, tenant="b")
    assert (derived.tenant, derived.secret()) == ("b", SECRET)
    assert derived != WithTenant(SECRET)
    assert dataclasses.replace(derived, tenant="a") == WithTenant(SECRET)
    assert WithTenant(lambda: SECRET, "b").current() == derived
    with pytest.raises(ValueError, match="control character"):
        WithTenant("bad\n")
    token = TokenFor("abc", 2e9, tenant="b")
    assert token.authorization == "Bearer abc"
    assert token.seconds_left() > 0
    assert TokenFor("abc").extra == {}
    with pytest.raises(dataclasses.FrozenInstanceError):
        derived.tenant = "c"


def test_a_class_that_derives_from_a_value_may_have_what_any_class_has():
    class Counting(ClientSecretPost, Generic[T]):
        limit: ClassVar[int] = 5
        calls: int = 0

        def __init__(self, client_secret, path):
            super().__init__(client_secret)
            self.path = path

        def __call__(self, client_id, params, headers, /):
            self.calls += 1
            super().__call__(client_id, params, headers)

    method = Counting[int](lambda: SECRET, "p")
    params = {}
    method.current()("id", params, {})
    method("id", params, {})
    assert params["client_secret"] == SECRET
    assert (method.calls, method.path, method.current().path) == (1, "p", "p")
    assert repr(method).endswith("Counting()")
    assert method == method.__replace__()
    del method.path
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.client_secret = "other"


def test_a_value_is_replaced_field_by_field():
    token = Token("abc", 2e9)
    assert token.__replace__(expires_at=None) == Token("abc")
    assert TokenRequest("a").__replace__(scope=["b", "c"]) == TokenRequest("b c")
    with pytest.raises(TypeError, match="TokenRequest has no 'scop'"):
        TokenRequest().__replace__(scop="a")
    with pytest.raises(ValueError, match="empty"):
        ClientSecretPost(SECRET).__replace__(client_secret="")


@pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace() is of Python 3.13")
def test_copy_replace_makes_another_value():
    assert copy.replace(Token("abc", 2e9), scope="a") == Token("abc", 2e9, "a")


def test_what_dataclasses_ask_for_is_made_once():
    assert dataclasses.fields(Token)[0] is dataclasses.fields(Token("abc"))[0]
    defaults = {field.name: field.default for field in dataclasses.fields(ClientSecretBasic)}
    assert defaults == {"client_secret": dataclasses.MISSING, "encode": True}


def test_a_value_can_be_matched_by_position():
    match Token("abc", 2e9, "a"):
        case Token(access_token, expires_at, scope):
            assert (access_token, expires_at, scope) == ("abc", 2e9, "a")
        case _:
            pytest.fail("no match")


def test_a_value_without_a_constructor_takes_its_fields():
    @value_class(frozen=True)
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
