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
    """Return the origin of a prepared URL (RFC 6454 §6.2), as in ``https://api.example.com:8443``.

    None for other schemes, without a host, or if the parsers of urllib and urllib3 disagree on it.
    """
    try:
        split, parsed = urlsplit(url), parse_url(url)
        default_port = _DEFAULT_PORTS[split.scheme]
        port = split.port or default_port
    except (ValueError, KeyError):
        return None
    host = (parsed.host or "").lower()
    if not host or host.strip("[]") != split.hostname:
        return None
    return f"{split.scheme}://{host}" + (f":{port}" if port != default_port else "")


def is_secure(url: str) -> bool:
    """Return True for https and for loopback."""
    return url.startswith("https://") or is_loopback(url)


def is_loopback(url: str) -> bool:
    """Return True if the host is this machine by its name or address."""
    host = urlsplit(origin(url) or "").hostname or ""
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


def require_direct(
    url: str, proxies: Mapping[str, str], kind: type[InsecureTransportError]
) -> None:
    """Raise an error of that kind for plain http through a proxy on another machine."""
    proxy = select_proxy(url, dict(proxies)) if url.startswith("http:") else None
    if proxy and not is_loopback(f"http://{proxy.rpartition('://')[2]}"):
        raise kind(
            f"{without_query(url)} is plain http, and its proxy is on another machine: the secret "
            "or token would travel in the clear; set no_proxy, or pass allow_http=True on a "
            "network you trust"
        )


def prepare_url(name: str, url: str) -> str:
    """Return a URL as requests connects to it: lower case host, IDNA, percent-encoding.

    :param name: the argument's name, for the error.
    :raises TypeError, ValueError: if it is not absolute, or has userinfo or a fragment.
    """
    if "#" in identifier(name, url):
        raise ValueError(f"{name} may not have a fragment (RFC 6749 §3.2)")
    try:
        prepared = requests.Request("GET", url).prepare().url or ""
    except ValueError:
        prepared = ""
    if origin(prepared) is None:
        raise ValueError(f"{name} must be an absolute http or https URL")
    if "@" in urlsplit(prepared).netloc:
        raise ValueError(f"{name} may not hold credentials; pass client_id and client_secret")
    return prepared


def without_query(url: str) -> str:
    """Return the URL without its query, which may hold keys, for errors and logs."""
    return url.partition("?")[0]


class AllowedOrigins:
    """The origins to which a token may be sent; any if ``urls`` is None.

    :param quick: False to check every URL, whatever it begins with.
    :raises TypeError, ValueError: if ``urls`` is no list of origins.
    :raises InsecureTransportError: for plain http to another machine, unless it is allowed.
    """

    __slots__ = ("_origins", "_quick", "allow_http", "trusted")

    def __init__(self, urls: Iterable[str] | None, allow_http: bool, *, quick: bool = True) -> None:
        self.allow_http: bool = allow_http
        self._quick = quick
        #: A prepared URL that begins with one of these needs no further check.
        self.trusted: tuple[str, ...] = ()
        name = "allowed_origins"
        prepared = [prepare_url(name, url) for url in strings(name, urls)]
        for url in prepared:
            if urlsplit(url).path != "/" or "?" in url:
                raise ValueError(f"{name} must be origins: scheme, host and port, nothing else")
            require_secure(name, url, allow_http)
        self._origins = None if urls is None else {origin(url) for url in prepared}

    def admit(self, url: str, *, trust: bool = False) -> bool:
        """Return True if the token may be sent to this URL.

        :param trust: add its origin to ``trusted``, so that later calls need no check.
        :raises InsecureTransportError: if it may, but would travel in the clear.
        """
        where = origin(url)
        if self._origins is not None and where not in self._origins:
            return False
        require_secure("the API", url, self.allow_http)
        # With the slash, the parsers agree on whatever begins like this.
        prefix = "/".join(url.split("/", 3)[:3]) + "/"
        if self._origins is None and prefix.startswith("https://"):
            prefix = "https://"
        if trust and self._quick and url.startswith(prefix) and prefix not in self.trusted:
            self.trusted = (*self.trusted[-7:], prefix)
        return True
