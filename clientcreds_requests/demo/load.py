"""The load: threads that call the API steadily, and what each call was like."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from time import monotonic

import requests

from ..auth import ClientCredentialsAuth
from .settings import PATIENCE, PERIOD, THREADS


@dataclass(frozen=True)
class Call:
    """An API call as its caller saw it; times are seconds of the monotonic clock."""

    first: bool
    ended: float
    seconds: float
    status: int | None
    error: str
    refused: int  # times that the API said 401 before the answer

    @property
    def failure(self) -> str:
        """What the library should have spared the caller; empty when all is well."""
        return self.error or ("" if self.status == 200 else f"status {self.status}")


class Load:
    """Threads that wait for one another, and then call until the context is left.

    :param url: what they call.
    :param auth: what they share.
    :param calls: where their calls are put.
    """

    def __init__(self, url: str, auth: ClientCredentialsAuth, calls: list[Call]) -> None:
        self._url, self._auth, self._calls = url, auth, calls
        self._over = threading.Event()
        self._start = threading.Barrier(THREADS + 1)
        self._threads = [
            threading.Thread(target=self._call_steadily, args=(number,), daemon=True)
            for number in range(THREADS)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._start.abort()
        for thread in self._threads:
            thread.join(PATIENCE)

    def start(self) -> None:
        """Let all of them make their first call, at once."""
        self._start.wait(PATIENCE)

    def _call_steadily(self, number: int) -> None:
        with requests.Session() as session:
            session.auth, session.trust_env = self._auth, False
            try:
                self._start.wait()
            except threading.BrokenBarrierError:
                return
            self._call(session, first=True)
            due = monotonic() + PERIOD * number / THREADS
            while not self._over.wait(max(0.0, due - monotonic())):
                self._call(session)
                # Each keeps its beat, and does not make up for what it missed: after a wait they
                # would otherwise all call at once for ever.
                due += PERIOD * max(1, math.ceil((monotonic() - due) / PERIOD))

    def _call(self, session: requests.Session, *, first: bool = False) -> None:
        status, error, refused = None, "", 0
        started = monotonic()
        try:
            answer = session.get(self._url, timeout=PATIENCE)
            status, refused = answer.status_code, len(answer.history)
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"
        ended = monotonic()
        self._calls.append(Call(first, ended, ended - started, status, error, refused))
