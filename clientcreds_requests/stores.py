"""Tokens shared beyond this process: what a store must do, and when it is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .client_auth import ClientAuth
from .exceptions import TokenError
from .manager import TokenManager
from .token_endpoint import TokenEndpoint
from .tokens import Token, TokenRequest


class TokenStore(Protocol):
    """Shares tokens between processes: a wrapper around the token request.

    A store may have two things more. ``needs_secret``, when it is true, says that its protection
    rests on the client secret alone: a client without one, such as a :class:`TLSClientAuth`, is
    then refused. ``forget(key, token)`` is called before the token request for a token that the
    API has refused: nobody is to get it again, if it still is the one that is stored.
    """

    def get_or_fetch(self, key: bytes, fetch: Callable[[], Token], rejected: Token | None) -> Token:
        """A token that is stored under the key, or a new one, stored for the others.

        It is asked only where a token request would have been made, in that request's thread.

        :param key: 32 bytes, derived from the endpoint, the client, what is asked for, what the
            token is bound to and the client's secret: who does not know the secret cannot guess
            them. Of a client without a secret they can be guessed.
        :param fetch: makes the token request.
        :param rejected: a token known to be refused or due: never to be handed out to this caller
            again.
        :raises TokenError: as ``fetch`` does. That the store itself fails is no error.
        """
        ...


class StoredFetch:
    """The token requests of an endpoint, behind a store.

    :param endpoint: where tokens come from.
    :param store: who else may have one.
    """

    #: Whose token requests these are: it knows which tokens are no more use.
    manager: TokenManager

    def __init__(self, endpoint: TokenEndpoint, store: TokenStore) -> None:
        self._endpoint = endpoint
        self._store = store

    def __call__(self, request: TokenRequest) -> Token:
        """A token from the store, or from the endpoint.

        :raises TokenError: when none is to be had.
        """
        # Who knows a secret that was changed since shall not find the token got with the new one:
        # the key and the token request are of one and the same secret.
        auth = self._endpoint.present_auth()
        try:
            return self._get_or_fetch(request, auth)
        except TokenError as error:
            if error.error != "invalid_client":
                raise
            self._endpoint.note_refusal(auth)
            if not self._endpoint.credentials_changed():
                raise
        return self._get_or_fetch(request, self._endpoint.present_auth())

    def _get_or_fetch(self, request: TokenRequest, auth: ClientAuth) -> Token:
        key = self._endpoint.store_key(request, auth)
        fetched: list[Token] = []

        def fetch() -> Token:
            fetched.append(self._endpoint(request, auth))
            return fetched[0]

        entry = self.manager.entry(request)
        forget = getattr(self._store, "forget", None)
        if entry.refused is not None and forget is not None:
            forget(key, entry.refused)
        token = self._store.get_or_fetch(key, fetch, entry.refused or entry.token)
        if not fetched and not self.manager.is_usable(token):
            # Enough is left of it for others, whose leeway is smaller.
            token = self._store.get_or_fetch(key, fetch, token)
        if not fetched:
            token._set(stored=True)
        return token


def check_store(store: TokenStore | None, has_secret: bool) -> None:
    """Is it a store, and fit for this client?

    :param has_secret: does the client have a secret?
    :raises TypeError, ValueError: when it is not; the text says what to pass.
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
