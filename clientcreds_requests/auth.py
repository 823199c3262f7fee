"""Where the token goes: the header, the replay after a 401, the origins that may see it."""

from __future__ import annotations

import contextlib
import functools
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NoReturn

import requests
from requests.auth import AuthBase

from ._checks import HEADERS_HAVE_STORE, ExtraHeaders, ExtraParams
from ._env import by_environment, by_issuer
from ._fork import warn_caller
from ._logs import state_of
from ._replay import Replay
from ._urls import AllowedOrigins, without_query
from .client_auth import ClientAuth, ClientAuthName, client_auth_for
from .discovery import Issuer, IssuerEndpoint
from .exceptions import TokenError
from .manager import TokenManager
from .stores import StoredFetch, TokenStore
from .token_endpoint import Body, TokenEndpoint
from .tokens import Token, TokenRequest, TokenSource

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack
    from urllib3 import Retry

    from ._env import AuthOwnOptions, RequestOptions
    from .dpop import ProofKey


class ClientCredentialsAuth(AuthBase):
    """Put a token on every request, obtained with client credentials (RFC 6749 §4.4).

    One object serves any number of threads and sessions. Its token is fetched when it is first
    needed, kept in memory, and renewed before a caller has to wait.

    :param token_endpoint: URL; https, or http on loopback.
    :param client_id: the client's identifier; None only with ``client_auth="none"``.
    :param client_secret: its secret, or a callable that returns it and is called for every token
        request. None with a ``client_auth`` that has its own.
    :param scope: space-separated, or an iterable of scopes.
    :param resources: absolute URIs of the resource servers (RFC 8707).
    :param audience: the API the token is for, as Auth0 and others expect it.
    :param extra_params: further parameters of the token request; callables are called for every
        attempt. A ``grant_type`` among them is asked for in place of client credentials.
    :param extra_headers: further header fields of the token request; callables are called for
        every attempt.
    :param body: ``json``, ``form``, or ``auto``: JSON first, then a form if that brings no token.
    :param client_auth: how the client authenticates: a registered name, or a callable such as
        :class:`ClientSecretBasic`.
    :param leeway: seconds. A token is usable while it has more than that left.
    :param renew_ahead: seconds before expiry from which the token is renewed in the background.
        None: the smaller of 300 and a quarter of the lifetime. 0: never.
    :param default_lifetime: seconds, for tokens whose lifetime the server does not say. None: they
        are used until the API refuses them.
    :param timeout: seconds for one attempt at the token endpoint, or a (connect, read) pair.
    :param deadline: seconds for all attempts together; also the longest any caller waits.
    :param retries: attempts after the first, or a urllib3 policy.
    :param allowed_origins: origins that may receive the token, such as
        ``https://api.example.com``; requests to others are sent without it. None: any origin.
    :param allow_http: send secret and token unencrypted where the URL is plain http.
    :param session: whose TLS, proxy and adapter settings the token request uses; it is neither
        changed nor closed.
    :param store: shares the tokens with other processes. None: they stay in memory.
    :param dpop: the key to bind tokens to (RFC 9449), such as ``DPoPKey.generate()`` of
        ``clientcreds_requests.dpop``. None: bearer tokens.
    :raises TypeError, ValueError: if an argument cannot work.
    :raises InsecureTransportError: for plain http to another machine.
    """

    def __init__(
        self,
        token_endpoint: str,
        client_id: str | None,
        client_secret: str | Callable[[], str] | None = None,
        *,
        scope: str | Iterable[str] | None = None,
        resources: Iterable[str] | None = None,
        audience: str | None = None,
        extra_params: ExtraParams | None = None,
        extra_headers: ExtraHeaders | None = None,
        body: Body = "auto",
        client_auth: ClientAuth | ClientAuthName = "client_secret_post",
        leeway: float = 20.0,
        renew_ahead: float | None = None,
        default_lifetime: float | None = None,
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
            warn_caller(
                "auth.clientCredentials: You should NEVER use this in a browser environment. You "
                "will expose your 'clientSecret' to anyone who can inspect this code allowing "
                "anyone access."
            )
        issuer = token_endpoint if isinstance(token_endpoint, Issuer) else ""
        #: Makes the token requests; shared with siblings.
        self.endpoint: TokenEndpoint = (IssuerEndpoint if issuer else TokenEndpoint)(
            token_endpoint,
            client_id,
            client_auth_for(client_auth, client_secret, issuer),
            body=body,
            extra_headers=extra_headers,
            timeout=timeout,
            deadline=deadline,
            retries=retries,
            allow_http=allow_http,
            session=session,
            default_lifetime=default_lifetime,
            dpop=dpop,
        )
        self._source: TokenSource = self.endpoint
        if store is not None:
            self._source = StoredFetch(self.endpoint, store, leeway)
        #: Caches the tokens and decides when to request one; shared with siblings.
        self.manager: TokenManager = TokenManager(
            self._source, leeway=leeway, renew_ahead=renew_ahead, deadline=deadline
        )
        self._bound_to = ""
        quick = HEADERS_HAVE_STORE and dpop is None
        self._origins = AllowedOrigins(allowed_origins, allow_http, quick=quick)
        self._new_replay: Callable[..., Replay] = Replay
        if dpop is not None:
            from .dpop import DPoPReplay

            self._new_replay = functools.partial(DPoPReplay, dpop)
        self._ask_for(TokenRequest(scope, resources, audience, extra_params))

    def _ask_for(self, request: TokenRequest) -> None:
        """Set what this auth asks for, and what depends on that."""
        self._request = request
        self._entry = self.manager.entry(request)
        self._replay = self._new_replay(self.manager, request, self._origins)
        self._initialized: Future[Self] | None = None

    def _token(self, *, insist: bool = False) -> Token:
        """Return a usable token that is not bound to a client certificate of the past."""
        with contextlib.suppress(TokenError):  # the token request will raise the same error
            before, found = self._bound_to, self.endpoint.follow_certificate()
            if found != before and before == self._bound_to:  # no other thread has noticed
                self._bound_to = found
                if self.endpoint.binds_tokens and before:
                    self.manager.clear(self._request)
        return self.manager.get_token(self._request, insist=insist)

    @classmethod
    def from_issuer(
        cls,
        issuer: str,
        client_id: str | None,
        client_secret: str | Callable[[], str] | None = None,
        **options: Unpack[AuthOwnOptions],
    ) -> Self:
        """Return an auth that finds its token endpoint in the issuer's metadata (RFC 8414, OpenID).

        The metadata is fetched with the first token request. It names the endpoint (with a client
        certificate the alias of RFC 8705 §5) and the method for sending the client secret. The
        body is a form.

        :param issuer: the server's issuer identifier, a URL, exactly as the server writes it.
        :param client_id: the client's identifier.
        :param client_secret: its secret, or a callable that returns it.
        :param options: keyword arguments of the constructor; they override the metadata.
        :raises TypeError, ValueError, InsecureTransportError: as the constructor does.
        """
        return cls(**by_issuer(issuer, client_id, client_secret, options))

    @classmethod
    def from_env(cls, prefix: str = "CLIENTCREDS_", **options: Unpack[AuthOwnOptions]) -> Self:
        """Return an auth with settings from environment variables.

        Their names, after the prefix: ``TOKEN_ENDPOINT`` or ``ISSUER``, ``CLIENT_ID``,
        ``CLIENT_SECRET``, ``CLIENT_SECRET_FILE`` or ``CLIENT_ASSERTION_FILE`` (read again for every
        token request, the final newline dropped), ``SCOPE``, ``RESOURCES`` (space-separated),
        ``AUDIENCE``, ``BODY``, ``CLIENT_AUTH``, ``GRANT_TYPE``.

        :param prefix: how the names of the variables begin.
        :param options: keyword arguments of the constructor; they override the environment.
        :raises TypeError, ValueError, InsecureTransportError: as the constructor does.
        """
        return cls(**by_environment(prefix, options))

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle or copy needs: no token, and no literal secret."""
        self.endpoint.__getstate__()  # raises TypeError for a literal secret
        manager = self.manager
        windows = {name: getattr(manager, name) for name in ("leeway", "renew_ahead", "deadline")}
        state = {**vars(self), "manager": windows}
        return {name: state[name] for name in state.keys() - {"_entry", "_initialized", "_replay"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.manager = TokenManager(self._source, **state["manager"])
        self._ask_for(self._request)

    def __repr__(self) -> str:
        where = without_query(self.endpoint.url)
        who, held = self.endpoint.client_id, state_of(self._entry.token, self.manager.leeway)
        return f"<{type(self).__name__} {where} {who!r} {self._request!r}: {held}>"

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the token on a request, if its origin may receive it.

        :raises TokenError: if there is none.
        :raises InsecureTransportError: if the token would be sent unencrypted.
        """
        # Every request passes here: with a usable token it costs one look at one clock.
        usable = self._entry.usable
        try:
            if time.monotonic() < usable.limit and r.url.startswith(self._origins.trusted):  # type: ignore[union-attr]
                # The same as headers["Authorization"] = ..., in a third of the time.
                r.headers._store["authorization"] = usable.header_field
                if not r.hooks["response"]:
                    r.hooks = {"response": [self._replay]}  # replaced, since copies share them
                    return r
        except (AttributeError, KeyError):  # not an object of requests, or not prepared
            pass
        # Forks of requests have hooks for further events, which the shortcut would drop.
        if not self._origins.admit(r.url or "", trust=isinstance(r, requests.PreparedRequest)):
            self._replay.take_off(r)  # it may have been signed before
            return r
        self._replay.sign(r, self._token())
        self._replay.prove(r)
        return r

    def authorize(self) -> Self:
        """Make sure that a token with more than the leeway left is held; fetch one if not.

        Also asks during a pause after failures. Concurrent calls share one token request.

        :raises TokenError: if no token can be obtained.
        """
        self._token(insist=True)
        return self

    def get_token(self) -> Token:
        """Return a usable token, fetching one if there is none.

        :raises TokenError: if none can be obtained.
        """
        return self._token()

    def signout(self) -> None:
        """Forget the token, the last error, and the result of a token request under way.

        This is local: the token is not revoked, and a store keeps it for other processes.
        """
        self.manager.clear(self._request)

    def replace(self, **changes: Unpack[RequestOptions]) -> Self:
        """Return a sibling: the same client with another scope, resources, audience or parameters.

        It shares the endpoint and the manager, but has its own token; neither waits for the other.

        :param changes: any of ``scope``, ``resources``, ``audience`` and ``extra_params``; the
            others stay as they are.
        :raises TypeError, ValueError: as the constructor does.
        """
        sibling = object.__new__(type(self))
        for name, value in self.__dict__.items():  # update() makes attribute access slower
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
        """True while a usable token is held."""
        token = self._entry.token
        return token is not None and self.manager.is_usable(token)

    @property
    def access_token(self) -> str | None:
        """The token held, even if it has expired."""
        return getattr(self._entry.token, "access_token", None)

    @property
    def headers(self) -> dict[str, str]:
        """The header field with the token held; empty without one.

        A token that is bound to a DPoP key also needs a proof for each request.
        """
        token = self._entry.token
        return {"Authorization": token.authorization} if token is not None else {}

    @property
    def expires(self) -> int | None:
        """Expiry of the token held, in milliseconds since the epoch; None if unknown."""
        expires_at = getattr(self._entry.token, "expires_at", None)
        return int(expires_at * 1000) if expires_at is not None else None

    @property
    def authorizing(self) -> Future[Token] | None:
        """The token request under way; None without one."""
        return getattr(self._entry.fetch, "future", None)

    @property
    def initialized(self) -> Future[Self]:
        """The future that :meth:`initialize` returns."""
        return self.initialize()

    @property
    def user_info(self) -> None:
        """None: there is no user in this grant."""

    @property
    def error(self) -> str | None:
        """OAuth error code of the last token request, if it failed."""
        return getattr(self._entry.error, "error", None)

    @property
    def error_description(self) -> str | None:
        """The server's description of that error."""
        return getattr(self._entry.error, "error_description", None)

    @property
    def error_uri(self) -> str | None:
        """The URI of a web page about that error."""
        return getattr(self._entry.error, "error_uri", None)
