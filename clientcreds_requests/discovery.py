"""Finding the token endpoint: authorization server metadata (RFC 8414, OpenID Connect)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from urllib3 import Retry

from .adapters import RETRY_STATUSES, RetriedRequest, retry_after
from .arguments import attempt_timeout, seconds
from .exceptions import TokenError
from .failures import unanswered
from .origins import origin, prepare_url, require_secure
from .redaction import Redactor
from .token_response import json_object
from .transport import FIELDS, send

#: How many redirects are followed, all within the issuer's origin.
MAX_REDIRECTS = 3


@dataclass(frozen=True)
class Issuer:
    """An authorization server, known by its issuer identifier alone.

    :param identifier: a URL, exactly as the server writes it.
    :param advertised_auth: may its metadata choose among the methods with a client secret?
    :raises TypeError, ValueError: when it is no issuer identifier (RFC 8414 §2).
    """

    identifier: str
    advertised_auth: bool = False

    def __post_init__(self) -> None:
        prepare_url("issuer", self.identifier)
        if "?" in self.identifier:
            raise ValueError("issuer may not have a query (RFC 8414 §2)")
        if "/.well-known/" in self.identifier:
            raise ValueError("issuer must be the issuer's URL alone, without /.well-known/...")

    @property
    def metadata_urls(self) -> tuple[str, str]:
        """Where its metadata may be: RFC 8414 §3.1, then OpenID Connect Discovery §4."""
        base = self.identifier.rstrip("/")
        path = urlsplit(base).path
        host = base.removesuffix(path)
        return (
            f"{host}/.well-known/oauth-authorization-server{path}",
            f"{base}/.well-known/openid-configuration",
        )


@dataclass(frozen=True)
class Metadata:
    """What an authorization server says of itself (RFC 8414 §2), as far as this grant goes.

    :param issuer: its identifier.
    :param token_endpoint: where tokens are asked for.
    :param client_auth_methods: the registered names of those it supports.
    :param mtls_token_endpoint: where clients with a certificate ask (RFC 8705 §5).
    """

    issuer: str
    token_endpoint: str
    client_auth_methods: tuple[str, ...]
    mtls_token_endpoint: str | None = None


def discover(
    issuer: str,
    *,
    session: requests.Session | None = None,
    timeout: float | tuple[float, float] = 10.0,
    deadline: float = 30.0,
    retries: int | Retry = 3,
    allow_http: bool = False,
) -> Metadata:
    """Ask an authorization server for its metadata.

    :param issuer: its issuer identifier, a URL.
    :param session: whose TLS, proxy and adapter settings are used.
    :param timeout: seconds for one attempt, or a (connect, read) pair.
    :param deadline: seconds for all attempts together.
    :param retries: after the first attempt; or a urllib3 policy.
    :param allow_http: let the request travel in the clear.
    :raises TypeError, ValueError: for arguments that could not work.
    :raises InsecureTransportError: for plain http to another machine.
    :raises TokenError: when there is none that can be used.
    """
    known = Issuer(issuer)
    require_secure("issuer", issuer, allow_http)
    until = time.monotonic() + seconds("deadline", deadline)
    found = find(known, session, attempt_timeout(timeout), retries, until, allow_http)
    if isinstance(found, TokenError):
        raise found
    return found


def find(
    issuer: Issuer,
    session: requests.Session | None,
    timeout: tuple[float, float],
    retries: int | Retry,
    until: float,
    allow_http: bool,
) -> Metadata | TokenError:
    """The metadata of an issuer, or why there is none.

    :param until: the moment, on the monotonic clock, by which it must be there.
    """
    failure = f"no metadata of issuer {issuer.identifier}"
    problems: list[str] = []
    response = None
    for url in issuer.metadata_urls:
        try:
            response = _get(url, session, timeout, retries, until)
            return _read(response, issuer.identifier, allow_http)
        except ValueError as error:
            problems.append(f"{url} {error}")
        except Exception as error:
            bare = requests.Request("GET", url).prepare()
            return unanswered(f"{failure}: {url}", bare, error, Redactor())
    status = response.status_code if response is not None else None
    return TokenError(
        f"{failure}: {'; '.join(problems)}; check the issuer, or pass the token endpoint",
        status_code=status,
        retryable=status in RETRY_STATUSES,
        retry_after=retry_after(response) if response is not None else None,
    )


def _get(
    url: str,
    session: requests.Session | None,
    timeout: tuple[float, float],
    retries: int | Retry,
    until: float,
) -> requests.Response:
    """The answer, after redirects within the origin.

    :raises ValueError: when it redirects to another, or without end.
    """
    start = origin(url)
    for _ in range(MAX_REDIRECTS + 1):
        prepared = prepare_url("the metadata's URL", url)
        request = RetriedRequest("GET", prepared, lambda: (b"", FIELDS), until)
        response = send(request, session, timeout, retries)
        if not 300 <= response.status_code < 400:
            return response
        try:
            url = urljoin(url, response.headers.get("Location", ""))
            target = origin(url)
        except ValueError:  # not even a URL
            target = None
        if target != start:
            where = Redactor().line(target or "nowhere")
            raise ValueError(f"redirects to {where}, and only its own origin is followed")
    raise ValueError("redirects without end")


def _read(response: requests.Response, issuer: str, allow_http: bool) -> Metadata:
    """What is said in an answer.

    :raises ValueError: when it is not what the issuer says, or no use.
    """
    members = json_object(response.content)
    if response.status_code != 200:
        raise ValueError(f"answers with status {response.status_code}")
    if members is None:
        raise ValueError("answers with no JSON object")
    said = members.get("issuer")
    if said != issuer:  # it may be a counterfeit, to which secrets would go (RFC 8414 §3.3)
        shown = Redactor().line(said) if isinstance(said, str) else None
        raise ValueError(f"speaks for issuer {shown!r}, which is not the same")
    aliases = members.get("mtls_endpoint_aliases")
    alias = aliases.get("token_endpoint") if isinstance(aliases, Mapping) else None
    return Metadata(
        issuer,
        _endpoint(members.get("token_endpoint"), issuer, allow_http),
        _methods(members.get("token_endpoint_auth_methods_supported")),
        None if alias is None else _endpoint(alias, issuer, allow_http),
    )


def _endpoint(url: Any, issuer: str, allow_http: bool) -> str:
    try:
        prepared = prepare_url("its token_endpoint", url)
        require_secure("its token_endpoint", prepared, allow_http)
    except TypeError:
        raise ValueError("names no token_endpoint") from None
    if issuer.startswith("https:") and not prepared.startswith("https:"):
        raise ValueError("names a token_endpoint without https")
    return prepared


def _methods(names: Any) -> tuple[str, ...]:
    if not isinstance(names, list):
        return ("client_secret_basic",)  # the default that RFC 8414 §2 gives
    return tuple(name for name in names if isinstance(name, str))
