"""A page with Python in it: what serves it, and what a test has it do."""

from __future__ import annotations

import io
import json
import queue
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from clientcreds_requests.testing import LocalAuthorizationServer

from .chromium import open_page

HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent
CONTENT_TYPES = {".html": "text/html", ".mjs": "text/javascript", ".wasm": "application/wasm"}
PATIENCE = 120.0
"""Seconds after which a wait has failed; nothing is expected to take them."""
POLL = 10.0
"""Seconds after which the page asks again whether there is a job."""


def client_of(server: LocalAuthorizationServer) -> list[str]:
    """Return what a client must know: endpoint, id and secret."""
    return [server.token_endpoint, server.client_id, server.client_secret]


class Page:
    """Python in a page of a browser.

    :param mode: where it runs, as page.mjs says.
    :param pyodide: the directory of the npm package.
    :param wheels: the directory of the wheels to install.
    """

    def __init__(self, mode: str, pyodide: Path, wheels: Path) -> None:
        self.mode = mode
        self.pyodide, self.wheels = pyodide, wheels
        self.jobs: queue.Queue[list[str]] = queue.Queue()
        self.reports: queue.Queue[Any] = queue.Queue()
        """For each round of jobs the list of their reports; or a str: why the page is broken."""
        self.origin = ""

    def run(self, name: str, within: float = PATIENCE, **arguments: Any) -> Any:
        """Have the page call ``module.function``, and return what that returns, by way of JSON."""
        (result,) = self.run_together((name, arguments), within=within)
        return result

    def run_together(
        self, *calls: tuple[str, dict[str, Any]], within: float = PATIENCE
    ) -> list[Any]:
        """Have the page make several calls; at the same time, if its mode can."""
        jobs = [json.dumps([*name.split("."), arguments]) for name, arguments in calls]
        self.jobs.put(jobs)
        try:
            reports = self.reports.get(timeout=within)
        except queue.Empty:
            raise AssertionError(f"no report within {within:g} s: {calls}") from None
        assert isinstance(reports, list), reports
        outcomes = [json.loads(report) for report in reports]
        for outcome in outcomes:
            assert "failure" not in outcome, outcome["failure"]
        return [outcome["result"] for outcome in outcomes]


@contextmanager
def serve(page: Page, scratch: Path) -> Iterator[Page]:
    """Serve a page, open it in a browser, and wait until Python is there."""

    class Handler(_Handler):
        pass

    Handler.page = page
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        page.origin = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            with open_page(f"{page.origin}/?mode={page.mode}", scratch) as log:
                try:
                    page.run("facts.python")
                except AssertionError as error:
                    raise RuntimeError(f"{error}\n{log.read_text(errors='replace')}") from None
                yield page
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    page: Page

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        wheels = sorted(self.page.wheels.glob("*.whl"))
        if path == "/job":
            self._answer_with_jobs()
        elif path == "/":
            self._answer_with_file(HERE / "page.html")
        elif path == "/page.mjs":
            self._answer_with_file(HERE / "page.mjs")
        elif path == "/wheels":
            self._answer(json.dumps([wheel.name for wheel in wheels]).encode())
        elif path == "/tests.zip":
            self._answer(tests_zipped())
        else:
            files = {f"/wheels/{wheel.name}": wheel for wheel in wheels}
            files |= {f"/pyodide/{file.name}": file for file in self.page.pyodide.iterdir()}
            self._answer_with_file(files.get(path))

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.page.reports.put(json.loads(content) if self.path == "/reports" else content)
        self._answer(b"")

    def _answer_with_jobs(self) -> None:
        try:
            jobs = self.page.jobs.get(timeout=POLL)
        except queue.Empty:
            self._answer(b"", 204)
        else:
            self._answer(json.dumps(jobs).encode())

    def _answer_with_file(self, file: Path | None) -> None:
        if file is None:
            self._answer(b"", 404)
        else:
            content_type = CONTENT_TYPES.get(file.suffix, "application/octet-stream")
            self._answer(file.read_bytes(), content_type=content_type)

    def _answer(
        self, content: bytes, status: int = 200, content_type: str = "application/json"
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        with suppress(OSError):  # the browser has ended
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def tests_zipped() -> bytes:
    """Return the tests, and how pytest is to run them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in (CHECKOUT / "pyproject.toml", *CHECKOUT.glob("tests/**/*.py")):
            archive.write(file, file.relative_to(CHECKOUT))
    return buffer.getvalue()
