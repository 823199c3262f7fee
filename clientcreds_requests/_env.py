"""The arguments of the constructors: their types, and where else they come from."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from ._checks import check_secret
from ._redaction import raise_apart
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

# In bytes. A larger file holds no secret, and is not read completely.
_LONGEST_SECRET = 64 * 1024


def read_secret(path: str) -> str:
    """Return the client secret in a file, as Docker and Kubernetes mount it.

    Its final newline is dropped, and a byte order mark.

    :raises OSError, UnicodeError: if it cannot be read.
    :raises ValueError: if it is too large to be a secret.
    """
    with open(path, "rb") as file:
        content = file.read(_LONGEST_SECRET + 1)
    if len(content) > _LONGEST_SECRET:
        raise ValueError(f"a file of more than {_LONGEST_SECRET} bytes is no client secret")
    return content.decode().removeprefix("\ufeff").removesuffix("\n").removesuffix("\r")


def by_environment(prefix: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a constructor that the environment gives.

    :param prefix: how the names of the variables begin. An empty variable counts as not set.
    :param options: keyword arguments; they override the environment.
    :raises TypeError, ValueError: if something is missing or set twice; the message names it.
    """
    if not isinstance(prefix, str):
        raise TypeError(f"prefix must be a str, not {type(prefix).__name__}")
    for name in ("token_endpoint", "client_id", "client_secret"):
        if name in options:
            raise TypeError(f"{name} cannot be passed: {prefix}{name.upper()} sets it")

    def value(name: str) -> str | None:
        return os.environ.get(prefix + name) or None

    settings = dict(options)
    for name in ("scope", "resources", "audience", "body", "client_auth"):
        found = value(name.upper())
        if found is not None:
            settings.setdefault(name, found.split() if name == "resources" else found)
    issuer, endpoint, client_id = value("ISSUER"), value("TOKEN_ENDPOINT"), value("CLIENT_ID")
    if (issuer is None) == (endpoint is None):
        found = "neither is" if issuer is None else "both are"
        raise ValueError(f"set one of {prefix}TOKEN_ENDPOINT and {prefix}ISSUER; {found} set")
    if client_id is None and settings.get("client_auth") != "none":
        raise ValueError(f"{prefix}CLIENT_ID is not set")
    for other, name in (
        ("CLIENT_SECRET", "CLIENT_SECRET_FILE"),
        ("CLIENT_SECRET", "CLIENT_ASSERTION_FILE"),
        ("CLIENT_SECRET_FILE", "CLIENT_ASSERTION_FILE"),
        ("CLIENT_AUTH", "CLIENT_ASSERTION_FILE"),
    ):
        if value(other) is not None and value(name) is not None:
            raise ValueError(f"set one of {prefix}{other} and {prefix}{name}")
    secret: str | Callable[[], str] | None = value("CLIENT_SECRET")
    path, assertion, grant = map(
        value, ("CLIENT_SECRET_FILE", "CLIENT_ASSERTION_FILE", "GRANT_TYPE")
    )
    if path is not None:
        _check_secret_file(prefix, path)
        secret = functools.partial(read_secret, path)  # for every token request
    if assertion is not None:
        from .identity import FileToken

        if not os.path.isfile(assertion):  # not quoted: it may be the assertion itself
            raise ValueError(f"{prefix}CLIENT_ASSERTION_FILE is not the path of a file")
        settings.setdefault("client_auth", FederatedAssertion(FileToken(assertion)))
    params: Any = settings.get("extra_params") or {}
    if grant is not None and isinstance(params, Mapping):  # else the constructor rejects it
        settings["extra_params"] = {"grant_type": grant, **params}
    if issuer is not None:
        return by_issuer(issuer, client_id, secret, settings)
    return {
        **settings,
        "token_endpoint": endpoint,
        "client_id": client_id,
        "client_secret": secret,
    }


def _check_secret_file(prefix: str, path: str) -> None:
    name = f"{prefix}CLIENT_SECRET_FILE"
    # The path is not quoted: it may be the secret itself, by mistake.
    if not os.path.isfile(path):  # reading a pipe would block the constructor
        raise ValueError(
            f"{name} is not the path of a file; pass the path of the file that holds the secret, "
            f"or set {prefix}CLIENT_SECRET"
        )
    try:
        content = read_secret(path)
    except (OSError, UnicodeError) as error:  # which may quote the secret
        problem = f"it cannot be read ({type(error).__name__})"
        raise_apart(ValueError(f"{name}: {problem}"), None)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if not content:
        raise ValueError(f"{name}: the file is empty")
    check_secret(f"the content of {name}", content)


def by_issuer(
    issuer: str,
    client_id: str | None,
    client_secret: str | Callable[[], str] | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the arguments of a constructor that leaves the rest to an issuer's metadata.

    :raises TypeError, ValueError: if an argument cannot work.
    """
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
