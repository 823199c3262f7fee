"""What several files share: threads that meet, answers that wait, TLS, a search for secrets."""

from __future__ import annotations

import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import trustme
from requests.structures import CaseInsensitiveDict

from clientcreds_requests.testing import LocalAuthorizationServer, RecordedRequest

PATIENCE = 20.0
"""Seconds after which a wait has failed; nothing is expected to take them."""


def elsewhere(url: str) -> str:
    """The same server by another name: another origin, and another host to requests."""
    return url.replace("127.0.0.1", "localhost")


def token_answer(access_token: str, **members: Any) -> dict[str, Any]:
    """The body of a successful answer of a token endpoint."""
    return {"access_token": access_token, "token_type": "Bearer", "expires_in": 3600, **members}


class Held:
    """A scripted answer that tells when its request has arrived, and waits to be released."""

    def __init__(self, reply: Any = None) -> None:
        self.arrived, self.released = threading.Event(), threading.Event()
        self._reply = reply

    def __call__(self, request: RecordedRequest) -> Any:
        self.arrived.set()
        self.released.wait(PATIENCE)
        return self._reply


def until(condition: Callable[[], object]) -> None:
    """Wait for what cannot be waited for otherwise."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, "it did not come to pass"
        threading.Event().wait(0.005)


class Crowd:
    """Threads that do the same at the same moment, and what came of it."""

    def __init__(self, size: int, work: Callable[[], Any]) -> None:
        self.outcomes: list[Any] = []
        self._work, self._barrier = work, threading.Barrier(size)
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(size)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        self._barrier.wait(PATIENCE)
        try:
            self.outcomes.append(self._work())
        except Exception as error:
            self.outcomes.append(error)

    def join(self) -> list[Any]:
        """Wait for all; return what each got: a value, or an exception."""
        for thread in self._threads:
            thread.join(PATIENCE)
        assert len(self.outcomes) == len(self._threads), "a thread is stranded"
        return self.outcomes


def together(size: int, work: Callable[[], Any]) -> list[Any]:
    """What so many threads get that do the same at the same moment."""
    return Crowd(size, work).join()


class TLSAuthorizationServer(LocalAuthorizationServer):
    """The local server behind TLS, with a certificate of the authority for 127.0.0.1.

    :param authority: signs the server's certificate.
    :param clients: the authority whose certificates clients must show; None: they need none.
    """

    def __init__(self, authority: trustme.CA, clients: trustme.CA | None = None) -> None:
        super().__init__()
        self.handshakes: list[str | None] = []
        """For every handshake the name in the client's certificate."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self._context)
        if clients is not None:
            self._context.verify_mode = ssl.CERT_REQUIRED
            clients.configure_trust(self._context)
        for listener in (self._authorization_server, self._api):
            self._put_tls_below(listener)

    def _put_tls_below(self, listener: Any) -> None:
        serve = listener._serve

        def serve_tls(connection: Any, port: int) -> None:
            with listener._state:
                thread = listener._connections.pop(connection)
                secured = self._context.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
                listener._connections[secured] = thread
            name = None
            try:
                secured.do_handshake()
                certificate: Any = secured.getpeercert() or {}
                name = dict(certificate.get("subjectAltName", ())).get("DNS")
            except OSError:
                pass  # reading will fail too
            self.handshakes.append(name)
            serve(secured, port)

        listener._serve = serve_tls

    @property
    def url(self) -> str:
        return super().url.replace("http:", "https:")

    @property
    def api_url(self) -> str:
        return super().api_url.replace("http:", "https:")


def texts_in(thing: object, seen: set[int] | None = None) -> Iterator[str]:
    """All text that can be reached from an object through exceptions, attributes and items."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, (type, int, float, type(texts_in))):
        return
    seen.add(id(thing))
    if isinstance(thing, (str, bytes)):
        yield thing if isinstance(thing, str) else thing.decode("latin-1")
        return
    if isinstance(thing, (dict, CaseInsensitiveDict)):
        inner = [*thing.keys(), *thing.values()]
    elif isinstance(thing, (list, tuple, set, frozenset)):
        inner = list(thing)
    else:
        slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
        inner = [getattr(thing, name, None) for name in (*slots, *getattr(thing, "__dict__", ()))]
    if isinstance(thing, BaseException):
        inner += [thing.args, thing.__cause__, thing.__context__, str(thing)]
    for part in inner:
        yield from texts_in(part, seen)


# Programs that tests take from the README and the guides count as tests.
_TESTS = (str(Path(__file__).parent), "README.md", ".github/docs")


def links_of(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that it leads to: causes, contexts, and the members of groups."""
    pending, seen = [error], set()
    while pending:
        link = pending.pop()
        if id(link) not in seen:
            seen.add(id(link))
            yield link
            pending += filter(None, (link.__cause__, link.__context__))
            pending += getattr(link, "exceptions", ())


def locals_in(error: BaseException) -> Iterator[tuple[str, str]]:
    """What error trackers record: the local variables of all frames that can be reached.

    Not those of the test that called: the outermost ones of a traceback, up to the first that is
    no test's.

    :return: where, and a text found there.
    """
    for link in links_of(error):
        called = False
        trace: TracebackType | None = link.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            called = called or not code.co_filename.startswith(_TESTS)
            if called:
                for name, value in trace.tb_frame.f_locals.items():
                    for text in _recorded(value):
                        yield f"{name} of {code.co_name} in {code.co_filename}", text
            trace = trace.tb_next


def _recorded(value: Any, depth: int = 4) -> Iterator[str]:
    if isinstance(value, (bytes, bytearray)):
        yield value.decode("latin-1")
    elif isinstance(value, str):
        yield value
    elif isinstance(value, (dict, CaseInsensitiveDict)) and depth:
        for part in (*value.keys(), *value.values()):
            yield from _recorded(part, depth - 1)
    elif isinstance(value, (list, tuple, set, frozenset)) and depth:
        for part in list(value):
            yield from _recorded(part, depth - 1)
    elif type(value) is type(_recorded):  # a function's name may be that of a parametrized test
        return
    try:
        yield repr(value)
    except Exception:  # half made
        return


def variables_of(thread: int) -> Iterator[str]:
    """The local variables of the package's frames in a thread, as tracers may record them."""
    frame = sys._current_frames()[thread]
    while frame is not None:
        if (frame.f_globals.get("__package__") or "").partition(".")[0] == "clientcreds_requests":
            yield repr(dict(frame.f_locals))
        frame = frame.f_back
