"""The tests of the package that need no server, thread or process, run by pytest in the page."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

CHECKOUT = "/checkout"
FILES = (
    "test_arguments.py",
    "test_challenges.py",
    "test_client_auth.py",
    "test_copies.py",
    "test_exceptions.py",
    "test_manager.py",
    "test_manager_callers.py",
    "test_manager_states.py",
    "test_origins.py",
    "test_redaction.py",
    "test_responses.py",
    "test_state.py",
    "test_tokens.py",
)
# A test that mentions one of these names needs what is not there in a browser.
NEEDED = {
    "a server": {
        "server",
        "socket",
        "LocalAuthorizationServer",
        "TLSAuthorizationServer",
        "Tunnel",
    },
    "a thread": {"threading", "Crowd", "together", "Gate", "Held", "settle", "until"},
    "a process": {"subprocess", "multiprocessing", "fork"},
}
# Others that are left out, by a part of their names.
LEFT_OUT = {
    "200,000": "Pyodide itself ends where JSON is nested so deeply",
}


def names_in(code: CodeType) -> set[str]:
    """Return the names that a function mentions, with the functions and classes in it."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*map(names_in, inner))


def functions_of(thing: object) -> Iterator[FunctionType]:
    if isinstance(thing, FunctionType):
        yield thing
    elif isinstance(thing, type):
        for member in vars(thing).values():
            if isinstance(member, FunctionType):
                yield member


def names_used_by(item: Any) -> set[str]:
    """Return the names that a test mentions: itself, or a function or class of its module."""
    names, pending = set(item.fixturenames), list(functions_of(item.function))
    while pending:
        for name in names_in(pending.pop().__code__) - names:
            names.add(name)
            pending += functions_of(vars(item.module).get(name))
    return names


class Run:
    """A pytest plugin: what is left out and why, and what came of the others."""

    def __init__(self) -> None:
        self.passed = 0
        self.skipped: list[str] = []
        self.failed: dict[str, str] = {}
        self.left_out: dict[str, list[str]] = {}

    def reason_against(self, item: Any) -> str | None:
        for part, reason in LEFT_OUT.items():
            if part in item.name:
                return reason
        names = names_used_by(item)
        return next((f"needs {what}" for what, such in NEEDED.items() if such & names), None)

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        kept = []
        for item in items:
            if reason := self.reason_against(item):
                self.left_out.setdefault(reason, []).append(item.nodeid)
            else:
                kept.append(item)
        items[:] = kept

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed[report.nodeid] = str(report.longrepr)
        elif report.skipped:
            self.skipped.append(f"{report.nodeid}: {report.longrepr}")
        elif report.when == "call":
            self.passed += 1


def run_tests() -> dict[str, Any]:
    os.chdir(CHECKOUT)
    # A module that needs compiled code, which the helpers import for servers with TLS.
    sys.modules["trustme"] = ModuleType("trustme")
    run, said = Run(), io.StringIO()
    # Warnings are errors, as everywhere, but for the one that every auth gives in a browser.
    options = ["-q", "--tb=short", "-W", "ignore:auth.clientCredentials:UserWarning"]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = pytest.main([*options, *(f"tests/{file}" for file in FILES)], [run])
    return {"status": int(status), "said": said.getvalue(), **vars(run)}
