"""Reads the answers of token endpoints (RFC 6749 §5) and the challenges of APIs."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Mapping
from http.client import BadStatusLine, RemoteDisconnected, UnknownProtocol
from typing import Any, NoReturn, TypeAlias
from urllib.parse import urljoin

import requests

from ._redaction import (
    Redactor,
    bare_request,
    bare_response,
    links_of,
    raise_apart,
    raised_at,
)
from ._urls import origin, without_query
from .adapters import RETRY_STATUSES, is_transient, retry_after, root_cause
from .exceptions import CallableError, TokenConnectionError, TokenError, TokenTimeout
from .tokens import Moment, Token

#: Longer lifetimes, in seconds, are reduced to this: they are milliseconds, or a mistake.
MAX_LIFETIME = 366 * 24 * 3600.0

#: The maximum number of characters of a ``WWW-Authenticate`` that are read.
MAX_CHALLENGES = 64 * 1024

#: A JSON value; only its outermost level is typed.
JSON: TypeAlias = dict[str, Any] | list[Any] | str | float | None

#: One challenge: its scheme, and its parameters by name, both names in lower case.
Challenge: TypeAlias = tuple[str, dict[str, str]]

_NUMBER = r"\s*[+-]?[0-9]{1,300}(\.[0-9]*)?\s*"

# "BearerToken" is Apigee's, "Application Access Token" is eBay's.
_BEARER = frozenset({"", "bearer", "bearertoken", "application access token"})
# A refresh token does not belong into this answer (RFC 6749 §4.4.3), and is not kept.
_NOT_EXTRA = frozenset({"access_token", "expires_in", "refresh_token", "scope", "token_type"})

# Exceptions with an attribute that holds the whole text they could not encode or decode.
_QUOTING = (UnicodeError, json.JSONDecodeError)

# Advice for the user, which is seldom part of the description that a server sends.
_HINTS: dict[str | int, str] = {
    "access_denied": "the client lacks permission: check audience and scope",
    "invalid_client": "check client_id, client_secret and client_auth",
    "invalid_dpop_proof": "if this client has to use DPoP, pass dpop",
    "invalid_grant": "check the URL; if this client has to use DPoP, pass dpop",
    "invalid_request": "compare body, client_auth and audience with the provider's documentation",
    "invalid_scope": "check scope",
    "invalid_target": "check resources and audience",
    "unauthorized_client": "the server does not grant this client client_credentials",
    "unsupported_grant_type": "check the URL, or try the other body: json, form",
    "use_dpop_nonce": "if this client has to use DPoP, pass dpop",
    401: "check client_id, client_secret and client_auth",
    404: "check the URL of the token endpoint",
    405: "check the URL of the token endpoint",
}

# RFC 6749 §5.2 first, then what Okta, UPS, Google and frameworks send instead.
_ERROR_MEMBERS = ("error", "errorCode", "ErrorCode", "code", "status")
_DESCRIPTION_MEMBERS = ("error_description", "errorSummary", "message", "detail", "title")

# One step through a field value: a parameter, a scheme, a token68, or anything else, which is
# skipped. A run of token characters is always matched whole, so the time is linear.
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_STEP = (
    rf"""(?P<name>{_TOKEN})[ \t]*=[ \t]*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>{_TOKEN}))"""
    rf"""|(?P<scheme>{_TOKEN})(?=[ \t,]|$)"""
    r"""|[!#$%&'*+.^_`|~0-9A-Za-z/-]+=*"""
    r"""|"(?:[^"\\]|\\.)*"?"""
    r"""|[ \t]+"""
    r"""|."""
)


def failed_at(url: str) -> str:
    """Return the beginning of every message about a failed token request."""
    return f"token request to {without_query(url)} failed"


def read_token(
    response: requests.Response,
    url: str,
    sent_at: Moment,
    redact: Redactor,
    bound: bool = False,
) -> Token:
    """Return the token in an answer.

    :param response: the answer, its body read.
    :param sent_at: when the request was sent: lifetimes start then, so that a slow endpoint does
        not extend them.
    :param redact: removes the secrets that were sent.
    :param bound: True if a token bound to a DPoP key was asked for (RFC 9449 §5).
    :raises TokenError: if it has no usable token, whatever bytes arrived.
    """
    status = response.status_code
    members = json_object(response.content)
    problem = ""
    if 300 <= status < 400:
        where = None
        with contextlib.suppress(ValueError):  # not even a URL
            where = origin(urljoin(url, response.headers.get("Location", "")))
        target = redact.line(where or "nowhere")
        problem = f"it redirects to {target}, and redirects are never followed"
    elif 200 <= status < 300 and members is None:
        problem = "the answer is no JSON object; check the URL"
    elif 200 <= status < 300 and members is not None and not members.get("error"):
        try:
            return token_of(members, sent_at, bound=bound)
        except ValueError as error:
            problem = redact(str(error))
    members = members or {}
    redact = redact.knowing(members.get("access_token"))
    code = redact.line(_first(members, _ERROR_MEMBERS), 100)
    description = redact.line(_first(members, _DESCRIPTION_MEMBERS))
    hint = _HINTS.get(code) or ("" if problem else _HINTS.get(status, ""))
    uri: JSON = members.get("error_uri")
    is_page = isinstance(uri, str) and uri.isprintable() and re.fullmatch("https?://[^ ]*", uri)
    message = ": ".join(filter(None, (f"with status {status}", code, description, problem)))
    raise TokenError(
        f"{failed_at(url)} {message}" + (f" ({hint})" if hint else ""),
        error=code or None,
        error_description=description or None,
        error_uri=redact.line(str(uri)) if is_page else None,
        status_code=status,
        retryable=status in RETRY_STATUSES,
        retry_after=retry_after(response),
        response=bare_response(response, url, redact),
    )


def raise_unanswered(
    what: str, request: requests.PreparedRequest, error: Exception, redact: Redactor
) -> NoReturn:
    """Raise the error of a request without an answer that could be read.

    :param what: the beginning of its message.
    :param request: the request without secrets.
    :param error: what the adapter raised.
    :param redact: removes the secrets that were sent.
    """
    kind = TokenError
    if isinstance(error, requests.Timeout):
        kind = TokenTimeout
    elif isinstance(error, requests.ConnectionError):
        kind = TokenConnectionError
    root = root_cause(error)
    text = str(root)
    if isinstance(root, (BadStatusLine, UnknownProtocol)):
        # They quote what was received, which may be a token response without a head.
        text = text if isinstance(root, RemoteDisconnected) else "this is not HTTP"
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
    quotes = any(isinstance(link, _QUOTING) for link in links_of(error))
    left_out = f"{type(error).__name__}: left out, as it quotes what was encoded or decoded"
    cause = ValueError(left_out) if quotes else error
    failure = CallableError(
        f"{failed_at(url)}: {what} raised {raised_at(error)}", request=bare_request(url)
    )
    raise_apart(failure, cause)


def token_of(members: Mapping[str, Any], sent_at: Moment, *, bound: bool = False) -> Token:
    """Return the token in the members of a successful answer.

    :raises ValueError: if there is no usable token; the text gives the reason.
    """
    token_type = _token_type(members.get("token_type"), bound)
    lifetime = _lifetime(members.get("expires_in"))
    scope: JSON = members.get("scope")
    if isinstance(scope, list) and all(isinstance(item, str) for item in scope):
        scope = " ".join(scope)
    return Token(
        members.get("access_token", ""),
        expires_at=None if lifetime is None else sent_at.wall + lifetime,
        scope=scope or None if isinstance(scope, str) else None,
        token_type=token_type,
        extra={name: value for name, value in members.items() if name not in _NOT_EXTRA},
        _expires_monotonic=None if lifetime is None else sent_at.monotonic + lifetime,
    )


def _token_type(given: object, bound: bool) -> str:
    """Return the scheme of the Authorization header.

    :raises ValueError: if the type is not understood or not the one that was asked for.
    """
    name = "" if given is None else given.strip().lower() if isinstance(given, str) else None
    if name == "dpop" and bound:
        return "DPoP"
    if name == "dpop":
        raise ValueError("token_type 'DPoP' is not understood without a key: pass dpop")
    if name not in _BEARER:
        # Anything that does not look like a type may be a misplaced secret.
        is_word = isinstance(given, str) and re.fullmatch(r"[\w .-]{1,30}", given, re.ASCII)
        shown = repr(given) if is_word else f"(a {type(given).__name__})"
        raise ValueError(f"the token_type {shown} is not understood")
    if bound:
        raise ValueError("the token is not bound to the DPoP key; set the client up for DPoP")
    return "Bearer"


def _lifetime(expires_in: object) -> float | None:
    """Return the lifetime in seconds; None if it is missing or unusable."""
    if isinstance(expires_in, str) and re.fullmatch(_NUMBER, expires_in):
        expires_in = float(expires_in)
    if isinstance(expires_in, bool) or not isinstance(expires_in, (int, float)):
        return None
    if not abs(expires_in) < math.inf:  # NaN or infinite
        return None
    return float(min(max(expires_in, 0), MAX_LIFETIME))


def json_object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object in a body; None if the body is anything else."""
    members: JSON
    try:
        # Not "utf-8-sig": it imports a module, and a child forked meanwhile would wait for the
        # import lock for ever.
        members = json.loads(body.decode().removeprefix("\ufeff"))
    except (ValueError, RecursionError):  # also for numbers of thousands of digits
        return None
    return members if isinstance(members, dict) else None


def _first(members: dict[str, Any], names: tuple[str, ...]) -> str:
    """Return the first text under one of the names, also in the inner object of some servers."""
    inner: JSON = members.get("error")
    response: JSON = members.get("response")
    errors: JSON = response.get("errors") if isinstance(response, dict) else None
    if isinstance(errors, list):
        inner = next(iter(errors), None)
    for candidate in (members, inner if isinstance(inner, dict) else {}):
        for name in names:
            value = candidate.get(name)
            if isinstance(value, str) and value:
                return value
    return ""


def parse_challenges(value: str) -> list[Challenge]:
    """Return the challenges of ``WWW-Authenticate`` fields, joined by commas, in order.

    Malformed parts are skipped, and what is beyond :data:`MAX_CHALLENGES` is ignored.
    """
    challenges: list[Challenge] = []
    # A scheme is at the beginning or after a comma; elsewhere such a word is a token68.
    after_comma = True
    for step in re.finditer(_STEP, value[:MAX_CHALLENGES], re.DOTALL):
        if step["name"] is not None and challenges:
            quoted, plain = step["quoted"], step["plain"]
            text = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
            challenges[-1][1].setdefault(step["name"].lower(), text)
        elif step["scheme"] is not None and after_comma:
            challenges.append((step["scheme"].lower(), {}))
        if not step[0].isspace():
            after_comma = step[0] == ","
    return challenges
