"""Where a URL really leads: origins, and whether a secret may travel there."""

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
    """Scheme, host and port of a prepared URL, as in ``https://api.example.com:443``.

    None if there is none, or if urllib's and urllib3's parsers disagree on the host: then it
    cannot be told where a request for it would go.
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
    """Return True for https, and for what does not leave this machine."""
    return url.startswith("https://") or is_loopback(url)


def is_loopback(url: str) -> bool:
    """Return True if the host is this machine by its name or address."""
    if origin(url) is None:  # it cannot be told where it leads
        return False
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_secure(what: str, url: str, allow_http: bool) -> None:
    """Reject what would travel in the clear.

    :raises InsecureTransportError: for plain http to another machine, unless it is allowed.
    """
    if not isinstance(allow_http, bool):
        raise TypeError(f"allow_http must be a bool, not {type(allow_http).__name__}")
    if not (allow_http or is_secure(url)):
        raise InsecureTransportError(
            f"{what} {without_query(url)} is not https: the secret or token would travel in the "
            "clear; use https, or pass allow_http=True on a network you trust"
        )


def leaves_by_proxy(url: str, proxies: Mapping[str, str]) -> bool:
    """Return True if plain http would go to another machine by its proxy, wherever it leads.

    :param proxies: as requests takes them.
    """
    proxy = select_proxy(url, dict(proxies)) if url.startswith("http:") else None
    if not proxy:
        return False
    return not is_loopback("http://" + proxy.rpartition("://")[2].rpartition("@")[2])


def prepare_url(name: str, url: str, *, origin_only: bool = False) -> str:
    """The URL as requests would connect to it: lower case host, IDNA, percent-encoding.

    :param name: the argument's name, for the error.
    :param url: an absolute http or https URL without userinfo and fragment.
    :param origin_only: also refuse a path or a query.
    :raises TypeError: when it is no string.
    :raises ValueError: when it is no such URL.
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
    """The URL up to its query, which may hold keys, for errors and logs."""
    return url.partition("?")[0]


class AllowedOrigins:
    """Where a token may go.

    :param urls: the origins, such as ``https://api.example.com``; None for any.
    :param allow_http: also where it travels in the clear.
    :param quick: False if no URL is to be admitted by the way it begins.
    :raises TypeError, ValueError: for what is no list of origins.
    :raises InsecureTransportError: for plain http to another machine, unless it is allowed.
    """

    def __init__(self, urls: Iterable[str] | None, allow_http: bool, *, quick: bool = True) -> None:
        self.allow_http = allow_http
        self._origins = None if urls is None else self._all(urls)
        #: What a prepared URL may begin with to be admitted at a glance.
        self.trusted: tuple[str, ...] = ("https://",) if quick and urls is None else ()
        self._quick = quick

    def _all(self, urls: Iterable[str]) -> set[str | None]:
        found = [
            prepare_url("allowed_origins", url, origin_only=True)
            for url in strings("allowed_origins", urls)
        ]
        for url in found:
            require_secure("allowed_origins", url, self.allow_http)
        return {origin(url) for url in found}

    def admit(self, url: str) -> bool:
        """May the token go to this URL?

        :raises InsecureTransportError: when it may, but would travel in the clear.
        """
        where = origin(url)
        if self._origins is not None and where not in self._origins:
            return False
        require_secure("the API", url, self.allow_http)
        # Up to the slash after the host there is nothing that any parser could take for another.
        prefix = "/".join(url.split("/", 3)[:3]) + "/"
        is_plain = where is not None and origin(prefix) == where and url.startswith(prefix)
        if self._quick and is_plain and prefix not in self.trusted:
            self.trusted = (*self.trusted[-7:], prefix)
        return True
