"""A deadline for connections, and bounds for bodies."""

from __future__ import annotations

import contextlib
import copy
import socket
import threading
import time
from queue import Queue
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
    """A context that shuts down its connections at the deadline.

    The timeout of a socket bounds each read only: a head that arrives byte by byte, or one interim
    answer after the other, would be read for ever. A ``body`` that is being read already is shut
    down, too.
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
        # Where no thread can be started, only the timeout bounds each read.
        self._timer = start_thread(lambda: threading.Timer(left, self._hang_up))
        return self

    def __exit__(self, *_: object) -> None:
        if isinstance(self._timer, threading.Timer):
            self._timer.cancel()
            self._timer.join()  # no thread outlives its request
        for connection in self._connections:  # else open until garbage is collected
            with contextlib.suppress(Exception):
                connection.close()

    def check(self, cause: Exception | None = None) -> None:
        """Raise ``requests.ReadTimeout`` after the deadline: a cut-off answer can look complete."""
        if self.passed:
            raise requests.ReadTimeout("the answer was not complete in time") from cause

    def twin_of(self, adapter: BaseAdapter) -> BaseAdapter:
        """Return an adapter with the same settings, and watched connections of its own.

        In the session's pool the connection of a token request would remain, idle or closed by
        the server, and an API call might pick it. Adapters of other kinds are returned as they are.
        """
        if not isinstance(adapter, HTTPAdapter):
            return adapter

        kind: Any = type(adapter)

        def pool_of(twin: HTTPAdapter, *args: Any, **settings: Any) -> Any:
            # A copy with a queue of its own, since an adapter may return a pool that others use.
            pool = copy.copy(kind.get_connection_with_tls_context(twin, *args, **settings))
            pool.ConnectionCls = self.connection_class(pool.ConnectionCls)
            if isinstance(pool.pool, Queue):  # forks of urllib3 have other containers
                pool.pool = pool.QueueCls(1)
                pool.pool.put(None)  # urllib3's mark of a free place
            return pool

        def finalize(_twin: HTTPAdapter) -> None:
            """Do nothing: what the adapter's own finalizer would close is still in use."""

        own = {"get_connection_with_tls_context": pool_of, "__del__": finalize}
        try:
            twin: HTTPAdapter = object.__new__(type(kind.__name__, (kind,), own))
        except TypeError:  # its class allows no such subclass: the timeout of each read must do
            return adapter
        twin.__dict__.update(adapter.__dict__, proxy_manager={})
        twin.poolmanager = copy.copy(adapter.poolmanager)
        twin.poolmanager.pools = type(adapter.poolmanager.pools)(1)
        twin.max_retries = Retry(0, read=False)  # RetryAdapter retries
        return twin

    def connection_class(self, kind: Any) -> Any:
        """Return a subclass of a connection class whose connections are watched."""

        def connect(connection: Any, *args: Any, **settings: Any) -> None:
            # Known before it connects: a proxy may answer CONNECT byte by byte.
            self._connections.append(connection)
            kind.connect(connection, *args, **settings)
            # http.client drops the socket before the body of a "Connection: close" answer ends.
            self._sockets.append(getattr(connection, "sock", None))
            if self.passed:
                self._hang_up()

        return type(kind.__name__, (kind,), {"connect": connect})

    def _hang_up(self) -> None:
        self.passed = True  # before the reader wakes up
        if self._body is not None:
            with contextlib.suppress(Exception):  # its end may have been reached
                self._body.shutdown()
        for opened in [*self._sockets, *(getattr(c, "sock", None) for c in self._connections)]:
            # TLS within TLS wraps a socket without being one.
            bare: Any = getattr(opened, "socket", opened)
            with contextlib.suppress(Exception):  # it may be closed, or a stub
                # Below TLS: SSLSocket.shutdown() would drop the state that the reader uses.
                socket.socket.shutdown(bare, socket.SHUT_RDWR)


def read_body(response: requests.Response, limit: int, watchdog: Watchdog) -> None:
    """Read a streamed response into ``response.content``, which stays empty if that fails.

    :param limit: the maximum size in bytes, after decompression.
    :raises requests.RequestException: if the body is late, truncated, too large or malformed; for
        the latter two only if the status does not tell of an error anyway.
    """
    raw = response.raw
    try:
        if CONTENT_CAN_BE_SET and response._content is False and isinstance(raw, HTTPResponse):
            response._content = b""
            content = raw.read(limit + 1, decode_content=True)
        else:  # read already, or by what stands in for the network: a browser, a stub
            content = response.content or b""
        if len(content) > limit:
            raise DecodeError(f"the body is larger than {limit} bytes")
    except DecodeError as error:
        response.close()
        if response.status_code < 400:
            raise requests.exceptions.ContentDecodingError(error, response=response) from error
    except HTTPError as error:
        response.close()
        timed_out = isinstance(error, ReadTimeoutError)
        raise (requests.ReadTimeout if timed_out else requests.ConnectionError)(error) from error
    else:
        watchdog.check()  # what was cut off can look complete
        response._content = content
