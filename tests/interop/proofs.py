"""DPoP proofs (RFC 9449) made without our library, so that they may be wrong."""

from __future__ import annotations

import hashlib
import time
import uuid
from dataclasses import dataclass

import requests
from cryptography.hazmat.primitives.asymmetric import ec

from .keys import base64url, public_jwk, signed_jwt
from .server import Server


def proof(key: ec.EllipticCurvePrivateKey, **claims: object) -> str:
    claims = {"iat": int(time.time()), "jti": uuid.uuid4().hex} | claims
    return signed_jwt(key, {"typ": "dpop+jwt", "jwk": public_jwk(key)}, claims)


def sha256(text: str) -> str:
    return base64url(hashlib.sha256(text.encode()).digest())


@dataclass(frozen=True)
class Bound:
    """A token, and all that a call with it takes."""

    server: Server
    key: ec.EllipticCurvePrivateKey
    token: str

    def get(
        self, scheme: str = "DPoP", key: ec.EllipticCurvePrivateKey | None = None, **claims: object
    ) -> requests.Response:
        """Call the API with a proof that is right but for these claims, and a nonce."""
        right = {"htm": "GET", "htu": self.server.api, "ath": sha256(self.token)}
        right["nonce"] = self._call("DPoP", proof(self.key, **right)).headers["DPoP-Nonce"]
        return self._call(scheme, proof(key or self.key, **(right | claims)))

    def _call(self, scheme: str, proof: str) -> requests.Response:
        headers = {"Authorization": f"{scheme} {self.token}", "DPoP": proof}
        return requests.get(self.server.api, headers=headers)
