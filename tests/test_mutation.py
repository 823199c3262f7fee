"""The mutants are what they should be; what becomes of them, ``python -m tests.mutation`` tells."""

from __future__ import annotations

import pytest

from tests.mutation.mutants import mutants
from tests.mutation.plan import TESTS
from tests.test_package import CORE
from tests.test_package import TESTS as FOLDER

NOTHING_TO_CHANGE = {"__init__", "exceptions"}
BESIDE_THE_CORE = {"identity/__init__", "identity/_asking", "testing/recorders"}


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("a < b", ["a <= b", "a >= b"]),
        ("a is not b", ["a is b"]),
        ("a and b", ["a or b", "b", "a"]),
        ("not a", ["a"]),
        ("a + b", ["a - b"]),
        ("min(a)", ["max(a)"]),
        ("a if b else c", ["a", "c"]),
        ("f(2.5)", ["f(3.5)", "f(5.0)"]),
        ("f(True)", ["f(False)"]),
        ("f('a')", ["f('aa')"]),
    ],
)
def test_an_expression_is_changed_in_every_way(code, changed):
    made = [mutant.source for mutant in mutants(f"x = {code}\n")]
    assert [text for text in made if text != "pass\n"] == sorted(
        f"x = {text}\n" if text.isidentifier() or "(" in text else f"x = ({text})\n"
        for text in changed
    )


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("x = y", "pass"),
        ("raise ValueError('text')", "pass"),
        ("if x:\n    y()", "if (not x):\n    y()"),
        ("if x:\n    y()", "if x:\n    pass"),
        ("while x:\n    break", "while x:\n    continue"),
        ("def f():\n    return x", "def f():\n    return None"),
        ("try:\n    f()\nexcept E:\n    g()", "try:\n    f()\nexcept ():\n    g()"),
    ],
)
def test_a_statement_is_changed_and_what_it_holds_stays_as_it_was_written(code, changed):
    assert changed in [mutant.source for mutant in mutants(code)]


@pytest.mark.parametrize(
    "code",
    [
        '"""Documented."""',
        "import a",
        "assert a < 1",
        "logger = f(1)",
        "a: Literal[1]",
        "A: TypeAlias = Literal[1]",
    ],
)
def test_what_does_nothing_is_left_alone(code):
    assert mutants(code) == []


def test_a_mutant_shows_what_it_changes():
    original = "a = b\nc = d < e\n"
    assert {mutant.line for mutant in mutants(original)} == {1, 2}
    diffs = [mutant.diff(original, "module.py") for mutant in mutants(original)]
    assert any("-c = d < e\n+c = (d >= e)\n" in diff for diff in diffs)


def test_every_module_of_the_core_is_mutated_and_its_tests_are_there():
    core = {path.stem for path in CORE}
    assert core | BESIDE_THE_CORE == TESTS.keys() | NOTHING_TO_CHANGE
    for name in {name for names in TESTS.values() for name in names}:
        assert (FOLDER / f"test_{name}.py").is_file()
