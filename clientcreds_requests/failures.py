"""Making a :class:`TokenError` of what went wrong on the way, with no secret in it."""

from __future__ import annotations

from http.client import BadStatusLine, RemoteDisconnected, UnknownProtocol

import requests

from .adapters import is_transient, root_cause
from .exceptions import TokenConnectionError, TokenError, TokenTimeout
from .origins import without_query
from .redaction import Redactor, bare_request, detached, without_our_frames


class CannotAsk(Exception):
    """What the user gave to complete the request raised; that is the cause."""


def refused(url: str) -> str:
    """How every message about a failed token request begins."""
    return f"token request to {without_query(url)} failed"


def never_asked(url: str, error: CannotAsk) -> TokenError:
    """The error of a request that was not sent, for want of what the user has to give."""
    failure = TokenError(
        f"{refused(url)}: {error} raised {type(error.__cause__).__name__}",
        request=bare_request(url),
    )
    failure.__cause__ = without_our_frames(error.__cause__)
    return failure


def unanswered(
    what: str, request: requests.PreparedRequest, error: Exception, redact: Redactor
) -> TokenError:
    """The error of a request that got no answer, or none that could be read.

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
    reason = redact.line(f"{type(root).__name__}: {'this is no HTTP' if quotes else root}")
    failure = kind(
        f"{what}: {reason}",
        status_code=getattr(getattr(error, "response", None), "status_code", None),
        retryable=is_transient(error),
        request=request,
    )
    failure.__cause__ = detached(error, reason)
    return failure
