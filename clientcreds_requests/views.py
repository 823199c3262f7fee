"""What is known of a token without asking for one: the attributes of the JavaScript original."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, NoReturn

from .manager import TokenManager
from .tokens import Token, TokenRequest

if TYPE_CHECKING:
    from typing_extensions import Self


class TokenView:
    """A look at what a manager holds for a token request; it never waits and never asks."""

    #: Holds the tokens.
    manager: TokenManager
    _request: TokenRequest
    _initialized: Future[Self] | None

    def initialize(self) -> Future[Self]:
        """Resolved at once: there is nothing to wait for; see :meth:`authorize`."""
        if self._initialized is None:
            self._initialized = Future()
            self._initialized.set_result(self)
        return self._initialized

    def get_user_info(self) -> NoReturn:
        """There is no user in this grant.

        :raises NotImplementedError: always.
        """
        raise NotImplementedError("client credentials speak for a client: there is no user")

    @property
    def authorized(self) -> bool:
        """Is a usable token at hand?"""
        token = self.manager.held(self._request)
        return token is not None and self.manager.is_usable(token)

    @property
    def access_token(self) -> str | None:
        """The token that is held, also when it has expired."""
        token = self.manager.held(self._request)
        return token.access_token if token is not None else None

    @property
    def headers(self) -> dict[str, str]:
        """The header field that carries the token that is held; empty without one.

        A token that is bound to a DPoP key is of no use without a proof for each request.
        """
        token = self.manager.held(self._request)
        return {"Authorization": token.authorization} if token is not None else {}

    @property
    def expires(self) -> int | None:
        """When the token that is held expires: milliseconds since the epoch; None if unknown."""
        token = self.manager.held(self._request)
        at = token.expires_at if token is not None else None
        return int(at * 1000) if at is not None else None

    @property
    def authorizing(self) -> Future[Token] | None:
        """The token request in flight."""
        return self.manager.in_flight(self._request)

    @property
    def initialized(self) -> Future[Self]:
        """The same as :meth:`initialize` returns."""
        return self.initialize()

    @property
    def user_info(self) -> None:
        """None: there is no user in this grant."""
        return

    @property
    def error(self) -> str | None:
        """OAuth error code of the last token request, if it failed."""
        failure = self.manager.last_error(self._request)
        return failure.error if failure is not None else None

    @property
    def error_description(self) -> str | None:
        """The server's words about it."""
        failure = self.manager.last_error(self._request)
        return failure.error_description if failure is not None else None

    @property
    def error_uri(self) -> str | None:
        """A web page about it."""
        failure = self.manager.last_error(self._request)
        return failure.error_uri if failure is not None else None
