"""Tokens shared beyond this process: what a store must do, and when it is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ._logs import log
from .client_auth import ClientAuth
from .token_endpoint import TokenEndpoint, logger
from .tokens import Fetched, Token, TokenRequest, TokenSource


class TokenStore(Protocol):
    """Shares tokens between processes: a wrapper around the token request.

    A store may have two more members. ``needs_secret``, if true, says that its protection rests on
    the client secret alone: a client without one, such as a :class:`TLSClientAuth`, is then
    rejected. ``forget(key, token)`` is called before the token request for a token that the API
    has refused: nobody is to get it again, if it still is the one that is stored.
    """

    def get_or_fetch(self, key: bytes, fetch: Callable[[], Token], rejected: Token | None) -> Token:
        """Return the token that is stored under the key, or a new one, stored for the others.

        Called only where a token request would have been made, in its thread.

        :param key: 32 bytes, derived from the endpoint, the client, what is asked for, what the
            token is bound to and the client's secret: unguessable without the secret. Those of a
            client without a secret can be guessed.
        :param fetch: makes the token request.
        :param rejected: a token known to be refused or due: never to be handed out to this caller
            again.
        :raises TokenError: as ``fetch`` does. That the store itself fails is no error.
        """
        ...


class StoredFetch(TokenSource):
    """The token requests of an endpoint, behind a store.

    :param endpoint: where tokens come from.
    :param store: shares them.
    :param leeway: seconds that a token must have left to be usable here.
    """

    def __init__(self, endpoint: TokenEndpoint, store: TokenStore, leeway: float) -> None:
        self._endpoint = endpoint
        self._store = store
        self._leeway = leeway

    def fetch(
        self, request: TokenRequest, until: float, rejected: Token | None, refused: bool
    ) -> Fetched:
        """Return a token from the store, or from the endpoint.

        :raises TokenError: if there is none.
        """

        # The key and the token request are of one and the same secret: somebody who knows a secret
        # that was changed since shall not find the token got with the new one.
        def ask(auth: ClientAuth) -> Fetched:
            return self._get_or_fetch(request, auth, until, rejected, refused)

        return self._endpoint.with_secret(ask)

    def report(self, request: TokenRequest, outcome: Fetched | Exception, took: float) -> None:
        """Log what came of it."""
        if isinstance(outcome, Fetched) and outcome.from_store:
            log(logger, "token_from_store", token=outcome.token)
        else:
            self._endpoint.report(request, outcome, took)

    def _get_or_fetch(
        self,
        request: TokenRequest,
        auth: ClientAuth,
        until: float,
        rejected: Token | None,
        refused: bool,
    ) -> Fetched:
        key = self._endpoint.store_key(request, auth)
        fetched: list[Token] = []

        def fetch() -> Token:
            fetched.append(self._endpoint.ask_as(auth, request, until))
            return fetched[0]

        forget = getattr(self._store, "forget", None)
        if refused and forget is not None:
            forget(key, rejected)
        token = self._store.get_or_fetch(key, fetch, rejected)
        if not fetched and token.seconds_left() <= self._leeway:
            # Enough is left of it for others, whose leeway is smaller.
            token = self._store.get_or_fetch(key, fetch, token)
        return Fetched(token, from_store=not fetched)


def check_store(store: TokenStore | None, has_secret: bool) -> None:
    """Check that something is a store, and fit for this client.

    :param has_secret: True if the client has a secret.
    :raises TypeError, ValueError: if it is not; the text says what to pass.
    """
    if store is None:
        return
    if not callable(getattr(store, "get_or_fetch", None)):
        raise TypeError("store must have a method get_or_fetch; see TokenStore")
    if not has_secret and getattr(store, "needs_secret", False):
        raise ValueError(
            "store: this client has no client_secret that would keep its tokens from others; "
            "pass a store with an encryption_key of its own"
        )
