"""Sending a request again, once, after the API has refused its token with a 401."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urljoin

import requests
from requests.cookies import extract_cookies_to_jar, get_cookie_header
from requests.utils import rewind_body

from ._responses import Challenge, parse_challenges
from ._transport import Watchdog, read_body
from ._urls import AllowedOrigins, leaves_by_proxy, origin, without_query
from .exceptions import InsecureTransportError, TokenError
from .manager import TokenManager
from .tokens import Token, TokenRequest

#: Marks the code of an ``async def``; the module inspect, which has it too, is slow to import.
CO_COROUTINE = 0x80

#: The most of a 401's body that is read, in bytes and in seconds, to keep its connection.
DRAIN_BYTES, DRAIN_SECONDS = 64 * 1024, 1.0

# With these another token of the same client would be refused too (RFC 6750 §3.1, RFC 9470 §3).
_NOT_THE_TOKEN = frozenset({"insufficient_scope", "insufficient_user_authentication"})


class Replay:
    """The response hook of an auth: sends a request again after a 401.

    One object serves all requests that the auth signs, and keeps nothing of any of them.

    :param manager: gets another token.
    :param token_request: what the tokens are asked for.
    :param origins: where they may go.
    """

    def __init__(
        self, manager: TokenManager, token_request: TokenRequest, origins: AllowedOrigins
    ) -> None:
        self._manager = manager
        self._token_request = token_request
        self._entry = manager.entry(token_request)  # which tokens were issued
        self._origins = origins

    def __call__(self, response: requests.Response, **settings: Any) -> requests.Response:
        """Return the response, or the answer to the request sent again."""
        request = response.request  # from which redirects go on
        if response.status_code == 401:
            response = self.after_401(response, settings)
        if response.is_redirect:
            self.before_redirect(response, request)
        return response

    def after_401(
        self, response: requests.Response, settings: Mapping[str, Any]
    ) -> requests.Response:
        """Return the answer to the request sent with a new token, if that may help."""
        request = response.request
        refused = self.token_on(request)
        if refused is None or not self._origins.admit(request.url or ""):
            return response
        if not self.is_about_the_token(challenges_of(response)):
            return response
        # Another thread that sends the same request may have put a new token on it meanwhile.
        is_newer = self._was_signed_since(request)
        if not is_newer:
            self._manager.invalidate(refused, self._token_request)
        if not rewind(request):
            return response
        token = self._new_token(response)
        if token.access_token == refused.access_token and not is_newer:
            return response
        return self.send_again(response, token, settings)

    def token_on(self, request: requests.PreparedRequest) -> Token | None:
        """Return the token that a request carries, if it was issued to this auth."""
        authorization = request.headers.get("Authorization")
        if isinstance(authorization, bytes):
            authorization = authorization.decode("latin-1")
        if not authorization or not self._entry.has_issued(authorization):
            return None
        scheme, _, access_token = authorization.partition(" ")
        return Token(access_token, token_type=scheme)

    def hook_on(self, request: requests.PreparedRequest) -> None:
        """Put this hook on a request, in the place of that of any auth before.

        The hooks are replaced, since copies of the request share them.
        """
        ours, others = _hooks_on(request)
        for hook in ours:
            hook.drop_proof(request)
        request.hooks = {**request.hooks, "response": [self, *others]}

    def take_off(self, request: requests.PreparedRequest) -> None:
        """Take the token, proof and hook of any auth off a request that must not carry them."""
        ours, others = _hooks_on(request)
        for hook in (self, *ours):
            hook.strip(request)
        request.hooks = {**request.hooks, "response": others}

    def strip(self, request: requests.PreparedRequest) -> None:
        """Take a token of this auth, and its proof, off a request."""
        if self.token_on(request) is not None:
            del request.headers["Authorization"]
            self.drop_proof(request)

    def prove(self, request: requests.PreparedRequest) -> None:
        """Do nothing: a bearer token needs no proof."""

    def drop_proof(self, request: requests.PreparedRequest) -> None:
        """Do nothing: a bearer token has no proof."""

    def sign(self, request: requests.PreparedRequest, token: Token) -> requests.PreparedRequest:
        """Put a token on a request that is about to be sent again; return what is to be sent."""
        # The hook is another object, and comes first: it tells a thread that is sending the same
        # request that it was not this token which was refused.
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.hook_on(request)
        request.headers["Authorization"] = token.authorization
        return request

    def _was_signed_since(self, request: requests.PreparedRequest) -> bool:
        """Return True if the request was signed again after it was sent with this hook."""
        ours, _ = _hooks_on(request)
        return bool(ours) and all(hook is not self for hook in ours)

    def before_sending(self, request: requests.PreparedRequest, proxies: Mapping[str, str]) -> None:
        """Take the token off a request that must not carry it: its URL may have been changed.

        :raises InsecureTransportError: if a proxy would take it to another machine in the clear.
        """
        url = request.url or ""
        if not self._origins.admit(url):
            self.take_off(request)
        elif not self._origins.allow_http and leaves_by_proxy(url, proxies):
            raise InsecureTransportError(
                f"{without_query(url)} is plain http, and its proxy is on another machine: the "
                "token would travel in the clear; set no_proxy, or pass allow_http=True on a "
                "network you trust"
            )

    def before_redirect(
        self, response: requests.Response, request: requests.PreparedRequest
    ) -> None:
        """Take the token off what is redirected from http to https of the same host.

        requests does that for every other origin, and takes these two for one.

        :param request: from which the redirect goes on.
        """
        there = redirect_origin(response)
        if there is None or (response.url.startswith("http:") and there.startswith("https:")):
            keep_for_history(response, request)
            self.strip(request)

    def is_about_the_token(self, challenges: list[Challenge]) -> bool:
        """Return True if another token may help: not if only other schemes are asked for."""
        return not challenges or any(
            scheme == "bearer" and parameters.get("error") not in _NOT_THE_TOKEN
            for scheme, parameters in challenges
        )

    def send_again(
        self, response: requests.Response, token: Token, settings: Mapping[str, Any]
    ) -> requests.Response:
        """Send the request of a response once more, and return the answer."""
        adapter = getattr(response, "connection", None)
        code = getattr(getattr(adapter, "send", None), "__code__", None)
        # Made up by an adapter that does not say who it is, or got by one that is asynchronous.
        if adapter is None or getattr(code, "co_flags", 0) & CO_COROUTINE:
            return response
        request = response.request
        keep_for_history(response, request)
        _take_cookies(request, response)
        _drain(response)
        request = self.sign(request, token)
        started = time.perf_counter()
        answer: requests.Response = adapter.send(request, **settings)
        answer.elapsed = timedelta(seconds=time.perf_counter() - started)
        answer.history = [*response.history, response]
        return answer

    def __deepcopy__(self, _memo: object) -> Replay:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # A response is pickled with its request, which is not sent again from there.
        return functools.partial, (pass_through,)

    def _new_token(self, response: requests.Response) -> Token:
        try:
            return self._manager.get_token(self._token_request)
        except TokenError as error:
            _drain(response)
            response.request = response.request.copy()
            self.take_off(response.request)
            error.__context__ = requests.HTTPError("401, and no new token", response=response)
            raise


def pass_through(response: requests.Response, **_settings: Any) -> requests.Response:
    """Return the response: what is left of the hook in a pickle."""
    return response


def challenges_of(response: requests.Response) -> list[Challenge]:
    """Return the challenges of a 401."""
    return parse_challenges(response.headers.get("WWW-Authenticate", ""))


def _hooks_on(
    request: requests.PreparedRequest,
) -> tuple[list[Replay], list[Callable[..., Any]]]:
    """Return the hooks of auths that have signed a request, and all others."""
    hooks = request.hooks["response"]
    ours = [hook for hook in hooks if isinstance(hook, Replay)]
    return ours, [hook for hook in hooks if not isinstance(hook, Replay)]


def keep_for_history(response: requests.Response, request: requests.PreparedRequest) -> None:
    """Let a response show what was sent, before the request is changed from which others go on."""
    if response.request is request:
        response.request = request.copy()


def redirect_origin(response: requests.Response) -> str | None:
    """Return the origin that a redirect leads to; None if it cannot be told."""
    try:
        return origin(urljoin(response.url, response.headers["Location"]))
    except ValueError:  # not even a URL
        return None


def rewind(request: requests.PreparedRequest) -> bool:
    """Make ready to send a request once more, with exactly the body it had.

    :return: False if that cannot be done: generators, pipes, files that do not seek.
    """
    if request.body is None or isinstance(request.body, (str, bytes, bytearray)):
        return True
    try:
        rewind_body(request)
    except Exception:  # whatever a foreign file object raises, it was not rewound
        return False
    return True


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
    until, ignored = time.monotonic() + DRAIN_SECONDS, requests.RequestException
    with contextlib.suppress(ignored), Watchdog(until, response.raw) as watchdog:
        read_body(response, DRAIN_BYTES, watchdog)
    response.close()
