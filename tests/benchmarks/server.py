"""The token endpoint and the API, in a process of their own, as fast as Python allows.

One asyncio loop and no HTTP library, for it shares two cores with what is measured. (The package's
own test kit is the server to test with; it spends ten times as much on a request.) The process
that starts it tells it, through a pipe, what to be.
"""

from __future__ import annotations

import asyncio
import functools
import json
import multiprocessing
import secrets
import socket
import struct
import threading
from base64 import b64encode
from multiprocessing.connection import Connection
from time import monotonic
from typing import Any, NamedTuple

from .contenders import Where

CLIENT_ID, CLIENT_SECRET = "my-service", "an-unremarkable-secret"
CREDENTIALS = CLIENT_SECRET.encode(), b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode())
BEARER = b"\r\nauthorization: bearer "


class Counts(NamedTuple):
    """What the server has seen since it was last told to forget it."""

    #: When each token request arrived, on the monotonic clock; in an outage, each connection.
    token_requests: list[float]
    #: The calls that the API has answered with a 401.
    refused: int


class State:
    """What the server is told to be, and what it has seen; its methods are what it can be told."""

    def __init__(self) -> None:
        self.lifetime, self.latency, self.down = 3600.0, 0.0, False
        self.tokens: dict[bytes, float] = {}
        self.forget()

    def forget(self) -> None:
        self.token_requests: list[float] = []
        self.refused = 0

    def change(self, **settings: Any) -> None:
        self.__dict__.update(settings)

    def counts(self) -> Counts:
        return Counts(list(self.token_requests), self.refused)

    def revoke_all(self) -> None:
        self.tokens = {}

    def issue(self) -> str:
        token = secrets.token_urlsafe(32)
        # In lower case, as the head is compared.
        self.tokens[token.lower().encode()] = monotonic() + self.lifetime
        return token


class HTTP(asyncio.Protocol):
    """Reads requests one by one; subclasses answer them."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.buffer = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            head, end, rest = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            head = head.lower() + b"\r\n"
            _, _, length = head.partition(b"\r\ncontent-length:")
            size = int(length.partition(b"\r\n")[0] or 0)
            if len(rest) < size:
                return
            self.buffer = rest[size:]
            self.respond(head, rest[:size])

    def respond(self, head: bytes, body: bytes) -> None:
        raise NotImplementedError

    def send(self, status: str, content: dict[str, Any], headers: str = "") -> None:
        body = json.dumps(content)
        self.transport.write(
            f"HTTP/1.1 {status}\r\n{headers}Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )


class API(HTTP):
    def respond(self, head: bytes, body: bytes) -> None:
        token = head.partition(BEARER)[2].partition(b"\r\n")[0]
        if self.state.tokens.get(token, 0.0) > monotonic():
            self.send("200 OK", {"ok": True})
        else:
            self.state.refused += 1
            challenge = 'WWW-Authenticate: Bearer error="invalid_token"\r\n'
            self.send("401 Unauthorized", {"error": "invalid_token"}, challenge)


class TokenEndpoint(HTTP):
    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if self.state.down:
            self.reset()

    def reset(self) -> None:
        self.state.token_requests.append(monotonic())
        connection: socket.socket = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def respond(self, head: bytes, body: bytes) -> None:
        if self.state.down:
            self.reset()
            return
        self.state.token_requests.append(monotonic())
        if CREDENTIALS[0] in body or CREDENTIALS[1].lower() in head:
            answer: tuple[str, dict[str, Any]] = (
                "200 OK",
                {
                    "access_token": self.state.issue(),
                    "token_type": "Bearer",
                    "expires_in": int(self.state.lifetime),
                },
            )
        else:
            answer = ("401 Unauthorized", {"error": "invalid_client"})
        asyncio.get_running_loop().call_later(self.state.latency, self.send, *answer)


async def serve(pipe: Connection) -> None:
    """Serve until the other end of the pipe is closed."""
    state, loop = State(), asyncio.get_running_loop()
    ended = asyncio.Event()
    ports = []
    for protocol in (TokenEndpoint, API):
        serving = functools.partial(protocol, state)
        server = await loop.create_server(serving, "127.0.0.1", 0, backlog=1024)
        ports.append(server.sockets[0].getsockname()[1])

    def obey() -> None:
        try:
            while True:
                method, settings = pipe.recv()
                pipe.send(getattr(state, method)(**settings))
        except (EOFError, OSError):
            loop.call_soon_threadsafe(ended.set)

    pipe.send(ports)
    threading.Thread(target=obey, daemon=True).start()
    await ended.wait()


def run(pipe: Connection) -> None:
    asyncio.run(serve(pipe))


class Servers:
    """Both servers, as a context manager."""

    def __init__(self, **settings: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=run, args=(theirs,))
        self._process.start()
        theirs.close()
        token_port, api_port = self._pipe.recv()
        self.api_url = f"http://127.0.0.1:{api_port}/api"
        # Lives as long as any measurement, whatever lifetime the other tokens are given.
        self.where = Where(
            f"http://127.0.0.1:{token_port}/token", CLIENT_ID, CLIENT_SECRET, self._tell("issue")
        )
        self.change(**settings)

    def __enter__(self) -> Servers:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._pipe.close()
        self._process.join()

    def change(self, **settings: Any) -> None:
        """Set ``lifetime``, ``latency`` or ``down``."""
        self._tell("change", **settings)

    def counts(self) -> Counts:
        counts: Counts = self._tell("counts")
        return counts

    def forget(self) -> None:
        """Begin to count anew."""
        self._tell("forget")

    def revoke_all(self) -> None:
        """Let the API refuse all tokens issued so far."""
        self._tell("revoke_all")

    def _tell(self, method: str, **settings: Any) -> Any:
        self._pipe.send((method, settings))
        return self._pipe.recv()
