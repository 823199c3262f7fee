"""A provider's token endpoint on loopback, which answers as the provider's file says."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias, cast
from urllib.parse import parse_qsl, unquote

Params: TypeAlias = dict[str, Any]
Answer: TypeAlias = dict[str, Any]

_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_CREDENTIALS = ("client_id", "client_secret", "client_assertion", "client_assertion_type")
_NO_GRANT_TYPE = {"status": 400, "body": {"error": "unsupported_grant_type"}}


class Double:
    """One provider: its token endpoint, and an API that takes the tokens it has issued.

    :param file: what the provider answers.
    :param asked: the parameters that the file's arguments make, but for those of the client.
    :param headers: the header fields that they make; None for any value.
    :param is_client: whether the credentials of a request are the client's.
    :param throttles: whether it says to everyone that there were too many requests.
    """

    def __init__(
        self,
        file: Mapping[str, Any],
        asked: Params,
        headers: Mapping[str, str | None],
        is_client: Callable[[Credentials], bool],
        throttles: bool = False,
    ) -> None:
        self._file, self._asked, self._is_client = file, asked, is_client
        self._headers, self._throttles = headers, throttles
        self.scheme = "DPoP" if "DPoP" in headers else "Bearer"
        """What the API takes the tokens with."""
        self.requests = 0
        """Token requests received."""
        self.faults: list[str] = []
        """What no provider should see: two ways to authenticate, a parameter twice, and so on."""
        self.tokens: list[str] = []
        """Those issued, in order."""

    def __enter__(self) -> Double:
        double = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._send(double._answer(self.path, self.headers, body))

            def do_GET(self) -> None:
                self._send({"status": double._status_of_call(self.headers), "body": ""})

            def _send(self, answer: Answer) -> None:
                content = answer["body"]
                text = content if isinstance(content, str) else json.dumps(content)
                self.send_response(answer.get("status", 200))
                fields = {"Content-Type": _JSON, **answer.get("headers", {})}
                for name, value in {**fields, "Content-Length": len(text.encode())}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, path: str, headers: Message, body: bytes) -> Answer:
        self.requests += 1
        if path != "/token":
            self.faults.append(f"not the endpoint: {path}")
        answer = self._file["throttled"] if self._throttles else self._judge(headers, body)
        token = f"a.token-{len(self.tokens)}/of~{id(self):x}+_=="
        if answer is self._file["success"]:
            self.tokens.append(token)
        filled: Answer = _filled(answer, token)
        return filled

    def _judge(self, headers: Message, body: bytes) -> Answer:
        params = self._read(headers.get("Content-Type", ""), body)
        if params is None and "not_read" in self._file:
            return dict(self._file["not_read"])
        credentials = Credentials(headers.get("Authorization", ""), params or {})
        if len(credentials.ways) > 1:
            self.faults.append(f"authenticated by {' and '.join(credentials.ways)}")
        given = {name: value for name, value in (params or {}).items() if name not in _CREDENTIALS}
        if not self._file["authenticates_first"] and "grant_type" not in given:
            return _NO_GRANT_TYPE
        if not self._is_client(credentials):
            return dict(self._file["wrong_secret"])
        if given.get("grant_type") != self._asked["grant_type"]:
            return _NO_GRANT_TYPE
        differing = {
            name
            for name in given.keys() | self._asked.keys()
            if given.get(name) != self._asked.get(name)
        }
        if differing == {"scope"} and "wrong_scope" in self._file:
            return dict(self._file["wrong_scope"])
        if differing:
            self.faults.append(f"other parameters than the arguments: {sorted(differing)}")
        for name, value in self._headers.items():
            if name not in headers or value not in (None, headers[name]):
                self.faults.append(f"the header field {name} is {headers.get(name)!r}")
        success: Answer = self._file["success"]
        return success

    def _read(self, content_type: str, body: bytes) -> Params | None:
        """Return the parameters in a body; None for one that the provider does not read."""
        if content_type == _JSON and self._file["reads"] in ("json", "both"):
            return dict(json.loads(body))
        if content_type == _FORM and self._file["reads"] in ("form", "both"):
            params: Params = {}
            for name, value in parse_qsl(body.decode(), strict_parsing=True):
                if name == "resource" and isinstance(self._asked.get("resource"), list):
                    params.setdefault("resource", []).append(value)
                elif name in params:
                    self.faults.append(f"{name} was sent twice")
                else:
                    params[name] = value
            return params
        if content_type not in (_FORM, _JSON):
            self.faults.append(f"a body of type {content_type}")
        return None

    def _status_of_call(self, headers: Message) -> int:
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        return 200 if scheme == self.scheme and token in self.tokens else 401


class Credentials:
    """Who a token request says it is from, in each of the ways that it may say so."""

    def __init__(self, authorization: str, params: Params) -> None:
        self.id: str | None = params.get("client_id")
        self.secret: str | None = params.get("client_secret")
        self.assertion: str | None = None
        self.params = params
        self.ways = [name for name in ("client_secret", "client_assertion") if name in params]
        if params.get("client_assertion_type") == _ASSERTION_TYPE:
            self.assertion = params["client_assertion"]
        if authorization.startswith("Basic "):
            self.ways.append("Basic")
            self.id = self.secret = None
            with contextlib.suppress(ValueError):
                decoded = base64.b64decode(authorization.removeprefix("Basic "), validate=True)
                self.id, self.secret = map(unquote, decoded.decode().split(":"))

    @property
    def way(self) -> str | None:
        """How the request is authenticated; None if it is not, or more than once."""
        return self.ways[0] if len(self.ways) == 1 else None


def _filled(part: Any, token: str) -> Any:
    """Return part of an answer with the placeholders replaced."""
    if isinstance(part, dict):
        members = cast("dict[str, Any]", part)
        return {name: _filled(value, token) for name, value in members.items()}
    if isinstance(part, list):
        items = cast("list[Any]", part)
        return [_filled(item, token) for item in items]
    if not isinstance(part, str):
        return part
    moment = re.fullmatch(r"('?)\$NOW([+-][0-9.]+)?\1", part)
    if moment is None:
        return part.replace("$TOKEN", token)
    seconds = int(time.time()) + float(moment[2] or 0)
    number: float = int(seconds) if seconds.is_integer() else seconds
    return str(number) if moment[1] else number
