"""What no test may let out: client secrets and access tokens, in what it leaves behind.

While a test runs, the package's errors, tokens and clients, and all that is logged, are noted;
when it is over they are searched for the secrets that were in use.
"""

from __future__ import annotations

import base64
import functools
import json
import logging
import pickle
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import requests
from helpers import locals_in, texts_in

from clientcreds_requests import (
    ClientCredentialsAuth,
    ClientCredentialsSession,
    FederatedAssertion,
    Token,
    TokenEndpoint,
    TokenError,
    TokenManager,
)
from clientcreds_requests.client_auth import ClientSecretAuth
from clientcreds_requests.testing import LocalAuthorizationServer

SHORTEST = 8
"""Characters: what is shorter may be part of a word."""
MOST = 64
"""Objects of a kind that are noted in one test: a crowd is as good as its first."""

_CLIENTS = (ClientCredentialsAuth, ClientCredentialsSession, TokenEndpoint, TokenManager)
_LOGGERS = ("clientcreds_requests", "urllib3", "requests")


class Notes:
    """What came about in one test."""

    def __init__(self) -> None:
        self.servers: list[LocalAuthorizationServer] = []
        self.methods: list[ClientSecretAuth] = []
        self.assertions: list[str] = []
        self.tokens: list[Token] = []
        self.clients: list[object] = []
        self.errors: list[TokenError] = []
        self.records: list[logging.LogRecord] = []
        self.texts: list[tuple[str, str]] = []
        """Where something was said, and what."""

    def note(self, kind: str, thing: object) -> None:
        noted = getattr(self, kind)
        if len(noted) < MOST:
            noted.append(thing)

    def say(self, where: str, texts: Iterable[str]) -> None:
        self.texts.extend((where, text) for text in texts)

    def secrets(self) -> set[str]:
        """Everything secret, in the forms in which it is sent."""
        literal = [method.client_secret for method in self.methods]
        found = [*self.assertions, *(token.access_token for token in self.tokens)]
        for server in self.servers:
            found += server._tokens
            clients = {server.client_id: server.client_secret, **server.clients}
            literal += clients.values()
            found += (_basic(*client) for client in clients.items())
        for secret in {secret for secret in literal if isinstance(secret, str)}:
            found += (secret, _quoted(secret), quote_plus(secret, errors="replace"))
            found += (json.dumps(secret)[1:-1],)
        return {text for text in found if isinstance(text, str) and len(text) >= SHORTEST}

    def leaks(self) -> Iterator[str]:
        """Where a secret was found."""
        secrets = self.secrets()
        if not secrets:
            return
        said = [*self.texts, *self._shown()]
        everything = "\n".join(text for _, text in said)
        for secret in secrets:
            if secret in everything:
                places = {where for where, text in said if secret in text}
                yield f"{secret!r} in {', '.join(sorted(places))}"

    def _shown(self) -> Iterator[tuple[str, str]]:
        for token in self.tokens:
            yield "the repr of a token", f"{token!r} {token}"
        for client in self.clients:
            name = type(client).__name__
            try:
                yield f"the repr of a {name}", f"{client!r} {client}"
            except AttributeError:  # its constructor has raised
                continue
            yield f"the pickle of a {name}", _pickled(client)
        for record in self.records:
            for text in (record.getMessage(), *texts_in(vars(record))):
                yield f"the log of {record.name}", text
        for error in self.errors:
            where = f"a {type(error).__name__}"
            yield where, f"{error!r} {error}"
            yield f"the pickle of {where}", _pickled(error)
            for text in texts_in(error):
                yield where, text
            for place, text in locals_in(error):
                yield f"the frames of {where}: {place}", text


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _basic(client_id: str, secret: str) -> str:
    return base64.b64encode(f"{_quoted(client_id)}:{_quoted(secret)}".encode()).decode()


def _pickled(thing: object) -> str:
    try:
        return pickle.dumps(thing).decode("latin-1")
    except Exception:  # which is an answer too
        return ""


notes = Notes()


def _noting(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def noting(self: object, *args: Any, **options: Any) -> Any:
        result = function(self, *args, **options)
        notes.note(kind, self)
        return result

    return noting


def _note_clients(kind: type) -> None:
    # In __new__: another frame around __init__ would be blamed for its warnings.
    @functools.wraps(kind.__init__)  # whose signature is that of the class
    def noting(cls: type, *args: object, **options: object) -> object:
        made = object.__new__(cls)
        notes.note("clients", made)
        return made

    kind.__new__ = noting  # type: ignore[assignment]


def _note_records() -> None:
    make = logging.getLogRecordFactory()

    def noting(name: str, *args: Any, **options: Any) -> logging.LogRecord:
        record = make(name, *args, **options)
        if name is not None and name.startswith(_LOGGERS):  # None: logging.makeLogRecord()
            notes.note("records", record)
        return record

    logging.setLogRecordFactory(noting)
    for name in ("debug", "info"):
        _note_unheard(name, getattr(logging, name.upper()))


def _note_unheard(name: str, level: int) -> None:
    """Note also what would be logged at a level that is seldom switched on."""
    method = getattr(logging.Logger, name)

    @functools.wraps(method)
    def noting(self: logging.Logger, msg: object, *args: Any, **options: Any) -> None:
        if self.isEnabledFor(level):
            method(self, msg, *args, **{"stacklevel": 2, **options})
        elif self.name.startswith(_LOGGERS):
            self.makeRecord(
                self.name,
                level,
                "",
                0,
                msg,
                args,
                sys.exc_info() if options.get("exc_info") else None,
                extra=options.get("extra"),
            )

    setattr(logging.Logger, name, noting)


def _note_warnings() -> None:
    begin = warnings.WarningMessage.__init__

    @functools.wraps(begin)
    def noting(self: warnings.WarningMessage, message: object, *args: Any, **options: Any) -> None:
        notes.say("a warning", (str(message),))
        begin(self, message, *args, **options)

    warnings.WarningMessage.__init__ = noting  # type: ignore[method-assign]


def _note_caught() -> None:
    """Note what tests catch: the errors of constructors are of no class of ours."""
    fill = pytest.ExceptionInfo.fill_unfilled

    @functools.wraps(fill)
    def noting(self: pytest.ExceptionInfo, exc_info: tuple[Any, BaseException, Any]) -> None:
        error = exc_info[1]
        if not isinstance(error, TokenError):  # which is noted, and not yet complete
            notes.say(f"a {type(error).__name__} that was caught", (repr(error), str(error)))
        if not isinstance(error, requests.RequestException):  # which has the API's own request
            notes.say(f"a {type(error).__name__} that was caught", texts_in(error))
        fill(self, exc_info)

    pytest.ExceptionInfo.fill_unfilled = noting  # type: ignore[method-assign]


def _note_assertions() -> None:
    complete = FederatedAssertion.__call__

    @functools.wraps(complete)
    def noting(self: FederatedAssertion, client_id: str, params: Any, headers: Any, /) -> None:
        complete(self, client_id, params, headers)
        notes.note("assertions", params["client_assertion"])

    FederatedAssertion.__call__ = noting  # type: ignore[method-assign]


def watch() -> None:
    """Note from now on whatever comes about in this process."""
    for kind in _CLIENTS:
        _note_clients(kind)
    TokenError.__init__ = _noting("errors", TokenError.__init__)  # type: ignore[method-assign]
    Token.__init__ = _noting("tokens", Token.__init__)  # type: ignore[method-assign]
    ClientSecretAuth.__init__ = _noting(  # type: ignore[method-assign]
        "methods", ClientSecretAuth.__init__
    )
    LocalAuthorizationServer.start = _noting(  # type: ignore[method-assign]
        "servers", LocalAuthorizationServer.start
    )
    LocalAuthorizationServer.__enter__ = LocalAuthorizationServer.start  # type: ignore[method-assign]
    _note_assertions()
    _note_records()
    _note_warnings()
    _note_caught()


def begin() -> Notes:
    """Take notes of another test."""
    global notes
    notes = Notes()
    return notes
