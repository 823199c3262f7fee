"""DPoP (RFC 9449): tokens bound to a key, and a proof of it on every request.

The core imports this module only if ``dpop=`` is given.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from requests import PreparedRequest, Response

from ._checks import text
from ._redaction import forget_frames, raised_at
from ._replay import Replay, parse_challenges, rewind
from ._urls import origin, without_query
from .exceptions import CallableError
from .tokens import Token

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._keys import KeySource

__all__ = ["DPoPKey", "ProofKey"]

#: How many origins' nonces are kept: those that gave a new one last.
MAX_NONCES = 64

#: How many proofs are tried with one token: a server may change its nonce meanwhile.
MAX_PROOFS = 3

_PROOF = r"[A-Za-z0-9_.-]+"
_NONCE = r"[\x21\x23-\x5b\x5d-\x7e]{1,1024}"  # RFC 9449 §8.1, within bounds


class ProofKey(Protocol):
    """A key that tokens are bound to; :class:`DPoPKey` is one."""

    @property
    def thumbprint(self) -> str:
        """The SHA-256 thumbprint of the public key (RFC 7638)."""
        ...

    def proof(
        self, method: str, url: str, *, access_token: str | None = None, nonce: str | None = None
    ) -> str:
        """Return a new proof for one request (RFC 9449 §4.2).

        :param method: of the request.
        :param url: of the request; query and fragment are no part of the proof.
        :param access_token: the token that the request carries.
        :param nonce: the latest nonce of the server.
        """
        ...


class Prover:
    """Puts proofs on requests, with the latest nonce of each server.

    The token endpoint and the APIs have a prover each: their nonces are never mixed, even if they
    share an origin (RFC 9449 §9).
    """

    def __init__(self, key: ProofKey) -> None:
        if not callable(getattr(key, "proof", None)) or isinstance(key, type):
            raise TypeError(
                "dpop must be a key, such as DPoPKey.generate() of clientcreds_requests.dpop"
            )
        self.key = key
        self._nonces: dict[str | None, str] = {}

    def sign(self, method: str, url: str, headers: MutableMapping[str, Any]) -> None:
        """Put a proof into the headers of a request; raise whatever the key raises."""
        scheme, _, credentials = str(headers.get("Authorization", "")).partition(" ")
        access_token = credentials if scheme == "DPoP" else None
        proof = self.key.proof(method, url, access_token=access_token, nonce=self.nonce(url))
        if not isinstance(proof, str) or not re.fullmatch(_PROOF, proof):
            raise ValueError("the proof is no JWT")
        headers["DPoP"] = proof

    def nonce(self, url: str) -> str | None:
        """Return the latest nonce of a server."""
        return self._nonces.get(origin(url))

    def learn(self, response: Response) -> str | None:
        """Store and return the nonce in a response, for the next request (RFC 9449 §8.2)."""
        nonce: str = response.headers.get("DPoP-Nonce", "")
        # Two of them would be joined by a comma and a space, which no nonce has.
        if not re.fullmatch(_NONCE, nonce):
            return None
        where = origin(response.url or "")
        others = [known for known in self._nonces.items() if known[0] != where]
        # Never changed in place: no lock.
        self._nonces = dict([*others[1 - MAX_NONCES :], (where, nonce)])
        return nonce


class DPoPReplay(Replay):
    """The hook of an auth whose tokens are bound to a key: every request has a proof of its own.

    A server may require its nonce in the proof (RFC 9449 §9), and may change the nonce meanwhile.
    It may also reject a proof that was used already, as after a redirect.
    """

    def __init__(self, key: ProofKey, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._prover = Prover(key)

    def __call__(self, response: Response, **settings: Any) -> Response:
        """Return the response, or the answer to the request with another proof or token."""
        self._prover.learn(response)
        return super().__call__(response, **settings)

    def after_401(self, response: Response, refused: Token, settings: dict[str, Any]) -> Response:
        """Return the answer to the request with another proof or token, if that may help."""
        response = self._with_other_proofs(response, refused, settings)
        if response.status_code == 401:
            response = super().after_401(response, refused, settings)
        return response

    def prove(self, request: PreparedRequest) -> None:
        """Put a proof on a request, in place of the one it has."""
        try:
            return self._prover.sign(request.method or "", request.url or "", request.headers)
        except Exception as error:
            what = f"no DPoP proof for {without_query(request.url or '')}"
            failure = CallableError(f"{what}: the dpop key raised {raised_at(error)}")
            failure.__cause__ = error
        forget_frames(failure)
        raise failure

    def send_again(self, response: Response, token: Token, settings: dict[str, Any]) -> Response:
        """Send the request once more, and with other proofs while the server asks for them."""
        answer = super().send_again(response, token, settings)
        return self._with_other_proofs(answer, token, settings)

    def _with_other_proofs(
        self, response: Response, token: Token, settings: dict[str, Any]
    ) -> Response:
        last = None
        for attempt in range(MAX_PROOFS):
            nonce = self._prover.learn(response)
            challenges = parse_challenges(response.headers.get("WWW-Authenticate", ""))
            errors = {p.get("error") for scheme, p in challenges if scheme == "dpop"}
            helps = "use_dpop_nonce" in errors and nonce not in (None, last)
            helps = helps or ("invalid_dpop_proof" in errors and attempt == 0)
            if response.status_code != 401 or not helps or not rewind(response.request):
                break
            last = nonce
            response = super().send_again(response, token, settings)
        self._prover.learn(response)
        return response


_TARGET = re.compile(r"([a-z][a-z0-9+.-]*://)(?:[^/?#]*@)?([^?#]+)", re.IGNORECASE)


class DPoPKey:
    """The key that tokens are bound to (RFC 9449); needs the extra ``jwt``.

    Any number of threads may use it. It cannot be pickled or copied: another process that is not
    a fork makes its own key, and obtains its own tokens.

    :param key: the private key: PEM, a JWK as a dict or as JSON, or an object of cryptography.
    :param algorithm: None: the JWK's own, or else the usual one for the key.
    :raises TypeError, ValueError: if the key cannot be used; the message holds nothing of it.
    """

    def __init__(self, key: KeySource, algorithm: str | None = None) -> None:
        from ._keys import check_algorithm, read_key  # which needs the extra

        if algorithm is not None:
            check_algorithm("algorithm", algorithm)
        self._key = read_key("key", key, algorithm)
        #: The algorithm of the proofs' signatures.
        self.algorithm: str = self._key.algorithm
        #: The public key's thumbprint (RFC 7638), which servers call ``jkt``.
        self.thumbprint: str = self._key.thumbprint

    @classmethod
    def generate(cls, algorithm: str = "ES256") -> Self:
        """Return a new key.

        :param algorithm: the algorithm it signs with.
        :raises TypeError, ValueError: if that is no asymmetric algorithm.
        """
        from ._keys import new_key

        return cls(new_key(algorithm), algorithm)

    def __getstate__(self) -> NoReturn:
        raise TypeError(
            "a DPoPKey is neither pickled nor copied: make it anew in the other process"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.algorithm} {self.thumbprint}>"

    def proof(
        self, method: str, url: str, *, access_token: str | None = None, nonce: str | None = None
    ) -> str:
        """Return a new proof for one request, to be sent as its ``DPoP`` header field.

        :param method: the request's.
        :param url: the request's; its query and its fragment are left out.
        :param access_token: the token that the request carries; None for a token request.
        :param nonce: the latest ``DPoP-Nonce`` of the server.
        :raises TypeError, ValueError: if an argument cannot work.
        """
        target = _TARGET.match(text("url", url))
        if target is None:
            raise ValueError("url must be an absolute URL")
        claims = {
            "jti": secrets.token_urlsafe(16),
            "htm": text("method", method),
            "htu": target[1] + target[2],
            "iat": int(time.time()),
        }
        if access_token is not None:
            if not text("access_token", access_token).isascii():
                raise ValueError("access_token must be ASCII")
            digest = hashlib.sha256(access_token.encode()).digest()
            claims["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if nonce is not None:
            claims["nonce"] = text("nonce", nonce)
        return self._key.sign(claims, {"typ": "dpop+jwt", "jwk": self._key.public})
