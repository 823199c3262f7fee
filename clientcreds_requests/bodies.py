"""Message bodies within bounds: reading one that may never end, sending one again."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import requests
from requests.utils import rewind_body
from urllib3.exceptions import DecodeError, HTTPError, ReadTimeoutError
from urllib3.response import HTTPResponse


def read_body(response: requests.Response, limit: int, until: float) -> None:
    """Read a streamed response to its end, so that ``response.content`` has it.

    :param limit: the most bytes to take, after decompression.
    :param until: the moment, on the monotonic clock, at which to give up.
    :raises requests.RequestException: when the body goes on beyond either, breaks off or cannot
        be decoded. The connection is closed then, and ``response.content`` empty.
    """
    try:
        response._content = _read(response, limit, until)
    except HTTPError as error:
        response.close()
        response._content = b""
        if isinstance(error, ReadTimeoutError) or time.monotonic() >= until:
            raise requests.ReadTimeout(error) from error
        if isinstance(error, DecodeError):
            raise requests.exceptions.ContentDecodingError(error) from error
        raise requests.ConnectionError(error) from error


def _read(response: requests.Response, limit: int, until: float) -> bytes:
    raw = response.raw
    if response._content is not False or not isinstance(raw, HTTPResponse):
        # It has been read, or is a test's stand-in for the network.
        return response.content
    with _hung_up_at(until, raw):
        return _read_chunks(raw, limit, until)


def _read_chunks(raw: HTTPResponse, limit: int, until: float) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while (left := until - time.monotonic()) > 0:
        sock = getattr(raw.connection, "sock", None)
        if sock is not None:
            sock.settimeout(left)
        # read() would wait until a server that drips has filled its buffer.
        chunk = raw.read1(limit + 1 - size, decode_content=True)
        if not chunk:
            raw.drain_conn()
            return b"".join(chunks)
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            raise DecodeError(f"the body is larger than {limit} bytes")
    raise ReadTimeoutError(None, None, "the body was not complete in time")  # type: ignore[arg-type]


@contextlib.contextmanager
def _hung_up_at(until: float, raw: HTTPResponse) -> Iterator[None]:
    """Break off a chunked body at that moment.

    Its chunk sizes are read line by line: a timeout bounds each read from the socket, but a line
    that drips in may take for ever.
    """
    if not raw.chunked:
        yield
        return
    watchdog = threading.Timer(max(0.0, until - time.monotonic()), _hang_up, [raw])
    watchdog.daemon = True
    with contextlib.suppress(RuntimeError):  # the interpreter is shutting down, or has no threads
        watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()
        if watchdog.is_alive():
            watchdog.join()


def _hang_up(raw: HTTPResponse) -> None:
    with contextlib.suppress(Exception):  # the body has just ended by itself
        raw.shutdown()


def rewind(request: requests.PreparedRequest) -> bool:
    """Make ready to send the request once more, with exactly the body it had.

    :return: False when that cannot be done: generators, pipes, files that do not seek.
    """
    if request.body is None or isinstance(request.body, (str, bytes, bytearray)):
        return True
    try:
        rewind_body(request)
    except Exception:  # whatever a foreign file object raises, it was not rewound
        return False
    return True
