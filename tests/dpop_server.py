"""The local server with DPoP: checks every proof, and demands nonces when it is told to."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from typing import Any

import jwt

from clientcreds_requests.testing import Answer, LocalAuthorizationServer, RecordedRequest
from clientcreds_requests.testing.messages import oauth_error


def part(proof: str, index: int) -> dict[str, Any]:
    """The header (0) or the claims (1) of a proof, unverified."""
    segment = proof.split(".")[index]
    return json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))


class DPoPServer(LocalAuthorizationServer):
    """Token endpoint and API that accept DPoP alone (RFC 9449).

    Set ``nonce`` and ``api_nonce`` to have them demanded, and change them for new ones.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.nonce: str | None = None
        self.api_nonce: str | None = None
        self.seen: set[str] = set()
        """The ``jti`` of every proof."""
        self.thumbprints: dict[str, str] = {}
        """The key that each access token is bound to."""

    def _respond_with_token(self, request: RecordedRequest) -> Answer:
        refusal = self._refusal(request, self.token_endpoint, self.nonce, None)
        if refusal == "use_dpop_nonce":
            return oauth_error(refusal, "a nonce is needed", 400, {"DPoP-Nonce": self.nonce or ""})
        if refusal is not None:
            return oauth_error("invalid_dpop_proof", refusal)
        answer = super()._respond_with_token(request)
        if answer.status == 200:
            content = dict(answer.body)
            self.thumbprints[content["access_token"]] = self._thumbprint(request)
            nonce = {} if self.nonce is None else {"DPoP-Nonce": self.nonce}
            return replace(answer, body={**content, "token_type": "DPoP"}, headers=nonce)
        return answer

    def _identify_token(self, request: RecordedRequest) -> RecordedRequest:
        scheme, _, access_token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "DPoP":
            return replace(request, token_state="none")
        token = self._tokens.get(access_token)
        state = token.state if token else "unknown"
        return replace(request, access_token=access_token, token_state=state)

    def _respond_to_call(self, request: RecordedRequest) -> Answer:
        nonce = {} if self.api_nonce is None else {"DPoP-Nonce": self.api_nonce}
        if request.token_state == "none":
            return Answer(401, headers={"WWW-Authenticate": 'DPoP algs="ES256"'})
        error = None if request.token_state == "valid" else "invalid_token"
        token = request.access_token or ""
        url = self.api_url.removesuffix("/api") + request.path
        error = error or self._refusal(request, url, self.api_nonce, token)
        if error is not None:
            known = error in ("invalid_token", "use_dpop_nonce")
            code = error if known else "invalid_dpop_proof"
            challenge = f'DPoP error="{code}", error_description="{error}", algs="ES256"'
            return Answer(401, headers={"WWW-Authenticate": challenge, **nonce})
        answer = super()._respond_to_call(request)
        return replace(answer, headers=nonce)

    def _thumbprint(self, request: RecordedRequest) -> str:
        jwk = part(request.headers["DPoP"], 0)["jwk"]
        canonical = json.dumps(jwk, separators=(",", ":"), sort_keys=True)
        digest = hashlib.sha256(canonical.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def _refusal(
        self, request: RecordedRequest, url: str, nonce: str | None, access_token: str | None
    ) -> str | None:
        """What is wrong with the proof of a request."""
        proofs = request.headers.get_all("DPoP", [])
        if len(proofs) != 1:
            return f"{len(proofs)} proofs"
        header = part(proofs[0], 0)
        if header["typ"] != "dpop+jwt" or "d" in header["jwk"]:
            return "not a proof"
        proof_key, by_its_own_clock = jwt.PyJWK(header["jwk"]).key, {"verify_iat": False}
        claims = jwt.decode(proofs[0], proof_key, ["ES256"], by_its_own_clock)
        if claims["jti"] in self.seen:
            return "jti was used"
        self.seen.add(claims["jti"])
        if (claims["htm"], claims["htu"]) != (request.method, url):
            return f"htm and htu are {claims['htm']} {claims['htu']}"
        if access_token is not None:
            ath = base64.urlsafe_b64encode(hashlib.sha256(access_token.encode()).digest())
            if claims.get("ath") != ath.rstrip(b"=").decode():
                return "ath is of another token"
            if self.thumbprints.get(access_token) != self._thumbprint(request):
                return "the token is bound to another key"
        elif "ath" in claims:
            return "ath in a token request"
        return "use_dpop_nonce" if nonce is not None and claims.get("nonce") != nonce else None
