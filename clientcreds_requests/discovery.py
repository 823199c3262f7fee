"""An issuer's metadata (RFC 8414, OpenID Connect), and the token endpoint that it names."""

from __future__ import annotations

import contextlib
import time
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import requests
from urllib3 import Retry

from ._dialects import JSON, RETRY_STATUSES
from ._redaction import Redactor
from ._responses import json_value, raise_unanswered, text_of
from ._urls import origin, prepare_url, require_secure
from .adapters import HEADERS, RetriedRequest, is_transient, retry_after, send
from .client_auth import (
    ClientAuth,
    ClientSecretAuth,
    TLSClientAuth,
    client_auth_for,
    no_client_auth,
)
from .exceptions import CallableError, TokenError
from .token_endpoint import TokenEndpoint
from .tokens import Token, TokenRequest

__all__ = ["Metadata", "discover"]

#: The longest URL of a token endpoint, in characters: error messages contain it.
MAX_URL = 1000

#: How many redirects are followed, all within the issuer's origin.
MAX_REDIRECTS = 3

#: Minimum age, in seconds, of metadata that is fetched again after a failed token request.
MIN_METADATA_AGE = 300.0

# The methods with a client secret, by preference: what needs no encoding comes first.
_BY_SECRET = ("client_secret_post", "client_secret_basic", "client_secret_jwt")


class Issuer(str):
    """An issuer identifier, exactly as the server writes it, in the place of a token endpoint.

    :param choose_auth: True if the metadata may choose the method for sending the client secret.
    """

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

    @property
    def metadata_urls(self) -> tuple[str, str]:
        """Where its metadata may be: RFC 8414 §3.1, then OpenID Connect Discovery §4."""
        base = prepare_url("issuer", self).rstrip("/")
        inserted = f"/.well-known/oauth-authorization-server{urlsplit(base).path}"
        return urljoin(base, inserted), f"{base}/.well-known/openid-configuration"


class Metadata(NamedTuple):
    """What an authorization server publishes about itself (RFC 8414 §2), as far as it is used.

    :param issuer: its identifier.
    :param token_endpoint: URL of the token endpoint.
    :param client_auth_methods: the registered names of the methods it supports.
    :param mtls_token_endpoint: URL for clients with a certificate (RFC 8705 §5); None if there is
        none that can be used.
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
    :param retries: attempts after the first; or a urllib3 policy.
    :param allow_http: send the request unencrypted where the URL is plain http.
    :raises TypeError, ValueError: if an argument cannot work.
    :raises InsecureTransportError: for plain http to another machine.
    :raises TokenError: if there is no metadata that can be used.
    """
    require_secure("issuer", prepare_url("issuer", issuer), allow_http)
    endpoint = IssuerEndpoint(
        Issuer(issuer),
        None,
        no_client_auth,
        session=session,
        timeout=timeout,
        deadline=deadline,
        retries=retries,
        allow_http=allow_http,
    )
    return endpoint.find(time.monotonic() + deadline)


def _read(response: requests.Response, issuer: str, allow_http: bool) -> Metadata:
    """Return the metadata in an answer; a ValueError says why it cannot be used."""
    members = json_value(text_of(response))
    if response.status_code != 200:
        raise ValueError(f"answers with status {response.status_code}")
    if not isinstance(members, dict):
        raise ValueError("answers with no JSON object")
    named = members.get("issuer")
    if named != issuer:  # a counterfeit would be sent the client secret (RFC 8414 §3.3)
        named = Redactor().line(named) if isinstance(named, str) else None
        raise ValueError(f"names issuer {named!r}, expected {str(issuer)!r}")
    alias = None
    # Clients without a certificate do not need it.
    with contextlib.suppress(LookupError, TypeError, ValueError):
        alias = _endpoint(members["mtls_endpoint_aliases"]["token_endpoint"], issuer, allow_http)
    methods: JSON = members.get("token_endpoint_auth_methods_supported")
    if not isinstance(methods, list):
        methods = ["client_secret_basic"]  # the default of RFC 8414 §2
    return Metadata(
        str(issuer),
        _endpoint(members.get("token_endpoint"), issuer, allow_http),
        tuple(name for name in methods if isinstance(name, str)),
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


class _Found(NamedTuple):
    """The metadata, and what follows from it for one client."""

    metadata: Metadata
    endpoint: TokenEndpoint
    method: str | None  # for sending the client secret; None: as the client authentication does
    at: float = 0.0  # the moment of the last look-up, on the monotonic clock


class IssuerEndpoint(TokenEndpoint):
    """One client at the token endpoint that an issuer's metadata names.

    The metadata is fetched with the first token request, and again after a failed one if it is
    older than five minutes, since the endpoint may have moved. If that fails, the known metadata
    stays in use.
    """

    def __init__(
        self, issuer: str, client_id: str | None, client_auth: ClientAuth, **settings: Any
    ) -> None:
        super().__init__(issuer, client_id, client_auth, **settings)
        assert isinstance(issuer, Issuer)
        self._issuer = issuer
        self._settings = settings
        self._found: _Found | None = None
        self._look_again = False

    def __getstate__(self) -> dict[str, Any]:
        """Return the state of the base class, without the metadata found."""
        return {**super().__getstate__(), "_found": None}

    def asked_at(self) -> str:
        """Return the URL of the endpoint; that of the issuer until the endpoint is known."""
        return super().asked_at() if self._found is None else self._found.endpoint.asked_at()

    def ask_as(self, auth: ClientAuth, request: TokenRequest, until: float) -> Token:
        """Request a token from the endpoint that the metadata names."""
        found = self._found
        if found is None or self._look_again:
            self._look_again = False
            found = self._found = self._look_up(found, until)
        if found.method is not None and isinstance(auth, ClientSecretAuth):
            auth = client_auth_for(found.method, auth.client_secret, self._issuer)
        try:
            return found.endpoint.ask_as(auth, request, until)
        except TokenError:
            self._look_again = time.monotonic() - found.at >= MIN_METADATA_AGE
            raise

    def _look_up(self, known: _Found | None, until: float) -> _Found:
        """Fetch the metadata; if that fails, keep what is known."""
        try:
            metadata = self.find(until)
            # With unchanged metadata the endpoint stays: it has learned which body it reads.
            if known is None or metadata != known.metadata:
                known = self._follow(metadata)
        except TokenError as error:
            if known is None:
                raise
            self._log("metadata_failed", failure=error)
        return known._replace(at=time.monotonic())

    def _follow(self, metadata: Metadata) -> _Found:
        """Return the endpoint that the metadata names for this client, and how to ask there."""
        url, method, listed = metadata.token_endpoint, None, metadata.client_auth_methods
        if isinstance(self.client_auth, TLSClientAuth) or getattr(self.session, "cert", None):
            url = metadata.mtls_token_endpoint or url
        if self._issuer.choose_auth and isinstance(self.client_auth, ClientSecretAuth):
            method = next((name for name in _BY_SECRET if name in listed), None)
            if method is None:
                shown = Redactor().line(", ".join(listed)) or "none"
                raise TokenError(
                    f"no token of issuer {self._issuer}: no method that it lists ({shown}) works "
                    "with a client_secret; pass another client_auth"
                )
        endpoint = TokenEndpoint(url, self.client_id, self.client_auth, **self._settings)
        return _Found(metadata, endpoint, method)

    def find(self, until: float) -> Metadata:
        """Return the metadata of the issuer; give up at ``until``."""
        failure, problems = f"no metadata of issuer {self._issuer}: ", list[str]()
        answers: list[requests.Response] = []
        for url in self._issuer.metadata_urls:
            try:
                answers.append(self._get(url, until))
                return _read(answers[-1], self._issuer, self.allow_http)
            except CallableError:  # an insecure proxy
                raise
            except Exception as error:
                if is_transient(error):  # the other URL is on the same server
                    request = requests.Request("GET", url).prepare()
                    what = failure + "; ".join([*problems, url])
                    raise_unanswered(what, request, error, Redactor())
                problems.append(f"{url} {Redactor().line(str(error))}")
        # A temporary failure comes first: the same request may succeed later.
        answers.sort(key=lambda answer: answer.status_code not in RETRY_STATUSES)
        status = answers[0].status_code if answers else None
        raise TokenError(
            f"{failure}{'; '.join(problems)}; check the issuer, or pass the token endpoint",
            status_code=status,
            retryable=status in RETRY_STATUSES,
            retry_after=retry_after(answers[0]) if answers else None,
        )

    def _get(self, url: str, until: float) -> requests.Response:
        """Return the answer, after redirects within the origin."""
        start, settings = origin(url), (self.timeout, self.retries, self.cert, self.allow_http)
        for _ in range(MAX_REDIRECTS + 1):
            request = RetriedRequest("GET", url, lambda: (b"", HEADERS), until)
            answer = send(request, self.session, *settings)
            if not answer.is_redirect:
                return answer
            where = None
            with contextlib.suppress(ValueError):  # it is no URL
                url = prepare_url("Location", urljoin(url, answer.headers["Location"]))
                where = origin(url)
            if where != start:
                found = where or "no URL"
                raise ValueError(
                    f"redirects to {found}, and only those within its origin are followed"
                )
        raise ValueError(f"redirects more than {MAX_REDIRECTS} times")
