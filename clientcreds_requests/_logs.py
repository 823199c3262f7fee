"""What is seen from outside: every event that is logged, and the state of a token in a ``repr``."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Mapping
from logging import DEBUG, INFO, WARNING

from .exceptions import TokenError
from .tokens import Token

#: Prefix of the field names: all libraries share the namespace of a log record.
PREFIX = "clientcreds_"

#: The level and message of each event, by its name.
EVENTS: Mapping[str, tuple[int, str]] = {
    # At the token endpoint.
    "token_obtained": (DEBUG, "got token %(fingerprint)s from %(endpoint)s"),
    "token_request_failed": (DEBUG, "%(reason)s"),
    "attempt_failed": (INFO, "attempt %(attempt)d at %(endpoint)s failed (%(reason)s); retrying"),
    "json_not_read": (INFO, "%(endpoint)s does not read JSON; body='form' saves the extra request"),
    "metadata_failed": (WARNING, "%(reason)s; still using %(endpoint)s"),
    # In the life of a token.
    "token_refused": (INFO, "token %(fingerprint)s was refused by the API and dropped"),
    "token_renewal_failed": (
        WARNING,
        "token %(fingerprint)s could not be renewed, %(seconds_left).0f s left: %(reason)s",
    ),
    "endpoint_paused": (INFO, "no token request for %(pause).1f s: %(reason)s"),
    "token_brief": (
        WARNING,
        "token lifetime is not longer than leeway=%(leeway)g s, so tokens are reused for a second "
        "at most; pass a smaller leeway",
    ),
    # In a store that processes share.
    "token_from_store": (DEBUG, "got token %(fingerprint)s from the store"),
    "token_stored": (DEBUG, "stored token %(fingerprint)s"),
    "store_failed": (WARNING, "the store fails (%(reason)s); tokens are not shared"),
    "store_recovered": (INFO, "the store works again"),
}


def log(
    logger: logging.Logger,
    event: str,
    *,
    token: Token | None = None,
    failure: TokenError | None = None,
    **fields: str | float | None,
) -> None:
    """Log an event with its fields, none of them secret; a token by its fingerprint alone."""
    level, message = EVENTS[event]
    if logger.isEnabledFor(level):
        if token is not None:
            fields["fingerprint"] = token.fingerprint
        if failure is not None:
            fields.update(reason=str(failure), error=failure.error, status=failure.status_code)
        fields["event"] = event
        # OpenTelemetry warns about attributes that are None.
        extra = {PREFIX + name: value for name, value in fields.items() if value is not None}
        with contextlib.suppress(Exception):  # a failing handler or filter must not lose a token
            logger.log(level, message, fields, extra=extra, stacklevel=2)


def state_of(token: Token | None, leeway: float) -> str:
    """Return for a ``repr`` whether a token is usable, and for how long."""
    left = token.seconds_left() - leeway if token is not None else 0.0
    if left <= 0:
        return "no usable token"
    return "usable until refused" if left == math.inf else f"usable for {left:.0f} s"
