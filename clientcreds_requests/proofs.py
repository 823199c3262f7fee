"""DPoP proofs on requests, and the nonces that servers want to see in them (RFC 9449)."""

from __future__ import annotations

import re
from typing import Protocol

import requests

from .exceptions import TokenError
from .origins import origin, without_query
from .redaction import without_our_frames

#: Nonces are kept for so many origins: those that gave a new one last.
MAX_NONCES = 64

_PROOF = r"[A-Za-z0-9_.-]+"
_NONCE = r"[\x21\x23-\x5b\x5d-\x7e]{1,1024}"  # RFC 9449 §8.1, within bounds


class ProofKey(Protocol):
    """A key that tokens are bound to; ``clientcreds_requests.jwt.DPoPKey`` is one."""

    @property
    def thumbprint(self) -> str:
        """The SHA-256 thumbprint of the public key (RFC 7638)."""
        ...

    def proof(
        self, method: str, url: str, *, access_token: str | None = None, nonce: str | None = None
    ) -> str:
        """A new proof for one request (RFC 9449 §4.2).

        :param method: of the request.
        :param url: of the request; query and fragment are no part of the proof.
        :param access_token: what the request carries.
        :param nonce: what the server wants to see.
        """
        ...


class Prover:
    """Puts proofs on requests, with the latest nonce of each server.

    Authorization server and resource servers have a prover each: their nonces are never mixed,
    not even when they share an origin (RFC 9449 §9).

    :param key: signs the proofs.
    :raises TypeError: when it is no such key.
    """

    def __init__(self, key: ProofKey) -> None:
        if not callable(getattr(key, "proof", None)) or isinstance(key, type):
            raise TypeError(
                "dpop must be a key, such as DPoPKey.generate() of clientcreds_requests.jwt"
            )
        self.key = key
        self._nonces: dict[str | None, str] = {}

    def proof(self, method: str, url: str, authorization: str = "") -> str:
        """A proof for a request with that ``Authorization``.

        :raises Exception: whatever the key raises; ValueError for what is no proof.
        """
        scheme, _, credentials = authorization.partition(" ")
        proof = self.key.proof(
            method,
            url,
            access_token=credentials if scheme == "DPoP" else None,
            nonce=self._nonces.get(origin(url)),
        )
        if not isinstance(proof, str) or not re.fullmatch(_PROOF, proof):
            raise ValueError("the proof is no JWT")
        return proof

    def prove(self, request: requests.PreparedRequest) -> None:
        """Put a proof on a request, in place of the one it has: each serves only once.

        :raises TokenError: when the key fails.
        """
        failure = self._prove(request)
        if failure is not None:  # raised here, where no frame of its traceback holds the token
            raise failure

    def _prove(self, request: requests.PreparedRequest) -> TokenError | None:
        authorization = str(request.headers.get("Authorization", ""))
        url = request.url or ""
        try:
            request.headers["DPoP"] = self.proof(request.method or "", url, authorization)
        except Exception as error:
            failure = TokenError(
                f"no DPoP proof for {without_query(url)}: the dpop key raised "
                f"{type(error).__name__}"
            )
            failure.__cause__ = without_our_frames(error)
            return failure
        return None

    def learn(self, response: requests.Response) -> str | None:
        """Keep the nonce that a server gave, for the next request to it (RFC 9449 §8.2).

        :return: the nonce; None when it gave none.
        """
        nonce: str = response.headers.get("DPoP-Nonce", "")
        if not re.fullmatch(
            _NONCE, nonce
        ):  # two of them, joined by a comma and a space, among others
            return None
        where = origin(response.url or "")
        if self._nonces.get(where) != nonce:
            others = {key: value for key, value in self._nonces.items() if key != where}
            latest = list(others.items())[1 - MAX_NONCES :]
            self._nonces = {**dict(latest), where: nonce}  # never changed in place: no lock
        return nonce
