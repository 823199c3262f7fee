from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from clientcreds_requests.testing import LocalAuthorizationServer

from .chromium import find_chromium
from .page import Page, serve

PYODIDE, WHEELS = "CLIENTCREDS_BROWSER_PYODIDE", "CLIENTCREDS_BROWSER_WHEELS"
MODES = ("main", "worker", "promise")


def missing() -> str | None:
    """Return what is not there of what the tests need."""
    if find_chromium() is None:
        return "chromium is not installed"
    if not os.path.isfile(os.path.join(os.environ.get(PYODIDE, ""), "pyodide.mjs")):
        return f"{PYODIDE} is not the directory of the npm package pyodide"
    if not list(Path(os.environ.get(WHEELS, "")).glob("clientcreds_requests-*.whl")):
        return f"{WHEELS} is not a directory of wheels: of this package and of what it requires"
    return None


def need_browser() -> None:
    """Skip a test where it cannot run; fail where it has to."""
    if reason := missing():
        if os.environ.get("CLIENTCREDS_BROWSER") == "required":
            pytest.fail(reason)
        pytest.skip(reason)


def open_in(mode: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    need_browser()
    page = Page(mode, Path(os.environ[PYODIDE]), Path(os.environ[WHEELS]))
    with serve(page, tmp_path_factory.mktemp(mode)) as served:
        yield served


@pytest.fixture(scope="session", params=MODES)
def page(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    """Python in a page of a real browser, in each way that urllib3 has to send requests there."""
    yield from open_in(request.param, tmp_path_factory)


@pytest.fixture
def server(page: Page) -> Iterator[LocalAuthorizationServer]:
    """A server that the page may call."""
    with LocalAuthorizationServer(cors=page.origin) as running:
        yield running
