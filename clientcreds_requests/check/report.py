"""What a check says: the table as it grows, and what follows from it."""

from __future__ import annotations

import base64
import codecs
import html
import math
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import TextIO
from urllib.parse import quote

from ..cli_options import Client
from ..exceptions import TokenError
from ..failures import refused
from ..origins import without_query
from ..redaction import Redactor
from ..tokens import Token
from .attempts import Attempt, Finding, Way
from .pasted import leeway_for

_NARROW = 30  # columns: with less room the answer gets a line of its own

# What an endpoint says that may just not have read the request.
_VAGUE = (None, "invalid_request", "unsupported_grant_type")


class Paper:
    """Lines for a terminal, a file or a pipe, of whatever encoding.

    :param stream: where they go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._encoding = codecs.lookup(stream.encoding or "ascii").name
        #: Columns to keep within; None: lines may be of any length.
        self.width: int | None = shutil.get_terminal_size().columns - 1 if stream.isatty() else None

    def say(self, line: str = "", /) -> None:
        """Write a line. What the encoding lacks is written as Python escapes it."""
        line = line.encode(self._encoding, "backslashreplace").decode(self._encoding)
        self._stream.write(f"{line}\n")
        self._stream.flush()

    def paragraph(self, text: str, head: str = "") -> None:
        """Write a text beside its head, wrapped on a terminal."""
        room = len(text) if self.width is None else self.width - len(head)
        for line in textwrap.wrap(text, max(room, 20)):
            self.say(f"{head}{line}")
            head = " " * len(head)


class Words:
    """Puts into words what came of an attempt, without secrets.

    :param client: whose secret it is.
    :param url: of the token endpoint.
    """

    def __init__(self, client: Client, url: str) -> None:
        self._secrets, self._url = tuple(_as_repeated(client)), url
        #: The token endpoint, as it is named.
        self.where: str = Redactor().line(without_query(url))

    def line(self, text: str, *more_secrets: str, limit: int = 200) -> str:
        """A server's words as one bounded line."""
        return Redactor(*self._secrets, *more_secrets).line(text, limit)

    def of(self, attempt: Attempt) -> str:
        """What came of an attempt, in short."""
        outcome = attempt.outcome
        if isinstance(outcome, Token):
            parts = ["token", _expiry(attempt.lifetime)]
            if outcome.scope:
                parts.append(f'scope "{self.line(outcome.scope, outcome.access_token)}"')
            return ", ".join(parts)
        said = ": ".join(filter(None, (outcome.error, outcome.error_description)))
        if said:
            return self.line(said)
        if attempt.is_html:
            return "HTML, not JSON"
        known = f" with status {attempt.status}"
        rest = str(outcome).removeprefix(refused(self._url)).removeprefix(known)
        return self.line(rest.removeprefix(": ")) or "no OAuth error, and no token"

    def error(self, error: TokenError) -> str:
        """An error in full."""
        return self.line(str(error), limit=600)


def _as_repeated(client: Client) -> Iterator[str]:
    """The secret in further forms than a :class:`Redactor` knows: in HTML, in Basic."""
    client_id, secret = client.client_id, client.secret
    yield from (secret, html.escape(secret), html.escape(secret, quote=False))
    for pair in ((client_id, secret), (quote(client_id, safe=""), quote(secret, safe=""))):
        yield base64.b64encode(":".join(pair).encode(errors="replace")).decode()


def _expiry(lifetime: float) -> str:
    return "no expires_in" if math.isinf(lifetime) else f"expires in {lifetime:.0f} s"


class Table:
    """The attempts as rows, each shown when it was made, but none before one was answered.

    :param paper: where it goes.
    :param words: for what came of an attempt.
    :param scope: what is asked for.
    """

    def __init__(self, paper: Paper, words: Words, scope: str | None) -> None:
        self._paper, self._words = paper, words
        self._held: list[Attempt] = []
        #: Has the endpoint answered as one does?
        self.is_shown: bool = False
        others = len(_head("", "", "", "", 0))
        room = 24 if paper.width is None else min(24, paper.width - others)
        self._scope_width = max(len("scope"), min(len(scope or ""), room))

    def add(self, attempt: Attempt) -> None:
        """Show an attempt, unless nothing but silence and strangers were met so far."""
        self._held.append(attempt)
        if not self.is_shown:
            if attempt.finding not in (Finding.TOKEN, Finding.REFUSED):
                return
            self.is_shown = True
            self._row("body", "client_auth", "scope", "status", "answer")
        for held in self._held:
            scope, status = held.scope or "-", str(held.status or "-")
            self._row(held.way.body, _method(held.way), scope, status, self._words.of(held))
        self._held.clear()

    def _row(self, body: str, method: str, scope: str, status: str, answer: str) -> None:
        if len(scope) > self._scope_width:
            scope = f"{scope[: self._scope_width - 3]}..."
        head = _head(body, method, scope, status, self._scope_width)
        if self._paper.width is not None and self._paper.width - len(head) < _NARROW:
            self._paper.say(head.rstrip())
            head = " " * 6
        self._paper.paragraph(answer, head)


def _head(body: str, method: str, scope: str, status: str, scope_width: int) -> str:
    return f"{body:6}{method:21}{scope:{scope_width}}  {status:8}"


def _method(way: Way) -> str:
    return way.client_auth if way.encode else "basic, not encoded"


def obstacle(attempt: Attempt, words: Words) -> str:
    """Why there is nothing to be asked: the endpoint is down, or is none."""
    error, status = attempt.outcome, attempt.status
    assert isinstance(error, TokenError)
    if attempt.finding is Finding.DOWN and status is not None:
        wait = error.retry_after
        when = "later" if wait is None else f"in {wait:.0f} s, as it asks"
        return f"{words.where} answers with status {status}: try again {when}"
    if attempt.is_html:
        return f"{words.where} answers with HTML, not JSON (status {status}); check the URL"
    if status in (404, 405):
        return f"{words.where} is no token endpoint: it answers with status {status}; check the URL"
    if attempt.finding is Finding.NOT_READ and status != 500:
        return f"{words.where} answers with no JSON (status {status}); check the URL"
    return words.error(error)


def what_next(made: Sequence[Attempt], words: Words, gave_up: bool) -> str:
    """What to do when the endpoint refuses the client in every way."""
    if gave_up:
        return (
            "Stopped: id or secret are refused as wrong, with client_secret_post and with "
            "client_secret_basic, and more attempts could lock the client out. Check id and secret."
        )
    errors = [
        attempt.outcome
        for attempt in made
        if isinstance(attempt.outcome, TokenError) and attempt.finding is Finding.REFUSED
    ]
    return words.error(next((e for e in errors if e.error not in _VAGUE), errors[0]))


def notes(works: Attempt, made: Sequence[Attempt], client: Client, words: Words) -> Iterator[str]:
    """What to know about the attempt that the lines of Python repeat."""
    asked, token = client.request.scope, works.outcome
    assert isinstance(token, Token)
    if asked and works.scope is None:
        refusal = next(a for a in made if a.way == works.way and a.scope)
        yield (
            f'The scope "{asked}" was refused ({words.of(refusal)}). A token comes without it: '
            "the lines below ask for none."
        )
    if works.scope and token.scope and not set(works.scope.split()) <= set(token.scope.split()):
        granted = words.line(token.scope, token.access_token)
        yield f'The scope granted is narrower than asked for: "{granted}", not "{works.scope}".'
    leeway = leeway_for(works.lifetime)
    if math.isinf(works.lifetime):
        yield (
            "The server does not say how long a token lives (no expires_in): it is used until the "
            "API refuses it."
        )
    elif leeway is not None:
        yield (
            f"A token lives for {works.lifetime:.0f} s only: pass leeway={leeway}, as below, or "
            "it is hardly used before the next one is asked for (the default is 20 s)."
        )
    elif works.lifetime < 1:
        yield "A token expires at once: every call will ask for one of its own."
    if not works.way.encode:
        yield (
            "Basic is accepted only when id and secret are not percent-encoded, unlike RFC 6749 "
            "section 2.3.1 asks: hence encode=False."
        )
    if made[-1].finding is Finding.DOWN:
        yield f"Stopped: {obstacle(made[-1], words)}. What was not tried may work too."
