"""The token requests of a check: which are made, in which order, and when it is enough."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Literal
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter

from ..cli_options import TIMEOUT, Client
from ..client_auth import ClientSecretBasic, ClientSecretPost
from ..exceptions import TokenConnectionError, TokenError, TokenTimeout
from ..token_endpoint import TokenEndpoint
from ..tokens import Token, TokenRequest

# Whoever says one of these is a token endpoint, whatever the status (RFC 6749 §5.2, RFC 8707 §2).
_OAUTH_ERRORS = frozenset(
    {
        "access_denied",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "invalid_target",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)


@dataclass(frozen=True)
class Way:
    """A way to ask for a token.

    :param body: of the token request.
    :param client_auth: how the client authenticates itself.
    :param encode: percent-encode id and secret for Basic, as RFC 6749 asks.
    """

    body: Literal["form", "json"]
    client_auth: Literal["client_secret_post", "client_secret_basic"]
    encode: bool = True


WAYS = tuple(
    way
    for body in ("form", "json")
    for way in (
        Way(body, "client_secret_post"),
        Way(body, "client_secret_basic"),
        Way(body, "client_secret_basic", encode=False),
    )
)


class Finding(Enum):
    """What an attempt has shown."""

    TOKEN = auto()
    REFUSED = auto()  # by a token endpoint, which said so in JSON
    NOT_READ = auto()  # something is there, which may be a token endpoint when asked otherwise
    NO_ENDPOINT = auto()
    DOWN = auto()  # or it wants to be left alone


@dataclass(frozen=True)
class Attempt:
    """A token request that was made, and what came of it.

    :param way: how it was made.
    :param scope: what was asked for.
    :param status: of the answer; None when there was none.
    :param outcome: what the answer holds.
    :param lifetime: of the token, in seconds; infinite when the server did not say.
    """

    way: Way
    scope: str | None
    status: int | None
    outcome: Token | TokenError
    lifetime: float

    @property
    def is_html(self) -> bool:
        """Is the answer a web page?"""
        return "html" in self._content_type

    @property
    def _content_type(self) -> str:
        response = self.outcome.response if isinstance(self.outcome, TokenError) else None
        # A response is false when its status is an error.
        return "" if response is None else response.headers.get("Content-Type", "").lower()

    @property
    def credentials_are_wrong(self) -> bool:
        """Was the client not recognised? Then each further attempt may lock it out."""
        error = self.outcome
        return isinstance(error, TokenError) and (
            error.error == "invalid_client" or self.status == 401
        )

    @property
    def finding(self) -> Finding:
        """What it has shown."""
        error, status = self.outcome, self.status
        if isinstance(error, Token):
            return Finding.TOKEN
        if (
            status is None
            or isinstance(error, (TokenConnectionError, TokenTimeout))
            or status in (429, 502, 503, 504)
        ):
            return Finding.DOWN
        if error.error in _OAUTH_ERRORS:
            return Finding.REFUSED
        if status in (404, 405) or (status < 400 and error.error is None):
            return Finding.NO_ENDPOINT
        says_so = error.error or error.error_description or "json" in self._content_type
        if status != 500 and (says_so or (status == 401 and not self.is_html)):
            return Finding.REFUSED
        return Finding.NOT_READ


class Attempts:
    """Makes the attempts one by one, each only when it can still show something.

    :param client: who is asking, and what for.
    :param url: of the token endpoint.
    :raises TypeError, ValueError: for what could not work.
    """

    def __init__(self, client: Client, url: str) -> None:
        self._client = client
        #: Were credentials refused so that it stopped, lest the client be locked out?
        self.gave_up: bool = False
        self._statuses: list[int] = []
        session = requests.Session()
        for scheme in ("https://", "http://"):
            session.mount(scheme, _StatusAdapter(self._statuses))
        timeout = TIMEOUT if client.timeout is None else client.timeout
        post, basic = ClientSecretPost(client.secret), ClientSecretBasic(client.secret)
        self._endpoints = {
            way: TokenEndpoint(
                url,
                client.client_id,
                post
                if way.client_auth == "client_secret_post"
                else dataclasses.replace(basic, encode=way.encode),
                body=way.body,
                timeout=timeout,
                deadline=timeout,
                retries=0,
                allow_http=client.allow_http,
                session=session,
            )
            for way in WAYS
        }
        #: Of the token endpoint, as it is asked.
        self.url: str = self._endpoints[WAYS[0]].url

    def __iter__(self) -> Iterator[Attempt]:
        for body in ("form", "json"):
            last: dict[Way, Attempt] = {}
            for way in (way for way in WAYS if way.body == body):
                if not way.encode and not self._unencoded_could_help(last):
                    continue
                for attempt in self._with_and_without_scope(way):
                    last[way] = attempt
                    yield attempt
                if last[way].finding is Finding.DOWN:
                    return
                if last[way].finding is Finding.NO_ENDPOINT:
                    break
            if all(attempt.credentials_are_wrong for attempt in last.values()):
                self.gave_up = True
                return

    def _unencoded_could_help(self, last: dict[Way, Attempt]) -> bool:
        client_id, secret = self._client.client_id, self._client.secret
        post, basic = last.values()
        return (
            post.finding is not Finding.TOKEN
            and basic.credentials_are_wrong
            and quote(client_id + secret, safe="") != client_id + secret
            and ":" not in client_id  # which could not be told from the one before the secret
        )

    def _with_and_without_scope(self, way: Way) -> Iterator[Attempt]:
        request = self._client.request
        attempt = self._ask(way, request)
        yield attempt
        a_scope_matters = attempt.finding in (Finding.TOKEN, Finding.REFUSED)
        if request.scope and a_scope_matters and not attempt.credentials_are_wrong:
            yield self._ask(way, dataclasses.replace(request, scope=None))

    def _ask(self, way: Way, request: TokenRequest) -> Attempt:
        asked_at = time.monotonic()
        outcome: Token | TokenError
        try:
            outcome = self._endpoints[way](request)
        except TokenError as error:
            return Attempt(way, request.scope, error.status_code, error, 0.0)
        lifetime = outcome.expires_monotonic - asked_at
        return Attempt(way, request.scope, self._statuses[-1], outcome, lifetime)


class _StatusAdapter(HTTPAdapter):
    """Remembers the statuses, which a token does not tell."""

    def __init__(self, statuses: list[int]) -> None:
        super().__init__()
        self._statuses = statuses

    def send(self, *args: Any, **settings: Any) -> requests.Response:
        response = super().send(*args, **settings)
        self._statuses.append(response.status_code)
        return response
