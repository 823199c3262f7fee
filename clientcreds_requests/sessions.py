"""A :class:`requests.Session` with client credentials."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import BaseAdapter
from requests.utils import resolve_proxies

from ._checks import Cert, ExtraHeaders, ExtraParams, Session
from ._env import by_environment, by_issuer
from ._replay import replays_on, unsign
from ._urls import origin, prepare_url, without_query
from .adapters import RetryAdapter, is_key_mismatch
from .auth import ClientCredentialsAuth
from .client_auth import ClientAuth, ClientAuthName, TLSClientAuth
from .stores import TokenStore
from .token_endpoint import Body

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack
    from urllib3 import Retry

    from ._env import SessionOptions
    from .dpop import ProofKey


class ClientCredentialsSession(Session):
    """A session whose requests carry a token obtained with client credentials.

    Token requests use this session's TLS, proxy and adapter settings, and nothing else of it.

    :param token_endpoint: URL; https, or http on loopback.
    :param client_id: the client's identifier.
    :param client_secret: its secret, or a callable that returns it.
    :param base_url: URL that relative URLs are appended to. The token is then sent only to its
        origin, unless ``allowed_origins`` is given.

    All other parameters are those of :class:`ClientCredentialsAuth`.

    :raises TypeError, ValueError: if an argument cannot work.
    :raises InsecureTransportError: for plain http to another machine.
    """

    auth: ClientCredentialsAuth

    __attrs__: list[str] = [*Session.__attrs__, "base_url"]  # noqa: RUF012 - as in requests

    # Every parameter by name: mixins pass on only those, and would silently drop the others.
    def __init__(
        self,
        token_endpoint: str,
        client_id: str | None,
        client_secret: str | Callable[[], str] | None = None,
        *,
        base_url: str | None = None,
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
        store: TokenStore | None = None,
        dpop: ProofKey | None = None,
    ) -> None:
        super().__init__()
        self.base_url: str | None = None
        if base_url is not None:
            self.base_url = prepare_url("base_url", base_url).rstrip("/") + "/"
            if "?" in self.base_url:
                raise ValueError("base_url may not have a query; set session.params")
            if allowed_origins is None:
                allowed_origins = [origin(self.base_url) or ""]
        self.auth = ClientCredentialsAuth(  # pyright: ignore[reportIncompatibleVariableOverride]
            token_endpoint,
            client_id,
            client_secret,
            scope=scope,
            resources=resources,
            audience=audience,
            extra_params=extra_params,
            extra_headers=extra_headers,
            body=body,
            client_auth=client_auth,
            leeway=leeway,
            renew_ahead=renew_ahead,
            default_lifetime=default_lifetime,
            timeout=timeout,
            deadline=deadline,
            retries=retries,
            allowed_origins=allowed_origins,
            allow_http=allow_http,
            session=self,
            store=store,
            dpop=dpop,
        )
        if isinstance(client_auth, TLSClientAuth):
            self.cert: Cert = client_auth.cert  # what its tokens are bound to
        endpoint = self.auth.endpoint
        made_with = self.get_adapter(endpoint.url)
        self.mount(endpoint.url, RetryAdapter(made_with, endpoint.retries, self._adapter_below))

    @classmethod
    def from_issuer(
        cls,
        issuer: str,
        client_id: str | None,
        client_secret: str | Callable[[], str] | None = None,
        **options: Unpack[SessionOptions],
    ) -> Self:
        """Return a session that finds its token endpoint in the issuer's metadata.

        The parameters and errors are those of :meth:`ClientCredentialsAuth.from_issuer`.
        """
        return cls(**by_issuer(issuer, client_id, client_secret, options))

    @classmethod
    def from_env(cls, prefix: str = "CLIENTCREDS_", **options: Unpack[SessionOptions]) -> Self:
        """Return a session with settings from environment variables.

        The parameters and errors are those of :meth:`ClientCredentialsAuth.from_env`.
        """
        return cls(**by_environment(prefix, options))

    def __repr__(self) -> str:
        auth: object = self.auth  # which may have been replaced, by a pair with a password
        shown = repr(auth) if isinstance(auth, ClientCredentialsAuth) else type(auth).__name__
        return f"<{type(self).__name__} {self.base_url or 'without a base URL'} {shown}>"

    def _adapter_below(self, url: str) -> BaseAdapter:
        """Return the adapter that would serve the URL if no retry adapter were mounted."""
        for prefix, adapter in self.adapters.items():
            if url.lower().startswith(prefix.lower()) and not isinstance(adapter, RetryAdapter):
                return adapter
        raise requests.exceptions.InvalidSchema(f"no adapter is mounted for {without_query(url)}")

    def __copy__(self) -> Self:
        # With a shared auth, both sessions would send token requests through the original one.
        return copy.deepcopy(self)

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """As in requests, with a relative URL appended to the base URL."""
        if self.base_url is not None:
            url: str | bytes = request.url or ""
            url = (url.decode() if isinstance(url, bytes) else str(url)).lstrip()
            if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", url):
                url = self.base_url + url.lstrip("/")
            request = copy.copy(request)
            request.url = url
        return super().prepare_request(request)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """As in requests, but a token on the request is sent only where it may go.

        :raises InsecureTransportError: if a proxy would take the token to another machine
            unencrypted.
        """
        if "proxies" not in kwargs:  # as in requests
            kwargs["proxies"] = resolve_proxies(request, self.proxies, self.trust_env)
        for replay in replays_on(request):
            replay.before_sending(request, kwargs["proxies"] or {})
        try:
            response = super().send(request, **kwargs)
        except requests.exceptions.SSLError as error:
            if not is_key_mismatch(error):  # which comes before anything is sent
                raise
            response = super().send(request, **kwargs)
        if response.history:  # a 401 before the first redirect comes first
            response.history = [*response.history[0].history, *response.history]
        return response

    def resolve_redirects(
        self, resp: requests.Response, req: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> Generator[Any, None, None]:
        """As in requests, with the answers that were replayed after a 401 in the history."""
        refused = resp.history
        for answer in super().resolve_redirects(resp, req, *args, **kwargs):
            resp.history = refused  # requests has emptied it
            if isinstance(answer, requests.Response):
                yield from answer.history
            yield answer

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Keep the token on a redirect within its origin, and only there.

        requests would replace it by a netrc entry, and treats http and https as one origin.
        """
        if "Authorization" in prepared_request.headers:
            target = origin(prepared_request.url or "")
            if target is not None and target == origin(response.request.url or ""):
                for replay in replays_on(prepared_request):
                    replay.prove(prepared_request)
                return
            unsign(prepared_request)
        super().rebuild_auth(prepared_request, response)
