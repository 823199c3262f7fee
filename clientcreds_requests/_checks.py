"""Checks of constructor arguments, and of what the package uses of others' private attributes.

Each error names the argument and says what to pass.
"""

from __future__ import annotations

import contextlib
import math
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeAlias

import requests
from requests.structures import CaseInsensitiveDict
from requests.utils import check_header_validity
from urllib3 import Retry


class Private(NamedTuple):
    """An attribute that its owner does not document.

    :param owner: the dotted name of a class.
    :param name: of the attribute.
    :param reason: why it is used, and what is done without it.
    """

    owner: str
    name: str
    reason: str


_FORKED = "a thread that a forked child does not have may have held it; there is no public way"

#: Every private attribute of another package that the core uses.
PRIVATE = (
    Private(
        *("requests.structures.CaseInsensitiveDict", "_store"),
        "a header field is set at a third of the price; without it, as a field always is",
    ),
    Private(
        *("requests.models.Response", "_content"),
        "what was read within bounds becomes the content; without it, requests reads all there is",
    ),
    Private(
        *("requests.models.PreparedRequest", "_cookies"),
        "the cookies of a 401 join those of the request; without it, they are not sent",
    ),
    Private("http.cookiejar.CookieJar", "_cookies_lock", _FORKED),
    Private("urllib3._collections.RecentlyUsedContainer", "lock", _FORKED),
    Private("queue.Queue", "mutex", _FORKED),
    Private("queue.Queue", "not_empty", _FORKED),
    Private("queue.Queue", "not_full", _FORKED),
    Private("queue.Queue", "queue", "the connections in it are the parent's; no public way"),
)


def _works(attempt: Callable[[], bool]) -> bool:
    try:
        return attempt()
    except Exception:  # another release, which may do anything
        return False


def _set_in_store() -> bool:
    headers = CaseInsensitiveDict({"authorization": "other"})
    headers._store["authorization"] = ("Authorization", "value")
    return list(headers.items()) == [("Authorization", "value")]


def _set_content() -> bool:
    response = requests.Response()
    unread = response._content is False
    response._content = b"content"
    return unread and response.content == b"content"


#: True if header fields may be set, and bodies read, by way of the private attributes above.
HEADERS_HAVE_STORE = _works(_set_in_store)
CONTENT_CAN_BE_SET = _works(_set_content)

ExtraHeaders: TypeAlias = Mapping[str, str | Callable[[], str]]

#: A client certificate and its key, as requests takes them.
Cert: TypeAlias = str | tuple[str, str] | None

# The request's own, or a second way of proving who asks.
_OWN_HEADERS = frozenset(
    {"authorization", "connection", "content-length", "content-type", "cookie", "host"}
)


def text(name: str, value: object) -> str:
    """A non-empty string.

    :raises TypeError, ValueError: when it is none.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if not value:
        raise ValueError(f"{name} must not be empty")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"{name} is no text: it has bytes that could not be decoded")
    return value


def identifier(name: str, value: object) -> str:
    """A non-empty string without control characters, and without white space around it.

    :raises TypeError, ValueError: when it is none.
    """
    found = text(name, value)
    if found != found.strip() or any(character < " " or character == "\x7f" for character in found):
        raise ValueError(
            f"{name} has white space around it, or a control character; strip the newline that a "
            "file or a copy ends with"
        )
    return found


def strings(name: str, values: Iterable[str] | None) -> list[str]:
    """The strings of an iterable; none for None.

    :raises TypeError: for anything else, one bare string among it.
    """
    if isinstance(values, (str, bytes)):
        raise TypeError(f"{name} must be a list of str, not one {type(values).__name__}")
    try:
        found = [] if values is None else list(values)
    except TypeError:
        raise TypeError(f"{name} must be a list of str, not {type(values).__name__}") from None
    for value in found:
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a list of str; one is {type(value).__name__}")
    return found


def seconds(name: str, value: object, *, zero: bool = False) -> float:
    """A finite number of seconds, more than zero unless zero is allowed.

    :raises TypeError, ValueError: when it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:  # an int beyond all floats
        number = math.inf
    # A longer wait, of some centuries, is an error in Python itself.
    if not number <= threading.TIMEOUT_MAX or number < 0 or (number == 0 and not zero):
        raise ValueError(f"{name} must be a finite number of seconds, {'>=' if zero else '>'} 0")
    return number


def header_fields(headers: ExtraHeaders | None) -> dict[str, str | Callable[[], str]]:
    """Further header fields of the token request.

    :raises TypeError, ValueError: when one could not be sent, or is the request's own.
    """
    if headers is not None and not isinstance(headers, Mapping):
        raise TypeError(f"extra_headers must be a mapping, not {type(headers).__name__}")
    checked = dict(headers or {})
    for name, value in checked.items():
        if not isinstance(name, str) or not (isinstance(value, str) or callable(value)):
            raise TypeError(f"extra_headers must map str to str or a callable; see {name!r}")
        header_field("extra_headers", name, "" if callable(value) else value)
        if name.lower() in _OWN_HEADERS:
            raise ValueError(f"extra_headers may not set {name!r}; see client_auth and body")
    return checked


def header_field(what: str, name: str, value: str) -> None:
    """Check one header field; the error does not quote its value.

    :raises ValueError: when it could not be sent.
    """
    valid = False
    with contextlib.suppress(requests.exceptions.InvalidHeader):  # which quotes the value
        check_header_validity((name, value))
        # Some versions of requests let the newline that a file ends with pass.
        valid = not value.endswith(("\r", "\n"))
    if not valid:
        raise ValueError(f"{what}: {name!r} is no valid header field")


def check_certificate(cert: Cert) -> None:
    """Check that a client certificate is there, with its key.

    :raises TypeError, ValueError: when it could not be used.
    """
    paths = cert if isinstance(cert, tuple) else (cert, cert)
    certificate, key = paths if len(paths) == 2 else (None, None)
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


def attempt_timeout(timeout: float | tuple[float, float]) -> tuple[float, float]:
    """The (connect, read) timeouts of one attempt, in seconds.

    :raises TypeError, ValueError: when they are none.
    """
    connect, read = timeout if isinstance(timeout, tuple) and len(timeout) == 2 else (timeout,) * 2
    return seconds("timeout", connect), seconds("timeout", read)


def retry_count(retries: int | Retry) -> int | Retry:
    """A number of retries, or a policy.

    :raises TypeError, ValueError: when it is neither.
    """
    if isinstance(retries, bool) or not isinstance(retries, (int, Retry)):
        raise TypeError(f"retries must be an int or urllib3.Retry, not {type(retries).__name__}")
    if isinstance(retries, int) and retries < 0:
        raise ValueError("retries must be 0 or more")
    return retries
