"""What the tests of the token request share: the way to a server, and servers that misbehave."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from clientcreds_requests import (
    ClientAuth,
    ClientSecretPost,
    TokenEndpoint,
    TokenError,
    TokenRequest,
)
from clientcreds_requests.testing import LocalAuthorizationServer


def endpoint_of(
    server: LocalAuthorizationServer, client_auth: ClientAuth | None = None, **options: Any
) -> TokenEndpoint:
    """The way to a server's token endpoint: with its secret, and a form, unless told otherwise."""
    options = {"body": "form", "retries": 0, "deadline": 20.0, **options}
    auth = client_auth or ClientSecretPost(server.client_secret)
    return TokenEndpoint(server.token_endpoint, server.client_id, auth, **options)


def failure_of(ask: Callable[[TokenRequest], object]) -> TokenError:
    """The error of a token request that must fail."""
    with pytest.raises(TokenError) as caught:
        ask(TokenRequest())
    return caught.value


class HangingUp:
    """Accepts connections, waits for the first bytes, and closes without a word."""

    def __init__(self) -> None:
        self.connections = 0
        self._stopped = False

    def __enter__(self) -> HangingUp:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stopped = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                if self._stopped:
                    return
                self.connections += 1
                connection.settimeout(10)
                connection.recv(65536)


class Drip:
    """An answer that begins and then comes drop by drop, for six seconds or until nobody cares."""

    def __init__(self, head: bytes, drop: bytes = b"x") -> None:
        self.head, self.drop = head, drop

    def __iter__(self) -> Iterator[bytes]:
        yield self.head
        end = time.monotonic() + 6
        while time.monotonic() < end:
            time.sleep(0.1)
            yield self.drop


class Tunnel:
    """A proxy that knows CONNECT alone.

    :param answer: the pieces of its answer; only after a whole one there is a tunnel.
    :param context: for TLS on the way to the proxy.
    """

    def __init__(
        self,
        answer: Any = (b"HTTP/1.1 200 Connection established\r\n\r\n",),
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._answer, self._context = answer, context
        self.asked_for: list[str] = []

    def __enter__(self) -> Tunnel:
        self._listener = socket.create_server(("127.0.0.1", 0))
        scheme = "http" if self._context is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(20)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._threads.append(
                    threading.Thread(target=self._serve, args=[client], daemon=True)
                )
                self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(20)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            stack.callback(client.close)
            if self._context is not None:
                client = stack.enter_context(self._context.wrap_socket(client, server_side=True))
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)
            target = head.split()[1].decode()
            self.asked_for.append(target)
            for piece in self._answer:
                client.sendall(piece)
            host, _, port = target.rpartition(":")
            self._relay(
                client, stack.enter_context(socket.create_connection((host, int(port)), 20))
            )

    @staticmethod
    def _relay(client: socket.socket, server: socket.socket) -> None:
        """Copy both ways, in one thread: two must not use one TLS connection at a time."""
        while True:
            pending = isinstance(client, ssl.SSLSocket) and client.pending()
            ready = [client] if pending else select.select([client, server], [], [], 20)[0]
            for source in ready:
                piece = source.recv(65536)
                if not piece:
                    return
                (server if source is client else client).sendall(piece)
            if not ready:
                return
