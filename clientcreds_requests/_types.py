"""The keyword arguments of auth and session, so that type checkers report a typo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import requests
    from urllib3 import Retry

    from ._checks import ExtraHeaders
    from .client_auth import ClientAuth, ClientAuthName
    from .dpop import ProofKey
    from .stores import TokenStore
    from .token_endpoint import Body


class RequestOptions(TypedDict, total=False):
    """The keyword arguments of :meth:`ClientCredentialsAuth.replace`."""

    scope: str | Iterable[str] | None
    resources: Iterable[str] | None
    audience: str | None
    extra_params: Mapping[str, str] | None


class AuthOptions(RequestOptions, total=False):
    """The keyword arguments of :class:`ClientCredentialsAuth`, except ``session``."""

    extra_headers: ExtraHeaders | None
    body: Body
    client_auth: ClientAuth | ClientAuthName
    leeway: float
    renew_ahead: float | None
    timeout: float | tuple[float, float]
    deadline: float
    retries: int | Retry
    allowed_origins: Iterable[str] | None
    allow_http: bool
    store: TokenStore | None
    dpop: ProofKey | None


class AuthOwnOptions(AuthOptions, total=False):
    """The keyword arguments of :class:`ClientCredentialsAuth`."""

    session: requests.Session | None


class SessionOptions(AuthOptions, total=False):
    """The keyword arguments of :class:`ClientCredentialsSession`."""

    base_url: str | None
