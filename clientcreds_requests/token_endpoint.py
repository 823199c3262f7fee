"""How a token is asked for: one POST, then one :class:`Token` or one error."""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, cast
from urllib.parse import urlencode

import requests
from urllib3 import Retry

from ._checks import (
    Cert,
    ExtraHeaders,
    Session,
    attempt_timeout,
    certificate_digest,
    header_field,
    header_fields,
    identifier,
    retry_count,
    seconds,
)
from ._dialects import VAGUE, other_body_may_work, rejects_client
from ._fork import close_idle_connections, drop_connections, reset_in_child
from ._logs import log
from ._redaction import Redactor, bare_request, credentials_in, forget_frames
from ._responses import failed_at, raise_for_both, raise_not_sent, raise_unanswered, read_token
from ._urls import prepare_url, require_secure, without_query
from .adapters import HEADERS, RetriedRequest, send
from .client_auth import ClientAuth, ClientSecretAuth, TLSClientAuth, no_client_auth
from .exceptions import CallableError, TokenError
from .tokens import Fetched, Token, TokenRequest, TokenSource

if TYPE_CHECKING:
    from .dpop import ProofKey

logger: logging.Logger = logging.getLogger(__name__)

Body: TypeAlias = Literal["auto", "json", "form"]
_CONTENT_TYPES = {"json": "application/json", "form": "application/x-www-form-urlencoded"}
# Parameters whose values are no secrets.
_PUBLIC = {"grant_type", "scope", "resource", "audience", "client_id", "client_assertion_type"}
#: Seconds for which only one body is sent after both have failed.
ONE_BODY = 60.0
# Shorter values that users pass in may be part of any word.
_SHORTEST_SECRET = 8


class _OneBody(NamedTuple):
    """The only body that is sent for a request, until a moment on the monotonic clock."""

    request: TokenRequest
    body: str
    until: float


class TokenEndpoint(TokenSource):
    """One client at one token endpoint. It keeps no token.

    :param url: https, or http on loopback; a query is kept.
    :param client_id: the client's identifier; None only with ``no_client_auth``.
    :param client_auth: the client authentication method.
    :param body: ``json``, ``form``, or ``auto``: JSON first, and once a form if the answer is no
        token; what worked is remembered.
    :param extra_headers: further header fields; callables are called for every attempt.
    :param timeout: seconds for one attempt, or a (connect, read) pair, as in requests.
    :param deadline: seconds for all attempts together.
    :param retries: the number of retries after the first attempt, or a urllib3 policy.
    :param allow_http: allow plain http to other machines.
    :param session: only its TLS, proxy and adapter settings are used.
    :param default_lifetime: seconds, for tokens whose lifetime the server does not say; None: they
        are used until the API refuses them.
    :param dpop: the key to bind tokens to (RFC 9449); None for bearer tokens.
    :raises TypeError, ValueError: for invalid arguments.
    :raises InsecureTransportError: for plain http to another machine, unless it is allowed.
    """

    def __init__(
        self,
        url: str,
        client_id: str | None,
        client_auth: ClientAuth,
        *,
        body: Body = "auto",
        extra_headers: ExtraHeaders | None = None,
        timeout: float | tuple[float, float] = 10.0,
        deadline: float = 30.0,
        retries: int | Retry = 3,
        allow_http: bool = False,
        session: requests.Session | None = None,
        default_lifetime: float | None = None,
        dpop: ProofKey | None = None,
    ) -> None:
        self.url: str = prepare_url("token_endpoint", url)
        require_secure("token_endpoint", self.url, allow_http)
        if client_id is not None or client_auth is not no_client_auth:
            identifier("client_id", client_id)
        self.client_id: str | None = client_id
        if not callable(client_auth) or isinstance(client_auth, type):
            raise TypeError("client_auth must be a method such as ClientSecretBasic(secret)")
        if body not in ("auto", "json", "form"):
            raise ValueError("body must be 'auto', 'json' or 'form'")
        if session is not None and not isinstance(session, Session):
            raise TypeError("session must be a requests.Session")
        self.client_auth: ClientAuth = client_auth
        self.retries: int | Retry = retry_count(retries)
        self.session: requests.Session | None = session
        self.timeout: tuple[float, float] = attempt_timeout(timeout)
        self.allow_http: bool = allow_http
        self._deadline = seconds("deadline", deadline)
        self._bodies: tuple[str, ...] = ("json", "form") if body == "auto" else (body,)
        self._one_body: _OneBody | None = None
        self._certificate = ""  # the digest of the latest
        self.binds_tokens: bool = isinstance(client_auth, TLSClientAuth)
        #: The client certificate of the client authentication method.
        self.cert: Cert = client_auth.cert if isinstance(client_auth, TLSClientAuth) else None
        self._default_lifetime = default_lifetime
        if default_lifetime is not None:
            self._default_lifetime = seconds("default_lifetime", default_lifetime)
        self._extra_headers = header_fields(extra_headers)
        self._dpop = None
        if dpop is not None:
            from .dpop import Prover

            self._dpop = Prover(dpop)
        self._watch_forks()

    def _watch_forks(self) -> None:
        if self.session is not None:
            reset_in_child(self.session, drop_connections)

    def __getstate__(self) -> dict[str, Any]:
        copy.copy(self.client_auth)  # raises TypeError if it holds a literal secret or key
        return {**vars(self), "_one_body": None}  # other machines have other clocks

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._watch_forks()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {without_query(self.url)} {self.client_id!r}>"

    def __call__(self, request: TokenRequest) -> Token:
        """Return a new token.

        :raises TokenError: if there is none; no other exception, whatever the endpoint sends.
        """
        began = time.monotonic()
        outcome: Fetched | TokenError
        try:
            outcome = self.fetch(request, began + self._deadline)
        except TokenError as error:
            forget_frames(error)
            outcome = error
        self.report(request, outcome, time.monotonic() - began)
        if isinstance(outcome, TokenError):
            raise outcome
        return outcome.token

    def fetch(self, request: TokenRequest, until: float, *_: object) -> Fetched:
        """Return a new token; see :class:`TokenSource`."""
        return self.with_secret(lambda auth: Fetched(self.ask_as(auth, request, until)))

    def report(self, request: TokenRequest, outcome: Fetched | TokenError, took: float) -> None:
        """Log the outcome of a token request."""
        if isinstance(outcome, Fetched):
            self._log("token_obtained", token=outcome.token, scope=request.scope, seconds=took)
        else:
            self._log("token_request_failed", failure=outcome, scope=request.scope, seconds=took)

    def with_secret(self, ask: Callable[[ClientAuth], Fetched]) -> Fetched:
        """Call ``ask`` with the current client secret; again if that was rejected and has changed.

        :param ask: makes the token request, authenticated by the method that it is given.
        :raises TokenError: as ``ask`` does, or if the client secret's callable fails.
        """
        auth = self._current_auth()
        try:
            return ask(auth)
        except TokenError as error:
            rejected = error
        # Outside the except block, so that an error of the callable has no context.
        newer = self._current_auth() if rejects_client(rejected) else auth
        if _secret_of(newer) == _secret_of(auth):
            raise rejected
        return ask(newer)

    def _current_auth(self) -> ClientAuth:
        if not isinstance(self.client_auth, ClientSecretAuth):
            return self.client_auth
        try:
            return self.client_auth.current()
        except Exception as error:
            raise_not_sent("the client_secret callable", self.url, error)

    def store_key(self, request: TokenRequest, auth: ClientAuth) -> bytes:
        """Return the key under which a :class:`TokenStore` keeps the token of a request.

        :param auth: the method, with the secret, by which the request is authenticated.
        :raises TokenError: if the client certificate cannot be read.
        """
        # Header fields may determine the token.
        headers = {name.lower(): value for name, value in self._extra_headers.items()}
        bound_to = [self._dpop and self._dpop.key.thumbprint, self.follow_certificate()]
        what = [self.url, self.client_id, request.params(), headers, bound_to]
        # Of callables the name counts alone: their values change with each call.
        asked = json.dumps(what, default=lambda _callable: "", sort_keys=True)
        # Keyed with the secret: the key cannot be guessed, and changes when the secret is rotated.
        return hmac.digest(_secret_of(auth).encode(), asked.encode(), hashlib.sha256)

    def follow_certificate(self) -> str:
        """Return a digest of the client certificate; close idle connections made with another."""
        known = self._certificate
        digest = certificate_digest(self.cert or getattr(self.session, "cert", None), known)
        if digest != known and known == self._certificate:  # no other thread has noticed
            self._certificate = digest
            if known and self.session is not None:
                close_idle_connections(self.session)
        return digest

    def ask_as(self, auth: ClientAuth, request: TokenRequest, until: float) -> Token:
        """Return a new token for a request, with ``auth`` for the client; give up at ``until``.

        :raises TokenError: if there is none.
        """
        bodies, only = self._bodies, self._one_body
        if only is not None and only.request == request and time.monotonic() < only.until:
            bodies = bodies if len(bodies) == 1 else (only.body,)
        errors: list[TokenError] = []
        for body in bodies:
            form_follows = body == "json" and len(bodies) > 1
            try:
                token = self._post(auth, request, body, until, form_follows)
            except TokenError as error:
                forget_frames(error)  # not every error reaches the caller
                errors.append(error)
                if not other_body_may_work(error):
                    break
            else:
                if len(self._bodies) > 1:
                    self._bodies = (body,)
                    if body == "form":
                        self._log("json_not_read")
                return token
        if len(errors) == 1 or isinstance(errors[1], CallableError):
            raise errors[-1]
        of_json, of_form = errors
        is_final, reported = other_body_may_work(of_form), "form"
        if is_final and of_form.error in VAGUE and of_json.error not in VAGUE:
            reported = "json"  # it was read: its error says more
        if is_final and of_json.status_code != 500:  # which may be temporary
            self._one_body = _OneBody(request, reported, time.monotonic() + ONE_BODY)
        return raise_for_both(of_json, of_form, reported)

    def _post(
        self, auth: ClientAuth, request: TokenRequest, body: str, until: float, form_follows: bool
    ) -> Token:
        """Return a new token; if the server asks for a nonce in the DPoP proof, ask once more."""
        nonce = self._dpop and self._dpop.nonce(self.url)
        try:
            return self._post_once(auth, request, body, until, form_follows)
        except TokenError as error:
            wants_nonce = error.error == "use_dpop_nonce"
            if not wants_nonce or self._dpop is None or self._dpop.nonce(self.url) == nonce:
                raise
            forget_frames(error)
        return self._post_once(auth, request, body, until, form_follows)

    def _post_once(
        self, auth: ClientAuth, request: TokenRequest, body: str, until: float, form_follows: bool
    ) -> Token:
        # Secrets are in no variable of this frame, only of complete(), which returns before the
        # request is sent: tracers may record the variables of frames meanwhile.
        redact, asserted = Redactor(), False

        def complete() -> tuple[bytes | str, dict[str, str]]:
            nonlocal asserted
            own = {**HEADERS, "Content-Type": _CONTENT_TYPES[body]}
            headers: dict[str, str] = dict(own)
            params, what = request.params(), ""
            try:
                for name, value in params.items():
                    if callable(value):
                        what = f"extra_params[{name!r}]"
                        params[name] = found = value()
                        if not isinstance(found, str) or not found:
                            raise TokenError(f"{what} must return a str that is not empty")
                what = "client_auth or extra_headers"
                for name, value in self._extra_headers.items():
                    headers[name] = value() if callable(value) else value
                auth(cast(str, self.client_id), params, headers)  # None is for no_client_auth
                for header in headers.items():
                    header_field(what, *header)
                # Bytes for JSON and str for a form, as in requests: stubs of tests match them.
                as_json = body == "json"
                data = json.dumps(params).encode() if as_json else urlencode(params, doseq=True)
                if self._dpop is not None:
                    what = "the dpop key"
                    self._dpop.sign("POST", self.url, headers)
            except Exception as error:
                raise_not_sent(what, self.url, error)
            asserted = "client_assertion" in params
            extra = params.keys() & dict(request.extra_params)
            short = {name for name in extra if len(str(params[name])) < _SHORTEST_SECRET}
            redact.add(str(params[name]) for name in params.keys() - _PUBLIC - short)
            added = {value for _, value in headers.items() - own.items()}
            redact.add(value for value in added if len(value) >= _SHORTEST_SECRET)
            redact.add([*credentials_in(headers.get("Authorization", "")), _secret_of(auth)])
            return data, headers

        # Some frameworks answer JSON with a 500: send the form without a wait.
        final = frozenset({500}) if form_follows else frozenset[int]()
        answered = None if self._dpop is None else self._dpop.learn
        cert, allow_http = self.cert, self.allow_http
        self.follow_certificate()
        try:
            post = RetriedRequest("POST", self.url, complete, until, final, answered)
            response = send(post, self.session, self.timeout, self.retries, cert, allow_http)
        except CallableError:
            raise
        except Exception as error:
            forget_frames(error)  # which it would keep alive, in a cycle
            raise_unanswered(failed_at(self.url), bare_request(self.url), error, redact)
        return read_token(
            *(response, self.url, post.sent_at, redact),
            bound=self._dpop is not None,
            asserted=asserted,
            grant=request.params()["grant_type"],
            default_lifetime=self._default_lifetime,
        )

    def asked_at(self) -> str:
        """Return the URL of the token endpoint as logs show it."""
        return without_query(self.url)

    def _log(self, event: str, **fields: Any) -> None:
        log(logger, event, endpoint=self.asked_at(), client_id=self.client_id, **fields)


def _secret_of(auth: ClientAuth) -> str:
    """Return the client secret of this moment; empty for methods without one."""
    return auth.secret() if isinstance(auth, ClientSecretAuth) else ""
