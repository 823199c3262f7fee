"""Removes secrets from what users, logs and error trackers can see."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import traceback
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn
from urllib.parse import quote, quote_plus, unquote

import requests

from ._urls import without_query

#: The maximum number of characters of a server's text that are searched for secrets and shown.
MAX_TEXT = 64 * 1024


class Redactor:
    """Removes secrets from a server's text, in case it repeats what was sent.

    Those of up to four characters are not removed: they may be part of a word.
    """

    def __init__(self, *secrets: str) -> None:
        self._given: set[str] = set()
        self.add(secrets)

    def add(self, secrets: Iterable[object]) -> None:
        """Remove these, too, as far as they are text."""
        self._given.update(secret for secret in secrets if isinstance(secret, str))
        forms = {form for secret in self._given if len(secret) > 4 for form in _forms(secret)}
        self._secrets = sorted(forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return the text without the secrets; nothing of it if one is in it, encoded otherwise."""
        for secret in self._secrets:
            text = text.replace(secret, "[redacted]")
        if self._secrets:
            views = [*_unescaped(text)]
            views += [inner for view in views for inner in _unescaped(view)]
            if any(secret in view for view in views for secret in self._secrets):
                return "[redacted]"
        return text

    def line(self, text: str, limit: int = 300) -> str:
        """Return the text as one bounded line of printable characters (RFC 6749 §10.14)."""
        shown = self(text[:MAX_TEXT])[: 4 * limit]
        text = "".join(c if c.isprintable() else " " for c in shown)
        text = self(" ".join(text.split()))  # which may have completed a secret with spaces
        return text if len(text) <= limit else f"{text[:limit]}..."


def _forms(secret: str) -> tuple[str, ...]:
    """Return the encodings in which a server may repeat a secret."""
    escaped = (json.dumps(secret, ensure_ascii=ascii)[1:-1] for ascii in (True, False))
    quoted = (quote(secret, safe, errors="replace") for safe in ("", "/"))
    page = secret.translate({ord(c): f"&{name};" for name, c in _ENTITIES.items()})
    return secret, *quoted, quote_plus(secret, errors="replace"), *escaped, page


def _unescaped(text: str) -> Iterator[str]:
    """Yield a text decoded as JSON, HTML and URL, and without what cannot be seen."""
    if not text.isprintable():
        yield "".join(c for c in text if c.isprintable() or c.isspace())
    if "\\" in text:
        characters = re.sub(_JSON, lambda found: found[2] or chr(int(found[1], 16)), text)
        # Joins surrogate pairs.
        yield characters.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if "&" in text:
        yield re.sub(_HTML, lambda found: _character(*found.groups()), text)
    if "%" in text or "+" in text:
        yield from (unquote(text), unquote(text.replace("+", " ")))


_JSON = r"(?s)\\(?:u([0-9a-fA-F]{4})|(.))"
# Browsers accept any case, and a missing semicolon.
_HTML = r"(?i)&(?:#0*([0-9]{1,6})|#x0*([0-9a-f]{1,5})|(amp|lt|gt|quot|apos));?"
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


def _character(decimal: str, hexadecimal: str, name: str) -> str:
    if name:
        return _ENTITIES[name.lower()]
    return chr(int(decimal) if decimal else int(hexadecimal, 16))


def credentials_in(authorization: str) -> Iterator[str]:
    """Yield the secrets of an Authorization header, as a server may repeat them."""
    scheme, _, credentials = authorization.partition(" ")
    yield credentials.rstrip("=")
    if scheme.lower() == "basic":
        with contextlib.suppress(ValueError):  # a custom method may send anything
            decoded = base64.b64decode(credentials)
            for encoding in ("latin-1", "utf-8"):
                secret = decoded.decode(encoding).partition(":")[2]
                yield from (secret, unquote(secret))


# The fields of a success whose values are kept.
_NO_TOKEN = {"content-length", "content-type", "date", "retry-after", "server"}


def bare_request(url: str) -> requests.PreparedRequest:
    """Return the token request without secrets."""
    request = requests.Request("POST", without_query(url)).prepare()
    request.headers.clear()
    return request


def bare_response(response: requests.Response, url: str, redact: Redactor) -> requests.Response:
    """Return an answer without secrets, also in its request."""
    bare = requests.Response()
    bare.status_code, bare.reason = response.status_code, redact(response.reason or "")
    for name, value in response.headers.items():
        if name.lower() == "location":  # with a token in its fragment, if it is of another grant
            value = value.partition("#")[0].partition("?")[0]
        # Some servers put a token there: Keystone into X-Subject-Token, Spring into Authorization.
        if response.status_code < 300 and name.lower() not in _NO_TOKEN:
            value = "[redacted]"
        if name.lower() != "set-cookie":
            bare.headers[redact(name)] = redact(value)
    bare.url, bare.elapsed = without_query(url), response.elapsed
    bare.request = bare_request(url)
    # Without the NULs of UTF-16, which would hide a secret from the search.
    text = response.content.decode(errors="replace").replace("\0", "")
    # A token response that could not be read may hold a token anywhere.
    may_hold_token = response.ok or re.search("(?i)access.?token", text) or len(text) > MAX_TEXT
    shown = b"" if may_hold_token else redact(text).encode()
    bare.raw = io.BytesIO(shown)
    bare.content  # noqa: B018 - which reads it
    bare.encoding = "utf-8"  # the header may name any other
    return bare


def raised_at(error: BaseException) -> str:
    """Return the type of an exception, and where it left this package: file and line.

    If one of the package's own checks has raised it, also its text, which quotes no value.
    """
    module = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        # The package identity is part of this one.
        if frame.f_globals.get("__package__") not in (__package__, f"{__package__}.identity"):
            return f"{type(error).__name__} ({os.path.basename(frame.f_code.co_filename)}:{line})"
        module = frame.f_globals.get("__name__", "")
    text = f": {error}" if module == f"{__package__}._checks" else ""
    return type(error).__name__ + text


def links_of(error: BaseException) -> Iterable[BaseException]:
    """Return an error with its causes, contexts and members of groups, each of them once."""
    found: dict[int, BaseException] = {}
    pending: list[Any] = [error]
    while pending:
        link = pending.pop()
        if isinstance(link, BaseException) and id(link) not in found:
            found[id(link)] = link
            members = getattr(link, "exceptions", ())
            pending += [link.__cause__, link.__context__]
            pending += members if isinstance(members, tuple) else ()
    return found.values()


def forget_frames(error: BaseException) -> None:
    """Drop the tracebacks of an error and all its links: their frames hold secrets."""
    for link in links_of(error):
        link.__traceback__ = None


def raise_apart(failure: Exception, cause: BaseException | None) -> NoReturn:
    """Raise an error whose context is not the handled error, which may hold secrets."""
    try:
        raise failure from cause
    finally:
        failure.__context__ = None
