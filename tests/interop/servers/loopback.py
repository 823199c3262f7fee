"""What the servers beside this file share: their settings, the counting, the life of the process.

A server takes its settings from the environment (its arguments could be read in the process list),
listens on a free port of 127.0.0.1, and prints one line of JSON when it is ready:
`{"url": "http://127.0.0.1:PORT", "issuer": "..."}`. It ends when its standard input does, so it
never outlives the tests that started it.

Below the issuer are `/token` and `/revoke`; below the URL are `/api`, which echoes what it is sent,
and `/stats`, which tells how often what was answered, with the paths as they are below either.
There is a client for each client authentication method that the server knows: `post-client`,
`basic-client`, `secret-jwt-client`, `private-key-client` and so on.
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

CLIENT_SECRET = os.environ["INTEROP_CLIENT_SECRET"]
CLIENT_KEYS: dict[str, Any] = json.loads(os.environ["INTEROP_CLIENT_KEYS"])  # a JSON Web Key Set
LIFETIME = int(os.environ["INTEROP_LIFETIME"])
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
    print(json.dumps({"url": url, "issuer": url}), flush=True)
    sys.stdin.read()
