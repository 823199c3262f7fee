"""What the servers beside this file share: their settings, the counting, the life of the process.

A server takes its settings from the environment (its arguments could be read in the process list),
listens on a free port of 127.0.0.1, and prints one line of JSON when it is ready:
`{"url": "http://127.0.0.1:PORT"}`. It ends when its standard input does, so it never outlives the
tests that started it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from socketserver import TCPServer
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

CLIENT_ID = os.environ.get("INTEROP_CLIENT_ID", "client")
CLIENT_SECRET = os.environ.get("INTEROP_CLIENT_SECRET", "secret")
LIFETIME = int(os.environ.get("INTEROP_LIFETIME", "60"))
SCOPES = {"api:read": "Read the API", "api:write": "Write to the API"}


class Counting:
    """A WSGI application around another: counts its answers, and tells them at /stats."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._answers: Counter[str] = Counter()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/stats":
            with self._lock:
                stats = json.dumps(self._answers).encode()
            headers = [("Content-Type", "application/json"), ("Content-Length", str(len(stats)))]
            start_response("200 OK", headers)
            return [stats]

        def count(status: str, *args: Any) -> Callable[[bytes], object]:
            with self._lock:
                self._answers[
                    f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {status[:3]}"
                ] += 1
            return start_response(status, *args)

        return self._app(environ, count)


def run(server: TCPServer) -> None:
    """Serve from a thread, say where, and return when standard input ends."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    print(json.dumps({"url": url}), flush=True)
    sys.stdin.read()
