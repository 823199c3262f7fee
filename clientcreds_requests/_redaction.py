"""Taking secrets out of what a user, a log or a debugger gets to see."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
from collections.abc import Iterator
from typing import Any, NoReturn
from urllib.parse import quote, quote_plus, unquote

import requests

from ._urls import without_query


class Redactor:
    """Takes secrets out of a server's words, should it repeat what it was sent.

    :param secrets: what was sent; very short ones are left in, as they may be part of a word.
    """

    def __init__(self, *secrets: str) -> None:
        forms = {form for secret in secrets if len(secret) > 4 for form in _forms(secret)}
        self._secrets = sorted(forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without the secrets; none of it, when one is there in disguise."""
        for secret in self._secrets:
            text = text.replace(secret, "[redacted]")
        disguised = self._secrets and any(s in v for v in _unescaped(text) for s in self._secrets)
        return "[redacted]" if disguised else text

    def line(self, text: str, limit: int = 300) -> str:
        """The same as one bounded line of printable characters (RFC 6749 §10.14)."""
        text = "".join(c if c.isprintable() else " " for c in self(text)[: 4 * limit])
        text = self(" ".join(text.split()))  # a secret with spaces may only now be one
        return text if len(text) <= limit else f"{text[:limit]}..."

    def knowing(self, token: object) -> Redactor:
        """One that also knows a token that came in vain."""
        twin = Redactor()
        found = [token] if isinstance(token, str) and len(token) > 4 else []
        twin._secrets = sorted({*self._secrets, *found}, key=len, reverse=True)
        return twin


def _forms(secret: str) -> tuple[str, ...]:
    """A secret as a server may repeat it: as it is, or as it was sent."""
    escaped = (json.dumps(secret, ensure_ascii=ascii)[1:-1] for ascii in (True, False))
    quoted = (quote(secret, s, errors="replace") for s in ("", "/"))
    page = secret
    for name, character in _ENTITIES.items():
        page = page.replace(character, f"&{name};")
    apostrophe = page.replace("&apos;", "&#x27;")  # as Python and others write it
    return secret, *quoted, quote_plus(secret, errors="replace"), *escaped, page, apostrophe


def _unescaped(text: str) -> Iterator[str]:
    """What a text says to those who read it as JSON, as HTML or as a URL."""
    if "\\" in text:
        characters = re.sub(_JSON, lambda found: found[2] or chr(int(found[1], 16)), text)
        # A character beyond the first 65,536 is written as two.
        yield characters.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if "&" in text:
        yield re.sub(_HTML, _character, text)
    if "%" in text or "+" in text:
        yield from (unquote(text), unquote(text.replace("+", " ")))


_JSON = r"(?s)\\(?:u([0-9a-fA-F]{4})|(.))"
# As browsers read it: in any case, and without the semicolon too.
_HTML = r"(?i)&(?:#0*([0-9]{1,6})|#x0*([0-9a-f]{1,5})|(amp|lt|gt|quot|apos));?"
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


def _character(found: re.Match[str]) -> str:
    decimal, hexadecimal, name = found.groups()
    return (
        _ENTITIES[name.lower()] if name else chr(int(decimal or hexadecimal, 10 if decimal else 16))
    )


def credentials_in(authorization: str) -> Iterator[str]:
    """What is secret in an Authorization header, as a server might repeat it."""
    scheme, _, credentials = authorization.partition(" ")
    yield credentials
    if scheme.lower() == "basic":
        with contextlib.suppress(ValueError):  # a method of the user's own may send anything
            decoded = base64.b64decode(credentials)
            for encoding in ("latin-1", "utf-8"):
                secret = decoded.decode(encoding).partition(":")[2]
                yield from (secret, unquote(secret))


def bare_request(url: str) -> requests.PreparedRequest:
    """The token request without anything that could be secret."""
    request = requests.Request("POST", without_query(url)).prepare()
    request.headers.clear()
    return request


def bare_response(response: requests.Response, url: str, redact: Redactor) -> requests.Response:
    """An answer without what it repeats of a secret, and without its request's."""
    bare = requests.Response()
    bare.status_code, bare.reason = response.status_code, redact(response.reason or "")
    for name, value in response.headers.items():
        bare.headers[redact(name)] = redact(value)
    bare.url, bare.elapsed = without_query(url), response.elapsed
    bare.request = bare_request(url)
    # Only what can be read can be searched: the NULs of UTF-16 go, and what no UTF-8 is.
    text = response.content.decode(errors="replace").replace("\0", "")
    # What should have been a token response may hold a token somewhere.
    told = b"" if response.ok or '"access_token"' in text else redact(text).encode()
    bare.raw = io.BytesIO(told)
    bare.content  # noqa: B018 - which reads it
    bare.encoding = "utf-8"  # a server may write anything there
    return bare


def detached(error: Exception, reason: str) -> Exception:
    """The same error without the request, the connection and the frames it holds on to."""
    try:
        return type(error)(reason)
    except Exception:  # a class that wants more than a text
        return requests.RequestException(f"{type(error).__name__}: {reason}")


def raised_at(error: BaseException) -> str:
    """The type of an exception, and where the caller's own code raised it."""
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_globals.get("__package__") != __package__:
            file = os.path.basename(frame.f_code.co_filename)
            return f"{type(error).__name__} ({file}:{trace.tb_lineno})"
        trace = trace.tb_next
    return type(error).__name__


def links_of(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all that it leads to: causes, contexts, and the members of groups."""
    seen: set[int] = set()
    pending: list[Any] = [error]
    while pending:
        link = pending.pop()
        if isinstance(link, BaseException) and id(link) not in seen:
            seen.add(id(link))
            yield link
            members = getattr(link, "exceptions", ())
            pending += [link.__cause__, link.__context__]
            pending += members if isinstance(members, tuple) else ()


def forget_frames(error: BaseException) -> None:
    """Drop the tracebacks of an error and of all it leads to: their frames hold secrets."""
    for link in links_of(error):
        link.__traceback__ = None


def raise_apart(failure: Exception, cause: BaseException | None) -> NoReturn:
    """Raise an error without the one that is being handled, which may hold secrets."""
    try:
        raise failure from cause
    finally:
        failure.__context__ = None
