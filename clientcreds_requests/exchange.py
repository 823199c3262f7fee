"""One request to the token endpoint, and what came of it: a token, or the error that it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlencode

import requests
from urllib3 import Retry

from .adapters import RetriedRequest
from .arguments import Cert, header_field
from .client_auth import ClientAuth, TLSClientAuth
from .exceptions import TokenError
from .failures import CannotAsk, refused, unanswered
from .proofs import Prover
from .redaction import Redactor, bare_request, credentials_in
from .token_response import read_token
from .tokens import Token, TokenRequest
from .transport import FIELDS, send

_CONTENT_TYPES = {"json": "application/json", "form": "application/x-www-form-urlencoded"}


class Exchange:
    """How the token requests of one client travel.

    :param url: of the token endpoint, prepared.
    :param client_id: who is asking.
    :param extra_headers: further header fields; callables are called for every attempt.
    :param timeout: (connect, read) seconds for one attempt.
    :param retries: after the first attempt; or a urllib3 policy.
    :param session: whose TLS, proxy and adapter settings are used.
    :param prover: puts a DPoP proof on every attempt; None for bearer tokens.
    """

    def __init__(
        self,
        url: str,
        client_id: str,
        extra_headers: Mapping[str, str | Callable[[], str]],
        timeout: tuple[float, float],
        retries: int | Retry,
        session: requests.Session | None,
        prover: Prover | None,
    ) -> None:
        self.url = url
        self.client_id = client_id
        self.extra_headers = extra_headers
        self.timeout = timeout
        self.retries = retries
        self.session = session
        self.prover = prover

    def post(
        self,
        auth: ClientAuth,
        request: TokenRequest,
        body: Literal["json", "form"],
        until: float,
        final: frozenset[int] = frozenset(),
    ) -> Token | TokenError:
        """Ask for a token; once more, at once, when the server wants a nonce in the DPoP proof.

        :param until: the moment, on the monotonic clock, by which the answer must be there.
        :param final: statuses that are an answer this time, though they may be retried in general.
        :raises CannotAsk: when ``auth``, a header's callable or the DPoP key raises.
        """
        outcome, has_nonce = self._post(auth, request, body, until, final)
        if has_nonce and isinstance(outcome, TokenError) and outcome.error == "use_dpop_nonce":
            outcome, _ = self._post(auth, request, body, until, final)
        return outcome

    def told_apart_by(self) -> list[tuple[str, str]]:
        """The further header fields, which may decide what token is issued.

        Of a callable only the name counts: it has another value each time.
        """
        return sorted(
            (name.lower(), "" if callable(value) else value)
            for name, value in self.extra_headers.items()
        )

    def bound_to(self, auth: ClientAuth) -> list[str]:
        """What tokens may be bound to, as digests: whoever has not got it cannot use them.

        :raises CannotAsk: when the client certificate cannot be read.
        """
        digests = [] if self.prover is None else [self.prover.key.thumbprint]
        cert = certificate(auth) or (self.session.cert if self.session is not None else None)
        if cert:
            try:
                content = Path(cert if isinstance(cert, str) else cert[0]).read_bytes()
            except OSError as error:
                raise CannotAsk("reading the client certificate") from error
            digests.append(hashlib.sha256(content).hexdigest())
        return digests

    def _post(
        self,
        auth: ClientAuth,
        request: TokenRequest,
        body: Literal["json", "form"],
        until: float,
        final: frozenset[int],
    ) -> tuple[Token | TokenError, bool]:
        secrets: set[str] = set()

        def complete() -> tuple[bytes | str, Mapping[str, str]]:
            headers = {**FIELDS, "Content-Type": _CONTENT_TYPES[body]}
            params = request.params()
            asked = params.keys() | {"client_id", "client_assertion_type"}
            try:
                for name, value in self.extra_headers.items():
                    headers[name] = value() if callable(value) else value
                auth(self.client_id, params, headers)
                for header in headers.items():
                    header_field("client_auth or extra_headers", *header)
                data = json.dumps(params) if body == "json" else urlencode(params, doseq=True)
            except Exception as error:
                raise CannotAsk("client_auth or extra_headers") from error
            secrets.update(str(params[name]) for name in params.keys() - asked)
            secrets.update(credentials_in(headers.get("Authorization", "")))
            secrets.update(headers[name] for name in self.extra_headers)
            self._prove(headers)
            secrets.add(headers.get("DPoP", ""))
            # Bytes or str as requests has it: stubs in tests match one or the other.
            return data.encode() if body == "json" else data, headers

        try:
            post = RetriedRequest("POST", self.url, complete, until, final)
            response = send(post, self.session, self.timeout, self.retries, certificate(auth))
        except CannotAsk:
            raise
        except Exception as error:
            redact = Redactor(*secrets)
            return unanswered(refused(self.url), bare_request(self.url), error, redact), False
        has_nonce = self.prover is not None and self.prover.learn(response) is not None
        bound = self.prover is not None
        return read_token(response, self.url, post.sent_at, Redactor(*secrets), bound), has_nonce

    def _prove(self, headers: dict[str, str]) -> None:
        if self.prover is None:
            return
        try:
            headers["DPoP"] = self.prover.proof("POST", self.url, headers.get("Authorization", ""))
        except Exception as error:
            raise CannotAsk("the dpop key") from error


def certificate(auth: ClientAuth) -> Cert:
    """The client certificate that a client authentication method brings along."""
    return auth.cert if isinstance(auth, TLSClientAuth) else None
