"""A redis-server in a process of its own, which can be stopped, started and held."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

PATIENCE = 20.0
"""Seconds after which a wait has failed; nothing is expected to take them."""

#: Asks once: what a Redis that is not there yet answers is for the tests to wait for.
ONCE = Retry(NoBackoff(), 0)


needs_redis_server = pytest.mark.skipif(
    shutil.which("redis-server") is None and os.environ.get("CLIENTCREDS_REDIS") != "required",
    reason="redis-server is not installed (Debian: apt-get install redis-server)",
)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class RedisServer:
    """A server with nothing in it, on a socket of its own; a context manager.

    :param options: of the command line.
    :param port: on loopback, instead of the socket.
    """

    def __init__(self, *options: str, port: int = 0) -> None:
        # The path of a socket must be short.
        self.directory = tempfile.mkdtemp(prefix="redis-", dir="/tmp")
        self._path = f"{self.directory}/socket"
        self.port = port
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> dict[str, Any]:
        """Where it is, as arguments of a client."""
        if self.port:
            return {"host": "127.0.0.1", "port": self.port}
        return {"unix_socket_path": self._path}

    def client(self, **options: Any) -> redis.Redis:
        """A client with the settings that its users have by default, and a timeout."""
        return redis.Redis(**{**self.address, "socket_timeout": PATIENCE, **options})

    def start(self) -> RedisServer:
        where = ["--bind", "127.0.0.1"]
        where += [] if self.port else ["--unixsocket", self._path]
        self._process = subprocess.Popen(
            [
                "redis-server",
                *("--port", str(self.port), *where, "--dir", self.directory),
                *("--save", "", "--appendonly", "no", "--logfile", "log"),
                *self._options,
            ]
        )
        give_up = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None, "redis-server has ended"
            assert time.monotonic() < give_up, "redis-server does not answer"
            time.sleep(0.005)
        return self

    def _answers(self) -> bool:
        # Not by a client: some do not close what could not be connected.
        with socket.socket(socket.AF_INET if self.port else socket.AF_UNIX) as probe:
            probe.settimeout(PATIENCE)
            try:
                probe.connect(("127.0.0.1", self.port) if self.port else self._path)
                probe.sendall(b"PING\r\n")
                return probe.recv(64).startswith(b"+PONG")
            except OSError:
                return False

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """As a machine does that loses its power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    __enter__ = start

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
