"""Checks of arguments, and the private attributes of other packages that are used.

The functions raise a TypeError or ValueError that names the argument and says what to pass.
"""

from __future__ import annotations

import hashlib
import json
import re
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import requests
from requests.structures import CaseInsensitiveDict
from urllib3 import Retry

from .exceptions import CallableError

_FORKED = "a thread that a forked child does not have may hold it; there is no public way"

#: Every private attribute of another package that the core uses, with the reason.
PRIVATE = {
    "requests.structures.CaseInsensitiveDict._store": "sets a field in a third of the time",
    "requests.models.Response._content": "takes a body read within bounds; else it has no bounds",
    "requests.models.PreparedRequest._cookies": "takes the cookies of a 401; else they are lost",
    "http.cookiejar.CookieJar._cookies_lock": _FORKED,
    "urllib3._collections.RecentlyUsedContainer.lock": _FORKED,
    "queue.Queue.mutex": _FORKED,
    "queue.Queue.not_empty": _FORKED,
    "queue.Queue.not_full": _FORKED,
}

#: True if header fields may be set, and bodies read, by way of the private attributes above.
HEADERS_HAVE_STORE = vars(CaseInsensitiveDict({"A": "b"})).get("_store") == {"a": ("A", "b")}
CONTENT_CAN_BE_SET = vars(requests.Response()).get("_content") is False

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# Without white space around it, and in Latin-1, as http.client sends it.
_FIELD_VALUE = r"([!-~\x80-\xff]([\t -~\x80-\xff]*[!-~\x80-\xff])?)?"

if TYPE_CHECKING:
    from requests import Session as Session
else:
    #: The class of requests itself: requests_cache.install_cache() replaces it by one that derives
    #: from it, and would store tokens.
    Session = next(
        (kind for kind in requests.Session.__mro__ if kind.__module__ == "requests.sessions"),
        requests.Session,
    )

ExtraHeaders: TypeAlias = Mapping[str, str | Callable[[], str]]
ExtraParams: TypeAlias = Mapping[str, str | Callable[[], str]]

#: A client certificate and its key, as requests takes them.
Cert: TypeAlias = str | tuple[str, str] | None

# Set by the request itself, or a second client authentication.
_OWN_HEADERS = r"(?i)authorization|connection|content-(length|type)|cookie|host|transfer-encoding"


def text(name: str, value: object) -> str:
    """Return a string that is not empty and has no control characters and no lone surrogates."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if not value:
        raise ValueError(f"{name} must not be empty")
    if re.search(r"[\0-\x1f\x7f\ud800-\udfff]", value):
        raise ValueError(f"{name} has a control character, or is no text; strip a final newline")
    return value


def identifier(name: str, value: object) -> str:
    """Return a text without white space around it."""
    found = text(name, value)
    if found != found.strip():
        raise ValueError(f"{name} has white space around it; strip it")
    return found


def strings(name: str, values: Iterable[str] | None) -> list[str]:
    """Return the strings of an iterable; an empty list for None."""
    if values is None:
        return []
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list of str, not one {type(values).__name__}")
    found = list(values)
    for value in found:
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a list of str; one is {type(value).__name__}")
    return found


def seconds(name: str, value: object, *, zero: bool = False) -> float:
    """Return a finite number of seconds, greater than zero unless zero is allowed."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    # Python itself rejects longer waits.
    if not 0 <= value <= threading.TIMEOUT_MAX or (value == 0 and not zero):
        raise ValueError(f"{name} must be a finite number of seconds, {'>=' if zero else '>'} 0")
    return float(value)


def _members(name: str, value: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a copy of a mapping with str for names; an empty one for None."""
    if value is not None and not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping, not {type(value).__name__}")
    for key in value or {}:
        if not isinstance(key, str):
            raise TypeError(f"{name} must have str for names; one is {type(key).__name__}")
    return dict(value or {})


def json_members(name: str, members: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a copy of what is to be a JSON object; an empty one for None."""
    checked = _members(name, members)
    try:
        return dict(json.loads(json.dumps(checked, allow_nan=False)))
    except (TypeError, ValueError, RecursionError):
        raise ValueError(f"{name} must be what JSON can hold") from None


def header_fields(headers: ExtraHeaders | None) -> dict[str, str | Callable[[], str]]:
    """Return the ``extra_headers`` of a token request, checked."""
    checked = _members("extra_headers", headers)
    for name, value in checked.items():
        if not (isinstance(value, str) or callable(value)):
            raise TypeError(f"extra_headers must map str to str or a callable; see {name!r}")
        header_field("extra_headers", name, "" if callable(value) else value)
        if re.fullmatch(_OWN_HEADERS, name):
            raise ValueError(f"extra_headers may not set {name!r}; see client_auth and body")
    return checked


def header_field(what: str, name: str, value: str) -> None:
    """Check that a header field can be sent (RFC 9110 §5.1, §5.5)."""
    if not re.fullmatch(_TOKEN, name) or not re.fullmatch(_FIELD_VALUE, value):
        raise ValueError(f"{what}: {name!r} is no valid header field")


def check_certificate(cert: Cert) -> None:
    """Check that a client certificate can be read, with its key."""
    certificate, key = cert if isinstance(cert, tuple) and len(cert) == 2 else (cert, cert)
    if not isinstance(certificate, str) or not isinstance(key, str):
        raise TypeError("cert must be a path as a str, or a pair of them: certificate and key")
    try:
        # Without a password OpenSSL would ask for one at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, "")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"cert {cert!r} cannot be used ({error}); pass PEM files of a certificate and its "
            "key, the key not encrypted"
        ) from None


def certificate_digest(cert: Cert, known: str) -> str:
    """Return a digest of the client certificate in a file; empty without one.

    :param known: the digest that it had; returned while the file, or that of the key, is being
        replaced.
    :raises TokenError: if it cannot be read.
    """
    if not cert:
        return ""
    try:
        path = cert if isinstance(cert, str) else cert[0]
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        if known not in ("", digest):
            check_certificate(cert)
    except (OSError, TypeError, ValueError, LookupError) as error:
        if known:
            return known
        what = f"reading the client certificate raised {type(error).__name__}: {cert!r}"
        raise CallableError(f"no token: {what}") from error
    return digest


def attempt_timeout(timeout: float | tuple[float, float]) -> tuple[float, float]:
    """Return the (connect, read) timeouts of one attempt, in seconds."""
    connect, read = timeout if isinstance(timeout, tuple) and len(timeout) == 2 else (timeout,) * 2
    return seconds("timeout", connect), seconds("timeout", read)


def retry_count(retries: int | Retry) -> int | Retry:
    """Return a number of retries, or a policy, checked."""
    if isinstance(retries, bool) or not isinstance(retries, (int, Retry)):
        raise TypeError(f"retries must be an int or urllib3.Retry, not {type(retries).__name__}")
    if isinstance(retries, int) and retries < 0:
        raise ValueError("retries must be 0 or more")
    return retries
