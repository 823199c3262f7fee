"""How a token is asked for: one POST out, one :class:`Token` or one :class:`TokenError` back."""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
import logging
import time
from typing import Any, Literal, TypeAlias

import requests
from urllib3 import Retry

from .arguments import ExtraHeaders, attempt_timeout, header_fields, retry_count, seconds, text
from .client_auth import ClientAuth, ClientSecretAuth
from .events import log
from .exceptions import TokenError
from .exchange import Exchange
from .failures import CannotAsk, never_asked
from .forks import drop_connections, reset_in_child
from .origins import prepare_url, require_secure, without_query
from .proofs import ProofKey, Prover
from .tokens import Token, TokenRequest

logger: logging.Logger = logging.getLogger(__name__)

Body: TypeAlias = Literal["auto", "json", "form"]

# With any of these the endpoint has read the request, whatever its form.
_READ_IT = frozenset(
    {"access_denied", "invalid_client", "invalid_scope", "invalid_target", "unauthorized_client"}
)
_DID_NOT_READ_IT = frozenset({400, 415, 422, 500})


class TokenEndpoint:
    """One client's way to one token endpoint. It keeps no token.

    :param url: https, or http on loopback; a query is kept.
    :param client_id: who is asking.
    :param client_auth: how it proves that.
    :param body: ``json``, ``form``, or ``auto``: JSON first, and a form when the endpoint
        answers like one that does not read JSON; what worked is remembered.
    :param extra_headers: further header fields; callables are called for every attempt.
    :param timeout: seconds for one attempt, or a (connect, read) pair, as in requests.
    :param deadline: seconds for all attempts together.
    :param retries: after the first attempt; or a urllib3 policy.
    :param allow_http: let credentials travel in the clear.
    :param session: whose TLS, proxy and adapter settings are to be used, and nothing else of it.
    :param dpop: the key to bind tokens to (RFC 9449); None for bearer tokens.
    :raises TypeError, ValueError: for what could not work.
    :raises InsecureTransportError: for plain http to another machine.
    """

    def __init__(
        self,
        url: str,
        client_id: str,
        client_auth: ClientAuth,
        *,
        body: Body = "auto",
        extra_headers: ExtraHeaders | None = None,
        timeout: float | tuple[float, float] = 10.0,
        deadline: float = 30.0,
        retries: int | Retry = 3,
        allow_http: bool = False,
        session: requests.Session | None = None,
        dpop: ProofKey | None = None,
    ) -> None:
        self.url: str = prepare_url("token_endpoint", url)
        require_secure("token_endpoint", self.url, allow_http)
        self.client_id: str = text("client_id", client_id)
        if not callable(client_auth) or isinstance(client_auth, type):
            raise TypeError("client_auth must be a method such as ClientSecretBasic(secret)")
        if body not in ("auto", "json", "form"):
            raise ValueError("body must be 'auto', 'json' or 'form'")
        self._client_auth = client_auth
        self._body: Body = body
        attempt = attempt_timeout(timeout)
        # The endpoint's own error says more than that of a caller who has waited long enough.
        self._deadline = 0.98 * seconds("deadline", deadline)
        self.retries: int | Retry = retry_count(retries)
        if session is not None and not isinstance(session, requests.Session):
            raise TypeError("session must be a requests.Session")
        if session is not None:
            reset_in_child(session, drop_connections)
        self._exchange = Exchange(
            self.url,
            self.client_id,
            header_fields(extra_headers),
            attempt,
            self.retries,
            session,
            None if dpop is None else Prover(dpop),
        )
        self._refused_auth: ClientAuth | None = None

    def __getstate__(self) -> dict[str, Any]:
        """All but the credentials that were refused; a literal secret is not given away.

        :raises TypeError: when the client authentication holds one.
        """
        copy.copy(self._client_auth)  # which refuses, if it holds a literal secret or key
        return {**self.__dict__, "_refused_auth": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._exchange.session is not None:
            reset_in_child(self._exchange.session, drop_connections)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {without_query(self.url)} {self.client_id!r}>"

    def __call__(self, request: TokenRequest, auth: ClientAuth | None = None) -> Token:
        """Ask for a token.

        :param auth: ask as this, and as nothing else; None: as :meth:`present_auth` says.
        :raises TokenError: when none is to be had; nothing else, whatever the endpoint does.
        """
        # An error is raised here, where no frame of its traceback holds a secret.
        began = time.monotonic()
        outcome = self._ask(request, began + self._deadline, auth)
        took = time.monotonic() - began
        if isinstance(outcome, TokenError):
            self._log("token_request_failed", failure=outcome, scope=request.scope, seconds=took)
            raise outcome
        self._log("token_obtained", token=outcome, scope=request.scope, seconds=took)
        return outcome

    @property
    def has_secret(self) -> bool:
        """Does the client prove who it is with a client secret?"""
        return isinstance(self._client_auth, ClientSecretAuth)

    @property
    def secret_may_change(self) -> bool:
        """Is the client secret a callable?"""
        auth = self._client_auth
        return isinstance(auth, ClientSecretAuth) and callable(auth.client_secret)

    def credentials_changed(self) -> bool:
        """Would the client authenticate itself otherwise than when it was last refused?"""
        try:
            return self._refused_auth is not None and self._current_auth() != self._refused_auth
        except CannotAsk:
            return False

    def note_refusal(self, auth: ClientAuth) -> None:
        """Somebody else was refused with these credentials."""
        self._refused_auth = auth

    def present_auth(self) -> ClientAuth:
        """The client authentication with the secret of this moment.

        :raises TokenError: when the client secret's callable fails.
        """
        try:
            return self._current_auth()
        except CannotAsk as error:
            failure = never_asked(self.url, error)
        raise failure

    def store_key(self, request: TokenRequest, auth: ClientAuth | None = None) -> bytes:
        """The key under which a :class:`TokenStore` keeps the token of a request.

        :param auth: what the request is made with; None: as :meth:`present_auth` says.
        :raises TokenError: when the client secret's callable fails, or a certificate is missing.
        """
        auth = auth or self.present_auth()
        try:
            bound_to = self._exchange.bound_to(auth)
        except CannotAsk as error:
            failure = never_asked(self.url, error)
        else:
            secret = auth.secret().encode() if isinstance(auth, ClientSecretAuth) else b""
            headers = self._exchange.told_apart_by()
            asked = json.dumps([self.url, self.client_id, request.params(), headers, bound_to])
            return hmac.digest(secret, asked.encode(), hashlib.sha256)
        raise failure

    def _asked(self) -> str:
        """The endpoint that is asked, as logs name it."""
        return without_query(self.url)

    def _log(self, event: str, **fields: Any) -> None:
        log(logger, event, endpoint=self._asked(), client_id=self.client_id, **fields)

    def _ask(
        self, request: TokenRequest, until: float, given: ClientAuth | None
    ) -> Token | TokenError:
        try:
            auth = given or self._current_auth()
            outcome = self._ask_as(auth, request, until)
            if isinstance(outcome, TokenError) and outcome.error == "invalid_client":
                self._refused_auth = given or self._current_auth()
                if self._refused_auth != auth:  # the secret was rotated meanwhile
                    outcome = self._ask_as(self._refused_auth, request, until)
        except CannotAsk as error:
            outcome = never_asked(self.url, error)
        return outcome

    def _current_auth(self) -> ClientAuth:
        """The client authentication with the secret of this moment."""
        if not isinstance(self._client_auth, ClientSecretAuth):
            return self._client_auth
        try:
            return self._client_auth.current()
        except Exception as error:
            raise CannotAsk("the client_secret callable") from error

    def _ask_as(self, auth: ClientAuth, request: TokenRequest, until: float) -> Token | TokenError:
        if self._body != "auto":
            return self._exchange.post(auth, request, self._body, until)
        # A 500 is how some frameworks say that they expected a form: try that before waiting.
        outcome = self._exchange.post(auth, request, "json", until, final=frozenset({500}))
        if isinstance(outcome, Token):
            self._body = "json"
        elif outcome.status_code in _DID_NOT_READ_IT and outcome.error not in _READ_IT:
            outcome = self._exchange.post(auth, request, "form", until)
            if isinstance(outcome, Token):
                self._body = "form"
                self._log("json_not_read")
        return outcome
