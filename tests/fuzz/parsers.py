"""The bytes of an answer, put before the parsers without a socket."""

from __future__ import annotations

import math
import re

import requests

from clientcreds_requests import ClientSecretPost, TokenEndpoint, TokenError
from clientcreds_requests._redaction import Redactor
from clientcreds_requests._replay import parse_challenges
from clientcreds_requests._responses import read_token
from clientcreds_requests.adapters import retry_after
from clientcreds_requests.discovery import Metadata, _read
from clientcreds_requests.tokens import Moment

from .cases import CLIENT_ID, CLIENT_SECRET, ISSUER, PORT, Case
from .verdict import Complaint, judge, judge_text, may_tell

URL = "http://127.0.0.1:12345/token"
SENT = Moment(1_800_000_000.0, 5_000.0)
_ISSUER = ISSUER.replace(PORT.decode(), "12345")
_METHOD = ClientSecretPost(CLIENT_SECRET)
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: |$)")


def response_of(data: bytes) -> requests.Response:
    """What requests makes of an answer, as far as it has a head."""
    head, _, body = data.replace(PORT, b"12345").partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    response = requests.Response()
    status = _STATUS.match(first)
    response.status_code = int(status[1]) if status else 200
    response.reason = first[13:].decode("latin-1")
    response.url = URL
    for line in lines:
        name, _, value = line.decode("latin-1").partition(":")
        value = value.strip()
        known = response.headers.get(name)
        response.headers[name] = value if known is None else f"{known}, {value}"
    response.encoding = requests.utils.get_encoding_from_headers(response.headers)
    response._content = body
    response._content_consumed = True
    return response


def run(case: Case) -> str:
    """What comes of a case, in a word.

    :raises Exception: which is a failure of the package.
    """
    response = response_of(case.data)
    _judge_retry_after(response)
    _judge_challenges(response)
    if case.target == "metadata":
        return _metadata(response)
    return judge(_token(response, URL), echoes=may_tell(case.data))


def _token(response: requests.Response, url: str) -> object:
    try:
        # Each kind of client in turn, by what is the same whenever the case is run again.
        kind = len(response.content) % 3
        return read_token(
            *(response, url, SENT, Redactor(CLIENT_SECRET)),
            bound=kind == 1,
            asserted=kind == 2,
            default_lifetime=None if kind else 600.0,
        )
    except TokenError as error:
        return error


def _metadata(response: requests.Response) -> str:
    try:
        found = _read(response, _ISSUER, False)
    except ValueError as error:
        # find() makes a line of it.
        judge_text(Redactor(CLIENT_SECRET).line(str(error)))
        return f"no metadata: {re.sub('[^a-z ].*', '', str(error))}"
    for url in (found.token_endpoint, found.mtls_token_endpoint):
        if url is not None:
            endpoint = TokenEndpoint(url, CLIENT_ID, _METHOD)
            outcome = _token(response, endpoint.url)
            if isinstance(outcome, TokenError):
                judge(outcome, echoes=False)
    return "Metadata" if isinstance(found, Metadata) else type(found).__name__


def _judge_retry_after(response: requests.Response) -> None:
    seconds = retry_after(response)
    if seconds is not None and not 0 <= seconds < math.inf:
        raise Complaint(f"Retry-After is {seconds}")


def _judge_challenges(response: requests.Response) -> None:
    for scheme, parameters in parse_challenges(response.headers.get("WWW-Authenticate", "")):
        if scheme != scheme.lower() or not scheme.isprintable():
            raise Complaint(f"a scheme {scheme!a}")
        if any(name != name.lower() for name in parameters):
            raise Complaint(f"parameters {list(parameters)!a}")
