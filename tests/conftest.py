"""What all tests share: a real server, a clean environment, and a clock that obeys."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from time import perf_counter

import pytest
import secrecy
from hypothesis import settings

import clientcreds_requests
from clientcreds_requests import ClientCredentialsAuth
from clientcreds_requests.testing import LocalAuthorizationServer

# The same examples in every run: a failure is one of the code, and shows on every machine.
settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.load_profile("deterministic")


secrecy.watch()


@pytest.fixture(autouse=True)
def no_secret_gets_out(request: pytest.FixtureRequest):
    """S1, in every test: what is left behind holds neither client secret nor access token."""
    notes = secrecy.begin()
    yield
    secrecy.begin()  # nothing that comes later is this test's
    if not request.node.get_closest_marker("tells_secrets"):
        leaks = list(notes.leaks())
        assert not leaks, "\n".join(leaks)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory):
    """Nothing of this machine's proxies, certificates or netrc."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path_factory.getbasetemp() / "no-netrc"))


@pytest.fixture
def server() -> Iterator[LocalAuthorizationServer]:
    """A running authorization server, and the API beside it."""
    with LocalAuthorizationServer() as running:
        yield running


@pytest.fixture
def make_auth(server: LocalAuthorizationServer) -> Callable[..., ClientCredentialsAuth]:
    """Makes an auth for the server, with any further arguments."""

    def make(**options) -> ClientCredentialsAuth:
        if "client_auth" not in options or isinstance(options["client_auth"], str):
            options.setdefault("client_secret", server.client_secret)
        return ClientCredentialsAuth(server.token_endpoint, server.client_id, **options)

    return make


@pytest.fixture
def auth(make_auth: Callable[..., ClientCredentialsAuth]) -> ClientCredentialsAuth:
    """An auth for the server."""
    return make_auth()


class Clock:
    """Stands in for the time module inside the package; it goes only when it is told to."""

    def __init__(self) -> None:
        self.wall, self.mono = 1_800_000_000.0, 5_000.0
        self.slept: list[float] = []

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.mono

    perf_counter = staticmethod(perf_counter)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass, on both clocks."""
        self.wall += seconds
        self.mono += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock, as NTP or an operator does."""
        self.wall += seconds

    def suspend(self, seconds: float) -> None:
        """Sleep as a laptop does: the monotonic clock stands still."""
        self.wall += seconds


def patch_time(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """Give the clock to every module of the package, but for its testing servers."""
    prefix = f"{clientcreds_requests.__name__}."
    for name, module in list(sys.modules.items()):
        if name.startswith(prefix) and ".testing" not in name and hasattr(module, "time"):
            monkeypatch.setattr(module, "time", clock)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that goes only when it is told to, for the whole package."""
    clock = Clock()
    patch_time(monkeypatch, clock)
    return clock
