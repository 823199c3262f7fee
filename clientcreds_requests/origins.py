"""Where a URL really leads: origins, and whether a secret may travel there."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

import requests
from urllib3.util import parse_url

from .arguments import strings
from .exceptions import InsecureTransportError

_DEFAULT_PORTS = {"http": 80, "https": 443}


def origin(url: str) -> str | None:
    """Scheme, host and port of a prepared URL, as in ``https://api.example.com:443``.

    None when there is none, or when urllib's and urllib3's parsers disagree on the host: then
    nobody can say where a request for it would end up.
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
    """Is it https, or does it stay on this machine?"""
    if url.startswith("https://"):
        return True
    if origin(url) is None:  # nobody can say where it leads
        return False
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_secure(what: str, url: str, allow_http: bool) -> None:
    """Refuse what would travel in the clear.

    :raises InsecureTransportError: for plain http to another machine, unless it is allowed.
    """
    if not isinstance(allow_http, bool):
        raise TypeError(f"allow_http must be a bool, not {type(allow_http).__name__}")
    if not (allow_http or is_secure(url)):
        raise InsecureTransportError(
            f"{what} {without_query(url)} is not https: the secret or token would travel in the "
            "clear; use https, or pass allow_http=True on a network you trust"
        )


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
    if origin_only and (urlsplit(prepared).path not in ("", "/") or "?" in prepared):
        raise ValueError(f"{name} must be an origin: scheme, host and port, nothing else")
    return prepared


def checked_origins(urls: Iterable[str] | None, allow_http: bool) -> frozenset[str] | None:
    """The origins that a token may go to; None for any.

    :raises TypeError, ValueError: for what is no list of origins.
    :raises InsecureTransportError: for plain http to another machine, unless it is allowed.
    """
    if urls is None:
        return None
    found = set()
    for url in strings("allowed_origins", urls):
        prepared = prepare_url("allowed_origins", url, origin_only=True)
        require_secure("allowed_origins", prepared, allow_http)
        found.add(origin(prepared) or "")
    return frozenset(found)


def without_query(url: str) -> str:
    """The URL up to its query, which may hold keys, for errors and logs."""
    return url.partition("?")[0]
