"""The arguments of the constructors: their types, and where else they come from."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from ._checks import text
from .client_auth import FederatedAssertion
from .discovery import Issuer

if TYPE_CHECKING:
    import requests
    from urllib3 import Retry

    from ._checks import ExtraHeaders, ExtraParams
    from .client_auth import ClientAuth, ClientAuthName
    from .dpop import ProofKey
    from .stores import TokenStore
    from .token_endpoint import Body


def read_secret(variable: str, path: str) -> str:
    """Return the client secret in a file, as Docker and Kubernetes mount it.

    Its final newline is dropped, and a byte order mark. Errors name the variable that names the
    file: the path may be the secret itself, by mistake.
    """
    limit = 64 * 1024  # a larger file holds no secret, and is not read completely
    with open(path, "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"{variable}: a file of more than {limit} bytes is no client secret")
    secret = content.decode(errors="surrogateescape").removeprefix("\ufeff")
    return text(variable, secret.removesuffix("\n").removesuffix("\r"))


def by_environment(
    prefix: str, options: Mapping[str, Any], environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the arguments of a constructor that the environment gives; options override it.

    An empty variable counts as not set.
    """
    if not isinstance(prefix, str):
        raise TypeError(f"prefix must be a str, not {type(prefix).__name__}")
    for name in ("token_endpoint", "client_id", "client_secret"):
        if name in options:
            raise TypeError(f"{name} cannot be passed: {prefix}{name.upper()} sets it")

    def value(name: str) -> str | None:
        return (os.environ if environ is None else environ).get(prefix + name) or None

    for names in (
        ("TOKEN_ENDPOINT", "ISSUER"),
        ("CLIENT_SECRET", "CLIENT_SECRET_FILE", "CLIENT_ASSERTION_FILE"),
        ("CLIENT_AUTH", "CLIENT_ASSERTION_FILE"),
    ):
        given = [prefix + name for name in names if value(name)]
        if len(given) > 1:
            raise ValueError(f"set one of {given[0]} and {given[1]}; both are set")
    endpoint, issuer = value("TOKEN_ENDPOINT"), value("ISSUER")
    if endpoint is None and issuer is None:
        raise ValueError(f"set one of {prefix}TOKEN_ENDPOINT and {prefix}ISSUER; neither is set")
    for name in ("CLIENT_SECRET_FILE", "CLIENT_ASSERTION_FILE"):
        path = value(name)
        # Not opened: a pipe would block. Not quoted: it may be the secret itself.
        if path is not None and not os.path.isfile(path):
            raise ValueError(f"{prefix}{name} is not the path of a file")
    settings: dict[str, Any] = {}
    for name in ("scope", "resources", "audience", "body", "client_auth"):
        found = value(name.upper())
        if found is not None:
            settings[name] = found.split() if name == "resources" else found
    secret: str | Callable[[], str] | None = value("CLIENT_SECRET")
    file, assertion = value("CLIENT_SECRET_FILE"), value("CLIENT_ASSERTION_FILE")
    if file is not None:
        secret = functools.partial(read_secret, f"{prefix}CLIENT_SECRET_FILE", file)
        try:
            secret()  # here too: a file that cannot be used fails at start-up
        except OSError as error:
            problem = f"cannot be read ({type(error).__name__})"
            raise ValueError(f"{prefix}CLIENT_SECRET_FILE {problem}") from None
    if assertion is not None:
        from .identity import FileToken

        settings["client_auth"] = FederatedAssertion(FileToken(assertion))
    settings.update(options)
    grant = value("GRANT_TYPE")
    params: Any = settings.get("extra_params") or {}
    if grant is not None and isinstance(params, Mapping):  # else the constructor rejects it
        settings["extra_params"] = {"grant_type": grant, **params}
    client_id = value("CLIENT_ID")
    if client_id is None and settings.get("client_auth") != "none":
        raise ValueError(f"{prefix}CLIENT_ID is not set")
    if issuer is not None:
        return by_issuer(issuer, client_id, secret, settings)
    settings.update(token_endpoint=endpoint, client_id=client_id, client_secret=secret)
    return settings


def by_issuer(
    issuer: str,
    client_id: str | None,
    client_secret: str | Callable[[], str] | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the arguments of a constructor that leaves the rest to an issuer's metadata."""
    if "token_endpoint" in options:
        raise TypeError("token_endpoint cannot be passed: the issuer's metadata names it")
    return {
        "body": "form",
        **options,
        "token_endpoint": Issuer(issuer, choose_auth="client_auth" not in options),
        "client_id": client_id,
        "client_secret": client_secret,
    }


class RequestOptions(TypedDict, total=False):
    """The keyword arguments of :meth:`ClientCredentialsAuth.replace`."""

    scope: str | Iterable[str] | None
    resources: Iterable[str] | None
    audience: str | None
    extra_params: ExtraParams | None


class AuthOptions(RequestOptions, total=False):
    """The keyword arguments of :class:`ClientCredentialsAuth`, except ``session``."""

    extra_headers: ExtraHeaders | None
    body: Body
    client_auth: ClientAuth | ClientAuthName
    leeway: float
    renew_ahead: float | None
    default_lifetime: float | None
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
