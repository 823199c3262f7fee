"""Sending a request again, once, after the API has refused its token with a 401."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urljoin

import requests
from requests.cookies import extract_cookies_to_jar, get_cookie_header
from requests.hooks import default_hooks

from .bodies import read_body, rewind
from .challenges import Challenge, parse_challenges
from .exceptions import TokenError
from .manager import TokenManager
from .origins import origin
from .proofs import Prover
from .tokens import Token, TokenRequest

#: The most of a 401's body that is read, in bytes and in seconds, to keep its connection.
DRAIN_BYTES, DRAIN_SECONDS = 64 * 1024, 1.0

#: So many proofs are tried with one token; servers change their nonces.
MAX_PROOFS = 3

# Another token of the same client would be refused too (RFC 6750 §3.1, RFC 9470 §3, RFC 9449 §7).
_NOT_THE_TOKEN = frozenset(
    {
        "insufficient_scope",
        "insufficient_user_authentication",
        "invalid_dpop_proof",
        "use_dpop_nonce",
    }
)


class Replay:
    """The response hook of the requests that carry one token: sends them again after a 401.

    One object serves them all, and nothing of a request is kept in it. A request that is sent
    again goes on with the hook of its new token.

    :param manager: knows whether the token still is the one in use, and gets another.
    :param request: what the token was asked for.
    :param token: what the requests carry.
    :param prover: puts DPoP proofs on the requests; None for bearer tokens.
    """

    __slots__ = ("_manager", "_prover", "_request", "field", "token")

    def __init__(
        self,
        manager: TokenManager,
        request: TokenRequest,
        token: Token,
        prover: Prover | None = None,
    ) -> None:
        self._manager = manager
        self._request = request
        self._prover = prover
        self.token: Token = token
        #: The header field of the token, as requests keeps it.
        self.field: tuple[str, str] = "Authorization", token.authorization

    def __call__(self, response: requests.Response, **settings: Any) -> requests.Response:
        """Return the response, or the answer to the request sent again."""
        if self._prover is not None:
            self._prover.learn(response)
            if response.is_redirect:
                _keep_the_proof_home(response)
        if response.status_code != 401 or response.history:
            return response
        # Without our token it went to somewhere that must not see it: a redirect's target.
        if not self._has_a_token_of_ours(response.request):
            return response
        response = self._with_other_proofs(response, settings)
        if response.status_code != 401 or not self._is_about_the_token(response):
            return response
        self._manager.invalidate(self.token, self._request)
        if not rewind(response.request):
            return response
        token = self._new_token(response)
        if token.authorization == self.token.authorization:
            return response
        renewed = Replay(self._manager, self._request, token, self._prover)
        return renewed._with_other_proofs(_send_again(response, renewed, settings), settings)

    def _with_other_proofs(
        self, response: requests.Response, settings: Mapping[str, Any]
    ) -> requests.Response:
        """The answer to the request with another proof, as long as the server asks for one.

        A server may want its nonce in the proof (RFC 9449 §9), and another one by then; and a
        request that is sent over and over, or redirected, brings a proof that has served already.
        """
        if self._prover is None:
            return response
        last = None
        for attempt in range(MAX_PROOFS):
            nonce = self._prover.learn(response)
            errors = {p.get("error") for scheme, p in _challenges(response) if scheme == "dpop"}
            helps = "use_dpop_nonce" in errors and nonce not in (None, last)
            helps = helps or ("invalid_dpop_proof" in errors and attempt == 0)
            if response.status_code != 401 or not helps or not rewind(response.request):
                break
            last = nonce
            response = _send_again(response, self, settings)
        self._prover.learn(response)
        return response

    def proven(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """The request, as a copy with a fresh proof if its token needs one.

        Other threads may be sending the same object, and no two of them the same proof.
        """
        if self._prover is not None:
            request = request.copy()
            self._prover.prove(request)
        return request

    def __deepcopy__(self, _memo: object) -> Replay:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # A response is pickled with its request, which is not sent again from there.
        return functools.partial, (pass_through,)

    def _has_a_token_of_ours(self, request: requests.PreparedRequest) -> bool:
        # Its own, or the one that another thread, sending the same object, has just put there.
        tokens = [
            self.token,
            *(h.token for h in request.hooks["response"] if isinstance(h, Replay)),
        ]
        return request.headers.get("Authorization") in [token.authorization for token in tokens]

    def _is_about_the_token(self, response: requests.Response) -> bool:
        """Would another token help? Not when only other schemes are asked for."""
        challenges, ours = _challenges(response), self.token.token_type.lower()
        return not challenges or any(
            scheme == ours and parameters.get("error") not in _NOT_THE_TOKEN
            for scheme, parameters in challenges
        )

    def _new_token(self, response: requests.Response) -> Token:
        try:
            return self._manager.get_token(self._request)
        except TokenError as error:
            _drain(response)
            response.request = response.request.copy()
            del response.request.headers["Authorization"]
            response.request.hooks = default_hooks()  # ours hold the token
            error.__context__ = requests.HTTPError("401, and no new token", response=response)
            raise


def pass_through(response: requests.Response, **_settings: Any) -> requests.Response:
    """What is left of the hook in a pickle or a copy."""
    return response


def _challenges(response: requests.Response) -> list[Challenge]:
    return parse_challenges(response.headers.get("WWW-Authenticate", ""))


def _keep_the_proof_home(response: requests.Response) -> None:
    """Take the proof off what is redirected to another origin: requests leaves it on."""
    try:
        where = origin(urljoin(response.url, response.headers["Location"]))
    except ValueError:  # not even a URL
        where = None
    if where is None or where != origin(response.url):
        response.request.headers.pop("DPoP", None)


def _send_again(
    response: requests.Response, hook: Replay, settings: Mapping[str, Any]
) -> requests.Response:
    adapter = getattr(response, "connection", None)
    if adapter is None:  # made up by an adapter that does not say who it is
        return response
    request = response.request
    # The history keeps what was refused; redirects go on from the request itself.
    response.request = request.copy()
    request.headers["Authorization"] = hook.token.authorization
    # Copies share the hooks, and may carry another token: those of this request alone change.
    others = [other for other in request.hooks["response"] if not isinstance(other, Replay)]
    request.hooks = {**request.hooks, "response": [hook, *others]}
    _take_cookies(request, response)
    _drain(response)
    request = hook.proven(request)
    started = time.perf_counter()
    answer: requests.Response = adapter.send(request, **settings)
    answer.elapsed = timedelta(seconds=time.perf_counter() - started)
    answer.history = [*response.history, response]
    return answer


def _take_cookies(request: requests.PreparedRequest, response: requests.Response) -> None:
    """Bring along the cookies that the 401 set, unless the caller wrote the header by hand."""
    jar = request._cookies
    if not response.cookies or jar is None:
        return
    bare = request.copy()
    by_hand = bare.headers.pop("Cookie", None)
    if by_hand == get_cookie_header(jar, bare):
        extract_cookies_to_jar(jar, request, response.raw)
        request.headers.pop("Cookie", None)
        request.prepare_cookies(jar)


def _drain(response: requests.Response) -> None:
    """Read a small body, so that its connection can be used again; close on a long one."""
    with contextlib.suppress(requests.RequestException):
        read_body(response, DRAIN_BYTES, time.monotonic() + DRAIN_SECONDS)
    response.close()
