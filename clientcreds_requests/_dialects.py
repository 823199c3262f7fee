"""Where servers put error codes and descriptions, and what to do about them.

To support another provider, add a row. RFC 6749 §5.2 comes first.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, TypeAlias

from .exceptions import TokenConnectionError, TokenError, TokenTimeout

#: A JSON value; only its outermost level is typed.
JSON: TypeAlias = dict[str, Any] | list[Any] | str | float | None

#: The member names and positions that lead to a value within a JSON value.
Path: TypeAlias = tuple[str | int, ...]

#: The grant type that is asked for if no other is (RFC 6749 §4.4.2).
CLIENT_CREDENTIALS = "client_credentials"

#: Where the error code may be; the first text or number found is the code.
CODES: tuple[Path, ...] = (
    ("error",),  # RFC 6749
    ("errorCode",),  # Okta, IBM
    ("ErrorCode",),  # Apigee
    ("error", "error"),  # ArcGIS
    ("error", "status"),  # Google
    ("error", "code"),
    ("error", "type"),  # OpenAI, Anthropic
    ("error", 0, "code"),  # Walmart
    ("errors", 0, "code"),  # FedEx
    ("errors", 0, "errorCode"),
    ("response", "errors", 0, "code"),  # UPS
    ("fault", "detail", "errorcode"),  # Apigee
    (0, "errorCode"),  # Salesforce
    ("__type",),  # AWS
    ("code",),
    ("status",),
)

#: Where the description may be; the first text found is the description.
DESCRIPTIONS: tuple[Path, ...] = (
    ("error_description",),  # RFC 6749
    ("errorSummary",),  # Okta
    ("errorMessage",),  # IBM
    ("errorDescription",),
    ("error", "error_description"),  # ArcGIS
    ("error", "message"),  # Google, OpenAI, Anthropic
    ("error", 0, "description"),  # Walmart
    ("errors", 0, "message"),  # FedEx
    ("errors", 0, "detail"),
    ("errors", 0),
    ("response", "errors", 0, "message"),  # UPS
    ("fault", "faultstring"),  # Apigee
    (0, "message"),  # Salesforce
    ("Error",),  # Apigee
    ("reason",),  # Zoom
    ("message",),  # Spring, AWS
    ("Message",),  # AWS
    ("detail",),  # RFC 9457, DHL
    ("detail", 0, "msg"),  # FastAPI
    ("title",),  # RFC 9457
    ("description",),
)

#: What vendors call a bearer token, in lower case: Apigee, eBay, and others.
BEARER = frozenset({"", "bearer", "bearertoken", "application access token", "jwt", "jwt-bearer"})

#: Statuses after which the same token request may succeed a moment later.
RETRY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, *range(520, 525)})

#: An endpoint with one of these errors may just not have read the body.
VAGUE = frozenset({None, "invalid_request", "unsupported_grant_type"})

# Codes by which an endpoint rejects the client.
_REJECTS_CLIENT = frozenset({"invalid_client", "unauthorized_client", "access_denied"})

# Salesforce asks for the same request again with a 400 unknown_error.
_ASKS_TO_RETRY = r"(?i)\bretry your request\b|\btry again later\b|\btemporarily[ _]unavailable\b"

# Header fields with the end of a rate limit.
_RESETS = (
    "X-RateLimit-Reset-After",  # Discord
    "X-RateLimit-RetryAfter",  # CrowdStrike
    "X-Rate-Limit-Reset",  # Okta
    "X-RateLimit-Reset",  # GitHub
    "RateLimit-Reset",  # a draft of the IETF
)

_SECRET = "check client_id, client_secret and client_auth"
_DPOP = "if this client has to use DPoP, pass dpop"
_URL = "check the URL of the token endpoint"
_WRONG = "(invalid|bad|wrong|incorrect|unable to verify)"
_PROOF = "(credentials|secret)"
_USE = r"\b(service account|grant)"
_GRANT = "the server does not let this client use this grant_type"
_PERMISSION = "the client lacks permission: check audience and scope"


class Hint(NamedTuple):
    """What to do about an answer.

    :param text: names the argument to look at.
    :param code: the error code, in lower case; None for any.
    :param status: that of the answer; None for any.
    :param pattern: searched in code and description; None for any.
    """

    text: str
    code: str | None = None
    status: int | None = None
    pattern: str | None = None


#: The first that fits is shown. Entra ID's AADSTS codes are part of its descriptions.
HINTS: tuple[Hint, ...] = (
    Hint("client_secret is wrong: pass its value, not its id", pattern=r"\bAADSTS7000215\b"),
    Hint("client_secret has expired: make a new one", pattern=r"\bAADSTS7000222\b"),
    Hint("client_id is unknown in this tenant: check both", pattern=r"\bAADSTS700016\b"),
    Hint("check the tenant in the URL", pattern=r"\bAADSTS900(02|23|38)\b"),
    Hint("scope must be one resource and /.default", pattern=r"\bAADSTS(1002012|70011)\b"),
    Hint("scope: the resource is unknown in this tenant", pattern=r"\bAADSTS500011\b"),
    Hint(
        "client_auth: no federated credential has this token's issuer, subject and audience",
        pattern=r"\bAADSTS70021\d*\b",
    ),
    Hint("check the key in extra_params", pattern=r"(?i)\bAPI key could not be found"),  # IBM
    Hint("check scope", "invalid_scope"),
    Hint("check scope", "scope_invalid"),
    Hint("check resources and audience", "invalid_target"),
    Hint(_DPOP, "invalid_dpop_proof"),
    Hint(_DPOP, "use_dpop_nonce"),
    # Keycloak says so with status 401, after it has accepted the client's secret.
    Hint(_GRANT, "unauthorized_client", pattern=rf"(?i)\bnot\b.*{_USE}|{_USE}.*\bnot\b"),
    # Bitbucket says so with unauthorized_client, Box with invalid_grant.
    Hint(_SECRET, pattern=rf"(?i)\b{_WRONG}\b[^.]*\b{_PROOF}\b|\b{_PROOF}\b[^.]*\b{_WRONG}\b"),
    Hint(f"check the URL and extra_params; {_DPOP}", "invalid_grant"),
    Hint(_SECRET, "invalid_client"),
    Hint(f"{_URL}, and body", "unsupported_grant_type"),
    Hint(_SECRET, pattern=r"(?i)\b(client[ _-]?(id|secret|authentication)|client credentials?)\b"),
    Hint(_SECRET, pattern=r"(?i)\binvalid[ _-]?client\b"),
    Hint(
        "compare body, client_auth, scope and audience with the provider's documentation",
        "invalid_request",
    ),
    Hint(_SECRET, status=401),
    Hint(_GRANT, "unauthorized_client"),
    Hint(_PERMISSION, "access_denied"),
    Hint(_URL, status=404),
    Hint(_URL, status=405),
)


def first_text(value: JSON, paths: tuple[Path, ...], *, numbers: bool = False) -> str:
    """Return the first text, other than blank, to which a path leads; empty if there is none.

    :param numbers: accept integers, too.
    """
    for path in paths:
        found: Any = value
        try:
            for step in path:
                found = None if isinstance(found, str) else found[step]  # not a character
        except (TypeError, LookupError):
            continue
        if numbers and type(found) is int and abs(found) < 10**15:
            found = str(found)
        if isinstance(found, str) and found.strip():
            return found
    return ""


def hint_for(
    status: int,
    code: str,
    description: str,
    *,
    asserted: bool,
    bound: bool,
    grant: str,
    clock: float,
) -> str:
    """Return what to do about an answer; empty if there is nothing to say.

    :param asserted: True if the client has authenticated with an assertion.
    :param bound: True if the request had a DPoP proof.
    :param grant: the grant type that was asked for.
    :param clock: seconds by which the server's clock is ahead of this machine's.
    """
    if status in RETRY_STATUSES or asks_to_retry(code, description):
        return ""
    if code.lower() == "invalid_grant" and grant != CLIENT_CREDENTIALS:
        return "check the token of this grant: issuer, subject, audience, expiry" + _clock(clock)
    for hint in HINTS:
        if hint.code not in (None, code.lower()) or hint.status not in (None, status):
            continue
        if hint.pattern is not None and not re.search(hint.pattern, f"{code} {description}"):
            continue
        text = hint.text
        if asserted and text == _SECRET:
            text = "check the assertion of client_auth: its audience, key and kid, typ (headers=)"
            text += _clock(clock)
        if bound:
            text = text.replace(_DPOP, f"check the dpop key{_clock(clock)}")
        return text
    return ""


def _clock(ahead: float) -> str:
    if abs(ahead) <= 60:
        return " and clock"
    direction = "ahead of" if ahead > 0 else "behind"
    return f" and clock: the server's is {abs(ahead):.0f} s {direction} this machine's"


def asks_to_retry(code: str, description: str) -> bool:
    """Return True if a server asks in its own words for the same request again."""
    return re.search(_ASKS_TO_RETRY, f"{code} {description}") is not None


def other_body_may_work(error: TokenError) -> bool:
    """Return True if the endpoint has answered, and may not have read the body."""
    status = error.status_code
    if status is None or isinstance(error, (TokenConnectionError, TokenTimeout)):
        return False
    # A 500, too: some frameworks answer a body that they cannot read with it.
    return status <= 500 and status not in RETRY_STATUSES - {500}


def body_to_report(failed: Mapping[str, TokenError]) -> tuple[str, bool]:
    """Return the body whose error to raise after both have failed, and if that is settled.

    :param failed: the errors by body, in the order of the attempts.
    """
    last = [*failed][-1]
    if not other_body_may_work(failed[last]):  # it has not been answered, but may be later
        return last, False
    form_says_less = failed["form"].error in VAGUE and failed["json"].error not in VAGUE
    # A 500 may be over in a moment.
    return "json" if form_says_less else "form", failed["json"].status_code != 500


def rejects_client(error: TokenError) -> bool:
    """Return True if an endpoint has rejected the client, with either body."""
    attempts = [link for link in (error, error.__cause__) if isinstance(link, TokenError)]
    codes = {(one.error or "").lower() for one in attempts}
    return any(one.status_code == 401 for one in attempts) or not codes.isdisjoint(_REJECTS_CLIENT)


def seconds_until_reset(headers: Mapping[str, str]) -> float | None:
    """Return the seconds until a rate limit is reset; None if no field says."""
    for name in _RESETS:
        if re.fullmatch(r"\s*[0-9]{1,13}(\.[0-9]*)?\s*", headers.get(name, "")):
            number = float(headers[name])
            if number > 1e11:  # milliseconds since the epoch
                number /= 1000
            if number > 1e8:  # seconds since the epoch
                number -= time.time()
            return max(0.0, number)
    found = re.search(r"(?:^|[;,\s])(?:t|reset)=([0-9]{1,9})\b", headers.get("RateLimit", ""))
    return float(found[1]) if found else None


def clock_difference(headers: Mapping[str, str]) -> float:
    """Return the seconds by which the server's clock is ahead of this one; 0 without a Date."""
    try:
        return seconds_since_epoch(headers.get("Date", "")) - time.time()
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0


def seconds_since_epoch(date: str) -> float:
    """Return the moment of an HTTP date (RFC 9110 §5.6.7).

    :raises ValueError, TypeError, IndexError, OverflowError: if it is none.
    """
    moment = parsedate_to_datetime(date)
    # The form of asctime() names no time zone, but is in UTC, not in this machine's zone.
    return moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp()
