"""The protocol of stores that share tokens between processes, and the source that uses one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ._logs import log
from .client_auth import ClientAuth, ClientSecretAuth, no_client_auth
from .exceptions import CallableError, TokenError
from .token_endpoint import TokenEndpoint, logger
from .tokens import Fetched, Token, TokenRequest, TokenSource


class TokenStore(Protocol):
    """Shares tokens between processes: a wrapper around the token request.

    A store may have two more members. ``needs_secret``, if true, says that its protection rests on
    the client secret alone: a client without one, such as a :class:`TLSClientAuth`, is then
    rejected. ``forget(key, token)`` is called before the token request for a token that the API
    has refused: the store must not return that token again.
    """

    def get_or_fetch(self, key: bytes, fetch: Callable[[], Token], rejected: Token | None) -> Token:
        """Return the token stored under the key, or fetch a new one and store it.

        Called only where a token request would have been made, in its thread.

        :param key: 32 bytes, derived from the endpoint, the client, what is asked for, what the
            token is bound to and the client's secret: unguessable without the secret. For a
            client without a secret it can be guessed.
        :param fetch: makes the token request; its attribute ``until`` is the moment, on the
            monotonic clock, at which the caller stops waiting.
        :param rejected: a token known to be refused or due; never return it to this caller again.
        :raises TokenError: as ``fetch`` does. A failure of the store itself must not raise.
        """
        ...


class _StoreCallback:
    """Makes the token request when it is called, until a moment on the monotonic clock."""

    def __init__(self, ask: Callable[[], Token], until: float) -> None:
        self._ask = ask
        self.until: float = until
        self.issued: Token | None = None

    def __call__(self) -> Token:
        self.issued = self._ask()
        return self.issued


class StoredFetch(TokenSource):
    """The token requests of an endpoint, behind a store.

    :param leeway: seconds that a stored token must have left.
    :raises TypeError, ValueError: if it is no store, or does not fit this client.
    """

    def __init__(self, endpoint: TokenEndpoint, store: TokenStore, leeway: float) -> None:
        if not callable(getattr(store, "get_or_fetch", None)):
            raise TypeError("store must have a method get_or_fetch; see TokenStore")
        auth = endpoint.client_auth
        if getattr(store, "needs_secret", False) and not isinstance(auth, ClientSecretAuth):
            raise ValueError(
                "store: this client has no client_secret to protect its tokens in the store; "
                "pass a store with an encryption_key of its own"
            )
        if auth is no_client_auth:
            raise ValueError(
                "store: with client_auth='none' the tokens of different workloads could not be "
                "told apart in it; pass no store"
            )
        self._endpoint = endpoint
        self._store = store
        self._leeway = leeway

    def __repr__(self) -> str:
        return f"{type(self._store).__name__} {self._endpoint!r}"

    def fetch(
        self, request: TokenRequest, until: float, rejected: Token | None, refused: bool
    ) -> Fetched:
        """Return a token from the store, or from the endpoint.

        :raises TokenError: if there is none.
        """

        # Key and token request use the same secret: the holder of a secret that has been rotated
        # must not find the token obtained with the new one.
        def get_or_fetch(auth: ClientAuth) -> Fetched:
            key = self._endpoint.store_key(request, auth)
            fetch = _StoreCallback(lambda: self._endpoint.ask_as(auth, request, until), until)
            forget = getattr(self._store, "forget", None)
            if refused and forget is not None:
                forget(key, rejected)
            token: object = self._store.get_or_fetch(key, fetch, rejected)
            if not isinstance(token, Token):  # the store is the user's own
                what = type(token).__name__
                raise CallableError(f"no token: store must return a Token, not {what}")
            if fetch.issued is None and token.seconds_left() <= self._leeway:
                # Usable for clients with a smaller leeway only.
                token = self._store.get_or_fetch(key, fetch, token)
            return Fetched(token, from_store=fetch.issued is None)

        return self._endpoint.with_secret(get_or_fetch)

    def report(self, request: TokenRequest, outcome: Fetched | TokenError, took: float) -> None:
        """Log the outcome."""
        if isinstance(outcome, Fetched) and outcome.from_store:
            log(logger, "token_from_store", token=outcome.token)
        else:
            self._endpoint.report(request, outcome, took)
