"""The package as a whole: its names, its imports, its house rules."""

from __future__ import annotations

import ast
import inspect
import pydoc
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

import clientcreds_requests

PACKAGE = Path(clientcreds_requests.__file__).parent
TESTS = Path(__file__).parent
# What is loaded only by those who ask for it, and what is private to that.
EXTRAS = {
    *("__main__", "_keys", "_sealing", "dpop", "jwt"),
    *("pytest_plugin", "redis"),
}
MODULES = sorted(PACKAGE.rglob("*.py"))
CORE = sorted(path for path in PACKAGE.glob("*.py") if path.stem not in EXTRAS)

RULES = (
    [f"w{n}" for n in range(1, 9)]
    + [f"a{n}" for n in range(1, 7)]
    + [f"l{n}" for n in range(1, 10)]
    + [f"c{n}" for n in range(1, 6)]
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


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_public_name_has_a_docstring(path):
    bare = [name for name, node in public_nodes(path) if not ast.get_docstring(node)]
    assert bare == []


def public_nodes(path: Path) -> Iterator[tuple[str, ast.AST]]:
    """The module, and its classes, functions, methods and properties, but for private ones."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    yield path.stem, module
    pending = [("", module)]
    while pending:
        prefix, node = pending.pop()
        for child in node.body:
            kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
            if not isinstance(child, kinds) or child.name.startswith("_") or is_setter(child):
                continue
            yield prefix + child.name, child
            if isinstance(child, ast.ClassDef):
                pending.append((f"{prefix}{child.name}.", child))


def is_setter(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(d, ast.Attribute) and d.attr == "setter" for d in node.decorator_list)


@pytest.mark.parametrize("name", clientcreds_requests.__all__)
def test_pydoc_shows_every_public_name_with_words_of_its_own(name):
    value = getattr(clientcreds_requests, name)
    shown = pydoc.plain(pydoc.render_doc(value))
    assert value.__doc__.splitlines()[0] in shown


def imports(path: Path) -> set[str]:
    """The modules of this package that a module imports, at whatever depth of its code."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            found |= {node.module} if node.module else {alias.name for alias in node.names}
    return found


def test_imports_point_one_way():
    # No part of the core, which imports them where they are asked for.
    modules = [path for path in CORE if path.stem != "__init__"]
    modules += [PACKAGE / f"{name}.py" for name in ("_keys", "dpop")]
    graph = {path.stem: imports(path) for path in modules}
    inside = PACKAGE / "identity"
    graph["_asking"] = imports(inside / "_asking.py")
    graph["identity"] = imports(inside / "__init__.py")
    done: set[str] = set()
    while len(done) < len(graph):
        leaves = {name for name in graph if name not in done and graph[name] <= done}
        assert leaves, f"a cycle among {set(graph) - done}"
        done |= leaves
    assert graph["manager"].isdisjoint({"token_endpoint", "auth", "adapters"})


def test_the_core_is_no_more_than_22_modules():
    assert len(CORE) <= 22


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_fits_in_a_readers_head(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 350
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_the_core_knows_no_redis(path):
    # A store is a protocol there, and nothing else.
    assert "redis" not in path.read_text(encoding="utf-8").lower()


def test_importing_the_package_imports_neither_extras_nor_servers():
    program = "import clientcreds_requests, sys; print(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    ours = (f"clientcreds_requests.{name}" for name in ("dpop", "jwt", "redis", "testing"))
    slow = ("dataclasses", "http.server", "argparse", "importlib.metadata")
    for module in (*ours, "jwt", "cryptography", "redis", *slow):
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
