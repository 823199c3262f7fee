"""Everything that can go wrong, as one family of requests' own::

requests.RequestException
├── TokenError                  no token could be had
│   ├── TokenConnectionError    ... for want of an answer; a requests.ConnectionError too
│   └── TokenTimeout            ... in time; a requests.Timeout too
└── InsecureTransportError      a secret or token would go out in the clear; a ValueError too
"""

from __future__ import annotations

import requests


class TokenError(requests.RequestException):
    """No token could be had from the token endpoint.

    The text is one line: what failed, where, the status, the OAuth error and a hint; never
    a secret, a token or a raw body.

    :param message: that line.
    :param error: the OAuth error code, such as ``invalid_client`` (RFC 6749 §5.2).
    :param error_description: the server's words for a developer.
    :param error_uri: a web page about the error.
    :param status_code: HTTP status of the answer; None when there was none.
    :param retryable: may the very same request succeed later?
    :param retry_after: seconds to leave the endpoint alone, when it said so.
    :param response: the answer; it and its ``.request`` carry no secret.
    :param request: what was sent, without its secrets; taken from the response when left out.
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
    """The token endpoint could not be reached, or broke the connection off."""


class TokenTimeout(TokenError, requests.Timeout):
    """The token endpoint did not answer in time."""


class InsecureTransportError(requests.RequestException, ValueError):
    """A secret or a token would travel in the clear (RFC 6749 §10.8, RFC 6750 §5.3).

    Raised before any socket is opened. Use https, or ``allow_http=True`` where the network
    itself is trusted; loopback addresses need neither.
    """
