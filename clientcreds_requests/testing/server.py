"""An authorization server with the client credentials grant, and an API that accepts its tokens."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Generator
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic
from typing import Literal

from .authentication import authenticate
from .listener import Listener, Script
from .messages import Answer, IssuedToken, RecordedRequest, oauth_error

# Where an issuer's metadata is (RFC 8414, OpenID Connect).
METADATA_PATHS = {"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"}
REPEATABLE = {"resource", "audience"}  # RFC 8707, RFC 8693
BODIES = {"application/json": "json", "application/x-www-form-urlencoded": "form"}


class LocalAuthorizationServer:
    """A real authorization server and a protected API, each on a free port of 127.0.0.1.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`. Everything can be changed
    while it runs, from any thread, and counts for the requests that arrive from then on::

        with LocalAuthorizationServer(lifetime=60) as server:
            client = (server.client_id, server.client_secret)
            auth = ClientCredentialsAuth(server.token_endpoint, *client)
            assert requests.get(server.api_url, auth=auth).ok
            assert len(server.token_requests) == 1

    Each parameter is an attribute of the same name, which can be set.

    :param client_id: the client that is registered from the start; see :attr:`clients` for more.
    :param client_secret: its secret. The default holds what careless encoding breaks.
    :param lifetime: seconds that a token is valid, from the arrival of its request. None: for ever,
        and ``expires_in`` is left out.
    :param latency: seconds that each token request takes.
    :param api_latency: seconds that each API request takes.
    :param scopes: the scopes that exist, all granted to who asks for none; another one is
        ``invalid_scope``. None: any.
    :param accepts: the bodies that the token endpoint reads: ``json``, ``form`` or both. What it
        does not read is ``invalid_request``.
    :param methods: the client authentication methods that it knows: ``client_secret_post``,
        ``client_secret_basic`` or both. Another one is ``invalid_client``.
    :param cors: the origin whose pages may call both ports from a browser, such as
        ``http://127.0.0.1:8000``, or ``*`` for any. None: a browser lets no page do so.
    """

    def __init__(
        self,
        client_id: str = "my-service",
        client_secret: str = "s3cr3t: a+b & c=%64",
        *,
        lifetime: float | None = 3600,
        latency: float = 0,
        api_latency: float = 0,
        scopes: Collection[str] | None = None,
        accepts: Collection[Literal["json", "form"]] = ("json", "form"),
        methods: Collection[Literal["client_secret_post", "client_secret_basic"]] = (
            "client_secret_post",
            "client_secret_basic",
        ),
        cors: str | None = None,
    ) -> None:
        self.client_id = client_id
        self.client_secret = client_secret
        self.clients: dict[str, str] = {}
        """Further clients: their secrets, by client id. Add to it as you like."""
        self.lifetime = lifetime
        self.latency = latency
        self.api_latency = api_latency
        if isinstance(scopes, str):  # a collection of its letters
            raise TypeError("scopes must be a list of str, not one str")
        self.scopes: frozenset[str] | None = None if scopes is None else frozenset(scopes)
        self.accepts: set[Literal["json", "form"]] = set(accepts)
        self.methods: set[Literal["client_secret_post", "client_secret_basic"]] = set(methods)
        self.cors = cors
        self._tokens: dict[str, IssuedToken] = {}
        self._authorization_server = Listener(
            self._identify_client,
            self._respond,
            lambda: self.latency,
            lambda: self.cors,
            lambda request: not _is_for_metadata(request),
        )
        self._api = Listener(
            self._identify_token,
            self._respond_to_call,
            lambda: self.api_latency,
            lambda: self.cors,
        )

    def start(self) -> LocalAuthorizationServer:
        """Open both ports, and return the server itself."""
        self._authorization_server.start()
        self._api.start()
        return self

    def stop(self) -> None:
        """Close both ports and all connections, also under requests in flight. Records are kept."""
        self._authorization_server.stop()
        self._api.stop()

    __enter__ = start

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The origin of the authorization server."""
        return f"http://127.0.0.1:{self._authorization_server.port}"

    @property
    def issuer(self) -> str:
        """The issuer identifier, whose metadata names the token endpoint."""
        return self.url

    @property
    def token_endpoint(self) -> str:
        """The URL to get tokens from: the first argument of a ClientCredentialsAuth."""
        return f"{self.url}/token"

    @property
    def api_url(self) -> str:
        """The URL of the API, another origin than that of :attr:`url`.

        Any request to it, whatever path follows, that carries a valid token has a 200 with JSON
        that echoes it: ``method``, ``path``, ``query``, ``body_length``, ``body_sha256`` and the
        token's ``client_id`` and ``scope``. Any other has the 401 of RFC 6750.
        """
        return f"http://127.0.0.1:{self._api.port}/api"

    @property
    def token_requests(self) -> list[RecordedRequest]:
        """The requests to the token endpoint in order of arrival, with those in flight.

        Each is a :class:`RecordedRequest`::

            assert [request.params["scope"] for request in server.token_requests] == ["api:read"]
        """
        return [r for r in self._authorization_server.requests() if not _is_for_metadata(r)]

    @property
    def metadata_requests(self) -> list[RecordedRequest]:
        """The requests for the server's metadata in order of arrival."""
        return [r for r in self._authorization_server.requests() if _is_for_metadata(r)]

    @property
    def api_requests(self) -> list[RecordedRequest]:
        """The requests to the API in order of arrival, with those in flight."""
        return self._api.requests()

    @property
    def preflight_requests(self) -> list[RecordedRequest]:
        """The ``OPTIONS`` requests of browsers, which no script answers: endpoint, then API."""
        listeners = (self._authorization_server, self._api)
        return [r for listener in listeners for r in listener.requests(preflights=True)]

    @property
    def tokens(self) -> list[IssuedToken]:
        """The tokens issued, in that order."""
        return list(self._tokens.values())

    def reset_records(self) -> None:
        """Empty the lists of requests; tokens stay what they are."""
        self._authorization_server.reset_records()
        self._api.reset_records()

    def issue(self, client_id: str | None = None, scope: str | None = None) -> IssuedToken:
        """Issue a token without a request.

        :param client_id: whom to; the server's first client by default.
        :param scope: what for, space-separated.
        :return: the token; ``issue().access_token`` is what the API accepts.
        """
        token = IssuedToken(
            access_token=secrets.token_urlsafe(32),
            client_id=client_id or self.client_id,
            scope=scope,
            issued_at=monotonic(),
            lifetime=self.lifetime,
        )
        self._tokens[token.access_token] = token
        return token

    def revoke(self, access_token: str) -> None:
        """Let the API refuse this token from now on, with a 401 and ``invalid_token``.

        :param access_token: as it was issued.
        :raises ValueError: when it was not issued here.
        """
        if access_token not in self._tokens:
            raise ValueError("access_token: pass one that this server has issued")
        self._tokens[access_token] = replace(self._tokens[access_token], revoked=True)

    def revoke_all(self) -> None:
        """Let the API refuse all tokens issued so far."""
        for token in self.tokens:
            self.revoke(token.access_token)

    @property
    def down(self) -> bool:
        """Whether the token endpoint resets (and records) every connection; can be set."""
        return self._authorization_server.down

    @down.setter
    def down(self, down: bool) -> None:
        self._authorization_server.down = down

    @contextmanager
    def outage(self) -> Generator[None]:
        """Be :attr:`down` for the length of a ``with`` block.

        A caller without a token then gets an error::

            with server.outage(), pytest.raises(TokenConnectionError):
                auth.authorize()
        """
        self.down = True
        try:
            yield
        finally:
            self.down = False

    def answer_next(self, *answers: Script) -> None:
        """Script the answers to the next token requests, each used once, in order of arrival.

        A new auth asks twice before it fails, unless its ``body`` is set: with JSON, then a form::

            server.answer_next(Answer(503, headers={"Retry-After": "1"}), RESET)

        :param answers: an :class:`Answer`; ``RESET``; ``HANG``; bytes that are sent as they are, in
            one piece or as an iterable of pieces, before the connection is closed; None for the
            regular answer; or a callable that takes the request and returns one of these.
        """
        self._authorization_server.scripts.extend(answers)

    def api_answer_next(self, *answers: Script) -> None:
        """Script the answers to the next API requests, as :meth:`answer_next` does."""
        self._api.scripts.extend(answers)

    def _authenticate(self, request: RecordedRequest) -> str | Answer:
        clients = {**self.clients, self.client_id: self.client_secret}
        return authenticate(request, clients, self.methods)

    def _identify_client(self, request: RecordedRequest) -> RecordedRequest:
        client = self._authenticate(request)
        return replace(request, client_id=client if isinstance(client, str) else None)

    def _respond(self, request: RecordedRequest) -> Answer:
        if not _is_for_metadata(request):
            return self._respond_with_token(request)
        if request.path not in METADATA_PATHS:
            return Answer(404)
        return Answer(
            200,
            {
                "issuer": self.issuer,
                "token_endpoint": self.token_endpoint,
                "token_endpoint_auth_methods_supported": sorted(self.methods),
                "grant_types_supported": ["client_credentials"],
            },
        )

    def _respond_with_token(self, request: RecordedRequest) -> Answer:
        if request.path != "/token":
            return Answer(404)
        if request.method != "POST":
            return Answer(405, headers={"Allow": "POST"})
        if BODIES.get(request.headers.get_content_type()) not in self.accepts:
            return oauth_error(
                "invalid_request", f"send a body of: {', '.join(sorted(self.accepts))}"
            )
        params = request.params
        for name, value in params.items():
            if name not in REPEATABLE and not isinstance(value, str):
                return oauth_error("invalid_request", f"{name!a} must be one string")
        client = self._authenticate(request)
        if isinstance(client, Answer):
            return client
        if params.get("grant_type") != "client_credentials":
            return oauth_error("unsupported_grant_type", "grant_type must be client_credentials")
        scope = params.get("scope")
        if self.scopes is not None:
            if not set((scope or "").split()) <= set(self.scopes):
                return oauth_error("invalid_scope", "unknown scope")
            scope = scope or " ".join(sorted(self.scopes))
        token = self.issue(client, scope)
        content = {
            "access_token": token.access_token,
            "token_type": "Bearer",
            "expires_in": token.lifetime,
            "scope": scope or None,
        }
        given = {name: value for name, value in content.items() if value is not None}
        return Answer(200, given, {"Cache-Control": "no-store", "Pragma": "no-cache"})

    def _identify_token(self, request: RecordedRequest) -> RecordedRequest:
        scheme, _, access_token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return replace(request, token_state="none")
        token = self._tokens.get(access_token)
        return replace(
            request,
            access_token=access_token,
            token_state=token.state if token else "unknown",
            client_id=token.client_id if token else None,
        )

    def _respond_to_call(self, request: RecordedRequest) -> Answer:
        challenge = 'Bearer realm="api"'
        if request.token_state == "none":  # RFC 6750 3.1: then without an error code
            return Answer(401, headers={"WWW-Authenticate": challenge})
        if request.token_state != "valid":
            description = f"The access token is {request.token_state}"
            challenge += f', error="invalid_token", error_description="{description}"'
            return oauth_error("invalid_token", description, 401, {"WWW-Authenticate": challenge})
        token = self._tokens[str(request.access_token)]
        echo = {
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "body_length": len(request.body),
            "body_sha256": hashlib.sha256(request.body).hexdigest(),
            "client_id": token.client_id,
            "scope": token.scope,
        }
        return Answer(200, echo)


def _is_for_metadata(request: RecordedRequest) -> bool:
    return request.path.startswith("/.well-known/")
