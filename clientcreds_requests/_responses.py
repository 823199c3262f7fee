"""Reads the answers of token endpoints (RFC 6749 §5)."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping
from http.client import BadStatusLine, UnknownProtocol
from typing import Any, NoReturn
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from ._dialects import BEARER, JSON, code_and_description, hint_for, may_succeed_later
from ._redaction import (
    Redactor,
    bare_request,
    bare_response,
    links_of,
    raise_apart,
    raised_at,
)
from ._urls import origin, without_query
from .adapters import is_transient, retry_after, root_cause
from .exceptions import CallableError, TokenConnectionError, TokenError, TokenTimeout
from .tokens import Moment, Token

#: Longer lifetimes, in seconds, are reduced to this: they are milliseconds, or a mistake.
MAX_LIFETIME = 366 * 24 * 3600.0

# Charsets beside UTF-8. Not any that Python has: the time of some, such as punycode, is quadratic.
_CHARSETS = (
    r"(?i)(iso-?8859-([1-9]|1[013-6])|latin-?1|windows-125[0-8]"
    r"|utf-?(16|32)|utf-(16|32)-?[bl]e|gbk|gb18030|big5|shift_jis|euc-(jp|kr))"
)

# A word that may be a token, other than an error code such as incorrect_client_credentials. It is
# looked for where a word begins, else the time were quadratic.
_LONG_WORD = r"(?<![\w~+/=-])(?![a-z]+(_[a-z]+)+(?![\w~+/=-]))[\w~+/=-]{24,}"

# A text that may be quoted: short, and neither data nor a page, nor with anything like a token.
_SENTENCE = rf"(?!.*((?i:access.?token)|{_LONG_WORD}))[^<{{=\r\n]{{1,200}}"

# A refresh token does not belong into this answer (RFC 6749 §4.4.3), and is not kept.
_NOT_EXTRA = frozenset({"access_token", "expires_in", "refresh_token", "scope", "token_type"})

_KEPT_FROM_PAGE = (
    "the browser shows this page no answer, and says why in its console: often the endpoint does "
    "not allow the page's origin (CORS), here or in its answer to the preflight request"
)


def failed_at(url: str) -> str:
    """Return the beginning of every message about a failed token request."""
    return f"token request to {without_query(url)} failed"


def read_token(
    response: requests.Response,
    url: str,
    sent_at: Moment,
    redact: Redactor,
    *,
    bound: bool = False,
    asserted: bool = False,
    grant: str = "client_credentials",
    default_lifetime: float | None = None,
) -> Token:
    """Return the token in an answer, whose body has been read.

    :param sent_at: lifetimes start then, so that a slow endpoint does not extend them.
    :param bound: True if a token bound to a DPoP key was asked for (RFC 9449 §5).
    :param asserted: True if the client authenticated with an assertion.
    :raises TokenError: if it has no usable token, whatever bytes arrived.
    """
    status, text = response.status_code, text_of(response)
    value, problem = json_value(text), ""
    if 300 <= status < 400:
        target = _target(url, response.headers.get("Location", ""))
        problem = f"it redirects to {target}, and redirects are never followed"
    elif 200 <= status < 300:
        try:
            return token_of(value, sent_at, bound=bound, default_lifetime=default_lifetime)
        except ValueError as error:
            problem = str(error)
    members = value if isinstance(value, dict) else {}
    redact.add([members.get("access_token")])
    code, description = code_and_description(value, status)
    is_plain = response.headers.get("Content-Type", "").lower().startswith("text/plain")
    is_short = value is None and len(text) < 300
    if status >= 400 and is_plain and is_short and re.fullmatch(_SENTENCE, text.strip()):
        description = text
    if status < 300:  # a success may have a token under any name
        code, description = (re.sub(_LONG_WORD, "[redacted]", x) for x in (code, description))
        if members.get("error") and (code or description):
            problem = ""  # these say more
    code, description, problem = map(redact.line, (code, description, problem))
    retryable = may_succeed_later(status, code, description)
    answer = f"{grant} {status}\n{code}: {description}"
    hint = "" if problem or retryable else hint_for(answer, response.headers, asserted, bound)
    parts = (f"{failed_at(url)} with status {status}", code, description, problem)
    message = ": ".join(dict.fromkeys(filter(None, parts))) + (f" ({hint})" if hint else "")
    uri = members.get("error_uri")
    if not isinstance(uri, str) or not re.fullmatch("https?://[!-~]*", uri):
        uri = ""
    raise TokenError(
        message,
        error=code or None,
        error_description=description or None,
        error_uri=redact.line(uri) or None,
        status_code=status,
        retryable=retryable,
        retry_after=retry_after(response),
        response=bare_response(response, url, redact),
    )


def raise_for_both(of_json: TokenError, of_form: TokenError, body: str) -> NoReturn:
    """Raise the error of one body after both have failed; that of the other is its cause."""
    error, other = (of_form, of_json) if body == "form" else (of_json, of_form)
    text = f"{error}; the answer to {'json' if body == 'form' else 'form'} was no better"
    if (other.error, other.status_code) != (error.error, error.status_code):
        text += f" ({other.error or f'status {other.status_code}'})"
    text += f", and body={body!r} only skips that attempt"
    if error.status_code in (400, 403) and not (error.error or error.error_description):
        # An empty answer, or a page: the client may be wrong, too.
        text += "; no reason was given: check client_id, client_secret and client_auth"
    error.args = (text,)
    raise_apart(error, other)


def _target(url: str, location: str) -> str:
    """Return where a redirect leads: its origin, and a plain path within the endpoint's origin."""
    try:
        target = urljoin(url, location) if location else ""
    except ValueError:
        target = ""
    where = origin(target)
    if where is None:
        return "no URL"
    path = urlsplit(target).path
    if where == origin(url) and re.fullmatch(r"[\w./~-]{1,200}", path, re.ASCII):
        where += re.sub(r"[\w~-]{24,}", "[redacted]", path)  # a long segment may be a token
    return where


def raise_unanswered(
    what: str, request: requests.PreparedRequest, error: Exception, redact: Redactor
) -> NoReturn:
    """Raise the error of a request without an answer that could be read.

    :param what: the beginning of its message.
    :param request: the request without secrets.
    """
    root, kind = root_cause(error), TokenError
    # requests makes a ConnectionError of the plain TimeoutError that urllib3 raises in browsers.
    if type(root) is urllib3.exceptions.TimeoutError or isinstance(error, requests.Timeout):
        kind = TokenTimeout
    elif isinstance(error, requests.ConnectionError):
        kind = TokenConnectionError
    text = re.sub("://[^/@ ]*@", "://", str(root))  # the credentials of a proxy
    if type(root) in (BadStatusLine, UnknownProtocol):
        # They quote what was received, which may be a token response without a head.
        text = "this is not HTTP"
    if sys.platform == "emscripten" and kind is not TokenError:
        # A browser does not say why, and what it says may quote the URL with its query.
        text = "no answer in time" if kind is TokenTimeout else _KEPT_FROM_PAGE
    reason = redact.line(f"{type(root).__name__}: {text}")
    failure = kind(
        f"{what}: {reason}",
        status_code=getattr(getattr(error, "response", None), "status_code", None),
        retryable=is_transient(error),
        request=request,
    )
    # A copy of the error, since it refers to the request, the connection and frames.
    try:
        cause = type(error)(reason)
    except Exception:  # its constructor takes other arguments
        cause = requests.RequestException(f"{type(error).__name__}: {reason}")
    raise_apart(failure, cause)


def raise_not_sent(what: str, url: str, error: Exception) -> NoReturn:
    """Raise the error of a request that was not sent as the callable ``what`` failed."""
    request = bare_request(url)
    failure = CallableError(f"{failed_at(url)}: {what} raised {raised_at(error)}", request=request)
    if isinstance(error, TokenError):  # such as that of another client, which tells why
        failure = CallableError(f"{failed_at(url)}: {error}", request=request)
        failure.retryable, failure.retry_after = error.retryable, error.retry_after
    # An attribute of these errors holds the whole text that could not be encoded or decoded.
    if any(isinstance(link, (UnicodeError, json.JSONDecodeError)) for link in links_of(error)):
        error = ValueError(f"{type(error).__name__}: left out, as it quotes a text")
    raise_apart(failure, error)


def token_of(
    value: JSON, sent_at: Moment, *, bound: bool = False, default_lifetime: float | None = None
) -> Token:
    """Return the token in the JSON value of a successful answer.

    :raises ValueError: if there is no usable token; the text gives the reason.
    """
    if not isinstance(value, dict):
        raise ValueError("the answer is no JSON object; check the URL")
    if value.get("error"):
        raise ValueError("the answer has an error")
    if value.get("access_token") is None:
        raise ValueError("the answer has no access_token")
    lifetime = _lifetime(value, sent_at, default_lifetime)
    scope: JSON = value.get("scope")
    if isinstance(scope, list) and all(isinstance(item, str) for item in scope):
        scope = " ".join(scope)
    return Token(
        value["access_token"],
        expires_at=None if lifetime is None else sent_at.wall + lifetime,
        scope=scope or None if isinstance(scope, str) else None,
        token_type=_token_type(value.get("token_type"), bound),
        extra={name: member for name, member in value.items() if name not in _NOT_EXTRA},
        _expires_monotonic=None if lifetime is None else sent_at.monotonic + lifetime,
    )


def _token_type(given: object, bound: bool) -> str:
    """Return the scheme of the Authorization header.

    :raises ValueError: if the type is not understood or not the one that was asked for.
    """
    name = given.strip().lower() if isinstance(given, str) else given
    if name == "dpop":
        if bound:
            return "DPoP"
        raise ValueError("token_type 'DPoP' is not understood without a key: pass dpop")
    if name not in BEARER:
        # Anything that does not look like a type may be a misplaced secret.
        is_word = isinstance(given, str) and re.fullmatch(r"[\w .-]{1,30}", given, re.ASCII)
        shown = repr(given) if is_word else f"(a {type(given).__name__})"
        raise ValueError(f"the token_type {shown} is not understood")
    if bound:
        raise ValueError("the token is not bound to the DPoP key; set the client up for DPoP")
    return "Bearer"


def _lifetime(members: Mapping[str, Any], sent_at: Moment, default: float | None) -> float | None:
    """Return the lifetime in seconds, or the default if the answer has no usable one."""
    lifetime = _seconds(members.get("expires_in"))
    for name in ("expires_on", "expires_at"):  # since the epoch: Entra ID v1 and others
        moment = _seconds(members.get(name))
        if lifetime is None and moment is not None:
            moment = moment / 1000 if moment > 1e11 else moment  # milliseconds
            lifetime = moment - sent_at.wall if moment >= sent_at.wall else None
    lifetime = default if lifetime is None else lifetime
    return None if lifetime is None else min(lifetime, MAX_LIFETIME)


def _seconds(value: object) -> float | None:
    """Return a number that is not negative, also from a string; None for anything else."""
    if isinstance(value, str) and re.fullmatch(r"\s*\+?[0-9]{1,300}(\.[0-9]*)?\s*", value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # Not for NaN and infinity. An integer may be too large for a float.
    return float(min(value, 1e300)) if 0 <= value < math.inf else None


def text_of(response: requests.Response) -> str:
    """Return the text of a body: in UTF-8, or else in the declared charset.

    Bytes that are neither are replaced.
    """
    try:
        # Not "utf-8-sig": it imports a module, and a child forked meanwhile would wait for the
        # import lock for ever.
        # UTF-16 without a mark is valid UTF-8, but for the NULs.
        return response.content.decode().removeprefix("\ufeff").replace("\0", "")
    except UnicodeDecodeError:
        declared = response.encoding or ""
        charset = declared if re.fullmatch(_CHARSETS, declared) else "utf-8"
    return response.content.decode(charset, "replace")


def json_value(text: str) -> JSON:
    """Return the JSON value of a text; None if it is none."""
    try:
        value: JSON = json.loads(text)
    except (ValueError, RecursionError):  # also for numbers of thousands of digits
        return None
    return value
