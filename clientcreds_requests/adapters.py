"""The retry policy of the token request, and the adapter that carries it."""

from __future__ import annotations

import copy
import logging
import random
import re
import ssl
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import Retry
from urllib3.exceptions import MaxRetryError
from urllib3.response import BaseHTTPResponse

from .bodies import read_body
from .deadline import Deadline
from .events import log
from .origins import without_query
from .tokens import Moment

logger: logging.Logger = logging.getLogger(__name__)

#: Statuses after which the same token request may succeed a moment later.
RETRY_STATUSES = frozenset({429, 500, 502, 503, 504})

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
    """A request to the authorization server, which every attempt completes anew.

    :param method: of the request.
    :param url: prepared.
    :param complete: returns body and header fields; called at once and before every further
        attempt, because assertions, proofs and correlation ids serve only once.
    :param until: the moment, on the monotonic clock, by which the answer must be there.
    :param final: statuses that are an answer this time, though they may be retried in general.
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
    ) -> None:
        super().__init__()
        self.method: str | None = method
        self.url: str | None = url
        self.until: float = until
        self.final: frozenset[int] = final
        self._complete = complete
        self.renew()

    def renew(self) -> None:
        """Complete the request for an attempt."""
        body, headers = self._complete()
        self.prepare_headers(headers)
        self.prepare_cookies({})
        self.prepare_body(body, None)
        self.sent_at = Moment.now()


class RetryAdapter(BaseAdapter):
    """Sends token requests with retries, and everything else as the adapter below it does.

    Mounted for the token endpoint it also meets URLs that merely begin like it, and an API's
    own requests: those pass through untouched.

    :param below: returns the adapter that really sends, for a URL.
    :param retries: the retries after the first attempt, or a urllib3 policy. Connection
        failures, 429, 500, 502, 503 and 504 are retried, with exponential back-off and jitter.
    """

    def __init__(self, below: Callable[[str], BaseAdapter], retries: int | Retry) -> None:
        super().__init__()
        self._below = below
        self.max_retries: Retry = _policy(retries)
        self._statuses = frozenset(self.max_retries.status_forcelist or RETRY_STATUSES)

    def close(self) -> None:
        """Nothing: the adapter below belongs to the session."""

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

        The answer to a token request has been read. When the last attempt failed, its answer
        or exception is what the caller gets.
        """
        adapter = self._below(request.url or "")
        settings = {"verify": verify, "cert": cert, "proxies": proxies}
        if not isinstance(request, RetriedRequest):
            return adapter.send(request, stream=stream, timeout=timeout, **settings)
        if not isinstance(adapter, HTTPAdapter):  # it has no connections to be left idle
            return self._send(adapter, request, timeout, settings)
        apart = _with_connections_of_its_own(adapter)
        with Deadline(request.until) as deadline:
            deadline.watch(apart)
            try:
                response = self._send(apart, request, timeout, settings)
            except requests.Timeout:
                raise
            except requests.RequestException as error:
                deadline.check(error)
                raise
            finally:
                HTTPAdapter.close(apart)  # a subclass may close more than is the twin's
                del apart.get_connection_with_tls_context  # which holds it in turn
            deadline.check()  # a body that ends with the connection may have been cut short
            return response

    def _send(
        self, adapter: BaseAdapter, request: RetriedRequest, timeout: Any, settings: dict[str, Any]
    ) -> requests.Response:
        policy = self.max_retries
        attempt = 1
        while True:
            bounded = _within(timeout, request.until)
            try:
                response = adapter.send(request, stream=True, timeout=bounded, **settings)
                read_body(response, MAX_BODY, request.until)
            except requests.RequestException as error:
                following = _after_error(policy, error)
                if following is None or not _pause(following, None, request.until):
                    raise
                reason = type(root_cause(error)).__name__
            else:
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


def _with_connections_of_its_own(adapter: HTTPAdapter) -> HTTPAdapter:
    """An adapter with the same settings and a pool of its own.

    In the session's pool the token request's connection would stay behind, idle or already
    closed by the server, for an API call to trip over.
    """
    twin = object.__new__(type(adapter))
    twin.__dict__.update(adapter.__dict__)
    twin.poolmanager = copy.copy(adapter.poolmanager)
    twin.poolmanager.pools = type(adapter.poolmanager.pools)(1)
    twin.proxy_manager = {}
    twin.max_retries = Retry(0, read=False)  # one policy of retries is enough
    return twin


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
