"""Reading answers: the token endpoint's (RFC 6749 §5), none at all, and challenges."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from http.client import BadStatusLine, RemoteDisconnected, UnknownProtocol
from typing import Any, NoReturn, TypeAlias
from urllib.parse import urljoin

import requests

from ._redaction import (
    Redactor,
    bare_request,
    bare_response,
    detached,
    links_of,
    raise_apart,
    raised_at,
)
from ._urls import origin, without_query
from .adapters import RETRY_STATUSES, is_transient, retry_after, root_cause
from .exceptions import CallableError, TokenConnectionError, TokenError, TokenTimeout
from .tokens import Moment, Token

#: Longer lifetimes, in seconds, are capped: they are milliseconds, or a mistake.
MAX_LIFETIME = 366 * 24 * 3600.0

#: The most characters of a ``WWW-Authenticate`` that are read: each may be a challenge.
MAX_CHALLENGES = 64 * 1024

#: What JSON can hold, as far as its outermost level.
JSON: TypeAlias = dict[str, Any] | list[Any] | str | float | None

#: One challenge: its scheme, and its parameters by name, both names in lower case.
Challenge: TypeAlias = tuple[str, dict[str, str]]

_NUMBER = r"\s*[+-]?[0-9]{1,300}(\.[0-9]*)?\s*"

# "BearerToken" is Apigee's, "Application Access Token" is eBay's.
_BEARER = frozenset({"", "bearer", "bearertoken", "application access token"})
# A refresh token does not belong here (RFC 6749 §4.4.3), and is not kept.
_NOT_EXTRA = frozenset({"access_token", "expires_in", "refresh_token", "scope", "token_type"})

# Exceptions with an attribute that holds all of what they could not encode or decode.
_QUOTING = (UnicodeError, json.JSONDecodeError)

# What to do about it: servers' own descriptions seldom say.
_HINTS: dict[str | int, str] = {
    "access_denied": "this client may not have what it asks for: check audience and scope",
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

# RFC 6749 §5.2 first, then what Okta, UPS, Google and frameworks send in its stead.
_ERROR_MEMBERS = ("error", "errorCode", "ErrorCode", "code", "status")
_DESCRIPTION_MEMBERS = ("error_description", "errorSummary", "message", "detail", "title")

# One step through a field value: a parameter, a scheme, a token68, or whatever must be stepped
# over. A run of token characters is always taken whole, so the time is linear in the length.
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
    """How every message about a failed token request begins."""
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
    :param url: of the token endpoint.
    :param sent_at: when the request was sent: lifetimes count from there, so that neither a slow
        endpoint nor a clock that is set meanwhile lengthens them.
    :param redact: knows the secrets that were sent.
    :param bound: True if a token bound to a DPoP key was asked for (RFC 9449 §5).
    :raises TokenError: if there is no usable token in it, whatever bytes arrived.
    """
    status = response.status_code
    members = json_object(response.content)
    problem = ""
    if 300 <= status < 400:
        target = redact.line(_target(url, response.headers.get("Location", "")))
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
    said = ": ".join(part for part in (code, description, problem) if part)
    raise TokenError(
        f"{failed_at(url)} with status {status}"
        + (f": {said}" if said else "")
        + (f" ({hint})" if hint else ""),
        error=code or None,
        error_description=description or None,
        error_uri=_web_page(members.get("error_uri"), redact),
        status_code=status,
        retryable=status in RETRY_STATUSES,
        retry_after=retry_after(response),
        response=bare_response(response, url, redact),
    )


def raise_unanswered(
    what: str, request: requests.PreparedRequest, error: Exception, redact: Redactor
) -> NoReturn:
    """Raise the error of a request that got no answer, or none that could be read.

    :param what: how its message begins.
    :param request: what was sent, bare of secrets.
    :param error: what the adapter raised.
    :param redact: knows the secrets that were sent.
    """
    kind = TokenError
    if isinstance(error, requests.Timeout):
        kind = TokenTimeout
    elif isinstance(error, requests.ConnectionError):
        kind = TokenConnectionError
    root = root_cause(error)
    # What should have been the head of an answer may be a token response without one.
    quotes = isinstance(root, (BadStatusLine, UnknownProtocol))
    quotes = quotes and not isinstance(root, RemoteDisconnected)
    reason = redact.line(f"{type(root).__name__}: {'this is not HTTP' if quotes else root}")
    failure = kind(
        f"{what}: {reason}",
        status_code=getattr(getattr(error, "response", None), "status_code", None),
        retryable=is_transient(error),
        request=request,
    )
    raise_apart(failure, detached(error, reason))


def raise_callable_failed(what: str, url: str, error: Exception) -> NoReturn:
    """Raise the error of a request that could not be completed, so that none was sent.

    :param what: what was passed in, and has failed.
    """
    quotes = any(isinstance(link, _QUOTING) for link in links_of(error))
    left_out = f"{type(error).__name__}: left out, as it quotes what was encoded or decoded"
    cause = ValueError(left_out) if quotes else error
    failure = CallableError(
        f"{failed_at(url)}: {what} raised {raised_at(error)}", request=bare_request(url)
    )
    raise_apart(failure, cause)


def token_of(members: Mapping[str, Any], sent_at: Moment, *, bound: bool = False) -> Token:
    """Return the token in the members of a successful answer.

    :raises ValueError: if there is no usable token in it; the text says why.
    """
    token_type = _token_type(members.get("token_type"), bound)
    lifetime = _lifetime(members.get("expires_in"))
    return Token(
        members.get("access_token", ""),
        expires_at=None if lifetime is None else sent_at.wall + lifetime,
        scope=_granted_scope(members.get("scope")),
        token_type=token_type,
        extra={name: value for name, value in members.items() if name not in _NOT_EXTRA},
        _expires_monotonic=None if lifetime is None else sent_at.monotonic + lifetime,
    )


def _token_type(given: object, bound: bool) -> str:
    """How the token is to be presented.

    :raises ValueError: for a type that is not understood, or not the one that was asked for.
    """
    name = "" if given is None else given.strip().lower() if isinstance(given, str) else None
    if name == "dpop" and bound:
        return "DPoP"
    if name == "dpop":
        raise ValueError("token_type 'DPoP' is not understood without a key: pass dpop")
    if name not in _BEARER:
        raise ValueError(f"the token_type {_shown(given)} is not understood")
    if bound:
        raise ValueError("the token is not bound to the DPoP key; set the client up for DPoP")
    return "Bearer"


def _lifetime(expires_in: object) -> float | None:
    """Seconds; None if the server did not say, or nothing usable."""
    if isinstance(expires_in, str) and re.fullmatch(_NUMBER, expires_in):
        expires_in = float(expires_in)
    if isinstance(expires_in, bool) or not isinstance(expires_in, (int, float)):
        return None
    if isinstance(expires_in, float) and not math.isfinite(expires_in):
        return None
    return float(min(max(expires_in, 0), MAX_LIFETIME))


def _granted_scope(scope: str | list[Any] | None) -> str | None:
    if isinstance(scope, list) and all(isinstance(item, str) for item in scope):
        scope = " ".join(scope)
    return scope or None if isinstance(scope, str) else None


def _shown(token_type: object) -> str:
    """The type, for the error, if it looks like one: anything else may be a misplaced secret."""
    if isinstance(token_type, str) and re.fullmatch(r"[\w .-]{1,30}", token_type, re.ASCII):
        return repr(token_type)
    return f"(a {type(token_type).__name__})"


def _target(url: str, location: str) -> str:
    try:
        return origin(urljoin(url, location)) or "nowhere"
    except ValueError:  # not even a URL
        return "nowhere"


def json_object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object that a body is; None for anything else."""
    members: JSON
    try:
        # Not "utf-8-sig": its module would be imported here, and a child forked at that moment
        # would wait for the import's lock for ever.
        members = json.loads(body.decode().removeprefix("\ufeff"))
    except (ValueError, RecursionError):  # also for numbers of thousands of digits
        return None
    return members if isinstance(members, dict) else None


def _first(members: dict[str, Any], names: tuple[str, ...]) -> str:
    for candidate in _nested(members):
        for name in names:
            value = candidate.get(name)
            if isinstance(value, str) and value:
                return value
    return ""


def _nested(members: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the object, and the inner one in which some servers put their error."""
    yield members
    inner: JSON = members.get("error")
    response: JSON = members.get("response")
    errors: JSON = response.get("errors") if isinstance(response, dict) else None
    if isinstance(errors, list):
        inner = next(iter(errors), None)
    if isinstance(inner, dict):
        yield inner


def _web_page(uri: object, redact: Redactor) -> str | None:
    if isinstance(uri, str) and uri.startswith(("https://", "http://")):
        return redact.line(uri) if uri.isprintable() and " " not in uri else None
    return None


def parse_challenges(value: str) -> list[Challenge]:
    """Return the challenges of a ``WWW-Authenticate`` field value, in order.

    Several fields joined by commas are one value. Whatever is malformed is stepped over, and what
    is beyond :data:`MAX_CHALLENGES` left out.
    """
    challenges: list[Challenge] = []
    # A scheme stands at the beginning or after a comma; elsewhere such a word is a token68.
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
