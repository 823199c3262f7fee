"""Every event that is logged, with its level and message."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping

from .exceptions import TokenError
from .tokens import Token

#: Prefix of the field names: a log record has one namespace for all, and "event" is structlog's.
PREFIX = "clientcreds_"

#: The name of each event, its level, and its message, made of its fields.
EVENTS: Mapping[str, tuple[int, str]] = {
    # At the token endpoint.
    "token_obtained": (logging.DEBUG, "got token %(fingerprint)s from %(endpoint)s"),
    "token_request_failed": (logging.DEBUG, "%(reason)s"),
    "attempt_failed": (
        logging.INFO,
        "attempt %(attempt)d at %(endpoint)s failed (%(reason)s); retrying",
    ),
    "json_not_read": (
        logging.INFO,
        "%(endpoint)s does not read JSON; body='form' saves the extra request",
    ),
    "metadata_failed": (logging.WARNING, "%(reason)s; still using %(endpoint)s"),
    # In the life of a token.
    "token_refused": (logging.INFO, "token %(fingerprint)s was refused by the API and dropped"),
    "token_renewal_failed": (
        logging.WARNING,
        "token %(fingerprint)s could not be renewed, %(seconds_left).0f s left: %(reason)s",
    ),
    "endpoint_paused": (logging.INFO, "no token request for %(pause).1f s: %(reason)s"),
    "token_brief": (
        logging.WARNING,
        "token lifetime is not longer than leeway=%(leeway)g s, so tokens are reused for a second "
        "at most; pass a smaller leeway",
    ),
    # In a store that processes share.
    "token_from_store": (logging.DEBUG, "got token %(fingerprint)s from the store"),
    "token_stored": (logging.DEBUG, "stored token %(fingerprint)s"),
    "store_failed": (logging.WARNING, "the store fails (%(reason)s); tokens are not shared"),
    "store_recovered": (logging.INFO, "the store works again"),
}


def log(
    logger: logging.Logger,
    event: str,
    *,
    token: Token | None = None,
    failure: TokenError | None = None,
    **fields: str | float | None,
) -> None:
    """Log an event; nothing that a handler or filter raises gets out.

    :param event: its name.
    :param token: of which its fingerprint is told.
    :param failure: of which its text, its OAuth error code and its status are told.
    :param fields: what else there is to be known, nothing secret among it.
    """
    level, message = EVENTS[event]
    if logger.isEnabledFor(level):
        if token is not None:
            fields["fingerprint"] = token.fingerprint
        if failure is not None:
            fields.update(reason=str(failure), error=failure.error, status=failure.status_code)
        # OpenTelemetry warns of attributes that are None.
        known = {name: value for name, value in fields.items() if value is not None}
        known["event"] = event
        extra = {PREFIX + name: value for name, value in known.items()}
        with contextlib.suppress(Exception):  # a handler or filter that raises costs no token
            logger.log(level, message, known, extra=extra, stacklevel=2)
