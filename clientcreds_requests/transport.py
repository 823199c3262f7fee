"""Sending to the authorization server with a session's settings, and nothing else of it."""

from __future__ import annotations

import functools

import requests
from requests.adapters import BaseAdapter
from urllib3 import Retry

from .adapters import RetriedRequest, RetryAdapter
from .arguments import Cert

#: What every request to the authorization server says of itself.
FIELDS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Connection": "close",
    "User-Agent": "clientcreds-requests",
}


class _Transport(requests.Session):
    """Sends one request; it knows of no redirects, so that none is ever followed."""

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002
        return None


def send(
    request: RetriedRequest,
    session: requests.Session | None,
    timeout: tuple[float, float],
    retries: int | Retry,
    cert: Cert = None,
) -> requests.Response:
    """Send a request to the authorization server.

    It goes out by a session of its own: no header, parameter, cookie, hook or auth of the API's
    session travels along, and nothing of the answer stays there.

    :param session: whose adapters, TLS and proxy settings to use; None for those of requests.
    :param timeout: (connect, read) seconds for one attempt.
    :param retries: unless the session has mounted a retry adapter.
    :param cert: the client certificate; None: that of the session.
    :raises Exception: whatever the adapter raises.
    """
    url = request.url or ""
    with _Transport() as own:
        settings_of = session or own
        # A verify that was set is meant: requests would let REQUESTS_CA_BUNDLE override it.
        verify = None if settings_of.verify is True else settings_of.verify
        settings = settings_of.merge_environment_settings(url, {}, False, verify, cert)
        adapter = settings_of.get_adapter(url)
        if not isinstance(adapter, RetryAdapter):
            adapter = RetryAdapter(functools.partial(_same, adapter), retries)
        own.adapters = {url: adapter}
        return own.send(request, timeout=timeout, allow_redirects=False, **settings)


def _same(adapter: BaseAdapter, _url: str) -> BaseAdapter:
    return adapter
