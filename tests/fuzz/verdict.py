"""What may come of a hostile answer, and what may not."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import unquote, unquote_plus

import requests
from helpers import locals_in, texts_in

from clientcreds_requests import Token, TokenError

from .cases import ACCESS_TOKEN, CLIENT_SECRET, ENCODINGS, SECRETS

MESSAGE = 2000
"""The longest message: the endpoint, the OAuth error and a hint, each within its bounds."""
WORDS = 303
"""The longest description, and its three dots."""

_NEEDLES = (CLIENT_SECRET, *SECRETS[1:4])

# The middle of the secret, escaped or in another encoding.
_MARKS = [b"\\u0033\\u0063", *("3cr3".encode(code) for code in ENCODINGS)]


class Complaint(AssertionError):
    """What came of it may not be."""


def judge(outcome: object, *, echoes: bool = True) -> str:
    """What an outcome is, in a word.

    :param echoes: may the server have been told a secret? Metadata is asked for without one.
    :raises Complaint: when it may not be.
    """
    if isinstance(outcome, Token):
        return _judge_token(outcome)
    if not isinstance(outcome, TokenError):
        raise Complaint(f"{type(outcome).__name__} came out of it")
    _judge_words(outcome)
    _judge_token_in(outcome)
    if echoes:
        _judge_secret_in(outcome)
    return f"{type(outcome).__name__} {outcome.status_code}"


def may_tell(data: bytes) -> bool:
    """Is there anything like the client secret in an answer?"""
    return any(mark in data for mark in _MARKS)


def _judge_secret_in(error: TokenError) -> None:
    for text in texts_of(error):
        for needle in _NEEDLES:
            before, found, after = text.partition(needle)
            if found:
                shown = before[-100:] + found + after[:100]
                raise Complaint(f"the client secret is in the error: {shown!a}")


def _judge_token_in(error: TokenError) -> None:
    said = (str(error), error.error, error.error_description, error.error_uri)
    if any(words and ACCESS_TOKEN in words for words in said):
        raise Complaint(f"the access token is in the error: {said!a}")
    response = error.response
    if isinstance(response, requests.Response) and b"access_token" in response.content:
        with suppress(ValueError, RecursionError, AttributeError):
            if response.json().get("access_token") == ACCESS_TOKEN:
                raise Complaint("the access token is in the error's response")


def _judge_token(token: Token) -> str:
    if not re.fullmatch(r"[!-~]+", token.access_token):
        raise Complaint("a token that is not visible ASCII")
    if token.authorization != f"{token.token_type} {token.access_token}":
        raise Complaint("another header")
    if token.token_type not in ("Bearer", "DPoP"):
        raise Complaint("another type")
    if token.expires_at is not None and not math.isfinite(token.expires_at):
        raise Complaint("an expiry that is no number")
    if math.isnan(token.seconds_left()):
        raise Complaint("a lifetime that is no number")
    return "Token"


def judge_frames(error: TokenError) -> None:
    """Do the frames that an error leads to hold no secret and no token?

    :raises Complaint: when one does.
    """
    for where, text in locals_in(error):
        if any(needle in text for needle in (*_NEEDLES, ACCESS_TOKEN)):
            raise Complaint(f"a secret is in {where}: {text[:300]!a}")


def _judge_words(error: TokenError) -> None:
    message = str(error)
    if len(message) > MESSAGE:
        raise Complaint(f"a message of {len(message)} characters: {message[:300]!a}")
    for words in (message, error.error, error.error_description, error.error_uri):
        if words is not None and not words.isprintable():
            raise Complaint(f"control characters, or more than a line: {words[:300]!a}")
    for words in (error.error, error.error_description, error.error_uri):
        if words is not None and len(words) > WORDS:
            raise Complaint(f"{len(words)} characters: {words[:300]!a}")
    after = error.retry_after
    if after is not None and not 0 <= after < math.inf:
        raise Complaint(f"retry_after={after}")


def texts_of(error: TokenError) -> Iterator[str]:
    """All text of an error, and what a reader would make of its response."""
    yield from texts_in(error)
    response = error.response
    if isinstance(response, requests.Response):
        body = response.content.decode("utf-8", "replace").replace("\0", "")
        yield from (body, unquote(body), unquote_plus(body), html.unescape(body), response.text)
        with suppress(ValueError, RecursionError):
            yield json.dumps(response.json(), ensure_ascii=False).replace('\\"', '"')


def judge_text(text: str) -> None:
    """Is it a line within bounds?"""
    if len(text) > MESSAGE or not text.isprintable():
        raise Complaint(f"no bounded line: {text[:300]!a}")
