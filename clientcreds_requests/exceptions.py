"""The exceptions of the package, all of them requests' own::

requests.RequestException
├── TokenError                  no token was obtained
│   ├── TokenConnectionError    ... the endpoint cannot be reached; also a requests.ConnectionError
│   ├── TokenTimeout            ... it did not answer in time; also a requests.Timeout
│   └── CallableError           ... what the user passed in has failed (not public)
└── InsecureTransportError      a secret or token would travel in the clear; also a ValueError
"""

from __future__ import annotations

from typing import NoReturn

import requests

WITHIN_ITSELF = "no token: it was asked for within its own token request"


class TokenError(requests.RequestException):
    """No token was obtained from the token endpoint.

    :param message: one line: what failed, where, the status, the OAuth error and a hint; never
        a secret, a token or a raw body.
    :param error: the OAuth error code, such as ``invalid_client`` (RFC 6749 §5.2).
    :param error_description: the server's words for a developer.
    :param error_uri: a web page about the error.
    :param status_code: HTTP status of the answer; None if there was none.
    :param retryable: True if the same request may succeed later.
    :param retry_after: seconds from now until the next request, if the endpoint sent them.
    :param response: the answer; it and its ``.request`` carry no secret.
    :param request: what was sent, without its secrets; None: that of the response.
    """

    def __init__(
        self,
        message: str,
        *,
        error: str | None = None,
        error_description: str | None = None,
        error_uri: str | None = None,
        status_code: int | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
        response: requests.Response | None = None,
        request: requests.PreparedRequest | None = None,
    ) -> None:
        super().__init__(message, response=response, request=request)
        self.error = error
        self.error_description = error_description
        self.error_uri = error_uri
        self.status_code = status_code
        self.retryable = retryable
        self.retry_after = retry_after


class TokenConnectionError(TokenError, requests.ConnectionError):
    """The token endpoint could not be reached, or closed the connection."""


class TokenTimeout(TokenError, requests.Timeout):
    """The token endpoint did not answer in time."""


class CallableError(TokenError):
    """A callable, store or file that the user passed in has failed, or settings forbid the request.

    It says nothing about the endpoint, so it starts no pause.
    """


class InsecureTransportError(requests.RequestException, ValueError):
    """A secret or a token would travel in the clear (RFC 6749 §10.8, RFC 6750 §5.3).

    Raised before any socket is opened. Use https, or ``allow_http=True`` on a trusted network;
    loopback addresses need neither.
    """


class InsecureProxyError(CallableError, InsecureTransportError):
    """Plain http to loopback would leave this machine through a proxy.

    Raised by the first request, since the proxy is not known before.
    """


def raise_again(error: TokenError, seconds_ago: float = 0.0) -> NoReturn:
    """Raise a copy: an exception that many threads raise would mix their tracebacks."""
    own = type(error).__new__(type(error))
    TokenError.__init__(own, str(error))  # a subclass may take other arguments
    own.__dict__.update(error.__dict__)
    if error.retry_after is not None:
        own.retry_after = max(0.0, error.retry_after - seconds_ago)
    try:
        raise own from error
    finally:
        del own  # its traceback leads here: a cycle would keep it, and connections, until a gc
