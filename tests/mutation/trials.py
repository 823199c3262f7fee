"""Running tests on a copy of the tree: once as it is, to learn what reaches what, then mutated."""

from __future__ import annotations

import bisect
import contextlib
import fcntl
import importlib
import itertools
import os
import pickle
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest

from .mutants import Mutant
from .plan import SKIPPED, TESTS

# What the tests need and no mutant changes is imported once, before the forks.
PRELOADED = ("cryptography.x509", "hypothesis", "jwt", "requests", "trustme", "urllib3.contrib")

OPTIONS = ("-x", "-q", "-n", "0", "-W", "ignore::pytest.PytestAssertRewriteWarning")
"""Hypothesis is a pytest plugin, imported before pytest could see to its assertions."""

OUTSIDE = ""
"""What coverage calls the time when no test runs."""

GRACE = 15.0
"""Seconds that a mutant may take beyond twice what its tests took before."""


def path_of(module: str) -> str:
    """Where a module of the plan is, from the root of the tree."""
    return f"clientcreds_requests/{module}.py"


class Trials:
    """A copy of the tree, and what is known of its tests.

    :param root: the tree.
    :param modules: those that are going to be mutated.
    :param budget: seconds. Of the tests that reach a mutant those are tried that take no longer
        together, and the quickest in any case: for a first look, since others may notice it.
    :param lock: a file whose flock is shared for as long as tests run, and let go in between.
    """

    def __init__(self, root: Path, modules: list[str], budget: float, lock: Path | None) -> None:
        self._lock, self._budget = lock, budget
        self._folder = Path(tempfile.mkdtemp(prefix="mutation-"))
        self._tree = self._folder / "tree"
        # Of what is hidden, tests read the guides in .github.
        hidden = (".[!g]*", ".git")
        ignored = shutil.ignore_patterns("__pycache__", *hidden, "*.egg-info", "build", "dist")
        shutil.copytree(root, self._tree, ignore=ignored)
        self._modules = modules
        self._reach: dict[str, dict[int, set[str]]] = {}
        self._seconds: dict[str, float] = {}

    def __enter__(self) -> Trials:
        for name in PRELOADED:
            importlib.import_module(name)
        try:
            for name in sorted({name for module in self._modules for name in TESTS[module]}):
                self._learn(name)
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        return self

    def __exit__(self, *details: object) -> None:
        shutil.rmtree(self._folder)

    def source(self, module: str) -> str:
        """A module as it is, whatever becomes of the tree meanwhile."""
        return (self._tree / path_of(module)).read_text()

    def try_out(self, module: str, mutant: Mutant) -> str:
        """``killed``, ``timeout`` or ``survived``."""
        path = path_of(module)
        belonging = {f"tests/test_{name}.py" for name in TESTS[module]}
        known = [name for name in self._seconds if name.split("::")[0] in belonging]
        reaching = self._reach.get(path, {}).get(mutant.line, set())
        # What runs at import, outside of tests, concerns them all.
        everything = not reaching.intersection(known) or OUTSIDE in reaching
        tests = sorted(
            known if everything else reaching.intersection(known), key=self._seconds.__getitem__
        )
        seconds = list(itertools.accumulate(map(self._seconds.__getitem__, tests)))
        tests = tests[: max(1, bisect.bisect(seconds, self._budget))]
        target = self._tree / path
        original = target.read_text()
        target.write_text(mutant.source)
        # The interpreter trusts compiled code of the same second and size.
        for compiled in target.parent.glob(f"__pycache__/{target.stem}.*.pyc"):
            compiled.unlink()
        try:
            patience = 2 * sum(map(self._seconds.__getitem__, tests)) + GRACE
            code = self._in_child(lambda: _run(self._tree, tests), patience)
        finally:
            target.write_text(original)
        assert code != pytest.ExitCode.NO_TESTS_COLLECTED
        return {None: "timeout", 0: "survived"}.get(code, "killed")

    def _learn(self, name: str) -> None:
        """Run one test file as it is; learn how long each test takes, and what it reaches."""
        found = self._folder / "found"
        code = self._in_child(lambda: _survey(self._tree, f"tests/test_{name}.py", found), 600.0)
        if code != 0:
            output = (self._folder / "output").read_text()
            raise SystemExit(f"test_{name}.py fails without a mutant:\n{output[-3000:]}")
        seconds, reach = pickle.loads(found.read_bytes())
        self._seconds.update(seconds)
        for path, lines in reach.items():
            for line, tests in lines.items():
                self._reach.setdefault(path, {}).setdefault(line, set()).update(tests)

    def _in_child(self, work: Callable[[], int], patience: float) -> int | None:
        """What the work returns in a forked child; None when it took too long."""
        with self._shared_lock():
            child = os.fork()
            if not child:
                code = 99
                try:
                    os.setsid()
                    _redirect(self._folder / "output")
                    code = work()
                except BaseException:
                    traceback.print_exc()
                finally:
                    sys.stdout.flush()
                    sys.stderr.flush()
                    os._exit(code)
            try:
                return _wait(child, time.monotonic() + patience)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child, signal.SIGKILL)

    @contextlib.contextmanager
    def _shared_lock(self) -> Iterator[None]:
        if self._lock is None:
            yield
            return
        with open(self._lock) as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield


def _redirect(output: Path) -> None:
    with open(output, "wb") as file, open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def _wait(child: int, until: float) -> int | None:
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.01)


def _enter(tree: Path) -> None:
    """Make the copy what Python imports, here and in whatever the tests start."""
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    os.environ["PYTHONPATH"] = str(tree)
    for name in [
        name for name in sys.modules if name.split(".")[0] in ("clientcreds_requests", "tests")
    ]:
        del sys.modules[name]


class _Choice:
    """A pytest plugin that runs the given tests, in the given order."""

    def __init__(self, tests: list[str]) -> None:
        self._tests = tests

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        by_name = {item.nodeid: item for item in items}
        items[:] = [by_name[name] for name in self._tests if name in by_name]


def _run(tree: Path, tests: list[str]) -> int:
    _enter(tree)
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    files = sorted({name.split("::")[0] for name in tests})
    return int(pytest.main([*OPTIONS, *files], plugins=[_Choice(tests)]))


class _Survey:
    """A pytest plugin that notes for every test how long it takes and which lines it reaches."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self._measured = measured
        self.seconds: dict[str, float] = defaultdict(float)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        self._measured.switch_context(item.nodeid)
        began = time.monotonic()
        result = yield
        self.seconds[item.nodeid] = time.monotonic() - began
        self._measured.switch_context(OUTSIDE)
        return result

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = [item for item in items if not any(part in item.nodeid for part in SKIPPED)]


def _survey(tree: Path, file: str, found: Path) -> int:
    _enter(tree)
    measured = coverage.Coverage(
        data_file=None, config_file=False, include=["*/clientcreds_requests/*.py"]
    )
    survey = _Survey(measured)
    measured.start()
    code = int(pytest.main([*OPTIONS, file], plugins=[survey]))
    measured.stop()
    reach: dict[str, dict[int, set[str]]] = {}
    data = measured.get_data()
    for path in data.measured_files():
        lines = data.contexts_by_lineno(path)
        reach[str(Path(path).relative_to(tree))] = {n: set(names) for n, names in lines.items()}
    found.write_bytes(pickle.dumps((dict(survey.seconds), reach)))
    return code
