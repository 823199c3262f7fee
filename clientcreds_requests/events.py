"""What is logged of a token's life: every event, at its level and in its words."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from .exceptions import TokenError
from .tokens import Token

#: How the names of the fields begin. A log record has one set of attributes for all: a name that
#: a program gives to its records too would be an error, and "event" is structlog's message.
PREFIX = "clientcreds_"

#: The name of each event, its level, and its message, made of its fields.
EVENTS: Mapping[str, tuple[int, str]] = {
    # At the token endpoint.
    "token_obtained": (logging.DEBUG, "got token %(fingerprint)s from %(endpoint)s"),
    "token_request_failed": (logging.DEBUG, "%(reason)s"),
    "attempt_failed": (
        logging.INFO,
        "attempt %(attempt)d at %(endpoint)s failed (%(reason)s): trying again",
    ),
    "json_not_read": (
        logging.INFO,
        "%(endpoint)s reads no JSON; body='form' saves asking twice",
    ),
    "metadata_failed": (logging.WARNING, "%(reason)s; going on with %(endpoint)s"),
    # In the life of a token.
    "token_refused": (logging.INFO, "token %(fingerprint)s was refused, and is forgotten"),
    "token_renewal_failed": (
        logging.WARNING,
        "token %(fingerprint)s serves %(seconds_left).0f s more; renewal: %(reason)s",
    ),
    "endpoint_paused": (logging.INFO, "no token request for %(pause).1f s: %(reason)s"),
    "token_brief": (
        logging.WARNING,
        "tokens live no longer than the leeway of %(leeway)g s, so that each serves those alone "
        "who waited for it; pass a smaller leeway",
    ),
    # In a store that processes share.
    "token_from_store": (logging.DEBUG, "token %(fingerprint)s is from the store"),
    "token_stored": (logging.DEBUG, "token %(fingerprint)s is stored"),
    "store_failed": (
        logging.WARNING,
        "the store fails (%(reason)s): token requests are not shared",
    ),
    "store_recovered": (logging.INFO, "the store answers again"),
    "store_tampered": (
        logging.WARNING,
        "the store holds, under a name of ours, what none of us can have put there so",
    ),
}


def log(
    logger: logging.Logger,
    event: str,
    *,
    token: Token | None = None,
    failure: TokenError | None = None,
    **fields: str | float | None,
) -> None:
    """Log an event.

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
        logger.log(level, message, known, extra=extra, stacklevel=2)
