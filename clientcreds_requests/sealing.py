"""What lies in a shared store: tokens and failures, sealed for those who could ask themselves."""

from __future__ import annotations

import base64
import json
import os
import time
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .exceptions import TokenConnectionError, TokenError, TokenTimeout
from .tokens import Token

#: The longest sealed value, in bytes: longer ones are neither written nor read.
LARGEST = 64 * 1024

_FORMAT = b"clientcreds-requests 1"
_NONCE = 12
_FAILURES = {kind.__name__: kind for kind in (TokenError, TokenConnectionError, TokenTimeout)}


class Seal:
    """What one store key opens: the names under which things lie, and the things themselves.

    Names and encryption key are derived from the store key, each for its own purpose
    (HKDF-SHA256, RFC 5869): a name tells nothing about the key.

    :param key: the store key.
    :param encryption_key: mixed in, for a client without a secret; may be empty.
    :param prefix: of the names.
    """

    def __init__(self, key: bytes, encryption_key: bytes, prefix: str) -> None:
        material = key + encryption_key
        self._cipher = AESGCM(_derived(material, b"encryption"))
        name = base64.urlsafe_b64encode(_derived(material, b"name")).decode().rstrip("=")
        # The braces keep the three in one slot of a cluster.
        self.token: str
        self.news: str
        self.lock: str
        self.token, self.news, self.lock = (
            f"{prefix}{{{name}}}:{kind}" for kind in ("token", "news", "lock")
        )

    def close(self, name: str, members: dict[str, Any]) -> str:
        """Seal something that is to lie under a name, and under no other.

        :raises TypeError, ValueError: when it cannot be JSON, or is too long.
        """
        nonce = os.urandom(_NONCE)
        text = json.dumps(members).encode()
        sealed = nonce + self._cipher.encrypt(nonce, text, _associated(name))
        # Text, since a client of Redis may have been told to decode whatever it reads.
        value = base64.b64encode(sealed).decode()
        if len(value) > LARGEST:
            raise ValueError("too long to be stored")
        return value

    def open(self, name: str, value: str | bytes) -> dict[str, Any]:
        """What was sealed under that name.

        :raises ValueError: when that is not what it is.
        """
        text = value.encode() if isinstance(value, str) else value
        sealed = base64.b64decode(text)
        if base64.b64encode(sealed) != text:
            # What the decoder skips, and the bits to spare of the last character, count too.
            raise ValueError("not as it was written")
        try:
            opened = self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], _associated(name))
        except InvalidTag:
            raise ValueError("not sealed by one of us") from None
        members: dict[str, Any] = json.loads(opened)
        return members


def _derived(material: bytes, purpose: bytes) -> bytes:
    info = _FORMAT + b" " + purpose
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(material)


def _associated(name: str) -> bytes:
    return _FORMAT + b" " + name.encode()


def token_members(token: Token) -> dict[str, Any]:
    """A token as it is sealed."""
    return {
        "access_token": token.access_token,
        "expires_at": token.expires_at,
        "scope": token.scope,
        "token_type": token.token_type,
        "extra": dict(token.extra),
        "authorization": token.authorization,
    }


def token_of(members: dict[str, Any], ttl: float) -> Token:
    """The token that was sealed.

    :param ttl: the seconds it has left by the store's clock: this machine's wall clock, or that
        of the one which stored it, may be off.
    """
    token = Token(**members)
    if token.expires_at is not None:
        until = min(token.expires_monotonic, time.monotonic() + ttl)
        token._set(expires_monotonic=until)
    return token


def failure_members(error: TokenError) -> dict[str, Any]:
    """A failure as it is sealed: what the endpoint said, without the answer itself."""
    kind = next(kind for kind in reversed(_FAILURES.values()) if isinstance(error, kind))
    return {
        "kind": kind.__name__,
        "message": str(error),
        "error": error.error,
        "error_description": error.error_description,
        "error_uri": error.error_uri,
        "status_code": error.status_code,
        "retryable": error.retryable,
        "retry_after": error.retry_after,
    }


def failure_of(members: dict[str, Any], age: float) -> TokenError:
    """The failure that was sealed, as an exception of the caller's own.

    :param age: seconds since it was sealed.
    """
    details = dict(members)
    kind = _FAILURES[details.pop("kind")]
    if details["retry_after"] is not None:
        details["retry_after"] = max(0.0, details["retry_after"] - age)
    return kind(details.pop("message"), **details)
