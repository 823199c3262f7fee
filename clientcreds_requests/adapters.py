"""The retry policy of the token request, and the adapter that carries it out."""

from __future__ import annotations

import logging
import math
import random
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

import requests
from requests.adapters import BaseAdapter
from urllib3 import Retry
from urllib3.response import BaseHTTPResponse, HTTPResponse

from ._checks import Cert, Session, attempt_timeout
from ._dialects import RETRY_STATUSES, seconds_since_epoch, seconds_until_reset
from ._logs import log
from ._transport import Watchdog, read_body
from ._urls import require_direct, without_query
from .exceptions import InsecureProxyError
from .tokens import Moment

__all__ = ["RetryAdapter"]

logger: logging.Logger = logging.getLogger(__name__)

#: Sent with every request to the authorization server.
HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Connection": "close",
    "User-Agent": "clientcreds-requests",
}

#: The longest wait before another attempt, in seconds; a longer Retry-After ends the attempts.
MAX_WAIT = 5.0

#: The maximum size of an answer, in bytes.
MAX_BODY = 1024 * 1024

#: When the request for which a callable is called gives up, on the monotonic clock.
give_up_at: ContextVar[float] = ContextVar("give_up_at", default=math.inf)


class RetriedRequest(requests.PreparedRequest):
    """A request to the authorization server that is completed anew for every attempt.

    :param complete: returns body and header fields; called at once and before every further
        attempt, because assertions, proofs and correlation ids may be used only once.
    :param until: the deadline, a moment on the monotonic clock.
    :param final: statuses that are not retried this time.
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
        self.method: str | None = method
        self.url: str | None = url
        self.until: float = until
        self.final: frozenset[int] = final
        self.answered: Callable[[requests.Response], object] | None = answered
        self._complete = complete
        self.renew()

    def renew(self) -> None:
        """Complete the request for another attempt."""
        before = give_up_at.set(self.until)
        try:
            body, headers = self._complete()
        finally:
            give_up_at.reset(before)
        self.prepare(self.method, self.url, headers, data=body)
        self.sent_at = Moment.now()


class RetryAdapter(BaseAdapter):
    """Sends token requests with retries, and passes other requests on unchanged.

    :param adapter: sends the requests, also those that a looked-up adapter passes back, as
        recorders do.
    :param retries: the number of retries after the first attempt, or a urllib3 policy. Connection
        failures, 408, 425, 429, 500, 502, 503, 504 and 520 to 524 are retried, with exponential
        back-off and jitter.
    :param look_up: returns the adapter for a URL; called for every request, so that adapters
        mounted later are used. None: ``adapter``.
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
        if not isinstance(retries, Retry):
            retries = Retry(retries, backoff_factor=0.25, backoff_jitter=0.25, backoff_max=MAX_WAIT)
        self.max_retries: Retry = retries.new(
            allowed_methods=None,  # by default urllib3 retries no POST
            status_forcelist=retries.status_forcelist or RETRY_STATUSES,
        )

    def close(self) -> None:
        """Do nothing: the adapter in use belongs to a session."""

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Send a request; a :class:`RetriedRequest` with retries, its answer read to the end.

        The outcome is the answer or the exception of the last attempt.
        """
        settings = {"verify": verify, "cert": cert, "proxies": proxies}
        settings.update(stream=stream, timeout=timeout)
        url = request.url or ""
        sender, watchdog = _sending.get()
        if sender == (threading.get_ident(), url):  # passed back by the adapter that was looked up
            return _send_below(self._adapter, request, watchdog, settings)
        adapter = self._adapter if self._look_up is None else self._look_up(url)
        if not isinstance(request, RetriedRequest):
            return _send_below(adapter, request, None, settings)
        policy, limits = self.max_retries, attempt_timeout(timeout)
        with Watchdog(request.until) as watchdog:
            while True:
                left = max(request.until - time.monotonic(), 0.001)
                settings.update(stream=True, timeout=tuple(min(limit, left) for limit in limits))
                outcome: requests.Response | requests.RequestException
                try:
                    outcome = _send_below(adapter, request, watchdog, settings)
                    if request.answered is not None:
                        request.answered(outcome)
                    read_body(outcome, MAX_BODY, watchdog)
                    if outcome.status_code not in {*policy.status_forcelist} - request.final:
                        return outcome
                except requests.RequestException as error:
                    watchdog.check(error)
                    outcome = error
                following = _wait_to_retry(policy, request, outcome)
                if following is not None:
                    policy = following
                    request.renew()
                elif isinstance(outcome, Exception):
                    raise outcome
                else:
                    return outcome


# The thread and URL of the request that is being sent, and its watchdog. All retry adapters share
# it, as a recorder may pass a request back to another one of the session.
_sending: ContextVar[tuple[object, Watchdog | None]] = ContextVar("sending", default=(None, None))


def _send_below(
    adapter: BaseAdapter,
    request: requests.PreparedRequest,
    watchdog: Watchdog | None,
    settings: Mapping[str, Any],
) -> requests.Response:
    """Send by an adapter that may pass the request back to a retry adapter."""
    if watchdog is not None:
        adapter = watchdog.twin_of(adapter)
    before = _sending.set(((threading.get_ident(), request.url or ""), watchdog))
    try:
        return adapter.send(request, **settings)
    finally:
        _sending.reset(before)


class _NoRedirects(Session):
    """A session that ignores redirects, also malformed ones."""

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

    A new session sends it, without headers, parameters, cookies, hooks and auth of the API's
    session, and stores nothing there: only its adapters, TLS and proxy settings are used.

    :param retries: unused if the session has mounted a retry adapter.
    :param allow_http: allow plain http through a proxy on another machine.
    :raises Exception: whatever the adapter raises.
    """
    url = request.url or ""
    with _NoRedirects() as own:
        settings_of = session or own
        # requests would let REQUESTS_CA_BUNDLE override a verify that the session sets.
        verify = None if settings_of.verify is True else settings_of.verify
        settings = settings_of.merge_environment_settings(url, {}, False, verify, cert)
        if not allow_http:
            require_direct(url, settings["proxies"], InsecureProxyError)
        adapter = settings_of.get_adapter(url)
        if not isinstance(adapter, RetryAdapter):
            adapter = RetryAdapter(adapter, retries)
        # Closing this session leaves the other's adapter open: RetryAdapter.close() does nothing.
        own.adapters = {url: adapter}
        return own.send(request, timeout=timeout, **settings)


def _wait_to_retry(
    policy: Retry, request: RetriedRequest, outcome: requests.RequestException | requests.Response
) -> Retry | None:
    """Wait, and return the policy for the attempts left; None, at once, if there is no retry."""
    wait = 0.0
    try:
        if isinstance(outcome, requests.Response):
            reason = f"status {outcome.status_code}"
            raw = outcome.raw
            if not isinstance(raw, BaseHTTPResponse):  # a stub's
                raw = HTTPResponse(status=outcome.status_code)
            policy = policy.increment("POST", response=raw)
            if policy.respect_retry_after_header:
                wait = retry_after(outcome) or 0.0
        elif is_transient(outcome):
            reason = type(root_cause(outcome)).__name__
            cause = next(iter(outcome.args), None)
            cause = getattr(cause, "reason", cause)  # MaxRetryError wraps it
            error = cause if isinstance(cause, Exception) else outcome
            policy = policy.increment("POST", error=error)
        else:
            return None
    except Exception:  # the outcome says more than "Max retries exceeded"
        return None
    # urllib3 makes the first retry at once, so the clients of a fleet would come back together.
    wait = max(wait, policy.get_backoff_time() or random.uniform(0.05, 0.25))
    if wait > MAX_WAIT or time.monotonic() + wait >= request.until:
        return None
    endpoint, attempt = without_query(request.url or ""), len(policy.history)
    log(logger, "attempt_failed", endpoint=endpoint, attempt=attempt, reason=reason)
    time.sleep(wait)
    return policy


def is_transient(error: Exception) -> bool:
    """Return True if the same request may succeed later."""
    root = root_cause(error)
    # A certificate error is permanent, a proxy's too; a truncated handshake is a lost connection.
    if isinstance(error, requests.exceptions.SSLError) or isinstance(root, ssl.CertificateError):
        return isinstance(root, ssl.SSLEOFError) or is_key_mismatch(error)
    if refused := re.search("Tunnel connection failed: ([0-9]{3})", str(root)):
        return int(refused[1]) in RETRY_STATUSES
    return isinstance(error, (requests.ConnectionError, requests.Timeout))


def is_key_mismatch(error: Exception) -> bool:
    """Return True if a client certificate and its key were read while both were being replaced."""
    return getattr(root_cause(error), "reason", None) == "KEY_VALUES_MISMATCH"


def retry_after(response: requests.Response) -> float | None:
    """Return the seconds of Retry-After (RFC 9110 §10.2.3); None if there are none.

    For a 429 without that field: until its rate limit is reset.
    """
    value = response.headers.get("Retry-After", "").strip()
    # A gateway may add one to that of the server: requests joins them by commas.
    if found := re.fullmatch("([0-9]{1,10})(, *[0-9]{1,10})*", value):
        return float(found[1])
    moment = seconds_since_epoch(value)
    if moment is None:
        return seconds_until_reset(response.headers) if response.status_code == 429 else None
    return max(0.0, moment - time.time())


def root_cause(error: BaseException) -> BaseException:
    """Return the innermost error, below the wrappers of requests and urllib3."""
    for inner in (getattr(error, "reason", None), *reversed(error.args)):
        if isinstance(inner, BaseException):
            return root_cause(inner)
    return error
