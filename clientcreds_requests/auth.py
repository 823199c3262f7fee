"""Where the token goes: the header, the replay after a 401, the origins that may see it."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NoReturn

import requests
from requests.auth import AuthBase
from requests.hooks import default_hooks

from ._checks import HEADERS_HAVE_STORE, ExtraHeaders
from ._env import by_environment, by_issuer
from ._replay import Replay
from ._urls import AllowedOrigins, without_query
from .client_auth import ClientAuth, ClientAuthName, ClientSecretAuth, client_auth_for
from .discovery import Issuer, IssuerEndpoint
from .manager import TokenManager
from .stores import StoredFetch, TokenStore, check_store
from .token_endpoint import Body, TokenEndpoint
from .tokens import Token, TokenRequest, TokenSource

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack
    from urllib3 import Retry

    from ._types import AuthOwnOptions, RequestOptions
    from .dpop import ProofKey

_BROWSER_WARNING = (
    "auth.clientCredentials: You should NEVER use this in a browser environment. You will expose "
    "your 'clientSecret' to anyone who can inspect this code allowing anyone access."
)


# Those of a request that was just prepared.
_NO_HOOKS = default_hooks()


class ClientCredentialsAuth(AuthBase):
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
    :param body: ``json``, ``form``, or ``auto``: JSON first, and a form if that is not read.
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
        ``clientcreds_requests.dpop``. None: bearer tokens.
    :raises TypeError, ValueError: for arguments that could not work.
    :raises InsecureTransportError: for plain http to another machine.
    """

    def __init__(
        self,
        token_endpoint: str,
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
        settings: dict[str, Any] = {
            **{"body": body, "extra_headers": extra_headers, "timeout": timeout},
            **{"deadline": deadline, "retries": retries, "allow_http": allow_http},
            **{"session": session, "dpop": dpop},
        }
        method = client_auth_for(client_auth, client_secret)
        #: Where and how tokens are asked for; shared with siblings.
        self.endpoint: TokenEndpoint = (
            IssuerEndpoint(token_endpoint, client_id, method, **settings)
            if isinstance(token_endpoint, Issuer)
            else TokenEndpoint(token_endpoint, client_id, method, **settings)
        )
        check_store(store, isinstance(method, ClientSecretAuth))
        self._store = store
        self._dpop = dpop
        quick = HEADERS_HAVE_STORE and dpop is None
        self._origins = AllowedOrigins(allowed_origins, allow_http, quick=quick)
        #: When they are asked for, and the tokens themselves; shared likewise.
        self.manager: TokenManager = self._new_manager(leeway, renew_ahead, deadline)
        self._ask_for(TokenRequest(scope, resources, audience, extra_params))

    def _new_manager(
        self, leeway: float, renew_ahead: float | None, deadline: float
    ) -> TokenManager:
        source: TokenSource = self.endpoint
        if self._store is not None:
            source = StoredFetch(self.endpoint, self._store, leeway)
        return TokenManager(source, leeway=leeway, renew_ahead=renew_ahead, deadline=deadline)

    def _ask_for(self, request: TokenRequest) -> None:
        """Set what this auth asks for, and what depends on that."""
        self._request = request
        self._entry = self.manager.entry(request)
        self._initialized: Future[Self] | None = None
        if self._dpop is None:
            self._replay = Replay(self.manager, request, self._origins)
        else:
            from .dpop import DPoPReplay

            self._replay = DPoPReplay(self.manager, request, self._origins, self._dpop)

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
        :raises TypeError, ValueError, InsecureTransportError: as the constructor does.
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
        :raises TypeError, ValueError, InsecureTransportError: as the constructor does.
        """
        return cls(**by_environment(prefix, options))

    def __getstate__(self) -> dict[str, Any]:
        """For pickles and copies: no token, and no literal secret.

        :raises TypeError: if the client secret is a literal.
        """
        self.endpoint.__getstate__()
        manager = self.manager
        windows = (manager.leeway, manager.renew_ahead, manager.deadline)
        state = {**self.__dict__, "manager": windows}
        return {name: state[name] for name in state.keys() - {"_entry", "_initialized", "_replay"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.manager = self._new_manager(*state["manager"])
        self._ask_for(self._request)

    def __repr__(self) -> str:
        where = without_query(self.endpoint.url)
        return f"<{type(self).__name__} {where} {self.endpoint.client_id!r} {self._request!r}>"

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the token on a request, if it may go there.

        :raises TokenError: if there is none.
        :raises InsecureTransportError: if the token would travel in the clear.
        """
        # Every request passes here: with a usable token it costs one look at one clock.
        usable = self._entry.usable
        try:
            if time.monotonic() < usable.limit and r.url.startswith(self._origins.trusted):  # type: ignore[union-attr]
                # What headers["Authorization"] = ... comes to, at a third of its price.
                r.headers._store["authorization"] = usable.header_field
                if r.hooks == _NO_HOOKS:
                    r.hooks = {"response": [self._replay]}  # replaced, since copies share them
                    return r
        except AttributeError:  # no request of requests, or one that was not prepared
            pass
        return self._sign(r)

    def _sign(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put token, hook and proof on any request."""
        if not self._origins.admit(r.url or ""):
            self._replay.take_off(r)  # it may have been signed before
            return r
        r.headers["Authorization"] = self.manager.get_token(self._request).authorization
        self._replay.hook_on(r)
        self._replay.prove(r)
        return r

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
        for name, value in self.__dict__.items():  # update() would slow down every later call
            setattr(sibling, name, value)
        sibling._ask_for(self._request.__replace__(**changes))
        return sibling

    def initialize(self) -> Future[Self]:
        """Return a resolved future: there is nothing to wait for; see :meth:`authorize`."""
        if self._initialized is None:
            self._initialized = Future()
            self._initialized.set_result(self)
        return self._initialized

    def get_user_info(self) -> NoReturn:
        """Raise: there is no user in this grant.

        :raises NotImplementedError: always.
        """
        raise NotImplementedError("there is no user in the client credentials grant")

    @property
    def authorized(self) -> bool:
        """True while a usable token is at hand."""
        token = self._entry.token
        return token is not None and self.manager.is_usable(token)

    @property
    def access_token(self) -> str | None:
        """The token that is held, also when it has expired."""
        token = self._entry.token
        return token.access_token if token is not None else None

    @property
    def headers(self) -> dict[str, str]:
        """The header field that carries the token that is held; empty without one.

        A token that is bound to a DPoP key also needs a proof for each request.
        """
        token = self._entry.token
        return {"Authorization": token.authorization} if token is not None else {}

    @property
    def expires(self) -> int | None:
        """Expiry of the token that is held, in milliseconds since the epoch; None if unknown."""
        token = self._entry.token
        at = token.expires_at if token is not None else None
        return int(at * 1000) if at is not None else None

    @property
    def authorizing(self) -> Future[Token] | None:
        """The token request under way; None without one."""
        fetch = self._entry.fetch
        return fetch.future if fetch is not None else None

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
        failure = self._entry.error
        return failure.error if failure is not None else None

    @property
    def error_description(self) -> str | None:
        """The server's description of that error."""
        failure = self._entry.error
        return failure.error_description if failure is not None else None

    @property
    def error_uri(self) -> str | None:
        """A web page about that error."""
        failure = self._entry.error
        return failure.error_uri if failure is not None else None
