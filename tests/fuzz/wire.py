"""The bytes of an answer over a real socket, and all of the package that meets them there."""

from __future__ import annotations

import itertools
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import requests

from clientcreds_requests import (
    ClientCredentialsAuth,
    ClientSecretBasic,
    ClientSecretPost,
    TokenEndpoint,
    TokenError,
    TokenRequest,
)

from .cases import ACCESS_TOKEN, CLIENT_ID, CLIENT_SECRET, PORT, Case
from .verdict import Complaint, judge, judge_frames

DEADLINE = 1.0
"""Seconds that a token request may take."""
SLACK = 2.0
"""Seconds that a busy machine may take on top."""

_GOOD = b'{"access_token":"%b","expires_in":3600}' % ACCESS_TOKEN.encode()
_GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(_GOOD), _GOOD)
_DONE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Server:
    """Answers with the bytes of a case, where its target is asked, and well elsewhere."""

    def __init__(self) -> None:
        self.case = Case("token", "close", b"")
        self._accepted = itertools.count()
        self._stopped = False

    def __enter__(self) -> Server:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stopped = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._socket.close()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            if self._stopped:
                connection.close()
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(5)
            path = self._read_request(connection)
            case = self.case
            target = {"/token": "token", "/api": "api"}.get(path, "metadata")
            if target == case.target:
                data = case.data.replace(PORT, b"%05d" % self.port)
                self._send(connection, data, case.ending)
            elif target == "token":
                connection.sendall(_GOOD)
            else:
                connection.sendall(_DONE)

    @staticmethod
    def _read_request(connection: socket.socket) -> str:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return ""
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        left = int(length or 0) - len(body)
        while left > 0:
            left -= len(connection.recv(65536)) or left
        return head.split(b" ", 2)[1].partition(b"?")[0].decode("latin-1")

    @staticmethod
    def _send(connection: socket.socket, data: bytes, ending: str) -> None:
        if ending == "flood":
            data *= 1 + 4096 // (len(data) or 1)
            while True:
                connection.sendall(data)
        if ending == "drip":
            for at in range(len(data)):
                connection.sendall(data[at : at + 1])
                time.sleep(0.02)
        else:
            connection.sendall(data)
        if ending in ("hang", "drip"):
            with suppress(TimeoutError):
                connection.recv(1)  # until the client leaves
        elif ending == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(0.5)
            connection.recv(1)  # a close under unread data would be a reset


class NowhereElse:
    """While it is entered, connections lead to the one port, and names are not looked up."""

    def __init__(self, port: int) -> None:
        self._port = port

    def __enter__(self) -> None:
        self._real = real = socket.getaddrinfo

        def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
            if host not in ("127.0.0.1", "localhost") or port != self._port:
                raise socket.gaierror(socket.EAI_NONAME, "not in a fuzz run")
            return real("127.0.0.1", port, *args, **options)

        socket.getaddrinfo = getaddrinfo

    def __exit__(self, *exc_info: object) -> None:
        socket.getaddrinfo = self._real


def run(server: Server, case: Case, variant: int = 0) -> str:
    """What comes of a case, in a word.

    :param variant: chooses how the client asks.
    :raises Exception: which is a failure of the package.
    """
    server.case = case
    ask = {"token": _token, "metadata": _metadata, "api": _api}[case.target]
    started = time.monotonic()
    try:
        return ask(server, variant)
    finally:
        took = time.monotonic() - started
        # Two attempts at the API, and one at the endpoint.
        if took > (3 * DEADLINE if case.target == "api" else DEADLINE) + SLACK:
            raise Complaint(f"it took {took:.1f} s")


def _outcome(ask: Callable[[], object]) -> object:
    try:
        return ask()
    except Exception as error:
        return error


def _judged(outcome: object, *, echoes: bool = True) -> str:
    if isinstance(outcome, Exception) and not isinstance(outcome, requests.RequestException):
        raise outcome
    # Without an echo the server cannot know the secret: its own words may happen to be it.
    if isinstance(outcome, TokenError) and echoes:
        judge_frames(outcome)
    return judge(outcome, echoes=echoes)


def _token(server: Server, variant: int) -> str:
    url = f"{server.origin}/token"
    if variant % 2:
        auth = ClientCredentialsAuth(
            url, CLIENT_ID, CLIENT_SECRET, retries=0, deadline=DEADLINE, timeout=DEADLINE
        )
        return _judged(_outcome(auth.get_token))
    method = (ClientSecretPost if variant % 4 else ClientSecretBasic)(CLIENT_SECRET)
    endpoint = TokenEndpoint(
        url, CLIENT_ID, method, body="form", retries=0, deadline=DEADLINE, timeout=DEADLINE
    )
    return _judged(_outcome(lambda: endpoint(TokenRequest())))


def _metadata(server: Server, variant: int) -> str:
    auth = ClientCredentialsAuth.from_issuer(
        server.origin, CLIENT_ID, CLIENT_SECRET, retries=0, deadline=DEADLINE, timeout=DEADLINE
    )
    return _judged(_outcome(auth.get_token), echoes=False)


def _api(server: Server, variant: int) -> str:
    auth = ClientCredentialsAuth(
        f"{server.origin}/token", CLIENT_ID, CLIENT_SECRET, retries=0, deadline=DEADLINE
    )
    options = {"timeout": DEADLINE, "allow_redirects": variant % 2 == 0, "data": b"body"}
    url = f"{server.origin}/api"
    outcome = _outcome(lambda: requests.post(url, auth=auth, **options))
    if isinstance(outcome, requests.Response):
        return f"answer {outcome.status_code}"
    if not isinstance(outcome, requests.RequestException):
        plain = _outcome(lambda: requests.post(url, **options))
        if type(plain) is not type(outcome):
            raise Complaint(f"{outcome!r:.300}; without the auth: {plain!r:.300}") from outcome
        return f"{type(outcome).__name__}, as without the auth"
    return type(outcome).__name__
