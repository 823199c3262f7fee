"""Taking secrets out of what a user, a log or a debugger gets to see."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from types import TracebackType
from urllib.parse import quote, quote_plus, unquote

import requests

from .origins import without_query


class Redactor:
    """Takes secrets out of a server's words, should it repeat what it was sent.

    :param secrets: what was sent; very short ones are left in, as they may be part of a word.
    """

    def __init__(self, *secrets: str) -> None:
        forms = {form for secret in secrets if len(secret) > 4 for form in _forms(secret)}
        self._secrets = sorted(forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without the secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "[redacted]")
        return text

    def line(self, text: str, limit: int = 300) -> str:
        """The same as one bounded line of printable characters (RFC 6749 §10.14)."""
        text = "".join(c if c.isprintable() else " " for c in self(text)[: 4 * limit])
        text = " ".join(text.split())
        return text if len(text) <= limit else f"{text[:limit]}..."


def _forms(secret: str) -> tuple[str, ...]:
    """A secret as a server may repeat it: as it is, or as it was sent."""
    escaped = (json.dumps(secret, ensure_ascii=ascii)[1:-1] for ascii in (True, False))
    quoted = (quote(secret, s, errors="replace") for s in ("", "/"))
    return secret, *quoted, quote_plus(secret, errors="replace"), *escaped


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
        bare.headers[name] = redact(value)
    bare.encoding = response.encoding
    bare.url, bare.elapsed = without_query(url), response.elapsed
    bare.request = bare_request(url)
    # What should have been a token response may hold a token somewhere.
    text = "" if response.ok else response.content.decode(errors="surrogateescape")
    bare._content = redact(text).encode(errors="surrogateescape")
    bare._content_consumed = True
    return bare


def detached(error: Exception, reason: str) -> Exception:
    """The same error without the request, the connection and the frames it holds on to."""
    try:
        return type(error)(reason)
    except Exception:  # a class that wants more than a text
        return requests.RequestException(f"{type(error).__name__}: {reason}")


def without_our_frames(error: BaseException | None) -> BaseException | None:
    """What a callable of the user's raised, without the values that our frames hold."""
    if error is None or isinstance(error, UnicodeError):  # that one quotes all it was given
        return ValueError(f"{type(error).__name__} while the request was encoded")
    return error.with_traceback(_foreign(error.__traceback__))


def _foreign(trace: TracebackType | None) -> TracebackType | None:
    if trace is None:
        return None
    rest = _foreign(trace.tb_next)
    if trace.tb_frame.f_globals.get("__package__") == __package__:
        return rest
    return TracebackType(rest, trace.tb_frame, trace.tb_lasti, trace.tb_lineno)
