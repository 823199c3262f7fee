"""A :class:`requests.Session` with client credentials."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import requests
from requests.adapters import BaseAdapter

from .adapters import RetryAdapter
from .arguments import Cert
from .auth import ClientCredentialsAuth
from .client_auth import TLSClientAuth
from .discovery import Issuer
from .environment import by_environment
from .issuer_endpoint import by_issuer
from .origins import origin, prepare_url, without_query

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .options import AuthOptions, SessionOptions


class ClientCredentialsSession(requests.Session):
    """A session whose requests carry a token got with client credentials.

    Token requests use this session's TLS, proxy and adapter settings, and nothing else of it.

    :param token_endpoint: URL; https, or http on loopback.
    :param client_id: the client's identifier.
    :param client_secret: its secret, or a callable that returns it.
    :param base_url: what relative URLs are appended to. The token then goes to its origin alone,
        unless ``allowed_origins`` says otherwise.
    :param options: keyword arguments of :class:`ClientCredentialsAuth`, which tells what they mean:
        ``scope``, ``resources``, ``audience``, ``extra_params``, ``extra_headers``, ``body``,
        ``client_auth``, ``leeway``, ``renew_ahead``, ``timeout``, ``deadline``, ``retries``,
        ``allowed_origins``, ``allow_http``, ``store`` and ``dpop``.
    :raises TypeError, ValueError: for arguments that could not work.
    :raises InsecureTransportError: for plain http to another machine.
    """

    auth: ClientCredentialsAuth

    __attrs__: list[str] = [*requests.Session.__attrs__, "base_url"]  # noqa: RUF012 - as in requests

    def __init__(
        self,
        token_endpoint: str | Issuer,
        client_id: str,
        client_secret: str | Callable[[], str] | None = None,
        *,
        base_url: str | None = None,
        **options: Unpack[AuthOptions],
    ) -> None:
        super().__init__()
        self.base_url: str | None = None if base_url is None else _checked_base_url(base_url)
        if self.base_url is not None and options.get("allowed_origins") is None:
            options["allowed_origins"] = [origin(self.base_url) or ""]
        self.auth = ClientCredentialsAuth(  # pyright: ignore[reportIncompatibleVariableOverride]
            token_endpoint, client_id, client_secret, session=self, **options
        )
        client_auth = options.get("client_auth")
        if isinstance(client_auth, TLSClientAuth):
            self.cert: Cert = client_auth.cert  # what its tokens are bound to
        endpoint = self.auth.endpoint
        self.mount(endpoint.url, RetryAdapter(self._adapter_below, endpoint.retries))

    @classmethod
    def from_issuer(
        cls,
        issuer: str,
        client_id: str,
        client_secret: str | Callable[[], str] | None = None,
        **options: Unpack[SessionOptions],
    ) -> Self:
        """A session that finds its token endpoint in the server's metadata.

        See :meth:`ClientCredentialsAuth.from_issuer`.

        :param issuer: the server's issuer identifier, a URL, exactly as the server writes it.
        :param client_id: the client's identifier.
        :param client_secret: its secret, or a callable that returns it.
        :param options: keyword arguments of the constructor.
        """
        return cls(**by_issuer(issuer, client_id, client_secret, options))

    @classmethod
    def from_env(cls, prefix: str = "CLIENTCREDS_", **options: Unpack[SessionOptions]) -> Self:
        """A session with settings from environment variables.

        See :meth:`ClientCredentialsAuth.from_env`.

        :param prefix: how the names of the variables begin.
        :param options: keyword arguments of the constructor, which come before the environment.
        """
        return cls(**by_environment(prefix, options))

    def _adapter_below(self, url: str) -> BaseAdapter:
        """The adapter that would serve the URL if no retry adapter were mounted."""
        for prefix, adapter in self.adapters.items():
            if url.lower().startswith(prefix.lower()) and not isinstance(adapter, RetryAdapter):
                return adapter
        raise requests.exceptions.InvalidSchema(f"no adapter is mounted for {without_query(url)}")

    def __copy__(self) -> Self:
        # Two sessions with one auth would send its token requests through one of them.
        return copy.deepcopy(self)

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """As in requests, with a relative URL appended to the base URL."""
        if self.base_url is not None:
            request = copy.copy(request)
            request.url = _joined(self.base_url, request.url or "")
        return super().prepare_request(request)

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Keep the token on a redirect within its origin, and only there.

        requests would replace it by a netrc entry, and take http and https for one origin.
        """
        there, here = origin(prepared_request.url or ""), origin(response.request.url or "")
        if "Authorization" in prepared_request.headers:
            if there is not None and there == here:
                self.auth.prove(prepared_request)
                return
            del prepared_request.headers["Authorization"]
            prepared_request.headers.pop("DPoP", None)
        super().rebuild_auth(prepared_request, response)


def _checked_base_url(url: str) -> str:
    base = prepare_url("base_url", url)
    if "?" in base:
        raise ValueError("base_url may not have a query; set session.params")
    return base.rstrip("/") + "/"


def _joined(base_url: str, url: str | bytes) -> str:
    """As httpx joins: an absolute URL stays as it is, anything else is appended."""
    url = (url.decode() if isinstance(url, bytes) else str(url)).lstrip()
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", url):
        return url
    return base_url + url.lstrip("/")
