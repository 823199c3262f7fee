"""REFERENCE.md is what the docstrings say, and they say what a caller has to know."""

from __future__ import annotations

import enum
import inspect
import re

import pytest
import reference
from pages import text_of, without_code

import clientcreds_requests
from clientcreds_requests import testing

PUBLIC = [
    (f"{module.__name__}.{name}", getattr(module, name))
    for module, names in reference.sections()
    for name in names
]


def callables():
    """What is called with arguments, but for methods that mean what a base class says."""
    for name, value in PUBLIC:
        if not inspect.isclass(value):
            if inspect.isroutine(value) and not reference.is_fixture(value):
                yield name, value
            continue
        if not getattr(value, "_is_protocol", False) and not issubclass(value, enum.Enum):
            yield name, value
        for member, attribute in vars(value).items():
            inherited = any(hasattr(base, member) for base in value.__bases__)
            if inspect.isroutine(attribute) and not member.startswith("_") and not inherited:
                yield f"{name}.{member}", getattr(attribute, "__func__", attribute)


CALLABLES = [pytest.param(value, id=name) for name, value in callables()]


def test_it_is_up_to_date():
    assert text_of(reference.REFERENCE) == reference.reference(), (
        "python -m tests.docs.reference makes it anew"
    )


def test_code_stands_in_blocks():
    page = without_code(text_of(reference.REFERENCE))
    assert re.findall(r"^    .*", page, re.MULTILINE) == []


def test_private_bases_are_not_named():
    assert "Bases: `_" not in text_of(reference.REFERENCE)


@pytest.mark.parametrize("module", [clientcreds_requests, testing], ids=lambda m: m.__name__)
def test_every_exported_name_has_an_entry(module):
    page = text_of(reference.REFERENCE)
    missing = [name for name in module.__all__ if f"\n### {name}\n" not in page]
    assert missing == []


@pytest.mark.parametrize("value", CALLABLES)
def test_a_docstring_begins_with_a_statement(value):
    first = inspect.getdoc(value).partition("\n\n")[0]
    assert first[0].isupper() or first.startswith("``")
    assert "?" not in first


@pytest.mark.parametrize("value", CALLABLES)
def test_a_docstring_speaks_of_every_parameter(value):
    doc = inspect.getdoc(value)
    if re.search(r"parameters (and errors )?are those of|; see :(class|meth):", doc):
        return
    named = set(re.findall(r":param (\w+):", doc))
    if inspect.isclass(value):
        if not vars(value).keys() & {"__init__", "__new__"}:  # a base class speaks of them
            return
        named |= dict(reference.attributes(value)).keys()
        named |= {"message"} if issubclass(value, BaseException) else set()
    else:
        named |= set(re.findall(r"\w+", doc.lower()))
    names = [parameter.name for parameter in reference.parameters(value)]
    assert [name for name in names if name not in named] == []


@pytest.mark.parametrize("value", CALLABLES)
def test_durations_have_a_unit(value):
    described = dict(re.findall(r":param (\w+): ((?:.|\n )*)", inspect.getdoc(value)))
    for parameter in reference.parameters(value):
        text = described.get(parameter.name)
        if text is not None and "float" in str(parameter.annotation):
            assert re.search("second|moment", text), f"{parameter.name}: {text}"


def test_errors_and_sources_are_shown():
    page = text_of(reference.REFERENCE)
    assert "Raises `TokenError`: " in page
    assert "[RFC 6749 §4.4](https://www.rfc-editor.org/rfc/rfc6749#section-4.4)" in page
