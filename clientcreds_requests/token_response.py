"""Reading the token endpoint's answer (RFC 6749 §5): a token, or why there is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import requests

from .adapters import RETRY_STATUSES, retry_after
from .exceptions import TokenError
from .origins import origin, without_query
from .tokens import Token

# What to do about it: servers' own descriptions seldom say.
_HINTS: dict[str | int, str] = {
    "access_denied": "this client may not have what it asks for: check audience and scope",
    "invalid_client": "check client_id, client_secret and client_auth",
    "invalid_request": "compare body, client_auth and audience with the provider's documentation",
    "invalid_scope": "check scope",
    "invalid_target": "check resources and audience",
    "unauthorized_client": "the server does not grant this client client_credentials",
    "unsupported_grant_type": "check the URL, or try the other body: json, form",
    401: "check client_id, client_secret and client_auth",
    404: "check the URL of the token endpoint",
    405: "check the URL of the token endpoint",
}

# RFC 6749 §5.2 first, then what Okta, UPS, Google and frameworks send in its stead.
_ERROR_MEMBERS = ("error", "errorCode", "ErrorCode", "code", "status")
_DESCRIPTION_MEMBERS = ("error_description", "errorSummary", "message", "detail", "title")


class Redactor:
    """Takes secrets out of a server's words, should it repeat what it was sent.

    :param secrets: what was sent; very short ones are left in, as they may be part of a word.
    """

    def __init__(self, *secrets: str) -> None:
        self._secrets = sorted((s for s in secrets if len(s) > 4), key=len, reverse=True)

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


def read_token(
    response: requests.Response, url: str, sent_at: float, redact: Redactor
) -> Token | TokenError:
    """The token in an answer, or the error it is, whatever bytes arrived.

    :param response: the answer, its body read.
    :param url: of the token endpoint.
    :param sent_at: when the request was sent, in seconds since the epoch.
    :param redact: knows the secrets that were sent.
    """
    status = response.status_code
    members = _json_object(response.content)
    problem = ""
    if 300 <= status < 400:
        target = origin(urljoin(url, response.headers.get("Location", ""))) or "nowhere"
        problem = f"it redirects to {redact.line(target)}, and redirects are never followed"
    elif 200 <= status < 300 and members is None:
        problem = "the answer is no JSON object; check the URL"
    elif 200 <= status < 300 and members is not None and not members.get("error"):
        try:
            return Token.from_response(members, sent_at)
        except ValueError as error:
            problem = str(error)
    return _error(response, url, members or {}, problem, redact)


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
        response=_without_secrets(response, url, redact),
    )


def refused(url: str) -> str:
    """How every message about a failed token request begins."""
    return f"token request to {without_query(url)} failed"


def bare_request(url: str) -> requests.PreparedRequest:
    """The token request without anything that could be secret."""
    request = requests.Request("POST", without_query(url)).prepare()
    request.headers.clear()
    return request


def _without_secrets(response: requests.Response, url: str, redact: Redactor) -> requests.Response:
    bare = requests.Response()
    bare.status_code, bare.reason = response.status_code, response.reason
    bare.headers, bare.encoding = response.headers, response.encoding
    bare.url, bare.elapsed = without_query(url), response.elapsed
    bare.request = bare_request(url)
    # What should have been a token response may hold a token somewhere.
    text = "" if response.ok else response.content.decode(errors="surrogateescape")
    bare._content = redact(text).encode(errors="surrogateescape")
    bare._content_consumed = True
    return bare


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        members = json.loads(body.decode("utf-8-sig"))
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
    inner = members.get("error")
    response = members.get("response")
    if isinstance(response, dict) and isinstance(response.get("errors"), list):
        inner = next(iter(response["errors"]), None)
    if isinstance(inner, dict):
        yield inner


def _web_page(uri: object, redact: Redactor) -> str | None:
    if isinstance(uri, str) and uri.startswith(("https://", "http://")):
        return redact.line(uri) if uri.isprintable() and " " not in uri else None
    return None
