"""A third-party authorization server in a process of its own, as the tests see it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

# What each server imports: without it, its tests are skipped.
NEEDS = {"authlib": ("authlib", "flask"), "django": ("django", "oauth2_provider")}

CLIENT_ID = "interop-client"
READY_WITHIN = 60.0
STOPPED_WITHIN = 5.0


@dataclass(frozen=True)
class Server:
    url: str
    secret: str

    @property
    def credentials(self) -> tuple[str, str, str]:
        """The URL, the id and the secret: all that our library should need."""
        return f"{self.url}/token", CLIENT_ID, self.secret

    @property
    def api(self) -> str:
        return f"{self.url}/api"

    def stats(self) -> Counter[str]:
        """What the server has answered so far, such as {"POST /token 200": 1}, by its own count."""
        return Counter(requests.get(f"{self.url}/stats", timeout=10).json())

    def revoke(self, token: str | None) -> None:
        """RFC 7009, by Basic because that is all that Authlib's endpoint reads by default."""
        requests.post(
            f"{self.url}/revoke", {"token": token}, auth=(CLIENT_ID, self.secret), timeout=10
        ).raise_for_status()


@contextmanager
def launch(framework: str, secret: str, lifetime: int, log: Path) -> Iterator[Server]:
    program = Path(__file__).parent / "servers" / f"{framework}_server.py"
    settings = {
        "INTEROP_CLIENT_ID": CLIENT_ID,
        "INTEROP_CLIENT_SECRET": secret,
        "INTEROP_LIFETIME": str(lifetime),
    }
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            [sys.executable, program],
            env=os.environ | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
        ) as process,
    ):
        try:
            if not (ready := _first_line(process)):
                raise RuntimeError(f"{program.name} did not start:\n{log.read_text()}")
            yield Server(json.loads(ready)["url"], secret)
        finally:
            _stop(process)


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout
    too_late = threading.Timer(READY_WITHIN, process.kill)
    too_late.start()
    try:
        return process.stdout.readline()
    finally:
        too_late.cancel()


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin
    process.stdin.close()
    try:
        process.wait(STOPPED_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
