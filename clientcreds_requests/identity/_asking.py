"""Asks the services of platforms for tokens, and checks what is to be one."""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from typing import NoReturn, TypeAlias
from urllib.parse import urlencode

import requests

from .._checks import Session, header_field
from .._dialects import RETRY_STATUSES, code_and_description
from .._redaction import Redactor, forget_frames, raise_apart
from .._responses import json_value, raise_unanswered, text_of
from .._urls import prepare_url, without_query
from ..adapters import HEADERS, RetriedRequest, give_up_at, retry_after, send
from ..exceptions import TokenError

#: The maximum size of a token, in bytes.
MAX_TOKEN = 16 * 1024
# How often a file that is missing, empty or being written is read, and the seconds in between.
_READS, _BETWEEN_READS = 5, 0.02


# Header fields. Callables return secrets: these stand in no variable while a request is under way,
# and are removed from errors.
Fields: TypeAlias = Mapping[str, str | Callable[[], str]]


def token_in_file(path: str) -> str:
    """Return the token in a file.

    :raises TokenError: if there is none; retryable if the file was empty or being written.
    """
    where, problem, is_missing = f"the file {path}", "", False
    for _ in range(_READS):
        try:
            before = os.stat(path)
            if not stat.S_ISREG(before.st_mode):  # to open a pipe would wait for who writes to it
                raise OSError(errno.EINVAL, "it is no file")
            with open(path, "rb") as file:
                content = file.read(MAX_TOKEN + 4)
                after = os.fstat(file.fileno())
        except FileNotFoundError:  # it may be in the middle of being replaced
            problem, is_missing = "there is no such file", True
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise_no_token(where, f"it cannot be read: {reason}")
        else:
            is_missing = False
            changed = (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
            if changed or len(content) != min(after.st_size, MAX_TOKEN + 4):
                problem = "it changed each time it was read"
            elif not content.strip():
                problem = "it is empty"
            else:
                text = content.removeprefix(b"\xef\xbb\xbf").decode("ascii", "replace")
                return checked(where, text.removesuffix("\n").removesuffix("\r"))
        time.sleep(_BETWEEN_READS)
    return raise_no_token(where, problem, retryable=not is_missing)


def ask(
    where: str,
    url: str,
    query: Mapping[str, str],
    fields: Fields,
    timeout: float,
    *,
    direct: bool = True,
    expected: int = 200,
) -> requests.Response:
    """Return the answer of a platform's service.

    :param where: its name, for errors.
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
        headers = dict(HEADERS)
        for name, value in fields.items():
            headers[name] = value() if callable(value) else value
            header_field(where, name, headers[name])
            if callable(value):
                redact.add([headers[name].rpartition(" ")[2]])
        return b"", headers

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
    said = code_and_description(json_value(text_of(answer)), status)
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
