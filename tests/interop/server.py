"""A third-party authorization server and its protected resource, as the tests see them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import requests


class Answer(NamedTuple):
    """An answer without a token."""

    status: int
    error: str | None


@dataclass(frozen=True)
class Server:
    url: str
    issuer: str
    secret: str
    to_json: Answer
    to_wrong_secret: Answer
    # Where it asks for a certificate of the client, if it does at all.
    tls_url: str | None = None

    @property
    def token_endpoint(self) -> str:
        return f"{self.issuer}/token"

    @property
    def credentials(self) -> tuple[str, str, str]:
        """The URL, the id and the secret: all that our library should need."""
        return self.token_endpoint, "post-client", self.secret

    @property
    def api(self) -> str:
        return f"{self.url}/api"

    def over_tls(self) -> Server:
        """The same one, at the address where it asks for certificates."""
        assert self.tls_url
        return replace(self, url=self.tls_url, issuer=self.issuer.replace(self.url, self.tls_url))

    def stats(self) -> Counter[str]:
        """What the server has answered so far, such as {"POST /token 200": 1}, by its own count."""
        return Counter(requests.get(f"{self.url}/stats", timeout=10).json())

    def revoke(self, token: str | None, client_id: str = "post-client") -> None:
        """RFC 7009."""
        self._post("revoke", client_id, token).raise_for_status()

    def introspect(self, token: str | None) -> dict[str, Any]:
        """RFC 7662."""
        told: dict[str, Any] = self._post("introspect", "post-client", token).json()
        return told

    def _post(self, path: str, client_id: str, token: str | None) -> requests.Response:
        data = {"client_id": client_id, "client_secret": self.secret, "token": token}
        return requests.post(f"{self.issuer}/{path}", data, timeout=10)
