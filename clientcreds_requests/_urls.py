"""Origins of URLs, and whether a secret may be sent there."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

import requests
from requests.utils import select_proxy
from urllib3.util import parse_url

from ._checks import identifier, strings
from .exceptions import InsecureTransportError

_DEFAULT_PORTS = {"http": 80, "https": 443}


def origin(url: str) -> str | None:
    """Return scheme, host and port of a prepared URL, as in ``https://api.example.com:443``.

    None for other schemes, without a host, or if the parsers of urllib and urllib3 disagree on it.
    """
    try:
        split, parsed = urlsplit(url), parse_url(url)
        port = split.port
    except ValueError:
        return None
    host = split.hostname
    if split.scheme not in _DEFAULT_PORTS or not host:
        return None
    if (parsed.host or "").strip("[]").lower() != host:
        return None
    bracketed = f"[{host}]" if ":" in host else host
    return f"{split.scheme}://{bracketed}:{port or _DEFAULT_PORTS[split.scheme]}"


def is_secure(url: str) -> bool:
    """Return True for https and for loopback."""
    return url.startswith("https://") or is_loopback(url)


def is_loopback(url: str) -> bool:
    """Return True if the host is this machine by its name or address."""
    host = "" if origin(url) is None else urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_secure(what: str, url: str, allow_http: bool) -> None:
    """Raise InsecureTransportError for plain http to another machine, unless it is allowed."""
    if not isinstance(allow_http, bool):
        raise TypeError(f"allow_http must be a bool, not {type(allow_http).__name__}")
    if not (allow_http or is_secure(url)):
        raise InsecureTransportError(
            f"{what} {without_query(url)} is not https: the secret or token would travel in the "
            "clear; use https, or pass allow_http=True on a network you trust"
        )


def leaves_by_proxy(url: str, proxies: Mapping[str, str]) -> bool:
    """Return True if a URL is plain http and its proxy is on another machine."""
    proxy = select_proxy(url, dict(proxies)) if url.startswith("http:") else None
    host = (proxy or "").rpartition("://")[2].rpartition("@")[2]
    return bool(proxy) and not is_loopback(f"http://{host}")


def prepare_url(name: str, url: str, *, origin_only: bool = False) -> str:
    """Return a URL as requests connects to it: lower case host, IDNA, percent-encoding.

    :param name: the argument's name, for the error.
    :param origin_only: reject a path and a query, too.
    :raises TypeError, ValueError: if it is not absolute, or has userinfo or a fragment.
    """
    if not isinstance(url, str):
        raise TypeError(f"{name} must be a URL as a str, not {type(url).__name__}")
    if url:
        identifier(name, url)
    if "#" in url:
        raise ValueError(f"{name} may not have a fragment (RFC 6749 §3.2)")
    try:
        prepared = requests.Request("GET", url).prepare().url or ""
        userinfo = parse_url(prepared).auth
    except ValueError:
        prepared, userinfo = "", None
    if origin(prepared) is None:
        raise ValueError(f"{name} must be an absolute http or https URL")
    if userinfo is not None:
        raise ValueError(f"{name} may not hold credentials; pass client_id and client_secret")
    if origin_only and (urlsplit(prepared).path != "/" or "?" in prepared):
        raise ValueError(f"{name} must be an origin: scheme, host and port, nothing else")
    return prepared


def without_query(url: str) -> str:
    """Return the URL without its query, which may hold keys, for errors and logs."""
    return url.partition("?")[0]


class AllowedOrigins:
    """The origins to which a token may be sent.

    :param urls: the origins, such as ``https://api.example.com``; None for any.
    :param allow_http: allow plain http to other machines.
    :param quick: False to parse every URL, without the shortcut of ``trusted``.
    :raises TypeError, ValueError: if ``urls`` is no list of origins.
    :raises InsecureTransportError: for plain http to another machine, unless it is allowed.
    """

    def __init__(self, urls: Iterable[str] | None, allow_http: bool, *, quick: bool = True) -> None:
        self.allow_http = allow_http
        self._origins: set[str | None] | None = None
        #: A prepared URL that begins with one of these needs no further check.
        self.trusted: tuple[str, ...] = ()
        self._quick = quick
        if urls is not None:
            name = "allowed_origins"
            prepared = [prepare_url(name, url, origin_only=True) for url in strings(name, urls)]
            for url in prepared:
                require_secure(name, url, allow_http)
            self._origins = {origin(url) for url in prepared}

    def admit(self, url: str, *, trust: bool = False) -> bool:
        """Return True if the token may be sent to this URL.

        :param trust: admit what begins like it by that alone from now on.
        :raises InsecureTransportError: if it may, but would travel in the clear.
        """
        where = origin(url)
        if self._origins is not None and where not in self._origins:
            return False
        require_secure("the API", url, self.allow_http)
        # The parsers agree on whatever begins with this scheme, host and slash.
        prefix = "/".join(url.split("/", 3)[:3]) + "/"
        is_plain = where is not None and origin(prefix) == where and url.startswith(prefix)
        if self._origins is None and prefix.startswith("https://"):
            prefix = "https://"
        if trust and self._quick and is_plain and prefix not in self.trusted:
            self.trusted = (*self.trusted[-7:], prefix)
        return True
