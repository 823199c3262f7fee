"""Reading the token endpoint's answer (RFC 6749 §5): a token, or why there is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeAlias
from urllib.parse import urljoin

import requests

from .adapters import RETRY_STATUSES, retry_after
from .exceptions import TokenError
from .failures import refused
from .origins import origin
from .redaction import Redactor, bare_response
from .tokens import Moment, Token

#: What JSON can hold, as far as its outermost level.
JSON: TypeAlias = dict[str, Any] | list[Any] | str | float | None

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


def read_token(
    response: requests.Response,
    url: str,
    sent_at: Moment,
    redact: Redactor,
    bound: bool = False,
) -> Token | TokenError:
    """The token in an answer, or the error it is, whatever bytes arrived.

    :param response: the answer, its body read.
    :param url: of the token endpoint.
    :param sent_at: when the request was sent.
    :param redact: knows the secrets that were sent.
    :param bound: was a token asked for that is bound to a DPoP key?
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
            return Token.from_response(members, sent_at, bound=bound)
        except ValueError as error:
            problem = redact(str(error))
    members = members or {}
    return _error(response, url, members, problem, redact.knowing(members.get("access_token")))


def _error(
    response: requests.Response,
    url: str,
    members: dict[str, Any],
    problem: str,
    redact: Redactor,
) -> TokenError:
    status = response.status_code
    code = redact.line(_first(members, _ERROR_MEMBERS), 100)
    description = redact.line(_first(members, _DESCRIPTION_MEMBERS))
    hint = _HINTS.get(code) or ("" if problem else _HINTS.get(status, ""))
    said = ": ".join(part for part in (code, description, problem) if part)
    return TokenError(
        f"{refused(url)} with status {status}"
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


def _target(url: str, location: str) -> str:
    try:
        return origin(urljoin(url, location)) or "nowhere"
    except ValueError:  # not even a URL
        return "nowhere"


def json_object(body: bytes) -> dict[str, Any] | None:
    """The JSON object that a body is; None for anything else."""
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
    """The object, and the inner one in which some servers keep their error."""
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
