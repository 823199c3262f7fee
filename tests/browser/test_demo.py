"""The demo's page, in a browser."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from .chromium import open_page
from .conftest import PYODIDE, need_browser
from .page import CONTENT_TYPES, PATIENCE


class Files(SimpleHTTPRequestHandler):
    """Serves Pyodide to pages of any origin, as its public copies do."""

    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, **CONTENT_TYPES}  # noqa: RUF012

    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def log_message(self, *_: object, **__: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def pyodide() -> Iterator[str]:
    need_browser()
    handler = partial(Files, directory=os.environ[PYODIDE])
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@contextmanager
def demo_with(pyodide: str) -> Iterator[str]:
    """Run the command; yield the URL that it prints."""
    command = (sys.executable, "-m", "clientcreds_requests", "demo", "--browser", pyodide)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            (url,) = re.findall(r"http://127\.0\.0\.1:[0-9]+", process.stdout.readline())
            yield url
        finally:
            process.send_signal(signal.SIGTERM)


def outcome_of(url: str, scratch: Path) -> str:
    """Open the page; return what it shows at its end, which is in the console too."""
    give_up = time.monotonic() + PATIENCE
    with open_page(url, scratch) as log:
        while time.monotonic() < give_up:
            said = log.read_text(errors="replace")
            if found := re.search(rf'"(.*)", source: {re.escape(url)}/ ', said):
                return found[1]
            time.sleep(0.2)
    raise AssertionError(f"no outcome within {PATIENCE:g} s:\n{said}")


def test_it_plays_all_acts_and_keeps_its_promises(pyodide: str, tmp_path: Path) -> None:
    with demo_with(pyodide) as url:
        outcome = outcome_of(url, tmp_path)
    counted = re.fullmatch(
        r"(\d+) calls, 0 failed, 1 sent again\. All promises were kept\.", outcome
    )
    assert counted is not None, outcome
    assert int(counted[1]) > 20


def test_it_says_where_python_could_not_be_loaded_from(pyodide: str, tmp_path: Path) -> None:
    with demo_with(f"{pyodide}nowhere/") as url:
        outcome = outcome_of(url, tmp_path)
    assert outcome.startswith("TypeError: ")
    assert outcome.endswith(f", with Python from {pyodide}nowhere/")
