"""Message bodies within bounds: reading one that may never end, sending one again."""

from __future__ import annotations

import contextlib
import threading
import time

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
    raw = response.raw
    if response._content is not False or not isinstance(raw, HTTPResponse):
        response.content  # noqa: B018 - read already, or a test's stand-in for the network
        return
    # A socket's timeout bounds each read, and a chunk's size is read until its line ends: only
    # hanging up bounds a body that drips.
    late = threading.Event()
    watchdog = threading.Timer(until - time.monotonic(), _hang_up, [raw, late])
    watchdog.daemon = True
    with contextlib.suppress(RuntimeError):  # there can be no thread: the timeout must do
        watchdog.start()
    try:
        response._content = _read(raw, limit, late)
    except HTTPError as error:
        response.close()
        response._content = b""
        if late.is_set() or isinstance(error, ReadTimeoutError):
            raise requests.ReadTimeout(error) from error
        if isinstance(error, DecodeError):
            raise requests.exceptions.ContentDecodingError(error, response=response) from error
        raise requests.ConnectionError(error) from error
    finally:
        watchdog.cancel()
        if watchdog.is_alive():
            watchdog.join()  # leave no thread behind


def _hang_up(raw: HTTPResponse, late: threading.Event) -> None:
    late.set()  # before the reader wakes up
    with contextlib.suppress(Exception):  # the body has just ended by itself
        raw.shutdown()


def _read(raw: HTTPResponse, limit: int, late: threading.Event) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while not late.is_set():
        # read() would wait until a server that drips has filled its buffer.
        chunk = raw.read1(limit + 1 - size, decode_content=True)
        if not chunk and not late.is_set():
            raw.drain_conn()
            return b"".join(chunks)
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            raise DecodeError(f"the body is larger than {limit} bytes")
    raise ReadTimeoutError(None, None, "the body was not complete in time")  # type: ignore[arg-type]


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
