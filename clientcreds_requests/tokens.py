"""What is asked for (:class:`TokenRequest`), what is received (:class:`Token`), and from where."""

from __future__ import annotations

import contextlib
import hashlib
import math
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping
from operator import itemgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NoReturn, TypeAlias
from urllib.parse import urlsplit

from ._checks import ExtraParams, identifier, strings, text

if TYPE_CHECKING:
    from typing_extensions import Self

    from .exceptions import TokenError

_SCOPE_TOKEN = r"[\x21\x23-\x5b\x5d-\x7e]+"  # RFC 6749 Appendix A.4
_VISIBLE = r"[\x21-\x7e]+"

ParamPairs: TypeAlias = tuple[tuple[str, str | Callable[[], str]], ...]

#: Parameters of the token request that have arguments of their own.
RESERVED_PARAMS = frozenset(
    ("audience", "client_assertion", "client_assertion_type", "client_id", "client_secret", "scope")
)


class _Frozen:
    """A value whose fields are set once, and compared by those in ``__match_args__``."""

    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __setattr__(self, name: str, value: object) -> None:
        if hasattr(self, name):
            raise AttributeError(f"{type(self).__name__} is immutable: {name!r} cannot be changed")
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable: {name!r} cannot be deleted")

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__match_args__}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Frozen) or type(other) is not type(self):
            return NotImplemented
        return self._fields() == other._fields()


class TokenRequest(_Frozen):
    """What is asked for: an immutable value, and the key under which its token is cached.

    :param scope: space-separated (RFC 6749 §3.3), or an iterable of scopes.
    :param resources: absolute URIs of the resource servers (RFC 8707).
    :param audience: the API, as Auth0 and others expect it.
    :param extra_params: further parameters of the token request; a ``resource`` that is no URI and
        another ``grant_type`` may be among them. All other values count as secrets. A callable is
        called for every attempt; two requests with the same callable are equal.
    :raises TypeError: for a wrong type, also for a bare string as ``resources``.
    :raises ValueError: for a malformed scope or URI, or a parameter that has its own argument.
    """

    __match_args__: ClassVar[tuple[str, ...]] = ("scope", "resources", "audience", "extra_params")
    __slots__ = (*__match_args__, "_hash")

    def __init__(
        self,
        scope: str | Iterable[str] | None = None,
        resources: Iterable[str] | None = None,
        audience: str | None = None,
        extra_params: ExtraParams | ParamPairs | None = None,
    ) -> None:
        self.scope: str | None = _scope(scope)
        self.resources: tuple[str, ...] = _resources(resources)
        self.audience: str | None = (
            None if audience in (None, "") else identifier("audience", audience)
        )
        self.extra_params: ParamPairs = _extra_params(extra_params)
        if self.resources and "resource" in dict(self.extra_params):
            raise ValueError("pass resources or extra_params['resource'], not both")
        # Callables need not be hashable.
        hashable = [pair for pair in self.extra_params if isinstance(pair[1], Hashable)]
        self._hash = hash((self.scope, self.resources, self.audience, *hashable))

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return TokenRequest, tuple(self._fields().values())

    def __replace__(self, **changes: Any) -> Self:
        # copy.replace() calls this, too.
        return type(self)(**{**self._fields(), **changes})

    def __repr__(self) -> str:
        fields = [f"{n}={v!r}" for n in self.__match_args__[:3] if (v := getattr(self, n))]
        names = ", ".join(name for name, _ in self.extra_params)
        fields += [f"extra_params=<{names}>"] if names else []
        return f"TokenRequest({', '.join(fields)})"

    def params(self) -> dict[str, Any]:
        """Return the parameters of the token request; empty ones are left out.

        Callables are among them as they are.
        """
        params: dict[str, Any] = {
            "grant_type": "client_credentials",
            "scope": self.scope,
            "resource": list(self.resources),
            "audience": self.audience,
        }
        return {name: value for name, value in params.items() if value} | dict(self.extra_params)


def _scope(scope: str | Iterable[str] | None) -> str | None:
    scopes = strings("scope", [scope] if isinstance(scope, str) else scope)
    tokens = [token for text in scopes for token in text.split(" ") if token]
    for token in tokens:
        if not re.fullmatch(_SCOPE_TOKEN, token):
            raise ValueError(
                f"scope {token!r} has characters that RFC 6749 §3.3 forbids; "
                "pass visible ASCII without quotes and backslashes, separated by single spaces"
            )
    return " ".join(tokens) or None


def _resources(resources: Iterable[str] | None) -> tuple[str, ...]:
    uris = tuple(strings("resources", resources))
    for uri in uris:
        with contextlib.suppress(ValueError):
            if urlsplit(uri).scheme and "#" not in uri and re.fullmatch(_VISIBLE, uri):
                continue
        raise ValueError(f"resources: {uri!r} is not an absolute URI, or has a fragment (RFC 8707)")
    return uris


def _extra_params(extra: ExtraParams | ParamPairs | None) -> ParamPairs:
    pairs = tuple(extra.items()) if isinstance(extra, Mapping) else extra or ()
    if not isinstance(pairs, tuple) or not all(isinstance(pair, tuple) for pair in pairs):
        raise TypeError(f"extra_params must be a mapping, not {type(extra).__name__}")
    for name, value in pairs:
        if not isinstance(name, str) or not (isinstance(value, str) or callable(value)):
            raise TypeError(f"extra_params must map str to str or a callable; see {name!r}")
        text("a name in extra_params", name)
        if name == "grant_type" and value:  # no callable: tokens are kept by it
            identifier("extra_params['grant_type']", value)
        if name in RESERVED_PARAMS:
            raise ValueError(f"extra_params may not redefine {name!r}: it has its own argument")
    return tuple(sorted((p for p in pairs if callable(p[1]) or p[1]), key=itemgetter(0)))


class Moment(NamedTuple):
    """A moment on the wall clock (seconds since the epoch) and on the monotonic clock."""

    wall: float
    monotonic: float

    @classmethod
    def now(cls) -> Moment:
        """Return the current moment."""
        return cls(time.time(), time.monotonic())


class Token(_Frozen):
    """An access token and what the server sent with it (RFC 6749 §5.1).

    :param access_token: visible ASCII characters; never in ``repr``.
    :param expires_at: seconds since the epoch; None if the server did not say.
    :param scope: as granted, space-separated.
    :param token_type: ``Bearer``, or ``DPoP``: bound to a key (RFC 9449).
    :param extra: other members of the response; never in ``repr``.
    :param authorization: the header value, ready; by default type and token.
    :raises ValueError: if the token cannot be sent in a header.
    """

    __match_args__: ClassVar[tuple[str, ...]] = (
        "access_token",
        "expires_at",
        "scope",
        "token_type",
        "extra",
        "authorization",
    )
    __slots__ = (*__match_args__, "_expires_monotonic")

    def __init__(
        self,
        access_token: str,
        expires_at: float | None = None,
        scope: str | None = None,
        token_type: str = "Bearer",
        extra: Mapping[str, Any] | None = None,
        authorization: str = "",
        *,
        _expires_monotonic: float | None = None,
    ) -> None:
        if not isinstance(access_token, str) or not re.fullmatch(_VISIBLE, access_token):
            raise ValueError("the access token is not a string of visible ASCII characters")
        if _expires_monotonic is None:
            left = math.inf if expires_at is None else expires_at - time.time()
            _expires_monotonic = time.monotonic() + left
        self.access_token: str = access_token
        self.expires_at: float | None = expires_at
        self.scope: str | None = scope
        self.token_type: str = token_type
        self.extra: Mapping[str, Any] = MappingProxyType(dict(extra or {}))
        self.authorization: str = authorization or f"{token_type} {access_token}"
        # The same expiry on the monotonic clock: the wall clock may be set back, and the monotonic
        # one may stop while a machine sleeps.
        self._expires_monotonic: float = _expires_monotonic

    def __hash__(self) -> int:
        return hash(self.authorization)

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy cannot be pickled, and other machines have other monotonic clocks.
        return Token, tuple({**self._fields(), "extra": dict(self.extra)}.values())

    def __repr__(self) -> str:
        state = f"token_type={self.token_type!r}, seconds_left={max(0, self.seconds_left()):.0f}"
        return f"Token(expires_at={self.expires_at!r}, scope={self.scope!r}, {state})"

    @property
    def fingerprint(self) -> str:
        """The first eight hexadecimal digits of the token's SHA-256, by which logs name it."""
        return hashlib.sha256(self.access_token.encode()).hexdigest()[:8]

    def seconds_left(self) -> float:
        """Return the seconds until expiry, by whichever clock says less; ``inf`` without one."""
        wall = math.inf if self.expires_at is None else self.expires_at - time.time()
        return min(wall, self._expires_monotonic - time.monotonic())


class Fetched(NamedTuple):
    """What a :class:`TokenSource` returns.

    :param token: the token.
    :param from_store: True if it came from a shared store.
    """

    token: Token
    from_store: bool = False


class TokenSource(ABC):
    """Where a manager gets its tokens: the token endpoint, or a store in front of it."""

    @abstractmethod
    def fetch(
        self, request: TokenRequest, until: float, rejected: Token | None, refused: bool, /
    ) -> Fetched:
        """Get a token.

        :param request: what is asked for.
        :param until: the moment, on the monotonic clock, by which to give up.
        :param rejected: a token that must not be returned: refused or due.
        :param refused: True if the API refused it.
        :raises TokenError: if there is none.
        """

    @abstractmethod
    def report(self, request: TokenRequest, outcome: Fetched | TokenError, took: float, /) -> None:
        """Log the outcome of a request, after all waiting callers have it.

        :param took: seconds that :meth:`fetch` took.
        """


class PlainSource(TokenSource):
    """A source that calls ``fetch(request)`` and leaves logging to it."""

    def __init__(self, fetch: Callable[[TokenRequest], Token]) -> None:
        if not callable(fetch):
            raise TypeError("fetch must be a callable that takes a TokenRequest")
        self._fetch = fetch

    def __repr__(self) -> str:
        return getattr(self._fetch, "__qualname__", type(self._fetch).__name__)

    def fetch(self, request: TokenRequest, *_: object) -> Fetched:
        """Return the token of the callable."""
        return Fetched(self._fetch(request))

    def report(self, *_: object) -> None:
        """Log nothing."""


class TokenStats(NamedTuple):
    """Counters of a manager, since it was made or its process was forked.

    A token request counts once, however many attempts and callers it had, as obtained, from a
    store, or failed. A usable token is returned without being counted.

    :param obtained: tokens that the token endpoint issued.
    :param from_store: tokens that came from a shared store.
    :param renewed_ahead: tokens of either kind received while the previous one was usable.
    :param joined: callers that waited for a token request of another thread.
    :param failed: token requests that failed.
    :param refused: tokens dropped because an API refused them.
    :param paused: callers that got the last error at once, during a pause of the endpoint.
    :param last_error_at: when a token request failed last, in seconds since the epoch; None if
        none has.
    :param seconds_left: seconds until the token received last expires; ``inf`` without an expiry,
        None if it has expired or been dropped.
    """

    obtained: int = 0
    from_store: int = 0
    renewed_ahead: int = 0
    joined: int = 0
    failed: int = 0
    refused: int = 0
    paused: int = 0
    last_error_at: float | None = None
    seconds_left: float | None = None
