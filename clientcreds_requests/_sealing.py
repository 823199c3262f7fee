"""What a shared store holds, sealed: only a process that could ask for the token can read it."""

from __future__ import annotations

import base64
import hmac
import json
import os
import time
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .exceptions import TokenConnectionError, TokenError, TokenTimeout
from .tokens import Token

#: The longest sealed value, in characters: 48 KiB of JSON.
LARGEST = 64 * 1024
# Part of every derived key: a value of another format has another name, and does not open.
_FORMAT = b"clientcreds-requests 2 "
_KINDS = {kind.__name__: kind for kind in (TokenTimeout, TokenConnectionError, TokenError)}
_DETAILS = ("error", "error_description", "error_uri", "status_code", "retryable", "retry_after")


class Seal:
    """The names and the encryption key that are derived from a secret (HMAC-SHA256, AES-GCM)."""

    def __init__(self, secret: bytes, prefix: str) -> None:
        self._cipher = AESGCM(hmac.digest(secret, _FORMAT + b"encryption", "sha256"))
        # The braces keep the three in one slot of a cluster.
        name = f"{prefix}{{{hmac.digest(secret, _FORMAT + b'name', 'sha256').hex()}}}"
        self.token, self.failure, self.lock = f"{name}:token", f"{name}:failure", f"{name}:lock"

    def close(self, name: str, members: dict[str, Any]) -> str:
        """Seal what is to be stored under this name alone, as text: a client may decode it."""
        nonce, content = os.urandom(12), json.dumps(members, default=dict).encode()
        sealed = self._cipher.encrypt(nonce, content, name.encode())
        return base64.b64encode(nonce + sealed).decode()

    def open(self, name: str, value: str | bytes) -> dict[str, Any]:
        """Return what was sealed under this name; nothing if the value does not open."""
        try:
            text = value.encode() if isinstance(value, str) else value
            sealed = base64.b64decode(text)
            if base64.b64encode(sealed) != text:
                return {}  # base64 has bits to spare, and skips what it does not know
            content = self._cipher.decrypt(sealed[:12], sealed[12:], name.encode())
        except (InvalidTag, ValueError):
            return {}
        return dict(json.loads(content))


def token_members(token: Token, kept_ms: int) -> dict[str, Any]:
    """Return a token as it is sealed: without the header value, which is made of the rest."""
    return {name: getattr(token, name) for name in Token.__match_args__[:-1]} | {"kept_ms": kept_ms}


def token_of(members: dict[str, Any], left_ms: int) -> Token | None:
    """Return the token that was sealed; the store keeps it for so many milliseconds more."""
    if not 0 < left_ms <= members.pop("kept_ms", 0):
        return None  # nothing, or its expiry was changed by another program
    if members["expires_at"] is None:
        return Token(**members)
    # The clock of the machine that stored it may differ from this one's. Where they agree, the
    # expiry stays what it was: it took less than a second to store it.
    expires_at = max(members["expires_at"], time.time() + left_ms / 1000 - 1)
    until = time.monotonic() + left_ms / 1000
    return Token(**{**members, "expires_at": expires_at}, _expires_monotonic=until)


def failure_members(error: TokenError) -> dict[str, Any]:
    """Return a failure as it is sealed: without the response itself."""
    kind = next(name for name, kind in _KINDS.items() if isinstance(error, kind))
    return {"kind": kind, "message": str(error)} | {name: getattr(error, name) for name in _DETAILS}


def failure_of(members: dict[str, Any]) -> TokenError:
    """Return the failure that was sealed."""
    return _KINDS[members["kind"]](members["message"], **{name: members[name] for name in _DETAILS})
