"""The demo in a browser: a page that runs this package there, on Pyodide."""

from __future__ import annotations

import io
import json
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

from ..testing import LocalAuthorizationServer

#: Where Pyodide is loaded from: the version that the tests run on.
PYODIDE = "https://cdn.jsdelivr.net/npm/pyodide@314.0.7/"

# This package and what it requires, as they are installed here.
_PACKAGES = ("clientcreds_requests", "requests", "urllib3", "certifi", "idna", "charset_normalizer")


def serve(pyodide: str) -> None:
    """Serve the page, and what it watches, until interrupted; ``pyodide.mjs`` is at that URL."""
    watched = LocalAuthorizationServer(lifetime=6, latency=0.3)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if self.path == "/revoke":
                watched.revoke_all()
            elif self.path in ("/down", "/up"):
                watched.down = self.path == "/down"
            calls, issued = watched.api_requests, len(watched.tokens)
            refused = sum(call.status == 401 for call in calls)
            counts = {"API calls": len(calls), "answered with 401": refused, "tokens": issued}
            content = contents.get(self.path) or json.dumps(counts).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # noqa: N815 - a name of the base class

        def log_message(self, *_: object, **__: object) -> None:
            """Log nothing: the page asks four times a second."""

    with watched, ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        watched.cors = f"http://127.0.0.1:{server.server_port}"
        client = [watched.token_endpoint, watched.client_id, watched.client_secret]
        settings = json.dumps({"pyodide": pyodide, "client": client, "api": watched.api_url})
        page = Path(__file__).with_name("browser.html").read_bytes()
        contents = {"/": page.replace(b"SETTINGS", settings.encode()), "/python.zip": _zipped()}
        print(f"Open {watched.cors} in a browser; Ctrl-C ends.", flush=True)
        server.serve_forever()


def _zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in _PACKAGES:
            spec = find_spec(name)
            for directory in (spec and spec.submodule_search_locations) or ():
                for file in Path(directory).rglob("*.p[ye]*"):  # certifi has a .pem
                    archive.write(file, Path(name) / file.relative_to(directory))
    return buffer.getvalue()
