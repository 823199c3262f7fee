"""Where the token goes: the header, the replay after a 401, the origins that may see it."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import requests
from requests.auth import AuthBase

from .arguments import ExtraHeaders
from .client_auth import ClientAuth, ClientAuthName, client_auth_for
from .discovery import Issuer
from .environment import by_environment
from .issuer_endpoint import IssuerEndpoint, by_issuer
from .manager import TokenManager
from .origins import AllowedOrigins, without_query
from .proofs import ProofKey, Prover
from .replay import Replay
from .stores import StoredFetch, TokenStore, check_store
from .token_endpoint import Body, TokenEndpoint
from .tokens import Token, TokenRequest
from .views import TokenView

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack
    from urllib3 import Retry

    from .options import AuthOwnOptions, RequestOptions

_BROWSER_WARNING = (
    "auth.clientCredentials: You should NEVER use this in a browser environment. You will expose "
    "your 'clientSecret' to anyone who can inspect this code allowing anyone access."
)


class ClientCredentialsAuth(TokenView, AuthBase):
    """A token for every request, got with client credentials (RFC 6749 §4.4).

    One object serves any number of threads and sessions; its token is got when it is first
    needed, kept in memory, and renewed before anyone has to wait.

    :param token_endpoint: URL; https, or http on loopback.
    :param client_id: the client's identifier.
    :param client_secret: its secret, or a callable that returns it and is asked for every token
        request. None with a ``client_auth`` that has its own.
    :param scope: space-separated, or an iterable of scopes.
    :param resources: absolute URIs of the resource servers (RFC 8707).
    :param audience: as Auth0 and others want it.
    :param extra_params: further parameters of the token request.
    :param extra_headers: further header fields of the token request; callables are called for
        every attempt.
    :param body: ``json``, ``form`` or ``auto``: JSON first, and a form when the endpoint does
        not read JSON.
    :param client_auth: how the client authenticates itself: a registered name, or a callable
        such as :class:`ClientSecretBasic`.
    :param leeway: seconds. A token is used while more than that is left of it.
    :param renew_ahead: seconds before expiry from which the token is renewed in the background.
        None: the smaller of 300 and a quarter of the lifetime. 0: never.
    :param timeout: seconds for one attempt at the token endpoint, or a (connect, read) pair.
    :param deadline: seconds for all attempts together; also the longest any caller waits.
    :param retries: attempts after the first, or a urllib3 policy.
    :param allowed_origins: where the token may go, such as ``https://api.example.com``;
        requests elsewhere are sent without it. None: wherever this auth is used.
    :param allow_http: let secret and token travel in the clear.
    :param session: whose TLS, proxy and adapter settings the token request uses; it is neither
        changed nor closed.
    :param store: shares the tokens with other processes; None: they stay in memory.
    :param dpop: the key to bind tokens to (RFC 9449), such as ``DPoPKey.generate()`` of
        ``clientcreds_requests.jwt``. None: bearer tokens.
    :raises TypeError, ValueError: for arguments that could not work.
    :raises InsecureTransportError: for plain http to another machine.
    """

    def __init__(
        self,
        token_endpoint: str | Issuer,
        client_id: str,
        client_secret: str | Callable[[], str] | None = None,
        *,
        scope: str | Iterable[str] | None = None,
        resources: Iterable[str] | None = None,
        audience: str | None = None,
        extra_params: Mapping[str, str] | None = None,
        extra_headers: ExtraHeaders | None = None,
        body: Body = "auto",
        client_auth: ClientAuth | ClientAuthName = "client_secret_post",
        leeway: float = 20.0,
        renew_ahead: float | None = None,
        timeout: float | tuple[float, float] = 10.0,
        deadline: float = 30.0,
        retries: int | Retry = 3,
        allowed_origins: Iterable[str] | None = None,
        allow_http: bool = False,
        session: requests.Session | None = None,
        store: TokenStore | None = None,
        dpop: ProofKey | None = None,
    ) -> None:
        if sys.platform == "emscripten":
            warnings.warn(_BROWSER_WARNING, UserWarning, stacklevel=2)
        endpoint_of = cast(
            "Callable[..., TokenEndpoint]",
            IssuerEndpoint if isinstance(token_endpoint, Issuer) else TokenEndpoint,
        )
        #: Where and how tokens are asked for; shared with siblings.
        self.endpoint: TokenEndpoint = endpoint_of(
            token_endpoint,
            client_id,
            client_auth_for(client_auth, client_secret),
            body=body,
            extra_headers=extra_headers,
            timeout=timeout,
            deadline=deadline,
            retries=retries,
            allow_http=allow_http,
            session=session,
            dpop=dpop,
        )
        check_store(store, self.endpoint.has_secret)
        self._store = store
        #: When they are asked for, and the tokens themselves; shared likewise.
        self.manager: TokenManager = self._new_manager(leeway, renew_ahead, deadline)
        # What is asked for is this auth's own.
        self._request = TokenRequest(scope, resources, audience, extra_params)
        self._entry = self.manager.entry(self._request)
        self._origins = AllowedOrigins(allowed_origins, allow_http)
        self._prover = None if dpop is None else Prover(dpop)
        self._hook: Replay | None = None
        self._initialized = None

    @classmethod
    def from_issuer(
        cls,
        issuer: str,
        client_id: str,
        client_secret: str | Callable[[], str] | None = None,
        **options: Unpack[AuthOwnOptions],
    ) -> Self:
        """An auth that finds its token endpoint in the server's metadata (RFC 8414, OpenID).

        The metadata is asked for with the first token request, not here. It names the endpoint
        (for a client certificate the alias of RFC 8705 §5) and the method by which to send the
        client secret; the body is a form.

        :param issuer: the server's issuer identifier, a URL, exactly as the server writes it.
        :param client_id: the client's identifier.
        :param client_secret: its secret, or a callable that returns it.
        :param options: keyword arguments of the constructor; what is said here holds.
        :raises TypeError, ValueError: for arguments that could not work.
        :raises InsecureTransportError: for plain http to another machine.
        """
        return cls(**by_issuer(issuer, client_id, client_secret, options))

    @classmethod
    def from_env(cls, prefix: str = "CLIENTCREDS_", **options: Unpack[AuthOwnOptions]) -> Self:
        """An auth with settings from environment variables.

        These are, each after the prefix: ``TOKEN_ENDPOINT`` or ``ISSUER``, ``CLIENT_ID``,
        ``CLIENT_SECRET`` or ``CLIENT_SECRET_FILE`` (read anew for every token request, its final
        newline dropped), ``SCOPE``, ``RESOURCES`` (space-separated), ``AUDIENCE``, ``BODY``,
        ``CLIENT_AUTH``.

        :param prefix: how the names of the variables begin.
        :param options: keyword arguments of the constructor, which come before the environment.
        :raises TypeError, ValueError: when something is missing or could not work.
        :raises InsecureTransportError: for plain http to another machine.
        """
        return cls(**by_environment(prefix, options))

    def _new_manager(
        self, leeway: float, renew_ahead: float | None, deadline: float
    ) -> TokenManager:
        stored = None if self._store is None else StoredFetch(self.endpoint, self._store)
        manager = TokenManager(
            stored or self.endpoint,
            leeway=leeway,
            renew_ahead=renew_ahead,
            deadline=deadline,
            credentials_changed=(
                self.endpoint.credentials_changed if self.endpoint.secret_may_change else None
            ),
        )
        if stored is not None:
            stored.manager = manager
        return manager

    def __getstate__(self) -> dict[str, Any]:
        """For pickles and copies: no token, and no literal secret.

        :raises TypeError: when the client secret is a literal.
        """
        self.endpoint.__getstate__()
        manager = self.manager
        windows = (manager.leeway, manager.renew_ahead, manager.deadline)
        left_here = dict.fromkeys(("_entry", "_hook", "_initialized"))
        return {**self.__dict__, **left_here, "manager": windows}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.manager = self._new_manager(*state["manager"])
        self._entry = self.manager.entry(self._request)

    def __repr__(self) -> str:
        where = without_query(self.endpoint.url)
        return f"<{type(self).__name__} {where} {self.endpoint.client_id!r} {self._request!r}>"

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the token on a request, if it may go there.

        :raises TokenError: when no token is to be had.
        :raises InsecureTransportError: when the token would travel in the clear.
        """
        # Every request passes here with what can be reckoned once per token reckoned already: the
        # freshness of the token is that of Entry.fresh_token(), without the call.
        url = r.url or ""
        if url.startswith(self._origins.trusted) or self._origins.admit(url):
            until, until_monotonic, token = self._entry.fresh
            if token is None or time.time() >= until or time.monotonic() >= until_monotonic:
                token = self.manager.get_token(self._request)
            hook = self._hook
            if hook is None or hook.token is not token:
                hook = self._hook = Replay(self.manager, self._request, token, self._prover)
            try:  # what r.headers["Authorization"] = ... comes to, at a third of its price
                r.headers._store["authorization"] = hook.field
            except AttributeError:  # other headers than those of requests
                r.headers["Authorization"] = token.authorization
            hooks = r.hooks["response"]
            if not hooks or hook not in hooks:
                hooks.append(hook)
            if self._prover is not None:
                self._prover.prove(r)
        return r

    def prove(self, request: requests.PreparedRequest) -> None:
        """Put a fresh DPoP proof on a request that carries the token; without ``dpop``, nothing."""
        if self._prover is not None:
            self._prover.prove(request)

    def authorize(self) -> Self:
        """See to it that a usable token is there; ask for one only if there is none.

        Asks the token endpoint also while it is being left alone after failures. Concurrent
        calls share one token request.

        :raises TokenError: when no token is to be had.
        """
        self.manager.get_token(self._request, insist=True)
        return self

    def get_token(self) -> Token:
        """A usable token, for use outside of requests.

        :raises TokenError: when none is to be had.
        """
        return self.manager.get_token(self._request)

    def signout(self) -> None:
        """Forget the token, the last error, and the result of a request in flight.

        This is local: the token is not revoked, and a store still has it for the others.
        """
        self.manager.clear(self._request)

    def replace(self, **changes: Unpack[RequestOptions]) -> Self:
        """The same client asking for something else.

        The sibling shares the endpoint and the manager, with a token of its own; neither ever
        waits for the other.

        :param changes: any of ``scope``, ``resources``, ``audience`` and ``extra_params``; what
            is not named stays as it is.
        :raises TypeError, ValueError: as the constructor does.
        """
        sibling = object.__new__(type(self))
        for name, value in self.__dict__.items():  # no update(): it would slow down every call
            setattr(sibling, name, value)
        sibling._request = self._request.__replace__(**changes)
        sibling._entry = self.manager.entry(sibling._request)
        sibling._hook = sibling._initialized = None
        return sibling
