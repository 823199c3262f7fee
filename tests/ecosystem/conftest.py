"""One package after the other: whether it is here, in which version, and how its test went."""

from __future__ import annotations

import gc
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .story import Clock, Server, Story

REQUIRED = os.environ.get("CLIENTCREDS_ECOSYSTEM") == "required"
EXTRA = "ecosystem"
NOT_INSTALLED = "not installed"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "package(name, ...): the packages that a test is about")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # What other packages warn of is not ours to mend.
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.filterwarnings("ignore", "error:::clientcreds_requests"))


def packages_of(item: pytest.Item) -> list[str]:
    """The names of the packages that a test is about."""
    return [name for marker in item.iter_markers("package") for name in marker.args]


def why_missing(name: str) -> str | None:
    """Why a package is not installed; None if it is."""
    try:
        version(name)
    except PackageNotFoundError:
        here = f"{platform.python_implementation()} {platform.python_version()}"
        if excluded(name):
            return f"{name} cannot be installed on {here}"
        if REQUIRED:
            pytest.fail(f"{name} is not installed on {here}: see the extra {EXTRA}", pytrace=False)
        return f"{name} is not installed on {here}"
    return None


def excluded(name: str) -> bool:
    """True if the extra leaves the package out on this interpreter."""
    listed = [Requirement(line) for line in requires("clientcreds-requests") or ()]
    named = [each for each in listed if canonicalize_name(each.name) == canonicalize_name(name)]
    markers = [each.marker for each in named if each.marker and f'"{EXTRA}"' in str(each.marker)]
    return bool(markers) and not any(marker.evaluate({"extra": EXTRA}) for marker in markers)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for name in packages_of(item):
        if reason := why_missing(name):
            item.user_properties.append(("package", [name, NOT_INSTALLED]))
            pytest.skip(reason)
        item.user_properties.append(("package", [name, version(name)]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print package, version and result of all its tests, where this folder was asked for."""
    if not (REQUIRED or any("ecosystem" in arg for arg in terminalreporter.config.args)):
        return
    results: dict[tuple[str, str], set[str]] = {}
    for outcome in ("failed", "error", "passed", "skipped"):
        for report in terminalreporter.stats.get(outcome, ()):
            for key, value in getattr(report, "user_properties", ()):
                if key == "package":
                    results.setdefault(tuple(value), set()).add(outcome)
    rows = sorted(results.items(), key=lambda row: row[0][0].lower())
    installed = [row for row in rows if row[0][1] != NOT_INSTALLED]
    terminalreporter.section(f"{len(installed)} packages around clientcreds-requests")
    for (name, number), outcomes in rows:
        terminalreporter.write_line(f"{name:42} {number:16} {', '.join(sorted(outcomes))}")


@pytest.fixture
def story(
    clock: Clock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Story]:
    """The story to be told; then files, logs and output are searched for secrets."""
    monkeypatch.chdir(tmp_path)  # what a package writes, it writes here
    with Server() as server, caplog.at_level(logging.DEBUG):
        story = Story(server, clock)
        yield story
    gc.collect()  # what a package has left open is warned of here, and not in another test
    assert story.told, "the test has told no story"
    story.search_files(tmp_path)
    story.search("the logs", caplog.text)
    story.search("what was printed", "\n".join(capfd.readouterr()))


@pytest.fixture
def alone() -> Callable[..., None]:
    """Run a file of the folder alone/ in a process of its own.

    What it does to that process cannot be undone: classes are patched, threads become greenlets.
    """

    def run(program: str, before: str = "") -> None:
        code = f"{before}\nimport sys, pytest\nsys.exit(pytest.main(sys.argv[1:]))"
        path = Path(__file__).parent / "alone" / program
        command = [
            sys.executable,
            "-c",
            code,
            str(path),
            "-q",
            "--show-capture=no",
            "--rootdir",
            str(path.parents[3]),
        ]
        environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        for name in [name for name in environment if name.startswith("PYTEST_XDIST")]:
            del environment[name]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return run
