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
from .discovery import Issuer, Metadata, Ways, find
from .events import log
from .exceptions import TokenError, TokenTimeout
from .exchange import certificate
from .forks import reset_in_child
from .redaction import Redactor
from .token_endpoint import TokenEndpoint
from .tokens import Token, TokenRequest
from .values import Value, value_class

logger: logging.Logger = logging.getLogger(__name__)

#: Seconds after which the metadata is asked for again; and after a failure of any kind.
METADATA_LIFETIME, METADATA_PAUSE = 24 * 3600.0, 300.0


@value_class(frozen=True)
class _Found(Value):
    """What the metadata says, as far as this client goes."""

    metadata: Metadata
    endpoint: TokenEndpoint
    #: By which a client secret is sent; None: as the client authentication says itself.
    method: str | None


@value_class(frozen=True)
class _Search(Value):
    """One search for the metadata; it is given up, wherever it is stuck, when its time is over."""

    outcome: Future[_Found | TokenError]
    until: float


class IssuerEndpoint(TokenEndpoint):
    """One client's way to the token endpoint that an issuer's metadata names.

    The metadata is asked for with the first token request, once for all that come meanwhile. It is
    asked for again, in the background, after a day, and after a token request that failed, though
    not within five minutes: the endpoint may have moved. Until an answer can be used, what is
    known goes on to serve.

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
        self._allow_http = bool(settings.get("allow_http"))
        self._found: _Found | None = None
        # Moments on the monotonic clock.
        self._looked_at = self._look_again_at = -math.inf
        self._begin_anew()

    def _begin_anew(self) -> None:
        # Guards the search, and is never held during it.
        self._lock = threading.Lock()
        self._search: _Search | None = None
        reset_in_child(self, IssuerEndpoint._begin_anew)

    def __getstate__(self) -> dict[str, Any]:
        """As its base has it, and without what was found."""
        state = {**super().__getstate__(), "_found": None}
        return {name: state[name] for name in state.keys() - {"_lock", "_search"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._begin_anew()

    def _asked(self) -> str:
        return super()._asked() if self._found is None else self._found.endpoint._asked()

    def _ask_as(self, auth: ClientAuth, request: TokenRequest, until: float) -> Token | TokenError:
        found = self._find(until)
        if isinstance(found, TokenError):
            return found
        if found.method is not None and isinstance(auth, ClientSecretAuth):
            auth = _by_secret(found.method, auth, found.metadata.issuer)
        outcome = found.endpoint._ask_as(auth, request, until)
        if isinstance(outcome, TokenError):
            self._look_again_at = self._looked_at + METADATA_PAUSE
        return outcome

    def _find(self, until: float) -> _Found | TokenError:
        now, known = time.monotonic(), self._found
        if known is not None and now < self._look_again_at:
            return known
        mine = _Search(Future(), until)
        with self._lock:
            search = self._search
            if search is None or now >= search.until:
                search = self._search = mine
        if search is mine and known is not None:
            self._look_in_background(mine)
        elif search is mine:
            self._look(mine)
        if known is not None:
            return known
        try:
            return search.outcome.result(max(0.0, min(until, search.until) - time.monotonic()))
        except FutureTimeout:
            return TokenTimeout(f"no metadata of {self.url} in time", retryable=True)

    def _look_in_background(self, search: _Search) -> None:
        look = threading.Thread(
            target=self._look, args=(search,), name="clientcreds-requests", daemon=True
        )
        try:
            look.start()
        except RuntimeError:  # the interpreter is shutting down, or it has no threads
            self._search = None

    def _look(self, search: _Search) -> None:
        outcome: _Found | TokenError = TokenError("the search for metadata was interrupted")
        try:
            outcome = self._searched(search.until)
        finally:
            with self._lock:
                if self._search is search:  # or it was given up
                    self._search = None
                    self._take(outcome)
            search.outcome.set_result(outcome)

    def _take(self, outcome: _Found | TokenError) -> None:
        known = self._found
        self._looked_at = time.monotonic()
        lifetime = METADATA_PAUSE if isinstance(outcome, TokenError) else METADATA_LIFETIME
        self._look_again_at = self._looked_at + lifetime
        # What is known has learned something of the endpoint: it is not made anew for nothing.
        if isinstance(outcome, _Found) and (known is None or known.metadata != outcome.metadata):
            self._found = outcome

    def _searched(self, until: float) -> _Found | TokenError:
        exchange = self._exchange
        ways = Ways(
            exchange.session,
            exchange.timeout,
            exchange.retries,
            certificate(self._client_auth),
            self._allow_http,
        )
        metadata = find(self._issuer, ways, until)
        outcome = metadata if isinstance(metadata, TokenError) else self._made_of(metadata)
        if isinstance(outcome, TokenError) and self._found is not None:
            log(
                logger,
                "metadata_failed",
                failure=outcome,
                endpoint=self._asked(),
                client_id=self.client_id,
            )
        return outcome

    def _made_of(self, metadata: Metadata) -> _Found | TokenError:
        auth, session = self._client_auth, self._exchange.session
        listed = metadata.client_auth_methods
        method = None
        if self._issuer.advertised_auth and isinstance(auth, ClientSecretAuth):
            method = next((name for name in _BY_SECRET if name in listed), None)
            if method is None:
                shown = Redactor().line(", ".join(listed)) or "none"
                return TokenError(
                    f"no token of issuer {metadata.issuer}: no method that it lists ({shown}) "
                    "works with a client_secret; pass another client_auth"
                )
        url = metadata.token_endpoint
        if isinstance(auth, TLSClientAuth) or (session is not None and session.cert):
            url = metadata.mtls_token_endpoint or url
        return _Found(metadata, TokenEndpoint(url, self.client_id, auth, **self._settings), method)


# What needs no encoding comes first.
_BY_SECRET = ("client_secret_post", "client_secret_basic", "client_secret_jwt")


def _by_secret(method: str, auth: ClientSecretAuth, issuer: str) -> ClientAuth:
    if method == "client_secret_jwt":
        return ClientSecretJWT(auth.client_secret, issuer)
    kind = ClientSecretPost if method == "client_secret_post" else ClientSecretBasic
    return kind(auth.client_secret)


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
    if "token_endpoint" in options:
        raise TypeError("token_endpoint is no option here: the issuer's metadata names it")
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
