"""The package as a whole: its names, its imports, its house rules."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import clientcreds_requests

PACKAGE = Path(clientcreds_requests.__file__).parent
TESTS = Path(__file__).parent
EXTRAS = {
    "__main__",
    "check",
    "cli",
    "cli_options",
    "demo",
    "jwt",
    "keys",
    "pytest_plugin",
    "redis",
    "redis_calls",
    "redis_records",
    "sealing",
    "testing",
}
CORE = sorted(path for path in PACKAGE.glob("*.py") if path.stem not in EXTRAS)

RULES = (
    [f"w{n}" for n in range(1, 9)]
    + [f"a{n}" for n in range(1, 7)]
    + [f"l{n}" for n in range(1, 7)]
    + [f"c{n}" for n in range(1, 5)]
    + [f"f{n}" for n in range(1, 5)]
    + [f"r{n}" for n in range(1, 7)]
    + [f"s{n}" for n in range(1, 4)]
)


def test_the_public_names_are_sorted_and_all_there():
    names = clientcreds_requests.__all__
    assert names == sorted(names, key=lambda name: (name.upper() != name, name))
    public = {
        name
        for name, value in vars(clientcreds_requests).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public == set(names)


@pytest.mark.parametrize("name", clientcreds_requests.__all__)
def test_every_public_name_and_what_it_offers_is_documented(name):
    value = getattr(clientcreds_requests, name)
    assert inspect.getdoc(value)
    for member, function in vars(value).items():
        if not member.startswith("_") and (inspect.isfunction(function) or is_property(function)):
            assert inspect.getdoc(function), f"{name}.{member}"


def is_property(value: object) -> bool:
    return isinstance(value, property)


def imports(path: Path) -> set[str]:
    """The modules of this package that a module imports, at whatever depth of its code."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            found |= {node.module} if node.module else {alias.name for alias in node.names}
    return found


def test_imports_point_one_way():
    graph = {path.stem: imports(path) for path in CORE if path.stem != "__init__"}
    done: set[str] = set()
    while len(done) < len(graph):
        leaves = {name for name in graph if name not in done and graph[name] <= done}
        assert leaves, f"a cycle among {set(graph) - done}"
        done |= leaves
    assert graph["manager"].isdisjoint({"token_endpoint", "auth", "adapters"})


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_a_module_of_the_core_fits_in_a_readers_head(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 290
    assert ast.get_docstring(ast.parse(text))
    assert "redis" not in text.lower()  # a store is a protocol there, and nothing else


def test_importing_the_package_imports_neither_extras_nor_servers():
    program = "import clientcreds_requests, sys; print(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    for module in ("jwt", "cryptography", "redis", "http.server", "argparse", "importlib.metadata"):
        assert module not in output or module in modules_of_requests()


def modules_of_requests() -> list[str]:
    program = "import requests, sys; print(*sys.modules)"
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()


def test_the_runtime_dependencies_are_requests_and_urllib3():
    requires = metadata.requires("clientcreds-requests") or []
    runtime = {re.split(r"[ <>=~!;\[]", line)[0] for line in requires if "extra ==" not in line}
    assert runtime == {"requests", "urllib3"}


def test_the_package_is_typed():
    assert (PACKAGE / "py.typed").exists()


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_of_the_design_has_a_test_of_its_name(rule):
    pattern = re.compile(rf"def test_{rule}_\w+")
    assert any(pattern.search(path.read_text(encoding="utf-8")) for path in TESTS.glob("test_*.py"))
