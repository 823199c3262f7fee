"""The end of a request's time: whatever the server is doing then, we hang up on it."""

from __future__ import annotations

import contextlib
import copy
import functools
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import requests
from requests.adapters import HTTPAdapter


class Deadline:
    """Hangs up, when its moment has come, on the connections that were opened under it.

    A socket's timeout bounds each read, and a head is read until it ends: one that drips, or is
    but one interim answer after the other, would be read for ever. So would a TLS handshake.

    :param until: the moment, on the monotonic clock.
    """

    def __init__(self, until: float) -> None:
        #: Has the moment come?
        self.passed: bool = False
        self._connections: list[Any] = []
        self._sockets: dict[int, socket.socket] = {}
        self._timer = threading.Timer(until - time.monotonic(), self._hang_up)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        with contextlib.suppress(RuntimeError):  # there can be no thread: the timeout must do
            self._timer.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._timer.cancel()
        if self._timer.is_alive():
            self._timer.join()  # leave no thread behind
        for opened in self._sockets.values():
            opened.close()
        for connection in self._connections:
            for name in ("_new_conn", "close"):  # it may go on to serve others
                connection.__dict__.pop(name, None)

    def watch(self, adapter: HTTPAdapter) -> None:
        """Open all further connections of an adapter under this deadline."""
        pool_for = adapter.get_connection_with_tls_context

        def watched(*args: Any, **settings: Any) -> Any:
            pool = copy.copy(pool_for(*args, **settings))  # which may serve others too
            pool.ConnectionCls = functools.partial(self._connection, pool.ConnectionCls)  # type: ignore[assignment]
            return pool

        vars(adapter)["get_connection_with_tls_context"] = watched

    def check(self, cause: Exception | None = None) -> None:
        """Take nothing that came in, or went wrong, after the moment for an answer.

        :raises requests.ReadTimeout: when it has passed.
        """
        if self.passed:
            raise requests.ReadTimeout("the answer was not complete in time") from cause

    def _connection(self, kind: Callable[..., Any], *args: Any, **settings: Any) -> Any:
        connection = kind(*args, **settings)
        with contextlib.suppress(AttributeError):  # it has no socket, as in a browser
            new_conn, close = connection._new_conn, connection.close
            connection._new_conn = functools.partial(self._opened, connection, new_conn)
            connection.close = functools.partial(self._closed, connection, close)
            self._connections.append(connection)
        return connection

    def _opened(self, connection: Any, new_conn: Callable[[], socket.socket]) -> socket.socket:
        opened = new_conn()
        with contextlib.suppress(OSError):  # no descriptor is left: the timeout must do
            # TLS takes the socket itself away from whoever else holds it.
            self._sockets[id(connection)] = opened.dup()
        if self.passed:
            self._hang_up()
        return opened

    def _closed(self, connection: Any, close: Callable[[], None]) -> None:
        opened = self._sockets.pop(id(connection), None)
        if opened is not None:
            opened.close()  # or the server would not see that the other one is closed
        close()

    def _hang_up(self) -> None:
        self.passed = True  # before the reader wakes up
        for opened in list(self._sockets.values()):
            with contextlib.suppress(OSError):  # it has just been closed by the server
                opened.shutdown(socket.SHUT_RDWR)
