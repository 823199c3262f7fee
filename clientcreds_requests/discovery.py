"""Finding the token endpoint: authorization server metadata (RFC 8414, OpenID Connect)."""

from __future__ import annotations

import contextlib
import time
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from urllib3 import Retry

from .adapters import RETRY_STATUSES, RetriedRequest, is_transient, retry_after
from .arguments import Cert, attempt_timeout, retry_count, seconds
from .exceptions import TokenError
from .failures import unanswered
from .origins import origin, prepare_url, require_secure
from .redaction import Redactor
from .token_response import JSON, json_object
from .transport import FIELDS, send
from .values import Value, value_class

#: The longest URL of a token endpoint, in characters: messages name it.
MAX_URL = 1000

#: How many redirects are followed, all within the issuer's origin.
MAX_REDIRECTS = 3


@value_class(frozen=True)
class Issuer(Value):
    """An authorization server, known by its issuer identifier alone.

    :param identifier: a URL, exactly as the server writes it.
    :param advertised_auth: may its metadata choose among the methods with a client secret?
    :raises TypeError, ValueError: when it is no issuer identifier (RFC 8414 §2).
    """

    identifier: str
    advertised_auth: bool

    def __init__(self, identifier: str, advertised_auth: bool = False) -> None:
        self._set(identifier=identifier, advertised_auth=advertised_auth)
        self.__post_init__()

    def __post_init__(self) -> None:
        prepare_url("issuer", self.identifier)
        if "?" in self.identifier:
            raise ValueError("issuer may not have a query (RFC 8414 §2)")
        if "/.well-known/" in self.identifier:
            raise ValueError("issuer must be the issuer's URL alone, without /.well-known/...")

    @property
    def metadata_urls(self) -> tuple[str, str]:
        """Where its metadata may be: RFC 8414 §3.1, then OpenID Connect Discovery §4."""
        base = prepare_url("issuer", self.identifier).rstrip("/")
        path = urlsplit(base).path
        host = base.removesuffix(path)
        return (
            f"{host}/.well-known/oauth-authorization-server{path}",
            f"{base}/.well-known/openid-configuration",
        )


@value_class(frozen=True)
class Metadata(Value):
    """What an authorization server says of itself (RFC 8414 §2), as far as this grant goes.

    :param issuer: its identifier.
    :param token_endpoint: where tokens are asked for.
    :param client_auth_methods: the registered names of those it supports.
    :param mtls_token_endpoint: where clients with a certificate ask (RFC 8705 §5); None also when
        what stands there cannot be used.
    """

    issuer: str
    token_endpoint: str
    client_auth_methods: tuple[str, ...]
    mtls_token_endpoint: str | None


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
    require_secure("issuer", prepare_url("issuer", issuer), allow_http)
    ways = Ways(session, attempt_timeout(timeout), retry_count(retries), None, allow_http)
    found = find(known, ways, time.monotonic() + seconds("deadline", deadline))
    if isinstance(found, TokenError):
        raise found
    return found


@value_class(frozen=True)
class Ways(Value):
    """How metadata are asked for.

    :param session: whose TLS, proxy and adapter settings are used.
    :param timeout: (connect, read) seconds for one attempt.
    :param retries: after the first attempt; or a urllib3 policy.
    :param cert: the client certificate; None: that of the session.
    :param allow_http: may the request travel in the clear?
    """

    session: requests.Session | None
    timeout: tuple[float, float]
    retries: int | Retry
    cert: Cert
    allow_http: bool


def find(issuer: Issuer, ways: Ways, until: float) -> Metadata | TokenError:
    """The metadata of an issuer, or why there is none.

    :param until: the moment, on the monotonic clock, by which it must be there.
    """
    failure = f"no metadata of issuer {issuer.identifier}: "
    redact = Redactor()
    problems: list[str] = []
    answers: list[requests.Response] = []
    for url in issuer.metadata_urls:
        try:
            answers.append(_get(url, ways, until))
            return _read(answers[-1], issuer.identifier, ways.allow_http)
        except Exception as error:
            if is_transient(error):  # the other place is of the same server
                what = failure + "; ".join([*problems, url])
                return unanswered(what, requests.Request("GET", url).prepare(), error, redact)
            problems.append(f"{url} {redact.line(str(error))}")
    # The one that may be better later says more than one that will stay as it is.
    answers.sort(key=lambda answer: answer.status_code not in RETRY_STATUSES)
    status = answers[0].status_code if answers else None
    return TokenError(
        f"{failure}{'; '.join(problems)}; check the issuer, or pass the token endpoint",
        status_code=status,
        retryable=status in RETRY_STATUSES,
        retry_after=retry_after(answers[0]) if answers else None,
    )


def _get(url: str, ways: Ways, until: float) -> requests.Response:
    """The answer, after redirects within the origin.

    :raises ValueError: when it redirects to another, or without end.
    """
    start = origin(url)
    for _ in range(MAX_REDIRECTS + 1):
        request = RetriedRequest("GET", url, lambda: (b"", FIELDS), until)
        response = send(request, ways.session, ways.timeout, ways.retries, ways.cert)
        if not 300 <= response.status_code < 400:
            return response
        try:
            target = urljoin(url, response.headers.get("Location", ""))
            url = prepare_url("the redirect's target", target)
            where = origin(url)
        except ValueError:  # not even a URL
            where = None
        if where is None or where != start:
            raise ValueError(
                f"redirects to {where or 'nowhere'}, and only its own origin is followed"
            )
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
    aliases: JSON = members.get("mtls_endpoint_aliases")
    alias = None
    if isinstance(aliases, dict):
        with contextlib.suppress(ValueError):  # no harm to those who have no certificate
            alias = _endpoint(aliases.get("token_endpoint"), issuer, allow_http)
    return Metadata(
        issuer,
        _endpoint(members.get("token_endpoint"), issuer, allow_http),
        _methods(members.get("token_endpoint_auth_methods_supported")),
        alias,
    )


def _endpoint(url: Any, issuer: str, allow_http: bool) -> str:
    try:
        prepared = prepare_url("its token_endpoint", url)
        require_secure("its token_endpoint", prepared, allow_http)
    except TypeError:
        raise ValueError("names no token_endpoint") from None
    if len(prepared) > MAX_URL:
        raise ValueError(f"names a token_endpoint of more than {MAX_URL} characters")
    if issuer.lower().startswith("https:") and not prepared.startswith("https:"):
        raise ValueError("names a token_endpoint without https")
    return prepared


def _methods(names: JSON) -> tuple[str, ...]:
    if not isinstance(names, list):
        return ("client_secret_basic",)  # the default that RFC 8414 §2 gives
    return tuple(name for name in names if isinstance(name, str))
