"""What happens to a client in every test of this folder, whichever package is around it.

A token and two calls with it; another token when the first has expired; then the API revokes it in
the middle: a 401, a third token, and the same request again. The calls are judged by what arrives
at real servers on loopback. What was written meanwhile is searched for secrets.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, quote_plus

from clientcreds_requests import ClientCredentialsAuth, ClientCredentialsSession
from clientcreds_requests.testing import Answer, LocalAuthorizationServer, RecordedRequest


class Server(LocalAuthorizationServer):
    """The kit's server, whose API may speak a protocol of its own to those with a valid token."""

    answer: Callable[[RecordedRequest], Answer | None] | None = None
    """Answers a call that carries a valid token; None, or one that returns None: the kit's echo."""

    def _respond_to_call(self, request: RecordedRequest) -> Answer:
        if self.answer is not None and request.token_state == "valid":
            return self.answer(request) or super()._respond_to_call(request)
        return super()._respond_to_call(request)


class Clock(Protocol):
    """Lets time pass, for the package alone."""

    def advance(self, seconds: float) -> None: ...


class Story:
    """A client's life, told by calling the API.

    :param server: issues the tokens, and is the API.
    :param clock: lets the tokens expire, as far as the client can tell.
    """

    EXPECTED = ((1, 200), (2, 200), (2, 401), (3, 200))
    """The token's number and the status of each call that arrives; equals in a row count once."""

    def __init__(self, server: Server, clock: Clock) -> None:
        self.server = server
        self.clock = clock
        self.told = False
        self.further_secrets: list[str] = []
        """What else may stand nowhere, such as a secret of the test's own."""
        self._numbers = itertools.count(1)

    def auth(self, **options: Any) -> ClientCredentialsAuth:
        """An auth for the server."""
        options.setdefault("client_secret", self.server.client_secret)
        return ClientCredentialsAuth(self.server.token_endpoint, self.server.client_id, **options)

    def session(
        self, kind: Callable[..., Any] = ClientCredentialsSession, **options: Any
    ) -> ClientCredentialsSession:
        """A session for the server.

        :param kind: the class, which may have mixins.
        """
        server = self.server
        client = (server.token_endpoint, server.client_id, server.client_secret)
        session: ClientCredentialsSession = kind(*client, **options)
        return session

    @property
    def url(self) -> str:
        """Another URL of the API every time, so that no cache can answer for it."""
        return f"{self.server.api_url}/{next(self._numbers)}"

    def let_expire(self) -> None:
        """Let all tokens expire, as far as the client can tell."""
        self.clock.advance(self.server.lifetime or 0)

    def tell(self, call: Callable[[str], object], at_once: bool = False) -> None:
        """Let it all happen.

        :param call: calls the API with the package under test, at the given URL or where it likes;
            raises, or returns a response with an error status, if that fails.
        :param at_once: several requests are sent at the same time, so that the 401s may be mixed
            with what is sent again already.
        """
        self._call(call)
        self._call(call)
        self.let_expire()
        self._call(call)
        self.server.revoke_all()
        self._call(call)
        self.check(at_once)

    def check(self, at_once: bool = False) -> None:
        """Compare with the story what has arrived at the servers."""
        self.told = True
        assert [asked.status for asked in self.server.token_requests] == [200, 200, 200]
        calls = self.calls()
        if at_once:
            calls = sorted(set(calls))
        assert calls == list(self.EXPECTED)

    def calls(self) -> list[tuple[int, int | None]]:
        """The token's number and the status of each call that arrived; equals in a row once."""
        numbers = {token.access_token: n for n, token in enumerate(self.server.tokens, 1)}
        requests = self.server.api_requests
        arrived = [(numbers.get(r.access_token or "", 0), r.status) for r in requests]
        return [call for call, _ in itertools.groupby(arrived)]

    def _call(self, call: Callable[[str], object]) -> None:
        response = call(self.url)
        assert getattr(response, "status_code", 200) == 200, response

    # -- nothing secret where a package writes -----------------------------------------------------

    def secrets(self) -> Iterator[tuple[str, str]]:
        """Every form in which a secret may be written down, and what to call it."""
        server = self.server
        secret = server.client_secret
        yield from forms("the client secret", secret)
        basic = f"{quote(server.client_id, safe='')}:{quote(secret, safe='')}"
        yield from forms("the credentials", basic)
        for n, token in enumerate(server.tokens, 1):
            yield from forms(f"token {n}", token.access_token)
        for further in self.further_secrets:
            yield from forms("a further secret", further)

    def search(self, where: str, written: str | bytes) -> None:
        """Fail if a text holds a secret."""
        text = written if isinstance(written, str) else written.decode("latin-1")
        found = sorted({name for name, form in self.secrets() if form in text})
        assert not found, f"{', '.join(found)} in {where}"

    def search_files(self, folder: Path) -> list[Path]:
        """Fail if a file in the folder, or deeper, holds a secret; return the files."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        for path in files:
            self.search(str(path.relative_to(folder)), path.read_bytes())
        return files

    def search_all(self, where: str, things: Iterable[object]) -> None:
        """Fail if the JSON or else the repr of a thing holds a secret."""
        for thing in things:
            self.search(where, json.dumps(thing, default=repr, ensure_ascii=False))


def forms(name: str, secret: str) -> Iterator[tuple[str, str]]:
    """A secret as it is written in texts, URLs, forms, JSON, and within base64."""
    for form in {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}:
        yield name, form
        yield name, json.dumps(form)[1:-1]
        for before in range(3):  # base64 depends on where in a group of three a text begins
            encoded = base64.b64encode(b"\0" * before + form.encode())
            yield f"{name} in base64", encoded[4 if before else 0 : -4].decode()
