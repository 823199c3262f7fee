"""What the tests of the token request share: the way to a server, and a socket that hangs up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
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
