"""The token endpoint of an issuer, found in its metadata when it is first needed."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from .client_auth import (
    ClientAuth,
    ClientSecretAuth,
    ClientSecretBasic,
    ClientSecretJWT,
    ClientSecretPost,
    TLSClientAuth,
)
from .discovery import Issuer, Metadata, find
from .exceptions import TokenError, TokenTimeout
from .forks import reset_in_child
from .origins import without_query
from .token_endpoint import TokenEndpoint
from .tokens import Token, TokenRequest

logger = logging.getLogger(__name__)

#: Seconds after which the metadata is asked for again; and when that has failed.
METADATA_LIFETIME, METADATA_PAUSE = 24 * 3600.0, 300.0

# Statuses of an endpoint that has moved.
_GONE = frozenset({404, 405, 410})


class IssuerEndpoint(TokenEndpoint):
    """One client's way to the token endpoint that an issuer's metadata names.

    The metadata is asked for with the first token request, once for all of them, and again after
    a day or when the endpoint is no longer there. While that fails, the endpoint known so far
    goes on to serve.

    :param issuer: the authorization server.
    :param client_id: who is asking.
    :param client_auth: how it proves that; with a client secret, unless the issuer says
        otherwise, by the method that the metadata lists.
    :param settings: as for :class:`TokenEndpoint`.
    """

    def __init__(
        self, issuer: Issuer, client_id: str, client_auth: ClientAuth, **settings: Any
    ) -> None:
        super().__init__(issuer.identifier, client_id, client_auth, **settings)
        self._issuer = issuer
        self._settings = settings
        self._metadata: Metadata | None = None
        self._found: TokenEndpoint | None = None
        # On the monotonic clock.
        self._look_again_at = -math.inf
        self._begin_anew()

    def _begin_anew(self) -> None:
        # Guards the search, and is never held during it.
        self._lock = threading.Lock()
        self._search: Future[TokenEndpoint | TokenError] | None = None
        reset_in_child(self, IssuerEndpoint._begin_anew)

    def __getstate__(self) -> dict[str, Any]:
        """As its base has it, and without what was found."""
        state = {**super().__getstate__(), "_metadata": None, "_found": None}
        return {name: state[name] for name in state.keys() - {"_lock", "_search"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._begin_anew()

    def _ask_as(self, auth: ClientAuth, request: TokenRequest, until: float) -> Token | TokenError:
        endpoint = self._current_endpoint(until)
        if isinstance(endpoint, TokenError):
            return endpoint
        method = self._advertised(auth)
        if isinstance(method, TokenError):
            return method
        outcome = endpoint._ask_as(method, request, until)
        if isinstance(outcome, TokenError) and outcome.status_code in _GONE:
            self._look_again_at = -math.inf
        return outcome

    def _current_endpoint(self, until: float) -> TokenEndpoint | TokenError:
        if self._found is not None and time.monotonic() < self._look_again_at:
            return self._found
        mine: Future[TokenEndpoint | TokenError] = Future()
        with self._lock:
            search = self._search = self._search or mine
        if search is not mine:
            try:
                return search.result(max(0.0, until - time.monotonic()))
            except FutureTimeout:
                return TokenTimeout(f"no metadata of {self.url} in time", retryable=True)
        outcome: TokenEndpoint | TokenError = TokenError("the search was interrupted")
        try:
            outcome = self._look(until)
        finally:
            self._search = None
            mine.set_result(outcome)
        return outcome

    def _look(self, until: float) -> TokenEndpoint | TokenError:
        known, now = self._found, time.monotonic()
        if known is not None:  # leave time to ask the endpoint that is known
            until = now + (until - now) / 2
        exchange = self._exchange
        metadata = find(
            self._issuer,
            exchange.session,
            exchange.timeout,
            exchange.retries,
            until,
            self._settings.get("allow_http", False),
        )
        if isinstance(metadata, TokenError):
            self._look_again_at = now + METADATA_PAUSE
            if known is not None:
                logger.warning("%s; going on with %s", metadata, without_query(known.url))
            return known or metadata
        self._look_again_at = now + METADATA_LIFETIME
        if known is not None and metadata == self._metadata:
            return known  # and with what it has learned
        client_auth, session = self._client_auth, exchange.session
        url = metadata.token_endpoint
        if isinstance(client_auth, TLSClientAuth) or (session is not None and session.cert):
            url = metadata.mtls_token_endpoint or url
        self._metadata = metadata
        self._found = TokenEndpoint(url, self.client_id, client_auth, **self._settings)
        return self._found

    def _advertised(self, auth: ClientAuth) -> ClientAuth | TokenError:
        """The authentication in the way that the server lists, if that may choose."""
        if not (self._issuer.advertised_auth and isinstance(auth, ClientSecretAuth)):
            return auth
        assert self._metadata is not None  # it named the endpoint
        listed = self._metadata.client_auth_methods
        methods: dict[str, ClientAuth] = {  # first what needs no encoding
            "client_secret_post": ClientSecretPost(auth.client_secret),
            "client_secret_basic": ClientSecretBasic(auth.client_secret),
            "client_secret_jwt": ClientSecretJWT(auth.client_secret, self._issuer.identifier),
        }
        for name, method in methods.items():
            if name in listed:
                return method
        return TokenError(
            f"no token of issuer {self._issuer.identifier}: no method that it lists "
            f"({', '.join(listed) or 'none'}) works with a client_secret; pass another client_auth"
        )


def by_issuer(
    issuer: str,
    client_id: str,
    client_secret: str | Callable[[], str] | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """The arguments by which a constructor leaves to an issuer's metadata what is not said.

    :raises TypeError, ValueError: for what could not work.
    """
    arguments = {"body": "form", **options}
    if arguments.get("client_auth") == "client_secret_jwt":
        if client_secret is None:
            raise ValueError("client_secret is needed for client_secret_jwt")
        arguments["client_auth"] = ClientSecretJWT(client_secret, issuer)
        client_secret = None
    return {
        **arguments,
        "token_endpoint": Issuer(issuer, advertised_auth="client_auth" not in options),
        "client_id": client_id,
        "client_secret": client_secret,
    }
