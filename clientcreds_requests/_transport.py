"""A deadline for connections, and a bound for bodies: whatever a server does, reading it ends."""

from __future__ import annotations

import contextlib
import copy
import socket
import threading
import time
from queue import Queue
from types import TracebackType
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import Retry
from urllib3.exceptions import DecodeError, HTTPError, ReadTimeoutError
from urllib3.response import HTTPResponse

from ._checks import CONTENT_CAN_BE_SET
from ._fork import start_thread

if TYPE_CHECKING:
    from typing_extensions import Self


class Watchdog:
    """Hangs up at the deadline on the connections that were opened under it.

    A socket's timeout bounds each read, and a head is read until it ends: one that drips, or that
    is one interim answer after the other, would be read for ever.

    :param until: the deadline, a moment on the monotonic clock.
    :param body: one that is being read already, to hang up on as well.
    """

    def __init__(self, until: float, body: HTTPResponse | None = None) -> None:
        #: True once the deadline has passed.
        self.passed: bool = False
        self._until = until
        self._body = body
        self._connections: list[Any] = []
        self._sockets: list[Any] = []

    def __enter__(self) -> Self:
        left = max(0.0, self._until - time.monotonic())
        # Where there can be no thread, the timeout of each read must do.
        self._timer = start_thread(lambda: threading.Timer(left, self._hang_up))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(self._timer, threading.Timer):
            self._timer.cancel()
            self._timer.join()  # no thread outlives its request
        # None stays open: an adapter that is thrown away would leave that to the collector.
        for connection in self._connections:
            with contextlib.suppress(Exception):
                connection.close()
        self._connections.clear()
        self._sockets.clear()

    def check(self, cause: Exception | None = None) -> None:
        """Accept no answer, and no failure, that came after the deadline.

        :raises requests.ReadTimeout: if it has passed: what was cut off can look complete.
        """
        if self.passed:
            raise requests.ReadTimeout("the answer was not complete in time") from cause

    def twin_of(self, adapter: BaseAdapter) -> BaseAdapter:
        """Return an adapter with the same settings, and connections of its own that are watched.

        In the session's pool the connection of the token request would stay behind, idle or
        already closed by the server, for an API call to trip over.

        :param adapter: returned as it is if it has no connections, such as a stub's.
        """
        if not isinstance(adapter, HTTPAdapter):
            return adapter
        kind: Any = type(adapter)
        twin: HTTPAdapter = object.__new__(type(kind.__name__, (_Watched, kind), {}))
        twin.__dict__.update(adapter.__dict__, _watchdog=self)
        twin.poolmanager = copy.copy(adapter.poolmanager)
        twin.poolmanager.pools = type(adapter.poolmanager.pools)(1)
        twin.proxy_manager = {}
        twin.max_retries = Retry(0, read=False)  # one policy of retries is enough
        return twin

    def connection_class(self, kind: Any) -> Any:
        """A subclass of a connection class whose connections are watched."""

        def connect(connection: Any, *args: Any, **settings: Any) -> None:
            # Known before it connects: a proxy may drip its answer to CONNECT.
            self._connections.append(connection)
            kind.connect(connection, *args, **settings)
            # http.client lets go of the socket before a body ends that the server closes.
            self._sockets.append(getattr(connection, "sock", None))
            if self.passed:
                self._hang_up()

        return type(kind.__name__, (kind,), {"connect": connect})

    def _hang_up(self) -> None:
        self.passed = True  # before the reader wakes up
        if self._body is not None:
            with contextlib.suppress(Exception):  # read to its end meanwhile
                self._body.shutdown()
        for opened in [*self._sockets, *(getattr(c, "sock", None) for c in self._connections)]:
            # TLS within TLS is no socket, but has one.
            bare: Any = getattr(opened, "socket", opened)
            with contextlib.suppress(Exception):  # closed meanwhile, or no real socket
                # Below TLS, whose own shutdown() would pull its state away from the reader.
                socket.socket.shutdown(bare, socket.SHUT_RDWR)


class _Watched:
    """Makes the connections of an adapter watched ones; mixed into its own class."""

    _watchdog: Watchdog

    def get_connection_with_tls_context(self, *args: Any, **settings: Any) -> Any:
        inherited: Any = super()
        # A copy with a queue of its own: an adapter may bring along a pool that serves others.
        pool = copy.copy(inherited.get_connection_with_tls_context(*args, **settings))
        pool.ConnectionCls = self._watchdog.connection_class(pool.ConnectionCls)
        if isinstance(pool.pool, Queue):  # forks of urllib3 keep their connections otherwise
            pool.pool = pool.QueueCls(1)
            pool.pool.put(None)  # as urllib3 marks a place that is free
        return pool


def read_body(response: requests.Response, limit: int, watchdog: Watchdog) -> None:
    """Read a streamed response to its end, so that ``response.content`` has it.

    :param limit: the most bytes to take, after decompression.
    :param watchdog: ends what goes on beyond the deadline.
    :raises requests.RequestException: if the body goes on beyond either, breaks off or cannot be
        decoded. The connection is closed then, and ``response.content`` empty.
    """
    raw = response.raw
    if not (CONTENT_CAN_BE_SET and response._content is False and isinstance(raw, HTTPResponse)):
        response.content  # noqa: B018 - read already, or a test's stand-in for the network
        return
    response._content = b""
    try:
        content = _read(raw, limit)
        watchdog.check()
    except HTTPError as error:
        response.close()
        if isinstance(error, ReadTimeoutError):
            raise requests.ReadTimeout(error) from error
        if isinstance(error, DecodeError):
            raise requests.exceptions.ContentDecodingError(error, response=response) from error
        raise requests.ConnectionError(error) from error
    response._content = content


def _read(raw: HTTPResponse, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    # read() would wait until a server that drips has filled its buffer.
    while chunk := raw.read1(limit + 1 - size, decode_content=True):
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            raise DecodeError(f"the body is larger than {limit} bytes")
    raw.drain_conn()
    return b"".join(chunks)
