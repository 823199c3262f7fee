"""Token endpoints without HTTP, and waiting for what a manager does, for its tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from helpers import PATIENCE, until

from clientcreds_requests import Token, TokenError, TokenManager, TokenRequest

ANY = TokenRequest()


class Fetch:
    """A token endpoint without HTTP: hands out token1, token2, ... or does as it was told."""

    def __init__(self, clock=time) -> None:
        self.clock = clock
        self.lifetime: float | None = 3600.0
        self.calls = 0
        self.error: BaseException | None = None
        self.name: str | None = None
        """Of the token, if it is to be the same every time."""

    def __call__(self, request: TokenRequest) -> Token:
        self.calls += 1
        if self.error is not None:
            raise self.error
        name = self.name or f"token{self.calls}"
        if self.lifetime is None:
            return Token(name)
        return Token(name, expires_at=self.clock.time() + self.lifetime)


class Gate:
    """A fetch in front of another: while it is shut, it waits for being opened.

    :param beyond: makes the token requests.
    """

    def __init__(self, beyond: Callable[[TokenRequest], Token], *, shut: bool = True) -> None:
        self.shut, self.arrived = shut, threading.Semaphore(0)
        self._beyond, self._opened = beyond, threading.Event()

    def __call__(self, request: TokenRequest) -> Token:
        self.arrived.release()
        if self.shut:
            assert self._opened.wait(PATIENCE), "nobody has opened the gate"
        return self._beyond(request)

    def open(self) -> None:
        """Let everybody through, now and from now on."""
        self.shut = False
        self._opened.set()

    def wait_for_one(self) -> None:
        """Wait until somebody stands before the gate, or has passed it."""
        assert self.arrived.acquire(timeout=PATIENCE), "nobody has come to the gate"


@pytest.fixture
def fetch(clock) -> Fetch:
    return Fetch(clock)


@pytest.fixture
def manager(fetch) -> TokenManager:
    return TokenManager(fetch, deadline=10.0)


def settle(manager: TokenManager, request: TokenRequest = ANY) -> None:
    """Wait for the token request under way, whatever comes of it."""
    fetch = manager.entry(request).fetch
    if fetch is not None:
        fetch.future.exception(5)
    for thread in threading.enumerate():
        if thread.name == "clientcreds-requests":
            thread.join(5)


def joined(manager: TokenManager, count: int) -> None:
    """Wait until so many callers wait for the token requests of others."""
    until(lambda: manager.stats().joined == count)


def failures(manager: TokenManager, count: int) -> None:
    for _ in range(count):
        with pytest.raises(TokenError):
            manager.get_token(insist=True)
