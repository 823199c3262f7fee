"""What the tests of the test kit share."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from clientcreds_requests.testing import (
    LocalAuthorizationServer,
    RecordedRequest,
)

FORM = "application/x-www-form-urlencoded"
PATIENCE = 20
"""Seconds after which a wait has failed; nothing is expected to take them."""


@dataclass
class Response:
    status: int
    headers: http.client.HTTPMessage
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def error(self) -> tuple[int, str]:
        return self.status, self.json["error"]


@pytest.fixture
def server() -> Iterator[LocalAuthorizationServer]:
    with LocalAuthorizationServer() as server:
        yield server


def connect(url: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)


def send(
    url: str,
    method: str = "GET",
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    connection: http.client.HTTPConnection | None = None,
) -> Response:
    used = connection or connect(url)
    try:
        target = urlsplit(url)
        path = f"{target.path}?{target.query}" if target.query else target.path
        used.request(method, path, body, dict(headers or {}))
        response = used.getresponse()
        return Response(response.status, response.headers, response.read())
    finally:
        if connection is None:
            used.close()


def ask(
    server: LocalAuthorizationServer,
    body: str = "form",
    connection: http.client.HTTPConnection | None = None,
    headers: Mapping[str, str] | None = None,
    **params: Any,
) -> Response:
    """Ask for a token, as the server's own client but for `params` (None: left out)."""
    params = {
        "grant_type": "client_credentials",
        "client_id": server.client_id,
        "client_secret": server.client_secret,
        **params,
    }
    params = {name: value for name, value in params.items() if value is not None}
    is_json = body == "json"
    content = json.dumps(params) if is_json else urlencode(params, doseq=True)
    headers = {"Content-Type": "application/json" if is_json else FORM, **(headers or {})}
    return send(server.token_endpoint, "POST", content, headers, connection)


def call(server: LocalAuthorizationServer, access_token: str, **options: Any) -> Response:
    return send(server.api_url, headers={"Authorization": f"Bearer {access_token}"}, **options)


def hold(server: LocalAuthorizationServer) -> tuple[threading.Event, threading.Event]:
    """Hold up the next token request: (it has arrived, let it go on)."""
    arrived, go_on = threading.Event(), threading.Event()

    def script(_: RecordedRequest) -> None:
        arrived.set()
        assert go_on.wait(PATIENCE)

    server.answer_next(script)
    return arrived, go_on
