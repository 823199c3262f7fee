"""Where servers put error codes and descriptions, and what to do about them.

To support another provider, add a row. RFC 6749 §5.2 comes first.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Any, TypeAlias

from .exceptions import TokenError

#: A JSON value; only its outermost level is typed.
JSON: TypeAlias = dict[str, Any] | list[Any] | str | float | None

#: The member names and positions that lead to a value within a JSON value.
Path: TypeAlias = tuple[str | int, ...]

#: Where the error code may be; the first text or number found is the code.
CODES: tuple[Path, ...] = (
    ("error",),  # RFC 6749
    ("errorCode",),  # Okta, IBM
    ("ErrorCode",),  # Apigee
    ("error", "error"),  # ArcGIS
    ("error", "status"),  # Google
    ("error", "code"),  # Microsoft Graph
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

#: What vendors call a bearer token, if anything, in lower case: Apigee, eBay, and others.
BEARER = (None, "", "bearer", "bearertoken", "application access token", "jwt", "jwt-bearer")

#: Statuses after which the same token request may succeed a moment later.
RETRY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, *range(520, 525)})

#: An endpoint with one of these errors may just not have read the body.
VAGUE = frozenset({None, "invalid_request", "unsupported_grant_type"})

# Header fields with the end of a rate limit.
_RESETS = (
    "X-RateLimit-Reset-After",  # Discord
    "X-RateLimit-RetryAfter",  # CrowdStrike
    "X-Rate-Limit-Reset",  # Okta
    "X-RateLimit-Reset",  # GitHub
    "RateLimit-Reset",  # a draft of the IETF
)

_GRANT = "the server does not let this client use this grant_type"
_URL = "check the URL of the token endpoint"
_GRANT_WORDS = r"\b(service account|grant)"
_WRONG = r"\b(invalid|bad|wrong|incorrect|unable to verify)\b"
_CREDENTIALS = r"\b(credentials|secret)\b"

#: Patterns of answers, and what to do about them; the first that is found counts. They are
#: searched, in any case and line by line, in "grant_type status" and, on a second line,
#: "code: description". In the texts {client}, {dpop} and {clock} are filled in: see hint_for().
HINTS: tuple[tuple[str, str], ...] = (
    (
        r"\A(?!client_credentials ).*\ninvalid_grant:",
        "check the token of this grant: issuer, subject, audience, expiry{clock}",
    ),
    # Entra ID's codes are part of its descriptions.
    (r"\bAADSTS7000215\b", "client_secret is wrong: pass its value, not its id"),
    (r"\bAADSTS7000222\b", "client_secret has expired: make a new one"),
    (r"\bAADSTS700016\b", "client_id is unknown in this tenant: check both"),
    (r"\bAADSTS900(02|23|38)\b", "check the tenant in the URL"),
    (r"\bAADSTS(1002012|70011)\b", "scope must be one resource and /.default"),
    (r"\bAADSTS500011\b", "scope: the resource is unknown in this tenant"),
    (
        r"\bAADSTS70021\d*\b",
        "client_auth: no federated credential has this token's issuer, subject and audience",
    ),
    (r"\bAPI key could not be found", "check the key in extra_params"),  # IBM
    (r"^(invalid_scope|scope_invalid):", "check scope"),
    (r"^invalid_target:", "check resources and audience"),
    (r"^(invalid_dpop_proof|use_dpop_nonce):", "{dpop}"),
    # Keycloak says so with status 401, after it has accepted the client's secret.
    (rf"^unauthorized_client:.*(\bnot\b.*{_GRANT_WORDS}|{_GRANT_WORDS}.*\bnot\b)", _GRANT),
    # Bitbucket says so with unauthorized_client, Box with invalid_grant.
    (rf"{_WRONG}[^.]*{_CREDENTIALS}|{_CREDENTIALS}[^.]*{_WRONG}", "{client}"),
    (r"^invalid_grant:", "check the URL and extra_params; {dpop}"),
    (r"^invalid_client:", "{client}"),
    (r"^unsupported_grant_type:", f"{_URL}, and body"),
    (r"\b(client[ _-]?(id|secret|authentication)|client credentials?)\b", "{client}"),
    (r"\binvalid[ _-]?client\b", "{client}"),
    (
        r"^invalid_request:",
        "compare body, client_auth, scope and audience with the provider's documentation",
    ),
    (r"\A.* 401$", "{client}"),
    (r"^unauthorized_client:", _GRANT),
    (r"^access_denied:", "the client lacks permission: check audience and scope"),
    (r"\A.* 40[45]$", _URL),
)


def code_and_description(value: JSON, status: int) -> tuple[str, str]:
    """Return error code and description in the JSON value of an answer; empty if there is none."""
    code = _first_text(value, CODES)
    if code == str(status):  # a repetition
        code = ""
    return code, _first_text(value, DESCRIPTIONS)


def _first_text(value: JSON, paths: tuple[Path, ...]) -> str:
    """Return the first text, other than blank, or integer code to which a path leads."""
    for path in paths:
        found: Any = value
        try:
            for step in path:
                found = None if isinstance(found, str) else found[step]  # not a character
        except (TypeError, LookupError):
            continue
        if paths is CODES and type(found) is int and abs(found) < 10**15:
            found = str(found)
        if isinstance(found, str) and found.strip():
            return found
    return ""


def hint_for(answer: str, headers: Mapping[str, str], asserted: bool, bound: bool) -> str:
    """Return what to do about an answer; empty if there is nothing to say.

    :param answer: grant type and status; on another line error code, a colon and description.
    :param asserted: True if the client has authenticated with an assertion.
    :param bound: True if the request had a DPoP proof.
    """
    clock = " and clock"
    server_time = seconds_since_epoch(headers.get("Date", ""))
    ahead = 0.0 if server_time is None else server_time - time.time()
    if abs(ahead) > 60:
        direction = "ahead of" if ahead > 0 else "behind"
        clock += f": the server's is {abs(ahead):.0f} s {direction} this machine's"
    client = "check client_id, client_secret and client_auth"
    if asserted:
        client = f"check the assertion of client_auth: audience, key and kid, typ (headers=){clock}"
    dpop = f"check the dpop key{clock}" if bound else "if this client has to use DPoP, pass dpop"
    for pattern, text in HINTS:
        if re.search(f"(?im){pattern}", answer):
            return text.format(client=client, dpop=dpop, clock=clock)
    return ""


def may_succeed_later(status: int, code: str, description: str) -> bool:
    """Return True if status or words of an answer ask for the same request again."""
    # Salesforce asks for it with a 400 unknown_error.
    asks = r"(?i)\bretry your request\b|\btry again later\b|\btemporarily[ _]unavailable\b"
    return status in RETRY_STATUSES or re.search(asks, f"{code} {description}") is not None


def other_body_may_work(error: TokenError) -> bool:
    """Return True if the endpoint has answered, and may not have read the body."""
    status = error.status_code
    # A 500, too: some frameworks answer a body that they cannot read with it.
    return status is not None and status <= 500 and status not in RETRY_STATUSES - {500}


def rejects_client(error: TokenError) -> bool:
    """Return True if an endpoint has rejected the client, with either body."""
    attempts = [link for link in (error, error.__cause__) if isinstance(link, TokenError)]
    codes = {(one.error or "").lower() for one in attempts}
    rejections = {"invalid_client", "unauthorized_client", "access_denied"}
    return any(one.status_code == 401 for one in attempts) or not codes.isdisjoint(rejections)


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


def seconds_since_epoch(date: str) -> float | None:
    """Return the moment of an HTTP date (RFC 9110 §5.6.7); None if it is none."""
    try:
        moment = parsedate_to_datetime(date)
        # The form of asctime() names no time zone, but is in UTC, not in this machine's zone.
        return moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
