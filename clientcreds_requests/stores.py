"""Tokens shared beyond this process: what a store must do, and when it is asked."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Protocol

from .token_endpoint import TokenEndpoint
from .tokens import Token, TokenRequest


class TokenStore(Protocol):
    """Shares tokens between processes: a wrapper around the token request."""

    def get_or_fetch(self, key: bytes, fetch: Callable[[], Token], rejected: Token | None) -> Token:
        """A token that is stored under the key, or a new one, stored for the others.

        It is asked only where a token request would have been made, in that request's thread.

        :param key: 32 bytes, derived from the endpoint, the client, what is asked for and the
            client's secret: who does not know the secret cannot guess them.
        :param fetch: makes the token request.
        :param rejected: a token known to be refused or due: never to be handed out again.
        :raises TokenError: as ``fetch`` does. That the store itself fails is no error.
        """


class StoredFetch:
    """The token requests of an endpoint, behind a store.

    :param endpoint: where tokens come from.
    :param store: who else may have one.
    """

    def __init__(self, endpoint: TokenEndpoint, store: TokenStore) -> None:
        self._endpoint = endpoint
        self._store = store
        # Whoever asks again has no more use for what it got before.
        self._last: dict[TokenRequest, Token] = {}

    def __call__(self, request: TokenRequest) -> Token:
        """A token from the store, or from the endpoint.

        :raises TokenError: when none is to be had.
        """
        token = self._store.get_or_fetch(
            self._endpoint.store_key(request),
            functools.partial(self._endpoint, request),
            self._last.get(request),
        )
        self._last[request] = token
        return token
