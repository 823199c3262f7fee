"""Stands in for a platform's service: records each byte that arrives, and answers as it is told."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

Reply = bytes | Iterable[bytes] | None


def http_answer(
    body: bytes | str | dict[str, Any], status: str = "200 OK", **headers: str
) -> bytes:
    """An answer as it goes over the wire; keyword arguments name fields, with _ for -."""
    if isinstance(body, dict):
        body = json.dumps(body)
        headers.setdefault("Content_Type", "application/json")
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


class PlatformDouble:
    """A server on loopback that knows nothing of HTTP but where a request ends.

    :param reply: the answer to every request, or a callable that makes it of the request's bytes;
        None: no answer until the double is closed.
    """

    def __init__(self, reply: Reply | Callable[[bytes], Reply] = None) -> None:
        self.reply = reply
        self.requests: list[bytes] = []
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> PlatformDouble:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"http://{self.host}"
        self._start(self._accept)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(20)
        self._listener.close()

    @property
    def lines(self) -> list[list[str]]:
        """The lines of the head of each request."""
        return [r.partition(b"\r\n\r\n")[0].decode().split("\r\n") for r in self.requests]

    def fields(self, number: int = -1) -> dict[str, str]:
        """The header fields of a request, by their names in lower case."""
        pairs = (line.partition(": ") for line in self.lines[number][1:])
        return {name.lower(): value for name, _, value in pairs}

    def body(self, number: int = -1) -> str:
        """The body of a request."""
        return self.requests[number].partition(b"\r\n\r\n")[2].decode()

    def _start(self, run: Callable[..., None], *args: Any) -> None:
        self._threads.append(threading.Thread(target=run, args=args, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.settimeout(20)
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            received = b""
            while not self._is_whole(received):
                piece = connection.recv(65536)
                if not piece:
                    return
                received += piece
            self.requests.append(received)
            reply = self.reply(received) if callable(self.reply) else self.reply
            if reply is None:
                self._closing.wait(20)
                return
            for piece in [reply] if isinstance(reply, bytes) else reply:
                connection.sendall(piece)
                if self._closing.is_set():
                    return

    @staticmethod
    def _is_whole(received: bytes) -> bool:
        head, end, body = received.partition(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        return bool(end) and len(body) >= length
