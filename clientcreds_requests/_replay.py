"""The response hook that sends a request again, once, after a 401 from the API."""

from __future__ import annotations

import contextlib
import functools
import re
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeAlias
from urllib.parse import urljoin

from requests import HTTPError, PreparedRequest, RequestException, Response
from requests.cookies import extract_cookies_to_jar, get_cookie_header
from requests.utils import rewind_body

from ._transport import Watchdog, read_body
from ._urls import AllowedOrigins, origin, require_direct
from .exceptions import InsecureTransportError, TokenError
from .manager import TokenManager
from .tokens import Token, TokenRequest

#: The maximum number of characters of a ``WWW-Authenticate`` that are read.
MAX_CHALLENGES = 64 * 1024

#: One challenge: its scheme, and its parameters by name, both names in lower case.
Challenge: TypeAlias = tuple[str, dict[str, str]]

# One step through a field value: a parameter; a scheme, at the beginning or after a comma; anything
# else, which is skipped. A run of token characters is always matched whole: the time is linear.
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_STEP = (
    rf"""(?P<name>{_TOKEN})[ \t]*=[ \t]*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>{_TOKEN}))"""
    rf"""|(?:^|,)[ \t]*(?P<scheme>{_TOKEN})(?=[ \t,]|$)(?![ \t]*=)"""
    rf"""|{_TOKEN}|"(?:[^"\\]|\\.)*"?|."""
)

# Another token of the same client would be refused too (RFC 6750 §3.1, RFC 9449 §7.1 and §9,
# RFC 9470 §3).
_NOT_THE_TOKEN = frozenset(
    {
        "insufficient_scope",
        "insufficient_user_authentication",
        "invalid_dpop_proof",
        "use_dpop_nonce",
    }
)


class Replay:
    """The response hook of an auth: sends a request again after a 401.

    One object serves all requests that the auth signs, and keeps no state of any of them.
    """

    def __init__(
        self, manager: TokenManager, token_request: TokenRequest, origins: AllowedOrigins
    ) -> None:
        self._manager = manager
        self._token_request = token_request
        self._entry = manager.entry(token_request)
        self._origins = origins

    def __call__(self, response: Response, **settings: Any) -> Response:
        """Return the response, or the answer to the request sent again."""
        request = response.request  # requests follows redirects from this object
        refused = self.token_on(request) if response.status_code == 401 else None
        if refused is not None and self._origins.admit(request.url or ""):
            response = self.after_401(response, refused, settings)
        if response.is_redirect:
            self.before_redirect(response, request)
        return response

    def after_401(self, response: Response, refused: Token, settings: dict[str, Any]) -> Response:
        """Return the answer to the request sent with a new token, if that may help."""
        request = response.request
        challenges = parse_challenges(response.headers.get("WWW-Authenticate", ""))
        if challenges and not any(
            scheme == refused.token_type.lower() and parameters.get("error") not in _NOT_THE_TOKEN
            for scheme, parameters in challenges
        ):
            return response
        # Another thread that sends the same request may have put a new token on it meanwhile.
        hooks = replays_on(request)
        was_replaced = bool(hooks) and self not in hooks
        if not was_replaced:
            self._manager.invalidate(refused, self._token_request)
        if not rewind(request):
            return response
        try:
            token = self._manager.get_token(self._token_request)
        except TokenError as error:
            _drain(response)
            response.request = request.copy()
            self.take_off(response.request)
            error.__context__ = HTTPError("401, and no new token", response=response)
            raise
        if token.access_token == refused.access_token and not was_replaced:
            return response
        return self.send_again(response, token, settings)

    def token_on(self, request: PreparedRequest) -> Token | None:
        """Return the token that a request carries, if it was issued to this auth."""
        authorization = request.headers.get("Authorization") or ""
        if isinstance(authorization, bytes):
            authorization = authorization.decode("latin-1")
        scheme, _, access_token = authorization.partition(" ")
        is_ours = self._entry.has_issued(authorization)
        return Token(access_token, token_type=scheme) if is_ours else None

    def sign(self, request: PreparedRequest, token: Token) -> None:
        """Put a token and this hook on a request, in place of those of any auth before."""
        if replays_on(request):
            request.headers.pop("DPoP", None)
        _set_replays(request, self)
        request.headers["Authorization"] = token.authorization

    def prove(self, request: PreparedRequest) -> None:
        """Do nothing: a bearer token needs no proof."""

    def take_off(self, request: PreparedRequest) -> None:
        """Take the token, proof and hook of any auth off a request that must not carry them."""
        # A token that was put on long ago is recognized by its scheme and the hook alone.
        scheme, _, _ = str(request.headers.get("Authorization", "")).partition(" ")
        is_signed = scheme in ("Bearer", "DPoP") and replays_on(request)
        if is_signed or self.token_on(request) is not None:
            unsign(request)
        _set_replays(request)

    def before_sending(self, request: PreparedRequest, proxies: Mapping[str, str]) -> None:
        """Take the token off a request whose URL was changed to one that must not receive it."""
        url = request.url or ""
        if not self._origins.admit(url):
            self.take_off(request)
        elif not self._origins.allow_http:
            require_direct(url, proxies, InsecureTransportError)

    def before_redirect(self, response: Response, request: PreparedRequest) -> None:
        """Take the token off a request that is redirected to another origin.

        requests does that, but leaves the proof, and the token where it cannot be told where the
        redirect leads, and from http to https of the same host: it takes the default ports of both
        for one origin.
        """
        target = None
        with contextlib.suppress(ValueError):  # not even a URL
            target = origin(urljoin(response.url, response.headers["Location"]))
        if target != origin(response.url) and self.token_on(request) is not None:
            if response.request is request:
                response.request = request.copy()  # as it was sent
            request.headers.pop("DPoP", None)
            if target is None or (response.url.startswith("http:") and target.startswith("https:")):
                del request.headers["Authorization"]

    def send_again(self, response: Response, token: Token, settings: dict[str, Any]) -> Response:
        """Send the request of a response once more, and return the answer."""
        adapter = getattr(response, "connection", None)
        code = getattr(getattr(adapter, "send", None), "__code__", None)
        # A stub that names no adapter, or an asynchronous one: inspect.CO_COROUTINE, whose module
        # is slow to import.
        if adapter is None or getattr(code, "co_flags", 0) & 0x80:
            return response
        request = response.request
        response.request = request.copy()  # as it was sent
        _take_cookies(request, response)
        _drain(response)
        # With a twin as its hook, which is there before the token, a thread that is sending the
        # same request can tell that its token was replaced meanwhile.
        twin = object.__new__(type(self))  # not copy.copy(), for which __reduce__ has a stand-in
        twin.__dict__.update(self.__dict__)
        twin.sign(request, token)
        request = request.copy()  # no two threads may send the same proof
        self.sign(request, token)
        self.prove(request)
        started = time.perf_counter()
        answer: Response = adapter.send(request, **settings)
        answer.elapsed = timedelta(seconds=time.perf_counter() - started)
        answer.history = [*response.history, response]
        return answer

    def __deepcopy__(self, _memo: object) -> Replay:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # A response is pickled with its request, which is not sent again from there.
        return functools.partial, (_pass_through,)


def _pass_through(response: Response, **_settings: Any) -> Response:
    """Stand in for the hook in a pickle."""
    return response


def _hooks_on(request: PreparedRequest) -> list[Any]:
    """Return the response hooks; requests takes one callable, or nothing, as well as a list."""
    hooks: Any = request.hooks.get("response") or []
    return [hooks] if callable(hooks) else list(hooks)


def replays_on(request: PreparedRequest) -> list[Replay]:
    """Return the hooks of auths that have signed a request."""
    return [hook for hook in _hooks_on(request) if isinstance(hook, Replay)]


def _set_replays(request: PreparedRequest, *replays: Replay) -> None:
    """Replace the hooks of auths; in new objects, since copies of the request share the old."""
    others = [hook for hook in _hooks_on(request) if not isinstance(hook, Replay)]
    request.hooks = {**request.hooks, "response": [*replays, *others]}


def unsign(request: PreparedRequest) -> None:
    """Take a token and its proof off a request."""
    for name in ("Authorization", "DPoP"):
        request.headers.pop(name, None)


def rewind(request: PreparedRequest) -> bool:
    """Prepare to send the same body again; return False for generators, pipes and the like."""
    if request.body is None or isinstance(request.body, (str, bytes, bytearray)):
        return True
    try:
        rewind_body(request)
    except Exception:  # a foreign file object may raise anything
        return False
    return True


def _take_cookies(request: PreparedRequest, response: Response) -> None:
    """Add the cookies that the 401 set, unless the caller wrote the header by hand."""
    jar = request._cookies
    if not response.cookies or jar is None:
        return
    bare = request.copy()
    by_hand = bare.headers.pop("Cookie", None)
    if by_hand == get_cookie_header(jar, bare):
        extract_cookies_to_jar(jar, request, response.raw)
        request.headers.pop("Cookie", None)
        request.prepare_cookies(jar)


def _drain(response: Response) -> None:
    """Read up to 64 KiB in a second, so that the connection can be used again; else close it."""
    watchdog = Watchdog(time.monotonic() + 1.0, response.raw)
    with contextlib.suppress(RequestException), watchdog:
        read_body(response, 64 * 1024, watchdog)
    response.close()


def parse_challenges(value: str) -> list[Challenge]:
    """Return the challenges of ``WWW-Authenticate``, in order; malformed parts are skipped."""
    challenges: list[Challenge] = []
    for step in re.finditer(_STEP, value[:MAX_CHALLENGES], re.DOTALL):
        if step["scheme"] is not None:
            challenges.append((step["scheme"].lower(), {}))
        elif step["name"] is not None and challenges:
            text = step["plain"] or re.sub(r"\\(.)", r"\1", step["quoted"], flags=re.DOTALL)
            challenges[-1][1].setdefault(step["name"].lower(), text)
    return challenges
