"""Filters that keep secrets and tokens out of the cassettes of vcrpy and betamax.

Every token has a placeholder of its own, so that a played cassette tells a token that was refused
from the one that replaced it. Neither package is imported.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
import threading
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlencode

from urllib3 import HTTPResponse
from urllib3.exceptions import DecodeError

from .._redaction import Redactor, credentials_in
from .._responses import json_value

Headers: TypeAlias = Mapping[str, list[str]]

_PLACEHOLDER = re.compile(r"recorded(-[0-9a-f]{8}(\.recorded){0,2})?")

_JWT = r"eyJ[\w-]+(?:\.[\w-]*){2,4}"

# What is recorded of a token request; anything else in it may be a secret.
_PARAMS = re.compile("audience|client_id|resource|scope|.*_type")
_HEADERS = re.compile("accept(-encoding)?|connection|content-(length|type)|host|user-agent")

#: Characters of a secret; a shorter one in an answer may be part of a word.
_SHORTEST = 8

# Tokens in what is neither a JSON object nor a form, or deeper in it.
_TOKENS = re.compile(r"""((?:access|refresh|id)_token["'\\\s]*[:=]["'\\\s]*)[\w.~+/=-]+""")

# The answers of Google's metadata server, and of GitHub.
_ASSERTION = re.compile(rf"""(\A\s*(?=\S+\s*\Z)|"value"\s*:\s*")({_JWT})""", re.ASCII)

#: The shortest lifetime of a played token, in seconds.
_LIFETIME = 3600


def vcr_filters() -> dict[str, Callable[[Any], Any]]:
    """Return the keyword arguments that keep secrets and tokens out of the cassettes of vcrpy::

        recorder = vcr.VCR(**vcr_filters())

    With pytest-recording, return them from the fixture ``vcr_config``.
    """
    return {"before_record_request": _vcr_request, "before_record_response": _vcr_response}


def betamax_filter(cassette: Any) -> None:
    """Take secrets and tokens out of a cassette of betamax that is about to be saved::

        with betamax.Betamax.configure() as config:
            config.before_stop(callback=betamax_filter)

    Not with ``before_record``: that also changes what the client receives.

    :param cassette: the one in use; None, or one that is only played, is left alone.
    """
    if cassette is None or not cassette.is_recording():
        return
    for interaction in cassette.interactions:
        sent, received = interaction.data["request"], interaction.data["response"]
        headers, body, secrets = _redact_request(sent["headers"], _betamax_body(sent))
        _set_betamax(sent, headers, body)
        headers, body = _redact_response(received["headers"], _betamax_body(received), secrets)
        _set_betamax(received, headers, body)


def _redact_request(headers: Headers, body: bytes) -> tuple[Headers, bytes, list[str]]:
    """Return the header fields and the body without secrets, and the secrets."""
    secrets: list[str] = []
    params, write = _read(_text(body)[0], "grant_type")
    for name, value in params.items():
        if not _PARAMS.fullmatch(name):
            secrets.append(str(value))
            params[name] = "recorded"
    shown = dict(headers)
    for name, values in headers.items():
        if name.lower() in {"authorization", "proxy-authorization"}:
            scheme, _, credentials = values[0].partition(" ")
            secrets += credentials_in(values[0])
            is_token = scheme.lower() in {"bearer", "dpop"}
            shown[name] = [f"{scheme} {_placeholder(credentials) if is_token else 'recorded'}"]
        elif name.lower() in {"dpop", "x-identity-header"} or (
            params and not _HEADERS.fullmatch(name.lower())
        ):
            secrets += values
            shown[name] = ["recorded"]
    return *_with_body(shown, write(params).encode() if params else body), secrets


def _redact_response(headers: Headers, body: bytes, secrets: list[str]) -> tuple[Headers, bytes]:
    """Return the header fields and the body without tokens and the secrets of the request."""
    content, charset = _text(_decoded(headers, body))
    members, write = _read(content, "access_token")
    if members:
        tokens = {name: str(members[name]) for name in members if name.endswith("_token")}
        secrets = [*secrets, *tokens.values()]
        members.update((name, _placeholder(token)) for name, token in tokens.items())
        lifetime = members.get("expires_in")
        is_long = isinstance(lifetime, (int, float)) and lifetime > _LIFETIME
        members["expires_in"] = lifetime if is_long else _LIFETIME
        for name in ("expires_on", "expires_at"):  # in the past when it is played
            members.pop(name, None)
        shown = write(members)
        headers = {name: v for name, v in headers.items() if name.lower() != "set-cookie"}
    else:
        shown = _TOKENS.sub(r"\1recorded", content)
        shown = _ASSERTION.sub(lambda found: found[1] + _placeholder(found[2]), shown)
    # vcrpy also filters what it has read from a cassette, which has placeholders.
    known = (secret for secret in secrets if not _PLACEHOLDER.fullmatch(secret))
    redact = Redactor(*(secret for secret in known if len(secret) >= _SHORTEST))
    headers = {name: [redact(value) for value in values] for name, values in headers.items()}
    shown = redact(shown)
    return (headers, body) if shown == content else _with_body(headers, shown.encode(charset))


def _read(text: str, name: str) -> tuple[dict[str, Any], Callable[[dict[str, Any]], str]]:
    """Return the members of a JSON object or form, and what writes them; none without ``name``."""
    value = json_value(text.removeprefix("\ufeff")) if name in text else {}
    if isinstance(value, dict):
        members: dict[str, Any] = value
        return (members if name in members else {}), json.dumps
    form = parse_qs(text, keep_blank_values=True)
    members = {key: values if len(values) > 1 else values[0] for key, values in form.items()}
    return (members if name in members else {}), functools.partial(urlencode, doseq=True)


def _text(body: bytes) -> tuple[str, str]:
    """Return a body as text, and the charset that makes the same bytes of it."""
    try:
        return body.decode(), "utf-8"
    except UnicodeDecodeError:
        return body.decode("latin-1"), "latin-1"


def _placeholder(token: str) -> str:
    """Return what is recorded in place of a token: its name in logs, which begins its SHA-256.

    That of a JWT has the form of one: where it is a client assertion, no other is sent.
    """
    if _PLACEHOLDER.fullmatch(token):
        return token
    name = f"recorded-{hashlib.sha256(token.encode(errors='replace')).hexdigest()[:8]}"
    return f"{name}.recorded.recorded" if re.fullmatch(_JWT, token, re.ASCII) else name


def _decoded(headers: Headers, body: bytes) -> bytes:
    """Return a body without its Content-Encoding."""
    coding = {
        name: values[0] for name, values in headers.items() if name.lower() == "content-encoding"
    }
    try:
        return HTTPResponse(BytesIO(body), headers=coding).data
    except DecodeError:  # it is not encoded that way
        return body


def _with_body(headers: Headers, body: bytes) -> tuple[Headers, bytes]:
    """Return a message with another body, which is not encoded."""
    length = {name: [str(len(body))] for name in headers if name.lower() == "content-length"}
    kept = {name: v for name, v in headers.items() if name.lower() != "content-encoding"}
    return {**kept, **length}, body


def _betamax_body(message: Any) -> bytes:
    body = message["body"]
    if "base64_string" in body:
        return base64.b64decode(body["base64_string"])
    return str(body["string"]).encode(body["encoding"] or "utf-8", "replace")


def _set_betamax(message: Any, headers: Headers, body: bytes) -> None:
    message["headers"], content = headers, message["body"]
    if "base64_string" in content:
        content["base64_string"] = base64.b64encode(body).decode()
    else:
        content["string"] = body.decode(content["encoding"] or "utf-8", "replace")


# The secrets of the request that was filtered last in this thread: vcrpy filters its answer next.
_latest = threading.local()


def _vcr_request(request: Any) -> Any:
    sent = {
        name: [value.decode("latin-1") if isinstance(value, bytes) else str(value)]
        for name, value in request.headers.items()
    }
    body = request.body if isinstance(request.body, bytes) else b""
    request.headers, shown, _latest.secrets = _redact_request(sent, body)
    if shown != body:
        request.body = shown
    return request


def _vcr_response(response: Any) -> Any:
    secrets: list[str] = getattr(_latest, "secrets", [])
    body = response["body"]
    headers, content = _redact_response(response["headers"], body["string"], secrets)
    return {**response, "headers": headers, "body": {**body, "string": content}}
