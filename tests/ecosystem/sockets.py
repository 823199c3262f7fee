"""Servers that hand a connection on: on a Unix socket, and a SOCKS5 proxy (RFC 1928)."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit


@contextmanager
def accepting(listener: socket.socket, serve: Callable[[socket.socket], None]) -> Iterator[None]:
    """Serve each connection in a thread of its own."""

    def accept() -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=guarded, args=(connection,), daemon=True).start()

    def guarded(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            serve(connection)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def join(one: socket.socket, other: socket.socket) -> None:
    """Hand on in both directions, until both sides have ended."""
    back = threading.Thread(target=copy, args=(other, one), daemon=True)
    back.start()
    copy(one, other)
    back.join()


def copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def unix_server(url: str) -> Iterator[str]:
    """Serve on a Unix socket what is at a URL; the path of the socket."""
    address = ("127.0.0.1", urlsplit(url).port)

    def serve(connection: socket.socket) -> None:
        with socket.create_connection(address) as target:
            join(connection, target)

    # Not in the test's folder: the path of a socket may have about 100 characters.
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "api.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        with accepting(listener, serve):
            yield path


class SocksProxy:
    """A SOCKS5 proxy without authentication, for names and IPv4 addresses."""

    def __init__(self, port: int) -> None:
        self.url = f"socks5h://127.0.0.1:{port}"
        self.targets: list[tuple[str, int]] = []
        """Host and port of each connection, in that order."""

    def serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            _, methods = stream.read(2)
            stream.read(methods)
            connection.sendall(b"\x05\x00")
            _, _, _, kind = stream.read(4)
            if kind == 1:
                host = socket.inet_ntoa(stream.read(4))
            else:
                host = stream.read(stream.read(1)[0]).decode()
            port = int.from_bytes(stream.read(2), "big")
        self.targets.append((host, port))
        with socket.create_connection((host, port)) as target:
            connection.sendall(b"\x05\x00\x00\x01" + bytes(6))
            join(connection, target)


@contextmanager
def socks_server() -> Iterator[SocksProxy]:
    listener = socket.create_server(("127.0.0.1", 0))
    proxy = SocksProxy(listener.getsockname()[1])
    with accepting(listener, proxy.serve):
        yield proxy
