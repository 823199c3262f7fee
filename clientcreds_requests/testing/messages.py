"""What goes over the wire: the requests that arrive and the answers that leave."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from http.client import HTTPMessage, parse_headers, responses
from io import BufferedReader
from time import monotonic  # by name: a test that patches time.monotonic must not move this clock
from typing import Any, Final, Literal, TypeAlias, cast
from urllib.parse import parse_qs

TokenState: TypeAlias = Literal["valid", "expired", "revoked", "unknown", "none"]


class Fault(Enum):
    """What a server can do instead of answering."""

    RESET = "reset the connection"
    HANG = "no answer, until the client leaves or the server is stopped"


RESET: Final = Fault.RESET
HANG: Final = Fault.HANG


@dataclass(frozen=True)
class Answer:
    """A well-formed HTTP answer; ``Content-Type`` and ``Content-Length`` are added unless given::

        Answer(400, {"error": "invalid_scope"})
        Answer(200, "<html>", {"Content-Type": "text/html"})

    :param status: the status code.
    :param body: bytes, text, or a dict that is sent as JSON.
    :param headers: a mapping, or pairs of name and value where a name is to be repeated.
    """

    status: int = 200
    body: bytes | str | dict[str, Any] = b""
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = ()

    def __repr__(self) -> str:  # a body may hold a token
        return f"Answer({self.status})"

    def encode(
        self, request: RecordedRequest, further: Mapping[str, str] | None = None
    ) -> tuple[bytes, bool]:
        """Return the bytes that answer `request`, and whether the connection stays open.

        :param further: header fields to add unless they are given.
        """
        headers = HTTPMessage()
        pairs = self.headers
        if isinstance(pairs, Mapping):
            pairs = cast("Mapping[str, str]", pairs).items()
        for name, value in pairs:
            headers[name] = value  # appends, as HTTPMessage does
        match self.body:
            case bytes(body):
                content_type = "application/octet-stream"
            case str(text):
                body, content_type = text.encode(), "text/plain; charset=utf-8"
            case content:
                body, content_type = json.dumps(content).encode(), "application/json"
        defaults = dict(further or {})
        if body:
            defaults["Content-Type"] = content_type
        if self.status != 204:
            defaults["Content-Length"] = str(len(body))
        if (
            request.version == "HTTP/1.0"
            or request.headers.get("Connection", "").lower() == "close"
        ):
            defaults["Connection"] = "close"
        for name, value in defaults.items():
            if name not in headers:
                headers[name] = value
        head = f"HTTP/1.1 {self.status} {responses.get(self.status, 'Unknown')}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        content_sent = b"" if request.method == "HEAD" else body
        return f"{head}\r\n".encode("latin-1") + content_sent, headers["Connection"] != "close"


def oauth_error(
    error: str, description: str, status: int = 400, headers: Mapping[str, str] | None = None
) -> Answer:
    """Return the error answer of RFC 6749 section 5.2."""
    content = {"error": error, "error_description": description}
    return Answer(status, content, {"Cache-Control": "no-store", **(headers or {})})


@dataclass(frozen=True, repr=False)
class RecordedRequest:
    """A request as the server saw it, and how it ended; times are seconds of a monotonic clock."""

    method: str
    """Empty, as are path and headers, for a connection that was reset unread during an outage."""
    path: str
    """Of the URL, as it was sent."""
    query: str
    """Of the URL, without the question mark."""
    version: str
    """Such as ``HTTP/1.1``."""
    headers: HTTPMessage
    """``headers.get(name)`` and ``headers.get_all(name)`` ignore the case of names."""
    body: bytes
    """As it was sent; see :attr:`params`."""
    client_port: int
    """The port of the client's end: requests on one connection have the same."""
    started: float
    """When its first line had arrived."""
    ended: float | None = None
    """When its answer was about to be sent; None while it is in flight."""
    status: int | None = None
    """None while it is in flight, and where a fault or raw bytes took the place of an answer."""
    client_id: str | None = None
    """The client that proved who it is; at the API, the one that the access token was issued to."""
    access_token: str | None = None
    """The token presented to the API."""
    token_state: TokenState | None = None
    """What that token was worth on arrival; None for token requests."""

    @property
    def params(self) -> dict[str, Any]:
        """The body's JSON members or form parameters (a repeated one as a list), or nothing."""
        content: dict[str, Any] | list[Any] | str | float | None = {}
        with suppress(ValueError, RecursionError):
            match self.headers.get_content_type():
                case "application/json":
                    content = json.loads(self.body)
                case "application/x-www-form-urlencoded":
                    pairs = parse_qs(self.body.decode()).items()
                    content = {name: v[0] if len(v) == 1 else v for name, v in pairs}
                case _:  # nothing that a client of ours sends
                    pass
        return content if isinstance(content, dict) else {}

    def __repr__(self) -> str:  # query, headers and body may hold secrets
        return (
            f"<RecordedRequest {self.method} {self.path} status={self.status}"
            f" client_id={self.client_id!r} token_state={self.token_state}>"
        )


def read_request(stream: BufferedReader, client_port: int) -> RecordedRequest | None:
    """Read one whole request, so that the next one can follow; None when the client has left.

    :raises ValueError: (or HTTPException) when it is not HTTP.
    :raises EOFError: when the client left in the middle of it.
    """
    if not (line := stream.readline(65537)):
        return None
    started = monotonic()
    method, target, version = line.decode("latin-1").split()
    headers = parse_headers(stream)
    path, _, query = target.partition("?")
    body = _read_body(stream, headers)
    return RecordedRequest(method, path, query, version, headers, body, client_port, started)


def _read_body(stream: BufferedReader, headers: HTTPMessage) -> bytes:
    if headers.get("Transfer-Encoding", "").lower() != "chunked":
        return _read_exactly(stream, int(headers.get("Content-Length", "0")))
    body = b""
    while size := int(stream.readline(65537).partition(b";")[0], 16):
        body += _read_exactly(stream, size)
        _read_exactly(stream, 2)
    parse_headers(stream)  # the trailer
    return body


def _read_exactly(stream: BufferedReader, size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise EOFError
    return content


def is_preflight(request: RecordedRequest) -> bool:
    """Return True if a browser asks whether it may send the request that a page wants to send."""
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers


@dataclass(frozen=True)
class IssuedToken:
    """An access token as the server knows it.

    :param access_token: what the API accepts.
    :param client_id: the client that it was issued to.
    :param scope: as granted, space-separated.
    :param issued_at: seconds of the monotonic clock.
    :param lifetime: seconds. None: it does not expire.
    :param revoked: True if the API refuses it.
    """

    access_token: str = field(repr=False)
    client_id: str
    scope: str | None
    issued_at: float
    lifetime: float | None
    revoked: bool = False

    @property
    def expires_at(self) -> float | None:
        """The end of its lifetime. None: it has no end."""
        return None if self.lifetime is None else self.issued_at + self.lifetime

    @property
    def state(self) -> TokenState:
        """What the token is worth now."""
        if self.revoked:
            return "revoked"
        expired = self.expires_at is not None and monotonic() >= self.expires_at
        return "expired" if expired else "valid"
