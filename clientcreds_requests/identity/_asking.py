"""Asks the services of platforms for tokens, and checks what is to be one."""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from typing import NoReturn
from urllib.parse import urlencode

import requests

from .._checks import Session, header_field
from .._dialects import CODES, DESCRIPTIONS, RETRY_STATUSES, first_text
from .._redaction import Redactor, forget_frames, raise_apart
from .._responses import json_value, raise_unanswered, text_of
from .._urls import prepare_url, without_query
from ..adapters import HEADERS, RetriedRequest, give_up_at, retry_after, send
from ..exceptions import TokenError

#: The maximum size of a token, in bytes.
MAX_TOKEN = 16 * 1024


def _open_at_once(path: str, flags: int) -> int:
    """Open a file, and a pipe without waiting for who writes to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_file(path: str) -> tuple[bytes, bool]:
    """Return the content of a file, and False if it changed meanwhile."""
    with open(path, "rb", opener=_open_at_once) as file:
        before = os.fstat(file.fileno())
        if not stat.S_ISREG(before.st_mode):
            raise OSError(errno.EINVAL, "it is no file")
        content = file.read(MAX_TOKEN + 4)
        after = os.fstat(file.fileno())
    changed = (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
    return content, not changed and len(content) == min(after.st_size, MAX_TOKEN + 4)


def ask(
    where: str,
    url: str,
    query: Mapping[str, str],
    fields: Callable[[], dict[str, str]],
    timeout: float,
    *,
    direct: bool = True,
    expected: int = 200,
) -> requests.Response:
    """Return the answer of a platform's service.

    :param where: its name, for errors.
    :param fields: returns header fields, which may be secrets: they stand in no variable while the
        request is under way, and are removed from errors.
    :param direct: never through a proxy, which would see the token, and would be another workload.
    :param expected: the only status that is no failure.
    :raises TokenError: if it fails, or answers with another status.
    """
    if query:
        url += ("&" if "?" in url else "?") + urlencode(query)
    try:
        url = prepare_url("its URL", url)
    except ValueError as error:
        raise_no_token(where, str(error))
    redact = Redactor()

    def complete() -> tuple[bytes, dict[str, str]]:
        headers = fields()
        for name, value in headers.items():
            header_field(where, name, value)
        redact.add(v.rpartition(" ")[2] for v in headers.values() if len(v) > len("Google"))
        return b"", {**HEADERS, **headers}

    bare = requests.Request("GET", without_query(url)).prepare()
    what = f"no identity token from {where} at {bare.url}"
    try:
        until = min(time.monotonic() + timeout, give_up_at.get())
        request = RetriedRequest("GET", url, complete, until)
        with Session() as session:
            session.trust_env = not direct
            answer = send(request, session, (timeout, timeout), 3)
    except TokenError:
        raise
    except Exception as error:
        forget_frames(error)
        raise_unanswered(what, bare, error, redact)
    status = answer.status_code
    if status == expected:
        return answer
    value = json_value(text_of(answer))
    said = (first_text(value, CODES), first_text(value, DESCRIPTIONS))
    problem = ": ".join([f"status {status}", *(redact.line(text) for text in said if text)])
    if 300 <= status < 400:
        problem += ": a redirect, which is not followed"
    raise TokenError(
        f"{what}: {problem}",
        status_code=status,
        # A metadata service that is being updated answers 404 or 410.
        retryable=status in RETRY_STATUSES or (direct and status in (404, 410)),
        retry_after=retry_after(answer),
        request=bare,
    )


def member(where: str, answer: requests.Response, name: str) -> str:
    """Return the token in a member of a JSON object."""
    members = json_value(text_of(answer))
    if not isinstance(members, dict):
        raise_no_token(where, "the answer is no JSON object")
    if not isinstance(members.get(name), str):
        raise_no_token(where, f"the answer has no {name}")
    return checked(where, members[name])


def checked(where: str, token: str) -> str:
    """Return what can be a token.

    :raises TokenError: if it is empty, too long, or not visible ASCII: a page, or several lines.
    """
    if len(token) > MAX_TOKEN:
        raise_no_token(where, f"what is there is longer than {MAX_TOKEN} bytes")
    if not re.fullmatch("[!-;=?-~]+", token):  # of visible ASCII, "<" and ">" are in no token
        raise_no_token(where, "what is there is no token: empty, or more than one word")
    return token


def raise_no_token(where: str, problem: str, *, retryable: bool = False) -> NoReturn:
    """Raise the error of a place that has no token."""
    raise_apart(TokenError(f"no identity token from {where}: {problem}", retryable=retryable), None)
