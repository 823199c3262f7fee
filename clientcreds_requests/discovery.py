"""An issuer's metadata (RFC 8414, OpenID Connect), and the token endpoint that it names."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import requests
from urllib3 import Retry

from ._checks import Cert, attempt_timeout, retry_count, seconds
from ._logs import log
from ._redaction import Redactor
from ._responses import JSON, json_object, raise_unanswered
from ._urls import origin, prepare_url, require_secure
from .adapters import HEADERS, RETRY_STATUSES, RetriedRequest, is_transient, retry_after, send
from .client_auth import (
    ClientAuth,
    ClientSecretAuth,
    ClientSecretBasic,
    ClientSecretJWT,
    ClientSecretPost,
    TLSClientAuth,
)
from .exceptions import CallableError, TokenError
from .token_endpoint import TokenEndpoint, certificate
from .tokens import Token, TokenRequest

logger: logging.Logger = logging.getLogger(__name__)

#: The longest URL of a token endpoint, in characters: messages name it.
MAX_URL = 1000

#: How many redirects are followed, all within the issuer's origin.
MAX_REDIRECTS = 3

#: Minimum age, in seconds, of metadata that is looked up again after a failed token request.
MIN_METADATA_AGE = 300.0


class Issuer(str):
    """An issuer identifier, in the place of a token endpoint.

    :param identifier: a URL, exactly as the server writes it.
    :param choose_auth: True if the metadata may choose among the methods with a client secret.
    :raises TypeError, ValueError: if it is no issuer identifier (RFC 8414 §2).
    """

    __slots__ = ("choose_auth",)

    choose_auth: bool

    def __new__(cls, identifier: str, choose_auth: bool = False) -> Issuer:
        """Check the identifier."""
        prepare_url("issuer", identifier)
        if "?" in identifier:
            raise ValueError("issuer may not have a query (RFC 8414 §2)")
        if "/.well-known/" in identifier:
            raise ValueError("issuer must be the issuer's URL alone, without /.well-known/...")
        made = super().__new__(cls, identifier)
        made.choose_auth = choose_auth
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return Issuer, (str(self), self.choose_auth)

    @property
    def metadata_urls(self) -> tuple[str, str]:
        """Where its metadata may be: RFC 8414 §3.1, then OpenID Connect Discovery §4."""
        base = prepare_url("issuer", self).rstrip("/")
        path = urlsplit(base).path
        host = base.removesuffix(path)
        return (
            f"{host}/.well-known/oauth-authorization-server{path}",
            f"{base}/.well-known/openid-configuration",
        )


class Metadata(NamedTuple):
    """What an authorization server publishes about itself (RFC 8414 §2), as far as it is used.

    :param issuer: its identifier.
    :param token_endpoint: where tokens are asked for.
    :param client_auth_methods: the registered names of those it supports.
    :param mtls_token_endpoint: where clients with a certificate ask (RFC 8705 §5); None also if
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
    """Return an authorization server's metadata.

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
    require_secure("issuer", prepare_url("issuer", issuer), allow_http)
    ways = Ways(session, attempt_timeout(timeout), retry_count(retries), None, allow_http)
    return find(Issuer(issuer), ways, time.monotonic() + seconds("deadline", deadline))


class Ways(NamedTuple):
    """How metadata is asked for.

    :param session: whose TLS, proxy and adapter settings are used.
    :param timeout: (connect, read) seconds for one attempt.
    :param retries: after the first attempt; or a urllib3 policy.
    :param cert: the client certificate; None: that of the session.
    :param allow_http: let the request travel in the clear.
    """

    session: requests.Session | None
    timeout: tuple[float, float]
    retries: int | Retry
    cert: Cert
    allow_http: bool


def find(issuer: Issuer, ways: Ways, until: float) -> Metadata:
    """Return the metadata of an issuer.

    :param until: the moment, on the monotonic clock, by which it must be there.
    :raises TokenError: if there is none that can be used.
    """
    failure = f"no metadata of issuer {issuer}: "
    problems: list[str] = []
    answers: list[requests.Response] = []
    for url in issuer.metadata_urls:
        try:
            answers.append(_get(url, ways, until))
            return _read(answers[-1], str(issuer), ways.allow_http)
        except CallableError:  # an insecure proxy
            raise
        except Exception as error:
            if is_transient(error):  # the other place is of the same server
                what = failure + "; ".join([*problems, url])
                request = requests.Request("GET", url).prepare()
                raise_unanswered(what, request, error, Redactor())
            problems.append(f"{url} {Redactor().line(str(error))}")
    # The one that may be better later says more than one that will stay as it is.
    answers.sort(key=lambda answer: answer.status_code not in RETRY_STATUSES)
    status = answers[0].status_code if answers else None
    raise TokenError(
        f"{failure}{'; '.join(problems)}; check the issuer, or pass the token endpoint",
        status_code=status,
        retryable=status in RETRY_STATUSES,
        retry_after=retry_after(answers[0]) if answers else None,
    )


def _get(url: str, ways: Ways, until: float) -> requests.Response:
    """Return the answer, after redirects within the origin.

    :raises ValueError: if it redirects to another, or without end.
    """
    start = origin(url)
    for _ in range(MAX_REDIRECTS + 1):
        request = RetriedRequest("GET", url, lambda: (b"", HEADERS), until)
        answer = send(request, ways.session, ways.timeout, ways.retries, ways.cert, ways.allow_http)
        if not 300 <= answer.status_code < 400:
            return answer
        where = None
        with contextlib.suppress(ValueError):  # not even a URL
            target = urljoin(url, answer.headers.get("Location", ""))
            url = prepare_url("the redirect's target", target)
            where = origin(url)
        if where is None or where != start:
            where = where or "no URL"
            raise ValueError(f"redirects to {where}, and only those within its origin are followed")
    raise ValueError(f"redirects more than {MAX_REDIRECTS} times")


def _read(response: requests.Response, issuer: str, allow_http: bool) -> Metadata:
    """Return the metadata in an answer.

    :raises ValueError: if it is not the issuer's, or cannot be used.
    """
    members = json_object(response.content)
    if response.status_code != 200:
        raise ValueError(f"answers with status {response.status_code}")
    if members is None:
        raise ValueError("answers with no JSON object")
    said = members.get("issuer")
    if said != issuer:  # it may be a counterfeit, to which secrets would go (RFC 8414 §3.3)
        said = Redactor().line(said) if isinstance(said, str) else None
        raise ValueError(f"names issuer {said!r}, expected {issuer!r}")
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
    if not isinstance(url, str):
        raise ValueError("names no token_endpoint")
    prepared = prepare_url("its token_endpoint", url)
    require_secure("its token_endpoint", prepared, allow_http)
    if len(prepared) > MAX_URL:
        raise ValueError(f"names a token_endpoint of more than {MAX_URL} characters")
    if issuer.lower().startswith("https:") and not prepared.startswith("https:"):
        raise ValueError("names a token_endpoint without https")
    return prepared


def _methods(names: JSON) -> tuple[str, ...]:
    if not isinstance(names, list):
        return ("client_secret_basic",)  # the default that RFC 8414 §2 gives
    return tuple(name for name in names if isinstance(name, str))


class IssuerEndpoint(TokenEndpoint):
    """One client at the token endpoint that an issuer's metadata names.

    The metadata is looked up with the first token request, and again after one that failed if it
    is older than five minutes: the endpoint may have moved. What is known serves until then.

    :param issuer: the authorization server.
    :param client_id: who is asking.
    :param client_auth: how it proves that; with a client secret, unless the issuer says
        otherwise, by the method that the metadata lists.
    :param settings: as for :class:`TokenEndpoint`.
    """

    def __init__(
        self, issuer: Issuer, client_id: str, client_auth: ClientAuth, **settings: Any
    ) -> None:
        super().__init__(str(issuer), client_id, client_auth, **settings)
        self._issuer = issuer
        self._settings = settings
        self._found: _Found | None = None
        self._look_again = False

    def __getstate__(self) -> dict[str, Any]:
        """As its base has it, and without what was found."""
        return {**super().__getstate__(), "_found": None}

    def asked_at(self) -> str:
        """Return the URL that is asked: the issuer's, until its endpoint is known."""
        return super().asked_at() if self._found is None else self._found.endpoint.asked_at()

    def ask_as(self, auth: ClientAuth, request: TokenRequest, until: float) -> Token:
        """Ask the endpoint that is found for a token.

        :raises TokenError: if there is none.
        """
        found = self._found
        if found is None or self._look_again:
            found = self._look_up(until)
        if found.method is not None and isinstance(auth, ClientSecretAuth):
            auth = _by_secret(found.method, auth, self._issuer)
        try:
            return found.endpoint.ask_as(auth, request, until)
        except TokenError:
            self._look_again = time.monotonic() - found.at >= MIN_METADATA_AGE
            raise

    def _look_up(self, until: float) -> _Found:
        ways = Ways(
            self.session, self.timeout, self.retries, certificate(self.client_auth), self.allow_http
        )
        known, self._look_again = self._found, False
        try:
            metadata = find(self._issuer, ways, until)
            # An endpoint has learned which body it reads: it is not replaced by its like.
            found = known
            if found is None or found.metadata != metadata:
                found = self._found_in(metadata)
        except TokenError as error:
            if known is None:
                raise
            found = known
            where, who = self.asked_at(), self.client_id
            log(logger, "metadata_failed", failure=error, endpoint=where, client_id=who)
        self._found = found._replace(at=time.monotonic())
        return self._found

    def _found_in(self, metadata: Metadata) -> _Found:
        url, has_cert = metadata.token_endpoint, self.session is not None and self.session.cert
        if has_cert or isinstance(self.client_auth, TLSClientAuth):
            url = metadata.mtls_token_endpoint or url
        method = self._method(metadata.client_auth_methods)
        endpoint = TokenEndpoint(url, self.client_id, self.client_auth, **self._settings)
        return _Found(metadata, endpoint, method)

    def _method(self, listed: tuple[str, ...]) -> str | None:
        """Return by which method a client secret is sent; None: as the client authentication says.

        :raises TokenError: if the issuer lists none.
        """
        if not self._issuer.choose_auth or not isinstance(self.client_auth, ClientSecretAuth):
            return None
        for name in _BY_SECRET:
            if name in listed:
                return name
        shown = Redactor().line(", ".join(listed)) or "none"
        raise TokenError(
            f"no token of issuer {self._issuer}: no method that it lists ({shown}) works with "
            "a client_secret; pass another client_auth"
        )


class _Found(NamedTuple):
    """What was found at a moment on the monotonic clock."""

    metadata: Metadata
    endpoint: TokenEndpoint
    method: str | None
    at: float = 0.0


# What needs no encoding comes first.
_BY_SECRET = ("client_secret_post", "client_secret_basic", "client_secret_jwt")


def _by_secret(method: str, auth: ClientSecretAuth, issuer: str) -> ClientAuth:
    if method == "client_secret_jwt":
        return ClientSecretJWT(auth.client_secret, issuer)
    kind = ClientSecretPost if method == "client_secret_post" else ClientSecretBasic
    return kind(auth.client_secret)
