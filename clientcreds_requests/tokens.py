"""The two values: :class:`TokenRequest`, what is asked for, and :class:`Token`, what is got."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from .arguments import strings, text
from .values import Value, value_class

#: Longer lifetimes, in seconds, are taken for this one: they are milliseconds, or a mistake.
MAX_LIFETIME = 366 * 24 * 3600.0

_SCOPE_TOKEN = r"[\x21\x23-\x5b\x5d-\x7e]+"  # RFC 6749 Appendix A.4
_VISIBLE = r"[\x21-\x7e]+"
_NUMBER = r"\s*[+-]?[0-9]{1,300}(\.[0-9]*)?\s*"

# "BearerToken" is Apigee's, "Application Access Token" is eBay's.
_BEARER = frozenset({"", "bearer", "bearertoken", "application access token"})
# A refresh token does not belong here (RFC 6749 §4.4.3), and is not kept.
_NOT_EXTRA = frozenset({"access_token", "expires_in", "refresh_token", "scope", "token_type"})

#: What a token request carries under arguments of their own.
RESERVED_PARAMS = frozenset({"audience", "grant_type", "resource", "scope"}).union(
    {"client_assertion", "client_assertion_type", "client_id", "client_secret"}
)


@value_class(frozen=True)
class TokenRequest(Value):
    """What is asked for: a frozen value, and the key under which its token is kept.

    :param scope: space-separated (RFC 6749 §3.3), or an iterable of scopes.
    :param resources: absolute URIs of the resource servers (RFC 8707).
    :param audience: as Auth0 and others want it.
    :param extra_params: further parameters of the token request.
    :raises TypeError: for a wrong type, a bare string as ``resources`` among them.
    :raises ValueError: for a malformed scope or URI, or a parameter that has its own argument.
    """

    scope: str | None
    resources: tuple[str, ...]
    audience: str | None
    extra_params: tuple[tuple[str, str], ...]

    def __init__(
        self,
        scope: str | Iterable[str] | None = None,
        resources: Iterable[str] | None = None,
        audience: str | None = None,
        extra_params: Mapping[str, str] | tuple[tuple[str, str], ...] | None = None,
    ) -> None:
        self._set(scope=scope, resources=resources, audience=audience, extra_params=extra_params)
        self.__post_init__()

    def __post_init__(self) -> None:
        self._set(
            scope=_scope(self.scope),
            resources=_resources(self.resources),
            audience=_audience(self.audience),
            extra_params=_extra_params(self.extra_params),
        )
        self._set(_hash=super().__hash__())

    # Every lookup of a token needs the hash: it is reckoned once.
    def __hash__(self) -> int:
        reckoned: int = self.__dict__["_hash"]
        return reckoned

    def __reduce__(self) -> tuple[Any, ...]:
        # Hashes of strings differ from process to process.
        return TokenRequest, tuple(self._fields().values())

    def params(self) -> dict[str, Any]:
        """The parameters of the token request; whatever is empty is left out."""
        params: dict[str, Any] = {"grant_type": "client_credentials"}
        if self.scope:
            params["scope"] = self.scope
        if self.resources:
            params["resource"] = list(self.resources)
        if self.audience:
            params["audience"] = self.audience
        params.update(self.extra_params)
        return params


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


def _audience(audience: str | None) -> str | None:
    return None if audience is None or audience == "" else text("audience", audience)


def _resources(resources: Iterable[str] | None) -> tuple[str, ...]:
    uris = tuple(strings("resources", resources))
    for uri in uris:
        try:
            absolute = bool(urlsplit(uri).scheme) and re.fullmatch(_VISIBLE, uri) is not None
        except ValueError:
            absolute = False
        if not absolute or "#" in uri:
            raise ValueError(
                f"resources: {uri!r} is not an absolute URI without a fragment (RFC 8707 §2)"
            )
    return uris


def _extra_params(
    extra: Mapping[str, str] | tuple[tuple[str, str], ...] | None,
) -> tuple[tuple[str, str], ...]:
    if extra is None:
        return ()
    if not isinstance(extra, (Mapping, tuple)):
        raise TypeError(f"extra_params must be a mapping, not {type(extra).__name__}")
    if isinstance(extra, tuple) and not all(isinstance(pair, tuple) for pair in extra):
        raise TypeError("extra_params must be a mapping")
    params = dict(extra)
    for name, value in params.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"extra_params must map str to str; see {name!r}")
        if name in RESERVED_PARAMS:
            raise ValueError(f"extra_params may not redefine {name!r}: it has its own argument")
    return tuple(sorted((name, value) for name, value in params.items() if value))


@value_class(frozen=True)
class Moment(Value):
    """A moment on the wall clock (seconds since the epoch) and on the monotonic clock."""

    wall: float
    monotonic: float

    @classmethod
    def now(cls) -> Moment:
        """This moment."""
        return cls(time.time(), time.monotonic())


@value_class(frozen=True)
class Token(Value):
    """An access token and what was said of it (RFC 6749 §5.1).

    :param access_token: visible ASCII characters; never in ``repr``.
    :param expires_at: seconds since the epoch; None when the server did not say.
    :param scope: as granted, space-separated.
    :param token_type: ``Bearer``, or ``DPoP``: bound to a key (RFC 9449).
    :param extra: other members of the response; never in ``repr``.
    :param authorization: the header value, ready; made of type and token when left out.
    :raises ValueError: when the token could not stand in a header.
    """

    access_token: str
    expires_at: float | None
    scope: str | None
    token_type: str
    extra: Mapping[str, Any]
    authorization: str
    # The same expiry on the monotonic clock. The wall clock may be set back, the monotonic one
    # stands still while a machine sleeps: whichever says "expired" first is believed.
    expires_monotonic: float
    # Is it from a store, where it may have lain for a while?
    stored: bool

    _aside = frozenset({"expires_monotonic", "stored"})
    _secret = frozenset({"access_token", "extra", "authorization"})

    def __init__(
        self,
        access_token: str,
        expires_at: float | None = None,
        scope: str | None = None,
        token_type: str = "Bearer",
        extra: Mapping[str, Any] | None = None,
        authorization: str = "",
    ) -> None:
        self._set(access_token=access_token, expires_at=expires_at, scope=scope)
        self._set(token_type=token_type, extra=extra or {}, authorization=authorization)
        self.__post_init__()

    def __post_init__(self) -> None:
        if not isinstance(self.access_token, str) or not re.fullmatch(_VISIBLE, self.access_token):
            raise ValueError("the access token is not a string of visible ASCII characters")
        left = math.inf if self.expires_at is None else self.expires_at - time.time()
        self._set(
            extra=MappingProxyType(dict(self.extra or {})),
            authorization=self.authorization or f"{self.token_type} {self.access_token}",
            expires_monotonic=time.monotonic() + left,
            stored=False,
        )

    def __hash__(self) -> int:
        return hash(self.authorization)

    def __reduce__(self) -> tuple[Any, ...]:
        # A proxy cannot be pickled, and a monotonic clock means nothing on another machine.
        values = (self.access_token, self.expires_at, self.scope, self.token_type)
        return Token, (*values, dict(self.extra), self.authorization)

    @classmethod
    def from_response(
        cls, members: Mapping[str, Any], sent_at: Moment, *, bound: bool = False
    ) -> Token:
        """Read the members of a successful response.

        :param members: the JSON object.
        :param sent_at: when the request was sent: lifetimes count from there, so that neither a
            slow endpoint lengthens them, nor a clock that is set meanwhile.
        :param bound: was a token asked for that is bound to a DPoP key (RFC 9449 §5)?
        :raises ValueError: when there is no usable token in it; the text says why.
        """
        token_type = _token_type(members.get("token_type"), bound)
        lifetime = _lifetime(members.get("expires_in"))
        token = cls(
            members.get("access_token", ""),
            expires_at=None if lifetime is None else sent_at.wall + lifetime,
            scope=_granted_scope(members.get("scope")),
            token_type=token_type,
            extra={name: value for name, value in members.items() if name not in _NOT_EXTRA},
        )
        if lifetime is not None:
            token._set(expires_monotonic=sent_at.monotonic + lifetime)
        return token

    @property
    def fingerprint(self) -> str:
        """The first eight digits of the token's SHA-256, by which logs name it."""
        return hashlib.sha256(self.access_token.encode()).hexdigest()[:8]

    def seconds_left(self) -> float:
        """Seconds until it expires, by the less hopeful clock; infinite when nobody said."""
        wall = math.inf if self.expires_at is None else self.expires_at - time.time()
        return min(wall, self.expires_monotonic - time.monotonic())


def _token_type(given: object, bound: bool) -> str:
    """How the token is to be presented.

    :raises ValueError: for a type that is not understood, or not the one that was asked for.
    """
    name = "" if given is None else given.strip().lower() if isinstance(given, str) else None
    if name == "dpop" and bound:
        return "DPoP"
    if name == "dpop":
        raise ValueError("token_type 'DPoP' is not understood without a key: pass dpop")
    if name not in _BEARER:
        raise ValueError(f"the token_type {_shown(given)} is not understood")
    if bound:
        raise ValueError("the token is not bound to the DPoP key; set the client up for DPoP")
    return "Bearer"


def _lifetime(expires_in: object) -> float | None:
    """Seconds; None when the server did not say, or nothing that can be used."""
    if isinstance(expires_in, str) and re.fullmatch(_NUMBER, expires_in):
        expires_in = float(expires_in)
    if isinstance(expires_in, bool) or not isinstance(expires_in, (int, float)):
        return None
    if isinstance(expires_in, float) and not math.isfinite(expires_in):
        return None
    return float(min(max(expires_in, 0), MAX_LIFETIME))


def _granted_scope(scope: str | list[Any] | None) -> str | None:
    if isinstance(scope, list) and all(isinstance(item, str) for item in scope):
        scope = " ".join(scope)
    return scope or None if isinstance(scope, str) else None


def _shown(token_type: object) -> str:
    """What could be a type, for the error: anything else may be a secret gone astray."""
    if isinstance(token_type, str) and re.fullmatch(r"[\w .-]{1,30}", token_type, re.ASCII):
        return repr(token_type)
    return f"(a {type(token_type).__name__})"
