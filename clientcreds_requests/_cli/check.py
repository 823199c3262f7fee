"""What a token endpoint accepts: found out by asking, shown as a table and as Python to paste."""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter

from .._dialects import VAGUE
from .._redaction import Redactor
from .._urls import is_secure, without_query
from ..adapters import RetryAdapter
from ..client_auth import ClientSecretBasic, ClientSecretPost
from ..discovery import Issuer, discover
from ..exceptions import TokenConnectionError, TokenError, TokenTimeout
from ..token_endpoint import TokenEndpoint
from ..tokens import Token, TokenRequest
from .screen import Screen
from .settings import DEADLINE, TIMEOUT, in_options

POST, BASIC = "client_secret_post", "client_secret_basic"

# What says one of these is a token endpoint, whatever the status (RFC 6749 §5.2, RFC 8707 §2).
_OAUTH_ERRORS = {
    *("access_denied", "invalid_client", "invalid_grant", "invalid_request", "invalid_scope"),
    *("invalid_target", "unauthorized_client", "unsupported_grant_type"),
}
_SECRET = 'os.environ["CLIENT_SECRET"]'


class Way(NamedTuple):
    """A way to ask for a token; ``encode`` is that of :class:`ClientSecretBasic`."""

    body: Literal["form", "json"]
    client_auth: str = POST
    encode: bool = True


class Attempt(NamedTuple):
    """A token request that was made, and what came of it."""

    way: Way
    scope: str | None
    status: int | None
    token: Token | None = None
    lifetime: float = 0.0  # of the token, in seconds; infinite if the server did not say
    error: TokenError | None = None

    @property
    def content_type(self) -> str:
        """The media type of an answer without a token."""
        response = None if self.error is None else self.error.response
        # A response is false if its status is an error.
        return "" if response is None else response.headers.get("Content-Type", "").lower()

    @property
    def credentials_are_wrong(self) -> bool:
        """True if the client was not recognised: each further attempt may lock it out."""
        error = self.error
        return error is not None and (error.error == "invalid_client" or self.status == 401)

    @property
    def finding(self) -> Literal["token", "rejected", "not read", "no endpoint", "down"]:
        """What it has shown; one that asks for a pause counts as down."""
        error, status = self.error, self.status
        if error is None:
            return "token"
        broken_off = isinstance(error, (TokenConnectionError, TokenTimeout))
        if status is None or broken_off or (error.retryable and status != 500):
            return "down"
        if error.error in _OAUTH_ERRORS:
            return "rejected"
        if status in (404, 405) or (status < 400 and error.error is None):
            return "no endpoint"
        words = error.error_description and "text/plain" not in self.content_type
        says_so = error.error or "json" in self.content_type or words
        if status != 500 and (says_so or (status == 401 and "html" not in self.content_type)):
            return "rejected"
        return "not read"


class Check:
    """A check of the client that an auth with these arguments has, reported on a screen."""

    def __init__(self, arguments: Mapping[str, Any], screen: Screen) -> None:
        self._arguments, self._say, self._screen = arguments, screen.say, screen
        self._url, self._id = arguments["token_endpoint"], arguments["client_id"]
        self._method: Any = arguments.get("client_auth")  # with an assertion, if there is one
        secret = arguments["client_secret"]
        self._secret = str(secret() if callable(secret) else secret)
        self._request = TokenRequest(*map(arguments.get, TokenRequest.__match_args__))
        self._settings = {name: arguments[name] for name in ("timeout", "deadline", "allow_http")}
        self._made, self._gave_up = list[Attempt](), False
        # A server may repeat the secret in forms in which it was not sent.
        pairs = (f"{self._id}:{self._secret}", f"{quote(self._id, '')}:{quote(self._secret, '')}")
        basic = [base64.b64encode(pair.encode()).decode() for pair in pairs]
        self._redact = Redactor(self._secret, *basic)
        # A colon in the id could not be told from the one that follows it.
        self._must_encode = pairs[0] == pairs[1] or ":" in self._id

    def run(self) -> int:
        """Make the token requests, report, and return the exit status."""
        own_way = self._discover(self._url) if isinstance(self._url, Issuer) else None
        self._row("body", "client_auth", "scope", "status", "answer")
        self._try_all()
        self._say()
        # False sorts first: with the scope asked for, by the issuer's own method, with encoding.
        works = min(
            (attempt for attempt in self._made if attempt.token is not None),
            key=lambda a: (a.scope != self._request.scope, a.way != own_way, not a.way.encode),
            default=None,
        )
        if works is None:
            return self._say_why_not()
        if self._made[-1].finding == "down":
            why = self._why(self._made[-1])
            self._screen.paragraph(f"Stopped: {why}. What was not tried may work too.")
            self._say()
        names = "ClientCredentialsAuth" + ("" if works.way.encode else ", ClientSecretBasic")
        if self._method:
            names += ", FederatedAssertion\nfrom clientcreds_requests.identity import FileToken"
        self._say(f"import os\n\nfrom clientcreds_requests import {names}\n")
        by_issuer = works.way == own_way
        self._say(f"auth = ClientCredentialsAuth{'.from_issuer' if by_issuer else ''}(")
        for line in self._arguments_for(works, by_issuer):
            self._say(f"    {line}")
        self._say(")")
        return 0

    def _discover(self, issuer: Issuer) -> Way | None:
        """Show the metadata, and return how ``from_issuer`` would ask."""
        metadata = discover(issuer, **self._settings)
        self._url, methods = metadata.token_endpoint, metadata.client_auth_methods
        line = Redactor().line
        self._screen.paragraph(line(without_query(self._url)), "token endpoint  ")
        self._screen.paragraph(line(", ".join(methods)) or "none named", "client_auth     ")
        self._say()
        return next((Way("form", method) for method in (POST, BASIC) if method in methods), None)

    def _try_all(self) -> None:
        """Make the attempts one by one, each only if it can still show something."""
        how = "assertion" if self._method else POST
        for post in (Way("form", how), Way("json", how)):
            basic = post._replace(client_auth=BASIC)
            last: dict[Way, Attempt] = {}
            ways = (post, basic, basic._replace(encode=False))
            for way in ways[: 1 if self._method else 3]:
                if not way.encode and (
                    self._must_encode or last[post].token or not last[basic].credentials_are_wrong
                ):
                    break
                attempt = self._ask(way, self._request)
                scope_matters = attempt.finding in ("token", "rejected")
                if self._request.scope and scope_matters and not attempt.credentials_are_wrong:
                    attempt = self._ask(way, self._request.__replace__(scope=None))
                last[way] = attempt
                if attempt.finding == "down":
                    return
                if attempt.finding == "no endpoint":
                    break
            self._gave_up = all(attempt.credentials_are_wrong for attempt in last.values())
            if self._gave_up:
                return

    def _ask(self, way: Way, request: TokenRequest) -> Attempt:
        """Make an attempt, and show it as a row."""
        basic, post = ClientSecretBasic(self._secret, way.encode), ClientSecretPost(self._secret)
        method = self._method or (post if way.client_auth == POST else basic)
        session, adapter = requests.Session(), _NotingAdapter(HTTPAdapter(), retries=0)
        session.adapters = {"http": adapter}
        settings: dict[str, Any] = {"body": way.body, "session": session, **self._settings}
        endpoint = TokenEndpoint(self._url, self._id, method, **settings)
        asked_at = time.monotonic()
        try:
            token = endpoint(request)
        except TokenError as error:
            attempt = Attempt(way, request.scope, error.status_code, error=error)
        else:
            lifetime = token.seconds_left() + time.monotonic() - asked_at
            attempt = Attempt(way, request.scope, adapter.status, token, lifetime)
        self._made.append(attempt)
        name = way.client_auth if way.encode else "basic, not encoded"
        status, answer = str(attempt.status or "-"), self._answer(attempt)
        self._row(way.body, name, request.scope or "-", status, answer)
        return attempt

    def _row(self, body: str, client_auth: str, scope: str, status: str, answer: str) -> None:
        width = max(len("scope"), min(len(self._request.scope or ""), 24, self._screen.width - 37))
        if len(scope) > width:
            scope = f"{scope[: width - 3]}..."
        head = f"{body:6}{client_auth:21}{scope:{width}}  {status:8}"
        if self._screen.width - len(head) < 30:  # then the answer gets a line of its own
            self._say(head.rstrip())
            head = " " * 6
        self._screen.paragraph(answer, head)

    def _answer(self, attempt: Attempt) -> str:
        """Put what came of an attempt into few words."""
        token, error = attempt.token, attempt.error
        if token is not None:
            self._redact.add([token.access_token])
            scope = self._redact.line(token.scope or "", 200)
            known = attempt.lifetime < math.inf
            expiry = f"expires in {attempt.lifetime:.0f} s" if known else "no expires_in"
            return f"token, {expiry}" + (f', scope "{scope}"' if scope else "")
        assert error is not None
        said = ": ".join(filter(None, (error.error, error.error_description)))
        if not said and "html" in attempt.content_type:
            return "HTML, not JSON"
        # The message, without its beginning, which the row says already.
        reason = in_options(error).partition(" failed")[2] or in_options(error)
        reason = reason.removeprefix(f" with status {attempt.status}").removeprefix(": ")
        return self._redact.line(said or reason, 200) or "no OAuth error, and no token"

    def _why(self, attempt: Attempt) -> str:
        """Say in full why an attempt brought no token, and what to do."""
        error = attempt.error
        assert error is not None
        why = self._redact.line(in_options(error), 600)
        if attempt.finding == "down" and attempt.status is not None:
            wait = error.retry_after
            when = "later" if wait is None else f"in {wait:.0f} s, as it asks"
            return f"{why}; try again {when}"
        strange = attempt.finding in ("no endpoint", "not read") and not error.error
        return f"{why}; check the URL" if strange and "check the URL" not in why else why

    def _say_why_not(self) -> int:
        rejected = [attempt for attempt in self._made if attempt.finding == "rejected"]
        clear = [a for a in rejected if a.error is not None and a.error.error not in VAGUE]
        stopped = self._made[-1].finding == "down"
        why = self._why(self._made[-1] if stopped else (clear or rejected or self._made)[0])
        if rejected and self._gave_up:
            why = "Stopped: id or secret are wrong, and more attempts could lock the client out."
        self._screen.paragraph(why)
        return 1 if rejected and not stopped else 2

    def _arguments_for(self, works: Attempt, by_issuer: bool) -> Iterator[str]:
        """Yield the lines of the arguments with which an auth asks as an attempt did."""
        way, lifetime, given = works.way, works.lifetime, self._arguments
        yield f"{_literal(given['token_endpoint'] if by_issuer else self._url)},"
        yield f"{_literal(self._id)},"
        if way.encode and not self._method:
            yield f"{_SECRET},"
        if works.scope:
            granted = (works.token and works.token.scope) or works.scope
            if not set(works.scope.split()) <= set(granted.split()):
                yield "# The scope granted is narrower: see the table."
            yield f"scope={_literal(works.scope)},"
        elif self._request.scope:
            yield f"# The scope {_literal(self._request.scope)} was rejected: see the table."
        if self._request.resources:
            yield "resources=["
            yield from (f"    {_literal(uri)}," for uri in self._request.resources)
            yield "],"
        if self._request.audience:
            yield f"audience={_literal(self._request.audience)},"
        if self._request.extra_params:
            yield "extra_params={"
            pairs = self._request.extra_params
            yield from (f"    {_literal(name)}: {_literal(str(value))}," for name, value in pairs)
            yield "},"
        if not by_issuer:
            yield f"body={_literal(way.body)},"
        if self._method:
            yield f"client_auth=FederatedAssertion(FileToken({_literal(self._method.token.path)})),"
        elif not way.encode:
            yield "# Without the percent-encoding that RFC 6749 section 2.3.1 asks for."
            yield f"client_auth=ClientSecretBasic({_SECRET}, encode=False),"
        elif not by_issuer and way.client_auth != POST:
            yield f"client_auth={_literal(way.client_auth)},"
        if math.isinf(lifetime):
            yield "# The server does not say how long a token lives: it is used until a 401."
        elif lifetime < 0.5:
            yield "# A token expires at once: it serves the calls of one second."
        elif lifetime < 39.5:
            yield f"# A token lives for {lifetime:.0f} s only; the default leeway is 20 s."
            yield f"leeway={int(lifetime / 4)},"
        for name, default in (("timeout", TIMEOUT), ("deadline", DEADLINE)):
            if given[name] > default:
                yield f"{name}={given[name]:g},"
        if given["allow_http"] and not all(map(is_secure, (self._url, given["token_endpoint"]))):
            yield "allow_http=True,"


def _literal(text: str) -> str:
    literal = repr(text)
    return literal if '"' in literal else f'"{literal[1:-1]}"'


class _NotingAdapter(RetryAdapter):
    """Remembers the status of the latest answer, which a token does not tell."""

    status: int | None = None

    def send(self, *args: Any, **settings: Any) -> requests.Response:
        response = super().send(*args, **settings)
        self.status = response.status_code
        return response
