"""The retry policy of the token request, and the adapter that carries it out."""

from __future__ import annotations

import logging
import random
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from requests.adapters import BaseAdapter
from urllib3 import Retry
from urllib3.exceptions import MaxRetryError
from urllib3.response import BaseHTTPResponse

from ._checks import Cert
from ._logs import log
from ._transport import Watchdog, read_body
from ._urls import leaves_by_proxy, without_query
from .exceptions import InsecureProxyError
from .tokens import Moment

logger: logging.Logger = logging.getLogger(__name__)

#: Statuses after which the same token request may succeed a moment later.
RETRY_STATUSES = frozenset({429, 500, 502, 503, 504})

#: Sent with every request to the authorization server.
HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Connection": "close",
    "User-Agent": "clientcreds-requests",
}

#: The longest wait for another attempt, in seconds; after a longer Retry-After there is none.
MAX_WAIT = 5.0

#: The most bytes of an answer that are read.
MAX_BODY = 1024 * 1024


def _policy(retries: int | Retry) -> Retry:
    if isinstance(retries, Retry):
        # urllib3 retries no POST unless it is told to.
        return retries.new(allowed_methods=None)
    return Retry(
        retries,
        allowed_methods=None,
        status_forcelist=RETRY_STATUSES,
        backoff_factor=0.25,
        backoff_jitter=0.25,
        backoff_max=MAX_WAIT,
        raise_on_status=False,
    )


class RetriedRequest(requests.PreparedRequest):
    """A request to the authorization server that is completed anew for every attempt.

    :param method: of the request.
    :param url: prepared.
    :param complete: returns body and header fields; called at once and before every further
        attempt, because assertions, proofs and correlation ids may be used only once.
    :param until: the moment, on the monotonic clock, by which the answer must be there.
    :param final: statuses that are an answer this time, though they are retried in general.
    :param answered: called with every answer.
    """

    #: When the latest attempt began.
    sent_at: Moment

    def __init__(
        self,
        method: str,
        url: str,
        complete: Callable[[], tuple[bytes | str, Mapping[str, str]]],
        until: float,
        final: frozenset[int] = frozenset(),
        answered: Callable[[requests.Response], object] | None = None,
    ) -> None:
        super().__init__()
        self.method, self.url = method, url
        self.until, self.final = until, final
        self._complete, self._answered = complete, answered
        self.renew()

    def renew(self) -> None:
        """Complete the request for another attempt."""
        body, headers = self._complete()
        self.prepare_headers(headers)
        self.prepare_cookies({})
        self.prepare_body(body, None)
        self.sent_at = Moment.now()

    def answer(self, response: requests.Response) -> None:
        """Take note of an answer, which the next attempt may depend on."""
        if self._answered is not None:
            self._answered(response)


class RetryAdapter(BaseAdapter):
    """Sends token requests with retries, and everything else as the adapter below it does.

    Mounted for the token endpoint it also meets URLs that begin like it, and an API's own
    requests: those pass through untouched.

    :param adapter: really sends; also what an adapter that was looked up hands back, as recorders
        do.
    :param retries: the retries after the first attempt, or a urllib3 policy. Connection
        failures, 429, 500, 502, 503 and 504 are retried, with exponential back-off and jitter.
    :param look_up: returns the adapter that really sends, for a URL, whenever one is needed; so
        that what is mounted later holds. None: ``adapter``.
    """

    def __init__(
        self,
        adapter: BaseAdapter,
        retries: int | Retry = 3,
        look_up: Callable[[str], BaseAdapter] | None = None,
    ) -> None:
        super().__init__()
        self._adapter = adapter
        self._look_up = look_up
        self.max_retries: Retry = _policy(retries)
        self._statuses = frozenset(self.max_retries.status_forcelist or RETRY_STATUSES)

    def close(self) -> None:
        """Do nothing: the adapter below belongs to the session."""

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Send a request; a :class:`RetriedRequest` until it is answered, or it is too late.

        The body of the answer to a token request has been read. If the last attempt failed, its
        answer or exception is what the caller gets.
        """
        settings = {"verify": verify, "cert": cert, "proxies": proxies}
        url = request.url or ""
        here, under_way = (threading.get_ident(), url), _under_way.get({})
        if here in under_way:  # handed back by the adapter that was looked up
            watchdog = under_way[here]
            adapter = self._adapter if watchdog is None else watchdog.twin_of(self._adapter)
            return adapter.send(request, stream=stream, timeout=timeout, **settings)
        adapter = self._adapter if self._look_up is None else self._look_up(url)
        if not isinstance(request, RetriedRequest):
            settings.update(stream=stream, timeout=timeout)
            return _send_below(adapter, request, None, settings)
        with Watchdog(request.until) as watchdog:
            twin = watchdog.twin_of(adapter)
            return self._attempts(watchdog, twin, request, timeout, settings)

    def _attempts(
        self,
        watchdog: Watchdog,
        adapter: BaseAdapter,
        request: RetriedRequest,
        timeout: Any,
        settings: dict[str, Any],
    ) -> requests.Response:
        policy = self.max_retries
        attempt = 1
        while True:
            settings.update(stream=True, timeout=_within(timeout, request.until))
            try:
                response = _send_below(adapter, request, watchdog, settings)
                request.answer(response)
                read_body(response, MAX_BODY, watchdog)
            except requests.RequestException as error:
                watchdog.check(error)
                following = _after_error(policy, error)
                if following is None or not _pause(following, None, request.until):
                    raise
                reason = type(root_cause(error)).__name__
            else:
                watchdog.check()
                if response.status_code not in self._statuses - request.final:
                    return response
                following = _after_answer(policy, response)
                if following is None or not _pause(following, response, request.until):
                    return response
                reason = f"status {response.status_code}"
            endpoint = without_query(request.url or "")
            log(logger, "attempt_failed", endpoint=endpoint, attempt=attempt, reason=reason)
            policy, attempt = following, attempt + 1
            request.renew()


# By thread and URL: the watchdogs of the requests that an adapter below a retry adapter is sending.
# For all retry adapters, as recorders put themselves in the place of any adapter of a session.
_under_way: ContextVar[Mapping[tuple[int, str], Watchdog | None]] = ContextVar("under way")


def _send_below(
    adapter: BaseAdapter,
    request: requests.PreparedRequest,
    watchdog: Watchdog | None,
    settings: Mapping[str, Any],
) -> requests.Response:
    """Send by an adapter that may hand the request back, to this retry adapter or to another."""
    here = (threading.get_ident(), request.url or "")
    before = _under_way.set({**_under_way.get({}), here: watchdog})
    try:
        return adapter.send(request, **settings)
    finally:
        _under_way.reset(before)


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
    allow_http: bool = False,
) -> requests.Response:
    """Send a request to the authorization server.

    It goes out by a session of its own: no header, parameter, cookie, hook or auth of the API's
    session travels along, and nothing of the answer stays there.

    :param session: whose adapters, TLS and proxy settings to use; None for those of requests.
    :param timeout: (connect, read) seconds for one attempt.
    :param retries: unless the session has mounted a retry adapter.
    :param cert: the client certificate; None: that of the session.
    :param allow_http: let it leave this machine in the clear.
    :raises InsecureProxyError: if a proxy would take it there.
    :raises Exception: whatever the adapter raises.
    """
    url = request.url or ""
    with _Transport() as own:
        settings_of = session or own
        # A verify that was set is meant: requests would let REQUESTS_CA_BUNDLE override it.
        verify = None if settings_of.verify is True else settings_of.verify
        settings = settings_of.merge_environment_settings(url, {}, False, verify, cert)
        if not allow_http and leaves_by_proxy(url, settings["proxies"]):
            raise InsecureProxyError(
                f"{without_query(url)} is plain http, and the proxy for it is on another machine: "
                "the secret would travel in the clear; set no_proxy, or pass allow_http=True on a "
                "network you trust"
            )
        adapter = settings_of.get_adapter(url)
        if not isinstance(adapter, RetryAdapter):
            adapter = RetryAdapter(adapter, retries)
        own.adapters = {url: adapter}
        return own.send(request, timeout=timeout, allow_redirects=False, **settings)


def _after_error(policy: Retry, error: requests.RequestException) -> Retry | None:
    """The policy for the next attempt; None when there shall be none."""
    if not is_transient(error):
        return None
    reason = error.args[0] if error.args else None
    reason = getattr(reason, "reason", reason)  # MaxRetryError wraps what really happened
    try:
        return policy.increment("POST", error=reason if isinstance(reason, Exception) else error)
    except Exception:  # the last attempt's own error says more than "Max retries exceeded"
        return None


def _after_answer(policy: Retry, response: requests.Response) -> Retry | None:
    raw = response.raw if isinstance(response.raw, BaseHTTPResponse) else None
    try:
        return policy.increment("POST", response=raw)
    except MaxRetryError:
        return None


def is_transient(error: Exception) -> bool:
    """May the same request succeed a moment later?"""
    if isinstance(error, requests.exceptions.SSLError):
        # Certificates do not mend themselves; a handshake cut short is a lost connection.
        return isinstance(root_cause(error), ssl.SSLEOFError)
    return isinstance(error, (requests.ConnectionError, requests.Timeout))


def _pause(policy: Retry, response: requests.Response | None, until: float) -> bool:
    """Sleep before the next attempt; False, at once, when it would come too late."""
    # urllib3 makes the first retry at once: a fleet would come back all together.
    wait = policy.get_backoff_time() or random.uniform(0.05, 0.25)
    if response is not None and policy.respect_retry_after_header:
        wait = max(wait, retry_after(response) or 0)
    if wait > MAX_WAIT or time.monotonic() + wait >= until:
        return False
    time.sleep(wait)
    return True


def _within(timeout: float | tuple[float, float], until: float) -> tuple[float, float]:
    connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
    left = max(until - time.monotonic(), 0.001)
    return min(connect, left), min(read, left)


def retry_after(response: requests.Response) -> float | None:
    """Seconds for which to leave the server alone (RFC 9110 §10.2.3); None when it is silent."""
    value = response.headers.get("Retry-After", "").strip()
    if re.fullmatch("[0-9]{1,10}", value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0.0, moment - time.time())


def root_cause(error: BaseException) -> BaseException:
    """What really happened, below the wrappers of requests and urllib3."""
    while True:
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((arg for arg in error.args[::-1] if isinstance(arg, BaseException)), None)
        if inner is None:
            return error
        error = inner
