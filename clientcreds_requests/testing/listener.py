"""An HTTP/1.1 server on loopback that records what it is asked, and misbehaves when told to."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from http.client import HTTPException, HTTPMessage
from io import BufferedReader
from time import monotonic
from typing import TypeAlias
from weakref import WeakSet

from .messages import Answer, Fault, RecordedRequest, is_preflight, read_request

Reply: TypeAlias = Answer | Fault | bytes | Iterable[bytes] | None
"""An answer, a fault, raw bytes (in one piece or several; then the connection is closed), or None:
the regular answer."""
Script: TypeAlias = Reply | Callable[[RecordedRequest], Reply]

BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

# What a page of another origin may send and read (Fetch standard: CORS). Content-Type is for a JSON
# body; the others are for a token or the client's credentials on the request.
_MAY_SEND = "Authorization, Content-Type, DPoP"
_MAY_READ = "DPoP-Nonce, Retry-After, WWW-Authenticate"


class Listener:
    """A listening socket, a thread for it, and a thread for each connection.

    :param identify: completes a request with who sent it, before it is recorded.
    :param respond: gives the regular answer to a request.
    :param latency: asked for each request: the seconds until it is answered.
    :param cors: asked for each request: the origin whose pages may call from a browser, or None.
    :param scripted: is a request one of those that scripts are for?
    """

    def __init__(
        self,
        identify: Callable[[RecordedRequest], RecordedRequest],
        respond: Callable[[RecordedRequest], Answer],
        latency: Callable[[], float],
        cors: Callable[[], str | None] = lambda: None,
        scripted: Callable[[RecordedRequest], bool] = lambda _: True,
    ) -> None:
        self.port: int = 0
        self.scripts: deque[Script] = deque()
        self._identify, self._respond, self._latency = identify, respond, latency
        self._cors, self._scripted = cors, scripted
        self._state = threading.Condition()  # guards everything below
        self._stopped = True
        self._down = False
        self._arrivals = 0
        self._requests: dict[int, RecordedRequest] = {}
        self._connections: dict[socket.socket, threading.Thread] = {}

    @property
    def down(self) -> bool:
        """Whether connections are reset, as they arrive and with the next request on them."""
        return self._down

    @down.setter
    def down(self, down: bool) -> None:
        with self._state:
            self._down = down
            self._state.notify_all()  # requests in flight are reset too

    def requests(self, *, preflights: bool = False) -> list[RecordedRequest]:
        """Return what has arrived, in that order, finished or in flight; preflights apart."""
        with self._state:
            return [r for r in self._requests.values() if is_preflight(r) is preflights]

    def reset_records(self) -> None:
        """Forget what has arrived, for good: also what is in flight."""
        with self._state:
            self._requests.clear()

    def start(self) -> None:
        """Serve a free port."""
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self._socket.getsockname()[1]
        self._stopped = False
        _listeners.add(self)
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def stop(self) -> None:
        """Close the sockets and end the threads (a script that blocks is left alone after 2 s)."""
        with self._state:
            if self._stopped:
                return
            self._stopped = True
            self._state.notify_all()
        # Nothing portable wakes a thread that sits in accept() but a connection.
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._acceptor.join()
        self._socket.close()
        with self._state:
            threads = list(self._connections.values())
            for connection in self._connections:
                with suppress(OSError):  # the client has reset it
                    connection.shutdown(socket.SHUT_RDWR)
        deadline = monotonic() + 2
        for thread in threads:
            thread.join(max(0, deadline - monotonic()))

    def abandon(self) -> None:
        """Close, in a forked child, the sockets that it would keep open for the parent."""
        if self._stopped:
            return
        self._stopped = True
        self._state = threading.Condition()  # the old one may be held by a thread of the parent
        for inherited in (self._socket, *self._connections):
            with suppress(OSError):  # it was just being closed
                os.close(inherited.detach())
        self._connections.clear()

    def _accept(self) -> None:
        while True:
            connection, (_, port) = self._socket.accept()
            with self._state:
                if self._stopped:
                    connection.close()
                    return
                if self._down:
                    now = monotonic()
                    self._record(
                        RecordedRequest("", "", "", "", HTTPMessage(), b"", port, now, now)
                    )
                    _reset_on_close(connection)
                    connection.close()
                    continue
                thread = threading.Thread(target=self._serve, args=(connection, port), daemon=True)
                self._connections[connection] = thread
            thread.start()

    def _serve(self, connection: socket.socket, port: int) -> None:
        try:
            with suppress(OSError, EOFError), connection.makefile("rb") as stream:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while request := self._next_request(connection, stream, port):
                    if not self._exchange(connection, request):
                        break
        finally:
            with self._state:
                connection.close()
                self._connections.pop(connection)

    def _next_request(
        self, connection: socket.socket, stream: BufferedReader, port: int
    ) -> RecordedRequest | None:
        try:
            return read_request(stream, port)
        except (ValueError, HTTPException):
            connection.sendall(BAD_REQUEST)
            return None

    def _exchange(self, connection: socket.socket, request: RecordedRequest) -> bool:
        """Answer one request, and return whether the connection stays open."""
        request = self._identify(request)
        with self._state:
            number = self._record(request)
            script: Script = None
            if self._down:
                script = Fault.RESET
            elif is_preflight(request):
                script = Answer(204)
            elif self.scripts and self._scripted(request):
                script = self.scripts.popleft()
        reply = script(request) if callable(script) else script
        if reply is None:
            reply = self._respond(request)
        with self._state:  # all was decided on arrival; latency is the way back
            if self._state.wait_for(lambda: self._stopped or self._down, self._latency()):
                reply = Fault.RESET
        if reply is Fault.HANG:
            with suppress(OSError):
                while connection.recv(65536):  # until the client leaves, or stop() hangs up
                    pass
        status = reply.status if isinstance(reply, Answer) else None
        with self._state:  # before the client can have the answer and look
            if number in self._requests:
                self._requests[number] = replace(request, status=status, ended=monotonic())
        if isinstance(reply, Answer):
            content, persistent = reply.encode(request, self._cors_headers(request))
            connection.sendall(content)
            return persistent
        if reply is Fault.RESET:
            _reset_on_close(connection)
        elif not isinstance(reply, Fault):
            for part in (reply,) if isinstance(reply, bytes) else reply:
                connection.sendall(part)
        return False

    def _cors_headers(self, request: RecordedRequest) -> dict[str, str]:
        origin = self._cors()
        if origin is None:
            return {}
        headers = {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        if not is_preflight(request):
            return {**headers, "Access-Control-Expose-Headers": _MAY_READ}
        method = request.headers["Access-Control-Request-Method"]
        asked = {"Access-Control-Allow-Methods": method, "Access-Control-Allow-Headers": _MAY_SEND}
        return {**headers, **asked}

    def _record(self, request: RecordedRequest) -> int:
        self._arrivals += 1
        self._requests[self._arrivals] = request
        return self._arrivals


def _reset_on_close(connection: socket.socket) -> None:
    layout = "hh" if os.name == "nt" else "ii"
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(layout, 1, 0))


def _abandon_all() -> None:
    for listener in list(_listeners):
        listener.abandon()


_listeners: WeakSet[Listener] = WeakSet()
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows does not fork
    os.register_at_fork(after_in_child=_abandon_all)
