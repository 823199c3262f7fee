"""A proxy on loopback: it forwards plain http, and makes tunnels for everything else."""

from __future__ import annotations

import contextlib
import http.client
import selectors
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

HOP_BY_HOP = {"connection", "keep-alive", "proxy-authorization", "transfer-encoding"}


class Proxy:
    """Notes everything that it sees; a context manager.

    :param credentials: the value of Proxy-Authorization to ask for; None: none.
    """

    def __init__(self, credentials: str | None = None) -> None:
        self.credentials = credentials
        self.requests: list[str] = []
        """Method and target of each request, also of those without the credentials."""
        self.seen: list[bytes] = []
        """Header fields and bodies of the requests, and what went through tunnels."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.proxy = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def netloc(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self.netloc}"

    @property
    def texts(self) -> list[str]:
        """All that it has seen, as text."""
        return [*self.requests, *(part.decode("latin-1") for part in self.seen)]

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def is_let_in(self) -> bool:
        """Note the request, and whether it has the credentials."""
        proxy: Proxy = self.server.proxy  # type: ignore[attr-defined]
        proxy.requests.append(f"{self.command} {self.path}")
        proxy.seen.append(bytes(self.headers))
        if proxy.credentials in (None, self.headers["Proxy-Authorization"]):
            return True
        self.send_response(407)
        self.send_header("Proxy-Authenticate", 'Basic realm="proxy"')
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def forward(self) -> None:
        """Send the request on, and its answer back."""
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.server.proxy.seen.append(body)  # type: ignore[attr-defined]
        if not self.is_let_in():
            return
        target = urlsplit(self.path)
        sent = {n: v for n, v in self.headers.items() if n.lower() not in HOP_BY_HOP}
        with contextlib.closing(http.client.HTTPConnection(target.netloc, timeout=20)) as server:
            path = f"{target.path}?{target.query}" if target.query else target.path
            server.request(self.command, path, body or None, sent)
            answer = server.getresponse()
            content = answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = forward  # noqa: N815 - as http.server wants them

    def do_CONNECT(self) -> None:
        """Pass bytes on in both directions until one side closes."""
        self.close_connection = True
        if not self.is_let_in():
            return
        host, _, port = self.path.partition(":")
        with socket.create_connection((host, int(port)), 20) as server:
            self.send_response_only(200)
            self.end_headers()
            other = {self.connection: server, server: self.connection}
            with selectors.DefaultSelector() as selector, contextlib.suppress(OSError):
                for side in other:
                    selector.register(side, selectors.EVENT_READ)
                while True:
                    for key, _ in selector.select():
                        part = key.fileobj.recv(65536)  # type: ignore[union-attr]
                        if not part:
                            return
                        self.server.proxy.seen.append(part)  # type: ignore[attr-defined]
                        other[key.fileobj].sendall(part)  # type: ignore[index]
